//! What EC2 says of the things that a pool's instances are started from.
//!
//! Everything is optional: a value is `None` or empty if the role lacks the permission or the value was not read, and
//! nothing is concluded from a missing value.

use std::collections::{BTreeMap, BTreeSet};

use crate::pool::model::spec::OwnCapacity;

/// What was found out about the launch template, the instance types and the subnets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ec2View {
    /// The launch template's version.
    pub template: TemplateView,
    /// The instance types that the group may start, with what an instance of each has; `None` for one that EC2 does not
    /// offer in this Region. Empty where it was not asked.
    pub instance_types: BTreeMap<String, Option<Room>>,
    /// Subnets of the template that EC2 does not know in this Region.
    pub missing_subnets: BTreeSet<String>,
}

/// A version of a launch template, as far as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TemplateView {
    /// It was not read, or the role lacks the permission.
    #[default]
    Unknown,
    /// There is no such launch template.
    NoTemplate,
    /// The launch template has no such version.
    NoVersion,
    /// The version.
    Version(TemplateVersion),
}

/// The settings of a launch template version that matter to a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateVersion {
    /// The clusters that its user data names.
    pub clusters: BTreeSet<String>,
    /// `InstanceType`.
    pub instance_type: Option<String>,
    /// Whether `InstanceRequirements` choose the type.
    pub has_requirements: bool,
    /// Whether it names an image, `ImageId`.
    pub has_image: bool,
    /// Whether it asks for Spot Instances.
    pub requests_spot: bool,
    /// Whether its user data keeps an instance out of the cluster while it is in a warm pool; `None` if the user data is
    /// no text.
    pub checks_warm_pool: Option<bool>,
}

/// Memory, CPU and GPUs, whether of an instance or of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// MiB.
    pub memory_mib: u32,
    /// Units, 1024 a vCPU.
    pub cpu_units: u32,
    /// GPUs.
    pub gpus: u32,
}

impl Room {
    /// How many tasks with this need fit.
    #[must_use]
    pub fn slots(self, need: Self) -> u32 {
        let by = |has: u32, needs: u32| has.checked_div(needs).unwrap_or(u32::MAX);
        by(self.memory_mib, need.memory_mib).min(by(self.cpu_units, need.cpu_units)).min(by(self.gpus, need.gpus))
    }
}

impl Ec2View {
    /// The version, if it was found.
    #[must_use]
    pub const fn version(&self) -> Option<&TemplateVersion> {
        match &self.template {
            TemplateView::Version(version) => Some(version),
            TemplateView::Unknown | TemplateView::NoTemplate | TemplateView::NoVersion => None,
        }
    }
}

/// The instance types that the group may start; none where they are not known.
#[must_use]
pub fn instance_types(own: &OwnCapacity, template: &TemplateView) -> Vec<String> {
    let listed = own
        .mixed_instances_policy
        .as_ref()
        .map(|mixed_instances_policy| mixed_instances_policy.instance_types.clone())
        .unwrap_or_default();
    match template {
        TemplateView::Version(version) if listed.is_empty() => version.instance_type.iter().cloned().collect(),
        TemplateView::Version(_) | TemplateView::Unknown | TemplateView::NoTemplate | TemplateView::NoVersion => listed,
    }
}
