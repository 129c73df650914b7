//! Events that Lambda has stopped retrying: they come back through the on-failure queue, and get a FAILED response.
//!
//! Lambda sends a record of an asynchronous event to the function's on-failure destination once every attempt has
//! failed or the event is too old. That cannot be the function itself, so it is a queue that triggers the function. A
//! record has the whole event, and in it the response URL: anyone who can read the queue can respond in the function's
//! place.
//!
//! Only the lock of the resource is read and written, because whatever made three invocations fail may fail this one as
//! well.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::context::Context;
use super::error::HandleError;
use super::event::{Event, InvocationRecord};
use super::operation::requester;
use super::respond::{Recording, Requester, lock_of, log_response, resend, respond};
use crate::cloudformation::properties::{RESPONSE_MARGIN, SERVICE_TIMEOUT_MAX};
use crate::metrics::{self, Tally};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::reasons;
use crate::reconcile::chain;
use crate::reconcile::ports::{Clock, World};

/// A request that CloudFormation may still wait for.
struct PendingRequest {
    requester: Requester,
    /// The number of invocations before the one that failed.
    continuation_count: u32,
    /// The latest time at which CloudFormation stops waiting.
    until: Timestamp,
}

/// Sends a FAILED response for each request in the record that CloudFormation still waits for.
///
/// # Errors
/// When a response could not be sent: the queue delivers the message again, and its age raises an alarm.
pub(super) async fn respond_to_all<W: World>(
    context: &Context<'_, W>,
    record: &InvocationRecord,
) -> Result<(), HandleError> {
    let mut result = Ok(());
    for event in Event::parse_all(&record.request_payload) {
        result = result.and(respond_to(context, record, event).await);
    }
    result
}

async fn respond_to<W: World>(
    context: &Context<'_, W>,
    record: &InvocationRecord,
    event: Event,
) -> Result<(), HandleError> {
    if let Event::NoResponseUrl(why) = event {
        tracing::error!(step = "on_failure", "no response can be sent: {why}");
        return Err(HandleError::NoResponseUrl(why));
    }
    if matches!(event, Event::Tick) {
        // The next tick, in a minute, does the same work.
        tracing::warn!(step = "on_failure", "a tick was not handled");
        return Ok(());
    }
    if matches!(event, Event::Launch(_)) {
        // The hook's timeout has released the instance by now, or soon will.
        tracing::warn!(step = "on_failure", "an instance was not let into its group");
        return Ok(());
    }
    let Some(pending) = PendingRequest::of(event, context.world.clock().now()) else {
        tracing::error!(step = "on_failure", "the event is no request, so there is nothing to respond to");
        return Ok(());
    };
    let span = pending.requester.span();
    respond_failed(context, record, &pending).instrument(span).await
}

async fn respond_failed<W: World>(
    context: &Context<'_, W>,
    record: &InvocationRecord,
    pending: &PendingRequest,
) -> Result<(), HandleError> {
    let (requester, attempts) = (&pending.requester, &record.request_context);
    tracing::error!(step = "on_failure", condition = attempts.condition, tries = attempts.approximate_invoke_count);
    if context.world.clock().now() >= pending.until {
        tracing::warn!(step = "on_failure", "CloudFormation no longer waits for this request");
        return Ok(());
    }
    let lock = match AssertUnwindSafe(lock_of(context.world, requester)).catch_unwind().await {
        Ok(Ok((_, found))) => found.map(|found| found.lock).filter(|lock| lock.is_of(&requester.request)),
        Ok(Err(error)) => {
            tracing::warn!(step = "on_failure", kind = error.kind().name(), error = %chain(&error));
            None
        }
        Err(_panic) => None,
    };
    if let Some(lock) = lock {
        if let Some(body) = lock.response() {
            return Ok(resend(context, requester, body.to_owned()).await?);
        }
        if lock.is_later_invocation_than(pending.continuation_count) {
            tracing::info!(step = "on_failure", "a later invocation goes on with this request");
            return Ok(());
        }
    }
    let error = record.response_payload.as_ref().and_then(|payload| payload.error_message.as_deref());
    let reason = reasons::retries_exhausted(&attempts.condition, attempts.approximate_invoke_count, error);
    let outcome = Outcome::failed(reason);
    respond(context, requester, &requester.physical_id, &outcome, Recording::Record).await?;
    log_response(&outcome, Duration::ZERO);
    metrics::request(requester.request.request_type, &outcome, &Tally::default());
    Ok(())
}

impl PendingRequest {
    /// `None` if the event is neither a request of CloudFormation nor a continuation of one.
    fn of(event: Event, now: Timestamp) -> Option<Self> {
        match event {
            Event::Request(request) => Some(Self {
                continuation_count: 0,
                until: request.signed_at.unwrap_or(now) + request.service_timeout.min(SERVICE_TIMEOUT_MAX),
                requester: requester(&request),
            }),
            Event::Continuation(continuation) => Some(Self {
                continuation_count: continuation.operation.continuation_count,
                until: continuation.operation.respond_by + RESPONSE_MARGIN,
                requester: Requester::of_operation(&continuation.operation),
            }),
            Event::UnsupportedContinuation { request, physical_id } => Some(Self {
                continuation_count: u32::MAX,
                until: now + RESPONSE_MARGIN,
                requester: Requester::of_unsupported_continuation(request, physical_id),
            }),
            Event::OnFailure(_)
            | Event::Preview(_)
            | Event::Status(_)
            | Event::Inventory
            | Event::Tick
            | Event::Listen
            | Event::Launch(_)
            | Event::Registrations(_)
            | Event::NoResponseUrl(_)
            | Event::Unknown => None,
        }
    }
}
