//! The properties' tests: what a good template becomes, what a bad one is told, and laws for all of them.

mod becomes;
mod laws;
mod reasons;
mod schema;

use serde_json::{Map, Value, json};

/// What CloudFormation waits at most.
const HOUR: std::time::Duration = super::SERVICE_TIMEOUT_MAX;

/// The least that a pool needs, with changes: a null takes a property out.
fn properties(changes: &Value) -> Value {
    let mut least = json!({
        "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:github-runner-pool",
        "OrgName": "acme",
        "AccessTokenParameter": "/ci/token",
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/execution",
        "Cluster": "build",
        "LaunchTemplate": { "LaunchTemplateId": "lt-0a1b2c3d", "Version": "1" },
        "Subnets": ["subnet-0a1b2c3d"],
    });
    let map: &mut Map<String, Value> = least.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            map.remove(name);
        } else {
            map.insert(name.clone(), value.clone());
        }
    }
    least
}

fn reason(changes: &Value) -> String {
    super::decode(&properties(changes), HOUR).map_or_else(|problems| problems.to_string(), |_| "fine".to_owned())
}
