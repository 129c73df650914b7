//! Telling CloudFormation, once and the same whoever asks again.
//!
//! An answer is written down before it is sent: a delivery of the same request that comes later, or that comes because
//! this invocation dies in between, repeats it. Where it cannot be written down it is sent all the same.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};

use crate::cloudformation::response::{Response, Status};
use crate::pool::continuation;
use crate::pool::decision::Outcome;
use crate::pool::succession::{Turn, record_name};
use crate::pool::time::Timestamp;
use crate::reconcile::chain;
use crate::reconcile::ports::{Answers, Call, Clock, DeliveryError, Succession, World};
use crate::settings::Settings;

use super::LAST_MOMENT;

/// How long writing an answer down may keep it from being sent.
const RECORDING_MAX: Duration = Duration::from_secs(5);

/// Who is to be answered.
pub(super) struct Caller {
    pub(super) request: continuation::Request,
    /// The id to answer with when the work does not come to tell a better one.
    pub(super) physical_id: String,
}

/// Answers, with what was answered before if the request was.
pub(super) async fn answer<W: World>(
    world: &W,
    settings: &Settings,
    caller: &Caller,
    physical_id: &str,
    outcome: &Outcome,
    is_recorded: bool,
    deadline: Timestamp,
) -> Result<(), DeliveryError> {
    let body = response(settings, caller, physical_id, outcome).to_body();
    let body = if is_recorded { agreed(world, &caller.request, body).await } else { body };
    deliver(world, caller, body, deadline).await
}

/// Sends an answer that was written down.
pub(super) async fn repeat<W: World>(
    world: &W,
    caller: &Caller,
    body: String,
    deadline: Timestamp,
) -> Result<(), DeliveryError> {
    tracing::info!(step = "answer", "this request was answered before, so that answer is repeated");
    deliver(world, caller, body.into_bytes(), deadline).await
}

async fn deliver<W: World>(
    world: &W,
    caller: &Caller,
    body: Vec<u8>,
    deadline: Timestamp,
) -> Result<(), DeliveryError> {
    let delivered = world.answers().deliver(&caller.request.response_url, body, deadline - LAST_MOMENT).await;
    if let Err(error) = &delivered {
        tracing::error!(step = "answer", "{error}");
    }
    delivered
}

/// The answer that every delivery of the request gives: the one that is written down, or else this one.
async fn agreed<W: World>(world: &W, request: &continuation::Request, body: Vec<u8>) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(&body) else { return body };
    let time_is_up = world.clock().sleep_until(world.clock().now() + RECORDING_MAX);
    let recorded = AssertUnwindSafe(recorded(world, request, text)).catch_unwind();
    let recorded = match select(std::pin::pin!(recorded), std::pin::pin!(time_is_up)).await {
        Either::Left((Ok(Ok(recorded)), _)) => recorded,
        Either::Left((Err(_panic), _)) => None,
        Either::Left((Ok(Err(error)), _)) => {
            tracing::warn!(step = "record_answer", class = error.class().name(), refusal = %chain(&error));
            None
        }
        Either::Right(((), _)) => {
            tracing::warn!(step = "record_answer", "Parameter Store does not answer");
            None
        }
    };
    recorded.map_or(body, String::into_bytes)
}

/// The answer that was written down, or `None` after writing down this one. A request that has no turn, or has lost it,
/// writes nothing.
async fn recorded<W: World>(world: &W, request: &continuation::Request, body: &str) -> Call<Option<String>> {
    let name = record_name(&request.origin);
    let Some(record) = world.succession().turn(&name).await? else { return Ok(None) };
    let turn = Turn::from_record(&record.text);
    if !turn.is_of(request) {
        return Ok(None);
    }
    if let Some(earlier) = turn.answer() {
        return Ok(Some(earlier.to_owned()));
    }
    world.succession().take_turn(&name, &turn.answered(body).to_record()).await?;
    Ok(None)
}

pub(super) fn log_answer(outcome: &Outcome, took: Duration) {
    let seconds = took.as_secs_f64();
    match outcome {
        Outcome::Succeeded { notes, .. } => {
            tracing::info!(step = "answer", status = "SUCCESS", seconds, notes = ?notes);
        }
        Outcome::Failed { reason } => tracing::error!(step = "answer", status = "FAILED", seconds, reason),
    }
}

fn response(settings: &Settings, caller: &Caller, physical_id: &str, outcome: &Outcome) -> Response {
    let status = match outcome {
        Outcome::Succeeded { attributes, notes } => {
            Status::Success { data: attributes.clone(), note: (!notes.is_empty()).then(|| notes.join("; ")) }
        }
        Outcome::Failed { reason } => Status::Failed { reason: reason.clone() },
    };
    Response {
        status,
        physical_id: physical_id.to_owned(),
        origin: caller.request.origin.clone(),
        request_id: caller.request.request_id.clone(),
        log: settings.log.as_ref().map(|(group, stream)| format!("{group}/{stream}")),
    }
}
