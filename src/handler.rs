//! One invocation: decode, guard, reconcile, answer.
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
use crate::pool::continuation::{self, Absent, Continuation, Goal, Memory, Preflight, Present};
use crate::pool::convergence::attributes;
use crate::pool::decision::{Look, Outcome};
use crate::pool::identity::PhysicalId;
use crate::pool::spec::PoolSpec;
use crate::pool::time::{Spoken, Timestamp};
use crate::reconcile::drive::{End, drive};
use crate::reconcile::locate::pools_of;
use crate::reconcile::observe::{Session, observe};
use crate::reconcile::ports::{Answers, Clock, DeliveryError, World};
use crate::settings::Settings;

/// Kept at the end of an invocation for the answer and its retries.
const ANSWER_RESERVE: Duration = Duration::from_secs(45);
/// Kept in front of that for the call that is under way.
const CALL_RESERVE: Duration = Duration::from_secs(30);
/// Between the last try to answer and Lambda's deadline.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// How long an invocation is held to last when its deadline makes no sense, as under `cargo lambda watch`.
const INVOCATION_FALLBACK: Duration = Duration::from_secs(900);

/// Works on one event.
///
/// # Errors
/// When CloudFormation could not be told: the event is worth another delivery.
pub async fn handle<W: World>(
    world: &W,
    settings: &Settings,
    event: &Value,
    deadline: Timestamp,
) -> Result<(), DeliveryError> {
    let now = world.clock().now();
    let deadline = if deadline > now { deadline } else { now + INVOCATION_FALLBACK };
    match decode(event) {
        Decoded::Unanswerable(why) => {
            tracing::error!(step = "decode", "nobody can be answered: {why}");
            Ok(())
        }
        Decoded::Request(request) => {
            let span = tracing::info_span!(
                "request",
                request_id = request.request_id,
                logical_id = request.origin.logical_id,
                physical_id = tracing::field::Empty,
            );
            answer(world, settings, *request, deadline).instrument(span).await
        }
    }
}

async fn answer<W: World>(
    world: &W,
    settings: &Settings,
    request: Request,
    deadline: Timestamp,
) -> Result<(), DeliveryError> {
    tracing::info!(step = "begin", request_type = ?request.kind);
    let began = world.clock().now();
    let fallback_id = request.physical_id().unwrap_or(NO_PHYSICAL_ID).to_owned();
    let work = AssertUnwindSafe(work(world, settings, &request, deadline)).catch_unwind();
    let guard = world.clock().sleep_until(deadline - ANSWER_RESERVE);
    let (physical_id, outcome) = match select(std::pin::pin!(work), std::pin::pin!(guard)).await {
        Either::Left((Ok(done), _)) => done,
        Either::Left((Err(_panic), _)) => (
            identity(&request).unwrap_or(fallback_id),
            Outcome::failed(
                "github-runner-pool failed in a way that it should not: this is a defect. Try again, and report it \
                 with the function's log.",
            ),
        ),
        Either::Right(((), _)) => (
            identity(&request).unwrap_or(fallback_id),
            Outcome::failed(format!(
                "A call did not come back before the invocation had to end, after {}. Try again to go on from here.",
                Spoken(world.clock().now().since(began))
            )),
        ),
    };
    let body = response(settings, &request, physical_id, &outcome).to_body();
    let delivered = world.answers().deliver(&request.response_url, body, deadline - LAST_MOMENT).await;
    match &delivered {
        Ok(()) => log_answer(&outcome, world.clock().now().since(began)),
        Err(error) => tracing::error!(step = "answer", "{error}"),
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

fn response(settings: &Settings, request: &Request, physical_id: String, outcome: &Outcome) -> Response {
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
        origin: request.origin.clone(),
        request_id: request.request_id.clone(),
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

/// The request's work, and the physical id to answer with.
async fn work<W: World>(world: &W, settings: &Settings, request: &Request, deadline: Timestamp) -> (String, Outcome) {
    let now = world.clock().now();
    let accepted_at = request.signed_at.unwrap_or(now).min(now);
    match &request.kind {
        RequestKind::Create | RequestKind::Update { .. } => {
            let spec = match properties::decode(&request.properties, request.service_timeout) {
                Ok(spec) => spec,
                Err(problems) => {
                    let id = request.physical_id().unwrap_or(NO_PHYSICAL_ID).to_owned();
                    return (id, Outcome::failed(problems.to_string()));
                }
            };
            let mut held = present(request, spec, accepted_at);
            tracing::Span::current().record("physical_id", held.id.as_str());
            let outcome = if is_housekeeping(request) {
                attributes_alone(world, &held).await
            } else {
                carry_out(world, settings, &mut held, deadline).await
            };
            (held.id.into(), outcome)
        }
        RequestKind::Delete { physical_id } => {
            (physical_id.clone(), delete(world, settings, request, physical_id, accepted_at, deadline).await)
        }
        RequestKind::Unknown { why, .. } => {
            (request.physical_id().unwrap_or(NO_PHYSICAL_ID).to_owned(), Outcome::failed(why))
        }
    }
}

async fn carry_out<W: World>(world: &W, settings: &Settings, held: &mut Continuation, deadline: Timestamp) -> Outcome {
    let reserve = ANSWER_RESERVE + CALL_RESERVE;
    let budget = settings.invocation_budget.map(|budget| world.clock().now() + budget);
    let until = budget.unwrap_or(deadline - reserve).min(deadline - reserve);
    match drive(world, held, settings.poll_interval, until).await {
        End::Outcome(outcome) => outcome,
        End::OutOfTime { why } => Outcome::failed(format!(
            "The invocation's time was over while the pool {} was waiting for {why}. Try again to go on from here.",
            held.id
        )),
    }
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

async fn delete<W: World>(
    world: &W,
    settings: &Settings,
    request: &Request,
    physical_id: &str,
    accepted_at: Timestamp,
    deadline: Timestamp,
) -> Outcome {
    let hints = hints(&request.properties);
    let meant = hints.spec.as_ref().map(|spec| PhysicalId::of(&request.origin, spec));
    let id = match PhysicalId::sent(&request.origin, physical_id).or(meant) {
        Some(id) => id,
        None if physical_id == NO_PHYSICAL_ID => return nothing_to_delete(),
        None => match pools_of(world, &request.origin).await {
            Ok(pools) => {
                let mut pools = pools.into_iter();
                match (pools.next(), pools.next()) {
                    (Some(only), None) => only,
                    (None, _) => return nothing_to_delete(),
                    // A replacement under way: which of the two was meant, nobody can tell, so neither is touched.
                    (Some(one), Some(other)) => {
                        return Outcome::Succeeded {
                            attributes: Default::default(),
                            notes: vec![format!(
                                "this resource has more than one pool, among them {one} and {other}, and the id \
                                 {physical_id} names neither: nothing was deleted"
                            )],
                        };
                    }
                }
            }
            Err(error) => {
                return Outcome::failed(format!(
                    "The pool of this resource could not be looked for: {}. Delete again.",
                    error.refusal
                ));
            }
        },
    };
    tracing::Span::current().record("physical_id", id.as_str());
    let goal = Goal::Absent(Box::new(Absent { record: hints.record(&id), manners: hints.manners }));
    let mut held = held(request, id, goal, accepted_at);
    carry_out(world, settings, &mut held, deadline).await
}

fn nothing_to_delete() -> Outcome {
    tracing::info!(step = "delete", "no pool of this resource exists");
    Outcome::Succeeded { attributes: Default::default(), notes: Vec::new() }
}
