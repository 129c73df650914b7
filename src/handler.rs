//! One invocation: decode, guard, reconcile, answer or hand on.
//!
//! The law here: whoever waits gets an answer. A panic, an error and the end of Lambda's time all become one; only an
//! answer that could not be delivered makes the invocation fail, because then another delivery of the event helps.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use serde_json::Value;
use tracing::Instrument as _;

use crate::cloudformation::properties::{self, hints};
use crate::cloudformation::request::{Decoded, Request, RequestKind, decode};
use crate::cloudformation::response::{NO_PHYSICAL_ID, Response, Status};
use crate::pool::continuation::{self, Absent, Continuation, Goal, HOPS_MAX, HandedOn, Memory, Preflight, Present};
use crate::pool::convergence::attributes;
use crate::pool::decision::{Look, Outcome, Waiting};
use crate::pool::identity::PhysicalId;
use crate::pool::spec::PoolSpec;
use crate::pool::time::{Spoken, Timestamp};
use crate::reconcile::chain;
use crate::reconcile::drive::{End, drive};
use crate::reconcile::locate::pools_of;
use crate::reconcile::observe::{Session, observe};
use crate::reconcile::ports::{Answers, Clock, DeliveryError, Later, World};
use crate::settings::Settings;

/// Kept at the end of an invocation for the answer and its retries.
const ANSWER_RESERVE: Duration = Duration::from_secs(45);
/// Kept in front of that for the call that is under way.
const CALL_RESERVE: Duration = Duration::from_secs(30);
/// Between the last try to answer and Lambda's deadline.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// How long an invocation is held to last when its deadline makes no sense, as under `cargo lambda watch`.
const INVOCATION_FALLBACK: Duration = Duration::from_secs(900);

/// What Lambda says about this invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// When Lambda ends it.
    pub deadline: Timestamp,
    /// The ARN, with alias or version, or the name by which this function can be invoked again.
    pub function: String,
}

/// Who is to be answered.
struct Caller {
    request: continuation::Request,
    /// The id to answer with when the work does not come to tell a better one.
    physical_id: String,
}

/// How the work of an invocation ends.
enum Done {
    /// There is something to answer.
    Answer(String, Outcome),
    /// There is more to do than this invocation has time for.
    More(Box<Continuation>, Waiting),
}

/// Works on one event.
///
/// # Errors
/// When CloudFormation could not be told: the event is worth another delivery.
pub async fn handle<W: World>(
    world: &W,
    settings: &Settings,
    event: &Value,
    invocation: &Invocation,
) -> Result<(), DeliveryError> {
    let now = world.clock().now();
    let deadline = if invocation.deadline > now { invocation.deadline } else { now + INVOCATION_FALLBACK };
    let invocation = Invocation { deadline, ..invocation.clone() };
    match HandedOn::read(event) {
        Some(HandedOn::Readable(held)) => go_on(world, settings, *held, &invocation).await,
        Some(HandedOn::Unreadable { request, id }) => {
            let outcome = Outcome::failed(
                "The function was changed to another version while this request was under way, and this version \
                 cannot read what was handed on. Try again to go on from here.",
            );
            let caller = Caller { request, physical_id: id };
            let span = span(&caller);
            answer(world, settings, &caller, caller.physical_id.clone(), &outcome, deadline).instrument(span).await
        }
        None => match decode(event) {
            Decoded::Request(request) => begin(world, settings, *request, &invocation).await,
            Decoded::Unanswerable(why) => {
                tracing::error!(step = "decode", "nobody can be answered: {why}");
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
) -> Result<(), DeliveryError> {
    let physical_id = request.physical_id().map(str::to_owned).or_else(|| identity(&request));
    let caller = Caller {
        request: continuation::Request {
            request_id: request.request_id.clone(),
            origin: request.origin.clone(),
            response_url: request.response_url.clone(),
        },
        physical_id: physical_id.unwrap_or_else(|| NO_PHYSICAL_ID.to_owned()),
    };
    let span = span(&caller);
    async {
        tracing::info!(step = "begin", request_type = ?request.kind);
        guarded(world, settings, &caller, invocation, work(world, settings, &request, invocation.deadline)).await
    }
    .instrument(span)
    .await
}

/// What an earlier invocation handed on.
async fn go_on<W: World>(
    world: &W,
    settings: &Settings,
    mut held: Continuation,
    invocation: &Invocation,
) -> Result<(), DeliveryError> {
    let caller = Caller { request: held.request.clone(), physical_id: held.id.as_str().to_owned() };
    let span = span(&caller);
    span.record("physical_id", held.id.as_str());
    async {
        tracing::info!(step = "go_on", hop = held.hops);
        let work = async {
            match carry_out(world, settings, &mut held, invocation.deadline).await {
                End::Outcome(outcome) => Done::Answer(held.id.clone().into(), outcome),
                End::OutOfTime { why } => Done::More(Box::new(held), why),
            }
        };
        guarded(world, settings, &caller, invocation, work).await
    }
    .instrument(span)
    .await
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
) -> Result<(), DeliveryError> {
    let began = world.clock().now();
    let work = AssertUnwindSafe(work).catch_unwind();
    let guard = world.clock().sleep_until(invocation.deadline - ANSWER_RESERVE);
    let done = match select(std::pin::pin!(work), std::pin::pin!(guard)).await {
        Either::Left((Ok(done), _)) => done,
        Either::Left((Err(_panic), _)) => Done::Answer(
            caller.physical_id.clone(),
            Outcome::failed(
                "github-runner-pool failed in a way that it should not: this is a defect. Try again, and report it \
                 with the function's log.",
            ),
        ),
        Either::Right(((), _)) => Done::Answer(
            caller.physical_id.clone(),
            Outcome::failed(format!(
                "A call did not come back before the invocation had to end, after {}. Try again to go on from here.",
                Spoken(world.clock().now().since(began))
            )),
        ),
    };
    let (physical_id, outcome) = match done {
        Done::Answer(physical_id, outcome) => (physical_id, outcome),
        Done::More(held, why) => match hand_on(world, *held, &why, &invocation.function).await {
            Ok(()) => return Ok(()),
            Err(unable) => unable,
        },
    };
    let delivered = answer(world, settings, caller, physical_id, &outcome, invocation.deadline).await;
    if delivered.is_ok() {
        log_answer(&outcome, world.clock().now().since(began));
    }
    delivered
}

/// Lets another invocation go on, or tells why that cannot be.
async fn hand_on<W: World>(
    world: &W,
    mut held: Continuation,
    why: &Waiting,
    function: &str,
) -> Result<(), (String, Outcome)> {
    held.hops = held.hops.saturating_add(1);
    if held.hops > HOPS_MAX {
        return Err((
            held.id.clone().into(),
            Outcome::failed(format!(
                "After {HOPS_MAX} invocations the pool {} was still waiting for {why}. Try again to go on from here.",
                held.id
            )),
        ));
    }
    match world.later().invoke(function, held.to_event()).await {
        Ok(()) => {
            tracing::info!(step = "hand_on", hop = held.hops, "still waiting for {why}");
            Ok(())
        }
        Err(error) => {
            tracing::error!(step = "hand_on", refusal = %chain(&error));
            Err((
                held.id.clone().into(),
                Outcome::failed(format!(
                    "The invocation's time was over while the pool {} was waiting for {why}, and the function could \
                     not invoke itself to go on: {}. Let its role invoke it, then try again.",
                    held.id, error.refusal
                )),
            ))
        }
    }
}

async fn answer<W: World>(
    world: &W,
    settings: &Settings,
    caller: &Caller,
    physical_id: String,
    outcome: &Outcome,
    deadline: Timestamp,
) -> Result<(), DeliveryError> {
    let body = response(settings, caller, physical_id, outcome).to_body();
    let delivered = world.answers().deliver(&caller.request.response_url, body, deadline - LAST_MOMENT).await;
    if let Err(error) = &delivered {
        tracing::error!(step = "answer", "{error}");
    }
    delivered
}

fn log_answer(outcome: &Outcome, took: Duration) {
    let seconds = took.as_secs_f64();
    match outcome {
        Outcome::Succeeded { notes, .. } => {
            tracing::info!(step = "answer", status = "SUCCESS", seconds, notes = ?notes);
        }
        Outcome::Failed { reason } => tracing::error!(step = "answer", status = "FAILED", seconds, reason),
    }
}

fn response(settings: &Settings, caller: &Caller, physical_id: String, outcome: &Outcome) -> Response {
    let status = match outcome {
        Outcome::Succeeded { attributes, notes } => Status::Success {
            data: attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        },
        Outcome::Failed { reason } => Status::Failed { reason: reason.clone() },
    };
    Response {
        status,
        physical_id,
        origin: caller.request.origin.clone(),
        request_id: caller.request.request_id.clone(),
        log: settings.log.as_ref().map(|(group, stream)| format!("{group}/{stream}")),
    }
}

/// The id of the pool that a request is about, as far as the request alone tells.
fn identity(request: &Request) -> Option<String> {
    match &request.kind {
        RequestKind::Create | RequestKind::Update { .. } => {
            let spec = properties::decode(&request.properties, request.service_timeout).ok()?;
            Some(PhysicalId::of(&request.origin, &spec).into())
        }
        RequestKind::Delete { .. } | RequestKind::Unknown { .. } => None,
    }
}

/// The work that a request asks for.
async fn work<W: World>(world: &W, settings: &Settings, request: &Request, deadline: Timestamp) -> Done {
    let now = world.clock().now();
    let accepted_at = request.signed_at.unwrap_or(now).min(now);
    let sent_id = || request.physical_id().unwrap_or(NO_PHYSICAL_ID).to_owned();
    let (mut held, answered_id) = match &request.kind {
        RequestKind::Create | RequestKind::Update { .. } => {
            match properties::decode(&request.properties, request.service_timeout) {
                Ok(spec) => (present(request, spec, accepted_at), None),
                Err(problems) => return Done::Answer(sent_id(), Outcome::failed(problems.to_string())),
            }
        }
        RequestKind::Delete { physical_id } => match absent(world, request, physical_id, accepted_at).await {
            Ok(held) => (held, Some(sent_id())),
            Err(outcome) => return Done::Answer(sent_id(), outcome),
        },
        RequestKind::Unknown { why, .. } => return Done::Answer(sent_id(), Outcome::failed(why)),
    };
    tracing::Span::current().record("physical_id", held.id.as_str());
    let id = answered_id.unwrap_or_else(|| held.id.as_str().to_owned());
    if is_housekeeping(request) {
        return Done::Answer(id, attributes_alone(world, &held).await);
    }
    match carry_out(world, settings, &mut held, deadline).await {
        End::Outcome(outcome) => Done::Answer(id, outcome),
        End::OutOfTime { why } => Done::More(Box::new(held), why),
    }
}

async fn carry_out<W: World>(world: &W, settings: &Settings, held: &mut Continuation, deadline: Timestamp) -> End {
    let reserve = ANSWER_RESERVE + CALL_RESERVE;
    let budget = settings.invocation_budget.map(|budget| world.clock().now() + budget);
    let until = budget.unwrap_or(deadline - reserve).min(deadline - reserve);
    drive(world, held, settings.poll_interval, until).await
}

fn present(request: &Request, spec: PoolSpec, accepted_at: Timestamp) -> Continuation {
    let former = match &request.kind {
        RequestKind::Update { old_properties, .. } => Some(hints(old_properties)),
        RequestKind::Create | RequestKind::Delete { .. } | RequestKind::Unknown { .. } => None,
    };
    let former_tags = match &request.kind {
        RequestKind::Update { old_properties, .. } => properties::user_tags(old_properties).into_keys().collect(),
        RequestKind::Create | RequestKind::Delete { .. } | RequestKind::Unknown { .. } => Default::default(),
    };
    let id = PhysicalId::of(&request.origin, &spec);
    let is_trusted = former.as_ref().and_then(|former| former.spec.as_ref()).is_some_and(|before| {
        before.credentials == spec.credentials
            && before.runner.group == spec.runner.group
            && PhysicalId::of(&request.origin, before) == id
    });
    let goal = Goal::Present(Box::new(Present {
        spec,
        former_tags,
        former_runner_name: former.and_then(|former| former.runner_name),
        preflight: if is_trusted { Preflight::Skip } else { Preflight::Ask },
    }));
    held(request, id, goal, accepted_at)
}

fn held(request: &Request, id: PhysicalId, goal: Goal, accepted_at: Timestamp) -> Continuation {
    // A timeout that is shorter than the reserve still leaves half of itself for the work.
    let patience = request.service_timeout.saturating_sub(properties::RESERVE).max(request.service_timeout / 2);
    Continuation {
        request: continuation::Request {
            request_id: request.request_id.clone(),
            origin: request.origin.clone(),
            response_url: request.response_url.clone(),
        },
        id,
        goal,
        accepted_at,
        answer_by: accepted_at + patience,
        hops: 0,
        memory: Memory::default(),
    }
}

/// Whether nothing of the pool itself was changed.
fn is_housekeeping(request: &Request) -> bool {
    match &request.kind {
        RequestKind::Update { old_properties, .. } => {
            *old_properties != request.properties
                && properties::only_housekeeping_changed(old_properties, &request.properties)
        }
        RequestKind::Create | RequestKind::Delete { .. } | RequestKind::Unknown { .. } => false,
    }
}

/// One look for what `Fn::GetAtt` has to give; nothing is waited for and nothing changed.
async fn attributes_alone<W: World>(world: &W, held: &Continuation) -> Outcome {
    let Goal::Present(goal) = &held.goal else { return Outcome::failed("A Delete has no attributes.") };
    let mut session = Session::default();
    match observe(world, held, &mut session, Look::Everything).await {
        Ok(()) => Outcome::Succeeded { attributes: attributes(held, goal, &session.seen), notes: Vec::new() },
        Err(error) => Outcome::failed(crate::pool::report::refused(held, &error.refusal)),
    }
}

/// What a Delete is about, or the answer when that is nothing.
async fn absent<W: World>(
    world: &W,
    request: &Request,
    physical_id: &str,
    accepted_at: Timestamp,
) -> Result<Continuation, Outcome> {
    let hints = hints(&request.properties);
    let meant = hints.spec.as_ref().map(|spec| PhysicalId::of(&request.origin, spec));
    let id = match PhysicalId::sent(&request.origin, physical_id).or(meant) {
        Some(id) => id,
        None if physical_id == NO_PHYSICAL_ID => return Err(nothing_to_delete()),
        None => only_pool_of(world, request, physical_id).await?,
    };
    let goal = Goal::Absent(Box::new(Absent { record: hints.record(&id), manners: hints.manners }));
    Ok(held(request, id, goal, accepted_at))
}

/// The one pool that the resource has, for a Delete whose id names none.
async fn only_pool_of<W: World>(world: &W, request: &Request, physical_id: &str) -> Result<PhysicalId, Outcome> {
    let pools = pools_of(world, &request.origin).await.map_err(|error| {
        Outcome::failed(format!("The pool of this resource could not be looked for: {}. Delete again.", error.refusal))
    })?;
    let mut pools = pools.into_iter();
    match (pools.next(), pools.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(nothing_to_delete()),
        // A replacement under way: which of the two was meant, nobody can tell, so neither is touched.
        (Some(one), Some(other)) => Err(Outcome::Succeeded {
            attributes: Default::default(),
            notes: vec![format!(
                "this resource has more than one pool, among them {one} and {other}, and the id {physical_id} names \
                 neither: nothing was deleted"
            )],
        }),
    }
}

fn nothing_to_delete() -> Outcome {
    tracing::info!(step = "delete", "no pool of this resource exists");
    Outcome::Succeeded { attributes: Default::default(), notes: Vec::new() }
}

#[cfg(test)]
mod tests;
