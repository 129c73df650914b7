//! What is reported of a pool while no request is under way.
//!
//! GitHub gives a runner that does not update itself no more jobs 30 days after a newer version came out
//! (<https://docs.github.com/en/actions/reference/runners/self-hosted-runners>). Nothing that AWS or GitHub lists says
//! how old an image is, but no image is younger than the container that was started from it: a pool whose oldest runner
//! has been running for 30 days has an image of 30 days at least. An image that was old when it was pulled does not
//! show this way; the version that GitHub lists shows it (`warnings`).

use std::time::Duration;

use crate::pool::model::ecs::{Task, TaskPhase};
use crate::pool::model::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

/// The inventory of one pool or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Pools.
    pub n_pools: u64,
    /// Tasks whose container runs.
    pub n_running: u64,
    /// The whole days for which the oldest of them has been running; 0 without any.
    pub oldest_days: u64,
}

impl Inventory {
    /// The inventory of one pool, from its tasks.
    #[must_use]
    pub fn of(tasks: &[Task], now: Timestamp) -> Self {
        let running = || tasks.iter().filter(|task| task.phase == TaskPhase::Running);
        let oldest = running().filter_map(|task| task.started_at).min();
        Self {
            n_pools: 1,
            n_running: u64::try_from(running().count()).unwrap_or(u64::MAX),
            oldest_days: oldest.map_or(0, |since| now.since(since).as_secs() / DAY.as_secs()),
        }
    }

    /// The sum of two inventories.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            n_pools: self.n_pools.saturating_add(other.n_pools),
            n_running: self.n_running.saturating_add(other.n_running),
            oldest_days: self.oldest_days.max(other.oldest_days),
        }
    }
}
