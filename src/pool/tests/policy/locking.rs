//! The operation lock, by pairs of requests and of deliveries.

use std::time::Duration;

use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::evidence::StackDeletion;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::memory::StepResult;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{Goal, SpecChange};
use crate::pool::model::operation_lock::{
    ObservedLock, OperationLock, Superseded, is_for_other_pool, resource_lock_key,
};
use crate::pool::model::spec::Scope;
use crate::pool::model::step::Step;
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::locking::{lock_key, must_lock_before_observing};
use crate::pool::tests::support::{
    Model, T0, continued, converge, decide_on, delete, later, lock_of, locked, locked_create, spec, stack_resource,
    succeeded,
};

fn must_lock(continuation: &Continuation) -> bool {
    must_lock_before_observing(&continuation.operation, &continuation.memory)
}

const SECOND: Duration = Duration::from_secs(1);

/// What `operation` does next, in a world in which a record of `of` was found at this version.
fn next(operation: &mut Continuation, of: Option<&Continuation>, version: u64) -> Decision {
    next_after(operation, of.map(lock_of), version)
}

pub(super) fn next_after(operation: &mut Continuation, lock: Option<OperationLock>, version: u64) -> Decision {
    let lock = lock.map(|lock| ObservedLock { lock, version });
    let world = Model::empty().observed;
    let observed = Observed { lock, is_complete: true, ..world };
    decide_on(operation, &observed, DecisionTime { now: operation.signed_at + SECOND, poll: SECOND * 10 })
}

fn acquires_lock(decision: &Decision) -> bool {
    matches!(decision, Decision::Act(plan) if matches!(plan.as_slice(), [Step::AcquireLock(_)]))
}

fn proceeds(decision: &Decision) -> bool {
    matches!(decision, Decision::Act(plan) if !plan.iter().any(|step| matches!(step, Step::AcquireLock(_))))
}

#[test]
fn operation_lock_is_acquired_before_the_first_write() {
    let mut operation = converge(spec());
    assert!(acquires_lock(&next(&mut operation, None, 0)));
    let (mut operation, metadata) = (locked_create(), locked_create());
    assert!(proceeds(&next(&mut operation, Some(&metadata), 1)));
}

#[test]
fn newer_request_acquires_the_operation_lock_and_the_older_one_stops() {
    let mut newer = later(converge(spec()), "newer", 60);
    assert!(acquires_lock(&next(&mut newer, Some(&locked_create()), 1)));
    let mut older = locked_create();
    assert_eq!(next(&mut older, Some(&newer), 2), Decision::Stop(Superseded::ByNewerRequest));
}

#[test]
fn delete_that_preempts_a_create_succeeds_only_by_an_observation_after_the_calls_of_that() {
    let mut newer = locked(later(delete(&spec()), "newer", 60), 2);
    let now = newer.signed_at + SECOND;
    newer.memory.record_step(StepResult::LockAcquired { version: 2, is_preemption: true }, now);
    let newer_lock = lock_of(&newer);
    let decision = next_after(&mut newer, Some(newer_lock.clone()), 2);
    let Decision::Wait { why: WaitReason::PreemptedCalls, until, scope: ObserveScope::Full } = decision else {
        panic!("{decision:?}")
    };
    assert_eq!(until, now + SECOND * 30);
    newer.memory.record_step(StepResult::LockAcquired { version: 2, is_preemption: false }, now);
    newer.memory.preempted_at = Some(now - SECOND * 30);
    assert!(matches!(next_after(&mut newer, Some(newer_lock), 2), Decision::Respond(_)));
}

#[test]
fn request_that_lambda_delivers_late_stops_before_its_first_write() {
    let newer = later(delete(&spec()), "newer", 60);
    assert_eq!(next(&mut converge(spec()), Some(&newer), 1), Decision::Stop(Superseded::ByNewerRequest));
}

#[test]
fn of_two_requests_signed_in_the_same_second_the_later_writer_keeps_the_operation_lock() {
    let mut other = later(converge(spec()), "other", 0);
    assert!(acquires_lock(&next(&mut other, Some(&locked_create()), 1)));
    assert_eq!(next(&mut locked_create(), Some(&other), 2), Decision::Stop(Superseded::ByNewerRequest));
}

#[test]
fn operation_lock_that_an_older_request_overwrote_is_acquired_again() {
    let mut newer = locked(later(converge(spec()), "newer", 60), 1);
    assert!(acquires_lock(&next(&mut newer, Some(&locked_create()), 2)));
}

#[test]
fn operation_lock_of_an_older_version_than_our_own_is_a_stale_read() {
    let mut newer = locked(later(converge(spec()), "newer", 60), 2);
    assert!(proceeds(&next(&mut newer, Some(&locked_create()), 1)));
}

#[test]
fn of_two_deliveries_of_one_event_the_later_keeps_the_operation_lock() {
    let mut second = converge(spec());
    assert!(acquires_lock(&next(&mut second, Some(&locked_create()), 1)));
    assert_eq!(next(&mut locked_create(), Some(&second), 2), Decision::Stop(Superseded::ByOtherInvocation));
}

#[test]
fn delivery_of_an_earlier_continuation_stops() {
    let further = continued(locked_create(), 2);
    for mut stale in [converge(spec()), continued(converge(spec()), 1)] {
        assert_eq!(next(&mut stale, Some(&further), 5), Decision::Stop(Superseded::ByOtherInvocation));
    }
    let mut next_hop = continued(converge(spec()), 3);
    assert!(acquires_lock(&next(&mut next_hop, Some(&further), 5)));
}

#[test]
fn redelivered_request_sends_its_recorded_response_again() {
    let lock = lock_of(&locked_create()).with_response("the body", &succeeded());
    let decision = next_after(&mut converge(spec()), Some(lock.clone()), 2);
    assert_eq!(decision, Decision::Stop(Superseded::AlreadyResponded("the body".to_owned())));
    let mut again = later(converge(spec()), "request-1", 60);
    assert!(acquires_lock(&next_after(&mut again, Some(lock), 2)), "another URL is another request");
}

#[test]
fn unchanged_pool_acquires_no_operation_lock_unless_another_request_is_open() {
    let unchanged = || {
        let mut operation = later(converge(spec()), "unchanged", 60);
        if let Goal::Converge(goal) = &mut operation.goal {
            goal.change = SpecChange::Unchanged;
        }
        operation
    };
    let mut world = Model::empty();
    world.run(&mut converge(spec()));
    let at = |operation: &Continuation| DecisionTime { now: operation.signed_at + SECOND * 600, poll: SECOND };
    let scope = |lock: Option<OperationLock>| {
        let mut operation = unchanged();
        let lock = lock.map(|lock| ObservedLock { lock, version: 7 });
        let observed = Observed { lock, is_complete: true, ..world.observed.clone() };
        let now = at(&operation);
        decide_on(&mut operation, &observed, now)
    };
    let with_response = lock_of(&locked_create()).with_response("done", &succeeded());
    assert!(matches!(scope(None), Decision::Respond(_)));
    assert!(matches!(scope(Some(with_response)), Decision::Respond(_)));
    assert!(acquires_lock(&scope(Some(lock_of(&locked_create())))), "an open request may still change it");
}

#[test]
fn create_without_its_lock_stops_and_a_delete_acquires_it_again() {
    assert_eq!(next(&mut locked_create(), None, 0), Decision::Stop(Superseded::ByNewerRequest));
    let mut twin = locked(delete(&spec()), 3);
    assert!(acquires_lock(&next(&mut twin, None, 0)));
}

#[test]
fn delete_acquires_the_lock_even_if_nothing_is_left_to_delete() {
    let mut operation = later(delete(&spec()), "delete", 60);
    let with_response = lock_of(&locked_create()).with_response("done", &succeeded());
    assert!(acquires_lock(&next_after(&mut operation, Some(with_response), 1)));
    assert!(acquires_lock(&next(&mut operation, None, 0)));
    let own = operation.clone();
    operation.memory.lock_version = Some(2);
    assert!(matches!(next(&mut operation, Some(&own), 2), Decision::Respond(_)));
}

#[test]
fn tombstone_supersedes_an_older_create_and_not_a_newer_one() {
    let tombstone = lock_of(&later(delete(&spec()), "delete", 60)).with_response("done", &succeeded());
    let found = Some(tombstone.clone());
    assert_eq!(next_after(&mut converge(spec()), found.clone(), 3), Decision::Stop(Superseded::ByNewerRequest));
    let mut newer = later(converge(spec()), "newer", 120);
    assert!(acquires_lock(&next_after(&mut newer, found, 3)));
    assert!(!newer.lock(Some(&tombstone)).is_tombstone());
}

#[test]
fn tombstone_of_a_delete_that_found_nothing_supersedes_a_create_that_has_no_lock() {
    let empty = later(delete(&spec()), "delete", 60);
    let lock = OperationLock::of_empty_deletion(&empty.request, "ci-Runners-1XK4Q2ZJ8PLMN", empty.signed_at);
    let tombstone = lock.unwrap().with_response("done", &succeeded());
    assert!(tombstone.is_tombstone() && tombstone.is_of(&empty.request));
    assert_eq!(next_after(&mut converge(spec()), Some(tombstone), 1), Decision::Stop(Superseded::ByNewerRequest));
    let undated = Timestamp::from_epoch_millis(u64::MAX);
    assert_eq!(OperationLock::of_empty_deletion(&empty.request, "x", undated), None, "every later request would stop");
}

#[test]
fn changed_pool_and_a_delete_acquire_the_operation_lock_before_they_observe() {
    let at = DecisionTime { now: T0 + SECOND, poll: SECOND * 10 };
    for operation in [converge(spec()), delete(&spec())] {
        assert!(must_lock(&operation));
        assert!(acquires_lock(&decide_on(&mut operation.clone(), &Observed::default(), at)));
        assert!(!must_lock(&locked(operation, 1)));
    }
}

#[test]
fn delete_and_a_request_for_another_pool_do_not_preempt_each_other() {
    let mut replaced = spec();
    replaced.github.scope = Scope::Organization("another".to_owned());
    let replacement = later(converge(replaced.clone()), "replacement", 60);
    assert_ne!(replacement.id, PhysicalId::of(&stack_resource(), &spec()));
    let mut clean_up = later(delete(&spec()), "clean-up", 120);
    assert!(is_for_other_pool(&lock_of(&replacement), clean_up.id.as_str()), "so it has a record of its own");
    let observed = Observed { has_pool_lock: true, is_complete: true, ..Model::empty().observed };
    let own = lock_key(&clean_up, &observed);
    assert_eq!(own, format!("{}/{}", resource_lock_key(&stack_resource()), clean_up.id.hash()));
    let at = DecisionTime { now: clean_up.signed_at + SECOND, poll: SECOND * 10 };
    assert!(acquires_lock(&decide_on(&mut clean_up, &observed, at)), "its own lock");

    let mut update = locked(later(converge(replaced.clone()), "update", 180), 1);
    assert!(acquires_lock(&next(&mut update, Some(&clean_up), 2)), "the record is the other pool's");
    let mut cancelled = locked(later(converge(replaced), "cancelled", 60), 1);
    assert_eq!(next(&mut cancelled, Some(&clean_up), 2), Decision::Stop(Superseded::ByNewerRequest));
}

#[test]
fn create_that_lambda_delivers_after_a_newer_delete_of_another_pool_stops() {
    let mut replaced = spec();
    replaced.github.scope = Scope::Organization("another".to_owned());
    let newer = later(delete(&replaced), "delete", 600);
    assert_eq!(next(&mut converge(spec()), Some(&newer), 2), Decision::Stop(Superseded::ByNewerRequest));
    // An Update back that is sent after the clean-up of a failed replacement goes on.
    let mut update = later(converge(spec()), "update", 660);
    assert!(acquires_lock(&next(&mut update, Some(&newer), 2)));
}

#[test]
fn delete_of_a_failed_replacement_keeps_the_lock_record_of_the_pool_in_use() {
    let done = lock_of(&locked_create()).with_response("done", &succeeded());
    let mut elsewhere = spec();
    elsewhere.github.scope = Scope::Organization("another".to_owned());
    let mut operation = later(delete(&elsewhere), "delete", 60);
    operation.memory.lock_version = Some(2);
    let metadata = operation.lock(Some(&done));
    assert!(matches!(next_after(&mut operation, Some(metadata), 2), Decision::Respond(_)));
}

#[test]
fn delete_of_a_whole_stack_preempts_a_request_for_another_pool() {
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
fn unreadable_lock_record_is_overwritten() {
    for text in ["", "{}", "null", "a note\nof a user", "{\"format\":99}"] {
        let lock = OperationLock::from_record(text);
        for mut operation in [converge(spec()), locked(converge(spec()), 1)] {
            assert!(acquires_lock(&next_after(&mut operation, Some(lock.clone()), 2)), "{text}");
        }
    }
}
