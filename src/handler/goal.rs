//! Turns a decoded request into the continuation that carries its goal.

use crate::cloudformation::properties::{self, DecodedProperties};
use crate::cloudformation::request::{CustomResourceRequest, RequestKind};
use crate::cloudformation::response::NO_PHYSICAL_ID;
use crate::pool::model::evidence::DeletionEvidence;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::operation::{ConvergeGoal, DeleteGoal, Goal, Operation, Preflight, PreviousPool, SpecChange};
use crate::pool::model::request::RequestInfo;
use crate::pool::model::request::RequestType;
use crate::pool::model::spec::{NoTaskRole, PoolSpec, RegistrationDefaults};
use crate::pool::model::time::Timestamp;

/// The goal of a Create or an Update.
///
/// # Errors
/// When the pool's tasks would have no role with which to ask for their registration.
pub(super) fn converge_operation(
    request: &CustomResourceRequest,
    spec: PoolSpec,
    defaults: &RegistrationDefaults,
    signed_at: Timestamp,
) -> Result<Operation, NoTaskRole> {
    let former = match &request.kind {
        RequestKind::Update { previous, .. } => Some(&**previous),
        RequestKind::Create | RequestKind::Delete { .. } | RequestKind::Unknown { .. } => None,
    };
    let previous_tags = former.map(|former| former.tags.keys().cloned().collect()).unwrap_or_default();
    let id = PhysicalId::of(&request.stack_resource, &spec);
    let previous_pool = previous_pool(request, &id, former);
    let is_trusted = former.and_then(DecodedProperties::deployed_spec).is_some_and(|before| {
        before.credentials == spec.credentials
            && before.runner.group == spec.runner.group
            && PhysicalId::of(&request.stack_resource, before) == id
    });
    // A change of timeouts changes no resource.
    let is_unchanged = former
        .and_then(|former| former.deployed_spec().cloned())
        .is_some_and(|before| PoolSpec { wait_policy: spec.wait_policy.clone(), ..before } == spec);
    let change = if is_unchanged { SpecChange::Unchanged } else { SpecChange::Changed };
    let goal = Goal::Converge(Box::new(ConvergeGoal {
        spec: spec.with_defaults(defaults)?,
        previous_tags,
        previous_runner_name: former.and_then(|former| former.runner_name.clone()),
        preflight: if is_trusted { Preflight::Skip } else { Preflight::Run },
        change,
        previous_pool,
    }));
    Ok(operation(request, id, goal, signed_at))
}

/// The pool that an Update leaves behind, if the Update's physical id is already that of the pool it asks for.
fn previous_pool(
    request: &CustomResourceRequest,
    id: &PhysicalId,
    former: Option<&DecodedProperties>,
) -> Option<PreviousPool> {
    let former = former?;
    let other = PhysicalId::of(&request.stack_resource, former.deployed_spec()?);
    let is_back = request.physical_id() == Some(id.as_str()) && other != *id;
    is_back.then(|| PreviousPool {
        metadata: former.metadata(&other),
        wait_policy: former.wait_policy.clone(),
        id: other,
    })
}

/// The goal of a Delete: one pool, for which there is evidence.
pub(super) fn delete_operation(
    request: &CustomResourceRequest,
    evidence: DeletionEvidence,
    signed_at: Timestamp,
) -> Operation {
    let properties = &request.properties;
    let id = evidence.pool().clone();
    let requested_id = Some(request.physical_id().unwrap_or(NO_PHYSICAL_ID).to_owned());
    let goal =
        DeleteGoal::single_pool(evidence, properties.metadata(&id), properties.wait_policy.clone(), requested_id);
    operation(request, id, Goal::Delete(Box::new(goal)), signed_at)
}

fn operation(request: &CustomResourceRequest, id: PhysicalId, goal: Goal, signed_at: Timestamp) -> Operation {
    // A timeout that is shorter than the reserve still leaves half of itself for the work.
    let patience = request.service_timeout.saturating_sub(properties::RESPONSE_MARGIN).max(request.service_timeout / 2);
    Operation {
        request: request_info(request),
        id,
        goal,
        signed_at,
        respond_by: signed_at + patience,
        continuation_count: 0,
    }
}

/// The part of the request that the continuation carries.
pub(super) fn request_info(request: &CustomResourceRequest) -> RequestInfo {
    RequestInfo {
        request_type: request_type(request),
        request_id: request.request_id.clone(),
        stack_resource: request.stack_resource.clone(),
        response_url: request.response_url.clone(),
    }
}

/// The type of the request.
pub(super) const fn request_type(request: &CustomResourceRequest) -> RequestType {
    match request.kind {
        RequestKind::Create => RequestType::Create,
        RequestKind::Update { .. } => RequestType::Update,
        RequestKind::Delete { .. } => RequestType::Delete,
        RequestKind::Unknown { .. } => RequestType::Unknown,
    }
}
