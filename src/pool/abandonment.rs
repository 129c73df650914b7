//! The pools of a resource that nobody else would ever delete.
//!
//! While an Update builds another pool, CloudFormation may cancel it, because another resource failed. It has not heard
//! the new pool's id by then, so what it sends is one Update back to the old properties, with the old pool's id, and no
//! Delete. Its old properties tell the other pool: once the pool that stays is as it should be, that one is taken down
//! like any other, and the answer is that of the pool that stays.
//!
//! CloudFormation tries the Delete of a pool that was replaced three times, and then lets it be; a rollback that fails
//! may leave a pool as well. So the Delete of the pool that the stack holds takes down every other pool of the resource
//! first. Which pool that is, the record says ([`super::succession::is_the_one_held`]): no clean-up Delete of CloudFormation's
//! is about that one.

use serde::{Deserialize, Serialize};

use super::continuation::{Absent, Continuation, Goal, Memory};
use super::decision::Outcome;
use super::identity::PhysicalId;

/// A pool to take down beside the one that a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandoned {
    /// Its id.
    pub id: PhysicalId,
    /// How.
    pub goal: Absent,
}

/// A Delete of `main` that takes these pools down before it.
#[must_use]
pub fn one_after_another(main: Continuation, others: impl IntoIterator<Item = PhysicalId>) -> Continuation {
    others.into_iter().fold(main, |after, other| {
        let Goal::Absent(goal) = &after.goal else { return after };
        let first = Absent {
            next: Some(Box::new(Abandoned { id: after.id.clone(), goal: (**goal).clone() })),
            ..Absent::alone(None, goal.manners.clone(), Some(after.answered_id().to_owned()))
        };
        Continuation { id: other, goal: Goal::Absent(Box::new(first)), ..after }
    })
}

/// What goes on after a pool is as it should be, or gone: taking down the next one.
#[must_use]
pub fn sequel(held: &Continuation, outcome: &Outcome) -> Option<Continuation> {
    let (id, goal) = match &held.goal {
        Goal::Present(present) => {
            let Outcome::Succeeded { .. } = outcome else { return None };
            let Abandoned { id, goal } = present.abandoned.clone()?;
            (id, Absent { sent_id: Some(held.id.as_str().to_owned()), kept: Some(outcome.clone()), ..goal })
        }
        Goal::Absent(absent) => {
            let Outcome::Succeeded { notes, .. } = outcome else { return None };
            let Abandoned { id, goal } = *absent.next.clone()?;
            let notes = [absent.notes.as_slice(), notes].concat();
            let others = [absent.others.as_slice(), std::slice::from_ref(&held.id)].concat();
            (id, Absent { notes, others, ..goal })
        }
    };
    Some(Continuation { id, goal: Goal::Absent(Box::new(goal)), memory: Memory::default(), ..held.clone() })
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
        (_, Outcome::Failed { reason }) if absent.next.is_some() => Outcome::failed(left(&held.id, &reason)),
        (_, failed @ Outcome::Failed { .. }) => failed,
    }
}

fn left(id: &PhysicalId, reason: &str) -> String {
    format!("The pool {id} of a replacement is not gone, and no stack knows it any more: {reason}")
}
