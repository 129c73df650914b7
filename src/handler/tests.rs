//! Any request that waits gets a response: over worlds that panic, hang and refuse.

mod inventory;
mod launch;
mod listen;
mod on_failure;
mod preview;
mod registration;
mod state_table;
mod status;
mod stub_world;

use serde_json::{Value, json};

use super::budget::RESPONSE_MARGIN;
use super::{HandleError, Invocation, handle};
use crate::pool::model::continuation::ParsedContinuation;
use crate::pool::model::remote_error::ErrorKind;
use crate::reconcile::ports::Clock as _;

use self::state_table::StateTable;
use self::stub_world::{Behavior, NOW, StubWorld, event, invocation, remote_error, run, settings};

#[tokio::test(start_paused = true)]
async fn panic_becomes_a_failed_response_with_the_physical_id() {
    let response = run(&StubWorld::new(Behavior::Panics), &event("Create")).await;
    assert_eq!(response["Status"], "FAILED");
    assert!(response["PhysicalResourceId"].as_str().unwrap().starts_with("ghr-ci-Runners-"));
    assert!(response["Reason"].as_str().unwrap().starts_with("Internal error"), "{response}");
}

#[tokio::test(start_paused = true)]
async fn call_that_never_returns_becomes_a_failed_response_in_time() {
    let world = StubWorld::new(Behavior::Hangs);
    let response = run(&world, &event("Delete")).await;
    assert_eq!(response["Status"], "FAILED");
    assert_eq!(response["PhysicalResourceId"], "made-up-by-cloudformation");
    assert!(world.now() < invocation().deadline);
}

#[tokio::test(start_paused = true)]
async fn denied_call_fails_at_once_and_says_what_to_do() {
    let world = StubWorld::new(Behavior::Refuses(ErrorKind::Denied));
    let response = run(&world, &event("Create")).await;
    assert_eq!(response["Status"], "FAILED");
    let reason = response["Reason"].as_str().unwrap();
    assert!(reason.contains("Allow it in the function's role"), "{reason}");
    assert_eq!(world.now(), NOW);
}

#[tokio::test(start_paused = true)]
async fn retryable_error_is_continued_until_the_response_deadline_and_then_fails() {
    let world = StubWorld::new(Behavior::Refuses(ErrorKind::Unavailable));
    handle(&world, &settings(), &event("Create"), &invocation()).await.unwrap();
    let mut continuation_count = 0;
    while world.responses.borrow().is_empty() {
        let next = world.continuations.borrow_mut().pop().expect("a response or a continuation");
        let invocation = Invocation { deadline: world.now() + std::time::Duration::from_secs(900), ..invocation() };
        handle(&world, &settings(), &next, &invocation).await.unwrap();
        continuation_count += 1;
    }
    let responses = world.responses.take();
    assert_eq!(responses.len(), 1);
    assert_eq!(responses[0]["Status"], "FAILED");
    assert!(responses[0]["Reason"].as_str().unwrap().contains("was still waiting for"), "{}", responses[0]);
    assert!((3..=5).contains(&continuation_count), "{continuation_count} hops");
    assert!(world.now().since(NOW) <= std::time::Duration::from_secs(3600 - 120));
}

#[tokio::test(start_paused = true)]
async fn continuation_of_a_newer_format_becomes_a_failed_response() {
    let world = StubWorld::new(Behavior::Refuses(ErrorKind::Unavailable));
    handle(&world, &settings(), &event("Create"), &invocation()).await.unwrap();
    let mut next = world.continuations.borrow_mut().pop().unwrap();
    next["GitHubRunnerPoolContinuation"] = json!(99);
    next["rest"] = json!({"written": "by a version to come"});
    let response = run(&world, &next).await;
    assert_eq!(response["Status"], "FAILED");
    assert_eq!(response["RequestId"], "request-1");
    assert!(response["PhysicalResourceId"].as_str().unwrap().starts_with("ghr-ci-Runners-"));
}

#[tokio::test(start_paused = true)]
async fn continuation_round_trips() {
    let world = StubWorld::new(Behavior::Refuses(ErrorKind::Unavailable));
    handle(&world, &settings(), &event("Create"), &invocation()).await.unwrap();
    let event = world.continuations.borrow_mut().pop().unwrap();
    let Some(ParsedContinuation::Supported(continuation)) = ParsedContinuation::read(&event) else {
        panic!("unreadable")
    };
    let again: Value = serde_json::from_slice(&continuation.to_event()).unwrap();
    assert_eq!(again, event);
    assert!(!format!("{continuation:?}").contains("planted"));
}

#[tokio::test(start_paused = true)]
async fn delete_of_nothing_succeeds_whatever_its_physical_id() {
    for id in ["made-up-by-cloudformation", "ghr-was-not-created", "ghr-other-Pool-0123456789", ""] {
        let mut event = event("Delete");
        event["PhysicalResourceId"] = json!(id);
        for properties in [json!(null), json!("text"), json!({"Cluster": ["of", "lists"]}), json!({})] {
            event["ResourceProperties"] = properties;
            let response = run(&StubWorld::new(Behavior::IsEmpty), &event).await;
            assert_eq!(response["Status"], "SUCCESS", "{response}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn response_that_cannot_be_sent_fails_the_invocation_without_its_url() {
    let world = StubWorld { accepts_responses: false, ..StubWorld::new(Behavior::IsEmpty) };
    let error = handle(&world, &settings(), &event("Delete"), &invocation()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("planted"));
}

#[tokio::test(start_paused = true)]
async fn event_that_is_no_request_is_ignored() {
    let world = StubWorld::new(Behavior::Panics);
    for event in [json!({"hello": "world"}), sns(&json!("a notification of another kind"))] {
        handle(&world, &settings(), &event, &invocation()).await.unwrap();
    }
    assert!(world.responses.borrow().is_empty());
}

/// The event of an SNS topic to which this was published.
fn sns(message: &Value) -> Value {
    json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Type": "Notification", "Message": message.to_string() } }] })
}

#[tokio::test(start_paused = true)]
async fn request_by_sns_or_sqs_gets_its_response() {
    let bare = event("Delete");
    let expected = run(&StubWorld::new(Behavior::IsEmpty), &bare).await;
    let notification = json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": bare.to_string() });
    let sqs = |body: &Value| json!({ "Records": [{ "eventSource": "aws:sqs", "body": body.to_string() }] });
    for event in [sns(&bare), sqs(&bare), sqs(&notification)] {
        assert_eq!(run(&StubWorld::new(Behavior::IsEmpty), &event).await, expected, "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn sqs_batch_with_a_request_without_a_response_url_fails_the_invocation_and_responds_to_the_others() {
    let without_url = |url: Value| {
        let mut event = event("Create");
        event["ResponseURL"] = url;
        event
    };
    for url in [json!("http://answers.example/?X-Amz-Signature=planted"), json!("..."), json!(null)] {
        let world = StubWorld::new(Behavior::IsEmpty);
        let mut both = sns(&without_url(url.clone()));
        let with_url = sns(&event("Delete"))["Records"][0].clone();
        both["Records"].as_array_mut().unwrap().push(with_url);
        for (event, n_responses) in [(without_url(url), 0), (both, 1)] {
            let error = handle(&world, &settings(), &event, &invocation()).await.unwrap_err();
            assert!(matches!(error, HandleError::NoResponseUrl(_)), "{error}");
            assert!(!format!("{error} {error:?}").contains("planted"));
            assert_eq!(world.responses.borrow().len(), n_responses);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn response_that_another_delivery_records_in_between_is_repeated() {
    let world = StubWorld::new(Behavior::IsEmpty);
    let first = run(&world, &event("Create")).await;
    let item = world.table.only_item();
    // Another delivery responds before this one acquires its lock, or before it writes its own response down.
    for write in [1, 2] {
        let world = StubWorld::new(Behavior::IsEmpty);
        world.table.written_meanwhile.borrow_mut().insert(write, item.clone());
        let mut settings = settings();
        settings.log = Some(("/aws/lambda/pools".to_owned(), "later".to_owned()));
        handle(&world, &settings, &event("Create"), &invocation()).await.unwrap();
        assert!(world.table.written_meanwhile.borrow().is_empty(), "write {write} was made");
        assert_eq!(world.responses.take(), std::slice::from_ref(&first));
        assert_eq!(world.table.only_item(), item);
    }
}

#[tokio::test(start_paused = true)]
async fn response_that_put_item_denies_is_recorded_before_it_is_sent_or_after() {
    // The first write acquires the lock. Four attempts fit in before the response has to be sent.
    for (denied_writes, took_secs) in [(2..5, 3), (2..7, 5)] {
        let table = StateTable { denied_writes: denied_writes.clone(), ..StateTable::default() };
        let world = StubWorld { table, ..StubWorld::new(Behavior::IsEmpty) };
        let response = run(&world, &event("Create")).await;
        let (_, record) = world.table.only_item();
        let recorded: Value = serde_json::from_str(record.split_once('\n').unwrap().1).unwrap();
        assert_eq!(recorded, response, "{denied_writes:?}");
        assert_eq!(world.now().since(NOW).as_secs(), took_secs, "{denied_writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn redelivered_request_gets_the_same_response_to_the_byte() {
    let world = StubWorld::new(Behavior::IsEmpty);
    let first = run(&world, &event("Create")).await;
    assert_eq!(first["Status"], "FAILED");
    // Whatever the log's place is by now.
    let mut self_invoker = settings();
    self_invoker.log = Some(("group".to_owned(), "another-stream".to_owned()));
    handle(&world, &self_invoker, &event("Create"), &invocation()).await.unwrap();
    assert_eq!(world.responses.take(), [first]);
}

#[tokio::test(start_paused = true)]
async fn retryable_error_of_lambda_invoke_fails_the_invocation_so_that_lambda_retries() {
    let accepts_events = Err(remote_error(ErrorKind::Throttled { retry_after: None }));
    let world = StubWorld { accepts_events, ..StubWorld::new(Behavior::Refuses(ErrorKind::Unavailable)) };
    let error = handle(&world, &settings(), &event("Create"), &invocation()).await.unwrap_err();
    assert!(matches!(error, HandleError::ContinuationNotSent(_)));
    assert!(world.responses.borrow().is_empty());
    assert!(world.now() < invocation().deadline - RESPONSE_MARGIN, "time is left to respond");
}

#[tokio::test(start_paused = true)]
async fn denied_lambda_invoke_becomes_a_failed_response() {
    let accepts_events = Err(remote_error(ErrorKind::Denied));
    let world = StubWorld { accepts_events, ..StubWorld::new(Behavior::Refuses(ErrorKind::Unavailable)) };
    let response = run(&world, &event("Create")).await;
    assert!(response["Reason"].as_str().unwrap().starts_with("lambda:InvokeFunction: "), "{response}");
}
