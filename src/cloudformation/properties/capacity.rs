//! The instances below: a group of our own, or a capacity provider that somebody else owns.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::pool::model::spec::{Capacity, LaunchTemplate, LaunchTemplateId, MixedInstances, OwnCapacity};

use super::problems::Problems;
use super::raw::{Raw, RawLaunchTemplate, SpotAllocationStrategy};
use super::shapes::{fitting, has_space, is_arn, is_aws_id, is_name, optional};

const DEFAULT_MAX_INSTANCES: u32 = 4;
const DEFAULT_WARMUP: Duration = Duration::from_secs(300);
/// Instance types in a mixed-instances policy.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html>
const INSTANCE_TYPES_MAX: usize = 40;
/// Characters of a launch template's name.
const TEMPLATE_NAME_CHARS_MAX: usize = 128;
/// Characters of a cluster's or a capacity provider's name.
const ECS_NAME_CHARS_MAX: usize = 255;

/// The cluster, as the template gave it.
pub(super) fn cluster(raw: &Raw, problems: &mut Problems) -> Option<String> {
    let accepted = "the ECS cluster's name or ARN";
    if !raw.cluster.is_present() {
        problems.missing("Cluster", accepted);
    }
    let is_cluster = |text: &str| is_name(text, "-_", ECS_NAME_CHARS_MAX) || is_arn(text, "ecs", "cluster/");
    optional("Cluster", &raw.cluster, is_cluster, accepted, problems)
}

/// The capacity; `None` if it cannot be told, and then a problem says why.
pub(super) fn capacity(raw: &Raw, problems: &mut Problems) -> Option<Capacity> {
    if raw.capacity_provider.is_present() { named(raw, problems) } else { own(raw, problems) }
}

fn named(raw: &Raw, problems: &mut Problems) -> Option<Capacity> {
    let own: Vec<&str> = own_properties(raw).iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
    if !own.is_empty() {
        let advice = "take those out, or it, since a provider that somebody else owns is never changed";
        problems.add("CapacityProvider", format!("is given together with {}", own.join(", ")), advice);
    }
    let is_provider = |text: &str| is_name(text, "-_", ECS_NAME_CHARS_MAX) && !text.starts_with("FARGATE");
    let accepted = "the name of a capacity provider on EC2 instances";
    optional("CapacityProvider", &raw.capacity_provider, is_provider, accepted, problems).map(Capacity::Existing)
}

/// The properties that shape a group of our own, with whether the template has them.
fn own_properties(raw: &Raw) -> [(&'static str, bool); 10] {
    [
        ("LaunchTemplate", raw.launch_template.is_present()),
        ("Subnets", raw.subnets.is_present()),
        ("MinInstances", raw.min_instances.is_present()),
        ("MaxInstances", raw.max_instances.is_present()),
        ("InstanceTypes", raw.instance_types.is_present()),
        ("OnDemandBaseCapacity", raw.on_demand_base_capacity.is_present()),
        ("OnDemandPercentageAboveBaseCapacity", raw.on_demand_percentage_above_base_capacity.is_present()),
        ("SpotAllocationStrategy", raw.spot_allocation_strategy.is_present()),
        ("TargetCapacity", raw.target_capacity.is_present()),
        ("InstanceWarmupPeriod", raw.instance_warmup_period.is_present()),
    ]
}

fn own(raw: &Raw, problems: &mut Problems) -> Option<Capacity> {
    if !raw.launch_template.is_present() {
        let accepted = "{LaunchTemplateId or LaunchTemplateName, Version}, or name a CapacityProvider instead";
        problems.missing("LaunchTemplate", accepted);
    }
    let launch_template = raw.launch_template.get().map(|template| launch_template(template, problems));
    let subnets = subnets(raw, problems);
    let min_instances = raw.min_instances.get().map_or(0, |count| count.0);
    let max_instances = raw.max_instances.get().map_or(DEFAULT_MAX_INSTANCES, |count| count.0);
    check_bounds(raw, min_instances, max_instances, problems);
    let mixed_instances_policy = mixed_instances_policy(raw, problems);
    Some(Capacity::Own(Box::new(OwnCapacity {
        launch_template: launch_template??,
        subnets,
        min_instances,
        max_instances,
        mixed_instances_policy,
        target_capacity_percent: raw.target_capacity.get().map_or(100, |percent| percent.0),
        instance_warmup: raw.instance_warmup_period.get().map_or(DEFAULT_WARMUP, |span| span.0),
    })))
}

fn check_bounds(raw: &Raw, min: u32, max: u32, problems: &mut Problems) {
    if raw.max_instances.is_present() && raw.max_instances.get().is_none() {
        return;
    }
    let given = if raw.max_instances.is_present() { max.to_string() } else { format!("{max}, its default") };
    if max < min {
        let fault = format!("is {given}, below MinInstances ({min})");
        problems.add("MaxInstances", fault, "raise it, or lower MinInstances");
    }
    // One runner an instance: more runners than instances would wait for ever.
    let count = raw.desired_count.get().map_or(1, |count| count.0);
    if raw.distinct_instances.get().is_some_and(|flag| flag.0) && count > max {
        let fault = format!("is {given}, below DesiredCount ({count}) with DistinctInstances");
        problems.add("MaxInstances", fault, "raise it, since every runner needs an instance of its own");
    }
}

fn launch_template(raw: &RawLaunchTemplate, problems: &mut Problems) -> Option<LaunchTemplate> {
    match (raw.launch_template_id.is_present(), raw.launch_template_name.is_present()) {
        (true, false) | (false, true) => {}
        (true, true) => {
            problems.add("LaunchTemplate", "has both LaunchTemplateId and LaunchTemplateName", "give one of the two")
        }
        (false, false) => problems.missing("LaunchTemplate.LaunchTemplateId", "it or LaunchTemplateName"),
    }
    let is_id = |text: &str| is_aws_id(text, "lt");
    let accepted = "a launch template's id, lt-…";
    let id = optional("LaunchTemplate.LaunchTemplateId", &raw.launch_template_id, is_id, accepted, problems);
    let is_template_name = |text: &str| is_name(text, "-_./()", TEMPLATE_NAME_CHARS_MAX);
    let accepted = "a launch template's name";
    let path = "LaunchTemplate.LaunchTemplateName";
    let name = optional(path, &raw.launch_template_name, is_template_name, accepted, problems);

    let accepted =
        "a version's number, $Latest or $Default (Fn::GetAtt LatestVersionNumber makes an update of each new version)";
    if !raw.version.is_present() {
        problems.missing("LaunchTemplate.Version", accepted);
    }
    let is_number = |text: &str| text.parse::<u64>().is_ok_and(|number| number > 0);
    let is_version = |text: &str| is_number(text) || text == "$Latest" || text == "$Default";
    let version = fitting("LaunchTemplate.Version", &raw.version, is_version, accepted, problems);
    let reference = id.map(LaunchTemplateId::Id).or_else(|| name.map(LaunchTemplateId::Name))?;
    Some(LaunchTemplate { reference, version: version?.to_owned() })
}

/// The subnets' ids, sorted, each once.
fn subnets(raw: &Raw, problems: &mut Problems) -> Vec<String> {
    let accepted = "at least one subnet's id, subnet-…";
    let Some(given) = raw.subnets.get() else {
        if !raw.subnets.is_present() {
            problems.missing("Subnets", accepted);
        }
        return Vec::new();
    };
    if given.is_empty() {
        problems.add("Subnets", "is empty", format!("give {accepted}"));
    }
    let mut subnets = BTreeSet::new();
    for (index, subnet) in given.iter() {
        if is_aws_id(subnet, "subnet") {
            subnets.insert(subnet.to_owned());
        } else {
            problems.unfit_text(&format!("Subnets[{index}]"), subnet, "a subnet's id, subnet-…");
        }
    }
    subnets.into_iter().collect()
}

/// A mixed-instances policy, as soon as the template asks for any part of one.
fn mixed_instances_policy(raw: &Raw, problems: &mut Problems) -> Option<MixedInstances> {
    let is_wanted = raw.instance_types.is_present()
        || raw.on_demand_base_capacity.is_present()
        || raw.on_demand_percentage_above_base_capacity.is_present()
        || raw.spot_allocation_strategy.is_present();
    if !is_wanted {
        return None;
    }
    let strategy = raw.spot_allocation_strategy.get();
    Some(MixedInstances {
        instance_types: instance_types(raw, problems),
        on_demand_base_capacity: raw.on_demand_base_capacity.get().map_or(0, |count| count.0),
        on_demand_percentage_above_base: raw
            .on_demand_percentage_above_base_capacity
            .get()
            .map_or(100, |percent| percent.0),
        spot_allocation_strategy: strategy
            .unwrap_or(&SpotAllocationStrategy::PriceCapacityOptimized)
            .as_str()
            .to_owned(),
    })
}

/// The instance types in the template's order, which is one of preference, each once.
fn instance_types(raw: &Raw, problems: &mut Problems) -> Vec<String> {
    let Some(given) = raw.instance_types.get() else { return Vec::new() };
    if given.is_empty() {
        problems.add("InstanceTypes", "is empty", "give at least one type, such as m7i.large, or take it out");
    }
    let mut types: Vec<String> = Vec::new();
    for (index, instance_type) in given.iter() {
        let is_type = instance_type.split_once('.').is_some_and(|(family, size)| {
            is_name(family, "-", 40) && is_name(size, "-", 40) && !has_space(instance_type)
        });
        if !is_type {
            problems.unfit_text(&format!("InstanceTypes[{index}]"), instance_type, "a type such as m7i.large");
        } else if !types.iter().any(|known| known == instance_type) {
            types.push(instance_type.to_owned());
        }
    }
    if types.len() > INSTANCE_TYPES_MAX {
        let fault = format!("has {} types", types.len());
        problems.add("InstanceTypes", fault, format!("give at most {INSTANCE_TYPES_MAX}"));
    }
    types
}
