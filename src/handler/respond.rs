//! The response to CloudFormation: sent once, and the same to every delivery of its request.
//!
//! A response is recorded before it is sent: another delivery of the same request repeats it, even if this invocation
//! ends in between. If it cannot be recorded, it is sent nevertheless, and recorded afterwards: the next request would
//! not know of an unrecorded SUCCESS, and another delivery of this one would continue to work.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};

use crate::cloudformation::response::{Response, Status};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::operation::Operation;
use crate::pool::model::operation_lock::{ObservedLock, OperationLock};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::request::RequestInfo;
use crate::pool::model::request::RequestType;
use crate::pool::model::time::Timestamp;
use crate::reconcile::apply::write_lock;
use crate::reconcile::chain;
use crate::reconcile::lookup::{self, DeletedPool};
use crate::reconcile::ports::{Clock, DeliveryError, RemoteResult, ResponseSender, World};
use crate::settings::Settings;

use super::budget::{DELIVERY_RECORDING_MAX, RECORDING_MAX, RECORDING_RETRY_DELAY};
use super::context::Context;

/// Used for a request whose signing time is unknown, so that no other request counts as newer.
pub(super) const UNKNOWN_SIGNING_TIME: Timestamp = Timestamp::from_epoch_millis(u64::MAX);

/// The recipient of a response.
pub(super) struct Requester {
    pub(super) request: RequestInfo,
    /// The physical id of the response, unless the work determines another one.
    pub(super) physical_id: String,
    /// When CloudFormation signed the request.
    pub(super) signed_at: Timestamp,
}

impl Requester {
    /// The requester of a resumed operation.
    pub(super) fn of_operation(operation: &Operation) -> Self {
        Self {
            request: operation.request.clone(),
            physical_id: operation.response_physical_id().to_owned(),
            signed_at: operation.signed_at,
        }
    }

    /// The requester of a continuation in which only this could be parsed.
    pub(super) const fn of_unsupported_continuation(request: RequestInfo, physical_id: String) -> Self {
        Self { request, physical_id, signed_at: UNKNOWN_SIGNING_TIME }
    }

    /// The span of the request's log lines.
    pub(super) fn span(&self) -> tracing::Span {
        tracing::info_span!(
            "request",
            request_id = self.request.request_id,
            logical_id = self.request.stack_resource.logical_id,
            physical_id = tracing::field::Empty,
        )
    }
}

/// Whether a response is recorded, so that other deliveries of the request repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recording {
    /// It is recorded before it is sent.
    Record,
    /// It is only sent, since the request changed nothing.
    Skip,
}

/// The response that every delivery of a request must send.
enum ResponseToSend {
    /// This one.
    Send(Vec<u8>),
    /// The one that another delivery recorded.
    Repeat(String),
    /// None: CloudFormation waits only for a newer request.
    None,
}

/// Sends the response to CloudFormation, or repeats the one that another delivery of the request recorded.
pub(super) async fn respond<W: World>(
    context: &Context<'_, W>,
    requester: &Requester,
    physical_id: &str,
    outcome: &Outcome,
    recording: Recording,
) -> Result<(), DeliveryError> {
    let body = response(context.settings, requester, physical_id, outcome).to_body();
    let recorded = match recording {
        Recording::Record => recorded_response(context.world, requester, outcome, &body).await,
        Recording::Skip => None,
    };
    let is_missing = recording == Recording::Record && recorded.is_none();
    match recorded.unwrap_or_else(|| ResponseToSend::Send(body.clone())) {
        ResponseToSend::Send(body) => {
            let delivered = deliver(context, requester, body.clone()).await;
            if delivered.is_err() {
                record_delivery(context.world, requester, false).await;
            } else if is_missing && context.world.clock().now() + RECORDING_MAX < context.budget.last_attempt_by() {
                recorded_response(context.world, requester, outcome, &body).await;
            }
            delivered
        }
        ResponseToSend::Repeat(body) => resend(context, requester, body).await,
        ResponseToSend::None => {
            tracing::info!(
                step = "superseded",
                "a newer request for this resource took over, so this one gets no response"
            );
            Ok(())
        }
    }
}

/// Sends a recorded response.
pub(super) async fn resend<W: World>(
    context: &Context<'_, W>,
    requester: &Requester,
    body: String,
) -> Result<(), DeliveryError> {
    tracing::info!(step = "respond", "this request had its response before, so that one is repeated");
    let delivered = deliver(context, requester, body.into_bytes()).await;
    record_delivery(context.world, requester, delivered.is_ok()).await;
    delivered
}

/// Records whether CloudFormation has accepted the response. If it never accepts the response to a Create, the
/// subsequent Delete has a physical id that CloudFormation generated.
async fn record_delivery<W: World>(world: &W, requester: &Requester, is_delivered: bool) {
    if requester.request.request_type != RequestType::Create {
        return;
    }
    let recorded = async {
        let (key, found) = lock_of(world, requester).await?;
        let is_wrong = |lock: &OperationLock| lock.is_of(&requester.request) && lock.is_undelivered() == is_delivered;
        match found.filter(|found| is_wrong(&found.lock)) {
            Some(found) => {
                let lock = found.lock.clone().delivered(is_delivered);
                write_lock(world, &key, Some(&found), &lock).await.map(drop)
            }
            None => Ok(()),
        }
    };
    let time_is_up = world.clock().sleep_until(world.clock().now() + DELIVERY_RECORDING_MAX);
    match select(std::pin::pin!(AssertUnwindSafe(recorded).catch_unwind()), std::pin::pin!(time_is_up)).await {
        Either::Left((Ok(Ok(())), _)) => {}
        Either::Left(..) | Either::Right(..) => tracing::warn!(step = "record_delivery", is_delivered),
    }
}

async fn deliver<W: World>(
    context: &Context<'_, W>,
    requester: &Requester,
    body: Vec<u8>,
) -> Result<(), DeliveryError> {
    let (sender, last_attempt_by) = (context.world.response_sender(), context.budget.last_attempt_by());
    let delivered = sender.deliver(&requester.request.response_url, body, last_attempt_by).await;
    if let Err(error) = &delivered {
        tracing::error!(step = "respond", "{error}");
    }
    delivered
}

/// The response that every delivery of the request sends: the recorded one, or else this one, which is recorded now.
/// `None` if recording failed with any error.
async fn recorded_response<W: World>(
    world: &W,
    requester: &Requester,
    outcome: &Outcome,
    body: &[u8],
) -> Option<ResponseToSend> {
    let text = std::str::from_utf8(body).ok()?;
    let time_is_up = world.clock().sleep_until(world.clock().now() + RECORDING_MAX);
    let attempts = async {
        let mut pause = RECORDING_RETRY_DELAY;
        loop {
            let attempt = AssertUnwindSafe(record_response(world, requester, outcome, text)).catch_unwind();
            match attempt.await {
                Ok(Ok(response_to_send)) => break response_to_send,
                Ok(Err(error)) => {
                    tracing::warn!(step = "record_response", kind = error.kind().name(), error = %chain(&error));
                }
                Err(_panic) => tracing::error!(step = "record_response", "panicked"),
            }
            world.clock().sleep_until(world.clock().now() + pause).await;
            pause = pause.saturating_mul(2);
        }
    };
    match select(std::pin::pin!(attempts), std::pin::pin!(time_is_up)).await {
        Either::Left((response_to_send, _)) => Some(response_to_send),
        Either::Right(((), _)) => {
            tracing::warn!(step = "record_response", "the response could not be recorded in time");
            None
        }
    }
}

/// The recorded response, or else this one, which is recorded now. For a request without a lock nothing is recorded
/// unless it failed, or deleted nothing; one that has lost its lock to a newer request gets no response.
async fn record_response<W: World>(
    world: &W,
    requester: &Requester,
    outcome: &Outcome,
    body: &str,
) -> RemoteResult<ResponseToSend> {
    loop {
        let (key, found) = lock_of(world, requester).await?;
        let this = ResponseToSend::Send(body.as_bytes().to_vec());
        let found_lock = found.as_ref().map(|found| &found.lock);
        if found_lock.is_some_and(|lock| lock.supersedes(&requester.request, requester.signed_at)) {
            return Ok(ResponseToSend::None);
        }
        let Some(lock) = lock_for_response(requester, outcome, found_lock) else { return Ok(this) };
        if let Some(earlier) = lock.response() {
            return Ok(ResponseToSend::Repeat(earlier.to_owned()));
        }
        // Another invocation has written the lock in the meantime, so read it and decide again.
        if write_lock(world, &key, found.as_ref(), &lock.with_response(body, outcome)).await?.is_some() {
            return Ok(this);
        }
    }
}

/// The lock in which a response is recorded: the request's own; or a new one, if the request failed before it could
/// acquire one, so that another delivery repeats that and does not try again, or if it found nothing to delete.
fn lock_for_response(requester: &Requester, outcome: &Outcome, found: Option<&OperationLock>) -> Option<OperationLock> {
    let (request, physical_id, signed_at) = (&requester.request, &requester.physical_id, requester.signed_at);
    match (found, outcome) {
        (Some(lock), _) if lock.is_of(request) => Some(lock.clone()),
        (Some(lock), Outcome::Failed { .. }) => lock.after_failure(request, physical_id, signed_at),
        (found, Outcome::Succeeded { .. })
            if request.request_type == RequestType::Delete && found.is_none_or(|lock| lock.response().is_some()) =>
        {
            OperationLock::of_empty_deletion(request, physical_id, signed_at)
        }
        (Some(_) | None, _) => None,
    }
}

/// The lock of a request, and its key.
pub(super) async fn lock_of<W: World>(
    world: &W,
    requester: &Requester,
) -> RemoteResult<(String, Option<ObservedLock>)> {
    let stack_resource = &requester.request.stack_resource;
    let is_deletion = requester.request.request_type == RequestType::Delete;
    let pool = PhysicalId::parse_for(stack_resource, &requester.physical_id).filter(|_| is_deletion);
    let deleted = pool.as_ref().map(|id| DeletedPool { id, current_pool: id.as_str(), has_pool_lock: false });
    let found = lookup::lock_of(world, stack_resource, deleted).await?;
    Ok((found.key, found.lock))
}

pub(super) fn log_response(outcome: &Outcome, took: Duration) {
    let seconds = took.as_secs_f64();
    match outcome {
        Outcome::Succeeded { notes, .. } => {
            tracing::info!(step = "respond", status = "SUCCESS", seconds, notes = ?notes);
        }
        Outcome::Failed { reason } => tracing::error!(step = "respond", status = "FAILED", seconds, reason),
    }
}

fn response(settings: &Settings, requester: &Requester, physical_id: &str, outcome: &Outcome) -> Response {
    let status = match outcome {
        Outcome::Succeeded { attributes, notes } => {
            Status::Success { data: attributes.clone(), note: (!notes.is_empty()).then(|| notes.join("; ")) }
        }
        Outcome::Failed { reason } => Status::Failed { reason: reason.clone() },
    };
    Response {
        status,
        physical_id: physical_id.to_owned(),
        stack_resource: requester.request.stack_resource.clone(),
        request_id: requester.request.request_id.clone(),
        log: settings.log.as_ref().map(|(group, stream)| format!("{group}/{stream}")),
    }
}
