//! The task definition against the table of properties: every row, with defaults and with everything set.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{id, only_sent, owner};
use crate::aws::test_http_client::Replay;
use crate::pool::model::secret::Variables;
use crate::pool::model::spec::fixtures::minimal_spec;
use crate::pool::model::spec::{
    Credentials, GitHubCredential, GitHubHost, GitHubTarget, LogSpec, ParameterRef, PoolSpec, RegisterBy, RunnerSpec,
    Scheme, Scope, TaskSpec,
};
use crate::pool::model::task_definition::{METADATA_LABEL, TaskDefinitionContent};
use crate::reconcile::ports::Ecs;

fn with_everything() -> PoolSpec {
    PoolSpec {
        github: GitHubTarget {
            host: GitHubHost { scheme: Scheme::Https, authority: "git.acme.example:8443".to_owned() },
            scope: Scope::Repository { owner: "acme".to_owned(), name: "app".to_owned() },
        },
        credentials: Credentials {
            github_credential: Some(GitHubCredential::App {
                id: "42".to_owned(),
                private_key: parameter("arn:aws:secretsmanager:eu-west-1:1:secret:key-AbC123:pem::"),
                login: "acme".to_owned(),
            }),
            runner_token: None,
            register_by: RegisterBy::Container,
        },
        runner: RunnerSpec {
            name: Some("builder".to_owned()),
            name_prefix: "ignored".to_owned(),
            labels: vec!["gpu".to_owned(), "linux".to_owned()],
            group: Some("Trusted".to_owned()),
            workdir: "/var/runner".to_owned(),
            ephemeral: true,
            disable_auto_update: false,
            no_default_labels: true,
            environment: Variables(BTreeMap::from([("HTTP_PROXY".to_owned(), "http://proxy".to_owned())])),
            secrets: BTreeMap::from([("NPM_TOKEN".to_owned(), parameter("/ci/npm"))]),
        },
        task: TaskSpec {
            image: "registry.acme.example/runner@sha256:0123".to_owned(),
            repository_credentials: Some("arn:aws:secretsmanager:eu-west-1:1:secret:registry-AbC123".to_owned()),
            memory_reservation_mib: 2048,
            memory_mib: Some(4096),
            cpu_units: 1024,
            gpus: 2,
            privileged: false,
            docker_socket: false,
            readonly_root_filesystem: true,
            stop_timeout: Duration::from_secs(3600),
            log: Some(LogSpec { group: "/ci/runners".to_owned(), stream_prefix: None }),
            execution_role_arn: Some("arn:aws:iam::1:role/execution".to_owned()),
            task_role_arn: Some("arn:aws:iam::1:role/task".to_owned()),
            registrations_table: None,
        },
        ..minimal_spec()
    }
}

fn parameter(text: &str) -> ParameterRef {
    ParameterRef(text.to_owned())
}

/// What ECS is sent for this pool, its one container apart. The record, which has its own tests, is only looked for.
async fn sent(spec: &PoolSpec) -> (Value, Value) {
    let replay = Replay::default().json(&json!({ "taskDefinition": { "taskDefinitionArn": "arn:td:1" } }));
    let content = TaskDefinitionContent::of(&id(), spec);
    let arn = replay.ecs().register_task_definition(&id(), &content, &owner()).await.unwrap();
    assert_eq!(arn, "arn:td:1");
    let mut sent = only_sent(&replay);
    let mut containers = sent.as_object_mut().unwrap().remove("containerDefinitions").unwrap();
    assert_eq!(containers.as_array().unwrap().len(), 1);
    let mut container = containers[0].take();
    let labels = container.as_object_mut().unwrap().remove("dockerLabels").unwrap();
    assert_eq!(labels[METADATA_LABEL], content.docker_labels[METADATA_LABEL].as_str());
    (sent, container)
}

fn pairs(name: &str, value: &str, of: &[(&str, &str)]) -> Value {
    of.iter().map(|(left, right)| json!({ name: left, value: right })).collect()
}

#[tokio::test]
async fn register_task_definition_of_the_default_properties() {
    let mut by_container = minimal_spec();
    by_container.credentials.register_by = RegisterBy::Container;
    let (definition, container) = sent(&by_container).await;
    assert_eq!(
        definition,
        json!({
            "family": "ghr-ci-Runners-0123456789",
            "networkMode": "bridge",
            "requiresCompatibilities": ["EC2"],
            "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
            "volumes": [
                { "name": "docker", "host": { "sourcePath": "/var/run/docker.sock" } },
                { "name": "work", "host": { "sourcePath": "/_work" } },
            ],
            "tags": [{ "key": "github-runner-pool:id", "value": "ghr-ci-Runners-0123456789" }],
        })
    );
    assert_eq!(
        container,
        json!({
            "name": "runner",
            "essential": true,
            "image": "myoung34/github-runner:ubuntu-noble",
            "versionConsistency": "disabled",
            "cpu": 0,
            "memoryReservation": 500,
            "privileged": true,
            "readonlyRootFilesystem": false,
            "stopTimeout": 120,
            "environment": pairs("name", "value", &[
                ("DISABLE_AUTO_UPDATE", "true"),
                ("LABELS", "default,ghr-ci-Runners-0123456789"),
                ("ORG_NAME", "acme"),
                ("RANDOM_RUNNER_SUFFIX", "false"),
                ("RUNNER_NAME_PREFIX", "github-runner-0123456789"),
                ("RUNNER_SCOPE", "org"),
                ("RUNNER_WORKDIR_ROOT", "/_work"),
            ]),
            "secrets": pairs("name", "valueFrom", &[("ACCESS_TOKEN", "/ci/token")]),
            "mountPoints": [
                { "sourceVolume": "docker", "containerPath": "/var/run/docker.sock", "readOnly": false },
                { "sourceVolume": "work", "containerPath": "/_work", "readOnly": false },
            ],
        })
    );
}

#[tokio::test]
async fn register_task_definition_of_every_property_with_gpus() {
    let (definition, container) = sent(&with_everything()).await;
    assert_eq!(definition["taskRoleArn"], "arn:aws:iam::1:role/task");
    assert_eq!(definition["volumes"], json!([]));
    assert_eq!(
        container,
        json!({
            "name": "runner",
            "essential": true,
            "image": "registry.acme.example/runner@sha256:0123",
            "versionConsistency": "enabled",
            "repositoryCredentials": {
                "credentialsParameter": "arn:aws:secretsmanager:eu-west-1:1:secret:registry-AbC123",
            },
            "cpu": 1024,
            "resourceRequirements": [{ "type": "GPU", "value": "2" }],
            "memory": 4096,
            "memoryReservation": 2048,
            "privileged": false,
            "readonlyRootFilesystem": true,
            "stopTimeout": 3600,
            "environment": pairs("name", "value", &[
                ("APP_ID", "42"),
                ("APP_LOGIN", "acme"),
                ("EPHEMERAL", "true"),
                ("GITHUB_API_HOST", "git.acme.example:8443"),
                ("GITHUB_API_PATH", "/api/v3"),
                ("GITHUB_HOST", "git.acme.example:8443"),
                ("HTTP_PROXY", "http://proxy"),
                ("LABELS", "gpu,linux,ghr-ci-Runners-0123456789"),
                ("NO_DEFAULT_LABELS", "true"),
                ("REPO_URL", "https://git.acme.example:8443/acme/app"),
                ("RUNNER_GROUP", "Trusted"),
                ("RUNNER_NAME", "builder"),
                ("RUNNER_SCOPE", "repo"),
                ("RUNNER_WORKDIR_ROOT", "/var/runner"),
            ]),
            "secrets": pairs("name", "valueFrom", &[
                ("APP_PRIVATE_KEY", "arn:aws:secretsmanager:eu-west-1:1:secret:key-AbC123:pem::"),
                ("NPM_TOKEN", "/ci/npm"),
            ]),
            "mountPoints": [],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-region": "eu-west-1",
                    "awslogs-group": "/ci/runners",
                    "awslogs-stream-prefix": "ghr-ci-Runners-0123456789",
                    "mode": "non-blocking",
                    "max-buffer-size": "10m",
                },
            },
        })
    );
}

#[tokio::test]
async fn runner_token_parameter_keeps_the_administrators_credential_out_of_the_container() {
    let mut spec = with_everything();
    spec.credentials.runner_token = Some(parameter("/ci/registration"));
    spec.runner.secrets.clear();
    let (_, container) = sent(&spec).await;
    assert_eq!(container["secrets"], pairs("name", "valueFrom", &[("RUNNER_TOKEN", "/ci/registration")]));
    let names: Vec<&str> =
        container["environment"].as_array().unwrap().iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert!(!names.contains(&"APP_ID") && !names.contains(&"APP_LOGIN"), "{names:?}");
}

#[tokio::test]
async fn enterprise_name_and_log_stream_prefix_are_passed_on() {
    let mut spec = minimal_spec();
    spec.github.scope = Scope::Enterprise("megacorp".to_owned());
    spec.task.log = Some(LogSpec { group: "g".to_owned(), stream_prefix: Some("mine".to_owned()) });
    let (_, container) = sent(&spec).await;
    let variables = container["environment"].as_array().unwrap();
    assert!(variables.contains(&json!({ "name": "RUNNER_SCOPE", "value": "ent" })));
    assert!(variables.contains(&json!({ "name": "ENTERPRISE_NAME", "value": "megacorp" })));
    assert_eq!(container["logConfiguration"]["options"]["awslogs-stream-prefix"], "mine");
}
