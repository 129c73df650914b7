//! Changes of the purchase options: a mixed-instances policy instead of a launch template alone, or the reverse, or
//! another On-Demand share.
//!
//! EC2 Auto Scaling then replaces instances that run, until the group has what the new options ask for
//! (<https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html>), and no page says that
//! it passes by those that are protected from scale-in. So a group whose instances may hold a job is never changed like
//! that: the pool is taken down to nothing first, as a Delete would, and is built up again on instances of the new
//! kind. Its runners leave by retirement, within `DrainTimeout`. In between the pool has none, which is the price of a
//! change in place.

use crate::pool::model::auto_scaling::{Group, GroupConfig};
use crate::pool::model::ecs::ServiceState;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::Operation;
use crate::pool::model::scaling::ScalingMode;
use crate::pool::model::spec::MixedInstances;
use crate::pool::model::step::Step;

/// The progress of a change of purchase options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purchasing {
    /// There is nothing to change, or no instance that could be replaced.
    Free,
    /// Runners are running or may start, and have to be retired first.
    HasRunners,
    /// Only instances are left.
    HasInstances,
    /// The last observation of the group shows no instance, but is older than that of the tasks.
    Unconfirmed,
}

impl Purchasing {
    /// The progress of the change to the desired configuration.
    pub(super) fn of(observed: &Observed, wanted: &GroupConfig) -> Self {
        let Some(group) = observed.group.as_ref().filter(|group| {
            differs(group.config.mixed_instances_policy.as_ref(), wanted.mixed_instances_policy.as_ref())
        }) else {
            return Self::Free;
        };
        let service_starts_tasks = observed
            .service
            .as_ref()
            .is_some_and(|service| service.state == ServiceState::Active && service.config.desired_count > 0);
        let listener_starts_tasks =
            observed.scaling.as_ref().is_some_and(|scaling| scaling.record.goal.mode == ScalingMode::Active);
        if service_starts_tasks || listener_starts_tasks || observed.tasks.iter().any(|task| task.is_live()) {
            Self::HasRunners
        } else if group.desired > 0 || !group.instances.is_empty() {
            Self::HasInstances
        } else if observed.is_complete {
            Self::Free
        } else {
            Self::Unconfirmed
        }
    }
}

/// Whether the purchase options of the two differ. The types alone, and how Spot pools are chosen, matter to new
/// instances only.
pub(super) fn differs(before: Option<&MixedInstances>, wanted: Option<&MixedInstances>) -> bool {
    match (before, wanted) {
        (Some(before), Some(wanted)) => {
            let share = |it: &MixedInstances| (it.on_demand_base_capacity, it.on_demand_percentage_above_base);
            share(before) != share(wanted)
        }
        (before, wanted) => before.is_some() != wanted.is_some(),
    }
}

/// The steps that release the instances of a group without runners.
pub(super) fn vacate(operation: &Operation, group: &Group) -> Vec<Step> {
    let mut steps = Vec::new();
    if !operation.id.owns(&group.tags) {
        return steps;
    }
    if group.config.max > 0 || group.desired > 0 || group.protects_new_instances {
        steps.push(Step::ScaleGroupToZero);
    }
    let protected: Vec<String> = group
        .instances
        .iter()
        .filter(|instance| instance.protected_from_scale_in && instance.lifecycle_state == "InService")
        .map(|instance| instance.id.clone())
        .collect();
    if !protected.is_empty() {
        steps.push(Step::UnprotectInstances(protected));
    }
    steps
}
