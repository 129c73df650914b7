//! What a cancelled replacement built is taken down, and the pool that stays is answered for.

use super::support::{continued, converge, delete, locked, spec};
use crate::pool::model::continuation::Continuation;
use crate::pool::model::evidence::StackDeletion;
use crate::pool::model::memory::Memory;
use crate::pool::model::operation::{DeleteGoal, Goal, Operation, PreviousPool};
use crate::pool::model::operation_lock::OperationLock;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::GitHubTarget;
use crate::pool::policy::orphaned_pools::{combined_outcome, delete_next_pool_of_stack, delete_previous_pool};

/// The request back to the pool that stays, and the id of the other one.
fn back() -> (Continuation, Continuation) {
    let mut other = spec();
    other.github =
        GitHubTarget { scope: crate::pool::model::spec::Scope::Organization("globex".to_owned()), ..other.github };
    let other = delete(&other);
    let mut operation = continued(locked(converge(spec()), 7), 2);
    operation.memory.n_errors_in_a_row = 3;
    if let Goal::Converge(present) = &mut operation.goal {
        present.previous_pool =
            Some(PreviousPool { id: other.id.clone(), metadata: None, wait_policy: other.wait_policy().clone() });
    }
    (operation, other)
}

/// The operation lock of the Update back, in which the pool that stays had the last SUCCESS.
fn lock() -> OperationLock {
    back().0.lock(Some(&converge(spec()).lock(None).answered("done", &made())))
}

fn made() -> Outcome {
    Outcome::Succeeded {
        attributes: [("OnlineRunners".to_owned(), "2".to_owned())].into(),
        notes: vec!["a note".to_owned()],
    }
}

#[test]
fn once_the_pool_that_stays_is_well_the_other_one_is_taken_down() {
    let (operation, other) = back();
    let next = delete_previous_pool(&operation, &made(), Some(&lock())).unwrap();
    assert_eq!(next.id, other.id);
    assert_eq!(next.response_physical_id(), operation.id.as_str());
    assert_eq!((next.continuation_count, next.respond_by), (operation.continuation_count, operation.respond_by));
    assert_eq!(next.current_pool(), operation.id.as_str(), "the record stays that of the pool that stays");
    let followed = operation.followed_by(next.clone());
    assert_eq!(followed.memory, Memory { lock_version: Some(7), ..Memory::default() });
    // And that is all: nothing follows it.
    assert_eq!(delete_previous_pool(&next, &made(), Some(&lock())), None);
}

#[test]
fn as_long_as_the_pool_that_stays_is_not_well_the_other_one_is_left() {
    assert_eq!(delete_previous_pool(&back().0, &Outcome::failed("no"), Some(&lock())), None);
    assert_eq!(delete_previous_pool(&converge(spec()), &made(), Some(&lock())), None);
}

#[test]
fn the_answer_is_that_of_the_pool_that_stays_with_a_word_about_the_other_one() {
    let (operation, other) = back();
    let next = delete_previous_pool(&operation, &made(), Some(&lock())).unwrap();
    let gone = Outcome::Succeeded { attributes: Default::default(), notes: vec!["another".to_owned()] };
    let Outcome::Succeeded { attributes, notes } = combined_outcome(&next, gone) else { panic!("not kept") };
    assert_eq!(attributes["OnlineRunners"], "2");
    assert_eq!(notes, ["a note", "another"]);

    let Outcome::Succeeded { notes, .. } = combined_outcome(&next, Outcome::failed("busy")) else { panic!("not kept") };
    assert!(notes[1].contains(other.id.as_str()) && notes[1].ends_with(": busy"), "{notes:?}");
}

fn gone(note: &str) -> Outcome {
    Outcome::Succeeded { attributes: Default::default(), notes: vec![note.to_owned()] }
}

#[test]
fn a_delete_of_a_stack_in_delete_in_progress_takes_down_every_pool_of_the_resource_once() {
    let (main, other) = (delete(&spec()), back().1);
    let word = StackDeletion::of("DELETE_IN_PROGRESS").unwrap();
    let found = [main.id.clone(), other.id.clone()];
    let next = delete_next_pool_of_stack(&main, &gone("of the first"), found.clone(), word).unwrap();
    assert_eq!(
        (&next.id, next.response_physical_id(), next.current_pool()),
        (&other.id, main.response_physical_id(), other.id.as_str())
    );
    let Goal::Delete(goal) = &next.goal else { panic!("not a Delete") };
    assert!(goal.evidence.covers_resource());
    assert_eq!(
        delete_next_pool_of_stack(&next, &gone("of the other"), found, word),
        None,
        "what is listed late is not taken again"
    );
    let Outcome::Succeeded { notes, .. } = combined_outcome(&next, gone("of the other")) else { panic!("failed") };
    assert_eq!(notes, ["of the first", "of the other"]);
}

#[test]
fn a_delete_fails_as_long_as_one_pool_of_the_stack_cannot_go() {
    let (main, other) = (delete(&spec()), back().1);
    let word = StackDeletion::of("DELETE_IN_PROGRESS").unwrap();
    let busy = Outcome::failed("2 runners still have a running job");
    assert_eq!(delete_next_pool_of_stack(&main, &busy, [other.id.clone()], word), None);
    let next = delete_next_pool_of_stack(&main, &gone("it"), [other.id.clone()], word).unwrap();
    let Outcome::Failed { reason } = combined_outcome(&next, busy) else { panic!("succeeded") };
    assert!(reason.contains(other.id.as_str()) && reason.ends_with("2 runners still have a running job"), "{reason}");
}

#[test]
fn only_a_stack_that_goes_as_a_whole_is_evidence_against_a_pool_that_a_delete_does_not_name() {
    for status in ["DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"] {
        assert!(StackDeletion::of(status).is_some(), "{status}");
    }
    for status in [
        "CREATE_FAILED",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_FAILED",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
        "DELETE_FAILED",
        "DELETE_COMPLETE",
        "",
    ] {
        assert!(StackDeletion::of(status).is_none(), "{status}");
    }
}

#[test]
fn an_update_back_leaves_a_pool_that_had_the_last_success_or_of_which_nothing_is_known() {
    let (operation, other) = back();
    let update = Operation { id: other.id.clone(), ..converge(spec()).operation };
    let live = update.lock(None).answered("done", &made());
    assert!(live.is_live(&other.id));
    assert_eq!(delete_previous_pool(&operation, &made(), Some(&operation.lock(Some(&live)))), None);
    assert_eq!(delete_previous_pool(&operation, &made(), None), None);
    assert!(delete_previous_pool(&operation, &made(), Some(&lock())).is_some());
}

#[test]
fn any_other_answer_is_what_it_is() {
    assert_eq!(combined_outcome(&converge(spec()), made()), made());
    assert_eq!(combined_outcome(&delete(&spec()), Outcome::failed("no")), Outcome::failed("no"));
}

#[test]
fn the_rest_of_a_cancelled_replacement_is_handed_on_whole() {
    let next = delete_previous_pool(&back().0, &made(), Some(&lock())).unwrap();
    let Goal::Delete(goal) = &next.goal else { panic!("not a Delete") };
    assert_eq!(goal.surviving_outcome, Some(made()));
    let read: DeleteGoal = serde_json::from_value(serde_json::to_value(goal).unwrap()).unwrap();
    assert_eq!(&read, goal.as_ref());
}
