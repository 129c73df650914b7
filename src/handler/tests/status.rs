//! `{"Status": {}}` reads, and says what it could not read.

use serde_json::json;

use super::stub_world::{Behavior, StubWorld, invocation, settings};
use crate::handler::handle;
use crate::handler::status::StatusScope;
use crate::pool::model::identity::StackResource;
use crate::pool::model::remote_error::ErrorKind;

#[tokio::test(start_paused = true)]
async fn status_without_pools_is_empty_and_sends_no_response() {
    let world = StubWorld::new(Behavior::IsEmpty);
    let response = handle(&world, &settings(), &json!({ "Status": {} }), &invocation()).await.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(response, json!({ "Status": { "Version": version, "Pools": [], "Errors": [] } }));
    assert!(world.responses.borrow().is_empty() && world.table.items.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn status_that_cannot_list_says_why() {
    let world = StubWorld::new(Behavior::Refuses(ErrorKind::Denied));
    let response = handle(&world, &settings(), &json!({ "Status": {} }), &invocation()).await.unwrap();
    assert!(response["Status"]["Errors"][0].as_str().unwrap().contains("DescribeServices failed"), "{response}");
}

#[test]
fn status_of_a_stack_is_asked_for_by_its_name_or_its_arn() {
    let stack_id = "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/5f2a0000-0000-0000-0000-000000000001";
    let resource = StackResource { stack_id: stack_id.to_owned(), logical_id: "Runners".to_owned() };
    let has = |event| StatusScope::parse(&event).map(|scope| scope.has(&resource));
    assert_eq!(has(json!({ "Status": {} })), Some(true));
    assert_eq!(has(json!({ "Status": { "Stack": "ci" } })), Some(true));
    assert_eq!(has(json!({ "Status": { "Stack": stack_id } })), Some(true));
    assert_eq!(has(json!({ "Status": { "Stack": "ci-2" } })), Some(false));
    assert_eq!(has(json!({ "Status": "SUCCESS" })), None);
    assert_eq!(has(json!({})), None);
}
