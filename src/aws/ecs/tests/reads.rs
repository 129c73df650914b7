use serde_json::{Value, json};

use super::{arns, batches, id};
use crate::aws::test_http_client::Replay;
use crate::pool::model::ec2::Room;
use crate::pool::model::ecs::{Protection, ProviderState, RolloutState, ServiceState, TaskPhase};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::Ecs;

fn missing(list: &str) -> Value {
    json!({ list: [], "failures": [{ "arn": "arn", "reason": "MISSING" }] })
}

#[tokio::test]
async fn describe_calls_of_what_does_not_exist_are_none() {
    let replay = Replay::default()
        .json(&missing("clusters"))
        .json(&missing("capacityProviders"))
        .json(&missing("services"))
        .json_error("ClusterNotFoundException", "Cluster not found.")
        .json_error("ClientException", "Unable to describe task definition.");
    let ecs = replay.ecs();
    assert_eq!(ecs.cluster("c").await.unwrap(), None);
    assert_eq!(ecs.capacity_provider("p").await.unwrap(), None);
    assert_eq!(ecs.service("c", &id()).await.unwrap(), None);
    assert_eq!(ecs.service("c", &id()).await.unwrap(), None);
    assert_eq!(ecs.task_definition(&id()).await.unwrap(), None);
}

#[tokio::test]
async fn cluster_not_found_exception_means_no_tasks_instances_or_protections() {
    let gone = |replay: Replay| replay.json_error("ClusterNotFoundException", "Cluster not found.");
    let ecs = gone(gone(gone(gone(Replay::default())))).ecs();
    assert_eq!(ecs.tasks("c", &id()).await.unwrap(), []);
    assert_eq!(ecs.container_instances("c", "p", &[]).await.unwrap(), []);
    assert!(ecs.protections("c", &arns("task", 1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn describe_failure_other_than_missing_is_an_error() {
    let response = json!({ "services": [], "failures": [{ "arn": "arn", "reason": "SOMETHING", "detail": "else" }] });
    let error = Replay::default().json(&response).ecs().service("c", &id()).await.unwrap_err();
    assert_eq!(error.to_string(), "Amazon ECS DescribeServices failed (SOMETHING): arn: else");
    assert_eq!(error.kind(), ErrorKind::Unexpected);
}

#[tokio::test]
async fn describe_clusters_reads_the_attachments() {
    let replay = Replay::default().json(&json!({ "clusters": [{
        "clusterArn": "arn:c", "status": "ACTIVE", "attachmentsStatus": "UPDATE_IN_PROGRESS",
        "capacityProviders": ["FARGATE", "ours"],
    }]}));
    let cluster = replay.ecs().cluster("c").await.unwrap().unwrap();
    assert!(cluster.is_active && cluster.is_busy);
    assert_eq!(cluster.providers, ["FARGATE", "ours"]);
    assert_eq!(replay.sent()[0].json(), json!({ "clusters": ["c"], "include": ["ATTACHMENTS"] }));
    let inactive = Replay::default().json(&json!({ "clusters": [{ "clusterArn": "arn:c", "status": "INACTIVE" }]}));
    assert_eq!(inactive.ecs().cluster("c").await.unwrap(), None);
}

#[tokio::test]
async fn describe_capacity_providers_reads_the_tags() {
    let replay = Replay::default().json(&json!({ "capacityProviders": [{
        "capacityProviderArn": "arn:p", "name": "p", "status": "ACTIVE",
        "updateStatus": "DELETE_FAILED", "updateStatusReason": "associated with cluster",
        "autoScalingGroupProvider": {
            "autoScalingGroupArn": "arn:g",
            "managedScaling": { "status": "ENABLED", "targetCapacity": 90, "instanceWarmupPeriod": 30 },
            "managedTerminationProtection": "ENABLED", "managedDraining": "ENABLED",
        },
        "tags": [{ "key": "k", "value": "v" }],
    }]}));
    let provider = replay.ecs().capacity_provider("p").await.unwrap().unwrap();
    assert_eq!(provider.state, ProviderState::DeleteFailed("associated with cluster".to_owned()));
    assert_eq!(provider.group_arn.as_deref(), Some("arn:g"));
    assert_eq!(provider.tags["k"], "v");
    assert_eq!((provider.config.target_capacity_percent, provider.config.instance_warmup_secs), (Some(90), 30));
    assert!(provider.config.protects_from_termination && provider.config.drains);
    assert_eq!(replay.sent()[0].json(), json!({ "capacityProviders": ["p"], "include": ["TAGS"] }));
}

#[tokio::test]
async fn describe_task_definition_reads_the_metadata_of_the_newest_revision() {
    let replay = Replay::default().json(&json!({
        "taskDefinition": {
            "taskDefinitionArn": "arn:td:7", "status": "ACTIVE",
            "containerDefinitions": [{ "name": "runner", "dockerLabels": { "github-runner-pool.metadata": "{}" } }],
        },
        "tags": [{ "key": "github-runner-pool:content", "value": "abc" }],
    }));
    let revision = replay.ecs().task_definition(&id()).await.unwrap().unwrap();
    assert_eq!((revision.arn.as_str(), revision.metadata.as_deref()), ("arn:td:7", Some("{}")));
    assert_eq!(revision.tags["github-runner-pool:content"], "abc");
    assert_eq!(replay.sent()[0].json(), json!({ "taskDefinition": id().as_str(), "include": ["TAGS"] }));
}

#[tokio::test]
async fn list_task_definitions_and_families_read_every_page() {
    let ours = |revision: u32| format!("arn:aws:ecs:eu-west-1:1:task-definition/{}:{revision}", id());
    let replay = Replay::default()
        .json(&json!({ "taskDefinitionArns": [ours(1)], "nextToken": "n" }))
        .json(&json!({ "taskDefinitionArns": [ours(2), "arn:aws:ecs:eu-west-1:1:task-definition/ghr-ci-Runners-01234567890:1"] }))
        .json(&json!({ "families": ["a"], "nextToken": "n" }))
        .json(&json!({ "families": ["b"] }));
    let ecs = replay.ecs();
    assert_eq!(ecs.task_definitions(&id()).await.unwrap(), [ours(1), ours(2)]);
    assert_eq!(ecs.families_with_prefix("ghr-ci-Runners-").await.unwrap(), ["a", "b"]);
    assert_eq!(replay.sent()[1].json()["nextToken"], "n");
}

#[tokio::test]
async fn list_tasks_without_an_end_is_an_error_and_not_half_a_list() {
    let mut replay = Replay::default();
    for page in 0..=100 {
        replay = replay.json(&json!({ "families": ["a"], "nextToken": format!("n{page}") }));
    }
    let error = replay.ecs().families_with_prefix("a").await.unwrap_err();
    assert_eq!(error.remote_error.message, "the list has over 100 pages");
}

#[tokio::test]
async fn describe_services_reads_tags_deployments_and_the_newest_events() {
    let events: Vec<Value> =
        (0..9).map(|i| json!({ "id": "e", "createdAt": 1_700_000_000.5, "message": format!("event {i}") })).collect();
    let replay = Replay::default().json(&json!({ "services": [{
        "serviceArn": "arn:s", "status": "DRAINING", "taskDefinition": "arn:td:7",
        "desiredCount": 3, "runningCount": 2, "pendingCount": 1,
        "capacityProviderStrategy": [{ "capacityProvider": "p", "weight": 1, "base": 0 }],
        "placementConstraints": [{ "type": "distinctInstance" }],
        "deploymentConfiguration": {
            "maximumPercent": 200, "minimumHealthyPercent": 100,
            "deploymentCircuitBreaker": { "enable": true, "rollback": false },
        },
        "availabilityZoneRebalancing": "ENABLED",
        "deployments": [
            { "id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": "arn:td:7", "desiredCount": 3,
              "runningCount": 1, "failedTasks": 4, "rolloutState": "FAILED", "rolloutStateReason": "gave up" },
            { "id": "ecs-svc/0", "status": "ACTIVE", "rolloutState": "COMPLETED" },
            { "id": "ecs-svc/2", "status": "ACTIVE" },
        ],
        "events": events, "tags": [{ "key": "k", "value": "v" }],
    }]}));
    let service = replay.ecs().service("c", &id()).await.unwrap().unwrap();
    assert_eq!(service.state, ServiceState::Draining);
    assert_eq!((service.config.desired_count, service.running, service.pending), (3, 2, 1));
    assert_eq!(service.config.capacity_provider.as_deref(), Some("p"));
    assert!(service.config.distinct_instances && service.config.circuit_breaker_without_rollback);
    assert!(service.config.az_rebalancing);
    let rollouts: Vec<RolloutState> = service.deployments.iter().map(|deployment| deployment.rollout.clone()).collect();
    assert_eq!(
        rollouts,
        [RolloutState::Failed("gave up".to_owned()), RolloutState::Completed, RolloutState::InProgress]
    );
    assert!(service.deployments[0].is_primary && !service.deployments[1].is_primary);
    assert_eq!(service.deployments[0].failed, 4);
    let messages: Vec<&str> = service.events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages, ["event 0", "event 1", "event 2", "event 3", "event 4"]);
    assert_eq!(service.events[0].at, Timestamp::from_epoch_millis(1_700_000_000_500));
    assert_eq!(replay.sent()[0].json(), json!({ "cluster": "c", "services": [id().as_str()], "include": ["TAGS"] }));
}

#[tokio::test]
async fn list_tasks_reads_desired_status_stopped_too_and_no_task_twice() {
    let all = arns("task", 150);
    let task = |arn: &String| {
        json!({
            "taskArn": arn, "taskDefinitionArn": "arn:td:1", "group": "service:s", "lastStatus": "RUNNING",
            "desiredStatus": "STOPPED", "startedAt": 1_700_000_000, "containerInstanceArn": "arn:ci",
            "containers": [{ "name": "runner", "runtimeId": "0123456789abcdef" }],
        })
    };
    // The two lists are asked for at once, so any response may go to either: both end with a page that the other has.
    let replay = Replay::default()
        .json(&json!({ "taskArns": &all[..100] }))
        .json(&json!({ "taskArns": &all[90..] }))
        .json(&json!({ "tasks": all[..100].iter().map(task).collect::<Vec<_>>() }))
        .json(&json!({ "tasks": all[100..149].iter().map(task).collect::<Vec<_>>(),
                       "failures": [{ "arn": all[149], "reason": "MISSING" }] }));
    let tasks = replay.ecs().tasks("c", &id()).await.unwrap();
    assert_eq!(tasks.len(), 149);
    assert_eq!(batches(&replay, "DescribeTasks", "tasks"), [100, 50]);
    let mut lists: Vec<Value> = replay.sent()[..2].iter().map(|sent| sent.json()["desiredStatus"].clone()).collect();
    lists.sort_by_key(Value::to_string);
    assert_eq!(lists, ["RUNNING", "STOPPED"]);
    assert_eq!(replay.sent()[0].json()["family"], id().as_str());
    let first = &tasks[0];
    assert!(first.desired_stopped && first.phase == TaskPhase::Running && first.ending.is_none());
    assert_eq!(first.protection, Protection::Unknown);
    assert_eq!(first.runtime_id.as_deref(), Some("0123456789abcdef"));
    assert_eq!(first.started_at, Some(Timestamp::from_epoch_millis(1_700_000_000_000)));
}

#[tokio::test]
async fn list_tasks_once_and_describe_tasks_of_the_known_ones() {
    let task = |arn: &str, desired: &str| json!({ "taskArn": arn, "group": "service:s", "lastStatus": "RUNNING", "desiredStatus": desired });
    let replay = Replay::default()
        .json(&json!({ "taskArns": ["arn:new"] }))
        .json(&json!({ "tasks": [task("arn:known", "STOPPED"), task("arn:new", "RUNNING")] }));
    let tasks = replay.ecs().tasks_incremental("c", &id(), vec!["arn:known".to_owned()]).await.unwrap();
    assert_eq!(tasks.iter().map(|task| task.desired_stopped).collect::<Vec<_>>(), [true, false]);
    assert_eq!(replay.sent().len(), 2);
    assert_eq!(replay.sent()[1].json()["tasks"], json!(["arn:known", "arn:new"]));
}

#[tokio::test]
async fn get_task_protection_takes_a_hundred_tasks_a_call_and_omits_unknown_ones() {
    let tasks = arns("task", 101);
    let replay = Replay::default()
        .json(&json!({
            "protectedTasks": [
                { "taskArn": tasks[0], "protectionEnabled": true, "expirationDate": 1_700_000_000 },
                { "taskArn": tasks[1], "protectionEnabled": false },
            ],
            "failures": [{ "arn": tasks[2], "reason": "MISSING" }],
        }))
        .json(&json!({ "protectedTasks": [{ "taskArn": tasks[100], "protectionEnabled": true }] }));
    let protections = replay.ecs().protections("c", &tasks).await.unwrap();
    assert_eq!(batches(&replay, "GetTaskProtection", "tasks"), [100, 1]);
    assert_eq!(protections.len(), 3);
    assert_eq!(protections[&tasks[0]], Protection::Until(Timestamp::from_epoch_millis(1_700_000_000_000)));
    assert_eq!(protections[&tasks[1]], Protection::Off);
}

#[tokio::test]
async fn describe_container_instances_are_chosen_by_capacity_provider_or_ec2_instance() {
    let all = arns("container-instance", 101);
    let instance = |arn: &str, ec2: &str, provider: Value| {
        json!({
            "containerInstanceArn": arn, "ec2InstanceId": ec2, "capacityProviderName": provider, "status": "ACTIVE",
            "runningTasksCount": 1, "pendingTasksCount": 2, "agentConnected": true,
        })
    };
    let replay = Replay::default()
        .json(&json!({ "containerInstanceArns": &all[..100], "nextToken": "n" }))
        .json(&json!({ "containerInstanceArns": &all[100..] }))
        .json(&json!({ "containerInstances": [
            instance(&all[0], "i-0", json!("ours")), instance(&all[1], "i-1", json!("theirs")),
            instance(&all[2], "i-2", Value::Null), instance(&all[3], "i-3", Value::Null),
        ]}))
        .json(&json!({ "containerInstances": [instance(&all[100], "i-100", json!("ours"))] }));
    let ours = replay.ecs().container_instances("c", "ours", &["i-2".to_owned()]).await.unwrap();
    let ids: Vec<&str> = ours.iter().filter_map(|instance| instance.ec2_instance_id.as_deref()).collect();
    assert_eq!(ids, ["i-0", "i-2", "i-100"]);
    assert_eq!(batches(&replay, "DescribeContainerInstances", "containerInstances"), [100, 1]);
    assert!(ours[0].is_active && ours[0].is_connected && ours[0].n_tasks == 3);
}

#[tokio::test]
async fn registered_and_remaining_resources_count_the_device_ids_of_gpus() {
    let resources = |gpus: Value| {
        json!([
            { "name": "CPU", "type": "INTEGER", "integerValue": 4096 },
            { "name": "MEMORY", "type": "INTEGER", "integerValue": 15_000 },
            { "name": "GPU", "type": "STRINGSET", "stringSetValue": gpus },
        ])
    };
    let replay = Replay::default().json(&json!({ "containerInstanceArns": arns("container-instance", 1) })).json(
        &json!({ "containerInstances": [{
            "containerInstanceArn": "arn:ci", "capacityProviderName": "ours", "status": "ACTIVE",
            "registeredResources": resources(json!(["GPU-2c8b9806", "GPU-0a1b2c3d"])),
            "remainingResources": resources(json!(["GPU-0a1b2c3d"])),
        }]}),
    );
    let [instance] = <[_; 1]>::try_from(replay.ecs().container_instances("c", "ours", &[]).await.unwrap()).unwrap();
    let room = |gpus| Some(Room { memory_mib: 15_000, cpu_units: 4096, gpus });
    assert_eq!((instance.registered, instance.remaining), (room(2), room(1)));
}

#[tokio::test]
async fn log_configuration_is_read_from_an_inactive_task_definition_too() {
    let revision = |driver: &str| {
        json!({ "taskDefinition": { "taskDefinitionArn": "td:1", "status": "INACTIVE", "containerDefinitions": [
            { "name": "sidecar" },
            { "name": "runner", "logConfiguration": { "logDriver": driver, "options": {
                "awslogs-group": "/ci/runners", "awslogs-stream-prefix": "ghr-ci-Runners-0123456789",
            } } },
        ] } })
    };
    let without =
        json!({ "taskDefinition": { "taskDefinitionArn": "td:1", "containerDefinitions": [{ "name": "runner" }] } });
    let replay = Replay::default()
        .json(&revision("awslogs"))
        .json(&revision("splunk"))
        .json(&without)
        .json_error("ClientException", "Unable to describe task definition.");
    let ecs = replay.ecs();
    let place = ecs.log_place("td:1").await.unwrap().unwrap();
    assert_eq!((place.group.as_str(), place.stream_prefix.as_str()), ("/ci/runners", "ghr-ci-Runners-0123456789"));
    for _ in 0..3 {
        assert_eq!(ecs.log_place("td:1").await.unwrap(), None);
    }
}
