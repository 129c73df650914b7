//! Rolls out the service: new runners come online, then old ones are retired without ending their jobs.

use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::{Deployment, Protection, RolloutState, Service, ServiceConfig, ServiceState, Task};
use crate::pool::model::evidence::{EmptyInstance, OrphanedRunner, OwnedTask};
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::spec::Capacity;
use crate::pool::model::step::{Step, Steps};
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::causes;
use crate::pool::policy::deployments::{
    failed_without_capacity, has_same_content, is_current, is_of_previous_deployment, primary,
};
use crate::pool::policy::infrastructure::{ServiceDependencies, all_tags};
use crate::pool::policy::online_wait;
use crate::pool::policy::online_wait::{OnlineWait, are_online};
use crate::pool::policy::reasons;
use crate::pool::policy::retirement::{Drain, DrainProgress, DrainSet, retire};
use crate::pool::policy::runner_counts::{n_online, online_among};
use crate::pool::policy::task_protection::protect_then_update;

/// `maximumPercent`: old and new runners live side by side, since an old one may have to finish its job first.
const MAXIMUM_PERCENT: u32 = 200;
/// What must be left of `OnlineTimeout` for a runner to leave before its successor comes: time to start on an instance
/// that runs and has the image, and to register. With less the Update would fail with a runner fewer than before.
const SUCCESSOR_TIME_MIN: Duration = Duration::from_secs(60);

/// What is wanted of an active service, and what was observed of it.
#[derive(Clone, Copy)]
struct Rollout<'round> {
    operation: &'round Operation,
    goal: &'round ConvergeGoal,
    metadata: &'round PoolMetadata,
    observed: &'round Observed,
    service: &'round Service,
    at: DecisionTime,
}

/// The next step for the service, `None` when there is none to take.
pub(super) fn next_step(
    operation: &Operation,
    memory: &mut Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    dependencies: &ServiceDependencies,
    at: DecisionTime,
) -> Option<Decision> {
    let service = match &observed.service {
        Some(service) if service.state == ServiceState::Active => service,
        Some(service) if service.state == ServiceState::Draining => {
            return Some(at.wait(WaitReason::ServiceDeletion, ObserveScope::Tasks));
        }
        Some(_) | None => {
            let config = desired_config(goal, dependencies, 0);
            let tags = all_tags(operation, goal);
            return Some(Decision::Act(vec![Step::CreateService { config, tags }]));
        }
    };
    let metadata = PoolMetadata::of(&operation.id, &goal.spec);
    let rollout = Rollout { operation, goal, metadata: &metadata, observed, service, at };
    update_service_config(rollout, memory, dependencies)
        .or_else(|| wait_for_online(rollout, memory))
        .or_else(|| retire_outdated(rollout, memory))
        .or_else(|| clean_up(operation, memory, goal, observed, at))
}

pub(super) fn desired_config(goal: &ConvergeGoal, dependencies: &ServiceDependencies, n_live: u32) -> ServiceConfig {
    // A fixed name can be used by one runner at a time: the old one leaves before the new one comes.
    let one_at_a_time = goal.spec.runner.name.is_some();
    ServiceConfig {
        task_definition: dependencies.task_definition.clone(),
        desired_count: goal.spec.desired_count,
        capacity_provider: Some(dependencies.provider.clone()),
        distinct_instances: goal.spec.distinct_instances,
        maximum_percent: if one_at_a_time { 100 } else { maximum_percent(goal.spec.desired_count, n_live) },
        minimum_healthy_percent: if one_at_a_time { 0 } else { 100 },
        circuit_breaker_without_rollback: true,
        az_rebalancing: false,
    }
}

/// Room for every wanted runner beside those that live now: protected ones of a larger pool must not keep the smaller
/// pool's new ones from starting.
fn maximum_percent(desired: u32, n_live: u32) -> u32 {
    let needed = n_live.saturating_add(desired).saturating_mul(100).div_ceil(desired.max(1));
    needed.max(MAXIMUM_PERCENT)
}

/// Updates the service to the desired configuration. A change that lets ECS stop tasks waits until all of them are
/// protected.
fn update_service_config(
    rollout: Rollout<'_>,
    memory: &mut Memory,
    dependencies: &ServiceDependencies,
) -> Option<Decision> {
    let Rollout { operation, goal, metadata, observed, service, at } = rollout;
    let live: Vec<&Task> = observed.tasks.iter().filter(|task| task.is_live()).collect();
    let mut wanted = desired_config(goal, dependencies, u32::try_from(live.len()).unwrap_or(u32::MAX));
    let deploys = service.config.task_definition != wanted.task_definition
        || service.config.capacity_provider != wanted.capacity_provider;
    if !deploys {
        // More room than needed does no harm, and taking it back would be a write for nothing.
        wanted.maximum_percent = wanted
            .maximum_percent
            .min(service.config.maximum_percent)
            .max(if goal.spec.runner.name.is_some() { 100 } else { MAXIMUM_PERCENT });
    }
    let has_fixed_name = goal.spec.runner.name.is_some();
    if dependencies.retires_all_tasks || deploys && has_fixed_name && !live.is_empty() {
        let lowered = ServiceConfig { desired_count: 0, ..service.config.clone() };
        if service.config != lowered {
            return Some(protect_then_update(operation, memory, observed, lowered, at));
        }
        let all = DrainSet { tasks: &live, count: live.len() };
        return match retire(Drain::of(operation, metadata), memory, observed, all, at) {
            DrainProgress::Done => None,
            DrainProgress::Pending(decision) => Some(decision),
            DrainProgress::TimedOut { remaining } => Some(drain_timed_out_decision(goal, observed, &remaining)),
        };
    }
    let lowers = wanted.desired_count < service.config.desired_count;
    let raised = service.config.maximum_percent >= wanted.maximum_percent && !deploys;
    let observed_config = ServiceConfig {
        maximum_percent: if raised { wanted.maximum_percent } else { service.config.maximum_percent },
        ..service.config.clone()
    };
    if observed_config == wanted {
        return None;
    }
    if deploys || lowers {
        return Some(protect_then_update(operation, memory, observed, wanted, at));
    }
    Some(Decision::Act(vec![Step::UpdateService(wanted)]))
}

/// Waits until the wanted number of runners is online.
fn wait_for_online(rollout: Rollout<'_>, memory: &mut Memory) -> Option<Decision> {
    let Rollout { operation, goal, observed, service, .. } = rollout;
    let wanted = goal.spec.desired_count;
    let online = n_online(operation, goal, observed);
    // Of any deployment: after a rollback, tasks of an earlier one run just what is wanted.
    let running = observed.tasks.iter().filter(|task| task.is_running() && is_current(service, task)).count();
    let is_steady = primary(service).is_none() || u32::try_from(running).is_ok_and(|running| running >= wanted);
    if is_steady && are_online(online, wanted, observed) {
        return None;
    }
    let decision = await_runners(rollout, memory, online.unwrap_or(0));
    // Old runners may leave as new ones come, so that a group without room for both makes progress; but not any more
    // once it is only to be found out why the new ones do not come.
    if matches!(decision, Decision::Wait { scope: ObserveScope::Runners, .. })
        && online.is_some()
        && let Some(decision @ (Decision::Act(_) | Decision::Wait { scope: ObserveScope::RunnerLogs, .. })) =
            retire_outdated(rollout, memory)
    {
        return Some(decision);
    }
    Some(decision)
}

/// Waits for runners to come online, for `OnlineTimeout` at the longest.
fn await_runners(rollout: Rollout<'_>, memory: &mut Memory, online: u32) -> Decision {
    let Rollout { operation, goal, observed, service, at, .. } = rollout;
    let wait = OnlineWait::begin(operation, memory, goal, at);
    let is_given_up = matches!(primary(service), Some(Deployment { rollout: RolloutState::Failed(_), .. }));
    let why = WaitReason::RunnersOnline { online, wanted: goal.spec.desired_count };
    if !is_given_up && !wait.is_over {
        return wait.next_look(why, at);
    }
    if observed.is_diagnosis
        && !wait.is_over
        && let Some(id) = failed_without_capacity(observed)
    {
        // Started again like any other failed deployment: a full group is no fault of the template's, and OnlineTimeout
        // is the time that it has to make room.
        memory.failed_deployments_before.get_or_insert_default().insert(id.to_owned());
        return at.requeue_now(why, ObserveScope::Full);
    }
    online_wait::fail(operation, memory, goal, observed, why, at)
}

/// Retires runners of older deployments, and those beyond the desired count.
fn retire_outdated(rollout: Rollout<'_>, memory: &mut Memory) -> Option<Decision> {
    let Rollout { operation, goal, metadata, observed, service, at } = rollout;
    let wanted = usize::try_from(goal.spec.desired_count).unwrap_or(usize::MAX);
    let live = observed.tasks.iter().filter(|task| task.is_live());
    let (current, old): (Vec<&Task>, Vec<&Task>) = live.partition(|task| is_current(service, task));
    // After a rollback, tasks of the wanted revision may belong to an earlier deployment. ECS starts the revision's
    // tasks anew and stops those as soon as nothing protects them, even where it rolls back itself, so they go like old
    // ones: https://github.com/aws/containers-roadmap/issues/117, https://github.com/aws/copilot-cli/issues/4838
    let (earlier, newest): (Vec<&Task>, Vec<&Task>) =
        current.iter().partition(|task| is_of_previous_deployment(service, task));
    let online = |tasks: &[&Task]| {
        let n = online_among(operation, goal, observed, tasks.iter().copied()).and_then(|n| usize::try_from(n).ok());
        // Without a word of GitHub the count of containers has to do.
        n.unwrap_or_else(|| tasks.iter().filter(|task| task.is_running()).count())
    };
    let (n_online, n_newest, n_old) = (online(&current), online(&newest), online(&old));
    // Where a group has no room for one more, one leaves before its successor comes; an old one only once it has been
    // shown that those come online.
    let is_full = observed.group.as_ref().is_none_or(|group| group.desired >= group.config.max)
        && newest.iter().any(|task| causes::has_no_instance(task));
    let online_by = memory.online_awaited_since.map(|since| since + goal.spec.wait_policy.online_timeout);
    let has_time = online_by.is_none_or(|by| at.now + SUCCESSOR_TIME_MIN <= by.min(operation.respond_by));
    let makes_room = |n_there: usize| usize::from(is_full && has_time && n_there >= wanted);
    // Or, in a rollback, once they have come online for an earlier request.
    let is_proven = n_online > 0
        || old.iter().any(|task| has_same_content(observed, service, task))
        || observed.lock.as_ref().is_some_and(|observed| observed.lock.has_succeeded_before());
    let old_makes_room = if is_proven { makes_room(n_online.saturating_add(n_old)) } else { 0 };
    let beyond = |tasks: &[&Task], n_there: usize| tasks.len().saturating_sub(wanted.saturating_sub(n_there));
    let surplus = if earlier.is_empty() { newest.len().saturating_sub(wanted) } else { 0 };
    let stages = [
        (&old, beyond(&old, n_online).max(old_makes_room).min(old.len())),
        (&earlier, beyond(&earlier, n_newest).max(makes_room(n_online)).min(earlier.len())),
        (&newest, surplus),
    ];
    for (tasks, count) in stages {
        match retire(Drain::of(operation, metadata), memory, observed, DrainSet { tasks, count }, at) {
            DrainProgress::Done => {}
            DrainProgress::Pending(decision) => {
                if n_online >= wanted {
                    // Any request that is waited for from here on makes up for one that leaves.
                    memory.online_awaited_since = None;
                }
                return Some(decision);
            }
            DrainProgress::TimedOut { remaining } => return Some(drain_timed_out_decision(goal, observed, &remaining)),
        }
    }
    let n_newest = u32::try_from(n_newest).unwrap_or(u32::MAX);
    (!earlier.is_empty()).then(|| await_runners(rollout, memory, n_newest))
}

pub(super) fn drain_timed_out_decision(goal: &ConvergeGoal, observed: &Observed, remaining: &[String]) -> Decision {
    let github_credential = goal.spec.credentials.github_credential.as_ref();
    Decision::Respond(Outcome::failed(reasons::drain_timed_out(
        &goal.spec.wait_policy,
        github_credential,
        observed,
        remaining,
    )))
}

/// Cleans up after all runners have been rolled out.
pub(super) fn clean_up(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    at: DecisionTime,
) -> Option<Decision> {
    let metadata = PoolMetadata::of(&operation.id, &goal.spec);
    let mut steps = Steps::new();
    let protected: Vec<OwnedTask> = observed
        .tasks
        .iter()
        .filter(|task| task.is_live() && matches!(task.protection, Protection::Until(_)))
        .filter(|task| !memory.may_work_unregistered(task, at.now))
        .filter_map(|task| OwnedTask::of(&operation.id, task))
        .collect();
    if !protected.is_empty() {
        steps.push(Step::UnprotectTasks(protected));
    }
    let orphans = orphans(observed, &metadata);
    let window = goal.spec.wait_policy.idle_confirmation;
    let read_at = observed.github_read.map_or(at.now, |reading| reading.began_at);
    let is_settled = |orphan: &OrphanedRunner| {
        memory.offline_since.get(&orphan.id()).is_some_and(|since| read_at.since(*since) >= window)
    };
    steps.extend(orphans.iter().filter(|orphan| is_settled(orphan)).cloned().map(Step::RemoveOrphanedRunner));
    if matches!(goal.spec.capacity, Capacity::Own(_)) {
        // Once each: ECS drains instances by itself as well, and refuses one that is no longer ACTIVE.
        let to_drain =
            outdated_idle_instances(observed).filter(|instance| !memory.drain_requested.contains(instance.arn()));
        steps.extend(to_drain.map(Step::DrainInstance));
    }
    if !steps.is_empty() {
        return Some(Decision::Act(steps));
    }
    // One offline reading proves nothing: a runner is offline between its registration and its first poll.
    (!orphans.is_empty())
        .then(|| at.wait(WaitReason::OrphanedRunners { n_runners: orphans.len() }, ObserveScope::Runners))
}

/// The pool's registrations that are offline and have no task.
fn orphans(observed: &Observed, metadata: &PoolMetadata) -> Vec<OrphanedRunner> {
    let GitHubRunners::Listed(runners) = &observed.github else { return Vec::new() };
    runners
        .iter()
        .filter(|runner| !runner.is_online)
        .filter_map(|runner| OrphanedRunner::of(&metadata.matcher, runner, &observed.tasks))
        .collect()
}

/// Instances of an older launch-template version that hold no task.
fn outdated_idle_instances(observed: &Observed) -> impl Iterator<Item = EmptyInstance> + '_ {
    let is_outdated = |id: &str| {
        observed.group.as_ref().is_some_and(|group| {
            group.instances.iter().any(|instance| {
                instance.id == id
                    && instance.template_version.is_some()
                    && instance.template_version != observed.template_version
            })
        })
    };
    observed
        .instances
        .iter()
        .filter(|instance| instance.is_active)
        .filter(move |instance| instance.ec2_instance_id.as_deref().is_some_and(is_outdated))
        .filter_map(|instance| EmptyInstance::of(instance, &observed.tasks))
}
