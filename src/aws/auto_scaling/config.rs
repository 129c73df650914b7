//! Converts a group's configuration to Auto Scaling's types and back.
//!
//! A configuration must be read back as it was written, or an unchanged pool would be updated at every observation.

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, InstancesDistribution, LaunchTemplate as SdkTemplates, LaunchTemplateOverrides,
    LaunchTemplateSpecification, MixedInstancesPolicy,
};

use super::super::convert::{count, int};
use crate::pool::model::auto_scaling::GroupConfig;
use crate::pool::model::spec::{LaunchTemplate, LaunchTemplateId, MixedInstances};

/// On-Demand instances are bought in the template's order. The default for lists of instance types, named because the
/// shape promises it.
const ON_DEMAND_ALLOCATION: &str = "prioritized";
/// Auto Scaling's defaults where a policy names nothing.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstancesDistribution.html>
const ON_DEMAND_PERCENTAGE: i32 = 100;
const SPOT_ALLOCATION: &str = "lowest-price";
/// The version that a group uses if its configuration names none.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_LaunchTemplateSpecification.html>
const TEMPLATE_VERSION: &str = "$Default";

/// The source of a group's instances: one of the two fields, never both.
#[derive(Debug, PartialEq)]
pub(super) enum Source {
    Template(LaunchTemplateSpecification),
    Mixed(MixedInstancesPolicy),
}

pub(super) fn source(config: &GroupConfig) -> Source {
    let template = specification(&config.launch_template);
    let Some(mixed_instances_policy) = &config.mixed_instances_policy else { return Source::Template(template) };
    let of_type = |instance_type: &String| LaunchTemplateOverrides::builder().instance_type(instance_type).build();
    // An empty list is sent too: it removes the types that were there.
    let overrides = mixed_instances_policy.instance_types.iter().map(of_type).collect();
    let distribution = InstancesDistribution::builder()
        .on_demand_allocation_strategy(ON_DEMAND_ALLOCATION)
        .on_demand_base_capacity(int(mixed_instances_policy.on_demand_base_capacity))
        .on_demand_percentage_above_base_capacity(int(mixed_instances_policy.on_demand_percentage_above_base))
        .spot_allocation_strategy(&mixed_instances_policy.spot_allocation_strategy);
    let templates = SdkTemplates::builder().launch_template_specification(template).set_overrides(Some(overrides));
    let policy = MixedInstancesPolicy::builder().launch_template(templates.build());
    Source::Mixed(policy.instances_distribution(distribution.build()).build())
}

fn specification(template: &LaunchTemplate) -> LaunchTemplateSpecification {
    let specification = LaunchTemplateSpecification::builder().version(&template.version);
    match &template.reference {
        LaunchTemplateId::Id(id) => specification.launch_template_id(id),
        LaunchTemplateId::Name(name) => specification.launch_template_name(name),
    }
    .build()
}

pub(super) fn subnets(config: &GroupConfig) -> String {
    config.subnets.join(",")
}

/// The configuration of a group, and the name of its launch template.
pub(super) fn observed(group: &AutoScalingGroup) -> (GroupConfig, Option<String>) {
    let policy = group.mixed_instances_policy();
    let templates = policy.and_then(MixedInstancesPolicy::launch_template);
    let of_policy = templates.and_then(SdkTemplates::launch_template_specification);
    let template = group.launch_template().or(of_policy);
    let mut subnets: Vec<String> = group
        .vpc_zone_identifier()
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|subnet| !subnet.is_empty())
        .map(str::to_owned)
        .collect();
    subnets.sort_unstable();
    let config = GroupConfig {
        launch_template: LaunchTemplate {
            reference: reference(template),
            version: template.and_then(LaunchTemplateSpecification::version).unwrap_or(TEMPLATE_VERSION).to_owned(),
        },
        subnets,
        min: count(group.min_size().unwrap_or(0)),
        max: count(group.max_size().unwrap_or(0)),
        mixed_instances_policy: policy.map(mixed_instances_policy),
    };
    let name = template.and_then(LaunchTemplateSpecification::launch_template_name).map(str::to_owned);
    (config, name)
}

/// By id, which Auto Scaling always returns. A group with a launch configuration, which no pool has, has neither.
fn reference(template: Option<&LaunchTemplateSpecification>) -> LaunchTemplateId {
    let name = template.and_then(LaunchTemplateSpecification::launch_template_name);
    match (template.and_then(LaunchTemplateSpecification::launch_template_id), name) {
        (None, Some(name)) => LaunchTemplateId::Name(name.to_owned()),
        (id, _) => LaunchTemplateId::Id(id.unwrap_or_default().to_owned()),
    }
}

fn mixed_instances_policy(policy: &MixedInstancesPolicy) -> MixedInstances {
    let overrides = policy.launch_template().map_or(&[][..], SdkTemplates::overrides);
    let distribution = policy.instances_distribution();
    let base = distribution.and_then(InstancesDistribution::on_demand_base_capacity);
    let percentage = distribution.and_then(InstancesDistribution::on_demand_percentage_above_base_capacity);
    let spot = distribution.and_then(InstancesDistribution::spot_allocation_strategy);
    MixedInstances {
        instance_types: overrides.iter().filter_map(|types| types.instance_type().map(str::to_owned)).collect(),
        on_demand_base_capacity: count(base.unwrap_or(0)),
        on_demand_percentage_above_base: count(percentage.unwrap_or(ON_DEMAND_PERCENTAGE)),
        spot_allocation_strategy: spot.unwrap_or(SPOT_ALLOCATION).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mixed_instances() -> impl Strategy<Value = MixedInstances> {
        (
            proptest::collection::vec("[cmr][5-7]\\.(x)?large", 0..4),
            0..20_u32,
            0..=100_u32,
            prop_oneof![Just("price-capacity-optimized"), Just("capacity-optimized-prioritized")],
        )
            .prop_map(|(instance_types, on_demand_base_capacity, percentage, spot)| MixedInstances {
                instance_types,
                on_demand_base_capacity,
                on_demand_percentage_above_base: percentage,
                spot_allocation_strategy: spot.to_owned(),
            })
    }

    fn configs() -> impl Strategy<Value = GroupConfig> {
        (
            prop_oneof![
                "lt-[0-9a-f]{17}".prop_map(LaunchTemplateId::Id),
                "[a-z]{1,9}".prop_map(LaunchTemplateId::Name)
            ],
            1..500_u32,
            proptest::collection::btree_set("subnet-[0-9a-f]{8}", 1..5),
            (0..10_u32, 1..100_u32),
            proptest::option::of(mixed_instances()),
        )
            .prop_map(|(reference, version, subnets, (min, max), mixed_instances_policy)| GroupConfig {
                launch_template: LaunchTemplate { reference, version: version.to_string() },
                subnets: subnets.into_iter().collect(),
                min,
                max,
                mixed_instances_policy,
            })
    }

    fn group(config: &GroupConfig) -> AutoScalingGroup {
        let group = AutoScalingGroup::builder()
            .min_size(int(config.min))
            .max_size(int(config.max))
            .vpc_zone_identifier(subnets(config));
        match source(config) {
            Source::Template(template) => group.launch_template(template),
            Source::Mixed(policy) => group.mixed_instances_policy(policy),
        }
        .build()
    }

    proptest! {
        #[test]
        fn a_shape_that_is_written_is_read_back_the_same(config in configs()) {
            prop_assert_eq!(observed(&group(&config)).0, config);
        }
    }

    #[test]
    fn observed_launch_template_has_its_id_and_its_name() {
        let template = LaunchTemplateSpecification::builder()
            .launch_template_id("lt-1")
            .launch_template_name("runners")
            .version("7")
            .build();
        let (config, name) = observed(&AutoScalingGroup::builder().launch_template(template).build());
        assert_eq!(config.launch_template.reference, LaunchTemplateId::Id("lt-1".to_owned()));
        assert_eq!((config.launch_template.version.as_str(), name.as_deref()), ("7", Some("runners")));
    }

    #[test]
    fn subnets_are_sorted_however_auto_scaling_lists_them() {
        let group = AutoScalingGroup::builder().vpc_zone_identifier("subnet-b, subnet-a").build();
        assert_eq!(observed(&group).0.subnets, ["subnet-a", "subnet-b"]);
    }
}
