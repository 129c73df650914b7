//! Rate limits: GitHub's pauses, and the pace of deletions.

use std::sync::{Arc, Mutex};

use futures_util::future::join_all;

use super::*;
use crate::pool::model::secret::Secret;
use crate::reconcile::ports::{Clock as _, Credential};

fn secondary_rate_limit() -> Reply {
    reply(403, json!({"message": "You have exceeded a secondary rate limit."}))
}

#[tokio::test]
async fn retry_after_is_waited_out_up_to_the_endpoint_s_limit() {
    let clock = JumpClock::new();
    let stub = at_first(2, || secondary_rate_limit().with("retry-after", 9), || page(0, []));
    client(&clock).runners(&stub.target(acme()), &token()).await.unwrap();
    assert_eq!((clock.secs(), stub.lines().len()), (18, 3));

    let clock = JumpClock::new();
    let stub = at_first(2, || secondary_rate_limit().with("retry-after", 2), || reply(204, ""));
    let outcome = client(&clock).deregister(&stub.target(acme()), &token(), 1).await.unwrap();
    assert_eq!(outcome, Deregistration::Deleted);
    assert_eq!((clock.secs(), stub.lines().len()), (4, 3));

    let clock = JumpClock::new();
    let stub = at_first(1, || secondary_rate_limit().with("retry-after", 9), || reply(204, ""));
    let error = client(&clock).deregister(&stub.target(acme()), &token(), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(9)) });
    assert_eq!((clock.secs(), stub.lines().len()), (0, 1), "the list and the log have to be read again");
}

#[tokio::test]
async fn secondary_rate_limit_pauses_every_request_of_the_credential() {
    let clock = JumpClock::new();
    let stub = at_first(1, secondary_rate_limit, || page(0, []));
    let (client, target) = (client(&clock), stub.target(acme()));
    let error = client.deregister(&target, &token(), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(60)) });
    assert!(
        error.remote_error.message.contains("asks for a pause of 1 min. GitHub said: You have exceeded"),
        "{error}"
    );

    clock.pass(Duration::from_secs(20));
    let error = client.runners(&target, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(40)) });
    assert_eq!(error.remote_error.message, "not sent for another 40 s, the rest of the pause that GitHub asked for");
    assert_eq!((clock.secs(), stub.lines().len()), (20, 1));

    clock.pass(Duration::from_secs(15));
    client.runners(&target, &token()).await.unwrap();
    assert_eq!((clock.secs(), stub.lines().len()), (60, 2));
}

#[tokio::test]
async fn ratelimit_remaining_of_zero_pauses_the_credential_until_ratelimit_reset() {
    let clock = JumpClock::new();
    let reset = clock.millis() / 1000 + 1800;
    let stub = Stub::start(move |_| {
        page(0, [])
            .with("x-ratelimit-remaining", 0)
            .with("x-ratelimit-reset", reset)
            .with("x-ratelimit-resource", "core")
    });
    let (client, target) = (client(&clock), stub.target(acme()));
    client.runners(&target, &token()).await.unwrap();
    let error = client.runners(&target, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(1801)) });
    assert_eq!(stub.lines().len(), 1);

    let other = Credential::AccessToken(Secret::new("ghp_other"));
    client.runners(&target, &other).await.unwrap();
    assert_eq!(stub.lines().len(), 2, "another credential has a limit of its own");
}

#[tokio::test]
async fn rate_limit_of_registration_tokens_pauses_no_other_request() {
    let clock = JumpClock::new();
    let reset = clock.millis() / 1000 + 600;
    let stub = Stub::start(move |request| match request.method.as_str() {
        "POST" => reply(403, json!({"message": "API rate limit exceeded for user ID 1."}))
            .with("x-ratelimit-remaining", 0)
            .with("x-ratelimit-reset", reset)
            .with("x-ratelimit-resource", "actions_runner_registration"),
        _ => page(0, []),
    });
    let (client, target) = (client(&clock), stub.target(acme()));
    let error = client.check_administration(&target, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(601)) });
    assert!(
        error.remote_error.message.contains("hourly rate limit of this credential is used up for another 10 min"),
        "{error}"
    );
    client.runners(&target, &token()).await.unwrap();
    assert_eq!((clock.secs(), stub.lines().len()), (0, 2));
}

#[tokio::test]
async fn delete_runners_of_a_hundred_is_paced_at_one_a_second_and_sends_each_once() {
    let clock = JumpClock::new();
    let (watch, arrivals) = (clock.clone(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&arrivals);
    let stub = Stub::start(move |_| {
        log.lock().unwrap().push(watch.millis());
        reply(204, "")
    });
    let (client, target, token) = (client(&clock), stub.target(acme()), token());
    let mut left: Vec<u64> = (0..100).collect();
    while !left.is_empty() {
        // As the pool does it: what is delayed is asked for again when its time has come.
        let batch: Vec<u64> = left.drain(..left.len().min(8)).collect();
        let outcomes = join_all(batch.iter().map(|id| client.deregister(&target, &token, *id))).await;
        let mut retry_at = clock.now();
        for (id, outcome) in batch.into_iter().zip(outcomes) {
            match outcome {
                Ok(outcome) => assert_eq!(outcome, Deregistration::Deleted),
                Err(error) => {
                    let ErrorKind::Throttled { retry_after: Some(pause) } = error.kind() else { panic!("{error}") };
                    assert_eq!(error.remote_error.code, None, "not sent, so not rejected: {error}");
                    retry_at = retry_at.max(clock.now() + pause);
                    left.push(id);
                }
            }
        }
        clock.sleep_until(retry_at).await;
    }
    let arrivals = arrivals.lock().unwrap().clone();
    assert_eq!(arrivals.len(), 100, "each sent once");
    let busiest =
        arrivals.iter().map(|from| arrivals.iter().filter(|at| (*from..from + 60_000).contains(at)).count()).max();
    assert_eq!(busiest, Some(64), "in the busiest minute");
    assert_eq!(clock.secs(), 96);
}

#[tokio::test]
async fn delete_runners_is_sent_within_five_seconds_of_its_evidence_or_not_at_all() {
    let clock = JumpClock::new();
    let stub = Stub::start(|_| reply(204, ""));
    let (client, target) = (client(&clock), stub.target(acme()));
    for id in 0..8 {
        client.deregister(&target, &token(), id).await.unwrap();
    }
    let error = client.deregister(&target, &token(), 8).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(8)) });
    assert_eq!((clock.secs(), stub.lines().len()), (0, 8));

    clock.pass(Duration::from_secs(3));
    client.deregister(&target, &token(), 8).await.unwrap();
    assert_eq!((clock.secs(), stub.lines().len()), (8, 9));
}
