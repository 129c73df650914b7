//! Tasks that end before their job. What does so ends again when it is started again, so that starts become rare until a
//! job begins on one.

use std::collections::BTreeSet;
use std::time::Duration;

use super::look::Look;
use super::runner_jobs::RunnerJobs;
use crate::pool::model::ecs::Task;
use crate::pool::model::evidence::STOPPED_BY_POOL;
use crate::pool::model::memory::Memory;
use crate::pool::model::scaling::StartRecord;
use crate::pool::model::time::{DecisionTime, Timestamp};

/// Looks with failed tasks before starts become rare: a container may end once by accident, and Spot takes several.
const FAILED_LOOKS_MAX: u32 = 2;
/// The longest pause between two starts of tasks that fail.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// How starts have gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StartFailures {
    pub(super) record: StartRecord,
    /// Tasks, by ARN, whose end has been counted; `None` before the first look.
    counted: Option<BTreeSet<String>>,
}

impl StartFailures {
    pub(super) fn of(record: StartRecord) -> Self {
        Self { record, counted: None }
    }

    /// Tasks go well again.
    pub(super) const fn end(&mut self) {
        self.record.n_failed_looks = 0;
    }

    /// Takes in the tasks that have ended. A runner that the pool has deregistered ends as well, with an exit code of its
    /// own; and the end of one that had its job is no failure to start it, such as that of a lost Spot Instance. ECS shows
    /// ended tasks for an hour: those of the first look are in the record of the listener before.
    pub(super) fn record_ends(&mut self, look: Look<'_>, owned: &[&Task], jobs: &RunnerJobs, memory: &Memory) {
        if self.record.revision != look.goal.task_definition {
            self.record.revision.clone_from(&look.goal.task_definition);
            self.record.n_failed_looks = 0;
        }
        let ended = || owned.iter().filter(|task| !task.is_live());
        let is_counted = |task: &Task| self.counted.as_ref().is_none_or(|counted| counted.contains(&task.arn));
        let is_new = |task: &&&Task| task.task_definition == self.record.revision && !is_counted(task);
        let was_wanted = |task: &Task| {
            let is_stopped = task.ending.as_ref().is_none_or(|ending| ending.reason.starts_with(STOPPED_BY_POOL));
            is_stopped || task.short_ids().any(|id| memory.deregistered_at.contains_key(id))
        };
        let has_run = |task: &Task| {
            jobs.has_begun(task) || task.ending.as_ref().is_some_and(|ending| ending.exit_code == Some(0))
        };
        let new: Vec<&Task> = ended().filter(is_new).filter(|task| !was_wanted(task)).copied().collect();
        if new.iter().any(|task| has_run(task)) {
            self.record.n_failed_looks = 0;
        } else if !new.is_empty() {
            self.record.n_failed_looks = self.record.n_failed_looks.saturating_add(1);
            self.record.last_failed_at = Some(look.at.now);
        }
        self.counted = Some(ended().map(|task| task.arn.clone()).collect());
    }

    /// Until when nothing is started.
    pub(super) fn paused_until(&self, at: DecisionTime) -> Option<Timestamp> {
        let doublings = self.record.n_failed_looks.checked_sub(FAILED_LOOKS_MAX)?.min(6);
        Some(self.record.last_failed_at? + at.poll.saturating_mul(1 << doublings).min(PAUSE_MAX))
    }

    /// How many of `missing` tasks may be started: one shows whether they go well again.
    pub(super) fn limit(&self, missing: u32) -> u32 {
        if self.record.n_failed_looks >= FAILED_LOOKS_MAX { missing.min(1) } else { missing }
    }
}
