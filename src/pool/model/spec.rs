//! The desired pool: the template's properties, validated and typed.
//!
//! [`PoolSpec`] is the single input to every decision of Create and Update. Only the property decoder creates one from
//! a template; nothing later reads the raw properties.

#[cfg(test)]
pub(crate) mod fixtures;
mod github;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::github::{GitHubHost, GitHubTarget, HostKind, Scheme, Scope};
use crate::pool::model::secret::Variables;

/// The desired pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSpec {
    /// Where the runners register.
    pub github: GitHubTarget,
    /// How runners register, and the credential that administers them.
    pub credentials: Credentials,
    /// The runner inside the container.
    pub runner: RunnerSpec,
    /// The container and its task.
    pub task: TaskSpec,
    /// The ECS cluster's name or ARN, as the template gave it.
    pub cluster: String,
    /// The instances below.
    pub capacity: Capacity,
    /// How many runners a request starts and waits for; zero is allowed. With [`PoolSpec::job_scaling`], how many are
    /// kept idle.
    pub desired_count: u32,
    /// Scaling by jobs; `None` for a fixed number of runners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_scaling: Option<JobScaling>,
    /// At most one runner on an instance.
    pub distinct_instances: bool,
    /// The timeouts, and what to do when they pass.
    pub wait_policy: WaitPolicy,
    /// Tags of every resource that the function creates, in addition to the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Scaling by jobs: `MaxRunners` and its related properties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobScaling {
    /// The maximum number of runners, including idle ones; at least 1.
    pub max_runners: u32,
    /// The name of the runner scale set; the pool's physical id where the template gives none.
    pub scale_set_name: Option<String>,
}

/// The function's own settings that a pool's tasks need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationDefaults {
    /// The registrations table.
    pub table: String,
    /// The role of tasks for which the template has none.
    pub runner_role_arn: Option<String>,
}

/// A pool whose tasks cannot ask for their registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "TaskRoleArn: missing, and the function has no default for it, because its environment has no RUNNER_ROLE_ARN. \
     Deploy the provider stack again, which sets it, or specify a role with the provider stack's RunnerPolicy."
)]
pub struct NoTaskRole;

impl PoolSpec {
    /// The pool with what its tasks need to ask for their registration.
    ///
    /// # Errors
    /// When neither the template nor the function has a task role.
    pub fn with_defaults(mut self, defaults: &RegistrationDefaults) -> Result<Self, NoTaskRole> {
        if self.credentials.register_by == RegisterBy::Container {
            return Ok(self);
        }
        let task_role_arn = self.task.task_role_arn.take().or_else(|| defaults.runner_role_arn.clone());
        self.task.task_role_arn = Some(task_role_arn.ok_or(NoTaskRole)?);
        self.task.registrations_table = Some(defaults.table.clone());
        Ok(self)
    }
}

/// A reference to a secret value: an SSM parameter's name or ARN, or a Secrets Manager ARN. Never the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParameterRef(pub String);

impl ParameterRef {
    /// Whether it is a Secrets Manager secret.
    #[must_use]
    pub fn is_secrets_manager(&self) -> bool {
        self.0.starts_with("arn:") && self.0.split(':').nth(2) == Some("secretsmanager")
    }
}

impl fmt::Display for ParameterRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the runners register, and how the function administers them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The credential with which the function administers runners. `None`: it neither checks nor deregisters them.
    pub github_credential: Option<GitHubCredential>,
    /// A registration token for the container. With it the administrator's credential stays out of the container.
    pub runner_token: Option<ParameterRef>,
    /// Who registers a runner.
    pub register_by: RegisterBy,
}

/// Who registers a runner at GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegisterBy {
    /// The function, for each task once; the container gets no credential.
    Function,
    /// The container, with the credential.
    Container,
}

impl Credentials {
    /// The account by which a container looks for the App's installation; `None` where it does not sign in as an App.
    #[must_use]
    pub fn app_login(&self) -> Option<&String> {
        match (&self.github_credential, &self.runner_token) {
            (Some(GitHubCredential::App { login, .. }), None) if self.register_by == RegisterBy::Container => {
                Some(login)
            }
            (Some(GitHubCredential::App { .. } | GitHubCredential::AccessToken(_)) | None, _) => None,
        }
    }
}

/// A credential that may list and delete runners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GitHubCredential {
    /// A personal access token.
    AccessToken(ParameterRef),
    /// A GitHub App.
    App {
        /// The App's numeric id, as written in the template.
        id: String,
        /// The secret with its private key (PEM).
        private_key: ParameterRef,
        /// The account on which it is installed.
        login: String,
    },
}

/// The runner inside the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerSpec {
    /// A fixed name; only with a single runner.
    pub name: Option<String>,
    /// The template's prefix, without the pool's digits.
    pub name_prefix: String,
    /// The template's labels, without the pool's own.
    pub labels: Vec<String>,
    /// The runner group's name.
    pub group: Option<String>,
    /// An absolute path; a folder per runner is made below it.
    pub workdir: String,
    /// One job, then gone.
    pub ephemeral: bool,
    /// Whether the runner does not update itself.
    pub disable_auto_update: bool,
    /// Whether the labels `self-hosted`, `Linux` and the architecture are left out.
    pub no_default_labels: bool,
    /// More plain variables.
    pub environment: Variables,
    /// More container secrets.
    pub secrets: BTreeMap<String, ParameterRef>,
}

/// The container and its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The image, with tag or digest.
    pub image: String,
    /// A Secrets Manager ARN with the registry's credentials.
    pub repository_credentials: Option<String>,
    /// Soft limit, MiB.
    pub memory_reservation_mib: u32,
    /// Hard limit, MiB.
    pub memory_mib: Option<u32>,
    /// CPU units; 1024 are one vCPU. 0 sets no share.
    pub cpu_units: u32,
    /// GPUs of the instance.
    pub gpus: u32,
    /// The container's `privileged`.
    pub privileged: bool,
    /// Whether the host's Docker socket is mounted.
    pub docker_socket: bool,
    /// The container's `readonlyRootFilesystem`.
    pub readonly_root_filesystem: bool,
    /// Between SIGTERM and SIGKILL.
    pub stop_timeout: Duration,
    /// Where its output goes.
    pub log: Option<LogSpec>,
    /// Reads secrets and writes logs for the task.
    pub execution_role_arn: Option<String>,
    /// What jobs may do in AWS, and with which a task asks for its registration.
    pub task_role_arn: Option<String>,
    /// The table in which it asks; `None` where the container registers itself.
    pub registrations_table: Option<String>,
}

/// The `awslogs` driver's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// The log group's name.
    pub group: String,
    /// The stream prefix; the pool's name where the template gives none.
    pub stream_prefix: Option<String>,
}

/// Where the runners run: on the pool's own instances, or on an existing capacity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capacity {
    /// An Auto Scaling group and a capacity provider that the function creates and deletes.
    Own(Box<OwnCapacity>),
    /// An existing capacity provider, which is never changed.
    Existing(String),
}

/// The Auto Scaling group and the capacity provider on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnCapacity {
    /// What the instances are started from.
    pub launch_template: LaunchTemplate,
    /// Subnet ids; order carries no meaning, so it is sorted.
    pub subnets: Vec<String>,
    /// The group's lower bound.
    pub min_instances: u32,
    /// The group's upper bound; at least 1.
    pub max_instances: u32,
    /// Stopped instances in the group's warm pool; 0 is no warm pool.
    #[serde(default)]
    pub warm_instances: u32,
    /// A mixed-instances policy, when the template asks for any part of one.
    pub mixed_instances_policy: Option<MixedInstances>,
    /// Managed scaling's target, percent, 1 to 100.
    pub target_capacity_percent: u32,
    /// Managed scaling's warm-up.
    pub instance_warmup: Duration,
}

/// A launch template and the version of it to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchTemplate {
    /// By id or by name.
    pub reference: LaunchTemplateId,
    /// A number, `$Latest` or `$Default`.
    pub version: String,
}

/// How a launch template is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LaunchTemplateId {
    /// `lt-…`.
    Id(String),
    /// Its name.
    Name(String),
}

impl fmt::Display for LaunchTemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(text) | Self::Name(text) => f.write_str(text),
        }
    }
}

/// The mixed-instances policy of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MixedInstances {
    /// In order of preference; empty leaves the launch template's type.
    pub instance_types: Vec<String>,
    /// This many instances are On-Demand first.
    pub on_demand_base_capacity: u32,
    /// Of the rest, this share is On-Demand, percent.
    pub on_demand_percentage_above_base: u32,
    /// The Spot allocation strategy.
    pub spot_allocation_strategy: String,
}

/// The pool's timeouts, and what to do when they pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitPolicy {
    /// How long the runners may take to come online.
    pub online_timeout: Duration,
    /// A runner is idle when no reading in this window said busy.
    pub idle_confirmation: Duration,
    /// How long running jobs are waited for.
    pub drain_timeout: Duration,
    /// What to do after that.
    pub on_drain_timeout: OnDrainTimeout,
    /// What a Delete does when GitHub rejects the credential.
    pub on_deregister_failure: OnDeregisterFailure,
}

impl Default for WaitPolicy {
    fn default() -> Self {
        Self {
            online_timeout: Duration::from_secs(900),
            idle_confirmation: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(1800),
            on_drain_timeout: OnDrainTimeout::Cancel,
            on_deregister_failure: OnDeregisterFailure::Warn,
        }
    }
}

/// What to do with jobs that outlast `DrainTimeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDrainTimeout {
    /// They are stopped.
    Cancel,
    /// They continue, and the request fails.
    Fail,
}

/// What a Delete does when GitHub does not let it clean up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDeregisterFailure {
    /// It succeeds with a warning about what may be left.
    Warn,
    /// It fails.
    Fail,
}
