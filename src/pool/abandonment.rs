//! The pools of a resource that nothing else would ever delete.
//!
//! A pool other than the one that a request names is taken down only on CloudFormation's word, which is a type:
//! [`super::evidence::DeletionEvidence`]. There are two such words.
//!
//! **The whole stack is going.** CloudFormation tries the Delete of a pool that was replaced three times and then leaves
//! it; a rollback that fails, or whose resource is skipped, may leave a pool as well. A Delete that finds its stack in
//! `DELETE_IN_PROGRESS` takes down every pool of the resource, the named one first. A Delete in any other operation of its
//! stack, a clean-up or the removal of the resource from the template, takes down the named pool alone, and its response
//! names the others.
//!
//! **An Update goes back to the pool that the stack has.** While an Update builds another pool, CloudFormation may cancel
//! it, because another resource failed. It has not learned the new pool's id by then, so it sends one Update back to the
//! old properties, with the old pool's id, and no Delete. `OldResourceProperties` describe the other pool: once the pool
//! that stays is as it should be, that one is taken down, and the response is that of the pool that stays.
//!
//! # What if CloudFormation does know the other pool?
//!
//! - **The Update failed, and its response named the new pool.** The Update back carries the new pool's id. It takes
//!   down nothing; the clean-up Delete with that id does.
//! - **The same, and the clean-up Delete comes before the Update back.** It names the new pool, which goes. The Update
//!   back finds nothing of it, whichever id it carries.
//! - **The Update succeeded, and another resource failed.** The same as the first.
//! - **The Update back fails.** Nothing is taken down: the pool that was to stay is not as it should be. The next Update
//!   or the stack's Delete decides.
//! - **The Update back is skipped** (`ContinueUpdateRollback` with `ResourcesToSkip`), or it failed before. The stack has
//!   the old pool's id or the new one's, and old properties or new. The next Update may then name the pool that it asks
//!   for while its old properties describe the pool that had the last SUCCESS. That pool stays, for jobs run there, and
//!   the response names it; it goes when the stack is deleted. In every other combination the clean-up Delete names what
//!   goes.
//! - **The cancelled Update had succeeded in the moment of the cancellation.** CloudFormation ignored its response, or the
//!   Update back would carry the new pool's id. The operation lock cannot tell that from a response that was accepted, so
//!   the new pool stays and is named as well.

use super::continuation::{Absent, Continuation, Goal, Memory};
use super::decision::Outcome;
use super::evidence::{DeletionEvidence, StackDeletion};
use super::identity::PhysicalId;
use super::succession::Turn;

/// What goes on after the pool of an Update is as it should be: taking down the one that it goes back from, if the
/// resource's operation lock says that this one never had a SUCCESS.
#[must_use]
pub fn sequel(held: &Continuation, outcome: &Outcome, turn: Option<&Turn>) -> Option<Continuation> {
    let (Goal::Present(present), Outcome::Succeeded { .. }) = (&held.goal, outcome) else { return None };
    let former = present.former_pool.as_ref()?;
    let evidence = DeletionEvidence::update_back(former, turn)?;
    let sent_id = Some(held.id.as_str().to_owned());
    let goal = Absent {
        kept: Some(outcome.clone()),
        ..Absent::alone(evidence, former.record.clone(), former.manners.clone(), sent_id)
    };
    let id = former.id.clone();
    Some(Continuation { id, goal: Goal::Absent(Box::new(goal)), memory: Memory::default(), ..held.clone() })
}

/// What goes on after a pool is gone whose whole stack is going: taking down the next of the pools that were `found`.
/// `None` once every one of them has been taken down.
#[must_use]
pub fn next_of_stack(
    held: &Continuation,
    outcome: &Outcome,
    found: impl IntoIterator<Item = PhysicalId>,
    stack_deletion: StackDeletion,
) -> Option<Continuation> {
    let (Goal::Absent(absent), Outcome::Succeeded { notes, .. }) = (&held.goal, outcome) else { return None };
    let next = found.into_iter().find(|id| *id != held.id && !absent.others.contains(id))?;
    let evidence = stack_deletion.of_pool(next.clone());
    let goal = Absent {
        notes: [absent.notes.as_slice(), notes].concat(),
        others: [absent.others.as_slice(), std::slice::from_ref(&held.id)].concat(),
        ..Absent::alone(evidence, None, absent.manners.clone(), Some(held.answered_id().to_owned()))
    };
    Some(Continuation { id: next, goal: Goal::Absent(Box::new(goal)), memory: Memory::default(), ..held.clone() })
}

/// What is answered: of the pool that stays, which is as it should be, so that what is left of the other one is no
/// failure; or of all that go.
#[must_use]
pub fn settled(held: &Continuation, outcome: Outcome) -> Outcome {
    let Goal::Absent(absent) = &held.goal else { return outcome };
    match (absent.kept.clone(), outcome) {
        (Some(Outcome::Succeeded { attributes, notes }), Outcome::Succeeded { notes: more, .. }) => {
            Outcome::Succeeded { attributes, notes: [notes, more].concat() }
        }
        (Some(Outcome::Succeeded { attributes, notes }), Outcome::Failed { reason }) => {
            Outcome::Succeeded { attributes, notes: [notes, vec![left(&held.id, &reason)]].concat() }
        }
        (_, Outcome::Succeeded { attributes, notes }) => {
            Outcome::Succeeded { attributes, notes: [absent.notes.clone(), notes].concat() }
        }
        (_, Outcome::Failed { reason }) if !absent.others.is_empty() => Outcome::failed(left(&held.id, &reason)),
        (_, failed @ Outcome::Failed { .. }) => failed,
    }
}

fn left(id: &PhysicalId, reason: &str) -> String {
    format!("The pool {id} of a replacement is not gone, and no stack knows it any more: {reason}")
}
