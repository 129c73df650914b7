//! One invocation: decode, guard, reconcile, answer or hand on.
//!
//! The law here: whoever waits gets an answer. A panic, an error and the end of Lambda's time all become one. An
//! invocation fails only where another delivery of its event helps: the answer could not be delivered, or the rest of
//! the work could not be handed on; and where a request cannot be answered at all, so that Lambda's retries, the queue
//! and its alarm show it. When Lambda has given up delivering, what is left comes back through a queue, and becomes a
//! FAILED answer (`given_up`).

mod deletion;
mod given_up;
mod goal;
mod plan;
mod survey;
mod telling;
mod work;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use serde_json::Value;
use tracing::Instrument as _;

use self::telling::{Caller, NEVER_SUPERSEDED, answer, log_answer, repeat};
use self::work::{carry_out, identity, work};
use crate::cloudformation::envelope;
use crate::cloudformation::request::{Decoded, Request, decode};
use crate::cloudformation::response::NO_PHYSICAL_ID;
use crate::metrics::{self, Tally};
use crate::pool::continuation::{Continuation, HOPS_MAX, HandedOn};
use crate::pool::decision::{Outcome, Waiting};
use crate::pool::report;
use crate::pool::succession::Yield;
use crate::pool::time::Timestamp;
use crate::reconcile::chain;
use crate::reconcile::drive::End;
use crate::reconcile::ports::{CallError, Clock, DeliveryError, Later, World};
use crate::settings::Settings;

/// Kept at the end of an invocation for the answer and its retries.
const ANSWER_RESERVE: Duration = Duration::from_secs(45);
/// Kept in front of that for the call that is under way, and for handing on.
const CALL_RESERVE: Duration = Duration::from_secs(30);
/// Between the last try to answer and Lambda's deadline.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// How long an invocation is held to last when its deadline makes no sense, as under `cargo lambda watch`.
const INVOCATION_FALLBACK: Duration = Duration::from_secs(900);
/// Between two tries to hand on.
const HAND_ON_PAUSE: Duration = Duration::from_secs(5);
/// How long Lambda takes to deliver the event of a failed invocation again, twice at most: a minute, then two.
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>
const REDELIVERY: Duration = Duration::from_secs(180);

/// What Lambda says about this invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// When Lambda ends it.
    pub deadline: Timestamp,
    /// The ARN, with alias or version, or the name by which this function can be invoked again.
    pub function: String,
}

/// Why an invocation is to count as failed, so that Lambda delivers its event again.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// CloudFormation could not be told.
    #[error("the answer was not delivered")]
    NotAnswered(#[from] DeliveryError),
    /// The function could not be invoked to go on.
    #[error("the rest of the work was not handed on")]
    NotHandedOn(#[source] CallError),
    /// A stack may wait for a response, and there is nowhere to send one.
    #[error("the request cannot be answered: {0}")]
    NotAnswerable(&'static str),
}

/// How the work of an invocation ends.
enum Done {
    /// There is something to answer.
    Answer {
        physical_id: String,
        outcome: Outcome,
        /// Whether it is written down, so that another delivery of the request repeats it.
        is_recorded: bool,
        /// For the metrics.
        tally: Tally,
    },
    /// Somebody else goes on, or has answered.
    Yield(Yield),
    /// There is more to do than this invocation has time for.
    More(Box<Continuation>, Waiting),
}

impl Done {
    fn answer(physical_id: impl Into<String>, outcome: Outcome, is_recorded: bool) -> Self {
        Self::Answer { physical_id: physical_id.into(), outcome, is_recorded, tally: Tally::default() }
    }
}

/// Works on one event. What it tells is for somebody who waits for the invocation's end, as with a plan or a survey;
/// CloudFormation is told otherwise.
///
/// # Errors
/// When the event is worth another delivery.
pub async fn handle<W: World>(
    world: &W,
    settings: &Settings,
    event: &Value,
    invocation: &Invocation,
) -> Result<Value, HandleError> {
    if let Some(plan) = plan::answer(world, event).await {
        return Ok(plan);
    }
    if let Some(survey) = survey::answer(world, event).await {
        return Ok(survey);
    }
    dispatch(world, settings, event, invocation).await.map(|()| Value::Null)
}

async fn dispatch<W: World>(
    world: &W,
    settings: &Settings,
    event: &Value,
    invocation: &Invocation,
) -> Result<(), HandleError> {
    let now = world.clock().now();
    let deadline = if invocation.deadline > now { invocation.deadline } else { now + INVOCATION_FALLBACK };
    let invocation = Invocation { deadline, ..invocation.clone() };
    let mut done = Ok(());
    for event in envelope::opened(event) {
        // One that fails keeps no other from its response.
        done = done.and(Box::pin(one(world, settings, &event, &invocation)).await);
    }
    done
}

/// One event, out of its envelope.
async fn one<W: World>(
    world: &W,
    settings: &Settings,
    event: &Value,
    invocation: &Invocation,
) -> Result<(), HandleError> {
    let deadline = invocation.deadline;
    if let Some(record) = given_up::read(event) {
        return given_up::tell(world, settings, &record, deadline).await;
    }
    match HandedOn::read(event) {
        Some(HandedOn::Readable(held)) => go_on(world, settings, *held, invocation).await,
        Some(HandedOn::Unreadable { request, id }) => {
            let caller = Caller { request, physical_id: id, signed_at: NEVER_SUPERSEDED };
            let outcome = Outcome::failed(report::UNREADABLE);
            async {
                let told = answer(world, settings, &caller, &caller.physical_id, &outcome, true, deadline).await;
                told.map_err(HandleError::from)
            }
            .instrument(span(&caller))
            .await
        }
        None => match decode(event) {
            Decoded::Request(request) => begin(world, settings, *request, invocation).await,
            Decoded::Unanswerable(why) => {
                tracing::error!(step = "decode", "the request cannot be answered: {why}");
                Err(HandleError::NotAnswerable(why))
            }
            Decoded::NoRequest => {
                tracing::error!(
                    step = "decode",
                    "the event is no request of CloudFormation's, so there is nothing to answer"
                );
                Ok(())
            }
        },
    }
}

/// A request of CloudFormation's.
async fn begin<W: World>(
    world: &W,
    settings: &Settings,
    request: Request,
    invocation: &Invocation,
) -> Result<(), HandleError> {
    let caller = caller(&request);
    async {
        tracing::info!(step = "begin", request_type = ?request.kind);
        guarded(world, settings, &caller, invocation, work(world, settings, &request, invocation.deadline)).await
    }
    .instrument(span(&caller))
    .await
}

/// Who is to be answered, before any work has been done.
fn caller(request: &Request) -> Caller {
    let physical_id = identity(request).or_else(|| request.physical_id().map(str::to_owned));
    Caller {
        request: goal::asked(request),
        physical_id: physical_id.unwrap_or_else(|| NO_PHYSICAL_ID.to_owned()),
        signed_at: request.signed_at.unwrap_or(NEVER_SUPERSEDED),
    }
}

/// What an earlier invocation handed on.
async fn go_on<W: World>(
    world: &W,
    settings: &Settings,
    mut held: Continuation,
    invocation: &Invocation,
) -> Result<(), HandleError> {
    let caller = Caller {
        request: held.request.clone(),
        physical_id: held.answered_id().to_owned(),
        signed_at: held.accepted_at,
    };
    let span = span(&caller);
    span.record("physical_id", held.id.as_str());
    async {
        tracing::info!(step = "go_on", hop = held.hops);
        let work = async {
            let end = carry_out(world, settings, &mut held, invocation.deadline).await;
            done(held, end, world.clock().now())
        };
        guarded(world, settings, &caller, invocation, work).await
    }
    .instrument(span)
    .await
}

fn done(held: Continuation, end: End, now: Timestamp) -> Done {
    match end {
        End::Outcome(outcome) => Done::Answer {
            physical_id: held.answered_id().to_owned(),
            // A Delete that fails before it takes its turn still repeats what another delivery has written down.
            is_recorded: held.turn.is_some() || matches!(outcome, Outcome::Failed { .. }),
            outcome,
            tally: Tally::of(&held, now),
        },
        End::Yielded(why) => Done::Yield(why),
        End::OutOfTime { why } => Done::More(Box::new(held), why),
    }
}

fn span(caller: &Caller) -> tracing::Span {
    tracing::info_span!(
        "request",
        request_id = caller.request.request_id,
        logical_id = caller.request.origin.logical_id,
        physical_id = tracing::field::Empty,
    )
}

/// Lets `work` end in an answer or in another invocation, whatever becomes of it.
async fn guarded<W: World>(
    world: &W,
    settings: &Settings,
    caller: &Caller,
    invocation: &Invocation,
    work: impl Future<Output = Done>,
) -> Result<(), HandleError> {
    let began = world.clock().now();
    let work = AssertUnwindSafe(work).catch_unwind();
    let guard = world.clock().sleep_until(invocation.deadline - ANSWER_RESERVE);
    let done = match select(std::pin::pin!(work), std::pin::pin!(guard)).await {
        Either::Left((Ok(done), _)) => done,
        Either::Left((Err(_panic), _)) => defect(caller),
        Either::Right(((), _)) => {
            let reason = report::call_never_came_back(world.clock().now().since(began));
            Done::answer(caller.physical_id.clone(), Outcome::failed(reason), true)
        }
    };
    let done = match done {
        Done::More(held, why) => {
            let handing_on = AssertUnwindSafe(hand_on(world, *held, &why, invocation)).catch_unwind();
            match handing_on.await.unwrap_or_else(|_panic| Ok(Some(defect(caller))))? {
                None => return Ok(()),
                Some(unable) => unable,
            }
        }
        told @ (Done::Answer { .. } | Done::Yield(_)) => told,
    };
    let (physical_id, outcome, is_recorded, tally) = match done {
        Done::Answer { physical_id, outcome, is_recorded, tally } => (physical_id, outcome, is_recorded, tally),
        // CloudFormation waits for the newer one alone. This one may have been answered before, and then otherwise.
        Done::Yield(Yield::ToNewerRequest) => {
            tracing::info!(step = "yield", "a newer request for this resource took over, so this one ends");
            return Ok(());
        }
        Done::Yield(Yield::Answered(body)) => {
            return Ok(repeat(world, caller, body, invocation.deadline).await?);
        }
        Done::Yield(Yield::ToOtherDelivery) | Done::More(..) => {
            tracing::info!(step = "yield", "another delivery of this request is at work, so this one ends");
            return Ok(());
        }
    };
    answer(world, settings, caller, &physical_id, &outcome, is_recorded, invocation.deadline).await?;
    log_answer(&outcome, world.clock().now().since(began));
    metrics::request(caller.request.request_type, &outcome, &tally);
    Ok(())
}

fn defect(caller: &Caller) -> Done {
    Done::answer(caller.physical_id.clone(), Outcome::failed(report::DEFECT), true)
}

/// Lets another invocation go on, or tells why that cannot be.
async fn hand_on<W: World>(
    world: &W,
    mut held: Continuation,
    why: &Waiting,
    invocation: &Invocation,
) -> Result<Option<Done>, HandleError> {
    held.hops = held.hops.saturating_add(1);
    let unable =
        |held: &Continuation, reason| Ok(Some(Done::answer(held.answered_id(), Outcome::failed(reason), true)));
    if held.hops > HOPS_MAX {
        return unable(&held, report::too_many_hops(&held, why));
    }
    loop {
        let Err(error) = world.later().invoke(&invocation.function, held.to_event()).await else {
            tracing::info!(step = "hand_on", hop = held.hops, "still waiting for {why}");
            return Ok(None);
        };
        tracing::warn!(step = "hand_on", class = error.class().name(), refusal = %chain(&error));
        let again_at = world.clock().now() + HAND_ON_PAUSE;
        if !error.class().may_pass() {
            return unable(&held, report::not_handed_on(&held, why, &error.refusal));
        }
        if again_at < invocation.deadline - ANSWER_RESERVE {
            world.clock().sleep_until(again_at).await;
        } else if again_at + REDELIVERY < held.answer_by {
            // Lambda delivers this invocation's own event again, and what is there is where it goes on.
            return Err(HandleError::NotHandedOn(error));
        } else {
            return unable(&held, report::not_handed_on(&held, why, &error.refusal));
        }
    }
}

#[cfg(test)]
mod tests;
