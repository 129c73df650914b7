//! The response to CloudFormation: sent once, and the same to every delivery of its request.
//!
//! A response is recorded before it is sent: a delivery of the same request that comes later, or that comes because this
//! invocation dies in between, repeats it. Where it cannot be recorded it is sent all the same, and recorded afterwards.
//! A SUCCESS that is sent and not recorded does not exist for the next request, and another delivery at work would go on.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};

use crate::cloudformation::response::{Response, Status};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::operation_lock::ObservedLock;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::request::RequestInfo;
use crate::pool::model::request::RequestType;
use crate::pool::model::time::Timestamp;
use crate::reconcile::chain;
use crate::reconcile::lookup::{self, DeletedPool};
use crate::reconcile::overwrite::{Overwritten, overwrite};
use crate::reconcile::ports::{Clock, DeliveryError, LockStore, RemoteResult, ResponseSender, World};
use crate::settings::Settings;

use super::DEADLINE_MARGIN;

/// Between the first two attempts to record a response; each further pause is twice as long.
const RECORDING_PAUSE: Duration = Duration::from_millis(500);
/// How long it may take to write down whether a response was taken: within [`DEADLINE_MARGIN`].
const DELIVERY_NOTE_MAX: Duration = Duration::from_secs(1);
/// How long recording a response may keep it from being sent, and the invocation from ending after that.
const RECORDING_MAX: Duration = Duration::from_secs(5);

/// Of a request that does not say when it was signed: no other one is considered newer.
pub(super) const UNKNOWN_SIGNING_TIME: Timestamp = Timestamp::from_epoch_millis(u64::MAX);

/// Who is to be responded to.
pub(super) struct Requester {
    pub(super) request: RequestInfo,
    /// The id to respond with when the work does not come to tell a better one.
    pub(super) physical_id: String,
    /// When CloudFormation signed the request.
    pub(super) signed_at: Timestamp,
}

/// What is to be sent.
enum ResponseToSend {
    /// This body.
    Send(Vec<u8>),
    /// This one, which another delivery has written down.
    Repeat(String),
    /// Nothing: a newer request is at work, and no one waits for this one.
    None,
}

/// Answers, with what had its response before if the request was.
pub(super) async fn respond<W: World>(
    world: &W,
    settings: &Settings,
    requester: &Requester,
    physical_id: &str,
    outcome: &Outcome,
    is_recorded: bool,
    deadline: Timestamp,
) -> Result<(), DeliveryError> {
    let body = response(settings, requester, physical_id, outcome).to_body();
    let recorded = if is_recorded { recorded_response(world, requester, outcome, &body).await } else { None };
    let is_missing = is_recorded && recorded.is_none();
    match recorded.unwrap_or_else(|| ResponseToSend::Send(body.clone())) {
        ResponseToSend::Send(body) => {
            let delivered = deliver(world, requester, body.clone(), deadline).await;
            if delivered.is_err() {
                note_delivery(world, requester, false).await;
            } else if is_missing && world.clock().now() + RECORDING_MAX < deadline - DEADLINE_MARGIN {
                recorded_response(world, requester, outcome, &body).await;
            }
            delivered
        }
        ResponseToSend::Repeat(body) => resend(world, requester, body, deadline).await,
        ResponseToSend::None => {
            tracing::info!(
                step = "superseded",
                "a newer request for this resource took over, so this one is not answered"
            );
            Ok(())
        }
    }
}

/// Sends a response that was written down.
pub(super) async fn resend<W: World>(
    world: &W,
    requester: &Requester,
    body: String,
    deadline: Timestamp,
) -> Result<(), DeliveryError> {
    tracing::info!(step = "respond", "this request was answered before, so that answer is repeated");
    let delivered = deliver(world, requester, body.into_bytes(), deadline).await;
    note_delivery(world, requester, delivered.is_ok()).await;
    delivered
}

/// Writes down that CloudFormation did not take a response, or that it has taken it after all. The Delete after a
/// Create whose answer was never taken carries an id that CloudFormation made up.
async fn note_delivery<W: World>(world: &W, requester: &Requester, is_delivered: bool) {
    if requester.request.request_type != RequestType::Create {
        return;
    }
    let noted = async {
        let (name, found) = lock_of(world, requester).await?;
        let lock = found.map(|found| found.lock);
        match lock.filter(|lock| lock.is_of(&requester.request) && lock.is_undelivered() == is_delivered) {
            Some(lock) => {
                world.lock_store().write_lock(&name, &lock.delivered(is_delivered).to_record()).await.map(drop)
            }
            None => Ok(()),
        }
    };
    let time_is_up = world.clock().sleep_until(world.clock().now() + DELIVERY_NOTE_MAX);
    match select(std::pin::pin!(AssertUnwindSafe(noted).catch_unwind()), std::pin::pin!(time_is_up)).await {
        Either::Left((Ok(Ok(())), _)) => {}
        Either::Left(..) | Either::Right(..) => tracing::warn!(step = "record_delivery", is_delivered),
    }
}

async fn deliver<W: World>(
    world: &W,
    requester: &Requester,
    body: Vec<u8>,
    deadline: Timestamp,
) -> Result<(), DeliveryError> {
    let delivered =
        world.response_sender().deliver(&requester.request.response_url, body, deadline - DEADLINE_MARGIN).await;
    if let Err(error) = &delivered {
        tracing::error!(step = "respond", "{error}");
    }
    delivered
}

/// The response that every delivery of the request gives: the one that is recorded, or else this one, recorded now.
/// `None` if it could not be recorded, whatever the error.
async fn recorded_response<W: World>(
    world: &W,
    requester: &Requester,
    outcome: &Outcome,
    body: &[u8],
) -> Option<ResponseToSend> {
    let text = std::str::from_utf8(body).ok()?;
    let time_is_up = world.clock().sleep_until(world.clock().now() + RECORDING_MAX);
    let attempts = async {
        let mut pause = RECORDING_PAUSE;
        loop {
            match record_response(world, requester, outcome, text).await {
                Ok(response_to_send) => break response_to_send,
                Err(error) => {
                    tracing::warn!(step = "record_response", kind = error.kind().name(), error = %chain(&error));
                }
            }
            world.clock().sleep_until(world.clock().now() + pause).await;
            pause = pause.saturating_mul(2);
        }
    };
    let attempts = AssertUnwindSafe(attempts).catch_unwind();
    match select(std::pin::pin!(attempts), std::pin::pin!(time_is_up)).await {
        Either::Left((Ok(response_to_send), _)) => Some(response_to_send),
        Either::Left((Err(_panic), _)) => None,
        Either::Right(((), _)) => {
            tracing::warn!(step = "record_response", "the response could not be recorded in time");
            None
        }
    }
}

/// The response that was written down, or this one, which is written down then. A request that has no lock writes
/// nothing unless it failed; one that has lost it to a newer request is not responded to.
async fn record_response<W: World>(
    world: &W,
    requester: &Requester,
    outcome: &Outcome,
    body: &str,
) -> RemoteResult<ResponseToSend> {
    let request = &requester.request;
    let this = ResponseToSend::Send(body.as_bytes().to_vec());
    let (name, found) = lock_of(world, requester).await?;
    let Some(lock) = found.as_ref().map(|found| found.lock.clone()) else { return Ok(this) };
    if lock.supersedes(request, requester.signed_at) {
        return Ok(ResponseToSend::None);
    }
    let lock = if lock.is_of(request) {
        lock
    } else {
        // It failed before it could acquire its lock. Another delivery is to repeat that, not to try again.
        match lock.after_failure(request, &requester.physical_id, requester.signed_at) {
            Some(own) if matches!(outcome, Outcome::Failed { .. }) => own,
            Some(_) | None => return Ok(this),
        }
    };
    if let Some(earlier) = lock.answer() {
        return Ok(ResponseToSend::Repeat(earlier.to_owned()));
    }
    let lock = lock.answered(body, outcome);
    let counts =
        |earlier: &ObservedLock| earlier.lock.is_of(request) || earlier.lock.supersedes(request, requester.signed_at);
    Ok(match overwrite(world, &name, found.as_ref(), &lock, counts).await? {
        Overwritten::Stored(_) => this,
        Overwritten::Restored(earlier) => match earlier.answer().filter(|_| earlier.is_of(request)) {
            Some(body) => ResponseToSend::Repeat(body.to_owned()),
            None => ResponseToSend::None,
        },
    })
}

/// The record that a request works by, and its name.
pub(super) async fn lock_of<W: World>(
    world: &W,
    requester: &Requester,
) -> RemoteResult<(String, Option<ObservedLock>)> {
    let stack_resource = &requester.request.stack_resource;
    let is_deletion = requester.request.request_type == RequestType::Delete;
    let pool = PhysicalId::parse_for(stack_resource, &requester.physical_id).filter(|_| is_deletion);
    let deleted = pool.as_ref().map(|id| DeletedPool { id, current_pool: id.as_str(), has_pool_lock: false });
    let found = lookup::lock_of(world, stack_resource, deleted).await?;
    Ok((found.name, found.lock))
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
