//! The properties as a template spells them: the one list of their names, with the shape of each.
//!
//! What a value has to look like beyond its shape, and what properties mean together, is checked beside this file, part
//! by part. [`super::property_names`] is read off this declaration.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::pool::model::spec::{OnDeregisterFailure, OnDrainTimeout};

use super::collecting::{self, Field};
use super::problems::Problems;
use super::stringly::{Flag, Seconds, Text, Texts, UNBOUNDED, Verbatim, Whole};

/// Tasks that one ECS service may have.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html>
const DESIRED_COUNT_MAX: u32 = 5_000;
/// MiB. Docker reserves this much for a container.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>
const MEMORY_MIB_MIN: u32 = 6;
/// Seconds: two days, as long as ECS protects a task or drains an instance.
const STOP_TIMEOUT_SECS_MAX: u32 = 172_800;
/// Seconds. <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedScaling.html>
const WARMUP_SECS_MAX: u32 = 10_000;

/// What is accepted for properties whose shape is a list or a map of something, in the words of the template.
pub(super) const FORMS: &[(&str, &str)] = &[
    ("Environment", "a map from names to values, such as {NAME: value}, and not ECS's list of {Name, Value}"),
    ("Secrets", "a map from names to parameters, such as {NAME: /parameter}, and not ECS's list of {Name, ValueFrom}"),
    ("Tags", "a list of maps, such as [{Key: team, Value: ci}]"),
];

/// Every property, in the order of the README's table.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Raw {
    // Where the runners register.
    pub(super) org_name: Field<Text>,
    pub(super) repo_url: Field<Text>,
    pub(super) enterprise_name: Field<Text>,
    pub(super) org_runner: Field<Flag>,
    #[serde(rename = "GitHubUrl")]
    pub(super) github_url: Field<Text>,

    // Credentials: where they lie, never what they are.
    pub(super) access_token_parameter: Field<Text>,
    pub(super) app_id: Field<Text>,
    pub(super) app_private_key_parameter: Field<Text>,
    pub(super) app_login: Field<Text>,
    pub(super) runner_token_parameter: Field<Text>,

    // The runner.
    pub(super) runner_name: Field<Text>,
    pub(super) runner_name_prefix: Field<Text>,
    pub(super) labels: Field<Texts>,
    pub(super) runner_group: Field<Text>,
    pub(super) runner_workdir: Field<Text>,
    pub(super) ephemeral: Field<Flag>,
    pub(super) disable_auto_update: Field<Flag>,
    pub(super) no_default_labels: Field<Flag>,
    pub(super) environment: Field<BTreeMap<String, Field<Verbatim>>>,
    pub(super) secrets: Field<BTreeMap<String, Field<Text>>>,

    // The task.
    pub(super) image: Field<Text>,
    pub(super) repository_credentials_parameter: Field<Text>,
    pub(super) memory_reservation: Field<Whole<MEMORY_MIB_MIN, UNBOUNDED>>,
    pub(super) memory: Field<Whole<MEMORY_MIB_MIN, UNBOUNDED>>,
    pub(super) cpu: Field<Whole<0, UNBOUNDED>>,
    pub(super) privileged: Field<Flag>,
    pub(super) docker_socket: Field<Flag>,
    pub(super) readonly_root_filesystem: Field<Flag>,
    pub(super) stop_timeout: Field<Seconds<1, STOP_TIMEOUT_SECS_MAX>>,
    pub(super) log_group: Field<Text>,
    pub(super) log_stream_prefix: Field<Text>,
    pub(super) execution_role_arn: Field<Text>,
    pub(super) task_role_arn: Field<Text>,

    // Capacity.
    pub(super) cluster: Field<Text>,
    pub(super) launch_template: Field<RawLaunchTemplate>,
    pub(super) subnets: Field<Texts>,
    pub(super) min_instances: Field<Whole<0, UNBOUNDED>>,
    pub(super) max_instances: Field<Whole<1, UNBOUNDED>>,
    pub(super) instance_types: Field<Texts>,
    pub(super) on_demand_base_capacity: Field<Whole<0, UNBOUNDED>>,
    pub(super) on_demand_percentage_above_base_capacity: Field<Whole<0, 100>>,
    pub(super) spot_allocation_strategy: Field<SpotAllocationStrategy>,
    pub(super) target_capacity: Field<Whole<1, 100>>,
    pub(super) instance_warmup_period: Field<Seconds<0, WARMUP_SECS_MAX>>,
    pub(super) capacity_provider: Field<Text>,

    // The service and its manners.
    pub(super) desired_count: Field<Whole<0, DESIRED_COUNT_MAX>>,
    pub(super) distinct_instances: Field<Flag>,
    pub(super) online_timeout: Field<Seconds<1, UNBOUNDED>>,
    pub(super) idle_confirmation: Field<Seconds<0, UNBOUNDED>>,
    pub(super) drain_timeout: Field<Seconds<0, UNBOUNDED>>,
    pub(super) on_drain_timeout: Field<OnDrainTimeout>,
    pub(super) on_deregister_failure: Field<OnDeregisterFailure>,
    pub(super) tags: Field<Vec<Field<RawTag>>>,

    // CloudFormation's own: known, so that they are no unknown properties. The request reads the second by itself.
    #[cfg_attr(test, schemars(with = "Field<Text>"))]
    service_token: Field<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Field<Whole<1, 3600>>"))]
    service_timeout: Field<IgnoredAny>,
}

/// `LaunchTemplate`.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RawLaunchTemplate {
    pub(super) launch_template_id: Field<Text>,
    pub(super) launch_template_name: Field<Text>,
    pub(super) version: Field<Text>,
}

/// An item of `Tags`.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RawTag {
    pub(super) key: Field<Text>,
    pub(super) value: Field<Verbatim>,
}

/// How Auto Scaling chooses Spot pools.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstancesDistribution.html>
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SpotAllocationStrategy {
    PriceCapacityOptimized,
    CapacityOptimized,
    CapacityOptimizedPrioritized,
    LowestPrice,
}

impl SpotAllocationStrategy {
    /// Auto Scaling's word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::PriceCapacityOptimized => "price-capacity-optimized",
            Self::CapacityOptimized => "capacity-optimized",
            Self::CapacityOptimizedPrioritized => "capacity-optimized-prioritized",
            Self::LowestPrice => "lowest-price",
        }
    }
}

impl Raw {
    /// Reads what can be read. Absent properties are an empty map; anything else that is no map is one problem.
    pub(super) fn read(properties: &Value, problems: &mut Problems) -> Self {
        match properties {
            Value::Null => Self::default(),
            Value::Object(_) => collecting::read(properties, "", problems),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                problems.add("ResourceProperties", "is no map", "give the properties by their names");
                Self::default()
            }
        }
    }
}
