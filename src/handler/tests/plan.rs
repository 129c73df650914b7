//! A plan tells what would be done, and does nothing.

use serde_json::json;

use super::barren::{Barren, Manner, event, invocation, settings};
use crate::handler::handle;
use crate::pool::refusal::Class;

#[tokio::test(start_paused = true)]
async fn a_plan_is_told_to_the_caller_and_answers_nobody() {
    let world = Barren::new(Manner::IsEmpty);
    let properties = event("Create")["ResourceProperties"].clone();
    let told = handle(&world, &settings(), &json!({ "Plan": properties }), &invocation()).await.unwrap();
    assert_eq!(told["Plan"]["Action"], "Create");
    assert_eq!(told["Plan"].get("Pool"), None);
    assert!(told["Plan"]["Obstacle"].as_str().unwrap().contains("no active ECS cluster"), "{told}");
    assert!(world.answers.borrow().is_empty() && world.record.borrow().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_a_known_resource_names_its_pool() {
    let world = Barren::new(Manner::IsEmpty);
    let create = event("Create");
    let asked = json!({
        "Plan": create["ResourceProperties"],
        "StackId": create["StackId"],
        "LogicalResourceId": create["LogicalResourceId"],
    });
    let told = handle(&world, &settings(), &asked, &invocation()).await.unwrap();
    assert!(told["Plan"]["Pool"].as_str().unwrap().starts_with("ghr-ci-Runners-"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_tells_every_problem_of_its_properties() {
    let world = Barren::new(Manner::Panics);
    let told = handle(&world, &settings(), &json!({ "Plan": {"OrgNme": "acme"} }), &invocation()).await.unwrap();
    assert_eq!(told["Plan"]["Action"], "Nothing");
    assert!(told["Plan"]["Obstacle"].as_str().unwrap().contains("OrgNme"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_cannot_look_says_why() {
    let world = Barren::new(Manner::Refuses(Class::Denied));
    let asked = json!({ "Plan": event("Create")["ResourceProperties"] });
    let told = handle(&world, &settings(), &asked, &invocation()).await.unwrap();
    assert!(told["Plan"]["Obstacle"].as_str().unwrap().contains("Allow it in the function's role"), "{told}");
}
