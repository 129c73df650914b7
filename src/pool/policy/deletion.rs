//! Delete: removes everything of the pool in AWS and GitHub.
//!
//! The order is forced by what each service refuses: a service must be lowered and empty before it can be deleted, a
//! provider cannot leave a cluster while tasks use it, cannot be deleted while it is associated, and its group is left
//! with a lifecycle hook and with scale-in protection that ECS never takes back. A group is deleted only without a warm
//! pool. The task definitions go last, because
//! the newest one carries the record by which a Delete without properties finds everything else.
//!
//! What GitHub does not let the function remove is named in the response. That may never arrive: the Delete may fail after
//! the task definitions are gone, or a newer Delete supersede it. So the metadata goes into the state table before
//! ([`crate::pool::model::remains`]), and the next Delete of the pool or of its stack goes on from there.
//!
//! A missing resource counts as deleted. A resource of another owner is never changed, however similar its name.

use crate::pool::model::auto_scaling::Group;
use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::{ProviderState, ServiceState, Task};
use crate::pool::model::evidence::{OrphanedRunner, OwnedScaleSet};
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed, ObservedScaleSet};
use crate::pool::model::operation::{DeleteGoal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::scaling::{START_UNCERTAIN_MAX, ScalingGoal, ScalingMode, ScalingRecord};
use crate::pool::model::spec::OnDeregisterFailure;
use crate::pool::model::step::{Step, Steps};
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::reasons;
use crate::pool::policy::retirement::{Drain, DrainProgress, DrainSet, retire};
use crate::pool::policy::task_protection::ensure_tasks_protected;

use std::collections::BTreeMap;
use std::time::Duration;

/// How long to wait for registrations that GitHub considers busy after their tasks have stopped; then the Reason names
/// them. A killed job's lease runs out ten minutes after its last renewal; what is left after that GitHub drops by itself
/// within 14 days.
const STALE_REGISTRATION_WAIT_MAX: Duration = Duration::from_secs(600);

/// Decides the next step of a Delete.
pub fn decide(
    operation: &Operation,
    memory: &mut Memory,
    goal: &DeleteGoal,
    observed: &Observed,
    at: DecisionTime,
) -> Decision {
    let metadata = observed.metadata.as_ref();
    // The task definition, which contains the metadata, is deleted before the last observation.
    memory.metadata = metadata.cloned().or(memory.metadata.take());
    // Without a task definition no runner was ever started, so there is nothing to deregister.
    if let GitHubRunners::Failed(remote_error) = &observed.github
        && observed.task_definition.is_some()
        && !remote_error.kind.is_retryable()
        && goal.wait_policy.on_deregister_failure == OnDeregisterFailure::Fail
    {
        let github_credential = metadata.and_then(|metadata| metadata.github_credential.as_ref());
        return Decision::Respond(Outcome::failed(reasons::cannot_deregister(github_credential, remote_error)));
    }
    starts_over(operation, observed, metadata, at)
        .or_else(|| service_gone(operation, memory, observed, metadata, at))
        .or_else(|| scale_set_gone(operation, memory, observed, metadata, at))
        .or_else(|| capacity_gone(operation, observed, metadata, at))
        .or_else(|| registrations_gone(operation, memory, observed, metadata, at))
        .or_else(|| task_definitions_gone(operation, memory, observed))
        .unwrap_or_else(|| {
            if !observed.is_complete {
                at.requeue_now(WaitReason::FinalCheck, ObserveScope::Full)
            } else if observed.remains.is_some() && reasons::notes_of_remains(memory, observed).is_empty() {
                Decision::Act(vec![Step::ForgetRemains])
            } else {
                let notes = reasons::notes_of_deletion(operation, memory, observed);
                Decision::Respond(Outcome::Succeeded { attributes: BTreeMap::new(), notes })
            }
        })
}

/// Prevents the listener of a pool with `MaxRunners` from starting runners: the write of its item fences it, and tasks
/// that it had already begun to start appear within a bounded time.
fn starts_over(
    operation: &Operation,
    observed: &Observed,
    metadata: Option<&PoolMetadata>,
    at: DecisionTime,
) -> Option<Decision> {
    metadata?.scale_set.as_ref()?;
    let record = &observed.scaling.as_ref()?.record;
    if record.goal.mode == ScalingMode::Active {
        return Some(Decision::Act(vec![write_mode(operation, record, ScalingMode::Paused)]));
    }
    let pending = record.progress.pending_start.as_ref()?;
    let is_uncertain = at.now.since(pending.at) < START_UNCERTAIN_MAX;
    is_uncertain.then(|| at.wait(WaitReason::PendingTaskStart, ObserveScope::Tasks))
}

fn write_mode(operation: &Operation, record: &ScalingRecord, mode: ScalingMode) -> Step {
    let goal = ScalingGoal { request_id: operation.request.key(), mode, ..record.goal.clone() };
    Step::WriteScaling(Box::new(record.with_goal(goal)))
}

/// Deletes the runner scale set once it has no runner, and then the listener's item.
fn scale_set_gone(
    operation: &Operation,
    memory: &Memory,
    observed: &Observed,
    metadata: Option<&PoolMetadata>,
    at: DecisionTime,
) -> Option<Decision> {
    metadata?.scale_set.as_ref()?;
    let scaling = observed.scaling.as_ref();
    let owned = match &observed.scale_set {
        ObservedScaleSet::NotQueried if !observed.is_complete => {
            return Some(at.requeue_now(WaitReason::FinalCheck, ObserveScope::Full));
        }
        ObservedScaleSet::Failed(no) if no.kind.is_retryable() => {
            return Some(at.wait(WaitReason::RetryableError(no.clone()), ObserveScope::Full));
        }
        ObservedScaleSet::Found(scale_set) => OwnedScaleSet::of(&operation.id, scale_set, scaling),
        ObservedScaleSet::NotQueried | ObservedScaleSet::Failed(_) | ObservedScaleSet::Missing => None,
    };
    if let Some(scale_set) = owned {
        // A job of which nothing is left here: GitHub ends it once its runner has been silent for long enough.
        let since = memory.scale_set_busy_since;
        let is_patient =
            since.is_none_or(|since| at.now < (since + STALE_REGISTRATION_WAIT_MAX).min(operation.respond_by));
        if memory.scale_set_busy_at.is_some_and(|last| at.now.since(last) < at.poll) {
            return Some(at.wait(WaitReason::ScaleSetDeletion, ObserveScope::Full));
        }
        if is_patient {
            let session = scaling.and_then(|found| found.record.progress.session.as_ref());
            let session = session.map(|session| session.id.clone());
            return Some(Decision::Act(vec![Step::DeleteScaleSet { scale_set, session }]));
        }
    }
    let record = &scaling?.record;
    (record.goal.mode != ScalingMode::Deleted)
        .then(|| Decision::Act(vec![write_mode(operation, record, ScalingMode::Deleted)]))
}

/// Retires the runners, then deletes the service.
fn service_gone(
    operation: &Operation,
    memory: &mut Memory,
    observed: &Observed,
    metadata: Option<&PoolMetadata>,
    at: DecisionTime,
) -> Option<Decision> {
    let metadata = metadata?;
    let service = observed
        .service
        .as_ref()
        .filter(|service| operation.id.owns(&service.tags) && service.state != ServiceState::Inactive);
    if let Some(service) = service
        && service.state == ServiceState::Active
        && service.config.desired_count > 0
    {
        return Some(
            ensure_tasks_protected(operation, memory, observed, at)
                .unwrap_or_else(|| Decision::Act(vec![Step::ScaleServiceToZero])),
        );
    }
    let live: Vec<&Task> = observed
        .tasks
        .iter()
        .filter(|task| task.is_live() && crate::pool::model::evidence::OwnedTask::of(&operation.id, task).is_some())
        .collect();
    match retire(Drain::of(operation, metadata), memory, observed, DrainSet { tasks: &live, count: live.len() }, at) {
        DrainProgress::Done => {}
        DrainProgress::Pending(decision) => return Some(decision),
        DrainProgress::TimedOut { remaining } => {
            let reason = reasons::drain_timed_out(
                operation.wait_policy(),
                metadata.github_credential.as_ref(),
                observed,
                &remaining,
            );
            return Some(Decision::Respond(Outcome::failed(reason)));
        }
    }
    service.map(|service| match service.state {
        ServiceState::Active => Decision::Act(vec![Step::DeleteService]),
        ServiceState::Draining | ServiceState::Inactive => at.wait(WaitReason::ServiceDeletion, ObserveScope::Tasks),
    })
}

/// Removes the association, the capacity provider, the container instances and the group.
fn capacity_gone(
    operation: &Operation,
    observed: &Observed,
    metadata: Option<&PoolMetadata>,
    at: DecisionTime,
) -> Option<Decision> {
    if metadata.is_some_and(|metadata| metadata.external_capacity_provider.is_some()) {
        return None;
    }
    // Started first, since its instances take long to terminate, and only the group waits for it.
    let warm_pool = observed
        .group
        .as_ref()
        .filter(|group| operation.id.owns(&group.tags) && !group.is_being_deleted)
        .and_then(|group| group.warm_pool.as_ref());
    if warm_pool.is_some_and(|warm_pool| !warm_pool.is_being_deleted) {
        return Some(Decision::Act(vec![Step::DeleteWarmPool]));
    }
    let provider = observed.provider.as_ref().filter(|provider| operation.id.owns(&provider.tags));
    if let Some(cluster) = &observed.cluster
        && provider.is_some()
        && cluster.providers.iter().any(|name| name == operation.id.as_str())
    {
        return Some(if cluster.is_busy {
            at.wait(WaitReason::ClusterUpdateInProgress, ObserveScope::CapacityProvider)
        } else {
            Decision::Act(vec![Step::DetachCapacityProvider])
        });
    }
    match provider.map(|provider| &provider.state) {
        Some(ProviderState::Changing) => {
            return Some(at.wait(WaitReason::ProviderDeletion, ObserveScope::CapacityProvider));
        }
        Some(
            ProviderState::Active
            | ProviderState::Failed(_)
            | ProviderState::UpdateFailed(_)
            | ProviderState::DeleteFailed(_),
        ) => {
            return Some(if observed.cluster.as_ref().is_some_and(|cluster| cluster.is_busy) {
                at.wait(WaitReason::ProviderDetachment, ObserveScope::CapacityProvider)
            } else {
                Decision::Act(vec![Step::DeleteCapacityProvider])
            });
        }
        None => {}
    }
    // The agent of a terminating instance may register it again, so instances are deregistered until the group is gone.
    let strays = observed.instances.iter().map(|instance| Step::DeregisterInstance(instance.arn.clone()));
    let Some(group) = observed.group.as_ref().filter(|group| operation.id.owns(&group.tags)) else {
        let steps: Steps = strays.collect();
        return (!steps.is_empty()).then_some(Decision::Act(steps));
    };
    if group.is_being_deleted {
        return Some(at.wait(WaitReason::GroupDeletion, ObserveScope::AutoScalingGroup));
    }
    if warm_pool.is_some() {
        return Some(at.wait(WaitReason::WarmPoolDeletion, ObserveScope::AutoScalingGroup));
    }
    let mut steps = vec![Step::DeleteDrainingHook];
    steps.extend(emptying(group));
    steps.extend(strays);
    steps.push(Step::DeleteGroup);
    Some(Decision::Act(steps))
}

/// Releases the instances of the group.
fn emptying(group: &Group) -> Vec<Step> {
    let protected: Vec<String> = group
        .instances
        .iter()
        .filter(|instance| instance.protected_from_scale_in)
        .map(|instance| instance.id.clone())
        .collect();
    let mut steps = Vec::new();
    if group.config.max > 0 || group.desired > 0 || group.protects_new_instances {
        steps.push(Step::ScaleGroupToZero);
    }
    if !protected.is_empty() {
        steps.push(Step::UnprotectInstances(protected));
    }
    steps
}

/// Removes registrations that outlived their tasks.
fn registrations_gone(
    operation: &Operation,
    memory: &mut Memory,
    observed: &Observed,
    metadata: Option<&PoolMetadata>,
    at: DecisionTime,
) -> Option<Decision> {
    let metadata = metadata?;
    match &observed.github {
        GitHubRunners::Listed(runners) => {
            let ours: Vec<_> = runners.iter().filter(|runner| metadata.matcher.owns(runner)).collect();
            let orphans =
                ours.iter().filter_map(|runner| OrphanedRunner::of(&metadata.matcher, runner, &observed.tasks));
            let steps: Steps = orphans.map(Step::RemoveOrphanedRunner).collect();
            if !steps.is_empty() {
                return Some(Decision::Act(steps));
            }
            if ours.is_empty() {
                return None;
            }
            let since = *memory.orphans_since.get_or_insert(at.now);
            let is_patient = at.now < (since + STALE_REGISTRATION_WAIT_MAX).min(operation.respond_by);
            is_patient.then(|| at.wait(WaitReason::StaleRegistrations { n_runners: ours.len() }, ObserveScope::Runners))
        }
        // Nothing of the pool was there, as after a Create that found no connection either.
        GitHubRunners::Failed(_) if !memory.was_built && memory.is_unreachable_for_long(at.now) => None,
        GitHubRunners::Failed(remote_error) if remote_error.kind.is_retryable() => {
            Some(at.wait(WaitReason::RetryableError(remote_error.clone()), ObserveScope::Runners))
        }
        GitHubRunners::NotQueried => Some(at.requeue_now(WaitReason::FinalCheck, ObserveScope::Full)),
        GitHubRunners::NoCredential | GitHubRunners::Failed(_) => None,
    }
}

/// Deletes the task definitions, with the metadata by which a Delete finds what is left. If something may be left at
/// GitHub, the metadata is recorded first: the response that names it may never arrive.
fn task_definitions_gone(operation: &Operation, memory: &Memory, observed: &Observed) -> Option<Decision> {
    observed.task_definition.as_ref().filter(|revision| operation.id.owns(&revision.tags))?;
    let may_remain = !reasons::notes_of_remains(memory, observed).is_empty();
    let metadata = observed.metadata.as_ref().filter(|_| may_remain);
    let record = metadata.map(|metadata| Step::RecordRemains(Box::new(metadata.clone())));
    Some(Decision::Act(record.into_iter().chain([Step::DeleteTaskDefinitions]).collect()))
}
