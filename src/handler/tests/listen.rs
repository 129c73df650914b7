//! `{"Listen": {}}`: renewing the lease and reading the list of pools keep no message waiting, and a lease that has run
//! out ends the serving.

use std::time::Duration;

use serde_json::json;

use super::listener_world::{Answer, ListenerWorld, pool};
use super::stub_world::{Behavior, NOW, StubWorld, invocation, settings};
use crate::handler::handle;
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::scaling::{ListenerLease, SCALED_POOLS_KEY, ScaledPools};
use crate::reconcile::ports::Clock as _;
use crate::reconcile::scaling::{publish, scaled_pools};

/// Runs the listener to its end: after how many seconds that was, and when the message was acknowledged.
async fn listen(world: &ListenerWorld) -> (u64, Option<u64>) {
    handle(world, &settings(), &json!({ "Listen": {} }), &invocation()).await.unwrap();
    (world.stub.now().since(NOW).as_secs(), world.acknowledged_at_secs.get())
}

/// When an invocation of 15 minutes hands over.
const HAND_OVER_SECS: u64 = 825;

#[tokio::test(start_paused = true)]
async fn listen_renews_its_lease_until_it_hands_over() {
    let world = ListenerWorld::new(700);
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, Some(700)));
    assert_eq!(world.stub.continuations.take(), [json!({ "Listen": {} })]);
    assert_eq!(world.n_lease_writes.get(), 1 + 82 + 1, "taken, renewed each ten seconds, given back");
}

#[tokio::test(start_paused = true)]
async fn lease_renewal_that_does_not_answer_keeps_no_message_waiting_and_ends_the_serving_when_the_lease_expires() {
    for (message_at_secs, acknowledged_at_secs) in [(15, Some(15)), (29, Some(29)), (30, None), (31, None)] {
        let world = ListenerWorld { renewals: Answer::Never, ..ListenerWorld::new(message_at_secs) };
        assert_eq!(listen(&world).await, (30, acknowledged_at_secs), "{message_at_secs}");
        assert!(world.stub.continuations.borrow().is_empty(), "the next tick starts another one");
    }
}

#[tokio::test(start_paused = true)]
async fn lease_renewal_that_fails_is_repeated_until_the_lease_expires() {
    let world = ListenerWorld { renewals: Answer::FailsUntil(25), ..ListenerWorld::new(60) };
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, Some(60)));
    let world = ListenerWorld { renewals: Answer::FailsUntil(900), ..ListenerWorld::new(60) };
    assert_eq!(listen(&world).await, (30, None));
    assert_eq!(world.n_lease_writes.get(), 1 + 10, "one every two seconds");
}

#[tokio::test(start_paused = true)]
async fn listen_acknowledges_the_last_message_of_a_listener_that_was_killed_before_it_did() {
    let world = ListenerWorld::new(60);
    world.change_progress(|progress| progress.last_message_id = 1);
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn lease_whose_renewal_is_under_way_at_the_hand_over_is_given_back() {
    let world = ListenerWorld { renewals: Answer::Takes(7), ..ListenerWorld::new(60) };
    assert_eq!(
        listen(&world).await,
        (HAND_OVER_SECS + 2 + 7, Some(60)),
        "renewed from 820 to 827, given back until 834"
    );
    assert_eq!(world.lease(), ListenerLease::default());
    assert_eq!(world.stub.continuations.take(), [json!({ "Listen": {} })]);
}

#[tokio::test(start_paused = true)]
async fn list_of_pools_that_is_not_read_keeps_no_message_waiting_and_no_lease_from_its_renewal() {
    for lists in [Answer::Never, Answer::FailsUntil(900)] {
        let world = ListenerWorld { lists, ..ListenerWorld::new(60) };
        assert_eq!(listen(&world).await, (HAND_OVER_SECS, Some(60)), "{lists:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn listen_without_pools_ends_and_starts_another_for_a_pool_that_was_listed_meanwhile() {
    for lists_a_pool_late in [false, true] {
        let world = ListenerWorld { lists_a_pool_late, ..ListenerWorld::without_pools() };
        assert_eq!(listen(&world).await, (0, None));
        let started = world.stub.continuations.take();
        assert_eq!(started, vec![json!({ "Listen": {} }); usize::from(lists_a_pool_late)]);
    }
}

#[tokio::test(start_paused = true)]
async fn listed_pool_that_has_no_item_for_five_minutes_is_removed_from_the_list() {
    let world = ListenerWorld::without_item();
    let (secs, _) = listen(&world).await;
    assert!((300..320).contains(&secs), "{secs}");
    assert_eq!(world.listed_pools(), ScaledPools::default());
    assert!(world.stub.continuations.borrow().is_empty(), "no pool is left");
}

#[tokio::test(start_paused = true)]
async fn listed_pool_whose_item_another_version_has_written_stays_in_the_list() {
    let world = ListenerWorld::with_unreadable_item();
    let listed = world.listed_pools();
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, None));
    assert_eq!((world.listed_pools(), listed.pools.len()), (listed, 1));
}

#[tokio::test(start_paused = true)]
async fn scaled_pools_item_that_another_version_has_written_is_not_overwritten() {
    for text in ["of another version", r#"{"pools":["ghr-ci-other-0123456789"],"regions":[]}"#, r#"{"pools":{}}"#] {
        let world = ListenerWorld::without_pools();
        world.put(SCALED_POOLS_KEY, text.to_owned());
        let (id, record) = pool();
        let error = publish(&world, &id, &record).await.unwrap_err().remote_error;
        assert!(error.message.contains("scaled-pools"), "{error}");
        assert_eq!(scaled_pools(&world).await.unwrap_err().remote_error, error);
        assert_eq!(listen(&world).await, (HAND_OVER_SECS, None), "the listener waits for a list that it can read");
        assert_eq!(world.items.borrow()[SCALED_POOLS_KEY].text, text);
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
        let stub = StubWorld::new(Behavior::RefusesUntil(kind, until_secs));
        let world = ListenerWorld { stub, ..ListenerWorld::new(15) };
        assert_eq!(listen(&world).await, (HAND_OVER_SECS, acknowledged_at_secs), "{kind:?} {until_secs}");
        assert_eq!(world.polls.take(), [(0, 0), (15, 1)], "the second poll asks for later messages");
        assert_eq!(world.progress().last_message_id, u64::from(acknowledged_at_secs.is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn message_that_the_queue_delivers_again_at_once_keeps_the_session_polled_while_calls_to_ecs_fail() {
    let stub = StubWorld::new(Behavior::RefusesUntil(ErrorKind::Denied, 100));
    let world = ListenerWorld { stub, redelivers: true, ..ListenerWorld::new(15) };
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, Some(120)));
    let polls: Vec<u64> = world.polls.take().into_iter().map(|(secs, _)| secs).collect();
    assert_eq!(polls, [0, 15, 25, 35, 45, 55, 60, 60, 70, 80, 90, 100, 110, 120, 120]);
}

#[tokio::test(start_paused = true)]
async fn statistics_of_zero_at_a_session_s_opening_are_read_again_before_they_lower_the_target() {
    let world = ListenerWorld::new(10_000);
    world.change_progress(|progress| {
        progress.session = None;
        progress.statistics.assigned = 1;
    });
    assert_eq!(listen(&world).await, (HAND_OVER_SECS, None));
    assert_eq!(world.set_read_at_secs.take(), [60]);
    assert_eq!(world.progress().statistics.assigned, 0);
    assert_eq!(world.progress().n_starts, 6, "one that ECS does not accept each ten seconds, until the reading");
}
