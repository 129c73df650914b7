//! One request, from its first look to its outcome or to the end of the invocation's time.

use std::time::Duration;

use super::apply::apply;
use super::chain;
use super::observe::{Session, observe};
use super::ports::{CallError, Clock, World};
use crate::pool::continuation::{Applied, Continuation};
use crate::pool::decision::{Decision, Look, Moment, Outcome, Waiting, decide};
use crate::pool::plan::Step;
use crate::pool::succession::{SeenTurn, Turn, Yield, interrupts, takes_turn_first};
use crate::pool::time::Timestamp;
use crate::pool::warnings;

/// Rounds of one invocation. At the shortest sensible poll interval of a fifth of a second a whole invocation of
/// fifteen minutes has 4,500 looks; a loop that wants more than this is a bug, and is told as one.
const ROUNDS_MAX: u32 = 10_000;

/// How one invocation's work on a request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// There is something to answer.
    Outcome(Outcome),
    /// Somebody else goes on, or has answered.
    Yielded(Yield),
    /// The invocation's time is over first.
    OutOfTime {
        /// What was being waited for.
        why: Waiting,
    },
}

/// Works until there is an outcome or `until` has come. The continuation is brought up to date on the way, so that it
/// can be carried on from wherever this ends.
pub async fn drive<W: World>(world: &W, held: &mut Continuation, poll: Duration, until: Timestamp) -> End {
    let mut session = Session::default();
    let mut look = Look::Everything;
    let (mut said, mut has_warned) = (None, false);
    for _ in 0..ROUNDS_MAX {
        let due = if takes_turn_first(held) { Look::Turn } else { look };
        // On the heap: a look is the largest part of an invocation, and is over before the next part begins.
        if let Err(error) = Box::pin(observe(world, held, &mut session, due)).await {
            refused(&mut session, error);
        }
        let at = Moment { now: world.clock().now(), poll };
        let record = held.record(&session.seen);
        held.memory.note_look(record.as_ref(), &session.seen, at);
        if session.seen.is_complete && !std::mem::replace(&mut has_warned, true) {
            for warning in warnings::of(held, &session.seen) {
                tracing::warn!(step = "preflight", "{warning}");
            }
        }
        match decide(held, &session.seen, at) {
            Decision::Answer(outcome) => return End::Outcome(told(held, &session, outcome)),
            Decision::Yield(why) => return End::Yielded(why),
            Decision::Act(plan) => {
                said = None;
                let interrupts = interrupts(held, &session.seen);
                let is_about_turns = plan.iter().all(|step| matches!(step, Step::TakeTurn(_) | Step::ReleaseTurn));
                let (applied, ended) = apply(world, held, &session, plan).await;
                let now = world.clock().now();
                for told in applied {
                    // Known without another look, which may be refused.
                    if let Applied::TurnTaken { version } = told {
                        let previous = session.seen.turn.take().map(|seen| seen.turn);
                        session.seen.turn = Some(SeenTurn { turn: Turn::of(held, previous.as_ref()), version });
                    }
                    held.note_applied(told, now);
                }
                // Nothing else was changed by that, save by the one who had the turn until now.
                let rests_on_last_look = is_about_turns && !interrupts && session.seen.is_complete;
                look = if rests_on_last_look { Look::Turn } else { Look::Everything };
                if let Err(error) = ended {
                    // By the time that it is tried again, what was seen is old.
                    look = Look::Everything;
                    refused(&mut session, error);
                    held.memory.note_look(None, &session.seen, Moment { now, poll });
                    match decide(held, &session.seen, Moment { now, poll }) {
                        Decision::Answer(outcome) => return End::Outcome(told(held, &session, outcome)),
                        Decision::Yield(why) => return End::Yielded(why),
                        Decision::Wait { until, .. } => world.clock().sleep_until(until).await,
                        Decision::Act(_) => {}
                    }
                }
            }
            Decision::Wait { why, until: moment, look: next } => {
                if moment >= until {
                    return End::OutOfTime { why };
                }
                let line = why.to_string();
                if said.as_ref() != Some(&line) {
                    tracing::info!(step = "wait", waiting_for = why.name(), "waiting for {line}");
                    said = Some(line);
                }
                world.clock().sleep_until(moment).await;
                look = next;
            }
        }
    }
    End::Outcome(Outcome::failed(format!(
        "The pool {} did not settle in {ROUNDS_MAX} rounds, which is a defect of github-runner-pool: please report it \
         with the function's log.",
        held.id
    )))
}

/// What may soon stand in the way is told whatever the outcome.
fn told(held: &Continuation, session: &Session, outcome: Outcome) -> Outcome {
    warnings::beside(outcome, warnings::of(held, &session.seen))
}

fn refused(session: &mut Session, error: CallError) {
    tracing::warn!(step = "refused", class = error.class().name(), refusal = %chain(&error));
    session.seen.refusal = Some(error.refusal);
}
