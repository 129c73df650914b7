//! The pool as its template wants it: validated, typed, free of CloudFormation's strings.
//!
//! [`PoolSpec`] is the single input to every decision of Create and Update. Only the property decoder makes one out of
//! a template; nothing afterwards goes back to the raw properties.

#[cfg(test)]
pub(crate) mod fixtures;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::model::secret::Variables;

/// The desired pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSpec {
    /// Where the runners register.
    pub github: GitHubTarget,
    /// Who may register them, and who administers them for us.
    pub credentials: Credentials,
    /// The runner inside the container.
    pub runner: RunnerSpec,
    /// The container and its task.
    pub task: TaskSpec,
    /// The ECS cluster's name or ARN, as the template gave it.
    pub cluster: String,
    /// The instances below.
    pub capacity: Capacity,
    /// How many runners. Zero is allowed.
    pub desired_count: u32,
    /// At most one runner on an instance.
    pub distinct_instances: bool,
    /// How patient we are, and what happens then.
    pub wait_policy: WaitPolicy,
    /// On everything that we create, in addition to the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// One place on one GitHub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHubTarget {
    /// Which GitHub.
    pub host: GitHubHost,
    /// The organization, repository or enterprise there.
    pub scope: Scope,
}

/// Which GitHub: github.com, a tenant of ghe.com, or an Enterprise Server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHubHost {
    /// `https`, or `http` for a loopback host.
    pub scheme: Scheme,
    /// The host in lower case, with its port where one was given: `github.com`, `acme.ghe.com`, `127.0.0.1:8080`.
    pub authority: String,
}

/// How a GitHub host is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Every real GitHub.
    Https,
    /// A stand-in on this machine.
    HttpOnLoopback,
}

impl GitHubHost {
    /// github.com itself.
    #[must_use]
    pub fn github_com() -> Self {
        Self { scheme: Scheme::Https, authority: "github.com".to_owned() }
    }

    /// The host of the REST API: `api.github.com`, `api.SUB.ghe.com`, or the Enterprise Server itself.
    ///
    /// <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api>
    #[must_use]
    pub fn api_authority(&self) -> String {
        match self.kind() {
            HostKind::GitHubCom => "api.github.com".to_owned(),
            HostKind::GheCom => format!("api.{}", self.authority),
            HostKind::EnterpriseServer => self.authority.clone(),
        }
    }

    /// The path below which the REST API lives: empty, or `/api/v3` on an Enterprise Server.
    #[must_use]
    pub fn api_path(&self) -> &'static str {
        match self.kind() {
            HostKind::GitHubCom | HostKind::GheCom => "",
            HostKind::EnterpriseServer => "/api/v3",
        }
    }

    /// Which of the three families this host belongs to.
    #[must_use]
    pub fn kind(&self) -> HostKind {
        if self.authority == "github.com" || self.authority == "www.github.com" {
            HostKind::GitHubCom
        } else if self.authority.ends_with(".ghe.com") {
            HostKind::GheCom
        } else {
            HostKind::EnterpriseServer
        }
    }

    /// The scheme with which every URL of this host begins.
    #[must_use]
    pub const fn scheme_str(&self) -> &'static str {
        match self.scheme {
            Scheme::Https => "https",
            Scheme::HttpOnLoopback => "http",
        }
    }
}

impl fmt::Display for GitHubHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme_str(), self.authority)
    }
}

/// The families of GitHub hosts, which differ in where their API lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// github.com.
    GitHubCom,
    /// A tenant with data residency.
    GheCom,
    /// A server of one's own.
    EnterpriseServer,
}

/// Whose runners they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Every repository that the runner group lets in.
    Organization(String),
    /// One repository.
    Repository {
        /// The user or organization.
        owner: String,
        /// Its repository.
        name: String,
    },
    /// Every organization that the runner group lets in.
    Enterprise(String),
}

impl Scope {
    /// The path prefix of this scope in GitHub's REST API, such as `/orgs/acme`.
    #[must_use]
    pub fn api_prefix(&self) -> String {
        match self {
            Self::Organization(name) => format!("/orgs/{name}"),
            Self::Repository { owner, name } => format!("/repos/{owner}/{name}"),
            Self::Enterprise(name) => format!("/enterprises/{name}"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(name) => write!(f, "organization {name}"),
            Self::Repository { owner, name } => write!(f, "repository {owner}/{name}"),
            Self::Enterprise(name) => write!(f, "enterprise {name}"),
        }
    }
}

/// Where a value lies: an SSM parameter's name or ARN, or a Secrets Manager ARN. Never the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParameterRef(pub String);

impl ParameterRef {
    /// Whether Secrets Manager keeps it.
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

/// How the runners sign in, and how we do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// What lets the function administer runners. `None`: no check, no deregistration.
    pub github_credential: Option<GitHubCredential>,
    /// A registration token for the container. With it the administrator's credential stays out of the container.
    pub runner_token: Option<ParameterRef>,
}

impl Credentials {
    /// The account by which a container looks for the App's installation; `None` where it does not sign in as an App.
    #[must_use]
    pub fn app_login(&self) -> Option<&String> {
        match (&self.github_credential, &self.runner_token) {
            (Some(GitHubCredential::App { login, .. }), None) => Some(login),
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
        /// Where its private key (PEM) lies.
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
    /// Leaves updates of the runner to the image.
    pub disable_auto_update: bool,
    /// Leaves `self-hosted`, `Linux` and the architecture off.
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
    /// What jobs may do in AWS.
    pub task_role_arn: Option<String>,
}

/// The `awslogs` driver's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// The log group's name.
    pub group: String,
    /// The stream prefix; the pool's name where the template gives none.
    pub stream_prefix: Option<String>,
}

/// Instances of our own, or a provider that another owner owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capacity {
    /// A group and a capacity provider that we make and delete.
    Own(Box<OwnCapacity>),
    /// Used and never changed.
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

/// What the group may buy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MixedInstances {
    /// In order of preference; empty leaves the launch template's type.
    pub instance_types: Vec<String>,
    /// This many instances are On-Demand first.
    pub on_demand_base_capacity: u32,
    /// Of the rest, this share is On-Demand, percent.
    pub on_demand_percentage_above_base: u32,
    /// How Spot pools are chosen.
    pub spot_allocation_strategy: String,
}

/// How patient the pool is, and what happens then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitPolicy {
    /// How long the runners may take to come online.
    pub online_timeout: Duration,
    /// A runner is idle when no reading in this window said busy.
    pub idle_confirmation: Duration,
    /// How long running jobs are waited for.
    pub drain_timeout: Duration,
    /// Past it.
    pub on_drain_timeout: OnDrainTimeout,
    /// When GitHub does not let us in any more.
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

/// What becomes of jobs that outlast `DrainTimeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDrainTimeout {
    /// They are stopped.
    Cancel,
    /// They are left alone and the request answers FAILED.
    Fail,
}

/// What becomes of a Delete that GitHub does not let clean up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDeregisterFailure {
    /// It goes on and says what may be left.
    Warn,
    /// It answers FAILED.
    Fail,
}
