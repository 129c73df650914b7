//! One request, from its first look to its outcome or to the end of the invocation's time.

use std::time::Duration;

use super::apply::apply;
use super::chain;
use super::observe::{Session, observe};
use super::ports::{Clock, RemoteCallError, World};
use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::memory::StepResult;
use crate::pool::model::operation::Operation;
use crate::pool::model::operation_lock::{ObservedLock, Superseded};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::step::Step;
use crate::pool::model::time::DecisionTime;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::decide::decide;
use crate::pool::policy::locking::{must_lock_before_observing, preempts_unanswered};
use crate::pool::policy::warnings;

/// Rounds of one invocation. At the shortest sensible poll interval of a fifth of a second a whole invocation of
/// fifteen minutes has 4,500 looks; a loop that wants more than this is a bug, and is told as one.
const ROUNDS_MAX: u32 = 10_000;

/// How one invocation's work on a request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunResult {
    /// There is something to answer.
    Completed(Outcome),
    /// Somebody else goes on, or has answered.
    Superseded(Superseded),
    /// The invocation's time is over first.
    OutOfTime {
        /// What was being waited for.
        why: WaitReason,
    },
}

/// Works until there is an outcome or `until` has come. The continuation is brought up to date on the way, so that it
/// can be carried on from wherever this ends.
pub async fn reconcile_until<W: World>(
    world: &W,
    operation: &mut Operation,
    poll: Duration,
    until: Timestamp,
) -> RunResult {
    let mut session = Session::default();
    let mut scope = ObserveScope::Full;
    let (mut last_wait_logged, mut has_warned) = (None, false);
    for _ in 0..ROUNDS_MAX {
        let due = if must_lock_before_observing(operation) { ObserveScope::Lock } else { scope };
        // On the heap: a look is the largest part of an invocation, and is over before the next part begins.
        if let Err(error) = Box::pin(observe(world, operation, &mut session, due)).await {
            record_error(&mut session, error);
        }
        let at = DecisionTime { now: world.clock().now(), poll };
        let metadata = operation.metadata(&session.observed);
        operation.memory.record_observation(metadata.as_ref(), &session.observed, at);
        if session.observed.is_complete && !std::mem::replace(&mut has_warned, true) {
            for warning in warnings::collect(operation, &session.observed) {
                tracing::warn!(step = "preflight", "{warning}");
            }
        }
        match decide(operation, &session.observed, at) {
            Decision::Respond(outcome) => return RunResult::Completed(with_warnings(operation, &session, outcome)),
            Decision::Stop(why) => return RunResult::Superseded(why),
            Decision::Act(steps) => {
                last_wait_logged = None;
                let preempts_unanswered = preempts_unanswered(operation, &session.observed);
                let is_about_turns = steps.iter().all(|step| matches!(step, Step::AcquireLock(_) | Step::ReleaseLock));
                let (applied, ended) = apply(world, operation, &session, steps).await;
                let now = world.clock().now();
                for result in applied {
                    // Known without another look, which may be refused.
                    if let StepResult::LockAcquired { version } = result {
                        let previous = session.observed.lock.take().map(|observed| observed.lock);
                        session.observed.lock = Some(ObservedLock { lock: operation.lock(previous.as_ref()), version });
                    }
                    operation.record_step(result, now);
                }
                // Nothing else was changed by that, save by the one who had the turn until now.
                let rests_on_last_look = is_about_turns && !preempts_unanswered && session.observed.is_complete;
                scope = if rests_on_last_look { ObserveScope::Lock } else { ObserveScope::Full };
                if let Err(error) = ended {
                    // By the time that it is tried again, what was seen is old.
                    scope = ObserveScope::Full;
                    record_error(&mut session, error);
                    operation.memory.record_observation(None, &session.observed, DecisionTime { now, poll });
                    match decide(operation, &session.observed, DecisionTime { now, poll }) {
                        Decision::Respond(outcome) => {
                            return RunResult::Completed(with_warnings(operation, &session, outcome));
                        }
                        Decision::Stop(why) => return RunResult::Superseded(why),
                        Decision::Wait { until, .. } => world.clock().sleep_until(until).await,
                        Decision::Act(_) => {}
                    }
                }
            }
            Decision::Wait { why, until: moment, scope: next } => {
                if moment >= until {
                    return RunResult::OutOfTime { why };
                }
                let line = why.to_string();
                if last_wait_logged.as_ref() != Some(&line) {
                    tracing::info!(step = "wait", waiting_for = why.name(), "waiting for {line}");
                    last_wait_logged = Some(line);
                }
                world.clock().sleep_until(moment).await;
                scope = next;
            }
        }
    }
    RunResult::Completed(Outcome::failed(format!(
        "The pool {} did not settle in {ROUNDS_MAX} rounds, which is a defect of github-runner-pool: please report it \
         with the function's log.",
        operation.id
    )))
}

/// What may soon stand in the way is told whatever the outcome.
fn with_warnings(operation: &Operation, session: &Session, outcome: Outcome) -> Outcome {
    warnings::append_to(outcome, warnings::collect(operation, &session.observed))
}

fn record_error(session: &mut Session, error: RemoteCallError) {
    tracing::warn!(step = "refused", kind = error.kind().name(), remote_error = %chain(&error));
    session.observed.remote_error = Some(error.remote_error);
}
