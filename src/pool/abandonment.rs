//! The pool of a replacement that was cancelled, which nobody else would ever delete.
//!
//! While an Update builds another pool, CloudFormation may cancel it, because another resource failed. It has not heard
//! the new pool's id by then, so what it sends is one Update back to the old properties, with the old pool's id, and no
//! Delete. Its old properties tell the other pool: once the pool that stays is as it should be, that one is taken down
//! like any other, and the answer is that of the pool that stays.

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

/// What goes on after a pool is as it should be: taking down the one that was abandoned for it.
#[must_use]
pub fn sequel(held: &Continuation, outcome: &Outcome) -> Option<Continuation> {
    let Goal::Present(present) = &held.goal else { return None };
    let Outcome::Succeeded { .. } = outcome else { return None };
    let Abandoned { id, goal } = present.abandoned.clone()?;
    let goal = Absent { sent_id: Some(held.id.as_str().to_owned()), kept: Some(outcome.clone()), ..goal };
    Some(Continuation { id, goal: Goal::Absent(Box::new(goal)), memory: Memory::default(), ..held.clone() })
}

/// What is answered: of the pool that stays. It is as it should be, so what is left of the other one is no failure.
#[must_use]
pub fn settled(held: &Continuation, outcome: Outcome) -> Outcome {
    let Goal::Absent(absent) = &held.goal else { return outcome };
    let Some(Outcome::Succeeded { attributes, mut notes }) = absent.kept.clone() else { return outcome };
    match outcome {
        Outcome::Succeeded { notes: more, .. } => notes.extend(more),
        Outcome::Failed { reason } => notes.push(format!(
            "the pool {} of the replacement that was cancelled is not gone, and no stack knows it any more: {reason}",
            held.id
        )),
    }
    Outcome::Succeeded { attributes, notes }
}
