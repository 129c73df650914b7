//! Scale-in protection of the pool's tasks: set before ECS could choose one to stop, lifted when nothing rests on it.
//!
//! - Every task that *runs* shows its protection in the observation that a lowering or a deployment rests on. One that
//!   starts after that is not protected and has no job: a runner takes longer to register than ECS to choose.
//! - `UpdateTaskProtection` answers 200 with failures in it. Each is remembered with its reason and asked for again.
//! - Protection is asked for 48 hours at once, and not renewed in a drain, where ECS would refuse it.
//! - Nothing protects from a lost instance or a reclaimed Spot one: the job is lost, the service starts another task, and
//!   the registration is left as an orphaned runner.

use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::{Protection, Service, ServiceConfig, ServiceState, Task};
use crate::pool::model::evidence::OwnedTask;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::Operation;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::OnDrainTimeout;
use crate::pool::model::step::Step;
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::deployments::is_current;
use crate::pool::policy::reasons;

/// The prefix of ECS's failure reason when it protects no more tasks, because the deployment could not complete.
const DEPLOYMENT_BLOCKED: &str = "DEPLOYMENT_BLOCKED";

/// The least `maximumPercent` that ECS takes beside a `minimumHealthyPercent` of 100.
const NARROWEST_MAXIMUM_PERCENT: u32 = 101;

/// How long protection must still last to be relied on for a drain: no request lasts longer.
const PROTECTION_LEFT_MIN: Duration = Duration::from_secs(2 * 3600);

/// Makes the change once every running task is protected from scale-in.
pub(super) fn protect_then_update(
    operation: &Operation,
    memory: &mut Memory,
    observed: &Observed,
    config: ServiceConfig,
    at: DecisionTime,
) -> Decision {
    match ensure_tasks_protected(operation, memory, observed, at) {
        Some(decision) => decision,
        // An observation of something else, such as a provider that changes, leaves the tasks as they were before it.
        None if !observed.is_complete => at.requeue_now(WaitReason::FinalCheck, ObserveScope::Full),
        None => Decision::Act(vec![Step::UpdateService(config)]),
    }
}

/// Protects what runs and is not protected; `None` once all are.
pub(in crate::pool) fn ensure_tasks_protected(
    operation: &Operation,
    memory: &mut Memory,
    observed: &Observed,
    at: DecisionTime,
) -> Option<Decision> {
    let is_open = |task: &&Task| {
        task.is_running()
            && match task.protection {
                Protection::Until(end) => end.since(at.now) < PROTECTION_LEFT_MIN,
                Protection::Off | Protection::Unknown => true,
            }
    };
    let open: Vec<OwnedTask> =
        observed.tasks.iter().filter(is_open).filter_map(|task| OwnedTask::of(&operation.id, task)).collect();
    if open.is_empty() {
        return None;
    }
    let refused = open.iter().find_map(|task| memory.unprotectable.get(task.arn())).cloned();
    let Some(reason) = refused else { return Some(Decision::Act(vec![Step::ProtectTasks(open)])) };
    memory.unprotectable.clear();
    if reason.starts_with(DEPLOYMENT_BLOCKED)
        && let Some(config) =
            observed.service.as_ref().and_then(|service| desired_count_for_protection(service, observed))
    {
        // Both in one round: the one task that a large service may start takes longer than that to displace another.
        return Some(Decision::Act(vec![Step::UpdateService(config), Step::ProtectTasks(open)]));
    }
    // Until the drain's time is over, a task that cannot be protected is not put at risk.
    let began = *memory.drain_started_at.get_or_insert(at.now);
    if at.now < began + operation.wait_policy().drain_timeout {
        return Some(at.wait(WaitReason::TaskProtection { n_tasks: open.len(), reason }, ObserveScope::Full));
    }
    match operation.wait_policy().on_drain_timeout {
        OnDrainTimeout::Cancel => None,
        OnDrainTimeout::Fail => {
            let reason = reasons::cannot_protect(operation.wait_policy(), open.len(), &reason);
            Some(Decision::Respond(Outcome::failed(reason)))
        }
    }
}

/// ECS protects no task of a service that has more protected ones than it wants, as after an Update that failed half
/// way. It is made to want all that live, and to stop none of them.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html>
///
/// ECS refuses 100 for both bounds, since no deployment could get anywhere. The upper one is rounded down to whole
/// tasks, so that 101 % allows none more below a hundred tasks, and one more in each hundred from there on. Such a task
/// displaces an older one only once it runs itself, and by then those that run are protected.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>
pub(super) fn desired_count_for_protection(service: &Service, observed: &Observed) -> Option<ServiceConfig> {
    let n_live = u32::try_from(observed.tasks.iter().filter(|task| task.is_live()).count()).unwrap_or(u32::MAX);
    (service.config.desired_count < n_live).then(|| ServiceConfig {
        desired_count: n_live,
        maximum_percent: NARROWEST_MAXIMUM_PERCENT,
        minimum_healthy_percent: 100,
        ..service.config.clone()
    })
}

/// The protection that a failed request leaves behind is lifted where ECS has no task to stop: every one is of the
/// newest deployment, and there are no more than wanted. Elsewhere it stays, for it is what keeps the jobs alive: the
/// rollback or the next try needs it, and it ends with that request, or after two days.
pub(in crate::pool) fn release_protection_after_failure(
    operation: &Operation,
    memory: &Memory,
    observed: &Observed,
) -> Option<Step> {
    let service = observed.service.as_ref().filter(|service| service.state == ServiceState::Active)?;
    let live: Vec<&Task> = observed.tasks.iter().filter(|task| task.is_live()).collect();
    let wanted = usize::try_from(service.config.desired_count).unwrap_or(usize::MAX);
    if live.len() > wanted || service.deployments.len() > 1 || !live.iter().all(|task| is_current(service, task)) {
        return None;
    }
    let lifted: Vec<OwnedTask> = live
        .into_iter()
        .filter(|task| memory.protected.contains(&task.arn))
        .filter_map(|task| OwnedTask::of(&operation.id, task))
        .collect();
    (!lifted.is_empty()).then_some(Step::UnprotectTasks(lifted))
}
