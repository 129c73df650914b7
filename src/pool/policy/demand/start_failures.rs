//! Tasks that end before their job. What does so ends again when it is started again, so that starts become rare until a
//! job begins on one.

use std::collections::BTreeSet;
use std::time::Duration;

use super::look::Look;
use super::runner_jobs::RunnerJobs;
use crate::pool::model::ecs::Task;
use crate::pool::model::evidence::STOPPED_BY_POOL;
use crate::pool::model::memory::Memory;
use crate::pool::model::time::{DecisionTime, Timestamp};

/// Looks with failed tasks before starts become rare: a container may end once by accident, and Spot takes several.
const FAILED_LOOKS_MAX: u32 = 2;
/// The longest pause between two starts of tasks that fail.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// How starts have gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StartFailures {
    /// Looks in a row in which tasks had ended without having run a job, and none that had run one.
    n_looks: u32,
    /// When the last of them was.
    last_at: Option<Timestamp>,
    /// The revision that they were of: another one may go well.
    revision: String,
    /// Tasks, by ARN, whose end has been counted.
    counted: BTreeSet<String>,
}

impl StartFailures {
    /// Tasks go well again.
    pub(super) const fn end(&mut self) {
        self.n_looks = 0;
    }

    /// Takes in the tasks that have ended. A runner that the pool has deregistered ends as well, with an exit code of its
    /// own; and the end of one that had its job is no failure to start it, such as that of a lost Spot Instance.
    pub(super) fn record_ends(&mut self, look: Look<'_>, owned: &[&Task], jobs: &RunnerJobs, memory: &Memory) {
        if self.revision != look.goal.task_definition {
            self.revision.clone_from(&look.goal.task_definition);
            self.n_looks = 0;
        }
        let ended = || owned.iter().filter(|task| !task.is_live());
        let is_new = |task: &&&Task| task.task_definition == self.revision && !self.counted.contains(&task.arn);
        let was_wanted = |task: &Task| {
            let is_stopped = task.ending.as_ref().is_none_or(|ending| ending.reason.starts_with(STOPPED_BY_POOL));
            is_stopped || task.short_ids().any(|id| memory.deregistered_at.contains_key(id))
        };
        let has_run = |task: &Task| {
            jobs.has_begun(task) || task.ending.as_ref().is_some_and(|ending| ending.exit_code == Some(0))
        };
        let new: Vec<&Task> = ended().filter(is_new).filter(|task| !was_wanted(task)).copied().collect();
        if new.iter().any(|task| has_run(task)) {
            self.n_looks = 0;
        } else if !new.is_empty() {
            self.n_looks = self.n_looks.saturating_add(1);
            self.last_at = Some(look.at.now);
        }
        self.counted = ended().map(|task| task.arn.clone()).collect();
    }

    /// Until when nothing is started.
    pub(super) fn paused_until(&self, at: DecisionTime) -> Option<Timestamp> {
        let doublings = self.n_looks.checked_sub(FAILED_LOOKS_MAX)?.min(6);
        Some(self.last_at? + at.poll.saturating_mul(1 << doublings).min(PAUSE_MAX))
    }

    /// How many of `missing` tasks may be started: one shows whether they go well again.
    pub(super) fn limit(&self, missing: u32) -> u32 {
        if self.n_looks >= FAILED_LOOKS_MAX { missing.min(1) } else { missing }
    }
}
