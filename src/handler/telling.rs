//! Telling CloudFormation, once and the same whoever asks again.
//!
//! An answer is written down before it is sent: a delivery of the same request that comes later, or that comes because
//! this invocation dies in between, repeats it. Where it cannot be written down it is sent all the same.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};

use crate::cloudformation::response::{Response, Status};
use crate::pool::continuation::{self, RequestType};
use crate::pool::decision::Outcome;
use crate::pool::identity::PhysicalId;
use crate::pool::succession::SeenTurn;
use crate::pool::time::Timestamp;
use crate::reconcile::chain;
use crate::reconcile::locate::{self, Deleted};
use crate::reconcile::overwrite::{Written, overwrite};
use crate::reconcile::ports::{Answers, Call, Clock, DeliveryError, Succession, World};
use crate::settings::Settings;

use super::LAST_MOMENT;

/// Between the two tries to write an answer down.
const RECORDING_PAUSE: Duration = Duration::from_millis(500);
/// How long it may take to write down whether an answer was taken: within [`LAST_MOMENT`].
const NOTING_MAX: Duration = Duration::from_secs(1);
/// How long writing an answer down may keep it from being sent.
const RECORDING_MAX: Duration = Duration::from_secs(5);

/// Of a request that does not say when it was signed: no other one is held to be newer.
pub(super) const NEVER_SUPERSEDED: Timestamp = Timestamp::from_epoch_millis(u64::MAX);

/// Who is to be answered.
pub(super) struct Caller {
    pub(super) request: continuation::Request,
    /// The id to answer with when the work does not come to tell a better one.
    pub(super) physical_id: String,
    /// When CloudFormation signed the request.
    pub(super) signed_at: Timestamp,
}

/// What is to be sent.
enum Agreed {
    /// This body.
    Send(Vec<u8>),
    /// This one, which another delivery has written down.
    Repeat(String),
    /// Nothing: a newer request is at work, and nobody waits for this one.
    Nothing,
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
    match if is_recorded { agreed(world, caller, outcome, body).await } else { Agreed::Send(body) } {
        Agreed::Send(body) => {
            let delivered = deliver(world, caller, body, deadline).await;
            if delivered.is_err() {
                note_delivery(world, caller, false).await;
            }
            delivered
        }
        Agreed::Repeat(body) => repeat(world, caller, body, deadline).await,
        Agreed::Nothing => {
            tracing::info!(step = "yield", "a newer request for this resource took over, so this one is not answered");
            Ok(())
        }
    }
}

/// Sends an answer that was written down.
pub(super) async fn repeat<W: World>(
    world: &W,
    caller: &Caller,
    body: String,
    deadline: Timestamp,
) -> Result<(), DeliveryError> {
    tracing::info!(step = "answer", "this request was answered before, so that answer is repeated");
    let delivered = deliver(world, caller, body.into_bytes(), deadline).await;
    note_delivery(world, caller, delivered.is_ok()).await;
    delivered
}

/// Writes down that CloudFormation did not take an answer, or that it has taken it after all. The Delete after a Create
/// whose answer was never taken carries an id that CloudFormation made up.
async fn note_delivery<W: World>(world: &W, caller: &Caller, is_delivered: bool) {
    if caller.request.request_type != RequestType::Create {
        return;
    }
    let noted = async {
        let (name, found) = turn_of(world, caller).await?;
        let turn = found.map(|found| found.turn);
        match turn.filter(|turn| turn.is_of(&caller.request) && turn.is_undelivered() == is_delivered) {
            Some(turn) => {
                world.succession().take_turn(&name, &turn.delivered(is_delivered).to_record()).await.map(drop)
            }
            None => Ok(()),
        }
    };
    let time_is_up = world.clock().sleep_until(world.clock().now() + NOTING_MAX);
    match select(std::pin::pin!(AssertUnwindSafe(noted).catch_unwind()), std::pin::pin!(time_is_up)).await {
        Either::Left((Ok(Ok(())), _)) => {}
        Either::Left(..) | Either::Right(..) => tracing::warn!(step = "note_delivery", is_delivered),
    }
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
async fn agreed<W: World>(world: &W, caller: &Caller, outcome: &Outcome, body: Vec<u8>) -> Agreed {
    let Ok(text) = std::str::from_utf8(&body) else { return Agreed::Send(body) };
    let time_is_up = world.clock().sleep_until(world.clock().now() + RECORDING_MAX);
    let twice = async {
        match recorded(world, caller, outcome, text).await {
            Err(error) if error.class().may_pass() => {
                world.clock().sleep_until(world.clock().now() + RECORDING_PAUSE).await;
                recorded(world, caller, outcome, text).await
            }
            done => done,
        }
    };
    let recorded = AssertUnwindSafe(twice).catch_unwind();
    match select(std::pin::pin!(recorded), std::pin::pin!(time_is_up)).await {
        Either::Left((Ok(Ok(agreed)), _)) => return agreed,
        Either::Left((Err(_panic), _)) => {}
        Either::Left((Ok(Err(error)), _)) => {
            tracing::warn!(step = "record_answer", class = error.class().name(), refusal = %chain(&error));
        }
        Either::Right(((), _)) => tracing::warn!(step = "record_answer", "Parameter Store does not answer"),
    }
    Agreed::Send(body)
}

/// The answer that was written down, or this one, which is written down then. A request that has no turn writes nothing
/// unless it failed; one that has lost it to a newer request is not answered.
async fn recorded<W: World>(world: &W, caller: &Caller, outcome: &Outcome, body: &str) -> Call<Agreed> {
    let request = &caller.request;
    let this = Agreed::Send(body.as_bytes().to_vec());
    let (name, found) = turn_of(world, caller).await?;
    let Some(turn) = found.as_ref().map(|found| found.turn.clone()) else { return Ok(this) };
    if turn.supersedes(request, caller.signed_at) {
        return Ok(Agreed::Nothing);
    }
    let turn = if turn.is_of(request) {
        turn
    } else {
        // It failed before it could take its turn. Another delivery is to repeat that, not to try again.
        match turn.after_failure(request, &caller.physical_id, caller.signed_at) {
            Some(own) if matches!(outcome, Outcome::Failed { .. }) => own,
            Some(_) | None => return Ok(this),
        }
    };
    if let Some(earlier) = turn.answer() {
        return Ok(Agreed::Repeat(earlier.to_owned()));
    }
    let turn = turn.answered(body, outcome);
    let counts = |earlier: &SeenTurn| earlier.turn.is_of(request) || earlier.turn.supersedes(request, caller.signed_at);
    Ok(match overwrite(world, &name, found.as_ref(), &turn, counts).await? {
        Written::Ours(_) => this,
        Written::PutBack(earlier) => match earlier.answer().filter(|_| earlier.is_of(request)) {
            Some(body) => Agreed::Repeat(body.to_owned()),
            None => Agreed::Nothing,
        },
    })
}

/// The record that a request works by, and its name.
pub(super) async fn turn_of<W: World>(world: &W, caller: &Caller) -> Call<(String, Option<SeenTurn>)> {
    let origin = &caller.request.origin;
    let is_deletion = caller.request.request_type == RequestType::Delete;
    let pool = PhysicalId::sent(origin, &caller.physical_id).filter(|_| is_deletion);
    let deleted = pool.as_ref().map(|id| Deleted { id, held_pool: id.as_str(), has_own_record: false });
    let found = locate::turn_of(world, origin, deleted).await?;
    Ok((found.name, found.turn))
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
