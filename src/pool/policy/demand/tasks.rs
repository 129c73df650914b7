//! The tasks of a pool, by what is to become of them.

use super::late_runners::has_no_runner;
use super::look::{Look, count};
use super::memory::DemandMemory;
use crate::pool::model::ecs::{Task, TaskPhase};
use crate::pool::model::evidence::OwnedTask;
use crate::pool::model::memory::Memory;

/// How many tasks a pool has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunnerCounts {
    /// How many there should be.
    pub target: u32,
    /// Those that have or will have a runner for the next job, or run one.
    pub live: u32,
    /// Those that wait for an instance or for their container.
    pub starting: u32,
    /// All that have not ended.
    pub all: u32,
}

/// The pool's tasks that have not ended, by what is to become of them.
pub(super) struct PoolTasks<'look> {
    /// Those that have or will have a runner for the next job, or run one.
    pub(super) live: Vec<&'look Task>,
    /// Those whose runners take no job any more, and whose containers go on.
    pub(super) spent: Vec<&'look Task>,
    pub(super) counts: RunnerCounts,
}

impl<'look> PoolTasks<'look> {
    pub(super) fn of(look: Look<'look>, demand: &DemandMemory, memory: &Memory) -> Self {
        let is_owned = |task: &&Task| task.is_live() && OwnedTask::of(look.id, task).is_some();
        let owned: Vec<&Task> = look.observed.tasks.iter().filter(is_owned).collect();
        let is_deregistered = |task: &Task| task.short_ids().any(|id| memory.deregistered_at.contains_key(id));
        let (mut live, mut spent) = (Vec::new(), Vec::new());
        for task in owned.iter().copied().filter(|task| is_meant_to_go_on(task)) {
            if is_deregistered(task)
                || demand.runner_jobs.outlasts_job(task, look.at.now)
                || has_no_runner(look, memory, task)
            {
                spent.push(task);
            } else if !demand.runner_jobs.has_ended(task) && !demand.placed_starts.is_overdue(look, task) {
                live.push(task);
            }
        }
        let counts = RunnerCounts {
            target: look.goal.target(look.statistics),
            live: count(live.len()),
            starting: count(live.iter().filter(|task| task.phase == TaskPhase::Starting).count()),
            all: count(owned.len()),
        };
        Self { live, spent, counts }
    }
}

impl RunnerCounts {
    /// How many tasks are missing, as far as `MaxRunners` leaves room for them.
    pub(super) fn missing(&self, max_runners: u32) -> u32 {
        self.target.saturating_sub(self.live).min(max_runners.saturating_sub(self.all))
    }

    pub(super) const fn surplus(&self) -> u32 {
        self.live.saturating_sub(self.target)
    }

    /// Whether the next observation will show something else, with nothing done.
    pub(super) const fn are_changing(&self) -> bool {
        self.surplus() > 0 || self.starting > 0 || self.live < self.target || self.all > self.live
    }
}

/// Whether its container starts or runs, and was not stopped.
fn is_meant_to_go_on(task: &Task) -> bool {
    matches!(task.phase, TaskPhase::Starting | TaskPhase::Running) && !task.desired_stopped
}
