//! What a cancelled replacement built is taken down, and the pool that stays is answered for.

use super::support::{absent, present, spec};
use crate::pool::abandonment::{Abandoned, next_of_stack, sequel, settled};
use crate::pool::continuation::{Absent, Continuation, Goal};
use crate::pool::decision::Outcome;
use crate::pool::evidence::{DeletionEvidence, StackDeletion};
use crate::pool::spec::GitHubTarget;

/// The request back to the pool that stays, and the id of the other one.
fn back() -> (Continuation, Continuation) {
    let mut other = spec();
    other.github = GitHubTarget { scope: crate::pool::spec::Scope::Organization("globex".to_owned()), ..other.github };
    let other = absent(&other);
    let Goal::Absent(goal) = other.goal.clone() else { panic!("not a Delete") };
    let mut held = Continuation { turn: Some(7), hops: 2, ..present(spec()) };
    held.memory.n_refusals = 3;
    if let Goal::Present(present) = &mut held.goal {
        present.abandoned = Some(Abandoned::of(*goal));
    }
    (held, other)
}

fn made() -> Outcome {
    Outcome::Succeeded {
        attributes: [("OnlineRunners".to_owned(), "2".to_owned())].into(),
        notes: vec!["a note".to_owned()],
    }
}

#[test]
fn once_the_pool_that_stays_is_well_the_other_one_is_taken_down() {
    let (held, other) = back();
    let next = sequel(&held, &made()).unwrap();
    assert_eq!(next.id, other.id);
    assert_eq!(next.answered_id(), held.id.as_str());
    assert_eq!((next.turn, next.hops, next.answer_by), (held.turn, held.hops, held.answer_by));
    assert_eq!(next.held_pool(), held.id.as_str(), "the record stays that of the pool that stays");
    assert_eq!(next.memory, Default::default());
    // And that is all: nothing follows it.
    assert_eq!(sequel(&next, &made()), None);
}

#[test]
fn as_long_as_the_pool_that_stays_is_not_well_the_other_one_is_left() {
    assert_eq!(sequel(&back().0, &Outcome::failed("no")), None);
    assert_eq!(sequel(&present(spec()), &made()), None);
}

#[test]
fn the_answer_is_that_of_the_pool_that_stays_with_a_word_about_the_other_one() {
    let (held, other) = back();
    let next = sequel(&held, &made()).unwrap();
    let gone = Outcome::Succeeded { attributes: Default::default(), notes: vec!["another".to_owned()] };
    let Outcome::Succeeded { attributes, notes } = settled(&next, gone) else { panic!("not kept") };
    assert_eq!(attributes["OnlineRunners"], "2");
    assert_eq!(notes, ["a note", "another"]);

    let Outcome::Succeeded { notes, .. } = settled(&next, Outcome::failed("busy")) else { panic!("not kept") };
    assert!(notes[1].contains(other.id.as_str()) && notes[1].ends_with(": busy"), "{notes:?}");
}

fn gone(note: &str) -> Outcome {
    Outcome::Succeeded { attributes: Default::default(), notes: vec![note.to_owned()] }
}

#[test]
fn a_delete_of_a_stack_in_delete_in_progress_takes_down_every_pool_of_the_resource_once() {
    let (main, other) = (absent(&spec()), back().1);
    let word = StackDeletion::of("DELETE_IN_PROGRESS").unwrap();
    let found = [main.id.clone(), other.id.clone()];
    let next = next_of_stack(&main, &gone("of the first"), found.clone(), word).unwrap();
    assert_eq!((&next.id, next.answered_id(), next.held_pool()), (&other.id, main.answered_id(), other.id.as_str()));
    let Goal::Absent(goal) = &next.goal else { panic!("not a Delete") };
    assert!(goal.evidence.covers_resource());
    assert_eq!(
        next_of_stack(&next, &gone("of the other"), found, word),
        None,
        "what is listed late is not taken again"
    );
    let Outcome::Succeeded { notes, .. } = settled(&next, gone("of the other")) else { panic!("failed") };
    assert_eq!(notes, ["of the first", "of the other"]);
}

#[test]
fn a_delete_fails_as_long_as_one_pool_of_the_stack_cannot_go() {
    let (main, other) = (absent(&spec()), back().1);
    let word = StackDeletion::of("DELETE_IN_PROGRESS").unwrap();
    let busy = Outcome::failed("2 runners still have a running job");
    assert_eq!(next_of_stack(&main, &busy, [other.id.clone()], word), None);
    let next = next_of_stack(&main, &gone("it"), [other.id.clone()], word).unwrap();
    let Outcome::Failed { reason } = settled(&next, busy) else { panic!("succeeded") };
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
fn only_an_update_whose_physical_id_names_its_own_pool_is_evidence_against_the_one_it_comes_from() {
    let (held, other) = back();
    let evidence = |sent: Option<&str>| DeletionEvidence::update_back(sent, &held.id, &other.id);
    assert_eq!(evidence(Some(held.id.as_str())).unwrap().pool(), &other.id);
    assert_eq!(evidence(Some(other.id.as_str())), None, "a clean-up Delete follows");
    assert_eq!(evidence(Some("2021/01/01/[$LATEST]0123abcd")), None);
    assert_eq!(evidence(None), None);
    assert_eq!(DeletionEvidence::update_back(Some(held.id.as_str()), &held.id, &held.id), None);
}

#[test]
fn any_other_answer_is_what_it_is() {
    assert_eq!(settled(&present(spec()), made()), made());
    assert_eq!(settled(&absent(&spec()), Outcome::failed("no")), Outcome::failed("no"));
}

#[test]
fn the_rest_of_a_cancelled_replacement_is_handed_on_whole() {
    let next = sequel(&back().0, &made()).unwrap();
    let Goal::Absent(goal) = &next.goal else { panic!("not a Delete") };
    assert_eq!(goal.kept, Some(made()));
    let read: Absent = serde_json::from_value(serde_json::to_value(goal).unwrap()).unwrap();
    assert_eq!(&read, goal.as_ref());
}
