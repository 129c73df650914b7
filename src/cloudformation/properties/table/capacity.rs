//! The instances on which the runners run.

use super::super::collections::StringList;
use super::super::defaults::WithDefault;
use super::super::formats::{has_space, is_arn, is_aws_id, is_name};
use super::super::objects::LaunchTemplateObject;
use super::super::property::{Property, Required, Row, Update};
use super::super::scalars::{Choice, Integer, Seconds, Text, UNBOUNDED};

/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstancesDistribution.html>
const SPOT_ALLOCATION_STRATEGIES: &[&str] =
    &["price-capacity-optimized", "capacity-optimized", "capacity-optimized-prioritized", "lowest-price"];
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedScaling.html>
const INSTANCE_WARMUP_SECS_MAX: u32 = 10_000;
/// Characters of the name of a cluster and of a capacity provider.
const ECS_NAME_CHARS_MAX: usize = 255;

const OWN_CAPACITY: Required = Required::Conditional("Specify it unless `CapacityProvider` is specified.");

pub(in super::super) static CLUSTER: Property<Text> = Property {
    name: "Cluster",
    accepts: Text {
        expected: "the name or ARN of an ECS cluster",
        is_valid: |text| is_name(text, "-_", ECS_NAME_CHARS_MAX) || is_arn(text, "ecs", "cluster/"),
    },
    required: Required::Yes,
    update: Update::Replacement,
    description: "The name or ARN of the ECS cluster in which the runners run.",
    notes: "The cluster must exist. The pool adds its capacity provider to the cluster's list, and removes it on \
            Delete.",
};

pub(in super::super) static LAUNCH_TEMPLATE: Property<LaunchTemplateObject> = Property {
    name: "LaunchTemplate",
    accepts: LaunchTemplateObject,
    required: OWN_CAPACITY,
    update: Update::NoInterruption,
    description: "The launch template from which the pool's Auto Scaling group starts instances.",
    notes: "Its user data must write the cluster's name to `ECS_CLUSTER`. After a change new instances use the new \
            version, and an older instance is drained as soon as no task runs on it, never before.",
};

pub(in super::super) static SUBNETS: Property<StringList> = Property {
    name: "Subnets",
    accepts: StringList {
        expected_item: "a subnet ID, subnet-…",
        is_valid_item: |text| is_aws_id(text, "subnet"),
        min_items: 1,
    },
    required: OWN_CAPACITY,
    update: Update::NoInterruption,
    description: "The IDs of the subnets in which instances start.",
    notes: "",
};

pub(in super::super) static MIN_INSTANCES: Property<WithDefault<Integer>> = Property {
    name: "MinInstances",
    accepts: WithDefault(Integer { min: 0, max: UNBOUNDED, unit: "" }, 0),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The number of instances that are kept when no runner needs them.",
    notes: "",
};

pub(in super::super) static MAX_INSTANCES: Property<WithDefault<Integer>> = Property {
    name: "MaxInstances",
    accepts: WithDefault(Integer { min: 1, max: UNBOUNDED, unit: "" }, 4),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The largest number of instances at a time.",
    notes: "Must not be less than `MinInstances`, nor, with `DistinctInstances`, less than `DesiredCount`.",
};

pub(in super::super) static WARM_INSTANCES: Property<WithDefault<Integer>> = Property {
    name: "WarmInstances",
    accepts: WithDefault(Integer { min: 0, max: UNBOUNDED, unit: "" }, 0),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The number of stopped instances that have booted before and wait in the Auto Scaling group's warm \
                  pool.",
    notes: "New runners start on them sooner, and [only their disks are \
            charged](https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-warm-pools.html); see [what \
            it costs and saves](sizing.md#warm-instances). Must not be more than `MaxInstances`, and not with Spot \
            Instances: neither with an `OnDemandPercentageAboveBaseCapacity` below 100 nor with a launch template that \
            requests them. The launch template's user data must write `ECS_WARM_POOLS_CHECK=true` to \
            `/etc/ecs/ecs.config`, and its image must boot from an EBS volume. An instance that is taken out of the \
            warm pool is replaced there. After a change of the launch template all of them are replaced.",
};

pub(in super::super) static INSTANCE_TYPES: Property<StringList> = Property {
    name: "InstanceTypes",
    accepts: StringList {
        expected_item: "an instance type, such as m7i.large",
        is_valid_item: is_instance_type,
        min_items: 1,
    },
    required: Required::No,
    update: Update::NoInterruption,
    description: "The instance types, in order of preference, that replace the launch template's instance type.",
    notes: "At most 40. New instances are of the new types. Adding the first property of a mixed-instances policy \
            (`InstanceTypes`, `OnDemandBaseCapacity`, `OnDemandPercentageAboveBaseCapacity`, \
            `SpotAllocationStrategy`) or removing the last one drains and replaces all runners and instances first, \
            because [EC2 Auto Scaling may replace running \
            instances](https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html) \
            then.",
};

pub(in super::super) static ON_DEMAND_BASE_CAPACITY: Property<WithDefault<Integer>> = Property {
    name: "OnDemandBaseCapacity",
    accepts: WithDefault(Integer { min: 0, max: UNBOUNDED, unit: "" }, 0),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The number of instances that are On-Demand before any Spot Instance starts.",
    notes: "A change drains all runners within `DrainTimeout` and replaces all instances: for a while the pool has \
            none.",
};

pub(in super::super) static ON_DEMAND_PERCENTAGE_ABOVE_BASE_CAPACITY: Property<WithDefault<Integer>> = Property {
    name: "OnDemandPercentageAboveBaseCapacity",
    accepts: WithDefault(Integer { min: 0, max: 100, unit: "percent" }, 100),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The percentage of On-Demand Instances among those above OnDemandBaseCapacity (0 starts Spot \
                  Instances only).",
    notes: "A change drains all runners within `DrainTimeout` and replaces all instances: for a while the pool has \
            none.",
};

pub(in super::super) static SPOT_ALLOCATION_STRATEGY: Property<WithDefault<Choice<&str>>> = Property {
    name: "SpotAllocationStrategy",
    accepts: WithDefault(
        Choice { names: SPOT_ALLOCATION_STRATEGIES, values: SPOT_ALLOCATION_STRATEGIES },
        "price-capacity-optimized",
    ),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The strategy by which EC2 Auto Scaling chooses among Spot capacity pools.",
    notes: "New instances are chosen by it. For the first or last property of a mixed-instances policy see \
            [`InstanceTypes`](#instancetypes).",
};

pub(in super::super) static TARGET_CAPACITY: Property<WithDefault<Integer>> = Property {
    name: "TargetCapacity",
    accepts: WithDefault(Integer { min: 1, max: 100, unit: "percent" }, 100),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The percentage of the instances' capacity that runners should use (below 100, spare instances are \
                  ready).",
    notes: "",
};

pub(in super::super) static INSTANCE_WARMUP_PERIOD: Property<WithDefault<Seconds>> = Property {
    name: "InstanceWarmupPeriod",
    accepts: WithDefault(Seconds::new(0, INSTANCE_WARMUP_SECS_MAX), 300),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The time in seconds after which a new instance counts for scaling.",
    notes: "",
};

pub(in super::super) static CAPACITY_PROVIDER: Property<Text> = Property {
    name: "CapacityProvider",
    accepts: Text {
        expected: "the name of a capacity provider of EC2 instances",
        is_valid: |text| is_name(text, "-_", ECS_NAME_CHARS_MAX) && !text.starts_with("FARGATE"),
    },
    required: Required::Conditional("Specify it instead of `LaunchTemplate` and `Subnets`."),
    update: Update::Replacement,
    description: "The name of an existing ECS capacity provider on EC2 instances that the runners use instead of an \
                  Auto Scaling group of the pool's own.",
    notes: "It must be in the cluster's list of capacity providers, and is never modified. Excludes all other \
            properties of this section except `Cluster`.",
};

pub(super) static CAPACITY: &[&dyn Row] = &[
    &CLUSTER,
    &LAUNCH_TEMPLATE,
    &SUBNETS,
    &MIN_INSTANCES,
    &MAX_INSTANCES,
    &WARM_INSTANCES,
    &INSTANCE_TYPES,
    &ON_DEMAND_BASE_CAPACITY,
    &ON_DEMAND_PERCENTAGE_ABOVE_BASE_CAPACITY,
    &SPOT_ALLOCATION_STRATEGY,
    &TARGET_CAPACITY,
    &INSTANCE_WARMUP_PERIOD,
    &CAPACITY_PROVIDER,
];

fn is_instance_type(text: &str) -> bool {
    let parts = text.split_once('.');
    parts.is_some_and(|(family, size)| is_name(family, "-", 40) && is_name(size, "-", 40) && !has_space(text))
}
