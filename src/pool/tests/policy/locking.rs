//! The operation lock, by pairs of requests and of deliveries.

use std::time::Duration;

use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{Decision, WaitReason};
use crate::pool::model::evidence::StackDeletion;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{Goal, SpecChange};
use crate::pool::model::operation_lock::{
    ObservedLock, OperationLock, Superseded, is_for_other_pool, pool_lock_name, resource_lock_name,
};
use crate::pool::model::spec::{PoolSpec, Scope};
use crate::pool::model::step::Step;
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::locking::{all_lock_names, lock_name, must_lock_before_observing};
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
    let lock = lock_of(&locked_create()).answered("the body", &succeeded());
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
    let answered = lock_of(&locked_create()).answered("done", &succeeded());
    assert!(matches!(scope(None), Decision::Respond(_)));
    assert!(matches!(scope(Some(answered)), Decision::Respond(_)));
    assert!(acquires_lock(&scope(Some(lock_of(&locked_create())))), "an open request may still change it");
}

#[test]
fn create_without_its_lock_record_stops_and_a_delete_proceeds() {
    assert_eq!(next(&mut locked_create(), None, 0), Decision::Stop(Superseded::ByNewerRequest));
    let mut twin = locked(delete(&spec()), 3);
    assert!(matches!(next(&mut twin, None, 0), Decision::Respond(_)));
}

#[test]
fn delete_releases_the_operation_lock_last_and_responds_then() {
    let metadata = later(delete(&spec()), "delete", 60);
    let mut operation = metadata.clone();
    let answered = lock_of(&locked_create()).answered("done", &succeeded());
    assert!(acquires_lock(&next_after(&mut operation, Some(answered), 1)), "another delivery may still be building");
    operation.memory.lock_version = Some(2);
    assert_eq!(next(&mut operation, Some(&metadata), 2), Decision::Act(vec![Step::ReleaseLock]));
    operation.memory.lock_version = None;
    assert!(matches!(next(&mut operation, None, 0), Decision::Respond(_)));
}

#[test]
fn delete_keeps_the_lock_record_while_lambda_may_deliver_the_preempted_event_again() {
    let metadata = later(delete(&spec()), "delete", 60);
    let mut operation = metadata.clone();
    assert!(acquires_lock(&next(&mut operation, Some(&locked_create()), 1)));
    assert!(operation.memory.interrupted_at.is_some(), "a Create was not answered yet");
    operation.memory.lock_version = Some(2);
    let Decision::Wait { why, .. } = next(&mut operation, Some(&metadata), 2) else { panic!("no wait") };
    assert_eq!(why, WaitReason::EventRedelivery);
    // The event comes again, and finds the record.
    let mut again = converge(spec());
    assert_eq!(next(&mut again, Some(&metadata), 2), Decision::Stop(Superseded::ByNewerRequest));
    operation.memory.interrupted_at = Some(T0 - SECOND * 600);
    assert_eq!(next(&mut operation, Some(&metadata), 2), Decision::Act(vec![Step::ReleaseLock]));
}

#[test]
fn changed_pool_acquires_the_operation_lock_before_it_observes() {
    let at = DecisionTime { now: T0 + SECOND, poll: SECOND * 10 };
    assert!(acquires_lock(&decide_on(&mut converge(spec()), &Observed::default(), at)));
    assert!(must_lock(&converge(spec())) && !must_lock(&locked_create()));
    assert!(!must_lock(&delete(&spec())), "a Delete that finds nothing leaves no trace");
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
    let own = lock_name(&clean_up, &observed);
    assert_eq!(own, format!("{}/{}", resource_lock_name(&stack_resource()), clean_up.id.hash()));
    let at = DecisionTime { now: clean_up.signed_at + SECOND, poll: SECOND * 10 };
    assert!(matches!(decide_on(&mut clean_up, &observed, at), Decision::Respond(_)), "nothing is left of it");

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
    let done = lock_of(&locked_create()).answered("done", &succeeded());
    let mut elsewhere = spec();
    elsewhere.github.scope = Scope::Organization("another".to_owned());
    let mut operation = later(delete(&elsewhere), "delete", 60);
    operation.memory.lock_version = Some(2);
    let metadata = operation.lock(Some(&done));
    assert!(matches!(next_after(&mut operation, Some(metadata), 2), Decision::Respond(_)));
    let mut own = later(delete(&spec()), "own", 60);
    own.memory.lock_version = Some(2);
    let metadata = own.lock(Some(&done));
    assert_eq!(next_after(&mut own, Some(metadata), 2), Decision::Act(vec![Step::ReleaseLock]));
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

fn spec_of(organization: &str) -> PoolSpec {
    let mut spec = spec();
    spec.github.scope = Scope::Organization(organization.to_owned());
    spec
}

fn own_name(organization: &str) -> String {
    let id = PhysicalId::of(&stack_resource(), &spec_of(organization));
    pool_lock_name(&resource_lock_name(&stack_resource()), id.hash())
}

#[test]
fn release_lock_removes_the_records_that_deletes_of_replaced_pools_left() {
    let of_resource = resource_lock_name(&stack_resource());
    let first = converge(spec_of("first")).lock(None);
    let second = later(converge(spec_of("second")), "second", 60).lock(Some(&first));
    let again = later(converge(spec_of("second")), "again", 120).lock(Some(&second));
    assert_eq!(again.replaced_pool_lock_names(&of_resource), [own_name("first")]);
    let mut delete = later(delete(&spec_of("second")), "delete", 180);
    let lock = delete.lock(Some(&again));
    let observed = Observed { lock: Some(ObservedLock { lock: lock.clone(), version: 4 }), ..Observed::default() };
    assert_eq!(all_lock_names(&delete, &observed), [own_name("second"), own_name("first"), of_resource]);
    // A Delete that works by a record of its own leaves the resource's.
    let below = Observed { has_pool_lock: true, ..observed };
    assert_eq!(all_lock_names(&delete, &below), [own_name("second")]);
    delete.memory.lock_version = Some(4);
    assert_eq!(next_after(&mut delete, Some(lock), 4), Decision::Act(vec![Step::ReleaseLock]));
}
