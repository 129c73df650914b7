//! Works on one request until its outcome or until the invocation runs out of time.

use std::time::Duration;

use super::apply::apply;
use super::log_error;
use super::observe::observe;
use super::ports::{Clock, RemoteCallError, World};
use super::session::Session;
use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::memory::StepResult;
use crate::pool::model::operation_lock::{ObservedLock, Superseded};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::step::{Step, Steps};
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::decide::decide;
use crate::pool::policy::locking::must_lock_before_observing;
use crate::pool::policy::{reasons, warnings};

/// Maximum rounds of one invocation. At the shortest reasonable poll interval of a fifth of a second, an invocation of
/// fifteen minutes makes 4,500 observations; a loop that needs more is reported as a defect.
const ROUNDS_MAX: u32 = 10_000;

/// The result of one invocation's work on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunResult {
    /// The request has an outcome.
    Completed(Outcome),
    /// Another invocation continues, or has responded.
    Superseded(Superseded),
    /// The invocation ran out of time.
    OutOfTime {
        /// What was being waited for.
        why: WaitReason,
    },
}

/// Works until there is an outcome or `until` is reached. Keeps the continuation up to date, so that the next
/// invocation can resume from there. `function` is the ARN or name by which the function invokes itself.
pub async fn reconcile_until<W: World>(
    world: &W,
    continuation: &mut Continuation,
    function: &str,
    poll: Duration,
    until: Timestamp,
) -> RunResult {
    let mut session = Session::of(function);
    let mut scope = ObserveScope::Full;
    let (mut last_wait_logged, mut has_warned) = (None, false);
    for _ in 0..ROUNDS_MAX {
        if must_lock_before_observing(&continuation.operation, &continuation.memory) {
            scope = ObserveScope::Lock;
        }
        // Boxed: an observation has the largest future of an invocation, and is dropped before the next part begins.
        if let Err(error) = Box::pin(observe(world, continuation, &mut session, scope)).await {
            log_error(&error);
            session.observed.remote_error = Some(error.remote_error);
        }
        let at = DecisionTime { now: world.clock().now(), poll };
        continuation.memory.record_observation(&session.observed, at);
        if session.observed.is_complete && !std::mem::replace(&mut has_warned, true) {
            for warning in warnings::collect(&continuation.operation, &continuation.memory, &session.observed) {
                tracing::warn!(step = "preflight", "{warning}");
            }
        }
        match decide_and_remember(continuation, &session, at) {
            Decision::Respond(outcome) => return completed(continuation, &session, outcome),
            Decision::Stop(why) => return RunResult::Superseded(why),
            Decision::Act(steps) => {
                last_wait_logged = None;
                scope = match act(world, continuation, &mut session, steps).await {
                    Ok(scope) => scope,
                    Err(error) => {
                        log_error(&error);
                        let at = DecisionTime { now: world.clock().now(), poll };
                        continuation.memory.record_error(&error.remote_error, at.now);
                        session.observed.remote_error = Some(error.remote_error);
                        match decide_and_remember(continuation, &session, at) {
                            Decision::Respond(outcome) => return completed(continuation, &session, outcome),
                            Decision::Stop(why) => return RunResult::Superseded(why),
                            Decision::Wait { why, until: moment, .. } if moment >= until => {
                                return RunResult::OutOfTime { why };
                            }
                            Decision::Wait { until: moment, .. } => world.clock().sleep_until(moment).await,
                            Decision::Act(_) => {}
                        }
                        // The observation is out of date by the time of the next attempt.
                        ObserveScope::Full
                    }
                };
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
    RunResult::Completed(Outcome::failed(reasons::too_many_rounds(&continuation.operation.id, ROUNDS_MAX)))
}

fn decide_and_remember(continuation: &mut Continuation, session: &Session, at: DecisionTime) -> Decision {
    let (memory, decision) = decide(&continuation.operation, &continuation.memory, &session.observed, at);
    continuation.memory = memory;
    decision
}

/// Applies the steps, and returns what to observe after them.
async fn act<W: World>(
    world: &W,
    continuation: &mut Continuation,
    session: &mut Session,
    steps: Steps,
) -> Result<ObserveScope, RemoteCallError> {
    let mut may_have_changed = false;
    let is_about_lock = steps.iter().all(|step| matches!(step, Step::AcquireLock(_)));
    let (results, ended) = apply(world, continuation, session, steps).await;
    let now = world.clock().now();
    for result in results {
        // The request that had the lock, or has written it since, may have changed the pool after it was observed.
        may_have_changed |=
            matches!(result, StepResult::LockLost | StepResult::LockAcquired { is_preemption: true, .. });
        // This is known without another observation, which might fail.
        if let StepResult::LockAcquired { version, .. } = result {
            let previous = session.observed.lock.take().map(|observed| observed.lock);
            let lock = continuation.operation.lock(previous.as_ref());
            session.observed.lock = Some(ObservedLock { lock, version });
        }
        continuation.memory.record_step(result, now);
    }
    ended?;
    // The lock itself changed nothing else.
    let is_up_to_date = is_about_lock && !may_have_changed && session.observed.is_complete;
    Ok(if is_up_to_date { ObserveScope::Lock } else { ObserveScope::Full })
}

/// The outcome, with its warnings.
fn completed(continuation: &Continuation, session: &Session, outcome: Outcome) -> RunResult {
    let warnings = warnings::collect(&continuation.operation, &continuation.memory, &session.observed);
    RunResult::Completed(warnings::append_to(outcome, warnings))
}
