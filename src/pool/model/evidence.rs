//! Evidence that a step requires before it may change a runner, a task or a pool.
//!
//! Their fields are private and their constructors are the checks, so a step that ends a task cannot be written for one
//! that is not the pool's, or for a runner that was never observed idle; nor can a pool be deleted without a
//! request of CloudFormation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::model::ecs::{ContainerInstance, Task};
use crate::pool::model::identity::{PhysicalId, StackResource};
use crate::pool::model::operation_lock::OperationLock;
use crate::pool::model::request::RequestInfo;
use crate::pool::model::runner::Runner;
use crate::pool::model::runner_log::{IdleLog, NoLog};
use crate::pool::model::runner_matching::RunnerMatcher;
use crate::pool::model::scale_set::ScaleSet;
use crate::pool::model::scaling::ObservedScaling;
use crate::pool::model::time::Timestamp;

/// A task of this pool's own service, or a standalone one that the function started for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnedTask {
    arn: String,
}

impl OwnedTask {
    /// The evidence, if the task was started by the service of this name, or by the function in the pool's name.
    #[must_use]
    pub fn of(id: &PhysicalId, task: &Task) -> Option<Self> {
        let is_of_service = task.group.strip_prefix("service:") == Some(id.as_str());
        let is_standalone =
            task.group.strip_prefix("family:") == Some(id.as_str()) && task.started_by.as_deref() == Some(id.as_str());
        (is_of_service || is_standalone).then(|| Self { arn: task.arn.clone() })
    }

    /// The task's ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }
}

/// What the runner's own log shows when the runner is deleted. A log that shows a job is no evidence, so it has no
/// variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogWitness {
    /// Read in the observation that the deletion rests on, it shows no job.
    Agrees(IdleLog),
    /// No log could be read, for this reason.
    Absent(NoLog),
}

/// A runner of this pool that no reading called busy for the whole confirmation window, and whose log agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleRunner {
    id: u64,
    name: String,
    log: LogWitness,
}

impl IdleRunner {
    /// The evidence, if the runner is the pool's, this reading calls it idle, and so did every reading since
    /// `idle_since`, a whole `window` ago; and its log does not say otherwise.
    #[must_use]
    pub fn confirmed(
        matcher: &RunnerMatcher,
        runner: &Runner,
        idle_since: Option<Timestamp>,
        window: Duration,
        log: LogWitness,
        now: Timestamp,
    ) -> Option<Self> {
        let watched = idle_since.is_some_and(|since| now.since(since) >= window);
        let is_idle = matcher.owns(runner) && !runner.is_busy && watched;
        is_idle.then(|| Self { id: runner.id, name: runner.name.clone(), log })
    }

    /// What its log says.
    #[must_use]
    pub const fn log(&self) -> &LogWitness {
        &self.log
    }

    /// GitHub's id of it.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A registration of this pool that has no task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanedRunner {
    id: u64,
    name: String,
}

impl OrphanedRunner {
    /// The evidence, if the runner is the pool's, this reading reports it as idle, and none of the live `tasks` can be
    /// its task: the runner's name ends with the id of another task, and each of `tasks` has reported its container's
    /// id, which is another as well.
    #[must_use]
    pub fn of<'tasks>(
        matcher: &RunnerMatcher,
        runner: &Runner,
        tasks: impl IntoIterator<Item = &'tasks Task>,
    ) -> Option<Self> {
        let name = matcher.short_id(&runner.name);
        let may_be_behind = |task: &Task| match (task.short_container_id(), name) {
            (Some(_), Some(name)) => task.has_short_id(name),
            // A container whose id is unknown may be the one of this runner; so may any, if the runner's name has no
            // id.
            (None, _) | (_, None) => true,
        };
        let is_alone = !tasks.into_iter().any(|task| task.is_live() && may_be_behind(task));
        (matcher.owns(runner) && !runner.is_busy && is_alone).then(|| Self { id: runner.id, name: runner.name.clone() })
    }

    /// GitHub's id of it.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A task that may be stopped, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppableTask {
    task: OwnedTask,
    why: StopReason,
}

/// The prefix of `stoppedReason` in tasks that the pool stopped.
pub const STOPPED_BY_POOL: &str = "github-runner-pool: ";

/// Why a task may be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopReason {
    /// Its runner is deregistered, and its log has shown no job since.
    Deregistered(IdleLog),
    /// It has not registered a runner, and its time to do so has passed.
    NeverRegistered,
    /// `DrainTimeout` has passed and the template says `OnDrainTimeout: Cancel`.
    DrainTimedOut,
    /// It waited for an instance, and the jobs that it was started for have ended.
    NotPlaced,
}

impl StopReason {
    /// The stable name under which logs have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deregistered(_) => "Deregistered",
            Self::NeverRegistered => "NeverRegistered",
            Self::DrainTimedOut => "DrainTimedOut",
            Self::NotPlaced => "NotPlaced",
        }
    }
}

impl StoppableTask {
    /// The evidence.
    #[must_use]
    pub(in crate::pool) fn new(task: OwnedTask, why: StopReason) -> Self {
        Self { task, why }
    }

    /// The evidence of a standalone task that has no instance yet, and so no container in which a runner could be.
    #[must_use]
    pub fn unplaced(id: &PhysicalId, task: &Task) -> Option<Self> {
        let is_stoppable = task.is_unplaced() && !task.desired_stopped && task.is_standalone();
        let owned = OwnedTask::of(id, task).filter(|_| is_stoppable)?;
        Some(Self::new(owned, StopReason::NotPlaced))
    }

    /// The task's ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        self.task.arn()
    }

    /// Why.
    #[must_use]
    pub const fn why(&self) -> StopReason {
        self.why
    }
}

/// A container instance on which no task runs or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptyInstance {
    arn: String,
}

impl EmptyInstance {
    /// The evidence, if the instance counts no task and none of `tasks` that is not yet STOPPED is on it: ECS's count
    /// leaves out tasks that are still inside their stop timeout.
    #[must_use]
    pub fn of(instance: &ContainerInstance, tasks: &[Task]) -> Option<Self> {
        let holds =
            |task: &Task| task.is_live() && task.placement.container_instance_arn() == Some(instance.arn.as_str());
        (instance.n_tasks == 0 && !tasks.iter().any(holds)).then(|| Self { arn: instance.arn.clone() })
    }

    /// The instance's ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }
}

/// A runner scale set that was created for the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedScaleSet {
    id: u64,
    name: String,
}

impl OwnedScaleSet {
    /// The evidence, if the set carries the pool's label or its name, or is the one that the pool's listener works for.
    #[must_use]
    pub fn of(id: &PhysicalId, scale_set: &ScaleSet, scaling: Option<&ObservedScaling>) -> Option<Self> {
        let is_recorded = scaling.is_some_and(|found| found.record.goal.scale_set == scale_set.id);
        (is_recorded || scale_set.is_of(id)).then(|| Self { id: scale_set.id, name: scale_set.name.clone() })
    }

    /// GitHub's id of it.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Evidence that a pool may be deleted: CloudFormation has asked for it, in one of four ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionEvidence {
    pool: PhysicalId,
    ground: Ground,
}

/// What CloudFormation has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Ground {
    /// A Delete carries the pool's physical id.
    Named,
    /// A Delete carries an id that is not a pool's, and the resource's last request is a Create without a SUCCESS: its
    /// response never arrived, so CloudFormation generated an id.
    UnansweredCreate,
    /// The whole stack is being deleted.
    StackDeletion,
    /// An Update goes back to the pool that the stack has, from properties that describe this one.
    UpdateBack,
}

impl DeletionEvidence {
    /// The evidence of a Delete that carries the pool's own physical id.
    #[must_use]
    pub fn named(stack_resource: &StackResource, physical_id: &str) -> Option<Self> {
        PhysicalId::parse_for(stack_resource, physical_id).map(|pool| Self { pool, ground: Ground::Named })
    }

    /// The evidence of a Delete whose id is no pool's: the pool of a Create that had no response, if the operation lock
    /// says that there is one. Not in a stack whose operation has succeeded: there the Create had its SUCCESS, though
    /// that could not be written down, and the id is of an earlier Create of the same pool.
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>
    #[must_use]
    pub fn unanswered_create(lock: &OperationLock, stack_status: Option<&str>) -> Option<Self> {
        if matches!(stack_status, Some("CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")) {
            return None;
        }
        let pool = PhysicalId::try_from(lock.pool_without_success()?.to_owned()).ok()?;
        Some(Self { pool, ground: Ground::UnansweredCreate })
    }

    /// The evidence that an earlier invocation of the same Delete had, as the operation lock has it.
    #[must_use]
    pub fn again(lock: &OperationLock, request: &RequestInfo) -> Option<Self> {
        let (pool, covers_resource) = lock.deleted().filter(|_| lock.is_of(request))?;
        let pool = PhysicalId::try_from(pool.to_owned()).ok()?;
        Some(Self { pool, ground: if covers_resource { Ground::StackDeletion } else { Ground::UnansweredCreate } })
    }

    /// The evidence of an Update whose physical id is that of the pool it asks for, and whose `OldResourceProperties`
    /// describe the pool `previous`. The physical id of an Update is the one that the stack has, so once the Update has
    /// succeeded nothing in CloudFormation refers to the other pool. A pool that had the last SUCCESS is left all the
    /// same, and so is any about which the operation lock says nothing: jobs may run there.
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes-update.html>
    #[must_use]
    pub fn update_back(previous: &PhysicalId, lock: Option<&OperationLock>) -> Option<Self> {
        let is_unused = lock.is_some_and(|lock| !lock.is_live(previous));
        is_unused.then(|| Self { pool: previous.clone(), ground: Ground::UpdateBack })
    }

    /// The pool.
    #[must_use]
    pub const fn pool(&self) -> &PhysicalId {
        &self.pool
    }

    /// Whether the pool is that of a Create whose response never arrived.
    #[must_use]
    pub const fn is_unanswered_create(&self) -> bool {
        matches!(self.ground, Ground::UnansweredCreate)
    }

    /// Whether every pool of the resource is deleted, because its stack is.
    #[must_use]
    pub const fn covers_resource(&self) -> bool {
        matches!(self.ground, Ground::StackDeletion)
    }
}

/// Evidence that CloudFormation is deleting a whole stack with every resource in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackDeletion(());

impl StackDeletion {
    /// The evidence, if the stack's status says so: it is being deleted, or its creation is being undone.
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>
    #[must_use]
    pub fn of(stack_status: &str) -> Option<Self> {
        matches!(stack_status, "DELETE_IN_PROGRESS" | "ROLLBACK_IN_PROGRESS").then_some(Self(()))
    }

    /// The evidence for one pool of a resource of that stack.
    #[must_use]
    pub const fn of_pool(self, pool: PhysicalId) -> DeletionEvidence {
        DeletionEvidence { pool, ground: Ground::StackDeletion }
    }
}
