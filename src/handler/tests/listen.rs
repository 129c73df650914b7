//! `{"Listen": {}}`: renewing the lease and reading the list of pools keep no message waiting, and a lease that has run
//! out ends the serving.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::state_table::Fault;
use super::stub_world::{Behavior, NOW, StubWorld, invocation, session, settings};
use crate::handler::handle;
use crate::pool::model::identity::{PhysicalId, StackResource};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::scaling::{
    LISTENER_KEY, ListenerLease, ListenerProgress, SCALED_POOLS_KEY, ScaledPools, ScalingGoal, ScalingMode,
    ScalingRecord,
};
use crate::pool::model::spec::JobScaling;
use crate::pool::model::spec::fixtures::minimal_spec;
use crate::reconcile::scaling::{publish, scaled_pools};

/// A pool with `MaxRunners` whose session is open. It has no runners and no jobs.
fn pool() -> (PhysicalId, ScalingRecord) {
    let mut spec = minimal_spec();
    spec.job_scaling = Some(JobScaling { max_runners: 1, scale_set_name: None });
    let stack_id = "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/5f2a0000-0000-0000-0000-000000000001";
    let resource = StackResource { stack_id: stack_id.to_owned(), logical_id: "Runners".to_owned() };
    let id = PhysicalId::of(&resource, &spec);
    let goal = ScalingGoal {
        request_id: "request-1".to_owned(),
        mode: ScalingMode::Active,
        scale_set: 1,
        metadata: PoolMetadata::of(&id, &spec),
        min_runners: 0,
        max_runners: 1,
        task_definition: "arn:aws:ecs:eu-central-1:111122223333:task-definition/pool:1".to_owned(),
        capacity_provider: id.as_str().to_owned(),
        distinct_instances: false,
        tags: BTreeMap::new(),
        wait_policy: spec.wait_policy.clone(),
    };
    let mut record = ScalingRecord::new(goal, NOW);
    record.progress.session = Some(session());
    (id, record)
}

fn list_of_the_pool() -> String {
    ScaledPools { pools: [pool().0].into() }.to_record()
}

fn listed_pools(world: &StubWorld) -> ScaledPools {
    ScaledPools::from_record(&world.table.text(SCALED_POOLS_KEY)).unwrap()
}

/// How far the listener is.
fn progress(world: &StubWorld) -> ListenerProgress {
    ScalingRecord::from_record(&world.table.text(&ScalingRecord::key(&pool().0))).unwrap().progress
}

/// A world with the pool, whose message comes after so many seconds.
fn listener_world(message_at_secs: u64) -> StubWorld {
    let world = StubWorld { message_at_secs: Some(message_at_secs), ..StubWorld::new(Behavior::IsEmpty) };
    let (id, record) = pool();
    world.table.put(SCALED_POOLS_KEY, list_of_the_pool());
    world.table.put(&ScalingRecord::key(&id), record.to_record());
    world
}

/// The same, with a fault in the writes of the lease after the first, which acquires it.
fn with_renewals(renewals: Fault, message_at_secs: u64) -> StubWorld {
    let mut world = listener_world(message_at_secs);
    world.table.write_fault = Some((LISTENER_KEY, renewals));
    world
}

/// Runs the listener to its end: after how many seconds that was, and when the message was acknowledged.
async fn listen(world: &StubWorld) -> (u64, Option<u64>) {
    handle(world, &settings(), &json!({ "Listen": {} }), &invocation()).await.unwrap();
    (world.secs(), world.acknowledged_at_secs.get())
}

fn n_lease_writes(world: &StubWorld) -> usize {
    world.table.writes.borrow().iter().filter(|key| *key == LISTENER_KEY).count()
}

/// When an invocation of 15 minutes hands over.
const HAND_OVER_SECS: u64 = 825;

#[tokio::test(start_paused = true)]
async fn listen_renews_its_lease_until_it_hands_over() {
    let world = listener_world(700);
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, Some(700)));
    assert_eq!(world.continuations.take(), [json!({ "Listen": {} })]);
    assert_eq!(n_lease_writes(&world), 1 + 82 + 1, "taken, renewed each ten seconds, given back");
}

#[tokio::test(start_paused = true)]
async fn lease_renewal_that_does_not_answer_keeps_no_message_waiting_and_ends_the_serving_when_the_lease_expires() {
    for (message_at_secs, acknowledged_at_secs) in [(15, Some(15)), (29, Some(29)), (30, None), (31, None)] {
        let world = with_renewals(Fault::Hangs, message_at_secs);
        assert_eq!(listen(&world).await, (30, acknowledged_at_secs), "{message_at_secs}");
        assert!(world.continuations.borrow().is_empty(), "the next tick starts another one");
    }
}

#[tokio::test(start_paused = true)]
async fn lease_renewal_that_fails_is_repeated_until_the_lease_expires() {
    let world = with_renewals(Fault::FailsUntilSecs(25), 60);
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, Some(60)));
    let world = with_renewals(Fault::FailsUntilSecs(900), 60);
    assert_eq!(listen(&world).await, (30, None));
    assert_eq!(n_lease_writes(&world), 1 + 10, "one every two seconds");
}

#[tokio::test(start_paused = true)]
async fn listen_acknowledges_the_last_message_of_a_listener_that_was_killed_before_it_did() {
    let world = listener_world(60);
    let (id, mut record) = pool();
    record.progress.last_message_id = 1;
    world.table.put(&ScalingRecord::key(&id), record.to_record());
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn lease_whose_renewal_is_under_way_at_the_hand_over_is_given_back() {
    let world = with_renewals(Fault::TakesSecs(7), 60);
    assert_eq!(
        listen(&world).await,
        (HAND_OVER_SECS + 2 + 7, Some(60)),
        "renewed from 820 to 827, given back until 834"
    );
    assert_eq!(ListenerLease::from_record(&world.table.text(LISTENER_KEY)), ListenerLease::default());
    assert_eq!(world.continuations.take(), [json!({ "Listen": {} })]);
}

#[tokio::test(start_paused = true)]
async fn list_of_pools_that_is_not_read_keeps_no_message_waiting_and_no_lease_from_its_renewal() {
    for fault in [Fault::Hangs, Fault::FailsUntilSecs(900)] {
        let mut world = listener_world(60);
        world.table.read_fault = Some((SCALED_POOLS_KEY, fault));
        assert_eq!(listen(&world).await, (HAND_OVER_SECS, Some(60)), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn listen_without_pools_ends_and_starts_another_for_a_pool_that_was_listed_meanwhile() {
    for lists_a_pool_late in [false, true] {
        let world = listener_world(0);
        world.table.items.borrow_mut().remove(SCALED_POOLS_KEY);
        if lists_a_pool_late {
            // The first write acquires the lease, the second gives it back.
            let listed = (SCALED_POOLS_KEY.to_owned(), list_of_the_pool());
            world.table.written_meanwhile.borrow_mut().insert(2, listed);
        }
        assert_eq!(listen(&world).await, (0, None));
        let started = world.continuations.take();
        assert_eq!(started, vec![json!({ "Listen": {} }); usize::from(lists_a_pool_late)]);
    }
}

#[tokio::test(start_paused = true)]
async fn listed_pool_that_has_no_item_for_five_minutes_is_removed_from_the_list() {
    let world = listener_world(0);
    world.table.items.borrow_mut().remove(&ScalingRecord::key(&pool().0));
    let (secs, _) = listen(&world).await;
    assert!((300..320).contains(&secs), "{secs}");
    assert_eq!(listed_pools(&world), ScaledPools::default());
    assert!(world.continuations.borrow().is_empty(), "no pool is left");
}

#[tokio::test(start_paused = true)]
async fn listed_pool_whose_item_another_version_has_written_stays_in_the_list() {
    let world = listener_world(0);
    world.table.put(&ScalingRecord::key(&pool().0), "of another version".to_owned());
    let listed = listed_pools(&world);
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, None));
    assert_eq!((listed_pools(&world), listed.pools.len()), (listed, 1));
}

#[tokio::test(start_paused = true)]
async fn scaled_pools_item_that_another_version_has_written_is_not_overwritten() {
    for text in ["of another version", r#"{"pools":["ghr-ci-other-0123456789"],"regions":[]}"#, r#"{"pools":{}}"#] {
        let world = listener_world(0);
        world.table.put(SCALED_POOLS_KEY, text.to_owned());
        let (id, record) = pool();
        let error = publish(&world, &id, &record).await.unwrap_err().remote_error;
        assert!(error.message.contains("scaled-pools"), "{error}");
        assert_eq!(scaled_pools(&world).await.unwrap_err().remote_error, error);
        assert_eq!(listen(&world).await, (HAND_OVER_SECS, None), "the listener waits for a list that it can read");
        assert_eq!(world.table.text(SCALED_POOLS_KEY), text);
    }
}

#[tokio::test(start_paused = true)]
async fn failing_calls_to_ecs_keep_the_poll_going_and_the_message_unacknowledged() {
    for (kind, until_secs, acknowledged_at_secs) in [
        (ErrorKind::Denied, 900, None),
        (ErrorKind::Unavailable, 900, None),
        (ErrorKind::Denied, 100, Some(120)),
        (ErrorKind::Unavailable, 100, Some(100)),
        (ErrorKind::Throttled { retry_after: Some(Duration::from_secs(45)) }, 100, Some(135)),
    ] {
        let world = StubWorld { behavior: Behavior::RefusesUntil(kind, until_secs), ..listener_world(15) };
        assert_eq!(listen(&world).await, (HAND_OVER_SECS, acknowledged_at_secs), "{kind:?} {until_secs}");
        assert_eq!(world.polls.take(), [(0, 0), (15, 1)], "the second poll asks for later messages");
        assert_eq!(progress(&world).last_message_id, u64::from(acknowledged_at_secs.is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn message_that_the_queue_delivers_again_at_once_keeps_the_session_polled_while_calls_to_ecs_fail() {
    let behavior = Behavior::RefusesUntil(ErrorKind::Denied, 100);
    let world = StubWorld { behavior, redelivers: true, ..listener_world(15) };
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, Some(120)));
    let polls: Vec<u64> = world.polls.take().into_iter().map(|(secs, _)| secs).collect();
    assert_eq!(polls, [0, 15, 25, 35, 45, 55, 60, 60, 70, 80, 90, 100, 110, 120, 120]);
}

#[tokio::test(start_paused = true)]
async fn statistics_of_zero_at_a_session_s_opening_are_read_again_before_they_lower_the_target() {
    let world = listener_world(10_000);
    let (id, mut record) = pool();
    record.progress.session = None;
    record.progress.statistics.assigned = 1;
    world.table.put(&ScalingRecord::key(&id), record.to_record());
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, None));
    assert_eq!(world.set_read_at_secs.take(), [60]);
    assert_eq!(progress(&world).statistics.assigned, 0);
    assert_eq!(progress(&world).n_starts, 6, "one that ECS does not accept each ten seconds, until the reading");
}
