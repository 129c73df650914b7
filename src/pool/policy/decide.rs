//! Decides what to do next from the operation, the memory, the observation and the time. Pure and total.

use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{Goal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::{ErrorKind, RemoteError};
use crate::pool::model::step::Step;
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::locking::LockAction;
use crate::pool::policy::{convergence, deletion, locking, reasons, task_protection};

/// Errors in a row that are in no error table, before the request fails: enough to outlast a service's bad minute at
/// the default poll interval, few enough that a stack does not wait an hour on a bug.
const UNKNOWN_ERRORS_MAX: u32 = 12;

/// How long a task that IAM did not let the function stop or change may still be listed as running before that fails
/// the request. A role may bind both calls to tags, and those go with the task: ECS deletes them when it ends.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html>
const DENIED_RETRY_MAX: Duration = Duration::from_secs(60);

/// How long a service-linked role is waited for. AWS makes it with the first request that needs it, and it spreads
/// within a minute; one that is missing for longer was deleted, or may not be made, and only a person can help.
const SERVICE_ROLE_WAIT_MAX: Duration = Duration::from_secs(180);

/// How long calls may be under way whose request was preempted: those that it decided on before it reads the lock again.
/// A success is reported only by an observation after that, since such a call may create or change something of the pool.
const PREEMPTED_CALLS_MAX: Duration = Duration::from_secs(30);

/// The longest delay between two attempts after errors.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Decides on the next step, and what to remember of this round.
#[must_use]
pub fn decide(operation: &Operation, memory: &Memory, observed: &Observed, at: DecisionTime) -> (Memory, Decision) {
    if let Some(why) = locking::superseded_by(operation, memory, observed) {
        return (memory.clone(), Decision::Stop(why));
    }
    if let Some(remote_error) = &observed.remote_error {
        return (memory.clone(), handle_error(operation, memory, observed, remote_error, at));
    }
    if locking::must_lock_before_observing(operation, memory)
        && at.now < operation.respond_by
        && let LockAction::Acquire(step) = locking::before_write(operation, memory, observed)
    {
        return (memory.clone(), Decision::Act(vec![step]));
    }
    let (updated, decision) = pursue_goal(operation, memory, observed, at);
    let action = match &decision {
        // CloudFormation is about to time out, or has, so nothing new is started.
        _ if at.now >= operation.respond_by => LockAction::Proceed,
        Decision::Wait { why: WaitReason::FinalCheck, .. } | Decision::Stop(_) => LockAction::Proceed,
        Decision::Wait { .. } | Decision::Act(_) => locking::before_write(operation, memory, observed),
        Decision::Respond(_) => locking::before_response(operation, memory, observed),
    };
    match action {
        LockAction::Proceed => (updated, decision),
        // Decided again once the lock is acquired, so this round's memory is dropped.
        LockAction::Acquire(step) => (memory.clone(), Decision::Act(vec![step])),
        LockAction::Stop(why) => (updated, Decision::Stop(why)),
    }
}

/// The next step towards the goal, as the time allows it, whatever the state of the lock.
fn pursue_goal(operation: &Operation, memory: &Memory, observed: &Observed, at: DecisionTime) -> (Memory, Decision) {
    let mut memory = memory.clone();
    let decision = match &operation.goal {
        Goal::Converge(goal) => convergence::decide(operation, &mut memory, goal, observed, at),
        Goal::Delete(goal) => deletion::decide(operation, &mut memory, goal, observed, at),
    };
    if let Decision::Wait { why: WaitReason::RunnersDraining { busy, busy_by_log, .. }, .. } = &decision {
        let by_log = busy_by_log.iter().map(|(name, _)| name);
        memory.runners_waited_for.extend(busy.iter().chain(by_log).cloned());
    }
    let is_late = at.now >= operation.respond_by;
    let out_of_time = |why: &WaitReason| {
        Decision::Respond(Outcome::failed(reasons::out_of_time(operation, &memory, observed, why, at.now)))
    };
    let decision = match decision {
        Decision::Wait { why, .. } if is_late => out_of_time(&why),
        Decision::Act(steps) if is_late => {
            let next = steps.first().map_or("another observation", Step::name);
            out_of_time(&WaitReason::NextStep(next))
        }
        Decision::Wait { why, until, scope } => Decision::Wait { why, until: until.min(operation.respond_by), scope },
        Decision::Respond(Outcome::Succeeded { .. })
            if !is_late
                && let Some(until) = memory.preempted_at.map(|at| at + PREEMPTED_CALLS_MAX)
                && at.now < until =>
        {
            Decision::Wait { why: WaitReason::PreemptedCalls, until, scope: ObserveScope::Full }
        }
        Decision::Respond(Outcome::Failed { .. })
            if !is_late
                && matches!(operation.goal, Goal::Converge(_))
                && let Some(lift) = task_protection::release_protection_after_failure(operation, &memory, observed) =>
        {
            Decision::Act(vec![lift])
        }
        decision @ (Decision::Act(_) | Decision::Respond(_) | Decision::Stop(_)) => decision,
    };
    (memory, decision)
}

/// Whether a denial may only say that the task has ended, so that the next observation does without the call.
fn may_concern_ended_task(memory: &Memory, remote_error: &RemoteError, at: DecisionTime) -> bool {
    let denied_since = &memory.denied_since;
    remote_error.kind == ErrorKind::Denied
        && matches!(remote_error.operation.as_str(), "StopTask" | "UpdateTaskProtection")
        && !denied_since.is_empty()
        && denied_since.values().all(|since| at.now.since(*since) < DENIED_RETRY_MAX)
}

/// Handles a failed call: retries if it may succeed later, otherwise fails the request.
fn handle_error(
    operation: &Operation,
    memory: &Memory,
    observed: &Observed,
    remote_error: &RemoteError,
    at: DecisionTime,
) -> Decision {
    let waiting = WaitReason::RetryableError(remote_error.clone());
    if at.now >= operation.respond_by {
        return Decision::Respond(Outcome::failed(reasons::out_of_time(operation, memory, observed, &waiting, at.now)));
    }
    let unexpected_for_long =
        remote_error.kind == ErrorKind::Unexpected && memory.n_errors_in_a_row > UNKNOWN_ERRORS_MAX;
    if !remote_error.kind.is_retryable() && !may_concern_ended_task(memory, remote_error, at) || unexpected_for_long {
        return Decision::Respond(Outcome::failed(reasons::remote_error(operation, remote_error)));
    }
    if let Some(principal) = remote_error.missing_role() {
        let since = memory.service_role_awaited_since.get(principal).copied().unwrap_or(at.now);
        let waited = at.now.since(since);
        if waited >= SERVICE_ROLE_WAIT_MAX {
            let reason = reasons::no_service_linked_role(operation, principal, remote_error, waited);
            return Decision::Respond(Outcome::failed(reason));
        }
    }
    let asked = match remote_error.kind {
        ErrorKind::Throttled { retry_after } => retry_after.unwrap_or(at.poll),
        ErrorKind::Unavailable
        | ErrorKind::Unreachable
        | ErrorKind::Conflict
        | ErrorKind::Unauthenticated
        | ErrorKind::Denied
        | ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::Unexpected => at.poll,
    };
    // Each further error doubles the delay, so as not to overload a failing service.
    let doubled = at.poll.saturating_mul(1 << memory.n_errors_in_a_row.saturating_sub(1).min(6));
    let until = at.now + asked.max(doubled).min(BACKOFF_MAX.max(asked));
    Decision::Wait { why: waiting, until: until.min(operation.respond_by), scope: ObserveScope::Full }
}
