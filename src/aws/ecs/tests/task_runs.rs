use serde_json::{Value, json};

use super::{arns, id, only_sent, owner};
use crate::aws::test_http_client::Replay;
use crate::pool::model::ecs::{StartedTasks, TaskRun};
use crate::pool::model::remote_error::ErrorKind;
use crate::reconcile::ports::{Ecs as _, RemoteResult};

fn run() -> TaskRun {
    TaskRun {
        task_definition: "arn:td:7".to_owned(),
        capacity_provider: "ours".to_owned(),
        count: 3,
        distinct_instances: false,
    }
}

async fn run_tasks(replay: &Replay, run: &TaskRun) -> RemoteResult<StartedTasks> {
    replay.ecs().run_tasks("c", &id(), run, &owner(), "token").await
}

fn tasks(arns: &[String]) -> Vec<Value> {
    arns.iter().map(|arn| json!({ "taskArn": arn, "lastStatus": "PROVISIONING" })).collect()
}

#[tokio::test]
async fn run_task_leaves_only_the_group_to_a_default() {
    let replay = Replay::default().json(&json!({ "tasks": tasks(&arns("task", 3)), "failures": [] }));
    let started = run_tasks(&replay, &run()).await.unwrap();
    assert_eq!(started, StartedTasks { arns: arns("task", 3), failures: Vec::new() });
    assert_eq!(
        only_sent(&replay),
        json!({
            "cluster": "c",
            "taskDefinition": "arn:td:7",
            "count": 3,
            "capacityProviderStrategy": [{ "capacityProvider": "ours", "weight": 1, "base": 0 }],
            "startedBy": "ghr-ci-Runners-0123456789",
            "clientToken": "token",
            "enableECSManagedTags": false,
            "enableExecuteCommand": false,
            "tags": [{ "key": "github-runner-pool:id", "value": "ghr-ci-Runners-0123456789" }],
        })
    );
}

#[tokio::test]
async fn distinct_instances_becomes_a_placement_constraint_of_run_task() {
    let replay = Replay::default().json(&json!({}));
    let started = run_tasks(&replay, &TaskRun { distinct_instances: true, ..run() }).await.unwrap();
    assert_eq!(started, StartedTasks::default());
    assert_eq!(only_sent(&replay)["placementConstraints"], json!([{ "type": "distinctInstance" }]));
}

#[tokio::test]
async fn run_task_returns_what_was_started_and_each_reason_of_what_was_not_once() {
    let arn = |n: u32| format!("arn:aws:ecs:eu-west-1:1:container-instance/c/{n}");
    let replay = Replay::default().json(&json!({
        "tasks": tasks(&arns("task", 1)),
        "failures": [
            { "arn": arn(1), "reason": "RESOURCE:MEMORY" },
            { "arn": arn(2), "reason": "RESOURCE:MEMORY" },
            { "arn": arn(3), "reason": "SOMETHING_NEW", "detail": "of tomorrow" },
            { "arn": "c", "reason": "MISSING" },
            {},
        ],
    }));
    let started = run_tasks(&replay, &run()).await.unwrap();
    assert_eq!(started.arns, arns("task", 1));
    let reasons = ["RESOURCE:MEMORY", "SOMETHING_NEW: of tomorrow", "MISSING", "ECS gives no reason"];
    assert_eq!(started.failures, reasons);
}

#[tokio::test(start_paused = true)]
async fn run_task_is_repeated_after_a_throttle_with_its_token_and_never_after_an_unclear_outcome() {
    let replay = Replay::default().json_error("ThrottlingException", "Rate exceeded").json(&json!({}));
    run_tasks(&replay, &run()).await.unwrap();
    assert_eq!(replay.sent().iter().map(|sent| sent.json()["clientToken"].clone()).collect::<Vec<_>>(), ["token"; 2]);

    let replay = Replay::default().lost().json(&json!({}));
    assert_eq!(run_tasks(&replay, &run()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(replay.sent().len(), 1);
}

#[tokio::test]
async fn run_task_that_ecs_refuses_as_a_whole_is_an_error() {
    for (code, message, expected) in [
        ("ClusterNotFoundException", "Cluster not found.", ErrorKind::NotFound),
        ("ClientException", "TaskDefinition is inactive", ErrorKind::NotFound),
        ("AccessDeniedException", "no identity-based policy allows the action", ErrorKind::Denied),
        ("ConflictException", "The provided clientToken is already in use.", ErrorKind::Conflict),
    ] {
        let replay = Replay::default().json_error(code, message);
        assert_eq!(run_tasks(&replay, &run()).await.unwrap_err().kind(), expected, "{code}");
    }
}
