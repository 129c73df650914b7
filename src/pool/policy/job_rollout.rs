//! A pool with as many runners as jobs: its runner scale set, and what its listener is to do. No ECS service: the listener
//! starts and retires runners, also while a request waits for them.

use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::Task;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{Observed, ObservedScaleSet};
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::scale_set::{ScaleSet, ScaleSetRequest};
use crate::pool::model::scaling::{ScalingGoal, ScalingMode, ScalingRecord};
use crate::pool::model::spec::JobScaling;
use crate::pool::model::step::Step;
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::causes;
use crate::pool::policy::infrastructure::{ServiceDependencies, all_tags};
use crate::pool::policy::online_wait;
use crate::pool::policy::online_wait::{OnlineWait, are_online};
use crate::pool::policy::reasons;
use crate::pool::policy::retirement::{Drain, DrainProgress, DrainSet, retire};
use crate::pool::policy::rollout::drain_timed_out_decision;
use crate::pool::policy::runner_counts::{n_online, room_for_new_runners};

/// Between two starts of the listener by one request: it takes its lease within seconds.
const LISTENER_START_INTERVAL: Duration = Duration::from_secs(30);

/// Tasks that end before one runner is online, before the request fails: as many as ECS's deployment circuit breaker counts
/// at the least. <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
const FAILED_TASKS_MAX: usize = 3;

/// The next step for the scale set and its runners, `None` when there is none to take.
pub(super) fn next_step(
    operation: &Operation,
    memory: &mut Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    dependencies: &ServiceDependencies,
    at: DecisionTime,
) -> Option<Decision> {
    let job_scaling = goal.spec.job_scaling.as_ref()?;
    let request = ScaleSetRequest::of(&operation.id, &goal.spec)?;
    let scale_set = match &observed.scale_set {
        ObservedScaleSet::Found(scale_set) => scale_set,
        ObservedScaleSet::Missing => return Some(Decision::Act(vec![Step::CreateScaleSet(request)])),
        ObservedScaleSet::Failed(no) => {
            return Some(at.wait(WaitReason::RetryableError(no.clone()), ObserveScope::Full));
        }
        ObservedScaleSet::NotQueried => return Some(at.requeue_now(WaitReason::FinalCheck, ObserveScope::Full)),
    };
    let mode = if dependencies.retires_all_tasks { ScalingMode::Paused } else { ScalingMode::Active };
    let wanted = scaling_goal(operation, goal, job_scaling, scale_set, dependencies, mode);
    publish(observed, wanted, at)
        .or_else(|| start_listener(memory, observed, at))
        .or_else(|| retire_all(operation, memory, goal, observed, dependencies, at))
        .or_else(|| wait_for_runners(operation, memory, goal, observed, at))
}

fn scaling_goal(
    operation: &Operation,
    goal: &ConvergeGoal,
    job_scaling: &JobScaling,
    scale_set: &ScaleSet,
    dependencies: &ServiceDependencies,
    mode: ScalingMode,
) -> ScalingGoal {
    ScalingGoal {
        request_id: operation.request.key(),
        mode,
        scale_set: scale_set.id,
        metadata: PoolMetadata::of(&operation.id, &goal.spec),
        min_runners: goal.spec.desired_count,
        max_runners: job_scaling.max_runners,
        task_definition: dependencies.task_definition.clone(),
        capacity_provider: dependencies.provider.clone(),
        distinct_instances: goal.spec.distinct_instances,
        tags: all_tags(operation, goal),
        wait_policy: goal.spec.wait_policy.clone(),
    }
}

/// Writes down what is wanted, so that the listener does it.
fn publish(observed: &Observed, wanted: ScalingGoal, at: DecisionTime) -> Option<Decision> {
    let record = match &observed.scaling {
        Some(found) if found.record.goal.is_same(&wanted) => return None,
        Some(found) if found.record.goal.mode != ScalingMode::Deleted => found.record.with_goal(wanted),
        Some(_) | None => ScalingRecord::new(wanted, at.now),
    };
    Some(Decision::Act(vec![Step::WriteScaling(Box::new(record))]))
}

/// Starts a listener where none is at work: the next tick would, up to a minute later.
fn start_listener(memory: &Memory, observed: &Observed, at: DecisionTime) -> Option<Decision> {
    let is_starting = memory.listener_started_at.is_some_and(|started| at.now.since(started) < LISTENER_START_INTERVAL);
    (!observed.is_listening && !is_starting).then(|| Decision::Act(vec![Step::StartListener]))
}

/// Retires every runner, where the group cannot change before they have left.
fn retire_all(
    operation: &Operation,
    memory: &mut Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    dependencies: &ServiceDependencies,
    at: DecisionTime,
) -> Option<Decision> {
    if !dependencies.retires_all_tasks {
        return None;
    }
    let metadata = PoolMetadata::of(&operation.id, &goal.spec);
    let live: Vec<&Task> = observed.tasks.iter().filter(|task| task.is_live()).collect();
    let leavers = DrainSet { tasks: &live, count: live.len() };
    match retire(Drain::of(operation, &metadata), memory, observed, leavers, at) {
        DrainProgress::Done => None,
        DrainProgress::Pending(decision) => Some(decision),
        DrainProgress::TimedOut { remaining } => Some(drain_timed_out_decision(goal, observed, &remaining)),
    }
}

/// Waits until the listener has its session and `MinRunners` are online, for `OnlineTimeout` at the longest.
fn wait_for_runners(
    operation: &Operation,
    memory: &mut Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    at: DecisionTime,
) -> Option<Decision> {
    let wanted = goal.spec.desired_count;
    let online = n_online(operation, goal, observed);
    let has_session = observed.scaling.as_ref().is_some_and(|found| found.record.progress.session.is_some());
    if has_session && are_online(online, wanted, observed) {
        return None;
    }
    let wait = OnlineWait::begin(operation, memory, goal, at);
    // Runners of the previous revision end with their jobs, which may take longer than any request.
    if wait.is_over && has_session && are_online(online, wanted.min(room_for_new_runners(goal, observed)), observed) {
        return None;
    }
    let why = if has_session {
        WaitReason::RunnersOnline { online: online.unwrap_or(0), wanted }
    } else {
        WaitReason::ListenerSession
    };
    let is_hopeless =
        online == Some(0) && causes::n_failed_tasks(operation, memory, goal, observed) >= FAILED_TASKS_MAX;
    if !wait.is_over && !is_hopeless {
        return Some(wait.next_look(why, at));
    }
    if !has_session {
        return Some(Decision::Respond(Outcome::failed(reasons::no_listener_session(goal))));
    }
    Some(online_wait::fail(operation, memory, goal, observed, why, at))
}
