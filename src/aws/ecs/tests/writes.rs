use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{arns, batches, id, only_sent, owner};
use crate::aws::test_http_client::Replay;
use crate::pool::model::ecs::{ProviderConfig, ServiceConfig};
use crate::pool::model::remote_error::ErrorKind;
use crate::reconcile::ports::Ecs;

fn config() -> ServiceConfig {
    ServiceConfig {
        task_definition: "arn:td:7".to_owned(),
        desired_count: 3,
        capacity_provider: Some("ours".to_owned()),
        distinct_instances: true,
        maximum_percent: 200,
        minimum_healthy_percent: 100,
        circuit_breaker_without_rollback: true,
        az_rebalancing: false,
    }
}

fn deployment_configuration() -> Value {
    json!({
        "deploymentCircuitBreaker": { "enable": true, "rollback": false },
        "maximumPercent": 200,
        "minimumHealthyPercent": 100,
    })
}

#[tokio::test]
async fn create_service_leaves_nothing_to_a_default() {
    let replay = Replay::default().json(&json!({}));
    replay.ecs().create_service("c", &id(), &config(), &owner(), "token").await.unwrap();
    assert_eq!(
        only_sent(&replay),
        json!({
            "cluster": "c",
            "serviceName": "ghr-ci-Runners-0123456789",
            "clientToken": "token",
            "schedulingStrategy": "REPLICA",
            "taskDefinition": "arn:td:7",
            "desiredCount": 3,
            "capacityProviderStrategy": [{ "capacityProvider": "ours", "weight": 1, "base": 0 }],
            "placementConstraints": [{ "type": "distinctInstance" }],
            "deploymentConfiguration": deployment_configuration(),
            "availabilityZoneRebalancing": "DISABLED",
            "enableECSManagedTags": true,
            "propagateTags": "SERVICE",
            "enableExecuteCommand": false,
            "tags": [{ "key": "github-runner-pool:id", "value": "ghr-ci-Runners-0123456789" }],
        })
    );
}

#[tokio::test]
async fn update_service_sends_the_whole_configuration_and_forces_no_deployment() {
    let replay = Replay::default().json(&json!({}));
    let config = ServiceConfig { distinct_instances: false, ..config() };
    replay.ecs().update_service("c", &id(), &config).await.unwrap();
    assert_eq!(
        only_sent(&replay),
        json!({
            "cluster": "c",
            "service": "ghr-ci-Runners-0123456789",
            "taskDefinition": "arn:td:7",
            "desiredCount": 3,
            "capacityProviderStrategy": [{ "capacityProvider": "ours", "weight": 1, "base": 0 }],
            "placementConstraints": [],
            "deploymentConfiguration": deployment_configuration(),
            "availabilityZoneRebalancing": "DISABLED",
        })
    );
}

#[tokio::test]
async fn update_service_to_zero_changes_desired_count_and_az_rebalancing_only() {
    let replay = Replay::default().json(&json!({}));
    replay.ecs().scale_service_to_zero("c", &id()).await.unwrap();
    let expected = json!({
        "cluster": "c", "service": id().as_str(), "desiredCount": 0, "availabilityZoneRebalancing": "DISABLED",
    });
    assert_eq!(only_sent(&replay), expected);
}

#[tokio::test]
async fn delete_calls_of_what_is_gone_are_done() {
    let task = &arns("task", 1);
    let instance = "arn:ci";
    let replay = Replay::default()
        .json_error("ServiceNotActiveException", "Service was not ACTIVE.")
        .json_error("ServiceNotFoundException", "Service not found.")
        .json_error("ClientException", "The specified capacity provider does not exist.")
        .json(&json!({ "clusters": [], "failures": [{ "arn": "c", "reason": "MISSING" }] }))
        .json_error("InvalidParameterException", "The referenced task was not found.")
        .json_error("ClusterNotFoundException", "Cluster not found.")
        .json(&json!({ "containerInstances": [], "failures": [{ "arn": "arn:ci", "reason": "MISSING" }] }))
        .json_error("InvalidParameterException", "The referenced container instance was not found.");
    let ecs = replay.ecs();
    ecs.scale_service_to_zero("c", &id()).await.unwrap();
    ecs.delete_service("c", &id()).await.unwrap();
    ecs.delete_capacity_provider("p").await.unwrap();
    ecs.detach_provider("c", "p").await.unwrap();
    ecs.stop_task("c", &task[0], "why").await.unwrap();
    ecs.unprotect("c", task).await.unwrap();
    ecs.drain_instance("c", instance).await.unwrap();
    ecs.deregister_instance("c", instance).await.unwrap();
}

#[tokio::test]
async fn update_container_instances_state_ignores_an_instance_that_ecs_rejects() {
    let replay = Replay::default()
        .json(&json!({ "failures": [{ "arn": "arn:ci", "reason": "INACTIVE" }] }))
        .json(&json!({ "failures": [{ "arn": "arn:ci", "reason": "SOMETHING_NEW", "detail": "it is DEREGISTERING" }] }))
        .json_error("InvalidParameterException", "The container instance is not in the ACTIVE state.")
        .json_error("AccessDeniedException", "no identity-based policy allows the action");
    let ecs = replay.ecs();
    for _ in 0..3 {
        ecs.drain_instance("c", "arn:ci").await.unwrap();
    }
    assert_eq!(ecs.drain_instance("c", "arn:ci").await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn delete_service_stop_task_and_instance_calls_send_what_they_should() {
    let empty = json!({});
    let replay = Replay::default().json(&empty).json(&empty).json(&empty).json(&empty);
    let ecs = replay.ecs();
    ecs.delete_service("c", &id()).await.unwrap();
    ecs.stop_task("c", "arn:t", &"y".repeat(400)).await.unwrap();
    ecs.drain_instance("c", "arn:ci").await.unwrap();
    ecs.deregister_instance("c", "arn:ci").await.unwrap();
    let sent: Vec<Value> = replay.sent().iter().map(super::super::super::test_http_client::Sent::json).collect();
    assert_eq!(sent[0], json!({ "cluster": "c", "service": id().as_str(), "force": false }));
    assert_eq!(sent[1]["reason"].as_str().unwrap().len(), 255);
    assert_eq!(sent[2], json!({ "cluster": "c", "containerInstances": ["arn:ci"], "status": "DRAINING" }));
    assert_eq!(sent[3], json!({ "cluster": "c", "containerInstance": "arn:ci", "force": true }));
}

#[tokio::test]
async fn put_cluster_capacity_providers_writes_back_what_it_read_with_ours_added() {
    let cluster = json!({ "clusters": [{
        "clusterArn": "arn:c", "status": "ACTIVE", "capacityProviders": ["FARGATE", "theirs"],
        "defaultCapacityProviderStrategy": [{ "capacityProvider": "theirs", "weight": 2, "base": 1 }],
    }]});
    let replay = Replay::default().json(&cluster).json(&json!({})).json(&cluster);
    let ecs = replay.ecs();
    ecs.attach_provider("c", "ours").await.unwrap();
    assert_eq!(
        replay.sent()[1].json(),
        json!({
            "cluster": "c",
            "capacityProviders": ["FARGATE", "theirs", "ours"],
            "defaultCapacityProviderStrategy": [{ "capacityProvider": "theirs", "weight": 2, "base": 1 }],
        })
    );
    ecs.attach_provider("c", "theirs").await.unwrap();
    assert_eq!(replay.operations(), ["DescribeClusters", "PutClusterCapacityProviders", "DescribeClusters"]);
}

#[tokio::test]
async fn put_cluster_capacity_providers_removes_ours_from_both_lists_and_sends_even_empty_ones() {
    let replay = Replay::default()
        .json(&json!({ "clusters": [{
            "clusterArn": "arn:c", "status": "ACTIVE", "capacityProviders": ["ours"],
            "defaultCapacityProviderStrategy": [{ "capacityProvider": "ours", "weight": 1 }],
        }]}))
        .json(&json!({}));
    replay.ecs().detach_provider("c", "ours").await.unwrap();
    assert_eq!(
        replay.sent()[1].json(),
        json!({ "cluster": "c", "capacityProviders": [], "defaultCapacityProviderStrategy": [] })
    );
}

#[tokio::test]
async fn put_cluster_capacity_providers_of_a_missing_cluster_is_not_found() {
    let error =
        Replay::default().json(&json!({ "clusters": [] })).ecs().attach_provider("nope", "ours").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.remote_error.message, "there is no cluster nope");
}

#[tokio::test]
async fn put_cluster_capacity_providers_that_does_not_find_ours_yet_is_repeated() {
    let cluster =
        json!({ "clusters": [{ "clusterArn": "arn:c", "status": "ACTIVE", "capacityProviders": ["theirs"] }]});
    for (code, said, expected) in [
        ("InvalidParameterException", "The specified capacity provider was not found.", ErrorKind::Conflict),
        ("ClientException", "The specified capacity provider does not exist.", ErrorKind::Conflict),
        ("ClusterNotFoundException", "Cluster not found.", ErrorKind::NotFound),
    ] {
        let replay = Replay::default().json(&cluster).json_error(code, said).json(&cluster).json_error(code, said);
        assert_eq!(replay.ecs().attach_provider("c", "ours").await.unwrap_err().kind(), expected, "{said}");
        // Nothing was taken off the list: no refusal but that of the cluster passes for done.
        let taken_off = replay.ecs().detach_provider("c", "theirs").await;
        assert_eq!(taken_off.is_ok(), expected == ErrorKind::NotFound, "{said}");
    }
}

#[tokio::test]
async fn create_and_update_capacity_provider_set_managed_scaling() {
    let config = ProviderConfig {
        target_capacity_percent: Some(100),
        instance_warmup_secs: 300,
        protects_from_termination: true,
        drains: true,
    };
    let group = json!({
        "managedScaling": { "status": "ENABLED", "targetCapacity": 100, "instanceWarmupPeriod": 300 },
        "managedTerminationProtection": "ENABLED",
        "managedDraining": "ENABLED",
    });
    let replay = Replay::default().json(&json!({})).json(&json!({}));
    let ecs = replay.ecs();
    ecs.create_capacity_provider("p", "arn:g", &config, &owner()).await.unwrap();
    ecs.update_capacity_provider("p", &config).await.unwrap();
    let mut created = replay.sent()[0].json();
    assert_eq!(created["autoScalingGroupProvider"]["autoScalingGroupArn"].take(), "arn:g");
    created["autoScalingGroupProvider"].as_object_mut().unwrap().remove("autoScalingGroupArn");
    assert_eq!(created["autoScalingGroupProvider"], group);
    assert_eq!(created["tags"][0]["key"], "github-runner-pool:id");
    assert_eq!(replay.sent()[1].json(), json!({ "name": "p", "autoScalingGroupProvider": group }));
}

#[tokio::test]
async fn update_task_protection_goes_in_batches_of_ten_and_returns_the_failures() {
    let tasks = arns("task", 12);
    let replay = Replay::default()
        .json(&json!({ "protectedTasks": [], "failures": [
            { "arn": tasks[0], "reason": "DEPLOYMENT_BLOCKED" },
            { "arn": tasks[1], "reason": "MISSING" },
            { "arn": tasks[2], "reason": "TASK_NOT_VALID", "detail": "no service" },
        ]}))
        .json(&json!({ "protectedTasks": [], "failures": [] }));
    let left = replay.ecs().protect("c", &tasks).await.unwrap();
    let expected = BTreeMap::from([
        (tasks[0].clone(), "DEPLOYMENT_BLOCKED".to_owned()),
        (tasks[2].clone(), "TASK_NOT_VALID: no service".to_owned()),
    ]);
    assert_eq!(left, expected);
    assert_eq!(batches(&replay, "UpdateTaskProtection", "tasks"), [10, 2]);
    assert_eq!(replay.sent()[1].json()["expiresInMinutes"], 2880);
    assert_eq!(replay.sent()[1].json()["protectionEnabled"], true);
}

#[tokio::test]
async fn update_task_protection_that_fails_as_a_whole_is_an_error() {
    let replay = Replay::default().json_error("ClusterNotFoundException", "Cluster not found.");
    let error = replay.ecs().protect("c", &arns("task", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn update_task_protection_off_ignores_tasks_that_ecs_reports_as_failures() {
    let tasks = arns("task", 11);
    let missing = json!({ "failures": [{ "arn": tasks[0], "reason": "MISSING" }] });
    let replay = Replay::default().json(&missing).json(&json!({}));
    replay.ecs().unprotect("c", &tasks).await.unwrap();
    assert_eq!(batches(&replay, "UpdateTaskProtection", "tasks"), [10, 1]);
    assert_eq!(replay.sent()[0].json()["protectionEnabled"], false);
    for reason in ["TASK_NOT_VALID", "MISSING", "DEPLOYMENT_BLOCKED", "SOMETHING_NEW"] {
        let passed_over = json!({ "failures": [{ "arn": tasks[0], "reason": reason, "detail": "it has ended" }] });
        Replay::default().json(&passed_over).ecs().unprotect("c", &tasks[..1]).await.unwrap();
    }
    let gone = Replay::default().json_error("InvalidParameterException", "Invalid identifier.");
    assert_eq!(gone.ecs().unprotect("c", &tasks[..1]).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn delete_task_definitions_takes_ten_revisions_after_they_are_deregistered() {
    let revisions = arns("task-definition", 11);
    let mut replay = Replay::default();
    for _ in 0..10 {
        replay = replay.json(&json!({}));
    }
    replay = replay
        .json(&json!({ "failures": [{ "arn": revisions[0], "reason": "MISSING" }] }))
        .json_error("ClientException", "The specified task definition is inactive.")
        .json(&json!({ "failures": [{ "arn": revisions[10], "reason": "IN_USE", "detail": "still referenced" }] }));
    let error = replay.ecs().delete_task_definitions(&revisions).await.unwrap_err();
    assert_eq!(batches(&replay, "DeleteTaskDefinitions", "taskDefinitions"), [10, 1]);
    assert_eq!(replay.operations().iter().filter(|sent| *sent == "DeregisterTaskDefinition").count(), 11);
    assert!(error.remote_error.message.ends_with("still referenced"), "{error}");
}

#[tokio::test]
async fn tag_resource_and_untag_resource_are_called_only_with_tags() {
    let replay = Replay::default().json(&json!({})).json(&json!({}));
    let ecs = replay.ecs();
    ecs.tag("arn", &BTreeMap::new(), &[]).await.unwrap();
    assert!(replay.sent().is_empty());
    ecs.tag("arn", &owner(), &["old".to_owned()]).await.unwrap();
    assert_eq!(replay.operations(), ["TagResource", "UntagResource"]);
    assert_eq!(replay.sent()[1].json(), json!({ "resourceArn": "arn", "tagKeys": ["old"] }));
}

#[tokio::test(start_paused = true)]
async fn a_write_is_repeated_after_a_throttle_or_before_it_was_sent() {
    let replay = Replay::default().json_error("ThrottlingException", "Rate exceeded").never_sent().json(&json!({}));
    replay.ecs().update_service("c", &id(), &config()).await.unwrap();
    assert_eq!(replay.sent().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_never_repeated_after_an_unclear_outcome() {
    for replay in [Replay::default().lost(), Replay::default().http(500, "{\"__type\":\"ServerException\"}")] {
        let replay = replay.json(&json!({}));
        let error = replay.ecs().update_service("c", &id(), &config()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(replay.sent().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_is_repeated_after_any_passing_failure() {
    let replay = Replay::default().lost().http(503, "").json(&json!({ "clusters": [] }));
    assert_eq!(replay.ecs().cluster("c").await.unwrap(), None);
    assert_eq!(replay.sent().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn throttling_that_does_not_end_keeps_its_class() {
    let mut replay = Replay::default();
    for _ in 0..3 {
        replay = replay.json_error("ThrottlingException", "Rate exceeded");
    }
    let error = replay.ecs().cluster("c").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: None });
    assert_eq!(replay.sent().len(), 3);
}
