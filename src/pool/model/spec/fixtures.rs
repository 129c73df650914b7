//! The pool of the least template: what it must say, and every default. Tests begin with it and say what differs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pool::model::secret::Variables;
use crate::pool::model::spec::{
    Capacity, Credentials, GitHubCredential, GitHubHost, GitHubTarget, LaunchTemplate, LaunchTemplateId, OwnCapacity,
    ParameterRef, PoolSpec, RegisterBy, RunnerSpec, Scope, TaskSpec, WaitPolicy,
};

/// The pool.
pub(crate) fn minimal_spec() -> PoolSpec {
    PoolSpec {
        github: GitHubTarget { host: GitHubHost::github_com(), scope: Scope::Organization("acme".to_owned()) },
        credentials: Credentials {
            github_credential: Some(GitHubCredential::AccessToken(ParameterRef("/ci/token".to_owned()))),
            runner_token: None,
            register_by: RegisterBy::Function,
        },
        runner: RunnerSpec {
            name: None,
            name_prefix: "github-runner".to_owned(),
            labels: vec!["default".to_owned()],
            group: None,
            workdir: "/_work".to_owned(),
            ephemeral: false,
            disable_auto_update: true,
            no_default_labels: false,
            environment: Variables::default(),
            secrets: BTreeMap::new(),
        },
        task: TaskSpec {
            image: "myoung34/github-runner:ubuntu-noble".to_owned(),
            repository_credentials: None,
            memory_reservation_mib: 500,
            memory_mib: None,
            cpu_units: 0,
            gpus: 0,
            privileged: true,
            docker_socket: true,
            readonly_root_filesystem: false,
            stop_timeout: Duration::from_secs(120),
            log: None,
            execution_role_arn: Some("arn:aws:iam::111122223333:role/execution".to_owned()),
            task_role_arn: None,
            registrations_table: None,
        },
        cluster: "build".to_owned(),
        capacity: Capacity::Own(Box::new(OwnCapacity {
            launch_template: LaunchTemplate {
                reference: LaunchTemplateId::Id("lt-0a1b2c3d".to_owned()),
                version: "1".to_owned(),
            },
            subnets: vec!["subnet-0a1b2c3d".to_owned()],
            min_instances: 0,
            max_instances: 4,
            warm_instances: 0,
            mixed_instances_policy: None,
            target_capacity_percent: 100,
            instance_warmup: Duration::from_secs(300),
        })),
        desired_count: 1,
        job_scaling: None,
        distinct_instances: false,
        wait_policy: WaitPolicy::default(),
        tags: BTreeMap::new(),
    }
}
