use serde_json::{Value, json};

use super::*;
use crate::aws::test_http_client::Replay;
use crate::pool::model::registration::Refusal;
use crate::pool::model::remote_error::ErrorKind;

const KEY_OF_TASK: &str = "AROAEXAMPLE:0123456789abcdef0123456789abcdef";
const TASK_ARN: &str = "arn:aws:ecs:eu-west-1:111122223333:task/build/0123456789abcdef0123456789abcdef";
const CONFLICT: &str = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";

fn item() -> Value {
    json!({
        "key": { "S": KEY_OF_TASK }, "format": { "N": "1" }, "task": { "S": TASK_ARN }, "attempt": { "N": "2" },
        "architecture": { "S": "aarch64" }, "ttl": { "N": "1800003600" },
    })
}

fn asked() -> RegistrationRequest {
    RegistrationRequest {
        key: KEY_OF_TASK.to_owned(),
        task_arn: TASK_ARN.to_owned(),
        attempt: 2,
        architecture: Some(Architecture::Arm64),
    }
}

async fn read(item: Value) -> Option<RegistrationRequest> {
    Replay::default().json(&json!({ "Item": item })).registrations().request(KEY_OF_TASK).await.unwrap()
}

#[tokio::test]
async fn get_item_of_a_request_is_consistent() {
    let replay = Replay::default().json(&json!({ "Item": item() }));
    assert_eq!(replay.registrations().request(KEY_OF_TASK).await.unwrap(), Some(asked()));
    let sent = replay.sent()[0].json();
    assert_eq!(sent["TableName"], "github-runner-pool-registrations");
    assert_eq!(sent["Key"], json!({ "key": { "S": KEY_OF_TASK } }));
    assert_eq!(sent["ConsistentRead"], true);
}

#[tokio::test]
async fn item_that_is_no_request_without_an_answer_is_none() {
    let with = |name: &str, value: Value| {
        let mut item = item();
        item[name] = value;
        item
    };
    assert_eq!(read(item()).await, Some(asked()));
    for other in [
        with("answer", json!({ "S": "{}" })),
        with("format", json!({ "N": "2" })),
        with("task", json!({ "N": "1" })),
        with("attempt", json!({ "S": "x" })),
        json!({ "key": { "S": KEY_OF_TASK } }),
    ] {
        assert_eq!(read(other.clone()).await, None, "{other}");
    }
    let gone = Replay::default().json(&json!({}));
    assert_eq!(gone.registrations().request(KEY_OF_TASK).await.unwrap(), None);
}

#[tokio::test]
async fn update_item_answers_only_a_container_that_waits() {
    let refused = RegistrationAnswer::Refused(Refusal { message: "No. Ask later.".to_owned(), retry: true });
    let replay = Replay::default().json(&json!({})).json_error(CONFLICT, "The conditional request failed");
    let table = replay.registrations();
    assert_eq!(table.answer(&asked(), &refused).await.unwrap(), AnswerWrite::Stored);
    assert_eq!(table.answer(&asked(), &refused).await.unwrap(), AnswerWrite::Withdrawn);
    let sent = replay.sent()[0].json();
    assert_eq!(sent["UpdateExpression"], "SET #answer = :answer");
    assert_eq!(sent["ConditionExpression"], "attribute_exists(#key) AND attribute_not_exists(#answer)");
    assert_eq!(sent["ExpressionAttributeNames"], json!({ "#key": "key", "#answer": "answer" }));
    let answer: Value =
        serde_json::from_str(sent["ExpressionAttributeValues"][":answer"]["S"].as_str().unwrap()).unwrap();
    assert_eq!(answer, json!({ "kind": "refused", "message": "No. Ask later.", "retry": true }));
}

#[tokio::test]
async fn registrations_table_that_does_not_exist_is_not_found() {
    let replay = Replay::default().json_error("ResourceNotFoundException", "Requested resource not found");
    let error = replay.registrations().request(KEY_OF_TASK).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
