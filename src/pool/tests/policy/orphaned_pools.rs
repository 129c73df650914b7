//! Which other pool of a resource is deleted, on what evidence, and the response for both.

use crate::pool::model::continuation::Continuation;
use crate::pool::model::evidence::StackDeletion;
use crate::pool::model::memory::Memory;
use crate::pool::model::operation::{DeleteGoal, Goal, Operation, PreviousPool};
use crate::pool::model::operation_lock::OperationLock;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::GitHubTarget;
use crate::pool::model::spec::Scope::Organization;
use crate::pool::policy::orphaned_pools::{combined_outcome, delete_next_pool_of_stack, delete_previous_pool};
use crate::pool::tests::support::{continued, converge, delete, locked, spec};

/// The Update back to the pool that stays, and the Delete of the other one.
fn update_back() -> (Continuation, Continuation) {
    let mut other = spec();
    other.github = GitHubTarget { scope: Organization("globex".to_owned()), ..other.github };
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
    update_back().0.lock(Some(&converge(spec()).lock(None).with_response("done", &success())))
}

fn success() -> Outcome {
    Outcome::Succeeded {
        attributes: [("OnlineRunners".to_owned(), "2".to_owned())].into(),
        notes: vec!["a note".to_owned()],
    }
}

#[test]
fn delete_previous_pool_after_the_update_back_has_succeeded() {
    let (operation, other) = update_back();
    let next = delete_previous_pool(&operation, &success(), Some(&lock())).unwrap();
    assert_eq!(next.id, other.id);
    assert_eq!(next.response_physical_id(), operation.id.as_str());
    assert_eq!((next.continuation_count, next.respond_by), (operation.continuation_count, operation.respond_by));
    assert_eq!(next.current_pool(), operation.id.as_str(), "the record stays that of the pool that stays");
    let followed = operation.followed_by(next.clone());
    assert_eq!(followed.memory, Memory { lock_version: Some(7), ..Memory::default() });
    // And that is all: nothing follows it.
    assert_eq!(delete_previous_pool(&next, &success(), Some(&lock())), None);
}

#[test]
fn delete_previous_pool_not_after_a_failed_update_back() {
    assert_eq!(delete_previous_pool(&update_back().0, &Outcome::failed("no"), Some(&lock())), None);
    assert_eq!(delete_previous_pool(&converge(spec()), &success(), Some(&lock())), None);
}

#[test]
fn combined_outcome_is_that_of_the_surviving_pool_with_the_notes_of_both() {
    let (operation, other) = update_back();
    let next = delete_previous_pool(&operation, &success(), Some(&lock())).unwrap();
    let deletion = Outcome::Succeeded { attributes: Default::default(), notes: vec!["another".to_owned()] };
    let Outcome::Succeeded { attributes, notes } = combined_outcome(&next, deletion) else { panic!("not kept") };
    assert_eq!(attributes["OnlineRunners"], "2");
    assert_eq!(notes, ["a note", "another"]);

    let Outcome::Succeeded { notes, .. } = combined_outcome(&next, Outcome::failed("busy")) else { panic!("not kept") };
    assert!(notes[1].contains(other.id.as_str()) && notes[1].ends_with(": busy"), "{notes:?}");
}

fn deleted(note: &str) -> Outcome {
    Outcome::Succeeded { attributes: Default::default(), notes: vec![note.to_owned()] }
}

#[test]
fn delete_next_pool_of_stack_names_every_pool_of_the_resource_once() {
    let (main, other) = (delete(&spec()), update_back().1);
    let stack_deletion = StackDeletion::of("DELETE_IN_PROGRESS").unwrap();
    let found = [main.id.clone(), other.id.clone()];
    let next = delete_next_pool_of_stack(&main, &deleted("of the first"), found.clone(), stack_deletion).unwrap();
    assert_eq!(
        (&next.id, next.response_physical_id(), next.current_pool()),
        (&other.id, main.response_physical_id(), other.id.as_str())
    );
    let Goal::Delete(goal) = &next.goal else { panic!("not a Delete") };
    assert!(goal.evidence.covers_resource());
    assert_eq!(
        delete_next_pool_of_stack(&next, &deleted("of the other"), found, stack_deletion),
        None,
        "what is listed late is not taken again"
    );
    let Outcome::Succeeded { notes, .. } = combined_outcome(&next, deleted("of the other")) else { panic!("failed") };
    assert_eq!(notes, ["of the first", "of the other"]);
}

#[test]
fn combined_outcome_fails_while_one_pool_of_the_stack_remains() {
    let (main, other) = (delete(&spec()), update_back().1);
    let stack_deletion = StackDeletion::of("DELETE_IN_PROGRESS").unwrap();
    let busy = Outcome::failed("2 runners still have a running job");
    assert_eq!(delete_next_pool_of_stack(&main, &busy, [other.id.clone()], stack_deletion), None);
    let next = delete_next_pool_of_stack(&main, &deleted("it"), [other.id.clone()], stack_deletion).unwrap();
    let Outcome::Failed { reason } = combined_outcome(&next, busy) else { panic!("succeeded") };
    assert!(reason.contains(other.id.as_str()) && reason.ends_with("2 runners still have a running job"), "{reason}");
}

#[test]
fn delete_previous_pool_spares_a_pool_that_had_the_last_success_or_is_unknown() {
    let (operation, other) = update_back();
    let update = Operation { id: other.id.clone(), ..converge(spec()).operation };
    let live = update.lock(None).with_response("done", &success());
    assert!(live.is_live(&other.id));
    assert_eq!(delete_previous_pool(&operation, &success(), Some(&operation.lock(Some(&live)))), None);
    assert_eq!(delete_previous_pool(&operation, &success(), None), None);
    assert!(delete_previous_pool(&operation, &success(), Some(&lock())).is_some());
}

#[test]
fn combined_outcome_of_one_pool_is_its_own() {
    assert_eq!(combined_outcome(&converge(spec()), success()), success());
    assert_eq!(combined_outcome(&delete(&spec()), Outcome::failed("no")), Outcome::failed("no"));
}

#[test]
fn delete_goal_round_trips_with_its_surviving_outcome() {
    let next = delete_previous_pool(&update_back().0, &success(), Some(&lock())).unwrap();
    let Goal::Delete(goal) = &next.goal else { panic!("not a Delete") };
    assert_eq!(goal.surviving_outcome, Some(success()));
    let read: DeleteGoal = serde_json::from_value(serde_json::to_value(goal).unwrap()).unwrap();
    assert_eq!(&read, goal.as_ref());
}
