//! What was observed of ECS.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pool::model::ec2::Room;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::time::Timestamp;

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
    /// The configuration that is compared with the template.
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
    /// The image of its container.
    pub image: Option<String>,
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
    /// The configuration that is compared with the template.
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
    /// `service:NAME` for a task of a service, `family:NAME` for a standalone one.
    pub group: String,
    /// The id of the deployment that started it; of a standalone task what `RunTask` was given.
    pub started_by: Option<String>,
    /// Where it stands.
    pub phase: TaskPhase,
    /// Whether its desired status is STOPPED.
    pub desired_stopped: bool,
    /// Whether scale-in and deployments pass it by.
    pub protection: Protection,
    /// The container's Docker id, once the agent reported it.
    pub runtime_id: Option<String>,
    /// Where it runs.
    pub placement: Placement,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When its container came up.
    pub started_at: Option<Timestamp>,
    /// Why it ended, for a task that did.
    pub ending: Option<StopInfo>,
}

/// Standalone tasks that are to be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRun {
    /// The revision's ARN.
    pub task_definition: String,
    /// The capacity provider that they run on.
    pub capacity_provider: String,
    /// How many: 1 to 10.
    pub count: u32,
    /// At most one task of the family on an instance.
    pub distinct_instances: bool,
}

/// What became of a `RunTask`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartedTasks {
    /// The tasks that ECS has accepted, by ARN.
    pub arns: Vec<String>,
    /// Why it has not accepted the others, each reason once.
    pub failures: Vec<String>,
}

/// Digits of a container's id that Docker makes its host name, and the image the end of its runner's name.
pub const SHORT_CONTAINER_ID_DIGITS: usize = 12;
/// Digits of a task's id that the function makes the end of its runner's name.
pub const SHORT_TASK_ID_DIGITS: usize = SHORT_CONTAINER_ID_DIGITS;

impl Task {
    /// Whether it has no instance yet, and so no container.
    #[must_use]
    pub fn is_unplaced(&self) -> bool {
        self.phase == TaskPhase::Starting && self.placement == Placement::Unplaced && self.started_at.is_none()
    }

    /// Whether anything of it may still be working.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.phase != TaskPhase::Stopped
    }

    /// A standalone task that ECS has accepted and does not show yet. Nothing is known of where it runs.
    #[must_use]
    pub fn just_started(id: &PhysicalId, arn: &str, task_definition: &str) -> Self {
        Self {
            arn: arn.to_owned(),
            task_definition: task_definition.to_owned(),
            group: format!("family:{id}"),
            started_by: Some(id.as_str().to_owned()),
            phase: TaskPhase::Starting,
            desired_stopped: false,
            protection: Protection::Unknown,
            runtime_id: None,
            placement: Placement::Unknown,
            created_at: None,
            started_at: None,
            ending: None,
        }
    }

    /// Whether no service started it.
    #[must_use]
    pub fn is_standalone(&self) -> bool {
        self.group.starts_with("family:")
    }

    /// Whether it runs and is meant to go on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == TaskPhase::Running && !self.desired_stopped
    }

    /// The digits with which the name of a runner ends that its container registered.
    #[must_use]
    pub fn short_container_id(&self) -> Option<&str> {
        self.runtime_id.as_deref()?.get(..SHORT_CONTAINER_ID_DIGITS)
    }

    /// The digits with which the name of a runner ends that the function registered.
    #[must_use]
    pub fn short_task_id(&self) -> Option<&str> {
        self.arn.rsplit('/').next()?.get(..SHORT_TASK_ID_DIGITS)
    }

    /// Either digits with which its runner's name may end.
    pub fn short_ids(&self) -> impl Iterator<Item = &str> {
        self.short_task_id().into_iter().chain(self.short_container_id())
    }

    /// Whether these digits at the end of a runner's name lead to this task.
    #[must_use]
    pub fn has_short_id(&self, digits: &str) -> bool {
        self.short_ids().any(|id| id == digits)
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

/// Where a task runs, or will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// ECS has accepted the task, and does not show it yet.
    Unknown,
    /// It waits for an instance.
    Unplaced,
    /// On this container instance, by ARN.
    On(String),
}

impl Placement {
    /// The placement of a task that ECS shows.
    #[must_use]
    pub fn of(container_instance_arn: Option<String>) -> Self {
        container_instance_arn.map_or(Self::Unplaced, Self::On)
    }

    /// The container instance's ARN.
    #[must_use]
    pub fn container_instance_arn(&self) -> Option<&str> {
        match self {
            Self::On(arn) => Some(arn),
            Self::Unknown | Self::Unplaced => None,
        }
    }
}

/// Scale-in protection of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// It was not asked for in this observation.
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
