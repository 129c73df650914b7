//! What was observed of Auto Scaling.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pool::model::spec::{LaunchTemplate, MixedInstances};

/// The lifecycle hook that holds launching instances in a group with a warm pool. The rule in the provider stack
/// matches this name.
pub const LAUNCH_HOOK: &str = "github-runner-pool-launch";

/// An Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its ARN.
    pub arn: String,
    /// The configuration that is compared with the template.
    pub config: GroupConfig,
    /// The launch template's name, for templates that name it so.
    pub launch_template_name: Option<String>,
    /// The number of instances that it aims for.
    pub desired: u32,
    /// Whether new instances are protected from scale-in.
    pub protects_new_instances: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its instances, without those of its warm pool.
    pub instances: Vec<GroupInstance>,
    /// Its warm pool, including one that is being deleted.
    pub warm_pool: Option<WarmPool>,
    /// Whether it is on its way out.
    pub is_being_deleted: bool,
}

/// A group's warm pool: instances that have booted once and wait, stopped. They are no container instances, hold no task
/// and do not count in the group's capacity.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-warm-pools.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmPool {
    /// The number of stopped instances that it keeps; `None` if its configuration is not one that the function writes:
    /// its size depends on the group's desired capacity, its instances are not stopped, or instances return to it on
    /// scale-in.
    pub size: Option<u32>,
    /// Whether it is on its way out.
    pub is_being_deleted: bool,
    /// What is in it.
    pub instances: Vec<GroupInstance>,
}

/// What a template decides about an Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupConfig {
    /// The launch template, with its version as a number; an observed one is named by its id.
    pub launch_template: LaunchTemplate,
    /// Subnet ids, sorted.
    pub subnets: Vec<String>,
    /// The lower bound.
    pub min: u32,
    /// The upper bound.
    pub max: u32,
    /// The mixed-instances policy.
    pub mixed_instances_policy: Option<MixedInstances>,
}

/// An instance as its group sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInstance {
    /// `i-…`.
    pub id: String,
    /// Auto Scaling's own word, such as `InService` or `Terminating:Wait`.
    pub lifecycle_state: String,
    /// Whether it is protected from scale-in.
    pub protected_from_scale_in: bool,
    /// The launch-template version that it was started from.
    pub template_version: Option<u64>,
}
