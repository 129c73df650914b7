//! What a cancelled replacement built is taken down, and the pool that stays is answered for.

use super::support::{absent, present, spec};
use crate::pool::abandonment::{next_of_stack, sequel, settled};
use crate::pool::continuation::{Absent, Continuation, FormerPool, Goal};
use crate::pool::decision::Outcome;
use crate::pool::evidence::StackDeletion;
use crate::pool::spec::GitHubTarget;
use crate::pool::succession::Turn;

/// The request back to the pool that stays, and the id of the other one.
fn back() -> (Continuation, Continuation) {
    let mut other = spec();
    other.github = GitHubTarget { scope: crate::pool::spec::Scope::Organization("globex".to_owned()), ..other.github };
    let other = absent(&other);
    let mut held = Continuation { turn: Some(7), hops: 2, ..present(spec()) };
    held.memory.n_refusals = 3;
    if let Goal::Present(present) = &mut held.goal {
        present.former_pool = Some(FormerPool { id: other.id.clone(), record: None, manners: other.manners().clone() });
    }
    (held, other)
}

/// The operation lock of the Update back, in which the pool that stays had the last SUCCESS.
fn lock() -> Turn {
    Turn::of(&back().0, Some(&Turn::of(&present(spec()), None).answered("done", &made())))
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
    let next = sequel(&held, &made(), Some(&lock())).unwrap();
    assert_eq!(next.id, other.id);
    assert_eq!(next.answered_id(), held.id.as_str());
    assert_eq!((next.turn, next.hops, next.answer_by), (held.turn, held.hops, held.answer_by));
    assert_eq!(next.held_pool(), held.id.as_str(), "the record stays that of the pool that stays");
    assert_eq!(next.memory, Default::default());
    // And that is all: nothing follows it.
    assert_eq!(sequel(&next, &made(), Some(&lock())), None);
}

#[test]
fn as_long_as_the_pool_that_stays_is_not_well_the_other_one_is_left() {
    assert_eq!(sequel(&back().0, &Outcome::failed("no"), Some(&lock())), None);
    assert_eq!(sequel(&present(spec()), &made(), Some(&lock())), None);
}

#[test]
fn the_answer_is_that_of_the_pool_that_stays_with_a_word_about_the_other_one() {
    let (held, other) = back();
    let next = sequel(&held, &made(), Some(&lock())).unwrap();
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
fn an_update_back_leaves_a_pool_that_had_the_last_success_or_of_which_nothing_is_known() {
    let (held, other) = back();
    let update = Continuation { id: other.id.clone(), ..present(spec()) };
    let live = Turn::of(&update, None).answered("done", &made());
    assert!(live.is_live(&other.id));
    assert_eq!(sequel(&held, &made(), Some(&Turn::of(&held, Some(&live)))), None);
    assert_eq!(sequel(&held, &made(), None), None);
    assert!(sequel(&held, &made(), Some(&lock())).is_some());
}

#[test]
fn any_other_answer_is_what_it_is() {
    assert_eq!(settled(&present(spec()), made()), made());
    assert_eq!(settled(&absent(&spec()), Outcome::failed("no")), Outcome::failed("no"));
}

#[test]
fn the_rest_of_a_cancelled_replacement_is_handed_on_whole() {
    let next = sequel(&back().0, &made(), Some(&lock())).unwrap();
    let Goal::Absent(goal) = &next.goal else { panic!("not a Delete") };
    assert_eq!(goal.kept, Some(made()));
    let read: Absent = serde_json::from_value(serde_json::to_value(goal).unwrap()).unwrap();
    assert_eq!(&read, goal.as_ref());
}
