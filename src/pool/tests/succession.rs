//! Who goes on when two meet, pair by pair.

use std::time::Duration;

use super::support::{T0, continued, converge, decide_on, delete, locked, spec, stack_resource};
use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::Decision;
use crate::pool::model::evidence::{DeletionEvidence, StackDeletion};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{Goal, SpecChange};
use crate::pool::model::operation_lock::{
    ObservedLock, OperationLock, Superseded, is_for_other_pool, pool_lock_key, resource_lock_key,
};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::request::RequestType;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::Scope;
use crate::pool::model::step::Step;
use crate::pool::model::time::DecisionTime;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::locking::{lock_key, must_lock_before_observing};

fn must_lock(continuation: &Continuation) -> bool {
    must_lock_before_observing(&continuation.operation, &continuation.memory)
}

const SECOND: Duration = Duration::from_secs(1);

/// A request that CloudFormation signed so many seconds after the first.
pub(super) fn later(mut operation: Continuation, name: &str, secs: u32) -> Continuation {
    operation.request.request_id = name.to_owned();
    operation.request.response_url = Secret::new(format!("https://planted.example/{name}"));
    operation.signed_at = T0 + SECOND * secs;
    operation.respond_by = operation.signed_at + SECOND * 3480;
    operation
}

/// What `operation` does next, in a world in which a record of `of` was found at this version.
fn next(operation: &mut Continuation, of: Option<&Continuation>, version: u64) -> Decision {
    next_after(operation, of.map(lock_of), version)
}

fn lock_of(operation: &Continuation) -> OperationLock {
    operation.lock(None)
}

pub(super) fn succeeded() -> Outcome {
    Outcome::Succeeded { attributes: Default::default(), notes: Vec::new() }
}

pub(super) fn next_after(operation: &mut Continuation, lock: Option<OperationLock>, version: u64) -> Decision {
    let lock = lock.map(|lock| ObservedLock { lock, version });
    let world = super::support::Model::empty().observed;
    let observed = Observed { lock, is_complete: true, ..world };
    decide_on(operation, &observed, DecisionTime { now: operation.signed_at + SECOND, poll: SECOND * 10 })
}

fn takes_turn(decision: &Decision) -> bool {
    matches!(decision, Decision::Act(plan) if matches!(plan.as_slice(), [Step::AcquireLock(_)]))
}

fn acts(decision: &Decision) -> bool {
    matches!(decision, Decision::Act(plan) if !plan.iter().any(|step| matches!(step, Step::AcquireLock(_))))
}

/// A Create that has taken its lock, by the record's first version.
fn at_work() -> Continuation {
    locked(converge(spec()), 1)
}

#[test]
fn whoever_is_first_takes_the_turn_before_anything_else_and_then_goes_on() {
    let mut operation = converge(spec());
    assert!(takes_turn(&next(&mut operation, None, 0)));
    let (mut operation, metadata) = (at_work(), at_work());
    assert!(acts(&next(&mut operation, Some(&metadata), 1)));
}

#[test]
fn a_newer_request_takes_over_and_the_older_one_stops() {
    let mut newer = later(converge(spec()), "newer", 60);
    assert!(takes_turn(&next(&mut newer, Some(&at_work()), 1)));
    let mut older = at_work();
    assert_eq!(next(&mut older, Some(&newer), 2), Decision::Stop(Superseded::ByNewerRequest));
}

#[test]
fn an_older_request_that_comes_late_stops_before_its_first_effect() {
    let newer = later(delete(&spec()), "newer", 60);
    assert_eq!(next(&mut converge(spec()), Some(&newer), 1), Decision::Stop(Superseded::ByNewerRequest));
}

#[test]
fn of_two_requests_signed_in_the_same_second_the_one_that_came_later_goes_on() {
    let mut other = later(converge(spec()), "other", 0);
    assert!(takes_turn(&next(&mut other, Some(&at_work()), 1)));
    assert_eq!(next(&mut at_work(), Some(&other), 2), Decision::Stop(Superseded::ByNewerRequest));
}

#[test]
fn an_older_request_that_wrote_over_the_record_is_written_over() {
    let mut newer = locked(later(converge(spec()), "newer", 60), 1);
    assert!(takes_turn(&next(&mut newer, Some(&at_work()), 2)));
}

#[test]
fn a_record_that_is_older_than_ones_own_was_read_too_early() {
    let mut newer = locked(later(converge(spec()), "newer", 60), 2);
    assert!(acts(&next(&mut newer, Some(&at_work()), 1)));
}

#[test]
fn of_two_deliveries_of_one_event_the_later_goes_on_and_the_earlier_says_nothing() {
    let mut second = converge(spec());
    assert!(takes_turn(&next(&mut second, Some(&at_work()), 1)));
    assert_eq!(next(&mut at_work(), Some(&second), 2), Decision::Stop(Superseded::ByOtherInvocation));
}

#[test]
fn what_an_earlier_invocation_was_given_says_nothing_once_a_later_hop_is_at_work() {
    let further = continued(at_work(), 2);
    for mut stale in [converge(spec()), continued(converge(spec()), 1)] {
        assert_eq!(next(&mut stale, Some(&further), 5), Decision::Stop(Superseded::ByOtherInvocation));
    }
    let mut next_hop = continued(converge(spec()), 3);
    assert!(takes_turn(&next(&mut next_hop, Some(&further), 5)));
}

#[test]
fn a_request_that_was_answered_repeats_its_answer() {
    let lock = lock_of(&at_work()).answered("the body", &succeeded());
    let decision = next_after(&mut converge(spec()), Some(lock.clone()), 2);
    assert_eq!(decision, Decision::Stop(Superseded::AlreadyResponded("the body".to_owned())));
    let mut again = later(converge(spec()), "request-1", 60);
    assert!(takes_turn(&next_after(&mut again, Some(lock), 2)), "another URL is another request");
}

#[test]
fn an_unchanged_pool_leaves_no_trace_unless_somebody_is_at_work() {
    let unchanged = || {
        let mut operation = later(converge(spec()), "unchanged", 60);
        if let Goal::Converge(goal) = &mut operation.goal {
            goal.change = SpecChange::Unchanged;
        }
        operation
    };
    let mut world = super::support::Model::empty();
    world.run(&mut converge(spec()));
    let at = |operation: &Continuation| DecisionTime { now: operation.signed_at + SECOND * 600, poll: SECOND };
    let scope = |lock: Option<OperationLock>| {
        let mut operation = unchanged();
        let lock = lock.map(|lock| ObservedLock { lock, version: 7 });
        let observed = Observed { lock, is_complete: true, ..world.observed.clone() };
        let now = at(&operation);
        decide_on(&mut operation, &observed, now)
    };
    let answered = lock_of(&at_work()).answered("done", &succeeded());
    assert!(matches!(scope(None), Decision::Respond(_)));
    assert!(matches!(scope(Some(answered)), Decision::Respond(_)));
    assert!(takes_turn(&scope(Some(lock_of(&at_work())))), "an open request may still change it");
}

#[test]
fn a_create_whose_lock_is_gone_stops_and_a_delete_acquires_it_again() {
    assert_eq!(next(&mut at_work(), None, 0), Decision::Stop(Superseded::ByNewerRequest));
    let mut twin = locked(delete(&spec()), 3);
    assert!(takes_turn(&next(&mut twin, None, 0)));
}

#[test]
fn a_delete_acquires_the_lock_even_if_nothing_is_left_to_delete() {
    let mut operation = later(delete(&spec()), "delete", 60);
    let answered = lock_of(&at_work()).answered("done", &succeeded());
    assert!(takes_turn(&next_after(&mut operation, Some(answered), 1)));
    assert!(takes_turn(&next(&mut operation, None, 0)));
    let own = operation.clone();
    operation.memory.lock_version = Some(2);
    assert!(matches!(next(&mut operation, Some(&own), 2), Decision::Respond(_)));
}

#[test]
fn the_lock_of_a_deleted_pool_is_a_tombstone_for_a_day() {
    let key = resource_lock_key(&stack_resource());
    let delete = later(delete(&spec()), "delete", 60);
    let lock = lock_of(&delete);
    assert_eq!(lock.expires_at(&key, T0), None, "at work");
    assert_eq!(lock.clone().answered("no", &Outcome::failed("no")).expires_at(&key, T0), None);
    let tombstone = lock.answered("done", &succeeded());
    assert_eq!(tombstone.expires_at(&key, T0), Some(T0 + SECOND * 86_400));
    assert!(OperationLock::from_record(&tombstone.to_record()).is_tombstone());

    // Its Create, which Lambda delivers late, builds nothing; a newer one does.
    let found = Some(tombstone.clone());
    assert_eq!(next_after(&mut converge(spec()), found.clone(), 3), Decision::Stop(Superseded::ByNewerRequest));
    let mut newer = later(converge(spec()), "newer", 120);
    assert!(takes_turn(&next_after(&mut newer, found, 3)));
    assert_eq!(newer.lock(Some(&tombstone)).expires_at(&key, T0), None);
}

#[test]
fn the_lock_of_a_resource_with_another_live_pool_does_not_expire() {
    let key = resource_lock_key(&stack_resource());
    let done = lock_of(&at_work()).answered("done", &succeeded());
    let mut elsewhere = spec();
    elsewhere.github.scope = Scope::Organization("another".to_owned());
    let other = delete(&elsewhere).lock(Some(&done)).answered("gone", &succeeded());
    assert_eq!(other.expires_at(&key, T0), None);
    assert!(other.clone().without_pools().expires_at(&key, T0).is_some());
    assert!(other.expires_at(&pool_lock_key(&key, "0a1b2c3d4e"), T0).is_some(), "a Delete's own lock always expires");
}

#[test]
fn a_delete_that_finds_nothing_leaves_a_tombstone_that_supersedes_a_create_without_a_lock() {
    let empty = later(delete(&spec()), "delete", 60);
    let (request, signed_at) = (empty.request.clone(), empty.signed_at);
    let lock = OperationLock::of_empty_deletion(&request, "ci-Runners-1XK4Q2ZJ8PLMN", signed_at);
    let tombstone = lock.answered("done", &succeeded());
    assert!(tombstone.is_tombstone() && tombstone.is_of(&request));
    assert_eq!(next_after(&mut converge(spec()), Some(tombstone), 1), Decision::Stop(Superseded::ByNewerRequest));
}

#[test]
fn a_request_that_wants_something_takes_its_turn_before_it_has_looked_at_anything() {
    let at = DecisionTime { now: T0 + SECOND, poll: SECOND * 10 };
    assert!(takes_turn(&decide_on(&mut converge(spec()), &Observed::default(), at)));
    assert!(must_lock(&converge(spec())) && !must_lock(&at_work()));
    assert!(!must_lock(&delete(&spec())), "a Delete observes first");
}

#[test]
fn a_delete_and_a_request_for_another_pool_of_the_resource_do_not_mind_each_other() {
    let mut replaced = spec();
    replaced.github.scope = Scope::Organization("another".to_owned());
    let replacement = later(converge(replaced.clone()), "replacement", 60);
    assert_ne!(replacement.id, PhysicalId::of(&stack_resource(), &spec()));
    let mut clean_up = later(delete(&spec()), "clean-up", 120);
    assert!(is_for_other_pool(&lock_of(&replacement), clean_up.id.as_str()), "so it has a record of its own");
    let observed = Observed { has_pool_lock: true, is_complete: true, ..super::support::Model::empty().observed };
    let own = lock_key(&clean_up, &observed);
    assert_eq!(own, format!("{}/{}", resource_lock_key(&stack_resource()), clean_up.id.hash()));
    let at = DecisionTime { now: clean_up.signed_at + SECOND, poll: SECOND * 10 };
    assert!(takes_turn(&decide_on(&mut clean_up, &observed, at)), "its own lock");

    let mut update = locked(later(converge(replaced.clone()), "update", 180), 1);
    assert!(takes_turn(&next(&mut update, Some(&clean_up), 2)), "the record is the other pool's");
    let mut cancelled = locked(later(converge(replaced), "cancelled", 60), 1);
    assert_eq!(next(&mut cancelled, Some(&clean_up), 2), Decision::Stop(Superseded::ByNewerRequest));
}

#[test]
fn a_create_that_lambda_delivers_after_a_newer_delete_of_another_pool_has_begun_builds_nothing() {
    let mut replaced = spec();
    replaced.github.scope = Scope::Organization("another".to_owned());
    let newer = later(delete(&replaced), "delete", 600);
    assert_eq!(next(&mut converge(spec()), Some(&newer), 2), Decision::Stop(Superseded::ByNewerRequest));
    // An Update back that is sent after the clean-up of a failed replacement goes on.
    let mut update = later(converge(spec()), "update", 660);
    assert!(takes_turn(&next(&mut update, Some(&newer), 2)));
}

#[test]
fn the_pool_of_a_create_has_no_success_until_one_is_responded_and_again_once_it_is_deleted() {
    let create = lock_of(&at_work());
    let id = at_work().operation.id;
    assert_eq!(create.pool_without_success(), Some(id.as_str()));
    let failed = create.clone().answered("no", &Outcome::failed("no"));
    assert_eq!(failed.pool_without_success(), Some(id.as_str()));
    let done = create.answered("done", &succeeded());
    assert!(done.is_live(&id) && done.pool_without_success().is_none());

    let lost = done.clone().delivered(false);
    assert_eq!(lost.pool_without_success(), Some(id.as_str()), "CloudFormation has not heard of it");
    assert_eq!(lost.delivered(true).pool_without_success(), None);

    let again = at_work().lock(Some(&done));
    assert_eq!(again.pool_without_success(), None, "a Create of a pool that an earlier one has made");
    let update = |mut operation: Continuation| {
        operation.request.request_type = RequestType::Update;
        operation
    };
    let open = update(at_work()).lock(None);
    assert_eq!(open.pool_without_success(), None, "an Update is no Create");
    let delete = delete(&spec()).lock(Some(&done));
    assert!(delete.is_live(&id), "until it is gone");
    assert!(!delete.answered("gone", &succeeded()).is_live(&id));
}

#[test]
fn a_rollback_to_the_task_definition_of_the_last_success_is_told_from_an_update_to_another() {
    let done = lock_of(&at_work()).answered("done", &succeeded());
    let mut newer = spec();
    newer.task.image = "example/runner:2".to_owned();
    let update = converge(newer).lock(Some(&done));
    assert!(!update.has_succeeded_before());
    let failed = update.answered("no", &Outcome::failed("no"));
    assert!(converge(spec()).lock(Some(&failed)).has_succeeded_before());
    assert!(!lock_of(&converge(spec())).has_succeeded_before(), "a Create has nothing to go back to");
}

#[test]
fn a_pool_is_at_work_until_its_create_or_update_has_a_response() {
    let create = lock_of(&at_work());
    assert_eq!(create.pool_at_work(), Some(at_work().operation.id));
    assert_eq!(create.answered("done", &succeeded()).pool_at_work(), None);
    assert_eq!(lock_of(&delete(&spec())).pool_at_work(), None, "a Delete builds nothing");
    assert_eq!(OperationLock::from_record("of another version").pool_at_work(), None);
}

#[test]
fn an_update_that_fails_before_its_turn_is_written_down_over_an_older_request_only() {
    let update = {
        let mut update = later(converge(spec()), "update", 60);
        update.request.request_type = RequestType::Update;
        update
    };
    let failed = |lock: OperationLock, operation: &Continuation| {
        lock.after_failure(&operation.request, operation.id.as_str(), operation.signed_at)
    };
    let own = failed(lock_of(&at_work()), &update).unwrap();
    assert!(own.is_of(&update.request));
    assert_eq!(failed(lock_of(&later(converge(spec()), "newer", 120)), &update), None);
    let mut delete = update.clone();
    delete.request.request_type = RequestType::Delete;
    assert_eq!(failed(lock_of(&at_work()), &delete), None, "its failure is worth another try");
    let undated =
        lock_of(&at_work()).after_failure(&update.request, update.id.as_str(), Timestamp::from_epoch_millis(u64::MAX));
    assert_eq!(undated, None, "every later request would give way to it");
}

#[test]
fn a_delete_of_a_failed_replacement_leaves_the_record_that_the_old_pool_is_in_use() {
    let done = lock_of(&at_work()).answered("done", &succeeded());
    let mut elsewhere = spec();
    elsewhere.github.scope = Scope::Organization("another".to_owned());
    let mut operation = later(delete(&elsewhere), "delete", 60);
    operation.memory.lock_version = Some(2);
    let metadata = operation.lock(Some(&done));
    assert!(matches!(next_after(&mut operation, Some(metadata), 2), Decision::Respond(_)));
}

#[test]
fn a_delete_of_a_whole_stack_takes_over_from_a_request_for_another_pool() {
    let mut elsewhere = spec();
    elsewhere.github.scope = Scope::Organization("another".to_owned());
    let mut replacement = locked(converge(elsewhere), 1);
    let mut operation = later(delete(&spec()), "delete", 60);
    let Goal::Delete(goal) = &mut operation.operation.goal else { panic!("not a Delete") };
    goal.evidence = StackDeletion::of("DELETE_IN_PROGRESS").unwrap().of_pool(operation.operation.id.clone());
    assert!(!is_for_other_pool(&lock_of(&operation), replacement.id.as_str()), "it has no record of its own");
    assert_eq!(next(&mut replacement, Some(&operation), 2), Decision::Stop(Superseded::ByNewerRequest));
}

#[test]
fn a_record_says_the_same_after_its_journey_and_holds_no_secret() {
    let lock = lock_of(&at_work());
    assert_eq!(OperationLock::from_record(&lock.to_record()), lock);
    let answered = lock.answered(r#"{"Status":"FAILED","Reason":"use {{resolve}}"}"#, &Outcome::failed("no"));
    let text = answered.to_record();
    assert!(!text.contains("planted"), "{text}");
    let body: serde_json::Value = serde_json::from_str(OperationLock::from_record(&text).answer().unwrap()).unwrap();
    assert_eq!(body["Reason"], "use {{resolve}}");
}

#[test]
fn a_record_that_nobody_can_read_is_taken_over() {
    for text in ["", "{}", "null", "a note\nof a user", "{\"format\":99}"] {
        let lock = OperationLock::from_record(text);
        for mut operation in [converge(spec()), locked(converge(spec()), 1)] {
            assert!(takes_turn(&next_after(&mut operation, Some(lock.clone()), 2)), "{text}");
        }
    }
}

#[test]
fn the_key_of_a_lock_has_the_stack_and_the_resource() {
    assert_eq!(resource_lock_key(&stack_resource()), "ci/5f2a0000-0000-0000-0000-000000000001/Runners");
    let mut strange = stack_resource();
    strange.stack_id = "no arn: ümlaut".to_owned();
    let key = resource_lock_key(&strange);
    assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c)), "{key}");
}

#[test]
fn an_expired_request_begins_nothing() {
    let mut operation = converge(spec());
    let observed = Observed { is_complete: true, ..super::support::Model::empty().observed };
    let at = DecisionTime { now: operation.respond_by, poll: SECOND };
    let decision = decide_on(&mut operation, &observed, at);
    assert!(matches!(decision, Decision::Respond(_)), "{decision:?}");
}

#[test]
fn an_id_that_cloudformation_made_up_names_the_pool_of_an_unanswered_create_unless_the_stack_has_succeeded() {
    let create = lock_of(&at_work());
    let evidence = |lock: &OperationLock, status| DeletionEvidence::unanswered_create(lock, status);
    for status in ["DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"] {
        assert_eq!(evidence(&create, Some(status)).unwrap().pool(), &at_work().id, "{status}");
    }
    assert!(evidence(&create, None).is_some(), "the stack is gone");
    // A SUCCESS is sent although it cannot be written down. The id is then of an earlier Create, which had no response.
    for status in ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"] {
        assert_eq!(evidence(&create, Some(status)), None, "{status}");
    }
    assert_eq!(evidence(&create.answered("done", &succeeded()), Some("DELETE_IN_PROGRESS")), None);
}
