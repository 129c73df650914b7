//! What a request asks for: from a decoded request to a goal, and from the goal to its end.

use std::collections::BTreeSet;

use super::{ANSWER_RESERVE, CALL_RESERVE, Done, done};
use crate::cloudformation::properties::{self, Hints, hints};
use crate::cloudformation::request::{Request, RequestKind};
use crate::cloudformation::response::NO_PHYSICAL_ID;
use crate::pool::abandonment::{self, Abandoned};
use crate::pool::continuation::{self, Absent, Continuation, Goal, Memory, Preflight, Present, RequestType, Wish};
use crate::pool::convergence::attributes;
use crate::pool::decision::{Look, Outcome};
use crate::pool::identity::PhysicalId;
use crate::pool::report;
use crate::pool::spec::PoolSpec;
use crate::pool::succession::{Turn, is_the_one_held, record_name};
use crate::pool::time::Timestamp;
use crate::reconcile::chain;
use crate::reconcile::drive::{End, drive};
use crate::reconcile::locate::pools_of;
use crate::reconcile::observe::{Session, observe};
use crate::reconcile::ports::{CallError, Clock, Succession, World};
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
            End::Outcome(outcome) => match abandonment::sequel(held, &outcome) {
                Some(sequel) => {
                    tracing::info!(step = "abandoned", pool = %sequel.id, "taking down a pool that no stack knows any more");
                    *held = sequel;
                }
                None => return End::Outcome(abandonment::settled(held, outcome)),
            },
            end @ (End::Yielded(_) | End::OutOfTime { .. }) => return end,
        }
    }
}

pub(super) fn present(request: &Request, spec: PoolSpec, accepted_at: Timestamp) -> Continuation {
    let former = match &request.kind {
        RequestKind::Update { old_properties, .. } => Some(hints(old_properties)),
        RequestKind::Create | RequestKind::Delete { .. } | RequestKind::Unknown { .. } => None,
    };
    let former_tags = match &request.kind {
        RequestKind::Update { old_properties, .. } => properties::user_tags(old_properties).into_keys().collect(),
        RequestKind::Create | RequestKind::Delete { .. } | RequestKind::Unknown { .. } => Default::default(),
    };
    let id = PhysicalId::of(&request.origin, &spec);
    let abandoned = abandoned(request, &id, former.as_ref());
    let is_trusted = former.as_ref().and_then(|former| former.spec.as_ref()).is_some_and(|before| {
        before.credentials == spec.credentials
            && before.runner.group == spec.runner.group
            && PhysicalId::of(&request.origin, before) == id
    });
    // Another patience changes nothing that is there.
    let is_unchanged = former
        .as_ref()
        .and_then(|former| former.spec.clone())
        .is_some_and(|before| PoolSpec { manners: spec.manners.clone(), ..before } == spec);
    let wish = if is_unchanged { Wish::Unchanged } else { Wish::Changed };
    let goal = Goal::Present(Box::new(Present {
        spec,
        former_tags,
        former_runner_name: former.and_then(|former| former.runner_name),
        preflight: if is_trusted { Preflight::Skip } else { Preflight::Ask },
        wish,
        abandoned,
    }));
    held(request, id, goal, accepted_at)
}

/// The pool that an Update back to the old properties leaves behind: theirs are another pool's, and CloudFormation never
/// heard of that one.
fn abandoned(request: &Request, id: &PhysicalId, former: Option<&Hints>) -> Option<Abandoned> {
    let former = former?;
    let other = PhysicalId::of(&request.origin, former.spec.as_ref()?);
    let is_back = request.physical_id() == Some(id.as_str()) && other != *id;
    is_back.then(|| Abandoned { goal: Absent::alone(former.record(&other), former.manners.clone(), None), id: other })
}

fn held(request: &Request, id: PhysicalId, goal: Goal, accepted_at: Timestamp) -> Continuation {
    // A timeout that is shorter than the reserve still leaves half of itself for the work.
    let patience = request.service_timeout.saturating_sub(properties::RESERVE).max(request.service_timeout / 2);
    Continuation {
        request: continuation::Request {
            request_type: request_type(request),
            request_id: request.request_id.clone(),
            origin: request.origin.clone(),
            response_url: request.response_url.clone(),
        },
        id,
        goal,
        accepted_at,
        answer_by: accepted_at + patience,
        hops: 0,
        turn: None,
        memory: Memory::default(),
    }
}

/// What was asked for.
pub(super) const fn request_type(request: &Request) -> RequestType {
    match request.kind {
        RequestKind::Create => RequestType::Create,
        RequestKind::Update { .. } => RequestType::Update,
        RequestKind::Delete { .. } => RequestType::Delete,
        RequestKind::Unknown { .. } => RequestType::Unknown,
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

/// What a Delete is about, or the answer when that is nothing.
pub(super) async fn absent<W: World>(
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
    let sent_id = Some(request.physical_id().unwrap_or(NO_PHYSICAL_ID).to_owned());
    let goal = Absent::alone(hints.record(&id), hints.manners, sent_id);
    let others = others_than(world, request, &id).await;
    let main = held(request, id, Goal::Absent(Box::new(goal)), accepted_at);
    Ok(abandonment::one_after_another(main, others))
}

/// The other pools of the resource, where this is the one that the stack holds. They are nobody's any more; where they
/// cannot be looked for they stay.
async fn others_than<W: World>(world: &W, request: &Request, id: &PhysicalId) -> BTreeSet<PhysicalId> {
    let looked = async {
        let record = world.succession().turn(&record_name(&request.origin)).await?;
        if !record.is_some_and(|record| is_the_one_held(&Turn::from_record(&record.text), id.as_str())) {
            return Ok(BTreeSet::new());
        }
        let mut pools = pools_of(world, &request.origin).await?;
        pools.remove(id);
        Ok(pools)
    };
    looked.await.unwrap_or_else(|error: CallError| {
        tracing::warn!(step = "other_pools", class = error.class().name(), refusal = %chain(&error));
        BTreeSet::new()
    })
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
