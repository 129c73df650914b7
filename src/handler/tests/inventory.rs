//! An inventory lists the pools; an incomplete one lists none.

use serde_json::json;

use super::stub_world::{Behavior, StubWorld, invocation, settings};
use crate::handler::handle;
use crate::pool::model::remote_error::ErrorKind;

#[tokio::test(start_paused = true)]
async fn inventory_without_pools_is_empty_and_sends_no_response() {
    let world = StubWorld::new(Behavior::IsEmpty);
    let response = handle(&world, &settings(), &json!({ "Inventory": {} }), &invocation()).await.unwrap();
    assert_eq!(response, json!({ "Inventory": {}, "Version": env!("CARGO_PKG_VERSION") }));
    assert!(world.responses.borrow().is_empty() && world.table.items.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn inventory_that_cannot_list_says_why() {
    let world = StubWorld::new(Behavior::Refuses(ErrorKind::Denied));
    let response = handle(&world, &settings(), &json!({ "Inventory": {} }), &invocation()).await.unwrap();
    assert!(response["Obstacle"].as_str().unwrap().contains("DescribeServices failed"), "{response}");
}
