//! What a cancelled replacement built is taken down, and the pool that stays is answered for.

use super::support::{absent, present, spec};
use crate::pool::abandonment::{Abandoned, one_after_another, sequel, settled};
use crate::pool::continuation::{Absent, Continuation, Goal};
use crate::pool::decision::Outcome;
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
        present.abandoned = Some(Abandoned { id: other.id.clone(), goal: *goal });
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

#[test]
fn a_delete_takes_down_what_no_stack_knows_any_more_before_its_own_pool() {
    let (main, other) = (absent(&spec()), back().1);
    assert_eq!(one_after_another(main.clone(), []), main);

    let first = one_after_another(main.clone(), [other.id.clone()]);
    assert_eq!((&first.id, first.answered_id(), first.held_pool()), (&other.id, main.answered_id(), main.id.as_str()));
    let gone = Outcome::Succeeded { attributes: Default::default(), notes: vec!["of the other".to_owned()] };
    let next = sequel(&first, &gone).unwrap();
    assert_eq!(next.id, main.id);
    assert_eq!(sequel(&next, &gone), None);
    let Outcome::Succeeded { notes, .. } =
        settled(&next, Outcome::Succeeded { attributes: Default::default(), notes: vec![] })
    else {
        panic!("failed")
    };
    assert_eq!(notes, ["of the other"]);
}

#[test]
fn a_delete_fails_as_long_as_one_of_its_pools_cannot_go() {
    let (main, other) = (absent(&spec()), back().1);
    let first = one_after_another(main, [other.id.clone()]);
    let busy = Outcome::failed("2 runners still have a running job");
    assert_eq!(sequel(&first, &busy), None);
    let Outcome::Failed { reason } = settled(&first, busy) else { panic!("succeeded") };
    assert!(reason.contains(other.id.as_str()) && reason.ends_with("2 runners still have a running job"), "{reason}");
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
