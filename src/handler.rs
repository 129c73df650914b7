//! One invocation: decode, guard, reconcile, answer or hand on.
//!
//! The law here: every request gets a response. A panic, an error and the end of Lambda's time all become one. An
//! invocation fails only where another delivery of its event helps: the response could not be delivered, or the rest of
//! the work could not be handed on; and where a request cannot be responded to at all, so that Lambda's retries, the
//! queue and its alarm show it. When Lambda has given up delivering, what is left comes back through a queue, and
//! becomes a FAILED answer (`on_failure`).

mod deletion;
mod goal;
mod inventory;
mod on_failure;
mod operation;
mod preview;
mod respond;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use serde_json::Value;
use tracing::Instrument as _;

use self::operation::{identity, run_operation, work};
use self::respond::{Requester, UNKNOWN_SIGNING_TIME, log_response, resend, respond};
use crate::cloudformation::envelope;
use crate::cloudformation::request::{CustomResourceRequest, ParsedEvent, parse};
use crate::cloudformation::response::NO_PHYSICAL_ID;
use crate::metrics::{self, Tally};
use crate::pool::model::continuation::{Continuation, ParsedContinuation};
use crate::pool::model::decision::WaitReason;
use crate::pool::model::operation::CONTINUATIONS_MAX;
use crate::pool::model::operation_lock::Superseded;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::reasons;
use crate::reconcile::chain;
use crate::reconcile::ports::{Clock, DeliveryError, RemoteCallError, SelfInvoker, World};
use crate::reconcile::run::RunResult;
use crate::settings::Settings;

/// Kept at the end of an invocation for the response and its retries.
const RESPONSE_MARGIN: Duration = Duration::from_secs(45);
/// Kept in front of that for the call that is under way, and for handing on.
const CALL_MARGIN: Duration = Duration::from_secs(30);
/// Between the last try to answer and Lambda's deadline.
const DEADLINE_MARGIN: Duration = Duration::from_secs(2);
/// How long an invocation is taken to last when its deadline makes no sense, as under `cargo lambda watch`.
const DEFAULT_INVOCATION_TIMEOUT: Duration = Duration::from_secs(900);
/// Between two tries to hand on.
const SELF_INVOKE_RETRY_DELAY: Duration = Duration::from_secs(5);
/// How long Lambda takes to deliver the event of a failed invocation again, twice at most: a minute, then two.
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>
const EVENT_RETRY_WINDOW: Duration = Duration::from_secs(180);

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
    /// CloudFormation did not take the response.
    #[error("the answer was not delivered")]
    ResponseNotDelivered(#[from] DeliveryError),
    /// The function could not be invoked to go on.
    #[error("the rest of the work was not handed on")]
    ContinuationNotSent(#[source] RemoteCallError),
    /// A stack may wait for a response, and there is nowhere to send one.
    #[error("the request cannot be answered: {0}")]
    Unanswerable(&'static str),
}

/// How the work of an invocation ends.
enum Completion {
    /// There is something to answer.
    Respond {
        physical_id: String,
        outcome: Outcome,
        /// Whether it is written down, so that another delivery of the request repeats it.
        is_recorded: bool,
        /// For the metrics.
        tally: Tally,
    },
    /// Somebody else goes on, or has answered.
    Stop(Superseded),
    /// There is more to do than this invocation has time for.
    Continue(Box<Continuation>, WaitReason),
}

impl Completion {
    fn respond(physical_id: impl Into<String>, outcome: Outcome, is_recorded: bool) -> Self {
        Self::Respond { physical_id: physical_id.into(), outcome, is_recorded, tally: Tally::default() }
    }
}

/// Works on one event. What it tells is for somebody who waits for the invocation's end, as with a plan or an
/// inventory; CloudFormation is told otherwise.
///
/// # Errors
/// When the event is worth another delivery.
pub async fn handle<W: World>(
    world: &W,
    settings: &Settings,
    event: &Value,
    invocation: &Invocation,
) -> Result<Value, HandleError> {
    if let Some(plan) = preview::handle(world, event).await {
        return Ok(plan);
    }
    if let Some(inventory) = inventory::handle(world, event).await {
        return Ok(inventory);
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
    let deadline = if invocation.deadline > now { invocation.deadline } else { now + DEFAULT_INVOCATION_TIMEOUT };
    let invocation = Invocation { deadline, ..invocation.clone() };
    let mut done = Ok(());
    for event in envelope::unwrap(event) {
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
    if let Some(record) = on_failure::parse(event) {
        return on_failure::respond_to_all(world, settings, &record, deadline).await;
    }
    match ParsedContinuation::read(event) {
        Some(ParsedContinuation::Supported(continuation)) => resume(world, settings, *continuation, invocation).await,
        Some(ParsedContinuation::UnsupportedVersion { request, id }) => {
            let requester = Requester { request, physical_id: id, signed_at: UNKNOWN_SIGNING_TIME };
            let outcome = Outcome::failed(reasons::UNSUPPORTED_CONTINUATION);
            async {
                let told = respond(world, settings, &requester, &requester.physical_id, &outcome, true, deadline).await;
                told.map_err(HandleError::from)
            }
            .instrument(span(&requester))
            .await
        }
        None => match parse(event) {
            ParsedEvent::Request(request) => start(world, settings, *request, invocation).await,
            ParsedEvent::Unanswerable(why) => {
                tracing::error!(step = "decode", "the request cannot be answered: {why}");
                Err(HandleError::Unanswerable(why))
            }
            ParsedEvent::NotARequest => {
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
async fn start<W: World>(
    world: &W,
    settings: &Settings,
    request: CustomResourceRequest,
    invocation: &Invocation,
) -> Result<(), HandleError> {
    let requester = requester(&request);
    async {
        tracing::info!(step = "start", request_type = ?request.kind);
        with_guards(world, settings, &requester, invocation, work(world, settings, &request, invocation.deadline)).await
    }
    .instrument(span(&requester))
    .await
}

/// Who is to be responded to, before any work has been done.
fn requester(request: &CustomResourceRequest) -> Requester {
    let physical_id = identity(request).or_else(|| request.physical_id().map(str::to_owned));
    Requester {
        request: goal::request_info(request),
        physical_id: physical_id.unwrap_or_else(|| NO_PHYSICAL_ID.to_owned()),
        signed_at: request.signed_at.unwrap_or(UNKNOWN_SIGNING_TIME),
    }
}

/// What an earlier invocation handed on.
async fn resume<W: World>(
    world: &W,
    settings: &Settings,
    mut continuation: Continuation,
    invocation: &Invocation,
) -> Result<(), HandleError> {
    let operation = &continuation.operation;
    let requester = Requester {
        request: operation.request.clone(),
        physical_id: operation.response_physical_id().to_owned(),
        signed_at: operation.signed_at,
    };
    let span = span(&requester);
    span.record("physical_id", operation.id.as_str());
    async {
        tracing::info!(step = "resume", continuation_count = continuation.operation.continuation_count);
        let work = async {
            let result = run_operation(world, settings, &mut continuation, invocation.deadline).await;
            completion(continuation, result, world.clock().now())
        };
        with_guards(world, settings, &requester, invocation, work).await
    }
    .instrument(span)
    .await
}

fn completion(continuation: Continuation, result: RunResult, now: Timestamp) -> Completion {
    match result {
        RunResult::Completed(outcome) => Completion::Respond {
            physical_id: continuation.operation.response_physical_id().to_owned(),
            // A Delete that fails before it acquires its lock still repeats what another delivery has written down.
            is_recorded: continuation.memory.lock_version.is_some() || matches!(outcome, Outcome::Failed { .. }),
            outcome,
            tally: Tally::of(&continuation, now),
        },
        RunResult::Superseded(why) => Completion::Stop(why),
        RunResult::OutOfTime { why } => Completion::Continue(Box::new(continuation), why),
    }
}

fn span(requester: &Requester) -> tracing::Span {
    tracing::info_span!(
        "request",
        request_id = requester.request.request_id,
        logical_id = requester.request.stack_resource.logical_id,
        physical_id = tracing::field::Empty,
    )
}

/// Lets `work` end in a response or in another invocation, whatever becomes of it.
async fn with_guards<W: World>(
    world: &W,
    settings: &Settings,
    requester: &Requester,
    invocation: &Invocation,
    work: impl Future<Output = Completion>,
) -> Result<(), HandleError> {
    let began = world.clock().now();
    let work = AssertUnwindSafe(work).catch_unwind();
    let guard = world.clock().sleep_until(invocation.deadline - RESPONSE_MARGIN);
    let done = match select(std::pin::pin!(work), std::pin::pin!(guard)).await {
        Either::Left((Ok(done), _)) => done,
        Either::Left((Err(_panic), _)) => internal_error(requester),
        Either::Right(((), _)) => {
            let reason = reasons::call_timed_out(world.clock().now().since(began));
            Completion::respond(requester.physical_id.clone(), Outcome::failed(reason), true)
        }
    };
    let done = match done {
        Completion::Continue(continuation, why) => {
            let handing_on = AssertUnwindSafe(continue_later(world, *continuation, &why, invocation)).catch_unwind();
            match handing_on.await.unwrap_or_else(|_panic| Ok(Some(internal_error(requester))))? {
                None => return Ok(()),
                Some(unable) => unable,
            }
        }
        told @ (Completion::Respond { .. } | Completion::Stop(_)) => told,
    };
    let (physical_id, outcome, is_recorded, tally) = match done {
        Completion::Respond { physical_id, outcome, is_recorded, tally } => (physical_id, outcome, is_recorded, tally),
        // CloudFormation waits for the newer one alone. This one may have been answered before, and then otherwise.
        Completion::Stop(Superseded::ByNewerRequest) => {
            tracing::info!(step = "superseded", "a newer request for this resource took over, so this one ends");
            return Ok(());
        }
        Completion::Stop(Superseded::AlreadyResponded(body)) => {
            return Ok(resend(world, requester, body, invocation.deadline).await?);
        }
        Completion::Stop(Superseded::ByOtherInvocation) | Completion::Continue(..) => {
            tracing::info!(step = "superseded", "another delivery of this request is at work, so this one ends");
            return Ok(());
        }
    };
    respond(world, settings, requester, &physical_id, &outcome, is_recorded, invocation.deadline).await?;
    log_response(&outcome, world.clock().now().since(began));
    metrics::request(requester.request.request_type, &outcome, &tally);
    Ok(())
}

fn internal_error(requester: &Requester) -> Completion {
    Completion::respond(requester.physical_id.clone(), Outcome::failed(reasons::INTERNAL_ERROR), true)
}

/// Lets another invocation go on, or tells why that cannot be.
async fn continue_later<W: World>(
    world: &W,
    mut continuation: Continuation,
    why: &WaitReason,
    invocation: &Invocation,
) -> Result<Option<Completion>, HandleError> {
    let count = &mut continuation.operation.continuation_count;
    *count = count.saturating_add(1);
    let operation = &continuation.operation;
    let unable =
        |reason| Ok(Some(Completion::respond(operation.response_physical_id(), Outcome::failed(reason), true)));
    if operation.continuation_count > CONTINUATIONS_MAX {
        return unable(reasons::too_many_continuations(operation, why));
    }
    loop {
        let Err(error) = world.self_invoker().invoke(&invocation.function, continuation.to_event()).await else {
            tracing::info!(
                step = "continue",
                continuation_count = operation.continuation_count,
                "still waiting for {why}"
            );
            return Ok(None);
        };
        tracing::warn!(step = "continue", kind = error.kind().name(), error = %chain(&error));
        let again_at = world.clock().now() + SELF_INVOKE_RETRY_DELAY;
        if !error.kind().is_retryable() {
            return unable(reasons::not_continued(operation, why, &error.remote_error));
        }
        if again_at < invocation.deadline - RESPONSE_MARGIN {
            world.clock().sleep_until(again_at).await;
        } else if again_at + EVENT_RETRY_WINDOW < operation.respond_by {
            // Lambda delivers this invocation's own event again, and what is there is where it goes on.
            return Err(HandleError::ContinuationNotSent(error));
        } else {
            return unable(reasons::not_continued(operation, why, &error.remote_error));
        }
    }
}

#[cfg(test)]
mod tests;
