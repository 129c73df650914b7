//! What Lambda gives up comes back once more, to be responded to.

use serde_json::{Value, json};

use super::stub_world::{Behavior, StubWorld, event, invocation, run, settings};
use crate::handler::{HandleError, handle};
use crate::pool::model::remote_error::ErrorKind;

/// An event of the on-failure queue, about this one.
fn invocation_record(event: &Value) -> Value {
    let record = json!({
        "version": "1.0",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "requestContext": {
            "requestId": "b7a7b9f3",
            "functionArn": "arn:aws:lambda:eu-central-1:111122223333:function:github-runner-pool:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": event,
        "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
        "responsePayload": { "errorMessage": "RequestId: b7a7b9f3 Error: Runtime exited with error: signal: killed" },
    });
    json!({ "Records": [{ "messageId": "1", "eventSource": "aws:sqs", "body": record.to_string() }] })
}

#[tokio::test(start_paused = true)]
async fn on_failure_destination_responds_failed_even_if_reading_the_lock_panics() {
    let response = run(&StubWorld::new(Behavior::Panics), &invocation_record(&event("Create"))).await;
    assert_eq!(response["Status"], "FAILED");
    assert!(response["PhysicalResourceId"].as_str().unwrap().starts_with("ghr-ci-Runners-"));
    let reason = response["Reason"].as_str().unwrap();
    assert!(
        reason.contains("Lambda exhausted its retries (3 attempts) for this request: every attempt failed"),
        "{reason}"
    );
    assert!(reason.contains("signal: killed"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn on_failure_destination_responds_to_a_continuation_with_its_physical_id() {
    let world = StubWorld::new(Behavior::Refuses(ErrorKind::Unavailable));
    let id = "ghr-ci-Runners-0123456789";
    let mut delete = event("Delete");
    delete["PhysicalResourceId"] = json!(id);
    handle(&world, &settings(), &delete, &invocation()).await.unwrap();
    let next = world.continuations.borrow_mut().pop().unwrap();
    let response = run(&world, &invocation_record(&next)).await;
    assert_eq!((&response["Status"], &response["PhysicalResourceId"]), (&json!("FAILED"), &json!(id)));
}

#[tokio::test(start_paused = true)]
async fn on_failure_destination_repeats_a_recorded_response() {
    let world = StubWorld::new(Behavior::IsEmpty);
    let first = run(&world, &event("Create")).await;
    assert_eq!(run(&world, &invocation_record(&event("Create"))).await, first);
}

#[tokio::test(start_paused = true)]
async fn on_failure_destination_responds_to_a_request_by_sns() {
    let bare = event("Create");
    let sns = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": bare.to_string() } }] });
    let response = run(&StubWorld::new(Behavior::IsEmpty), &invocation_record(&sns)).await;
    assert_eq!((&response["Status"], &response["RequestId"]), (&json!("FAILED"), &bare["RequestId"]));
}

#[tokio::test(start_paused = true)]
async fn on_failure_record_without_a_response_url_stays_in_the_queue() {
    let world = StubWorld::new(Behavior::IsEmpty);
    let mut nowhere = event("Create");
    nowhere["ResponseURL"] = json!("...");
    let error = handle(&world, &settings(), &invocation_record(&nowhere), &invocation()).await.unwrap_err();
    assert!(matches!(error, HandleError::NoResponseUrl(_)), "{error}");
    assert!(world.responses.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn on_failure_destination_sends_nothing_after_the_response_url_has_expired() {
    let world = StubWorld::new(Behavior::IsEmpty);
    let mut old = event("Create");
    old["ResponseURL"] = json!("https://answers.example/planted?X-Amz-Date=20270115T060000Z&X-Amz-Signature=planted");
    let strange = json!({ "Records": [{ "eventSource": "aws:sqs", "body": "no record of Lambda's" }] });
    for event in [invocation_record(&old), invocation_record(&json!({"hello": "world"})), strange] {
        handle(&world, &settings(), &event, &invocation()).await.unwrap();
    }
    assert!(world.responses.borrow().is_empty(), "{:?}", world.responses.borrow());
}
