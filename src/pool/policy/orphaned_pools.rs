//! Deletes the pools of a resource that no other request would ever delete.
//!
//! A pool other than the one that a request names is deleted only with evidence from CloudFormation, which is a type:
//! [`crate::pool::model::evidence::DeletionEvidence`]. There are two kinds.
//!
//! **The whole stack is going.** CloudFormation tries the Delete of a pool that was replaced three times and then
//! leaves it; a rollback that fails, or whose resource is skipped, may leave a pool as well. A Delete that finds its
//! stack in `DELETE_IN_PROGRESS` takes down every pool of the resource, the named one first. A Delete in any other
//! operation of its stack, a clean-up or the removal of the resource from the template, takes down the named pool
//! alone, and its response names the others. A pool of which only something at GitHub may be left counts as one of them
//! ([`crate::pool::model::remains`]). If CloudFormation does not say, and there are others that no SUCCESS
//! was for, the Delete fails: nothing would ask again once the stack is gone.
//!
//! **An Update goes back to the pool that the stack has.** While an Update builds another pool, CloudFormation may
//! cancel it, because another resource failed. It has not learned the new pool's id by then, so it sends one Update
//! back to the old properties, with the old pool's id, and no Delete. `OldResourceProperties` describe the other pool:
//! once the pool that stays is as it should be, that one is taken down, and the response is that of the pool that
//! stays.
//!
//! # What if CloudFormation does know the other pool?
//!
//! - **The Update failed, and its response named the new pool.** The Update back carries the new pool's id. It takes
//!   down nothing; the clean-up Delete with that id does.
//! - **The same, and the clean-up Delete comes before the Update back.** It names the new pool, which goes. The Update
//!   back finds nothing of it, whichever id it carries.
//! - **The Update succeeded, and another resource failed.** The same as the first.
//! - **The Update back fails.** Nothing is taken down: the pool that was to stay is not as it should be. The next
//!   Update or the stack's Delete decides.
//! - **The Update back is skipped** (`ContinueUpdateRollback` with `ResourcesToSkip`), or it failed before. The stack
//!   has the old pool's id or the new one's, and old properties or new. The next Update may then name the pool that it
//!   asks for while its old properties describe the pool that had the last SUCCESS. That pool stays, for jobs run
//!   there, and the response names it; it goes when the stack is deleted. In every other combination the clean-up
//!   Delete names what goes.
//! - **The cancelled Update went to a pool of an earlier SUCCESS** that the stack has left behind, such as one whose
//!   clean-up failed. It is undone with the Update that wanted it again.
//! - **The cancelled Update had succeeded in the moment of the cancellation.** CloudFormation ignored its response, or
//!   the Update back would carry the new pool's id. The operation lock cannot distinguish that from a response that was
//!   accepted, so the new pool stays and is named as well.

use crate::pool::model::evidence::{DeletionEvidence, StackDeletion};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::operation::{DeleteGoal, Goal, Operation};
use crate::pool::model::operation_lock::OperationLock;
use crate::pool::model::outcome::Outcome;

/// The operation that follows an Update that has reached its goal: deleting the pool that the Update abandoned, if the
/// resource's operation lock says that this pool never had a SUCCESS.
#[must_use]
pub fn delete_previous_pool(
    operation: &Operation,
    outcome: &Outcome,
    lock: Option<&OperationLock>,
) -> Option<Operation> {
    let (Goal::Converge(goal), Outcome::Succeeded { .. }) = (&operation.goal, outcome) else { return None };
    let previous = goal.previous_pool.as_ref()?;
    let evidence = DeletionEvidence::update_back(&previous.id, lock)?;
    let requested_id = Some(operation.id.as_str().to_owned());
    let goal = DeleteGoal {
        surviving_outcome: Some(outcome.clone()),
        ..DeleteGoal::single_pool(evidence, previous.metadata.clone(), previous.wait_policy.clone(), requested_id)
    };
    let id = previous.id.clone();
    Some(Operation { id, goal: Goal::Delete(Box::new(goal)), ..operation.clone() })
}

/// The operation that follows the deletion of a pool whose whole stack is being deleted: deleting the next of the pools
/// that were `found`; `None` after the last.
#[must_use]
pub fn delete_next_pool_of_stack(
    operation: &Operation,
    outcome: &Outcome,
    found: impl IntoIterator<Item = PhysicalId>,
    stack_deletion: StackDeletion,
) -> Option<Operation> {
    let (Goal::Delete(goal), Outcome::Succeeded { notes, .. }) = (&operation.goal, outcome) else { return None };
    let next = found.into_iter().find(|id| *id != operation.id && !goal.deleted_pools.contains(id))?;
    let evidence = stack_deletion.of_pool(next.clone());
    let goal = DeleteGoal {
        notes: [goal.notes.as_slice(), notes].concat(),
        deleted_pools: [goal.deleted_pools.as_slice(), std::slice::from_ref(&operation.id)].concat(),
        ..DeleteGoal::single_pool(
            evidence,
            None,
            goal.wait_policy.clone(),
            Some(operation.response_physical_id().to_owned()),
        )
    };
    Some(Operation { id: next, goal: Goal::Delete(Box::new(goal)), ..operation.clone() })
}

/// The combined outcome: that of the pool that stays, with what is left of the other pool as a warning; or that of all
/// deleted pools.
#[must_use]
pub fn combined_outcome(operation: &Operation, outcome: Outcome) -> Outcome {
    let Goal::Delete(goal) = &operation.goal else { return outcome };
    match (goal.surviving_outcome.clone(), outcome) {
        (Some(Outcome::Succeeded { attributes, notes }), Outcome::Succeeded { notes: more, .. }) => {
            Outcome::Succeeded { attributes, notes: [notes, more].concat() }
        }
        (Some(Outcome::Succeeded { attributes, notes }), Outcome::Failed { reason }) => {
            Outcome::Succeeded { attributes, notes: [notes, vec![orphan_remains(&operation.id, &reason)]].concat() }
        }
        (_, Outcome::Succeeded { attributes, notes }) => {
            Outcome::Succeeded { attributes, notes: [goal.notes.clone(), notes].concat() }
        }
        (_, Outcome::Failed { reason }) if !goal.deleted_pools.is_empty() => {
            Outcome::failed(orphan_remains(&operation.id, &reason))
        }
        (_, failed @ Outcome::Failed { .. }) => failed,
    }
}

fn orphan_remains(id: &PhysicalId, reason: &str) -> String {
    format!("The orphaned pool {id} could not be deleted: {reason}")
}
