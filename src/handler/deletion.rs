//! Determines which pools a Delete removes: the pool that its physical id names, and no other pool unless
//! CloudFormation reports that the whole stack is being deleted.

use std::time::Duration;

use super::completion::Completion;
use super::goal;
use super::respond::Recording;
use crate::cloudformation::request::CustomResourceRequest;
use crate::cloudformation::response::NO_PHYSICAL_ID;
use crate::pool::model::evidence::{DeletionEvidence, StackDeletion};
use crate::pool::model::identity::{PhysicalId, StackResource};
use crate::pool::model::operation::{Goal, Operation, PreviousPool};
use crate::pool::model::operation_lock::{ObservedLock, OperationLock, resource_lock_key};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remains::RemainsRecord;
use crate::pool::model::remote_error::RemoteError;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::orphaned_pools::{delete_next_pool_of_stack, delete_previous_pool};
use crate::pool::policy::reasons;
use crate::reconcile::apply::write_lock;
use crate::reconcile::chain;
use crate::reconcile::lookup::{pools_of, read_lock};
use crate::reconcile::ports::{Clock, CloudFormation, RemoteResult, World};
use crate::reconcile::remains::read_remains;

/// Maximum attempts of a lookup that must succeed before the pool is known.
const TRIES: u32 = 6;
/// The delay after the first attempt, doubled after each further one. The attempts take about a minute in all, which
/// outlasts a brief outage.
const PAUSE: Duration = Duration::from_secs(2);

/// The Delete's operation, or its completion if there is nothing to delete.
pub(super) async fn absent<W: World>(
    world: &W,
    request: &CustomResourceRequest,
    physical_id: &str,
    signed_at: Timestamp,
) -> Result<Operation, Completion> {
    let respond = |outcome, recording| {
        let requested_id = request.physical_id().unwrap_or(NO_PHYSICAL_ID);
        Err(Completion::respond(requested_id, outcome, recording))
    };
    if let Some(evidence) = DeletionEvidence::named(&request.stack_resource, physical_id) {
        return Ok(goal::delete_operation(request, evidence, signed_at));
    }
    let mut pause = PAUSE;
    let mut tries = 1;
    let found = loop {
        match without_name(world, request, physical_id).await {
            Err(error) if error.kind().is_retryable() && tries < TRIES => {
                tracing::warn!(step = "remote_error", kind = error.kind().name(), error = %chain(&error));
                world.clock().sleep_until(world.clock().now() + pause).await;
                (pause, tries) = (pause.saturating_mul(2), tries.saturating_add(1));
            }
            done => break done,
        }
    };
    match found {
        Ok(Found::Evidence(evidence)) => Ok(goal::delete_operation(request, evidence, signed_at)),
        Ok(Found::Nothing { note }) => {
            tracing::info!(step = "delete", "nothing to delete");
            // The record is a tombstone for a Create that has not acquired its lock yet.
            let recording = if note.is_none() { Recording::Record } else { Recording::Skip };
            let notes = note.into_iter().collect();
            respond(Outcome::Succeeded { attributes: Default::default(), notes }, recording)
        }
        Ok(Found::Unknown(remote_error)) => {
            respond(Outcome::failed(reasons::pool_not_identified(&remote_error)), Recording::Skip)
        }
        Err(error) => respond(Outcome::failed(reasons::pool_not_identified(&error.remote_error)), Recording::Skip),
    }
}

/// What a Delete whose physical id is not a pool's refers to.
enum Found {
    /// A pool.
    Evidence(DeletionEvidence),
    /// Nothing, and this is to be said.
    Nothing { note: Option<String> },
    /// Possibly a pool that is deleted with its stack: CloudFormation does not report whether the stack is being
    /// deleted.
    Unknown(RemoteError),
}

async fn without_name<W: World>(world: &W, request: &CustomResourceRequest, physical_id: &str) -> RemoteResult<Found> {
    let stack_resource = &request.stack_resource;
    let lock = lock_of_resource(world, stack_resource).await?.map(|found| found.lock);
    if let Some(lock) = &lock {
        if let Some(evidence) = DeletionEvidence::again(lock, &goal::request_info(request)) {
            return Ok(Found::Evidence(evidence));
        }
        // The function uses this id when it cannot identify the pool, and then it has built nothing.
        if physical_id != NO_PHYSICAL_ID && lock.pool_without_success().is_some() {
            let status = world.cloudformation().stack_status(&stack_resource.stack_id).await?;
            if let Some(evidence) = DeletionEvidence::unanswered_create(lock, status.as_deref()) {
                return Ok(Found::Evidence(evidence));
            }
        }
    }
    let pools = pools_of(world, stack_resource).await?;
    // An Update that is still in progress, or whose event is delivered again, would build a pool after this Delete's
    // response.
    let at_work = lock.as_ref().and_then(OperationLock::pool_at_work);
    let Some(first) = pools.first().cloned().or(at_work) else {
        return Ok(Found::Nothing { note: None });
    };
    let (stack_deletion, unknown) = stack_deletion(world, stack_resource).await?;
    let is_live = |id: &PhysicalId| lock.as_ref().is_some_and(|lock| lock.is_live(id));
    Ok(match (stack_deletion, unknown) {
        (Some(stack_deletion), _) => Found::Evidence(stack_deletion.of_pool(first)),
        (None, Some(remote_error)) if !is_live(&first) || !pools.iter().all(is_live) => Found::Unknown(remote_error),
        (None, _) => Found::Nothing { note: reasons::names_no_pool(physical_id, &pools) },
    })
}

/// What follows once the pool of a request has converged or has been deleted.
pub(super) enum Siblings {
    /// Another pool has to be deleted.
    Next(Box<Operation>),
    /// Nothing, and this is to be said.
    Done(Option<String>),
    /// Whether another pool has to be deleted is unknown, for this reason.
    Unknown(String),
}

/// Looks for other pools of the resource after a Delete has removed its pool: pools that no stack refers to any more, a
/// pool that another request had started to build when this Delete preempted it, and what an earlier Delete may have left
/// at GitHub.
pub(super) async fn siblings<W: World>(world: &W, operation: &Operation, outcome: &Outcome) -> RemoteResult<Siblings> {
    let Outcome::Succeeded { .. } = outcome else { return Ok(Siblings::Done(None)) };
    let goal = match &operation.goal {
        Goal::Converge(goal) => return previous_pool(world, operation, outcome, goal.previous_pool.as_ref()).await,
        Goal::Delete(goal) => goal,
    };
    if goal.surviving_outcome.is_some() {
        return Ok(Siblings::Done(None));
    }
    let stack_resource = &operation.request.stack_resource;
    let mut pools = pools_of(world, stack_resource).await?;
    let found = lock_of_resource(world, stack_resource).await?;
    let lock = found.as_ref().map(|found| &found.lock);
    let is_other = |id: &PhysicalId| *id != operation.id && !goal.deleted_pools.contains(id);
    pools.retain(is_other);
    // A request that is still in progress would build it after this Delete's response, for a deleted stack.
    let at_work = lock.and_then(OperationLock::pool_at_work).filter(is_other);
    let remains = read_remains(world, stack_resource).await?;
    let deleted_before = remains.pools().map(|(id, _)| id).filter(|id| is_other(id)).cloned();
    let all: Vec<PhysicalId> = pools.iter().cloned().chain(at_work.clone()).chain(deleted_before).collect();
    let (stack_deletion, unknown) =
        if all.is_empty() { (None, None) } else { stack_deletion(world, stack_resource).await? };
    if let Some(next) = stack_deletion.and_then(|word| delete_next_pool_of_stack(operation, outcome, all, word)) {
        return Ok(Siblings::Next(Box::new(next)));
    }
    if pools.is_empty() && at_work.is_none() {
        let is_left = lock.is_some_and(|lock| lock.response().is_some() || lock.is_of(&operation.request));
        let handled = goal.deleted_pools.iter().chain([&operation.id]);
        let notes = reasons::notes_of_deleted_pools(&handled.fold(remains, RemainsRecord::without));
        write_tombstone(world, stack_resource, found.filter(|_| is_left)).await?;
        return Ok(Siblings::Done((!notes.is_empty()).then(|| notes.join("; "))));
    }
    if let Some(lock) = &lock {
        pools.retain(|id| !lock.is_live(id));
    }
    Ok(match unknown {
        Some(remote_error) if !pools.is_empty() || at_work.is_some() => {
            Siblings::Unknown(reasons::stack_deletion_unknown(&operation.id, &pools, &remote_error))
        }
        Some(_) | None => Siblings::Done(reasons::pools_left(&pools)),
    })
}

/// Turns the lock of a resource that has no pool into a tombstone. Such a lock names a pool that a completed request
/// did not build, or a pool that was deleted by other means. A lock that another request has written since is not
/// changed.
async fn write_tombstone<W: World>(
    world: &W,
    stack_resource: &StackResource,
    left: Option<ObservedLock>,
) -> RemoteResult<()> {
    let Some(left) = left.filter(|left| !left.lock.is_tombstone()) else { return Ok(()) };
    let lock = left.lock.clone().without_pools();
    write_lock(world, &resource_lock_key(stack_resource), Some(&left), &lock).await.map(drop)
}

/// The pool that an Update abandons when it returns to another one.
async fn previous_pool<W: World>(
    world: &W,
    operation: &Operation,
    outcome: &Outcome,
    former: Option<&PreviousPool>,
) -> RemoteResult<Siblings> {
    let Some(former) = former else { return Ok(Siblings::Done(None)) };
    let lock = lock_of_resource(world, &operation.request.stack_resource).await?;
    if let Some(next) = delete_previous_pool(operation, outcome, lock.as_ref().map(|found| &found.lock)) {
        return Ok(Siblings::Next(Box::new(next)));
    }
    let mut pools = pools_of(world, &operation.request.stack_resource).await?;
    pools.retain(|id| *id == former.id);
    Ok(Siblings::Done(reasons::pools_left(&pools)))
}

/// Evidence that the whole stack is being deleted, if CloudFormation reports so, or the reason why CloudFormation
/// cannot be asked.
async fn stack_deletion<W: World>(
    world: &W,
    stack_resource: &StackResource,
) -> RemoteResult<(Option<StackDeletion>, Option<RemoteError>)> {
    match world.cloudformation().stack_status(&stack_resource.stack_id).await {
        Ok(status) => Ok((status.and_then(|status| StackDeletion::of(&status)), None)),
        Err(error) if error.kind().is_retryable() => Err(error),
        Err(error) => {
            tracing::warn!(step = "other_pools", kind = error.kind().name(), error = %chain(&error));
            Ok((None, Some(error.remote_error)))
        }
    }
}

/// The lock of the resource as its last request wrote it.
async fn lock_of_resource<W: World>(world: &W, stack_resource: &StackResource) -> RemoteResult<Option<ObservedLock>> {
    read_lock(world, &resource_lock_key(stack_resource)).await
}
