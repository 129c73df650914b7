//! Who works on a resource: one request at a time, the newest that CloudFormation sent.
//!
//! CloudFormation does not notify a cancelled operation: it signs a new request and waits for that one only, while the
//! older one may still be at work. So a request acquires the resource's operation lock before its first write, and
//! reads it again before every further step. A lock that another request has written since ends the work.
//!
//! Requests are ordered by the moment at which CloudFormation signed them, and invocations of one request by their
//! continuation count; among equals the one that wrote last goes on, by the record's version.
//!
//! # Guarantees
//!
//! - At most one request of a resource writes, apart from the calls that are under way when another preempts it. That
//!   one succeeds only once it has observed the pool after the time that these may take.
//! - Every delivery of a request gets the same response, byte for byte.
//!
//! # Assumptions
//!
//! - CloudFormation waits for its newest request of a resource only.
//! - Lambda delivers an event for the last time within a day of its request.
//!
//! # Races, and the outcome chosen for each
//!
//! - **A newer request and an older one at work.** The newer acquires the lock; the older stops when it next reads it,
//!   and does not respond. What the older has half done is where the newer one begins: it observes again, since the
//!   observation before the lock may be older than the last write of the older request.
//! - **An older request that Lambda delivers late, or that was cancelled at work.** It finds a newer lock and stops
//!   before its next write, whichever pool of the resource that is about.
//! - **Two deliveries of one event.** The later acquires the lock, since the earlier may be dead; the earlier does not
//!   respond.
//! - **A delivery of an earlier invocation's event**, when a later continuation is at work: it does not respond.
//! - **A delivery of a request that has a response.** It sends that response again.
//! - **Two invocations that write at the same time.** A write names the version that it replaces, so one of them fails,
//!   reads what the other has written, and decides again.
//! - **The same request id with another URL** is another request: CloudFormation tries again, and waits there.
//! - **A Delete of one pool and a newer request for another pool of the same resource**, or the Delete that follows upon
//!   a replacement: neither preempts the other. The record is the other's, and the Delete keeps one of its own below it.
//! - **The Delete of a resource whose whole stack is deleted and any older request for it**, whichever pool that is
//!   about: the Delete preempts it, since it deletes every pool of the resource.
//! - **An event that Lambda delivers after its pool was deleted.** The lock of the Delete stays for a day as a tombstone
//!   with the Delete's response. An older request finds that it is superseded, another delivery of the Delete repeats
//!   the response, and a newer Create acquires the lock from it.
//! - **A Create that has not acquired its lock when its Delete comes**, with an id that CloudFormation made up: the Delete
//!   finds neither lock nor pool, and leaves a tombstone.
//! - **A Delete that finds the lock of another pool without a pool behind it** makes that lock a tombstone as well.
//! - **A lock that is gone** although this request had acquired it, as when someone deletes the item: the request stops.

use crate::pool::model::memory::Memory;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{Goal, Operation, SpecChange};
use crate::pool::model::operation_lock::{
    FORMAT, LockPurpose, ObservedLock, OperationLock, Superseded, pool_lock_key, resource_lock_key,
};
use crate::pool::model::step::Step;

/// Whether a request has the lock.
enum LockState {
    /// The request has it.
    Acquired,
    /// The request must acquire it before its first write.
    Available,
    /// The request must not acquire it.
    Lost(Superseded),
}

/// What to do before the next write: nothing, acquire the lock, or stop.
pub(super) enum LockAction {
    Proceed,
    Acquire(Step),
    Stop(Superseded),
}

/// Why this invocation must stop, if it must.
pub(super) fn superseded_by(operation: &Operation, memory: &Memory, observed: &Observed) -> Option<Superseded> {
    match lock_state(operation, memory, observed.lock.as_ref()) {
        LockState::Lost(why) => Some(why),
        LockState::Acquired | LockState::Available => None,
    }
}

/// Whether the lock is acquired before anything else is observed. A Delete that comes while this request still observes
/// has to find it, and what this request observes has to be newer than the writes of any other request. Only a request
/// that may find that there is nothing to do acquires it later, before its first effect.
#[must_use]
pub fn must_lock_before_observing(operation: &Operation, memory: &Memory) -> bool {
    memory.lock_version.is_none()
        && match &operation.goal {
            Goal::Converge(goal) => goal.change == SpecChange::Changed,
            Goal::Delete(_) => true,
        }
}

/// What to do before a write, and before waiting for one.
pub(super) fn before_write(operation: &Operation, memory: &Memory, observed: &Observed) -> LockAction {
    match lock_state(operation, memory, observed.lock.as_ref()) {
        LockState::Lost(why) => LockAction::Stop(why),
        LockState::Available => LockAction::Acquire(Step::AcquireLock(
            operation.lock(observed.lock.as_ref().map(|observed| &observed.lock)),
        )),
        LockState::Acquired => LockAction::Proceed,
    }
}

/// What to do before a response. A request that changes nothing, and finds no other request in progress, acquires no
/// lock: an unchanged pool costs reads only. Every other request acquires the lock even if its goal is already reached,
/// because an older request may still be in progress and change that.
pub(super) fn before_response(operation: &Operation, memory: &Memory, observed: &Observed) -> LockAction {
    let is_quiet = match &operation.goal {
        Goal::Converge(goal) => {
            memory.lock_version.is_none()
                && goal.change == SpecChange::Unchanged
                && observed
                    .lock
                    .as_ref()
                    .is_none_or(|observed| observed.lock.response.is_some() || observed.lock.is_of(&operation.request))
        }
        // Even if nothing is left to delete, since the lock with its response is the tombstone.
        Goal::Delete(_) => false,
    };
    if is_quiet { LockAction::Proceed } else { before_write(operation, memory, observed) }
}

/// Whether acquiring the lock now preempts a request that has no response yet. What that request did after this
/// observation is unknown: it may have lifted the protection of a task that has a job.
#[must_use]
pub fn preempts_pending_request(operation: &Operation, observed: &Observed) -> bool {
    let is_pending = |observed: &ObservedLock| {
        !observed.lock.is_of(&operation.request) && observed.lock.format == FORMAT && observed.lock.response.is_none()
    };
    observed.lock.as_ref().is_some_and(is_pending)
}

/// The key of a request's lock.
#[must_use]
pub fn lock_key(operation: &Operation, observed: &Observed) -> String {
    let of_resource = resource_lock_key(&operation.request.stack_resource);
    if observed.has_pool_lock { pool_lock_key(&of_resource, operation.id.hash()) } else { of_resource }
}

fn lock_state(operation: &Operation, memory: &Memory, found: Option<&ObservedLock>) -> LockState {
    let Some(ObservedLock { lock, version }) = found else {
        return match (&operation.goal, memory.lock_version) {
            // The item was deleted by hand.
            (Goal::Converge(_), Some(_)) => LockState::Lost(Superseded::ByNewerRequest),
            (Goal::Converge(_) | Goal::Delete(_), _) => LockState::Available,
        };
    };
    if lock.is_of(&operation.request) {
        return own_lock_state(operation, memory, lock, *version);
    }
    let is_for_other_pool = lock.pool != operation.current_pool() && !lock.covers_resource;
    // CloudFormation waits for its last request only. An older one is an event that Lambda delivers late, or was
    // cancelled.
    let is_older = lock.signed_at > operation.signed_at;
    let is_deletion = lock.purpose == LockPurpose::Delete;
    if matches!(operation.goal, Goal::Converge(_)) && is_for_other_pool && is_deletion && !is_older {
        return foreign_lock_state(memory, *version);
    }
    // Signatures are dated in whole seconds. Of two that are equal, the one that wrote later came later.
    let is_newer = lock.signed_at > operation.signed_at
        || (lock.signed_at == operation.signed_at && memory.lock_version.is_some_and(|mine| mine < *version));
    if is_newer { LockState::Lost(Superseded::ByNewerRequest) } else { foreign_lock_state(memory, *version) }
}

/// The state of the lock that this request has written.
fn own_lock_state(operation: &Operation, memory: &Memory, lock: &OperationLock, version: u64) -> LockState {
    if let Some(response) = &lock.response {
        return LockState::Lost(Superseded::AlreadyResponded(response.clone()));
    }
    match memory.lock_version {
        _ if lock.is_later_invocation_than(operation.continuation_count) => {
            LockState::Lost(Superseded::ByOtherInvocation)
        }
        Some(mine) if version > mine => LockState::Lost(Superseded::ByOtherInvocation),
        Some(_) => LockState::Acquired,
        None => LockState::Available,
    }
}

/// The lock belongs to a request that does not preempt this one: either it was written over this request's lock, or an
/// older version was read.
fn foreign_lock_state(memory: &Memory, version: u64) -> LockState {
    if memory.lock_version.is_some_and(|mine| version < mine) { LockState::Acquired } else { LockState::Available }
}
