//! What a request asks for: from a decoded request to a goal, and from the goal to its end.

use std::time::Duration;

use super::deletion::{Siblings, absent, siblings};
use super::goal::present;
use super::{ANSWER_RESERVE, CALL_RESERVE, Done, done};
use crate::cloudformation::properties;
use crate::cloudformation::request::{Request, RequestKind};
use crate::cloudformation::response::NO_PHYSICAL_ID;
use crate::pool::abandonment;
use crate::pool::continuation::{Continuation, Goal};
use crate::pool::convergence::attributes;
use crate::pool::decision::{Look, Outcome, Waiting};
use crate::pool::identity::PhysicalId;
use crate::pool::report;
use crate::pool::time::Timestamp;
use crate::reconcile::chain;
use crate::reconcile::drive::{End, drive};
use crate::reconcile::observe::{Session, observe};
use crate::reconcile::ports::{Clock, World};
use crate::settings::Settings;

/// The id of the pool that a request is about, as far as the request alone tells.
pub(super) fn identity(request: &Request) -> Option<String> {
    match &request.kind {
        RequestKind::Create | RequestKind::Update { .. } => {
            let spec = properties::decode(&request.properties, request.service_timeout).ok()?;
            Some(PhysicalId::of(&request.origin, &spec).into())
        }
        RequestKind::Delete { .. } | RequestKind::Unknown { .. } => None,
    }
}

/// The work that a request asks for.
pub(super) async fn work<W: World>(world: &W, settings: &Settings, request: &Request, deadline: Timestamp) -> Done {
    let now = world.clock().now();
    let accepted_at = request.signed_at.unwrap_or(now).min(now);
    let sent_id = || request.physical_id().unwrap_or(NO_PHYSICAL_ID).to_owned();
    let mut held = match &request.kind {
        RequestKind::Create | RequestKind::Update { .. } => {
            match properties::decode(&request.properties, request.service_timeout) {
                Ok(spec) => present(request, spec, accepted_at),
                Err(problems) => return Done::answer(sent_id(), Outcome::failed(problems.to_string()), false),
            }
        }
        RequestKind::Delete { physical_id } => match absent(world, request, physical_id, accepted_at).await {
            Ok(held) => held,
            Err(outcome) => return Done::answer(sent_id(), outcome, false),
        },
        RequestKind::Unknown { why, .. } => return Done::answer(sent_id(), Outcome::failed(why), false),
    };
    tracing::Span::current().record("physical_id", held.id.as_str());
    if is_housekeeping(request) {
        let outcome = attributes_alone(world, &held).await;
        return Done::answer(held.answered_id(), outcome, false);
    }
    let end = carry_out(world, settings, &mut held, deadline).await;
    done(held, end, world.clock().now())
}

pub(super) async fn carry_out<W: World>(
    world: &W,
    settings: &Settings,
    held: &mut Continuation,
    deadline: Timestamp,
) -> End {
    let reserve = ANSWER_RESERVE + CALL_RESERVE;
    let budget = settings.invocation_budget.map(|budget| world.clock().now() + budget);
    let until = budget.unwrap_or(deadline - reserve).min(deadline - reserve);
    loop {
        match drive(world, held, settings.poll_interval, until).await {
            End::Outcome(outcome) => {
                let next = match others(world, held, &outcome, settings.poll_interval, until).await {
                    Ok(Siblings::Next(next)) => *next,
                    Ok(Siblings::Done(note)) => {
                        return End::Outcome(abandonment::settled(held, noted(outcome, note)));
                    }
                    Err(why) => return End::OutOfTime { why },
                };
                tracing::info!(step = "abandoned", pool = %next.id, "taking down another pool of this resource");
                *held = next;
            }
            end @ (End::Yielded(_) | End::OutOfTime { .. }) => return end,
        }
    }
}

/// What follows upon the request's pool, asked until it is known, the response is due or the invocation's time is over.
async fn others<W: World>(
    world: &W,
    held: &Continuation,
    outcome: &Outcome,
    poll: Duration,
    until: Timestamp,
) -> Result<Siblings, Waiting> {
    loop {
        let error = match siblings(world, held, outcome).await {
            Ok(siblings) => return Ok(siblings),
            Err(error) => error,
        };
        tracing::warn!(step = "refused", class = error.class().name(), refusal = %chain(&error));
        let again_at = world.clock().now() + poll;
        if !error.class().may_pass() || again_at >= held.answer_by {
            return Ok(Siblings::Done(Some(report::other_pools_unknown(&error.refusal))));
        }
        if again_at >= until {
            return Err(Waiting::Passing(error.refusal));
        }
        world.clock().sleep_until(again_at).await;
    }
}

fn noted(outcome: Outcome, note: Option<String>) -> Outcome {
    match outcome {
        Outcome::Succeeded { attributes, mut notes } => {
            notes.extend(note);
            Outcome::Succeeded { attributes, notes }
        }
        failed @ Outcome::Failed { .. } => failed,
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
        Err(error) => Outcome::failed(report::refused(held, &error.refusal)),
    }
}
