//! The content of the pool's task definition: the template's properties as ECS parameters and variables of the image.
//!
//! The image's switches: <https://github.com/myoung34/docker-github-actions-runner#environment-variables>. Several are
//! on for any text that is not empty, so one that is off is left out and never sent as `false`.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::secret::Variables;
use crate::pool::model::spec::{GitHubCredential, HostKind, PoolSpec, RegisterBy, Scope};

/// The container's name in every revision.
pub const CONTAINER: &str = "runner";
/// The Docker label under which a revision keeps its [`PoolMetadata`].
pub const METADATA_LABEL: &str = "github-runner-pool.metadata";
/// Names the table in which the container asks for its registration.
pub const REGISTRATIONS_TABLE: &str = "REGISTRATIONS_TABLE";
/// The start script of a container whose runner the function registers.
const START_RUNNER: &str = include_str!("start_runner.sh");
/// The host's Docker socket, and the path at which a container finds it.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Every variable that the resource sets by itself, whatever the template says. `Environment` and `Secrets` may not
/// name them; neither may they name the image's other spellings of the same settings.
pub const RESERVED_VARIABLES: &[&str] = &[
    "ACCESS_TOKEN",
    "APP_ID",
    "APP_LOGIN",
    "APP_PRIVATE_KEY",
    "CONFIGURED_ACTIONS_RUNNER_FILES_DIR",
    "DISABLE_AUTOMATIC_DEREGISTRATION",
    "DISABLE_AUTO_UPDATE",
    "ENTERPRISE_NAME",
    "EPHEMERAL",
    "GITHUB_API_HOST",
    "GITHUB_API_PATH",
    "GITHUB_HOST",
    "LABELS",
    "NO_DEFAULT_LABELS",
    "ORG_NAME",
    "ORG_RUNNER",
    "RANDOM_RUNNER_SUFFIX",
    "REGISTRATIONS_TABLE",
    "REPO_URL",
    "RUNNER_GROUP",
    "RUNNER_LABELS",
    "RUNNER_NAME",
    "RUNNER_NAME_PREFIX",
    "RUNNER_SCOPE",
    "RUNNER_TOKEN",
    "RUNNER_WORKDIR",
    "RUNNER_WORKDIR_ROOT",
];

/// The content of a revision. The adapter adds what is the same for all: one essential container named [`CONTAINER`],
/// network mode `bridge`, compatibility `EC2`, the `awslogs` driver's Region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskDefinitionContent {
    /// The image, with tag or digest.
    pub image: String,
    /// Whether ECS resolves the image's tag once per deployment. Off for a tag, so that every new task takes the
    /// newest image and none names a digest that the registry has dropped.
    pub resolves_image_once: bool,
    /// The registry's credentials: a Secrets Manager ARN.
    pub repository_credentials: Option<String>,
    /// CPU units.
    pub cpu_units: u32,
    /// GPUs.
    pub gpus: u32,
    /// Hard limit, MiB.
    pub memory_mib: Option<u32>,
    /// Soft limit, MiB.
    pub memory_reservation_mib: u32,
    /// `privileged`.
    pub privileged: bool,
    /// `readonlyRootFilesystem`.
    pub readonly_root_filesystem: bool,
    /// Seconds between SIGTERM and SIGKILL.
    pub stop_timeout_secs: u64,
    /// What runs in the place of the image's entry point and command; `None` leaves both.
    pub start: Option<StartCommand>,
    /// Plain variables.
    pub environment: Variables,
    /// Container secrets: name to `valueFrom`.
    pub secrets: BTreeMap<String, String>,
    /// Docker labels.
    pub docker_labels: BTreeMap<String, String>,
    /// Host paths, mounted at the same path in the container.
    pub volumes: Vec<Volume>,
    /// The `awslogs` driver: group and stream prefix.
    pub log: Option<(String, String)>,
    /// The execution role.
    pub execution_role_arn: Option<String>,
    /// The task role.
    pub task_role_arn: Option<String>,
}

/// An entry point and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StartCommand {
    /// `entryPoint`.
    pub entry_point: Vec<String>,
    /// `command`.
    pub command: Vec<String>,
}

impl StartCommand {
    /// The script that asks for the registration, and then runs the image's own entry point with its own command.
    /// <https://github.com/myoung34/docker-github-actions-runner/blob/master/Dockerfile>
    fn start_runner() -> Self {
        let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
        Self {
            entry_point: owned(&["/usr/bin/dumb-init", "--", "/bin/bash", "-c"]),
            command: owned(&[START_RUNNER, "start-runner", "./bin/Runner.Listener", "run", "--startuptype", "service"]),
        }
    }
}

/// A host path in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The volume's name in the task definition.
    pub name: String,
    /// The path, on the host and in the container: what a job starts through the host's Docker resolves its mounts on
    /// the host, so both must be the same.
    pub path: String,
}

impl TaskDefinitionContent {
    /// The content of the task definition that the pool needs.
    #[must_use]
    pub fn of(id: &PhysicalId, spec: &PoolSpec) -> Self {
        let task = &spec.task;
        Self {
            image: task.image.clone(),
            resolves_image_once: task.image.contains('@'),
            repository_credentials: task.repository_credentials.clone(),
            cpu_units: task.cpu_units,
            gpus: task.gpus,
            memory_mib: task.memory_mib,
            memory_reservation_mib: task.memory_reservation_mib,
            privileged: task.privileged,
            readonly_root_filesystem: task.readonly_root_filesystem,
            stop_timeout_secs: task.stop_timeout.as_secs(),
            start: task.registrations_table.is_some().then(StartCommand::start_runner),
            environment: environment(id, spec),
            secrets: secrets(spec),
            docker_labels: BTreeMap::from([(METADATA_LABEL.to_owned(), PoolMetadata::of(id, spec).to_label())]),
            volumes: volumes(spec),
            log: task
                .log
                .as_ref()
                .map(|log| (log.group.clone(), log.stream_prefix.clone().unwrap_or_else(|| id.as_str().to_owned()))),
            execution_role_arn: task.execution_role_arn.clone(),
            task_role_arn: task.task_role_arn.clone(),
        }
    }

    /// The hash of the content, hex. Two contents with the same hash need one revision.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        // Struct fields and BTreeMaps serialize in a fixed order, and nothing in here can fail to serialize.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn environment(id: &PhysicalId, spec: &PoolSpec) -> Variables {
    let runner = &spec.runner;
    let mut variables = runner.environment.clone();
    let mut set = |name: &str, value: String| drop(variables.insert(name.to_owned(), value));

    match &spec.github.scope {
        Scope::Organization(name) => {
            set("RUNNER_SCOPE", "org".to_owned());
            set("ORG_NAME", name.clone());
        }
        Scope::Repository { owner, name } => {
            set("RUNNER_SCOPE", "repo".to_owned());
            set("REPO_URL", format!("{}/{owner}/{name}", spec.github.host));
        }
        Scope::Enterprise(name) => {
            set("RUNNER_SCOPE", "ent".to_owned());
            set("ENTERPRISE_NAME", name.clone());
        }
    }
    let host = &spec.github.host;
    if host.kind() != HostKind::GitHubCom {
        set("GITHUB_HOST", host.authority.clone());
        set("GITHUB_API_HOST", host.api_authority());
        set("GITHUB_API_PATH", if host.api_path().is_empty() { "/" } else { host.api_path() }.to_owned());
    }
    if let Some(GitHubCredential::App { id: app_id, .. }) = &spec.credentials.github_credential
        && let Some(login) = spec.credentials.app_login()
    {
        set("APP_ID", app_id.clone());
        set("APP_LOGIN", login.clone());
    }
    match &runner.name {
        Some(name) => set("RUNNER_NAME", name.clone()),
        None => {
            set("RUNNER_NAME_PREFIX", id.runner_name_prefix(spec));
            set("RANDOM_RUNNER_SUFFIX", "false".to_owned());
        }
    }
    let labels: Vec<&str> = runner.labels.iter().map(String::as_str).chain([id.as_str()]).collect();
    set("LABELS", labels.join(","));
    if let Some(group) = &runner.group {
        set("RUNNER_GROUP", group.clone());
    }
    set("RUNNER_WORKDIR_ROOT", runner.workdir.clone());
    if let Some(table) = &spec.task.registrations_table {
        set(REGISTRATIONS_TABLE, table.clone());
    }
    for (name, is_on) in [
        ("EPHEMERAL", runner.ephemeral),
        ("DISABLE_AUTO_UPDATE", runner.disable_auto_update),
        ("NO_DEFAULT_LABELS", runner.no_default_labels),
    ] {
        if is_on {
            set(name, "true".to_owned());
        }
    }
    variables
}

fn secrets(spec: &PoolSpec) -> BTreeMap<String, String> {
    let mut secrets: BTreeMap<String, String> =
        spec.runner.secrets.iter().map(|(name, from)| (name.clone(), from.0.clone())).collect();
    if spec.credentials.register_by == RegisterBy::Function {
        return secrets;
    }
    // With its own registration token, the container never gets the administrator's credential.
    let (name, from) = match (&spec.credentials.runner_token, &spec.credentials.github_credential) {
        (Some(token), _) => ("RUNNER_TOKEN", token),
        (None, Some(GitHubCredential::AccessToken(token))) => ("ACCESS_TOKEN", token),
        (None, Some(GitHubCredential::App { private_key, .. })) => ("APP_PRIVATE_KEY", private_key),
        (None, None) => return secrets,
    };
    secrets.insert(name.to_owned(), from.0.clone());
    secrets
}

fn volumes(spec: &PoolSpec) -> Vec<Volume> {
    if !spec.task.docker_socket {
        return Vec::new();
    }
    vec![
        Volume { name: "docker".to_owned(), path: DOCKER_SOCKET.to_owned() },
        Volume { name: "work".to_owned(), path: spec.runner.workdir.clone() },
    ]
}
