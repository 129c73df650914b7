use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::github::testing::{JumpClock, Stub, client, reply};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::scale_set::{JobEvent, JobStatistics};
use crate::pool::model::secret::Secret;

/// The queue of a stub, whose address authorizes by its query.
fn queue(stub: &Stub) -> MessageQueue {
    let url = format!("http://{}/api/v3/message?sessionId=planted&sig=a%2Bb==", stub.host().authority);
    MessageQueue { url: Secret::new(url), token: Secret::new("queue_planted") }
}

fn answering(status: u16, body: &Value) -> Stub {
    let body = body.to_string();
    Stub::start(move |_| reply(status, &body))
}

async fn poll(stub: &Stub, last_message_id: u64) -> RemoteResult<QueueAnswer<Option<ScaleSetMessage>>> {
    next_message(&client(&JumpClock::new()), &queue(stub), last_message_id, 20).await
}

async fn ack(stub: &Stub) -> RemoteResult<QueueAnswer<()>> {
    acknowledge(&client(&JumpClock::new()), &queue(stub), 31).await
}

async fn message(body: &Value) -> RemoteResult<ScaleSetMessage> {
    let QueueAnswer::Ok(Some(message)) = poll(&answering(200, body), 0).await? else { panic!("{body}") };
    Ok(message)
}

/// A message with these items.
fn with_items(items: &Value) -> Value {
    json!({
        "messageId": 31, "messageType": "RunnerScaleSetJobMessages", "body": items.to_string(),
        "statistics": { "totalAssignedJobs": 2 },
    })
}

#[tokio::test]
async fn poll_announces_the_capacity_and_keeps_the_query_of_its_address() {
    let stub = Stub::start(|_| reply(202, ""));
    for last_message_id in [0, 7] {
        assert_eq!(poll(&stub, last_message_id).await.unwrap(), QueueAnswer::Ok(None));
    }
    let requests = stub.requests();
    assert_eq!(requests[0].line(), "GET /message?sessionId=planted&sig=a%2Bb==");
    assert_eq!(requests[1].line(), "GET /message?sessionId=planted&sig=a%2Bb==&lastMessageId=7");
    for request in requests {
        assert_eq!(request.header("x-scalesetmaxcapacity"), "20");
        assert_eq!(request.header("accept"), "application/json; api-version=6.0-preview");
        assert_eq!(request.header("authorization"), "Bearer queue_planted");
        assert!(request.header("user-agent").starts_with("github-runner-pool/"));
    }
}

#[test]
fn last_message_id_replaces_another_one_in_the_address() {
    for (address, expected) in [
        ("https://a/q", "https://a/q?lastMessageId=7"),
        ("https://a/q?", "https://a/q?lastMessageId=7"),
        ("https://a/q?lastMessageId=3&x=%20&y", "https://a/q?x=%20&y&lastMessageId=7"),
        ("https://a/q?lastMessageIds=3", "https://a/q?lastMessageIds=3&lastMessageId=7"),
    ] {
        assert_eq!(after(Url::parse(address).unwrap(), 7).as_str(), expected);
    }
}

#[tokio::test]
async fn message_has_its_events_and_statistics() {
    let items = json!([
        { "messageType": "JobAvailable", "runnerRequestId": 11, "acquireJobUrl": "https://planted" },
        { "messageType": "JobAssigned", "runnerRequestId": 0, "jobDisplayName": "build" },
        { "messageType": "JobStarted", "runnerId": 5, "runnerName": "ci-1" },
        { "messageType": "JobCompleted", "runnerName": "ci-1", "result": "succeeded" },
        { "messageType": "JobCompleted", "runnerName": "", "result": "canceled" },
    ]);
    let read = message(&with_items(&items)).await.unwrap();
    assert_eq!(read.id, 31);
    assert_eq!(read.statistics, Some(JobStatistics { assigned: 2, ..JobStatistics::default() }));
    let runner = || "ci-1".to_owned();
    let expected = [
        JobEvent::Available { request_id: 11 },
        JobEvent::Assigned,
        JobEvent::Started { runner: runner() },
        JobEvent::Completed { runner: Some(runner()) },
        JobEvent::Completed { runner: None },
    ];
    assert_eq!(read.events, expected);
}

#[tokio::test]
async fn item_of_a_new_type_or_without_what_it_is_about_is_left_out() {
    let items = json!([
        { "messageType": "JobOfTomorrow" }, { "messageType": "JobAvailable" }, { "messageType": "JobStarted" },
        { "runnerName": "ci-1" }, 7, null, { "messageType": "JobAssigned" },
    ]);
    assert_eq!(message(&with_items(&items)).await.unwrap().events, [JobEvent::Assigned]);
}

#[tokio::test]
async fn message_without_a_body_or_statistics_has_none() {
    for body in [json!(""), json!(" "), Value::Null, json!("[]")] {
        let sent = json!({ "messageId": 1, "messageType": "RunnerScaleSetJobMessages", "body": body });
        let read = message(&sent).await.unwrap();
        assert_eq!((read.statistics, read.events), (None, Vec::new()));
    }
}

#[tokio::test]
async fn statistics_with_a_negative_number_count_it_as_none_and_without_assigned_jobs_are_unknown() {
    for (statistics, expected) in [
        (json!({ "totalAssignedJobs": 2, "totalIdleRunners": -1 }), Some(2)),
        (json!({ "totalAssignedJobs": 0 }), Some(0)),
        (json!({ "totalAssignedJobs": -1, "totalIdleRunners": 1 }), None),
        (json!({ "totalIdleRunners": 1 }), None),
        (Value::Null, None),
    ] {
        let mut sent = with_items(&json!([]));
        sent["statistics"] = statistics;
        let read = message(&sent).await.unwrap().statistics;
        assert_eq!(read.map(|statistics| statistics.assigned), expected);
        assert_eq!(read.map_or(0, |statistics| statistics.idle_runners), 0);
    }
}

#[tokio::test]
async fn message_of_another_form_is_unexpected_and_changes_nothing() {
    let mut of_tomorrow = with_items(&json!([]));
    of_tomorrow["messageType"] = json!("RunnerScaleSetOfTomorrow");
    let mut no_list = with_items(&json!([]));
    no_list["body"] = json!("{}");
    let mut zero = with_items(&json!([]));
    zero["messageId"] = json!(0);
    let mut negative = with_items(&json!([]));
    negative["messageId"] = json!(-1);
    for body in [of_tomorrow, no_list, zero, negative, json!({}), json!([])] {
        let error = poll(&answering(200, &body), 0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unexpected, "{body}");
        assert!(error.remote_error.message.contains("Nothing was changed"), "{error}");
    }
    // https://github.com/actions/actions-runner-controller/issues/4285
    let empty = Stub::start(|_| reply(200, ""));
    assert_eq!(poll(&empty, 0).await.unwrap_err().kind(), ErrorKind::Unexpected);
}

#[tokio::test]
async fn status_of_a_poll_says_what_became_of_the_queue() {
    let expired = json!({ "typeName": "A.RunnerScaleSetSessionExpiredException, A" });
    for (status, body, expected) in [
        (401, json!({}), QueueAnswer::TokenExpired),
        (404, json!({}), QueueAnswer::Gone),
        (410, json!({}), QueueAnswer::Gone),
        (400, expired, QueueAnswer::Gone),
    ] {
        assert_eq!(poll(&answering(status, &body), 0).await.unwrap(), expected, "{status}");
    }
    for (status, expected) in [
        (201, ErrorKind::Unexpected),
        (204, ErrorKind::Unexpected),
        (302, ErrorKind::Unexpected),
        (400, ErrorKind::Unexpected),
        (403, ErrorKind::Denied),
        (429, ErrorKind::Throttled { retry_after: None }),
        (500, ErrorKind::Unavailable),
        (502, ErrorKind::Unavailable),
    ] {
        let stub = answering(status, &json!({}));
        assert_eq!(poll(&stub, 0).await.unwrap_err().kind(), expected, "{status}");
        assert_eq!(stub.lines().len(), 1, "a poll is never repeated");
    }
}

#[tokio::test]
async fn retry_after_of_a_poll_is_for_whoever_polls() {
    let stub = Stub::start(|_| reply(429, "").with("retry-after", 30));
    let error = poll(&stub, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(30)) });
    assert_eq!(stub.lines().len(), 1);
}

// Paused, so that time passes at once.
#[tokio::test(start_paused = true)]
async fn poll_waits_a_minute_and_is_not_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/message", listener.local_addr().unwrap());
    let queue = MessageQueue { url: Secret::new(url), token: Secret::new("queue_planted") };
    let began = tokio::time::Instant::now();
    let error = next_message(&client(&JumpClock::new()), &queue, 0, 20).await.unwrap_err();
    assert_eq!((error.kind(), began.elapsed().as_secs()), (ErrorKind::Unavailable, 60));
}

#[tokio::test]
async fn acknowledgement_deletes_the_message_below_the_queue_s_address() {
    let stub = Stub::start(|_| reply(204, ""));
    assert_eq!(ack(&stub).await.unwrap(), QueueAnswer::Ok(()));
    let requests = stub.requests();
    assert_eq!(requests[0].line(), "DELETE /message/31?sessionId=planted&sig=a%2Bb==");
    assert_eq!(requests[0].header("authorization"), "Bearer queue_planted");
}

#[tokio::test]
async fn acknowledgement_of_a_message_that_is_gone_is_done() {
    for (status, expected) in [(404, QueueAnswer::Ok(())), (401, QueueAnswer::TokenExpired), (410, QueueAnswer::Gone)] {
        assert_eq!(ack(&answering(status, &json!({}))).await.unwrap(), expected, "{status}");
    }
    let expired = json!({ "typeName": "A.RunnerScaleSetSessionExpiredException, A" });
    assert_eq!(ack(&answering(400, &expired)).await.unwrap(), QueueAnswer::Gone);
    for status in [200, 202, 400] {
        assert_eq!(ack(&answering(status, &json!({}))).await.unwrap_err().kind(), ErrorKind::Unexpected, "{status}");
    }
}

#[tokio::test]
async fn queue_at_an_address_that_takes_no_token_is_not_asked() {
    let n_requests = AtomicUsize::new(0);
    for url in ["http://broker.example/planted", "planted", ""] {
        let queue = MessageQueue { url: Secret::new(url), token: Secret::new("queue_planted") };
        let client = client(&JumpClock::new());
        for error in [
            next_message(&client, &queue, 0, 20).await.unwrap_err(),
            acknowledge(&client, &queue, 31).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unexpected);
            assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
        }
        n_requests.fetch_add(usize::try_from(client.take_calls().0).unwrap(), Ordering::SeqCst);
    }
    assert_eq!(n_requests.load(Ordering::SeqCst), 0);
}
