//! A preview says what would be done, and does nothing.

use serde_json::{Value, json};

use super::stub_world::{Behavior, StubWorld, event, invocation, settings};
use crate::handler::handle;
use crate::pool::model::remote_error::ErrorKind;

#[tokio::test(start_paused = true)]
async fn preview_returns_its_plan_and_sends_no_response() {
    let world = StubWorld::new(Behavior::IsEmpty);
    let properties = event("Create")["ResourceProperties"].clone();
    let response = handle(&world, &settings(), &json!({ "Plan": properties }), &invocation()).await.unwrap();
    assert_eq!(response["Plan"]["Action"], "Create");
    assert_eq!(response["Plan"].get("Pool"), None);
    assert!(obstacles(&response).contains("no active ECS cluster"), "{response}");
    assert!(world.responses.borrow().is_empty() && world.table.items.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn preview_of_a_known_resource_names_its_pool() {
    let world = StubWorld::new(Behavior::IsEmpty);
    let create = event("Create");
    let asked = json!({
        "Plan": create["ResourceProperties"],
        "StackId": create["StackId"],
        "LogicalResourceId": create["LogicalResourceId"],
    });
    let response = handle(&world, &settings(), &asked, &invocation()).await.unwrap();
    assert!(response["Plan"]["Pool"].as_str().unwrap().starts_with("ghr-ci-Runners-"), "{response}");
}

#[tokio::test(start_paused = true)]
async fn preview_lists_every_invalid_property() {
    let world = StubWorld::new(Behavior::Panics);
    let asked = json!({ "Plan": {"OrgNme": "acme", "DesiredCount": "many"} });
    let response = handle(&world, &settings(), &asked, &invocation()).await.unwrap();
    assert_eq!(response["Plan"]["Action"], "Unknown");
    let obstacles = response["Plan"]["Obstacles"].as_array().unwrap();
    for name in ["OrgNme", "DesiredCount", "Cluster"] {
        assert!(obstacles.iter().any(|one| one.as_str().unwrap().starts_with(name)), "{name}: {response}");
    }
}

#[tokio::test(start_paused = true)]
async fn preview_that_cannot_observe_says_why() {
    let world = StubWorld::new(Behavior::Refuses(ErrorKind::Denied));
    let asked = json!({ "Plan": event("Create")["ResourceProperties"] });
    let response = handle(&world, &settings(), &asked, &invocation()).await.unwrap();
    assert_eq!(response["Plan"]["Action"], "Unknown");
    assert!(obstacles(&response).contains("Allow it in the function's role"), "{response}");
}

#[tokio::test(start_paused = true)]
async fn preview_ignores_resources_that_the_stack_will_create() {
    let response =
        handle(&StubWorld::new(Behavior::IsEmpty), &settings(), &unmade(json!({})), &invocation()).await.unwrap();
    assert_eq!(response["Plan"]["Action"], "Create");
    // The id follows from the cluster.
    assert_eq!(response["Plan"].get("Pool"), None);
    let changes = response["Plan"]["Changes"].to_string();
    assert!(changes.contains("from version 1 of launch template Template"), "{response}");
    let open = "Cluster (Cluster), ExecutionRoleArn (Role.Arn), LaunchTemplate.LaunchTemplateId (Template), \
                LaunchTemplate.Version (Template.LatestVersionNumber)";
    assert!(response["Plan"]["Notes"].to_string().contains(open), "{response}");
    let missing = obstacles(&response);
    assert!(!missing.contains("Cluster") && !missing.contains("LaunchTemplate"), "{response}");
}

#[tokio::test(start_paused = true)]
async fn preview_sends_no_credential_to_an_unknown_host() {
    let open = json!({ "GitHubUrl": {"Fn::ImportValue": "github"} });
    let response = handle(&StubWorld::new(Behavior::IsEmpty), &settings(), &unmade(open), &invocation()).await.unwrap();
    assert_eq!(obstacles(&response), "");
    assert!(response["Plan"]["Notes"].to_string().contains("GitHub was not asked"), "{response}");
}

#[tokio::test(start_paused = true)]
async fn preview_of_a_delete_of_nothing_is_empty() {
    let create = event("Create");
    let asked = json!({
        "Plan": create["ResourceProperties"],
        "RequestType": "Delete",
        "StackId": create["StackId"],
        "LogicalResourceId": create["LogicalResourceId"],
    });
    let response = handle(&StubWorld::new(Behavior::IsEmpty), &settings(), &asked, &invocation()).await.unwrap();
    assert_eq!(response["Plan"]["Action"], "Nothing");
    assert_eq!(obstacles(&response), "");
}

/// A plan for a stack that makes everything itself, and is not there yet.
fn unmade(more: Value) -> Value {
    let mut properties = event("Create")["ResourceProperties"].clone();
    let made = json!({
        "Cluster": {"Ref": "Cluster"},
        "ExecutionRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
        "LaunchTemplate": {
            "LaunchTemplateId": {"Ref": "Template"},
            "Version": {"Fn::GetAtt": ["Template", "LatestVersionNumber"]},
        },
    });
    for map in [made, more] {
        properties.as_object_mut().unwrap().extend(map.as_object().unwrap().clone());
    }
    json!({ "Plan": properties })
}

fn obstacles(response: &Value) -> String {
    let listed = response["Plan"]["Obstacles"].as_array().unwrap();
    listed.iter().map(|one| one.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}
