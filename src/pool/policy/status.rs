//! The status of a pool, for people: its runners and what they do, its instances, and the request in progress.
//!
//! No decision depends on it.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::pool::model::ecs::{ContainerInstance, Service, ServiceState, Task, TaskDefinition, TaskPhase};
use crate::pool::model::identity::{PhysicalId, TAG_LOGICAL_ID, TAG_STACK_ID, cluster_name};
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::operation_lock::{LockPurpose, OperationLock};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::runner::Runner;
use crate::pool::model::runner_matching::{RunnerLookup, runner_for_task};
use crate::pool::model::scaling::{ScalingMode, ScalingRecord};
use crate::pool::model::time::Timestamp;

/// A pool, in the form in which a caller reads it. Moments are by RFC 3339, ages in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PoolStatus {
    /// Its physical id.
    pub pool: String,
    /// The ARN of its stack.
    pub stack_id: Option<String>,
    /// The resource's name in the template.
    pub logical_id: Option<String>,
    /// The cluster's name.
    pub cluster: Option<String>,
    /// The revision of the task definition that its service deploys, or else the newest one.
    pub revision: Option<u32>,
    /// The image of the newest revision.
    pub image: Option<String>,
    /// The tasks that the service keeps running; `None` without a service.
    pub desired_count: Option<u32>,
    /// What the listener knows of a pool with as many runners as jobs; `None` for one with a fixed number.
    pub job_scaling: Option<JobScalingStatus>,
    /// A row for each task that may be working, and for each other registration of the pool at GitHub.
    pub runners: Vec<RunnerStatus>,
    /// The instances of its Auto Scaling group, those of the warm pool last; with a capacity provider of another owner, those with tasks of the pool.
    pub instances: Vec<InstanceStatus>,
    /// The request that has no response yet.
    pub request: Option<RequestStatus>,
    /// The response to the last request, if none is at work.
    pub last_response: Option<ResponseStatus>,
    /// What could not be read, each thing for itself: the rest is shown all the same.
    pub errors: Vec<String>,
}

/// A pool with as many runners as jobs, as its listener has written it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct JobScalingStatus {
    /// The name of its runner scale set.
    pub scale_set: String,
    /// Whether a listener is at work; one serves all pools.
    pub has_listener: bool,
    /// What the listener has written down; `None` before the first request has got so far.
    pub listener: Option<ListenerStatus>,
}

/// How far the listener of a pool is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListenerStatus {
    /// `Active`, `Paused` while a request retires every runner, or `Deleted`.
    pub mode: ScalingMode,
    /// `MinRunners`.
    pub min_runners: u32,
    /// `MaxRunners`.
    pub max_runners: u32,
    /// How many runners there should be.
    pub target: u32,
    /// Jobs that GitHub has assigned to the set, those that run included.
    pub assigned_jobs: u32,
    /// Jobs that run.
    pub running_jobs: u32,
    /// Runners that are online without a job.
    pub idle_runners: u32,
    /// Whether it has a session at GitHub.
    pub has_session: bool,
    /// The number of the last message that was acted upon; 0 before the first one of a session.
    pub last_message: u64,
}

/// A runner, its task, or both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunnerStatus {
    /// What it does.
    pub state: RunnerState,
    /// Its name; `None` for a task without a runner.
    pub name: Option<String>,
    /// The version of the runner software, where GitHub reports it.
    pub version: Option<String>,
    /// The id of its task; `None` for a registration without one.
    pub task: Option<String>,
    /// The revision of the task definition that the task was started from.
    pub revision: Option<u32>,
    /// `Starting`, `Running` or `Stopping`.
    pub task_phase: Option<&'static str>,
    /// When its container came up.
    pub started_at: Option<String>,
    /// For how long it has been up.
    pub age_secs: Option<u64>,
    /// The EC2 instance that it is on.
    pub instance: Option<String>,
}

/// What a runner does, as GitHub says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunnerState {
    /// It has a job.
    Busy,
    /// It is connected and has no job.
    Idle,
    /// It is registered and not connected.
    Offline,
    /// A task for which GitHub lists no runner.
    Unregistered,
    /// GitHub could not be asked, or its list does not show which runner is the task's.
    Unknown,
}

impl RunnerState {
    const fn of(runner: &Runner) -> Self {
        match (runner.is_busy, runner.is_online) {
            (true, _) => Self::Busy,
            (false, true) => Self::Idle,
            (false, false) => Self::Offline,
        }
    }
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceStatus {
    /// `i-…`.
    pub id: String,
    /// Its type, once it is in the cluster.
    pub instance_type: Option<String>,
    /// Auto Scaling's word for where it stands.
    pub lifecycle_state: Option<String>,
    /// The version of the launch template that it was started from.
    pub launch_template_version: Option<u64>,
    /// Whether ECS hears of its agent; `None` if it is not in the cluster.
    pub is_connected: Option<bool>,
    /// Whether it takes tasks.
    pub is_active: Option<bool>,
    /// Tasks on it that are meant to run.
    pub tasks: Option<u32>,
}

/// A request of CloudFormation that is at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestStatus {
    /// `Create`, `Update` or `Delete`.
    pub request_type: &'static str,
    /// CloudFormation's id of it.
    pub request_id: String,
    /// When CloudFormation sent it.
    pub since: String,
    /// How long ago.
    pub age_secs: u64,
    /// Invocations of the function before the one that is at work.
    pub continuations: u32,
}

/// The response to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResponseStatus {
    /// `Create`, `Update` or `Delete`.
    pub request_type: &'static str,
    /// CloudFormation's id of the request.
    pub request_id: String,
    /// `SUCCESS` or `FAILED`.
    pub status: String,
    /// Why, or a warning.
    pub reason: Option<String>,
    /// Whether CloudFormation accepted it.
    pub is_delivered: bool,
}

impl PoolStatus {
    /// The pool with this id, as it was observed; `errors` are the reads that failed.
    #[must_use]
    pub fn of(id: &PhysicalId, observed: &Observed, errors: Vec<String>, now: Timestamp) -> Self {
        let (newest, metadata) = (observed.task_definition.as_ref(), observed.metadata.as_ref());
        let tag = |name: &str| newest.and_then(|revision| revision.tags.get(name)).cloned();
        let service = observed.service.as_ref().filter(|service| service.state == ServiceState::Active);
        let lock = observed.lock.as_ref().map(|observed| &observed.lock).filter(|lock| !lock.request_id.is_empty());
        Self {
            pool: id.as_str().to_owned(),
            stack_id: tag(TAG_STACK_ID),
            logical_id: tag(TAG_LOGICAL_ID),
            cluster: metadata.map(|metadata| cluster_name(&metadata.cluster).to_owned()),
            revision: deployed_revision(service, newest),
            image: newest.and_then(|revision| revision.image.clone()),
            desired_count: service.map(|service| service.config.desired_count),
            job_scaling: metadata.and_then(|metadata| job_scaling(metadata, observed)),
            runners: runners(observed, metadata, now),
            instances: instances(observed),
            request: lock.filter(|lock| lock.response().is_none()).map(|lock| request(lock, now)),
            last_response: lock.and_then(response),
            errors,
        }
    }
}

fn job_scaling(metadata: &PoolMetadata, observed: &Observed) -> Option<JobScalingStatus> {
    let listener = |ScalingRecord { goal, progress, .. }: &ScalingRecord| ListenerStatus {
        mode: goal.mode,
        min_runners: goal.min_runners,
        max_runners: goal.max_runners,
        target: goal.target(&progress.statistics),
        assigned_jobs: progress.statistics.assigned,
        running_jobs: progress.statistics.running,
        idle_runners: progress.statistics.idle_runners,
        has_session: progress.session.is_some(),
        last_message: progress.last_message_id,
    };
    Some(JobScalingStatus {
        scale_set: metadata.scale_set.as_ref()?.name.clone(),
        has_listener: observed.is_listening,
        listener: observed.scaling.as_ref().map(|found| listener(&found.record)),
    })
}

fn deployed_revision(service: Option<&Service>, newest: Option<&TaskDefinition>) -> Option<u32> {
    let arn = service.map(|service| &service.config.task_definition).or(newest.map(|revision| &revision.arn))?;
    revision_number(arn)
}

/// The number at the end of `arn:…:task-definition/FAMILY:REVISION`.
fn revision_number(arn: &str) -> Option<u32> {
    arn.rsplit(':').next()?.parse().ok()
}

/// Sorts busy runners first.
fn runners(observed: &Observed, metadata: Option<&PoolMetadata>, now: Timestamp) -> Vec<RunnerStatus> {
    let listed = match &observed.github {
        GitHubRunners::Listed(runners) => metadata.map(|metadata| (&metadata.matcher, runners)),
        GitHubRunners::NotQueried | GitHubRunners::NoCredential | GitHubRunners::Failed(_) => None,
    };
    let mut paired = BTreeSet::new();
    let mut rows = Vec::new();
    for task in observed.tasks.iter().filter(|task| task.is_live()) {
        let found = listed.map_or(RunnerLookup::Ambiguous, |(matcher, runners)| {
            runner_for_task(matcher, runners, &observed.tasks, task)
        });
        let (state, runner) = match found {
            RunnerLookup::Found(runner) => (RunnerState::of(runner), Some(runner)),
            RunnerLookup::NotListed => (RunnerState::Unregistered, None),
            RunnerLookup::Ambiguous => (RunnerState::Unknown, None),
        };
        paired.extend(runner.map(|runner| runner.id));
        rows.push(with_task(row(state, runner), observed, task, now));
    }
    if let Some((matcher, runners)) = listed {
        let alone = runners.iter().filter(|runner| matcher.owns(runner) && !paired.contains(&runner.id));
        rows.extend(alone.map(|runner| row(RunnerState::of(runner), Some(runner))));
    }
    rows.sort();
    rows
}

fn row(state: RunnerState, runner: Option<&Runner>) -> RunnerStatus {
    RunnerStatus {
        state,
        name: runner.map(|runner| runner.name.clone()),
        version: runner.and_then(|runner| runner.version.clone()),
        task: None,
        revision: None,
        task_phase: None,
        started_at: None,
        age_secs: None,
        instance: None,
    }
}

fn with_task(row: RunnerStatus, observed: &Observed, task: &Task, now: Timestamp) -> RunnerStatus {
    let is_its = |instance: &&ContainerInstance| task.placement.container_instance_arn() == Some(instance.arn.as_str());
    RunnerStatus {
        task: task.arn.rsplit('/').next().map(str::to_owned),
        revision: revision_number(&task.task_definition),
        task_phase: Some(match (task.phase, task.desired_stopped) {
            (TaskPhase::Starting, false) => "Starting",
            (TaskPhase::Running, false) => "Running",
            (TaskPhase::Starting | TaskPhase::Running, true) | (TaskPhase::Stopping | TaskPhase::Stopped, _) => {
                "Stopping"
            }
        }),
        started_at: task.started_at.map(|at| at.to_string()),
        age_secs: task.started_at.map(|at| now.since(at).as_secs()),
        instance: observed.instances.iter().find(is_its).and_then(|instance| instance.ec2_instance_id.clone()),
        ..row
    }
}

fn instances(observed: &Observed) -> Vec<InstanceStatus> {
    let in_cluster =
        |id: &str| observed.instances.iter().find(|instance| instance.ec2_instance_id.as_deref() == Some(id));
    let warm = observed.group.iter().filter_map(|group| group.warm_pool.as_ref()).flat_map(|pool| &pool.instances);
    let of_group =
        observed.group.iter().flat_map(|group| &group.instances).chain(warm).map(|instance| InstanceStatus {
            lifecycle_state: Some(instance.lifecycle_state.clone()),
            launch_template_version: instance.template_version,
            ..instance_status(&instance.id, in_cluster(&instance.id))
        });
    if observed.group.is_some() {
        return of_group.collect();
    }
    let tasks = || observed.tasks.iter().filter(|task| task.is_live());
    let used = observed
        .instances
        .iter()
        .filter(|instance| tasks().any(|task| task.placement.container_instance_arn() == Some(instance.arn.as_str())));
    used.filter_map(|instance| Some(instance_status(instance.ec2_instance_id.as_deref()?, Some(instance)))).collect()
}

fn instance_status(id: &str, in_cluster: Option<&ContainerInstance>) -> InstanceStatus {
    InstanceStatus {
        id: id.to_owned(),
        instance_type: in_cluster.and_then(|instance| instance.instance_type.clone()),
        lifecycle_state: None,
        launch_template_version: None,
        is_connected: in_cluster.map(|instance| instance.is_connected),
        is_active: in_cluster.map(|instance| instance.is_active),
        tasks: in_cluster.map(|instance| instance.n_tasks),
    }
}

const fn request_type(lock: &OperationLock) -> &'static str {
    match (lock.purpose, lock.is_of_create) {
        (LockPurpose::Delete, _) => "Delete",
        (LockPurpose::Converge, true) => "Create",
        (LockPurpose::Converge, false) => "Update",
    }
}

fn request(lock: &OperationLock, now: Timestamp) -> RequestStatus {
    RequestStatus {
        request_type: request_type(lock),
        request_id: lock.request_id.clone(),
        since: lock.signed_at.to_string(),
        age_secs: now.since(lock.signed_at).as_secs(),
        continuations: lock.continuation_count,
    }
}

fn response(lock: &OperationLock) -> Option<ResponseStatus> {
    let body: Value = serde_json::from_str(lock.response()?).ok()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(ResponseStatus {
        request_type: request_type(lock),
        request_id: lock.request_id.clone(),
        status: text("Status")?,
        reason: text("Reason"),
        is_delivered: !lock.is_undelivered(),
    })
}
