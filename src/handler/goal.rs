//! From a decoded request to the continuation that carries its goal.

use crate::cloudformation::properties::{self, Hints, hints};
use crate::cloudformation::request::{Request, RequestKind};
use crate::cloudformation::response::NO_PHYSICAL_ID;
use crate::pool::continuation::{
    self, Absent, Continuation, FormerPool, Goal, Memory, Preflight, Present, RequestType, Wish,
};
use crate::pool::evidence::DeletionEvidence;
use crate::pool::identity::PhysicalId;
use crate::pool::spec::PoolSpec;
use crate::pool::time::Timestamp;

/// The goal of a Create or an Update.
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
    let former_pool = former_pool(request, &id, former.as_ref());
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
        former_pool,
    }));
    held(request, id, goal, accepted_at)
}

/// The pool that an Update leaves behind, whose physical id is already that of the pool it asks for.
fn former_pool(request: &Request, id: &PhysicalId, former: Option<&Hints>) -> Option<FormerPool> {
    let former = former?;
    let other = PhysicalId::of(&request.origin, former.spec.as_ref()?);
    let is_back = request.physical_id() == Some(id.as_str()) && other != *id;
    is_back.then(|| FormerPool { record: former.record(&other), manners: former.manners.clone(), id: other })
}

/// The goal of a Delete: one pool, for which there is evidence.
pub(super) fn absent(request: &Request, evidence: DeletionEvidence, accepted_at: Timestamp) -> Continuation {
    let hints = hints(&request.properties);
    let id = evidence.pool().clone();
    let sent_id = Some(request.physical_id().unwrap_or(NO_PHYSICAL_ID).to_owned());
    let goal = Absent::alone(evidence, hints.record(&id), hints.manners, sent_id);
    held(request, id, Goal::Absent(Box::new(goal)), accepted_at)
}

fn held(request: &Request, id: PhysicalId, goal: Goal, accepted_at: Timestamp) -> Continuation {
    // A timeout that is shorter than the reserve still leaves half of itself for the work.
    let patience = request.service_timeout.saturating_sub(properties::RESERVE).max(request.service_timeout / 2);
    Continuation {
        request: asked(request),
        id,
        goal,
        accepted_at,
        answer_by: accepted_at + patience,
        hops: 0,
        turn: None,
        memory: Memory::default(),
    }
}

/// The request, as it is carried along.
pub(super) fn asked(request: &Request) -> continuation::Request {
    continuation::Request {
        request_type: request_type(request),
        request_id: request.request_id.clone(),
        origin: request.origin.clone(),
        response_url: request.response_url.clone(),
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
