//! Tests of the properties.

mod decoding;
mod error_messages;
mod prop_tests;
mod update_requires;

use serde_json::{Map, Value, json};

use super::{Problems, decode};
use crate::pool::model::spec::PoolSpec;

/// The longest that CloudFormation waits.
const HOUR: std::time::Duration = super::SERVICE_TIMEOUT_MAX;

/// The minimal properties of a pool, with changes: a null removes a property.
fn properties(changes: &Value) -> Value {
    let mut minimal = json!({
        "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:github-runner-pool",
        "OrgName": "acme",
        "AccessTokenParameter": "/ci/token",
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/execution",
        "Cluster": "build",
        "LaunchTemplate": { "LaunchTemplateId": "lt-0a1b2c3d", "Version": "1" },
        "Subnets": ["subnet-0a1b2c3d"],
    });
    let map: &mut Map<String, Value> = minimal.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            map.remove(name);
        } else {
            map.insert(name.clone(), value.clone());
        }
    }
    minimal
}

fn spec_of(properties: &Value) -> Result<PoolSpec, Problems> {
    decode(properties, HOUR).spec().cloned().map_err(Clone::clone)
}

/// The failure reason of the minimal properties with changes.
fn failure_reason(changes: &Value) -> String {
    spec_of(&properties(changes)).map_or_else(|problems| problems.to_string(), |_| "valid".to_owned())
}
