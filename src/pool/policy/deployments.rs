//! Relates tasks to the deployments of their service.

use crate::pool::model::ecs::{Deployment, Placement, RolloutState, Service, Task};
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::ConvergeGoal;

pub(super) fn primary(service: &Service) -> Option<&Deployment> {
    service.deployments.iter().find(|deployment| deployment.is_primary)
}

/// Whether a task runs the revision that the service works towards.
pub(super) fn is_current(service: &Service, task: &Task) -> bool {
    primary(service).is_some_and(|primary| task.task_definition == primary.task_definition)
}

/// Whether a task belongs to an earlier deployment, even if it runs the desired revision.
pub(super) fn is_of_previous_deployment(service: &Service, task: &Task) -> bool {
    service.deployments.iter().any(|other| !other.is_primary && task.started_by.as_ref() == Some(&other.id))
}

/// Whether a task of another revision runs the desired content.
pub(super) fn has_same_content(observed: &Observed, service: &Service, task: &Task) -> bool {
    let content = |revision: &str| observed.deployed_content.get(revision).filter(|content| !content.is_empty());
    content(&task.task_definition).is_some_and(|mine| content(&service.config.task_definition) == Some(mine))
}

/// The newest deployment, if ECS gave it up and every task of it that never started had found no instance. ECS stops a
/// task that waits for one after ten minutes or more, and the circuit breaker counts it.
/// <https://aws.amazon.com/blogs/containers/deep-dive-on-amazon-ecs-cluster-auto-scaling/>,
/// <https://github.com/aws/containers-roadmap/issues/1273>
pub(super) fn failed_without_capacity(observed: &Observed) -> Option<&str> {
    let primary = newest_deployment(observed).filter(|it| matches!(it.rollout, RolloutState::Failed(_)))?;
    let never_started =
        |task: &&Task| !task.is_live() && task.started_at.is_none() && task.started_by.as_ref() == Some(&primary.id);
    let mut failures = observed.tasks.iter().filter(never_started).peekable();
    failures.peek()?;
    failures.all(|task| task.placement == Placement::Unplaced).then_some(&primary.id)
}

/// The deployment that the service works towards, if there is a service.
pub(super) fn newest_deployment(observed: &Observed) -> Option<&Deployment> {
    primary(observed.service.as_ref()?)
}

/// Whether a task is of what the pool works towards: of the newest deployment, or with as many runners as jobs of the
/// newest revision.
pub(super) fn is_of_newest(goal: &ConvergeGoal, observed: &Observed, task: &Task) -> bool {
    match goal.spec.job_scaling {
        Some(_) => {
            let scaling = observed.scaling.as_ref();
            scaling.is_some_and(|found| found.record.goal.task_definition == task.task_definition)
        }
        None => newest_deployment(observed).is_some_and(|primary| task.started_by.as_ref() == Some(&primary.id)),
    }
}
