use std::time::Duration;

use crate::pool::model::continuation::Continuation;
use crate::pool::model::operation_lock::{OperationLock, pool_lock_key, resource_lock_key};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::request::RequestType;
use crate::pool::model::spec::Scope;
use crate::pool::model::time::Timestamp;
use crate::pool::tests::support::{
    T0, converge, delete, later, lock_of, locked_create, spec, stack_resource, succeeded,
};

#[test]
fn pool_without_success_until_a_create_or_update_has_succeeded() {
    let create = lock_of(&locked_create());
    let id = locked_create().operation.id;
    assert_eq!(create.pool_without_success(), Some(id.as_str()));
    let failed = create.clone().with_response("no", &Outcome::failed("no"));
    assert_eq!(failed.pool_without_success(), Some(id.as_str()));
    let done = create.with_response("done", &succeeded());
    assert!(done.is_live(&id) && done.pool_without_success().is_none());

    let lost = done.clone().delivered(false);
    assert_eq!(lost.pool_without_success(), Some(id.as_str()), "CloudFormation has not heard of it");
    assert_eq!(lost.delivered(true).pool_without_success(), None);

    let again = locked_create().lock(Some(&done));
    assert_eq!(again.pool_without_success(), None, "a Create of a pool that an earlier one has made");
    let update = |mut operation: Continuation| {
        operation.request.request_type = RequestType::Update;
        operation
    };
    let open = update(locked_create()).lock(None);
    assert_eq!(open.pool_without_success(), None, "an Update is no Create");
    let delete = delete(&spec()).lock(Some(&done));
    assert!(delete.is_live(&id), "until it is gone");
    assert!(!delete.with_response("gone", &succeeded()).is_live(&id));
}

#[test]
fn has_succeeded_before_only_with_the_task_definition_of_the_last_success() {
    let done = lock_of(&locked_create()).with_response("done", &succeeded());
    let mut newer = spec();
    newer.task.image = "example/runner:2".to_owned();
    let update = converge(newer).lock(Some(&done));
    assert!(!update.has_succeeded_before());
    let failed = update.with_response("no", &Outcome::failed("no"));
    assert!(converge(spec()).lock(Some(&failed)).has_succeeded_before());
    assert!(!lock_of(&converge(spec())).has_succeeded_before(), "a Create has nothing to go back to");
}

#[test]
fn pool_at_work_until_its_create_or_update_has_a_response() {
    let create = lock_of(&locked_create());
    assert_eq!(create.pool_at_work(), Some(locked_create().operation.id));
    assert_eq!(create.with_response("done", &succeeded()).pool_at_work(), None);
    assert_eq!(lock_of(&delete(&spec())).pool_at_work(), None, "a Delete builds nothing");
    assert_eq!(OperationLock::from_record("of another version").pool_at_work(), None);
}

#[test]
fn update_that_fails_before_it_has_the_lock_is_recorded_over_an_older_request_only() {
    let update = {
        let mut update = later(converge(spec()), "update", 60);
        update.request.request_type = RequestType::Update;
        update
    };
    let failed = |lock: OperationLock, operation: &Continuation| {
        lock.after_failure(&operation.request, operation.id.as_str(), operation.signed_at)
    };
    let own = failed(lock_of(&locked_create()), &update).unwrap();
    assert!(own.is_of(&update.request));
    assert_eq!(failed(lock_of(&later(converge(spec()), "newer", 120)), &update), None);
    let mut delete = update.clone();
    delete.request.request_type = RequestType::Delete;
    assert_eq!(failed(lock_of(&locked_create()), &delete), None, "its failure is worth another try");
    let undated = lock_of(&locked_create()).after_failure(
        &update.request,
        update.id.as_str(),
        Timestamp::from_epoch_millis(u64::MAX),
    );
    assert_eq!(undated, None, "every later request would give way to it");
}

#[test]
fn lock_record_round_trips_and_contains_no_secret() {
    let lock = lock_of(&locked_create());
    assert_eq!(OperationLock::from_record(&lock.to_record()), lock);
    let with_response = lock.with_response(r#"{"Status":"FAILED","Reason":"use {{resolve}}"}"#, &Outcome::failed("no"));
    let text = with_response.to_record();
    assert!(!text.contains("planted"), "{text}");
    let body: serde_json::Value = serde_json::from_str(OperationLock::from_record(&text).response().unwrap()).unwrap();
    assert_eq!(body["Reason"], "use {{resolve}}");
}

#[test]
fn resource_lock_key_has_the_stack_and_the_resource() {
    assert_eq!(resource_lock_key(&stack_resource()), "ci/5f2a0000-0000-0000-0000-000000000001/Runners");
    let mut strange = stack_resource();
    strange.stack_id = "no arn: ümlaut".to_owned();
    let key = resource_lock_key(&strange);
    assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c)), "{key}");
}

#[test]
fn lock_of_a_deleted_pool_is_a_tombstone_that_expires_after_a_day() {
    let key = resource_lock_key(&stack_resource());
    let lock = lock_of(&later(delete(&spec()), "delete", 60));
    assert_eq!(lock.expires_at(&key, T0), None, "at work");
    assert_eq!(lock.clone().with_response("no", &Outcome::failed("no")).expires_at(&key, T0), None);
    let tombstone = lock.with_response("done", &succeeded());
    assert_eq!(tombstone.expires_at(&key, T0), Some(T0 + Duration::from_secs(86_400)));
    assert!(OperationLock::from_record(&tombstone.to_record()).is_tombstone());
}

#[test]
fn lock_of_a_resource_with_another_live_pool_does_not_expire() {
    let key = resource_lock_key(&stack_resource());
    let done = lock_of(&locked_create()).with_response("done", &succeeded());
    let mut elsewhere = spec();
    elsewhere.github.scope = Scope::Organization("another".to_owned());
    let other = delete(&elsewhere).lock(Some(&done)).with_response("gone", &succeeded());
    assert_eq!(other.expires_at(&key, T0), None);
    assert!(other.clone().without_pools().expires_at(&key, T0).is_some());
    let own = pool_lock_key(&key, "0a1b2c3d4e");
    assert!(other.expires_at(&own, T0).is_some(), "a Delete's own lock always expires");
}
