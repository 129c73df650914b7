//! One look at the world: what the remotes said, as plain values in the pool's words.
//!
//! `None` means absent, never "could not be read": a read that fails ends the round and comes back as
//! [`Observed::remote_error`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::pool::model::ec2::{Ec2View, Room};
use crate::pool::model::github_access::GitHubAccess;
use crate::pool::model::operation_lock::ObservedLock;
use crate::pool::model::remote_error::RemoteError;
use crate::pool::model::runner_log::LogState;
use crate::pool::model::spec::{LaunchTemplate, MixedInstances};
use crate::pool::model::time::Timestamp;

/// Everything that a decision may look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The Auto Scaling group of the pool's name.
    pub group: Option<Group>,
    /// The capacity provider that the service runs on: the pool's own, or the named one.
    pub provider: Option<CapacityProvider>,
    /// The cluster.
    pub cluster: Option<Cluster>,
    /// The newest active task definition of the pool's family.
    pub task_definition: Option<TaskDefinition>,
    /// The service of the pool's name.
    pub service: Option<Service>,
    /// Every task of the pool's family that ECS still knows, stopped ones included.
    pub tasks: Vec<Task>,
    /// The container instances on the pool's own capacity provider.
    pub instances: Vec<ContainerInstance>,
    /// Revisions, by ARN, that the service still deploys beside the newest one, with the hash of their content.
    pub deployed_content: BTreeMap<String, String>,
    /// What GitHub says.
    pub github: GitHubRunners,
    /// When its list was read, the last time that it was: a narrow look leaves it as it is.
    pub github_read: Option<Reading>,
    /// How GitHub was reached in this look, where it was by what a newer request of the resource knows.
    pub newer_github_access: Option<GitHubAccess>,
    /// By task, by ARN, what came of reading its log in this look; a look that was not for logs has none.
    pub logs: BTreeMap<String, LogReading>,
    /// Whether GitHub would let runners register; `None` if it was not asked.
    pub preflight_result: Option<PreflightResult>,
    /// The template's runner group, if that was asked and there is one.
    pub runner_group: Option<RunnerGroup>,
    /// What the newest failed scaling activity said; only looked up for a diagnosis.
    pub failed_activity: Option<String>,
    /// Whether this look also asked what stands in the way of new instances.
    pub is_diagnosis: bool,
    /// Whether this look left nothing out.
    pub is_complete: bool,
    /// The number that the template's launch-template version stands for now.
    pub template_version: Option<u64>,
    /// What EC2 says of the launch template, the instance types and the subnets, where that was asked.
    pub ec2: Ec2View,
    /// Who works for the resource, or for this pool of it; `None` if nobody has said so.
    pub lock: Option<ObservedLock>,
    /// Whether the resource's record is about another pool of it, so that this one has a record of its own.
    pub has_pool_lock: bool,
    /// The last call that was refused since the previous decision.
    pub remote_error: Option<RemoteError>,
}

/// The time in which something was read, page by page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its first page shows nothing older.
    pub began_at: Timestamp,
    /// Its last page shows nothing newer.
    pub ended_at: Timestamp,
}

/// An Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its ARN.
    pub arn: String,
    /// What we compare with the template.
    pub config: GroupConfig,
    /// The launch template's name, for templates that name it so.
    pub launch_template_name: Option<String>,
    /// The number of instances that it aims for.
    pub desired: u32,
    /// Whether new instances are protected from scale-in.
    pub protects_new_instances: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What it runs.
    pub instances: Vec<GroupInstance>,
    /// Whether it is on its way out.
    pub is_being_deleted: bool,
}

/// What a template decides about an Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupConfig {
    /// The launch template, with its version as a number; an observed one is named by its id.
    pub launch_template: LaunchTemplate,
    /// Subnet ids, sorted.
    pub subnets: Vec<String>,
    /// The lower bound.
    pub min: u32,
    /// The upper bound.
    pub max: u32,
    /// The mixed-instances policy.
    pub mixed_instances_policy: Option<MixedInstances>,
}

/// An instance as its group sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInstance {
    /// `i-…`.
    pub id: String,
    /// Auto Scaling's own word, such as `InService` or `Terminating:Wait`.
    pub lifecycle_state: String,
    /// Whether scale-in passes it by.
    pub protected_from_scale_in: bool,
    /// The launch-template version that it was started from.
    pub template_version: Option<u64>,
}

/// A capacity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapacityProvider {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The group that it manages; `None` for one that is no Auto Scaling provider.
    pub group_arn: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether it can be used.
    pub state: ProviderState,
    /// What we compare with the template.
    pub config: ProviderConfig,
}

/// Where a capacity provider stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderState {
    /// Usable, with nothing under way.
    Active,
    /// A change is under way.
    Changing,
    /// ECS failed to make it, for this reason.
    Failed(String),
    /// A change failed, for this reason; it is active as before.
    UpdateFailed(String),
    /// A deletion failed, for this reason; it is active as before.
    DeleteFailed(String),
}

/// What a template decides about a capacity provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderConfig {
    /// Managed scaling is on, with this target, percent.
    pub target_capacity_percent: Option<u32>,
    /// Managed scaling's warm-up, seconds.
    pub instance_warmup_secs: u32,
    /// Managed termination protection.
    pub protects_from_termination: bool,
    /// Managed draining.
    pub drains: bool,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its ARN.
    pub arn: String,
    /// Whether it is ACTIVE.
    pub is_active: bool,
    /// Whether its attachments are busy, so that no association can be made or undone.
    pub is_busy: bool,
    /// Every associated capacity provider, in ECS's order.
    pub providers: Vec<String>,
    /// Attachments that ECS could not make, such as a provider's scaling policy, each in ECS's words.
    pub failed_attachments: Vec<String>,
}

/// A task definition revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDefinition {
    /// Its ARN, with the revision.
    pub arn: String,
    /// Its tags; [`crate::pool::model::identity::TAG_CONTENT`] holds the hash of its content.
    pub tags: BTreeMap<String, String>,
    /// The text of the Docker label [`crate::pool::model::task_definition::METADATA_LABEL`] of its container.
    pub metadata: Option<String>,
}

/// What came of reading the log of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogReading {
    /// It shows whether a job runs.
    State(LogState),
    /// The task's definition names no log group.
    NotConfigured,
    /// There is no such log group, or the task has no stream in it.
    Missing,
    /// There is a stream, and what was read of it does not show whether a job runs.
    Silent {
        /// Whether that was all of it, and more than nothing.
        is_whole: bool,
    },
    /// The call was refused.
    Failed(RemoteError),
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its ARN.
    pub arn: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// ECS's word for where it stands.
    pub state: ServiceState,
    /// What we compare with the template.
    pub config: ServiceConfig,
    /// Tasks RUNNING.
    pub running: u32,
    /// Tasks PENDING.
    pub pending: u32,
    /// Every deployment, the primary one included.
    pub deployments: Vec<Deployment>,
    /// The newest events first, at most [`EVENTS_MAX`].
    pub events: Vec<ServiceEvent>,
}

/// Service events that are kept: enough to explain a failure, few enough to read.
pub const EVENTS_MAX: usize = 5;

/// Where a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// In use.
    Active,
    /// Deleted, with tasks that still end.
    Draining,
    /// Deleted; its name may be used again.
    Inactive,
}

/// What a template decides about a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceConfig {
    /// The revision's ARN.
    pub task_definition: String,
    /// Tasks that ECS keeps running.
    pub desired_count: u32,
    /// The capacity provider, at weight 1; `None` where the strategy is not a single provider.
    pub capacity_provider: Option<String>,
    /// At most one task on an instance.
    pub distinct_instances: bool,
    /// `maximumPercent`.
    pub maximum_percent: u32,
    /// `minimumHealthyPercent`.
    pub minimum_healthy_percent: u32,
    /// Circuit breaker on and its rollback off.
    pub circuit_breaker_without_rollback: bool,
    /// Whether ECS may move tasks between zones, which ends jobs.
    pub az_rebalancing: bool,
}

/// A deployment of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// `ecs-svc/…`; tasks carry it as `startedBy`.
    pub id: String,
    /// Whether it is the one that ECS works towards.
    pub is_primary: bool,
    /// The revision's ARN.
    pub task_definition: String,
    /// Tasks RUNNING.
    pub running: u32,
    /// Tasks that it aims for.
    pub desired: u32,
    /// Tasks that never came up.
    pub failed: u32,
    /// How it goes.
    pub rollout: RolloutState,
}

/// How a deployment goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// Under way.
    InProgress,
    /// Steady.
    Completed,
    /// The circuit breaker gave it up, for this reason.
    Failed(String),
}

/// A line that ECS wrote about a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEvent {
    /// When.
    pub at: Timestamp,
    /// What, in ECS's words.
    pub message: String,
}

/// A task of the pool's family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its ARN.
    pub arn: String,
    /// The revision's ARN.
    pub task_definition: String,
    /// `service:NAME` for a task of a service.
    pub group: String,
    /// The id of the deployment that started it.
    pub started_by: Option<String>,
    /// Where it stands.
    pub phase: TaskPhase,
    /// Whether ECS was told to stop it.
    pub desired_stopped: bool,
    /// Whether scale-in and deployments pass it by.
    pub protection: Protection,
    /// The container's Docker id, once the agent reported it.
    pub runtime_id: Option<String>,
    /// The container instance that it is on.
    pub container_instance_arn: Option<String>,
    /// When its container came up.
    pub started_at: Option<Timestamp>,
    /// Why it ended, for a task that did.
    pub ending: Option<StopInfo>,
}

/// Digits of a container's id that Docker makes its host name, and the image the end of its runner's name.
pub const SHORT_CONTAINER_ID_DIGITS: usize = 12;

impl Task {
    /// Whether anything of it may still be working.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.phase != TaskPhase::Stopped
    }

    /// Whether it runs and nobody has told it to stop.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == TaskPhase::Running && !self.desired_stopped
    }

    /// The digits with which its runner's name ends.
    #[must_use]
    pub fn short_container_id(&self) -> Option<&str> {
        self.runtime_id.as_deref()?.get(..SHORT_CONTAINER_ID_DIGITS)
    }
}

/// Where a task stands, in the steps that matter here.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskPhase {
    /// PROVISIONING, PENDING, ACTIVATING: nothing of the container runs yet.
    Starting,
    /// RUNNING.
    Running,
    /// DEACTIVATING, STOPPING, DEPROVISIONING: the container may still be working.
    Stopping,
    /// STOPPED, DELETED: nothing of it is left.
    Stopped,
}

/// Scale-in protection of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// It was not asked for in this look.
    Unknown,
    /// None.
    Off,
    /// Until this moment.
    Until(Timestamp),
}

/// Why a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopInfo {
    /// ECS's sentence, the container's own reason behind it where there is one.
    pub reason: String,
    /// The container's exit code.
    pub exit_code: Option<i32>,
    /// When.
    pub at: Option<Timestamp>,
}

/// A container instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInstance {
    /// Its ARN.
    pub arn: String,
    /// `i-…`.
    pub ec2_instance_id: Option<String>,
    /// Whether it takes tasks.
    pub is_active: bool,
    /// Tasks on it that are meant to run, PENDING ones included.
    pub n_tasks: u32,
    /// Whether its agent is heard of.
    pub is_connected: bool,
    /// Its EC2 instance type.
    pub instance_type: Option<String>,
    /// What it registered for tasks.
    pub registered: Option<Room>,
    /// What of that no task has taken.
    pub remaining: Option<Room>,
}

/// What GitHub says about the pool's runners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GitHubRunners {
    /// It was not asked in this look.
    #[default]
    NotQueried,
    /// The template gives us no credential to ask with.
    NoCredential,
    /// It, or the credential's parameter, refused us.
    Failed(RemoteError),
    /// Every runner that it lists, foreign ones included.
    Listed(Vec<Runner>),
}

/// What GitHub said when it was asked whether runners may register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreflightResult {
    /// They may.
    Passed,
    /// They may not, or the credential cannot be read.
    Failed(RemoteError),
    /// They may, and the runner group of the template does not exist.
    NoSuchRunnerGroup,
    /// The function may, and a container would not: the account on which the App is installed, as GitHub spells it, which
    /// the template spells otherwise. The image compares them letter by letter.
    /// <https://github.com/myoung34/docker-github-actions-runner/blob/master/app_token.sh>
    AppLoginMismatch(String),
}

/// A runner group, by whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunnerGroup {
    /// Of the organization or enterprise itself.
    Own,
    /// Of the enterprise above the organization.
    Inherited,
}

/// A self-hosted runner as GitHub lists it.
///
/// <https://docs.github.com/en/rest/actions/self-hosted-runners>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// GitHub's id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whether it is connected.
    pub is_online: bool,
    /// Whether it has a job. Lags: it turns true only when the job is acquired.
    pub is_busy: bool,
    /// Its labels.
    pub labels: BTreeSet<String>,
    /// The version of the runner software, where GitHub tells.
    pub version: Option<String>,
}
