//! What Lambda gave up delivering: it comes back through the on-failure queue, and becomes a FAILED answer.
//!
//! Lambda sends a record of an asynchronous event that failed every try, or grew too old, to the function's on-failure
//! destination. That cannot be the function itself, so it is a queue that triggers the function. A record holds the
//! whole event, and in it the response URL: whoever can read the queue can answer in our name.
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

use super::telling::{Caller, NEVER_SUPERSEDED, answer, log_answer, repeat, turn_of};
use super::{HandleError, caller, span};
use crate::cloudformation::envelope;
use crate::cloudformation::properties::{RESERVE, SERVICE_TIMEOUT_MAX};
use crate::cloudformation::request::{Decoded, decode};
use crate::metrics::{self, Tally};
use crate::pool::continuation::HandedOn;
use crate::pool::decision::Outcome;
use crate::pool::report;
use crate::pool::time::Timestamp;
use crate::reconcile::chain;
use crate::reconcile::ports::{Clock, World};
use crate::settings::Settings;

/// What Lambda tells of an event that it gave up.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GivenUp {
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
struct Waiter {
    caller: Caller,
    /// Invocations before the one that was given up.
    hops: u32,
    /// When CloudFormation stops waiting, at the latest.
    until: Timestamp,
}

/// Reads a message of the queue; `None` if it is no record of Lambda's.
pub(super) fn read(event: &Value) -> Option<GivenUp> {
    GivenUp::deserialize(event).ok()
}

/// Answers those who still wait.
///
/// # Errors
/// When one of them could not be told: the queue delivers the message again, and its age raises an alarm.
pub(super) async fn tell<W: World>(
    world: &W,
    settings: &Settings,
    record: &GivenUp,
    deadline: Timestamp,
) -> Result<(), HandleError> {
    let mut done = Ok(());
    for event in envelope::opened(&record.request_payload) {
        let told = match waiter(&event, world.clock().now()) {
            Ok(Some(waiter)) => {
                let span = span(&waiter.caller);
                tell_one(world, settings, record, &waiter, deadline).instrument(span).await
            }
            Ok(None) => {
                tracing::error!(step = "given_up", "what was given up is no request, so there is nothing to answer");
                Ok(())
            }
            Err(why) => {
                tracing::error!(step = "given_up", "the request cannot be answered: {why}");
                Err(HandleError::NotAnswerable(why))
            }
        };
        done = done.and(told);
    }
    done
}

async fn tell_one<W: World>(
    world: &W,
    settings: &Settings,
    record: &GivenUp,
    waiter: &Waiter,
    deadline: Timestamp,
) -> Result<(), HandleError> {
    let (caller, context) = (&waiter.caller, &record.request_context);
    tracing::error!(step = "given_up", condition = context.condition, tries = context.approximate_invoke_count);
    if world.clock().now() >= waiter.until {
        tracing::warn!(step = "given_up", "CloudFormation no longer waits for this request");
        return Ok(());
    }
    let turn = match AssertUnwindSafe(turn_of(world, caller)).catch_unwind().await {
        Ok(Ok((_, found))) => found.map(|found| found.turn).filter(|turn| turn.is_of(&caller.request)),
        Ok(Err(error)) => {
            tracing::warn!(step = "given_up", class = error.class().name(), refusal = %chain(&error));
            None
        }
        Err(_panic) => None,
    };
    if let Some(turn) = turn {
        if let Some(body) = turn.answer() {
            return Ok(repeat(world, caller, body.to_owned(), deadline).await?);
        }
        if turn.is_beyond(waiter.hops) {
            tracing::info!(step = "given_up", "a later invocation goes on with this request");
            return Ok(());
        }
    }
    let said = record.response_payload.as_ref().and_then(|payload| payload.error_message.as_deref());
    let outcome = Outcome::failed(report::given_up(&context.condition, context.approximate_invoke_count, said));
    answer(world, settings, caller, &caller.physical_id, &outcome, true, deadline).await?;
    log_answer(&outcome, Duration::ZERO);
    metrics::request(caller.request.request_type, &outcome, &Tally::default());
    Ok(())
}

/// Who waits for what was given up, if anybody; or why there is nowhere to answer.
fn waiter(payload: &Value, now: Timestamp) -> Result<Option<Waiter>, &'static str> {
    Ok(match HandedOn::read(payload) {
        Some(HandedOn::Readable(held)) => Some(Waiter {
            hops: held.hops,
            until: held.answer_by + RESERVE,
            caller: Caller {
                physical_id: held.answered_id().to_owned(),
                signed_at: held.accepted_at,
                request: held.request,
            },
        }),
        Some(HandedOn::Unreadable { request, id }) => Some(Waiter {
            hops: u32::MAX,
            until: now + RESERVE,
            caller: Caller { request, physical_id: id, signed_at: NEVER_SUPERSEDED },
        }),
        None => match decode(payload) {
            Decoded::Request(request) => Some(Waiter {
                hops: 0,
                until: request.signed_at.unwrap_or(now) + request.service_timeout.min(SERVICE_TIMEOUT_MAX),
                caller: caller(&request),
            }),
            Decoded::Unanswerable(why) => return Err(why),
            Decoded::NoRequest => None,
        },
    })
}
