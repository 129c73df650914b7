//! What Lambda gave up delivering: it comes back through the on-failure queue, and becomes a FAILED answer.
//!
//! Lambda sends a record of an asynchronous event that failed every try, or grew too old, to the function's on-failure
//! destination. That cannot be the function itself, so it is a queue that triggers the function. A record holds the
//! whole event, and in it the response URL: whoever can read the queue can respond in the function's name.
//!
//! Nothing is read or changed here but the record of who works for the resource, because whatever made three
//! invocations fail may do so again.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument as _;

use super::respond::{Requester, UNKNOWN_SIGNING_TIME, lock_of, log_response, resend, respond};
use super::{HandleError, requester, span};
use crate::cloudformation::envelope;
use crate::cloudformation::properties::{RESPONSE_MARGIN, SERVICE_TIMEOUT_MAX};
use crate::cloudformation::request::{self, ParsedEvent};
use crate::metrics::{self, Tally};
use crate::pool::model::continuation::ParsedContinuation;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::reasons;
use crate::reconcile::chain;
use crate::reconcile::ports::{Clock, World};
use crate::settings::Settings;

/// What Lambda tells of an event that it gave up.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InvocationRecord {
    request_context: RequestContext,
    request_payload: Value,
    response_payload: Option<ResponsePayload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    condition: String,
    approximate_invoke_count: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponsePayload {
    error_message: Option<String>,
}

/// Somebody who may still wait.
struct PendingRequest {
    requester: Requester,
    /// Invocations before the one that was given up.
    continuation_count: u32,
    /// When CloudFormation stops waiting, at the latest.
    until: Timestamp,
}

/// Reads a message of the queue; `None` if it is no record of Lambda's.
pub(super) fn parse(event: &Value) -> Option<InvocationRecord> {
    InvocationRecord::deserialize(event).ok()
}

/// Answers those who still wait.
///
/// # Errors
/// When one of them could not be told: the queue delivers the message again, and its age raises an alarm.
pub(super) async fn respond_to_all<W: World>(
    world: &W,
    settings: &Settings,
    record: &InvocationRecord,
    deadline: Timestamp,
) -> Result<(), HandleError> {
    let mut done = Ok(());
    for event in envelope::unwrap(&record.request_payload) {
        let pending = match pending_request(&event, world.clock().now()) {
            Ok(Some(pending_request)) => {
                let span = span(&pending_request.requester);
                respond_failed(world, settings, record, &pending_request, deadline).instrument(span).await
            }
            Ok(None) => {
                tracing::error!(step = "on_failure", "what was given up is no request, so there is nothing to answer");
                Ok(())
            }
            Err(why) => {
                tracing::error!(step = "on_failure", "the request cannot be answered: {why}");
                Err(HandleError::Unanswerable(why))
            }
        };
        done = done.and(pending);
    }
    done
}

async fn respond_failed<W: World>(
    world: &W,
    settings: &Settings,
    record: &InvocationRecord,
    pending_request: &PendingRequest,
    deadline: Timestamp,
) -> Result<(), HandleError> {
    let (requester, context) = (&pending_request.requester, &record.request_context);
    tracing::error!(step = "on_failure", condition = context.condition, tries = context.approximate_invoke_count);
    if world.clock().now() >= pending_request.until {
        tracing::warn!(step = "on_failure", "CloudFormation no longer waits for this request");
        return Ok(());
    }
    let lock = match AssertUnwindSafe(lock_of(world, requester)).catch_unwind().await {
        Ok(Ok((_, found))) => found.map(|found| found.lock).filter(|lock| lock.is_of(&requester.request)),
        Ok(Err(error)) => {
            tracing::warn!(step = "on_failure", kind = error.kind().name(), error = %chain(&error));
            None
        }
        Err(_panic) => None,
    };
    if let Some(lock) = lock {
        if let Some(body) = lock.answer() {
            return Ok(resend(world, requester, body.to_owned(), deadline).await?);
        }
        if lock.is_later_invocation_than(pending_request.continuation_count) {
            tracing::info!(step = "on_failure", "a later invocation goes on with this request");
            return Ok(());
        }
    }
    let said = record.response_payload.as_ref().and_then(|payload| payload.error_message.as_deref());
    let outcome =
        Outcome::failed(reasons::retries_exhausted(&context.condition, context.approximate_invoke_count, said));
    respond(world, settings, requester, &requester.physical_id, &outcome, true, deadline).await?;
    log_response(&outcome, Duration::ZERO);
    metrics::request(requester.request.request_type, &outcome, &Tally::default());
    Ok(())
}

/// Who waits for what was given up, if anybody; or why there is nowhere to answer.
fn pending_request(payload: &Value, now: Timestamp) -> Result<Option<PendingRequest>, &'static str> {
    Ok(match ParsedContinuation::read(payload) {
        Some(ParsedContinuation::Supported(continuation)) => {
            let operation = continuation.operation;
            Some(PendingRequest {
                continuation_count: operation.continuation_count,
                until: operation.respond_by + RESPONSE_MARGIN,
                requester: Requester {
                    physical_id: operation.response_physical_id().to_owned(),
                    signed_at: operation.signed_at,
                    request: operation.request,
                },
            })
        }
        Some(ParsedContinuation::UnsupportedVersion { request, id }) => Some(PendingRequest {
            continuation_count: u32::MAX,
            until: now + RESPONSE_MARGIN,
            requester: Requester { request, physical_id: id, signed_at: UNKNOWN_SIGNING_TIME },
        }),
        None => match request::parse(payload) {
            ParsedEvent::Request(request) => Some(PendingRequest {
                continuation_count: 0,
                until: request.signed_at.unwrap_or(now) + request.service_timeout.min(SERVICE_TIMEOUT_MAX),
                requester: requester(&request),
            }),
            ParsedEvent::Unanswerable(why) => return Err(why),
            ParsedEvent::NotARequest => None,
        },
    })
}
