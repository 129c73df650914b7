//! Facts that a step must be able to show before it may touch a runner or a task.
//!
//! Their fields are private and their constructors are the checks, so a step that ends a task cannot be written for
//! one that is not the pool's, or for a runner that was never seen idle.

use super::identity::{PhysicalId, RunnerMark};
use super::observed::{ContainerInstance, Runner, Task, TaskPhase};

/// A task of this pool's own service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnedTask {
    arn: String,
}

impl OwnedTask {
    /// The evidence, if the task was started by the service of this name.
    #[must_use]
    pub fn of(id: &PhysicalId, task: &Task) -> Option<Self> {
        (task.group.strip_prefix("service:") == Some(id.as_str())).then(|| Self { arn: task.arn.clone() })
    }

    /// The task's ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }
}

/// A runner of this pool that no reading called busy for the whole confirmation window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleRunner {
    id: u64,
    name: String,
}

impl IdleRunner {
    /// The evidence. `watched_idle` is the caller's claim about the window, this the check of the last reading.
    #[must_use]
    pub(super) fn confirmed(mark: &RunnerMark, runner: &Runner) -> Option<Self> {
        (mark.owns(runner) && !runner.is_busy).then(|| Self { id: runner.id, name: runner.name.clone() })
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

/// A registration of this pool with no task behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ghost {
    id: u64,
    name: String,
}

impl Ghost {
    /// The evidence, if the runner is the pool's and offline. That no task is behind it is the caller's finding.
    #[must_use]
    pub(super) fn of(mark: &RunnerMark, runner: &Runner) -> Option<Self> {
        (mark.owns(runner) && !runner.is_online).then(|| Self { id: runner.id, name: runner.name.clone() })
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
pub struct SpentTask {
    task: OwnedTask,
    why: Spent,
}

/// Why a task may be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spent {
    /// GitHub deleted its runner, which it refuses for a busy one, and the container did not end by itself.
    Deregistered,
    /// It never registered a runner, for long enough that it never will.
    NeverRegistered,
    /// `DrainTimeout` has passed and the template says `OnDrainTimeout: Cancel`.
    DrainTimedOut,
}

impl SpentTask {
    /// The evidence.
    #[must_use]
    pub(super) fn new(task: OwnedTask, why: Spent) -> Self {
        Self { task, why }
    }

    /// The task's ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        self.task.arn()
    }

    /// Why.
    #[must_use]
    pub const fn why(&self) -> Spent {
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
        let holds = |task: &Task| {
            task.phase != TaskPhase::Stopped && task.container_instance_arn.as_ref() == Some(&instance.arn)
        };
        (instance.n_tasks == 0 && !tasks.iter().any(holds)).then(|| Self { arn: instance.arn.clone() })
    }

    /// The instance's ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }
}
