//! For how long jobs have waited although `MaxRunners` leaves room for their runners: what an alarm goes by.
//!
//! GitHub's statistics do not say since when a job waits. In a pool in which jobs begin all the time some job always
//! waits, so a start of any job begins the wait anew: what is left is the time in which nothing moved. Jobs beyond
//! `MaxRunners` wait for others to end, and do not count.

use std::time::Duration;

use crate::pool::model::scale_set::{JobEvent, JobStatistics, ScaleSetMessage};
use crate::pool::model::time::Timestamp;

/// Since when jobs have waited, and none has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartDelay {
    since: Option<Timestamp>,
}

impl StartDelay {
    /// Takes in the starts of a message.
    pub fn record_message(&mut self, message: &ScaleSetMessage) {
        if message.events.iter().any(|event| matches!(event, JobEvent::Started { .. })) {
            self.since = None;
        }
    }

    /// Takes in the statistics. Returns how long the wait has lasted; zero if no job waits.
    pub fn observe(&mut self, max_runners: u32, statistics: &JobStatistics, now: Timestamp) -> Duration {
        if statistics.assigned.min(max_runners) <= statistics.running {
            self.since = None;
            return Duration::ZERO;
        }
        now.since(*self.since.get_or_insert(now))
    }
}
