use crate::pool::model::continuation::Continuation;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::operation_lock::{
    OperationLock, RECORD_HEAD_BYTES_MAX, REPLACED_POOLS_MAX, resource_lock_name,
};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::request::RequestType;
use crate::pool::model::spec::{PoolSpec, Scope};
use crate::pool::model::time::Timestamp;
use crate::pool::tests::support::{converge, delete, later, lock_of, locked_create, spec, stack_resource, succeeded};

#[test]
fn pool_without_success_until_a_create_or_update_has_succeeded() {
    let create = lock_of(&locked_create());
    let id = locked_create().operation.id;
    assert_eq!(create.pool_without_success(), Some(id.as_str()));
    let failed = create.clone().answered("no", &Outcome::failed("no"));
    assert_eq!(failed.pool_without_success(), Some(id.as_str()));
    let done = create.answered("done", &succeeded());
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
    assert!(!delete.answered("gone", &succeeded()).is_live(&id));
}

#[test]
fn has_succeeded_before_only_with_the_task_definition_of_the_last_success() {
    let done = lock_of(&locked_create()).answered("done", &succeeded());
    let mut newer = spec();
    newer.task.image = "example/runner:2".to_owned();
    let update = converge(newer).lock(Some(&done));
    assert!(!update.has_succeeded_before());
    let failed = update.answered("no", &Outcome::failed("no"));
    assert!(converge(spec()).lock(Some(&failed)).has_succeeded_before());
    assert!(!lock_of(&converge(spec())).has_succeeded_before(), "a Create has nothing to go back to");
}

#[test]
fn pool_at_work_until_its_create_or_update_has_a_response() {
    let create = lock_of(&locked_create());
    assert_eq!(create.pool_at_work(), Some(locked_create().operation.id));
    assert_eq!(create.answered("done", &succeeded()).pool_at_work(), None);
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
    let answered = lock.answered(r#"{"Status":"FAILED","Reason":"use {{resolve}}"}"#, &Outcome::failed("no"));
    let text = answered.to_record();
    assert!(!text.contains("{{"), "Parameter Store would look for another parameter: {text}");
    assert!(!text.contains("planted"), "{text}");
    let body: serde_json::Value = serde_json::from_str(OperationLock::from_record(&text).answer().unwrap()).unwrap();
    assert_eq!(body["Reason"], "use {{resolve}}");
}

#[test]
fn resource_lock_name_has_only_characters_that_parameter_store_accepts() {
    assert_eq!(
        resource_lock_name(&stack_resource()),
        "/github-runner-pool-requests/ci/5f2a0000-0000-0000-0000-000000000001/Runners"
    );
    let mut strange = stack_resource();
    strange.stack_id = "no arn: ümlaut".to_owned();
    let name = resource_lock_name(&strange);
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c)), "{name}");
}

#[test]
fn lock_record_head_leaves_room_for_the_longest_response() {
    let mut operation = later(delete(&spec()), "0b8f2a9e-5d0e-4f8a-9f3c-2b1a7c6d5e4f", 60);
    operation.id = PhysicalId::try_from(format!("ghr-{}-{}-0123456789", "s".repeat(48), "l".repeat(48))).unwrap();
    operation.continuation_count = u32::MAX;
    let mut lock = lock_of(&operation).delivered(false);
    lock.is_of_create = true;
    lock.live_pool = Some("0".repeat(10));
    (lock.content, lock.live_content) = (Some("0".repeat(16)), Some("0".repeat(16)));
    lock.replaced_pools = vec!["0".repeat(10); REPLACED_POOLS_MAX];
    let n_bytes = lock.to_record().len();
    assert!(n_bytes <= RECORD_HEAD_BYTES_MAX, "{n_bytes}");
}

fn spec_of(organization: &str) -> PoolSpec {
    let mut spec = spec();
    spec.github.scope = Scope::Organization(organization.to_owned());
    spec
}

#[test]
fn lock_drops_the_oldest_of_too_many_replaced_pools() {
    let first = converge(spec_of("first")).lock(None);
    let many = (0..20).fold(first, |lock, n| converge(spec_of(&format!("of-{n}"))).lock(Some(&lock)));
    assert_eq!(many.replaced_pool_lock_names(&resource_lock_name(&stack_resource())).len(), REPLACED_POOLS_MAX);
    assert_eq!(
        many.replaced_pools.last(),
        Some(&PhysicalId::of(&stack_resource(), &spec_of("of-18")).hash().to_owned())
    );
}
