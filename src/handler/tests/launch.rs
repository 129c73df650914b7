//! Instances that the launch hook holds back.

use serde_json::{Value, json};

use super::stub_world::{Behavior, StubWorld, invocation, settings};
use crate::handler::{HandleError, handle};
use crate::pool::model::auto_scaling::LAUNCH_HOOK;
use crate::pool::model::remote_error::ErrorKind;

const GROUP: &str = "ghr-ci-Runners-0a1b2c3d4e";

fn event(hook: &str, group: &str, destination: &str) -> Value {
    json!({
        "detail-type": "EC2 Instance-launch Lifecycle Action",
        "source": "aws.autoscaling",
        "detail": {
            "AutoScalingGroupName": group, "LifecycleHookName": hook, "EC2InstanceId": "i-1", "Origin": "EC2",
            "Destination": destination, "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        },
    })
}

async fn result_of(behavior: Behavior, event: Value) -> Result<Value, HandleError> {
    handle(&StubWorld::new(behavior), &settings(), &event, &invocation()).await
}

#[tokio::test(start_paused = true)]
async fn complete_lifecycle_action_that_may_succeed_later_fails_the_invocation_so_that_lambda_retries() {
    let ours = || event(LAUNCH_HOOK, GROUP, "AutoScalingGroup");
    assert_eq!(result_of(Behavior::IsEmpty, ours()).await.unwrap(), Value::Null);
    let result = result_of(Behavior::Refuses(ErrorKind::Unavailable), ours()).await;
    assert!(matches!(result, Err(HandleError::LaunchNotCompleted(_))), "{result:?}");
    // A denial stays one, and the hook's own time lets the instance go on.
    assert!(result_of(Behavior::Refuses(ErrorKind::Denied), ours()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn complete_lifecycle_action_is_called_only_for_the_launch_hook_of_a_pool_and_not_for_its_warm_pool() {
    for ignored in [
        event("their-hook", GROUP, "AutoScalingGroup"),
        event(LAUNCH_HOOK, "their-group", "AutoScalingGroup"),
        event(LAUNCH_HOOK, GROUP, "WarmPool"),
    ] {
        assert!(result_of(Behavior::Panics, ignored.clone()).await.is_ok(), "{ignored}");
    }
}

#[tokio::test(start_paused = true)]
async fn launch_event_that_lambda_gave_up_needs_no_response() {
    let record = json!({
        "version": "1.0",
        "requestContext": { "condition": "RetriesExhausted", "approximateInvokeCount": 3 },
        "requestPayload": event(LAUNCH_HOOK, GROUP, "AutoScalingGroup"),
    });
    assert!(result_of(Behavior::Panics, record).await.is_ok());
}
