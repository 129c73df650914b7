//! What the listener remembers of a pool.

use super::look::Look;
use super::placed_starts::PlacedStarts;
use super::runner_jobs::RunnerJobs;
use super::start_failures::StartFailures;
use crate::pool::model::ecs::Task;
use crate::pool::model::evidence::OwnedTask;
use crate::pool::model::memory::Memory;
use crate::pool::model::scale_set::ScaleSetMessage;
use crate::pool::model::scaling::StartRecord;
use crate::pool::model::time::Timestamp;

/// What the listener remembers of a pool between two observations. Losing it costs time, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemandMemory {
    /// Since when there have been more runners than jobs.
    pub(super) surplus_since: Option<Timestamp>,
    pub(super) runner_jobs: RunnerJobs,
    pub(super) start_failures: StartFailures,
    pub(super) placed_starts: PlacedStarts,
    /// When GitHub's list was last asked for runners that never connected.
    pub(super) late_checked_at: Option<Timestamp>,
}

impl DemandMemory {
    /// The memory of a listener that goes on with what is written down of starts.
    #[must_use]
    pub fn of(starts: StartRecord) -> Self {
        Self { start_failures: StartFailures::of(starts), ..Self::default() }
    }

    /// How starts have gone, for the next listener.
    #[must_use]
    pub const fn starts(&self) -> &StartRecord {
        &self.start_failures.record
    }

    /// Takes in what a message says of runners.
    pub fn record_message(&mut self, message: &ScaleSetMessage) {
        if self.runner_jobs.record_message(message) {
            self.start_failures.end();
        }
    }

    /// Takes in which tasks there are, and which have ended.
    pub(super) fn record_look(&mut self, look: Look<'_>, memory: &Memory) {
        let owned: Vec<&Task> =
            look.observed.tasks.iter().filter(|task| OwnedTask::of(look.id, task).is_some()).collect();
        self.start_failures.record_ends(look, &owned, &self.runner_jobs, memory);
        self.runner_jobs.record_tasks(&owned, look.at.now);
        self.placed_starts.record_tasks(&owned, look.at.now);
    }
}
