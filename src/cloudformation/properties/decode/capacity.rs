//! The instances on which the runners run: an Auto Scaling group of the pool's own, or an existing capacity provider.

use super::super::given::Given;
use super::super::problems::Problems;
use super::super::property::Kind as _;
use super::super::table::capacity::{
    CAPACITY_PROVIDER, CLUSTER, INSTANCE_TYPES, INSTANCE_WARMUP_PERIOD, LAUNCH_TEMPLATE, MAX_INSTANCES, MIN_INSTANCES,
    ON_DEMAND_BASE_CAPACITY, ON_DEMAND_PERCENTAGE_ABOVE_BASE_CAPACITY, SPOT_ALLOCATION_STRATEGY, SUBNETS,
    TARGET_CAPACITY, WARM_INSTANCES,
};
use super::super::table::scaling::{DESIRED_COUNT, DISTINCT_INSTANCES, MAX_RUNNERS};
use crate::pool::model::spec::{Capacity, MixedInstances, OwnCapacity};

/// Instance types in a mixed-instances policy.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html>
const INSTANCE_TYPES_MAX: usize = 40;

/// `None` if there is none, and then there is a problem.
pub(super) fn cluster(given: &Given<'_>, problems: &mut Problems) -> Option<String> {
    if !given.has(&CLUSTER) {
        problems.missing(CLUSTER.name, CLUSTER.accepts.expected);
    }
    given.get(&CLUSTER)
}

/// `None` if it is unknown, and then there is a problem.
pub(super) fn capacity(given: &Given<'_>, problems: &mut Problems) -> Option<Capacity> {
    if given.has(&CAPACITY_PROVIDER) { existing(given, problems) } else { own(given, problems) }
}

fn existing(given: &Given<'_>, problems: &mut Problems) -> Option<Capacity> {
    let excluded: Vec<&str> = [
        (LAUNCH_TEMPLATE.name, given.has(&LAUNCH_TEMPLATE)),
        (SUBNETS.name, given.has(&SUBNETS)),
        (MIN_INSTANCES.name, given.has(&MIN_INSTANCES)),
        (MAX_INSTANCES.name, given.has(&MAX_INSTANCES)),
        (WARM_INSTANCES.name, given.has(&WARM_INSTANCES)),
        (INSTANCE_TYPES.name, given.has(&INSTANCE_TYPES)),
        (ON_DEMAND_BASE_CAPACITY.name, given.has(&ON_DEMAND_BASE_CAPACITY)),
        (ON_DEMAND_PERCENTAGE_ABOVE_BASE_CAPACITY.name, given.has(&ON_DEMAND_PERCENTAGE_ABOVE_BASE_CAPACITY)),
        (SPOT_ALLOCATION_STRATEGY.name, given.has(&SPOT_ALLOCATION_STRATEGY)),
        (TARGET_CAPACITY.name, given.has(&TARGET_CAPACITY)),
        (INSTANCE_WARMUP_PERIOD.name, given.has(&INSTANCE_WARMUP_PERIOD)),
    ]
    .into_iter()
    .filter(|(_, is_given)| *is_given)
    .map(|(name, _)| name)
    .collect();
    if !excluded.is_empty() {
        let remedy =
            "Remove CapacityProvider or the other properties; an existing capacity provider is never modified.";
        let problem = format!("cannot be combined with {}", excluded.join(", "));
        problems.add(CAPACITY_PROVIDER.name, problem, remedy);
    }
    given.get(&CAPACITY_PROVIDER).map(Capacity::Existing)
}

fn own(given: &Given<'_>, problems: &mut Problems) -> Option<Capacity> {
    if !given.has(&LAUNCH_TEMPLATE) {
        let expected = format!("{}, or CapacityProvider instead", LAUNCH_TEMPLATE.accepts.expected());
        problems.missing(LAUNCH_TEMPLATE.name, &expected);
    }
    if !given.has(&SUBNETS) {
        problems.missing(SUBNETS.name, &SUBNETS.accepts.expected());
    }
    check_max_instances(given, problems);
    let mixed_instances_policy = mixed_instances(given, problems);
    check_warm_instances(given, mixed_instances_policy.as_ref(), problems);
    let mut subnets = given.get(&SUBNETS).unwrap_or_default();
    subnets.sort();
    subnets.dedup();
    Some(Capacity::Own(Box::new(OwnCapacity {
        launch_template: given.get(&LAUNCH_TEMPLATE)?,
        subnets,
        min_instances: given.get_or_default(&MIN_INSTANCES),
        max_instances: given.get_or_default(&MAX_INSTANCES),
        warm_instances: given.get_or_default(&WARM_INSTANCES),
        mixed_instances_policy,
        target_capacity_percent: given.get_or_default(&TARGET_CAPACITY),
        instance_warmup: given.get_or_default(&INSTANCE_WARMUP_PERIOD),
    })))
}

fn check_max_instances(given: &Given<'_>, problems: &mut Problems) {
    let (min, max) = (given.get_or_default(&MIN_INSTANCES), given.get_or_default(&MAX_INSTANCES));
    let is_default = !given.has(&MAX_INSTANCES);
    if !is_default && given.get(&MAX_INSTANCES).is_none() {
        return;
    }
    let shown = if is_default { format!("{max} (its default)") } else { max.to_string() };
    if max < min {
        let problem = format!("{shown} is less than MinInstances ({min})");
        problems.add(MAX_INSTANCES.name, problem, "Increase it, or reduce MinInstances.");
    }
    // With one runner on an instance, more runners than instances would wait for ever.
    let (name, count) = match given.get(&MAX_RUNNERS) {
        Some(max_runners) => (MAX_RUNNERS.name, max_runners),
        None => (DESIRED_COUNT.name, given.get_or_default(&DESIRED_COUNT)),
    };
    if given.get_or_default(&DISTINCT_INSTANCES) && count > max {
        let problem = format!("{shown} is less than {name} ({count}), and DistinctInstances is true");
        problems.add(MAX_INSTANCES.name, problem, "Increase it, since each runner needs an instance of its own.");
    }
}

/// EC2 Auto Scaling refuses a warm pool for a group that may start Spot Instances.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-warm-pools.html>
fn check_warm_instances(given: &Given<'_>, mixed_instances_policy: Option<&MixedInstances>, problems: &mut Problems) {
    let (warm, max) = (given.get_or_default(&WARM_INSTANCES), given.get_or_default(&MAX_INSTANCES));
    if warm > max {
        let problem = format!("{warm} is more than MaxInstances ({max})");
        problems.add(WARM_INSTANCES.name, problem, "Reduce it, since no more instances than that can be in use.");
    }
    let percentage = mixed_instances_policy.map_or(100, |policy| policy.on_demand_percentage_above_base);
    if warm > 0 && percentage < 100 {
        let problem = format!("cannot be combined with OnDemandPercentageAboveBaseCapacity ({percentage})");
        let remedy = "Set that to 100 or remove WarmInstances; a warm pool has no Spot Instances.";
        problems.add(WARM_INSTANCES.name, problem, remedy);
    }
}

/// A mixed-instances policy, if the template has any part of one.
fn mixed_instances(given: &Given<'_>, problems: &mut Problems) -> Option<MixedInstances> {
    let is_wanted = given.has(&INSTANCE_TYPES)
        || given.has(&ON_DEMAND_BASE_CAPACITY)
        || given.has(&ON_DEMAND_PERCENTAGE_ABOVE_BASE_CAPACITY)
        || given.has(&SPOT_ALLOCATION_STRATEGY);
    is_wanted.then(|| MixedInstances {
        instance_types: instance_types(given, problems),
        on_demand_base_capacity: given.get_or_default(&ON_DEMAND_BASE_CAPACITY),
        on_demand_percentage_above_base: given.get_or_default(&ON_DEMAND_PERCENTAGE_ABOVE_BASE_CAPACITY),
        spot_allocation_strategy: given.get_or_default(&SPOT_ALLOCATION_STRATEGY).to_owned(),
    })
}

/// In the template's order, which is one of preference.
fn instance_types(given: &Given<'_>, problems: &mut Problems) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for instance_type in given.get(&INSTANCE_TYPES).unwrap_or_default() {
        if !types.contains(&instance_type) {
            types.push(instance_type);
        }
    }
    if types.len() > INSTANCE_TYPES_MAX {
        let problem = format!("{} types are too many", types.len());
        problems.add(INSTANCE_TYPES.name, problem, format!("Specify at most {INSTANCE_TYPES_MAX}."));
    }
    types
}
