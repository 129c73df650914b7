//! Who goes on when two meet, pair by pair.

use std::time::Duration;

use super::support::{T0, absent, origin, present, spec};
use crate::pool::continuation::{Continuation, Goal, RequestType, Wish};
use crate::pool::decision::{Decision, Moment, Outcome, Waiting, decide};
use crate::pool::evidence::StackDeletion;
use crate::pool::identity::PhysicalId;
use crate::pool::observed::Observed;
use crate::pool::plan::Step;
use crate::pool::secret::Secret;
use crate::pool::spec::Scope;
use crate::pool::succession::{SeenTurn, Turn, Yield, is_about_another, record_name, record_of, takes_turn_first};
use crate::pool::time::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

/// A request that CloudFormation signed so many seconds after the first.
fn later(mut held: Continuation, name: &str, secs: u32) -> Continuation {
    held.request.request_id = name.to_owned();
    held.request.response_url = Secret::new(format!("https://planted.example/{name}"));
    held.accepted_at = T0 + SECOND * secs;
    held.answer_by = held.accepted_at + SECOND * 3480;
    held
}

/// What `held` does next, in a world in which a record of `of` was found at this version.
fn next(held: &mut Continuation, of: Option<&Continuation>, version: u64) -> Decision {
    next_after(held, of.map(turn_of), version)
}

fn turn_of(held: &Continuation) -> Turn {
    Turn::of(held, None)
}

fn succeeded() -> Outcome {
    Outcome::Succeeded { attributes: Default::default(), notes: Vec::new() }
}

fn next_after(held: &mut Continuation, turn: Option<Turn>, version: u64) -> Decision {
    let turn = turn.map(|turn| SeenTurn { turn, version });
    let world = super::support::Model::empty().seen;
    let seen = Observed { turn, is_complete: true, ..world };
    decide(held, &seen, Moment { now: held.accepted_at + SECOND, poll: SECOND * 10 })
}

fn takes_turn(decision: &Decision) -> bool {
    matches!(decision, Decision::Act(plan) if matches!(plan.as_slice(), [Step::TakeTurn(_)]))
}

fn acts(decision: &Decision) -> bool {
    matches!(decision, Decision::Act(plan) if !plan.iter().any(|step| matches!(step, Step::TakeTurn(_))))
}

/// A Create that has taken its turn, by the record's first version.
fn at_work() -> Continuation {
    Continuation { turn: Some(1), ..present(spec()) }
}

#[test]
fn whoever_is_first_takes_the_turn_before_anything_else_and_then_goes_on() {
    let mut held = present(spec());
    assert!(takes_turn(&next(&mut held, None, 0)));
    let (mut held, record) = (at_work(), at_work());
    assert!(acts(&next(&mut held, Some(&record), 1)));
}

#[test]
fn a_newer_request_takes_over_and_the_older_one_stops() {
    let mut newer = later(present(spec()), "newer", 60);
    assert!(takes_turn(&next(&mut newer, Some(&at_work()), 1)));
    let mut older = at_work();
    assert_eq!(next(&mut older, Some(&newer), 2), Decision::Yield(Yield::ToNewerRequest));
}

#[test]
fn an_older_request_that_comes_late_stops_before_its_first_effect() {
    let newer = later(absent(&spec()), "newer", 60);
    assert_eq!(next(&mut present(spec()), Some(&newer), 1), Decision::Yield(Yield::ToNewerRequest));
}

#[test]
fn of_two_requests_signed_in_the_same_second_the_one_that_came_later_goes_on() {
    let mut other = later(present(spec()), "other", 0);
    assert!(takes_turn(&next(&mut other, Some(&at_work()), 1)));
    assert_eq!(next(&mut at_work(), Some(&other), 2), Decision::Yield(Yield::ToNewerRequest));
}

#[test]
fn an_older_request_that_wrote_over_the_record_is_written_over() {
    let mut newer = Continuation { turn: Some(1), ..later(present(spec()), "newer", 60) };
    assert!(takes_turn(&next(&mut newer, Some(&at_work()), 2)));
}

#[test]
fn a_record_that_is_older_than_ones_own_was_read_too_early() {
    let mut newer = Continuation { turn: Some(2), ..later(present(spec()), "newer", 60) };
    assert!(acts(&next(&mut newer, Some(&at_work()), 1)));
}

#[test]
fn of_two_deliveries_of_one_event_the_later_goes_on_and_the_earlier_says_nothing() {
    let mut second = present(spec());
    assert!(takes_turn(&next(&mut second, Some(&at_work()), 1)));
    assert_eq!(next(&mut at_work(), Some(&second), 2), Decision::Yield(Yield::ToOtherDelivery));
}

#[test]
fn what_an_earlier_invocation_was_given_says_nothing_once_a_later_hop_is_at_work() {
    let further = Continuation { hops: 2, ..at_work() };
    for mut stale in [present(spec()), Continuation { hops: 1, ..present(spec()) }] {
        assert_eq!(next(&mut stale, Some(&further), 5), Decision::Yield(Yield::ToOtherDelivery));
    }
    let mut next_hop = Continuation { hops: 3, ..present(spec()) };
    assert!(takes_turn(&next(&mut next_hop, Some(&further), 5)));
}

#[test]
fn a_request_that_was_answered_repeats_its_answer() {
    let turn = turn_of(&at_work()).answered("the body", &succeeded());
    let decision = next_after(&mut present(spec()), Some(turn.clone()), 2);
    assert_eq!(decision, Decision::Yield(Yield::Answered("the body".to_owned())));
    let mut again = later(present(spec()), "request-1", 60);
    assert!(takes_turn(&next_after(&mut again, Some(turn), 2)), "another URL is another request");
}

#[test]
fn an_unchanged_pool_leaves_no_trace_unless_somebody_is_at_work() {
    let unchanged = || {
        let mut held = later(present(spec()), "unchanged", 60);
        if let Goal::Present(goal) = &mut held.goal {
            goal.wish = Wish::Unchanged;
        }
        held
    };
    let mut world = super::support::Model::empty();
    world.run(&mut present(spec()));
    let at = |held: &Continuation| Moment { now: held.accepted_at + SECOND * 600, poll: SECOND };
    let look = |turn: Option<Turn>| {
        let mut held = unchanged();
        let turn = turn.map(|turn| SeenTurn { turn, version: 7 });
        let seen = Observed { turn, is_complete: true, ..world.seen.clone() };
        let now = at(&held);
        decide(&mut held, &seen, now)
    };
    let answered = turn_of(&at_work()).answered("done", &succeeded());
    assert!(matches!(look(None), Decision::Answer(_)));
    assert!(matches!(look(Some(answered)), Decision::Answer(_)));
    assert!(takes_turn(&look(Some(turn_of(&at_work())))), "an open request may still change it");
}

#[test]
fn a_create_whose_record_is_gone_stops_and_a_delete_goes_on() {
    assert_eq!(next(&mut at_work(), None, 0), Decision::Yield(Yield::ToNewerRequest));
    let mut twin = Continuation { turn: Some(3), ..absent(&spec()) };
    assert!(matches!(next(&mut twin, None, 0), Decision::Answer(_)));
}

#[test]
fn a_delete_removes_the_record_last_and_answers_then() {
    let record = later(absent(&spec()), "delete", 60);
    let mut delete = record.clone();
    let answered = turn_of(&at_work()).answered("done", &succeeded());
    assert!(takes_turn(&next_after(&mut delete, Some(answered), 1)), "somebody may still be building");
    delete.turn = Some(2);
    assert_eq!(next(&mut delete, Some(&record), 2), Decision::Act(vec![Step::ReleaseTurn]));
    delete.turn = None;
    assert!(matches!(next(&mut delete, None, 0), Decision::Answer(_)));
}

#[test]
fn after_an_interrupted_request_the_record_stays_as_long_as_its_event_may_come_again() {
    let record = later(absent(&spec()), "delete", 60);
    let mut delete = record.clone();
    assert!(takes_turn(&next(&mut delete, Some(&at_work()), 1)));
    assert!(delete.memory.interrupted_at.is_some(), "a Create was not answered yet");
    delete.turn = Some(2);
    let Decision::Wait { why, .. } = next(&mut delete, Some(&record), 2) else { panic!("no wait") };
    assert_eq!(why, Waiting::Redelivery);
    // The event comes again, and finds the record.
    let mut again = Continuation { turn: None, ..at_work() };
    assert_eq!(next(&mut again, Some(&record), 2), Decision::Yield(Yield::ToNewerRequest));
    delete.memory.interrupted_at = Some(T0 - SECOND * 600);
    assert_eq!(next(&mut delete, Some(&record), 2), Decision::Act(vec![Step::ReleaseTurn]));
}

#[test]
fn a_request_that_wants_something_takes_its_turn_before_it_has_looked_at_anything() {
    let at = Moment { now: T0 + SECOND, poll: SECOND * 10 };
    assert!(takes_turn(&decide(&mut present(spec()), &Observed::default(), at)));
    assert!(takes_turn_first(&present(spec())) && !takes_turn_first(&at_work()));
    assert!(!takes_turn_first(&absent(&spec())), "a Delete that finds nothing leaves no trace");
}

#[test]
fn a_delete_and_a_request_for_another_pool_of_the_resource_do_not_mind_each_other() {
    let mut replaced = spec();
    replaced.github.scope = Scope::Organization("another".to_owned());
    let replacement = later(present(replaced.clone()), "replacement", 60);
    assert_ne!(replacement.id, PhysicalId::of(&origin(), &spec()));
    let mut clean_up = later(absent(&spec()), "clean-up", 120);
    assert!(is_about_another(&turn_of(&replacement), clean_up.id.as_str()), "so it has a record of its own");
    let seen = Observed { has_own_record: true, is_complete: true, ..super::support::Model::empty().seen };
    let own = record_of(&clean_up, &seen);
    assert_eq!(own, format!("{}/{}", record_name(&origin()), clean_up.id.digits()));
    let at = Moment { now: clean_up.accepted_at + SECOND, poll: SECOND * 10 };
    assert!(matches!(decide(&mut clean_up, &seen, at), Decision::Answer(_)), "nothing is left of it");

    let mut update = Continuation { turn: Some(1), ..later(present(replaced), "update", 60) };
    assert!(takes_turn(&next(&mut update, Some(&clean_up), 2)), "the record is the other pool's");
}

#[test]
fn the_pool_of_a_create_has_no_success_until_one_is_responded_and_again_once_it_is_deleted() {
    let create = turn_of(&at_work());
    let id = at_work().id;
    assert_eq!(create.pool_without_success(), Some(id.as_str()));
    let failed = create.clone().answered("no", &Outcome::failed("no"));
    assert_eq!(failed.pool_without_success(), Some(id.as_str()));
    let done = create.answered("done", &succeeded());
    assert!(done.is_live(&id) && done.pool_without_success().is_none());

    let lost = done.clone().delivered(false);
    assert_eq!(lost.pool_without_success(), Some(id.as_str()), "CloudFormation has not heard of it");
    assert_eq!(lost.delivered(true).pool_without_success(), None);

    let again = Turn::of(&at_work(), Some(&done));
    assert_eq!(again.pool_without_success(), None, "a Create of a pool that an earlier one has made");
    let update = |mut held: Continuation| {
        held.request.request_type = RequestType::Update;
        held
    };
    let open = Turn::of(&update(at_work()), None);
    assert_eq!(open.pool_without_success(), None, "an Update is no Create");
    let delete = Turn::of(&absent(&spec()), Some(&done));
    assert!(delete.is_live(&id), "until it is gone");
    assert!(!delete.answered("gone", &succeeded()).is_live(&id));
}

#[test]
fn a_rollback_to_the_task_definition_of_the_last_success_is_told_from_an_update_to_another() {
    let done = turn_of(&at_work()).answered("done", &succeeded());
    let mut newer = spec();
    newer.task.image = "example/runner:2".to_owned();
    let update = Turn::of(&present(newer), Some(&done));
    assert!(!update.has_succeeded_before());
    let failed = update.answered("no", &Outcome::failed("no"));
    assert!(Turn::of(&present(spec()), Some(&failed)).has_succeeded_before());
    assert!(!turn_of(&present(spec())).has_succeeded_before(), "a Create has nothing to go back to");
}

#[test]
fn a_pool_is_at_work_until_its_create_or_update_has_a_response() {
    let create = turn_of(&at_work());
    assert_eq!(create.pool_at_work(), Some(at_work().id));
    assert_eq!(create.answered("done", &succeeded()).pool_at_work(), None);
    assert_eq!(turn_of(&absent(&spec())).pool_at_work(), None, "a Delete builds nothing");
    assert_eq!(Turn::from_record("of another version").pool_at_work(), None);
}

#[test]
fn an_update_that_fails_before_its_turn_is_written_down_over_an_older_request_only() {
    let update = {
        let mut update = later(present(spec()), "update", 60);
        update.request.request_type = RequestType::Update;
        update
    };
    let failed =
        |turn: Turn, held: &Continuation| turn.after_failure(&held.request, held.id.as_str(), held.accepted_at);
    let own = failed(turn_of(&at_work()), &update).unwrap();
    assert!(own.is_of(&update.request));
    assert_eq!(failed(turn_of(&later(present(spec()), "newer", 120)), &update), None);
    let mut delete = update.clone();
    delete.request.request_type = RequestType::Delete;
    assert_eq!(failed(turn_of(&at_work()), &delete), None, "its failure is worth another try");
    let undated =
        turn_of(&at_work()).after_failure(&update.request, update.id.as_str(), Timestamp::from_epoch_millis(u64::MAX));
    assert_eq!(undated, None, "every later request would give way to it");
}

#[test]
fn a_delete_of_a_failed_replacement_leaves_the_record_that_the_old_pool_is_in_use() {
    let done = turn_of(&at_work()).answered("done", &succeeded());
    let mut elsewhere = spec();
    elsewhere.github.scope = Scope::Organization("another".to_owned());
    let mut delete = later(absent(&elsewhere), "delete", 60);
    delete.turn = Some(2);
    let record = Turn::of(&delete, Some(&done));
    assert!(matches!(next_after(&mut delete, Some(record), 2), Decision::Answer(_)));
    let mut own = later(absent(&spec()), "own", 60);
    own.turn = Some(2);
    let record = Turn::of(&own, Some(&done));
    assert_eq!(next_after(&mut own, Some(record), 2), Decision::Act(vec![Step::ReleaseTurn]));
}

#[test]
fn a_delete_of_a_whole_stack_takes_over_from_a_request_for_another_pool() {
    let mut elsewhere = spec();
    elsewhere.github.scope = Scope::Organization("another".to_owned());
    let mut replacement = Continuation { turn: Some(1), ..present(elsewhere) };
    let mut delete = later(absent(&spec()), "delete", 60);
    let Goal::Absent(goal) = &mut delete.goal else { panic!("not a Delete") };
    goal.evidence = StackDeletion::of("DELETE_IN_PROGRESS").unwrap().of_pool(delete.id.clone());
    assert!(!is_about_another(&turn_of(&delete), replacement.id.as_str()), "it has no record of its own");
    assert_eq!(next(&mut replacement, Some(&delete), 2), Decision::Yield(Yield::ToNewerRequest));
}

#[test]
fn a_record_says_the_same_after_its_journey_and_holds_no_secret() {
    let turn = turn_of(&at_work());
    assert_eq!(Turn::from_record(&turn.to_record()), turn);
    let answered = turn.answered(r#"{"Status":"FAILED","Reason":"use {{resolve}}"}"#, &Outcome::failed("no"));
    let text = answered.to_record();
    assert!(!text.contains("{{"), "Parameter Store would look for another parameter: {text}");
    assert!(!text.contains("planted"), "{text}");
    let body: serde_json::Value = serde_json::from_str(Turn::from_record(&text).answer().unwrap()).unwrap();
    assert_eq!(body["Reason"], "use {{resolve}}");
}

#[test]
fn a_record_that_nobody_can_read_is_taken_over() {
    for text in ["", "{}", "null", "a note\nof somebody", "{\"format\":99}"] {
        let turn = Turn::from_record(text);
        for mut held in [present(spec()), Continuation { turn: Some(1), ..present(spec()) }] {
            assert!(takes_turn(&next_after(&mut held, Some(turn.clone()), 2)), "{text}");
        }
    }
}

#[test]
fn a_records_name_is_one_that_parameter_store_takes() {
    assert_eq!(record_name(&origin()), "/github-runner-pool-requests/ci/5f2a0000-0000-0000-0000-000000000001/Runners");
    let mut strange = origin();
    strange.stack_id = "no arn: ümlaut".to_owned();
    let name = record_name(&strange);
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c)), "{name}");
}

#[test]
fn an_expired_request_begins_nothing() {
    let mut held = present(spec());
    let seen = Observed { is_complete: true, ..super::support::Model::empty().seen };
    let at = Moment { now: held.answer_by, poll: SECOND };
    let decision = decide(&mut held, &seen, at);
    assert!(matches!(decision, Decision::Answer(_)), "{decision:?}");
}

#[test]
fn the_head_of_a_record_leaves_room_for_the_longest_answer() {
    let mut held = later(absent(&spec()), "0b8f2a9e-5d0e-4f8a-9f3c-2b1a7c6d5e4f", 60);
    held.id = PhysicalId::try_from(format!("ghr-{}-{}-0123456789", "s".repeat(48), "l".repeat(48))).unwrap();
    held.hops = u32::MAX;
    assert!(turn_of(&held).to_record().len() < 512);
}
