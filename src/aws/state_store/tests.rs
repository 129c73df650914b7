use serde_json::json;

use super::*;
use crate::aws::test_http_client::Replay;

const ITEM_KEY: &str = "ci/5f2a/Runners";
const NOW: Timestamp = Timestamp::from_epoch_millis(1_800_000_000_500);
const CONFLICT: &str = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";

fn item(version: u64) -> StateItem {
    StateItem { text: "text".to_owned(), version, expires_at: None }
}

#[tokio::test]
async fn get_item_is_consistent_and_returns_version_and_ttl() {
    let stored =
        json!({ "key": { "S": ITEM_KEY }, "version": { "N": "3" }, "record": { "S": "text" }, "ttl": { "N": "7" } });
    let replay = Replay::default().json(&json!({ "Item": stored }));
    let expires_at = Some(Timestamp::from_epoch_millis(7_000));
    assert_eq!(replay.state_store().read_item(ITEM_KEY).await.unwrap(), Some(StateItem { expires_at, ..item(3) }));
    let sent = replay.sent()[0].json();
    assert_eq!((&sent["TableName"], &sent["ConsistentRead"]), (&json!("github-runner-pool-state"), &json!(true)));
    assert_eq!(sent["Key"], json!({ "key": { "S": ITEM_KEY } }));

    let none = Replay::default().json(&json!({}));
    assert_eq!(none.state_store().read_item(ITEM_KEY).await.unwrap(), None);
}

#[tokio::test]
async fn put_item_of_the_first_version_replaces_no_item_but_an_expired_one() {
    let replay = Replay::default().json(&json!({}));
    assert_eq!(replay.state_store().write_item(ITEM_KEY, &item(1), NOW).await.unwrap(), StateWrite::Stored);
    let sent = replay.sent()[0].json();
    assert_eq!(sent["ConditionExpression"], "attribute_not_exists(#key) OR #ttl <= :now");
    assert_eq!(sent["ExpressionAttributeNames"], json!({ "#key": "key", "#ttl": "ttl" }));
    assert_eq!(sent["ExpressionAttributeValues"], json!({ ":now": { "N": "1800000000" } }));
    assert_eq!(sent["Item"], json!({ "key": { "S": ITEM_KEY }, "version": { "N": "1" }, "record": { "S": "text" } }));
}

#[tokio::test]
async fn put_item_of_a_later_version_replaces_the_one_before() {
    let replay = Replay::default().json(&json!({}));
    let item = StateItem { expires_at: Some(Timestamp::from_epoch_millis(9_000)), ..item(4) };
    assert_eq!(replay.state_store().write_item(ITEM_KEY, &item, NOW).await.unwrap(), StateWrite::Stored);
    let sent = replay.sent()[0].json();
    assert_eq!(sent["ConditionExpression"], "#version = :version");
    assert_eq!(sent["ExpressionAttributeNames"], json!({ "#version": "version" }));
    assert_eq!(sent["ExpressionAttributeValues"], json!({ ":version": { "N": "3" } }));
    assert_eq!(sent["Item"]["ttl"], json!({ "N": "9" }));
}

#[tokio::test]
async fn conditional_check_failed_exception_is_a_conflict() {
    let refused = Replay::default().json_error(CONFLICT, "The conditional request failed");
    assert_eq!(refused.state_store().write_item(ITEM_KEY, &item(4), NOW).await.unwrap(), StateWrite::Conflict);
}
