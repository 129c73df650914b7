//! What a request remembers about its runners' logs: which to read next, which showed a running job, and which could
//! not be read.
//!
//! It never remembers that a log shows **no** job: a deletion relies on the observation that immediately precedes it,
//! and on no older one. How late a log is does not matter: it can only veto.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::model::observed::{LogReading, Observed};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::runner_log::{IdleLog, JobName, LogState, NoLog};
use crate::pool::model::time::DecisionTime;
use crate::pool::model::time::Timestamp;

/// Maximum logs that one observation reads. The limit of ten calls per second is shared with everything else in the
/// account. A deletion for each log follows, and as many deletions run concurrently.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>
pub const LOGS_READ_MAX: usize = 8;
/// For how long a log is tried again before the runner counts as one without a log. It may be missing or without a line of
/// the listener because it is late, since Docker hands lines on every five seconds; or for good, with another entry point
/// or where the retention is shorter than the job. It may be denied until IAM has spread a new permission, within
/// seconds; or for good, which a Delete must not wait for.
const LOG_RETRY_MAX: Duration = Duration::from_secs(60);
/// The same where the service is throttling or down: nothing is wrong with the log itself.
const OUTAGE_RETRY_MAX: Duration = Duration::from_secs(300);

/// What is remembered. By task, by ARN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogMemory {
    /// Whose logs the next observation reads, if it is for logs.
    #[serde(skip)]
    pub asked: BTreeSet<String>,
    /// Tasks whose logs cannot be read, and why. This request does not try them again, save for those
    /// without a listener's lines, whose container may have got its registration since.
    pub absent: BTreeMap<String, NoLog>,
    /// When each log was last read, or tried.
    tried_at: BTreeMap<String, Timestamp>,
    /// Since when each log has been inconclusive.
    unread_since: BTreeMap<String, Timestamp>,
    /// The job that the last reading showed.
    busy: BTreeMap<String, JobName>,
}

/// What is known of a runner's log at the moment of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// This observation read it, and it shows no job.
    Idle(IdleLog),
    /// It showed this job when it was last read.
    Busy(JobName),
    /// There is none that could be read.
    Absent(NoLog),
    /// It has to be read.
    Due,
    /// It was read less than a poll interval ago, and may be read again from this time on.
    NotYet(Timestamp),
}

impl LogMemory {
    /// Records an observation.
    pub fn record_observation(&mut self, observed: &Observed, now: Timestamp) {
        for (task, reading) in &observed.logs {
            self.tried_at.insert(task.clone(), now);
            let patience = match reading {
                LogReading::State(state) => {
                    self.unread_since.remove(task);
                    self.absent.remove(task);
                    match state {
                        LogState::Busy(job) => drop(self.busy.insert(task.clone(), job.clone())),
                        LogState::Idle(_) => drop(self.busy.remove(task)),
                    }
                    continue;
                }
                LogReading::NotConfigured => Duration::ZERO,
                LogReading::Failed(remote_error) if remote_error.kind.is_retryable() => OUTAGE_RETRY_MAX,
                LogReading::Failed(_) | LogReading::Missing | LogReading::Silent { .. } => LOG_RETRY_MAX,
            };
            let since = *self.unread_since.entry(task.clone()).or_insert(now);
            if now.since(since) >= patience {
                self.absent.insert(task.clone(), why_absent(reading));
            }
        }
        if observed.tasks.is_empty() {
            // Nothing was listed yet, in an invocation that goes on with what another one remembered.
            return;
        }
        let live: BTreeSet<&String> =
            observed.tasks.iter().filter(|task| task.is_live()).map(|task| &task.arn).collect();
        self.absent.retain(|task, _| live.contains(task));
        self.tried_at.retain(|task, _| live.contains(task));
        self.unread_since.retain(|task, _| live.contains(task));
        self.busy.retain(|task, _| live.contains(task));
    }

    /// What is known of this task's log.
    #[must_use]
    pub fn of(&self, observed: &Observed, task: &str, at: DecisionTime) -> Known {
        let was_read = observed.logs.contains_key(task);
        if let Some(why) = self.absent.get(task).filter(|why| was_read || !why.may_pass()) {
            return Known::Absent(*why);
        }
        if let Some(LogReading::State(LogState::Idle(idle))) = observed.logs.get(task) {
            return Known::Idle(*idle);
        }
        // A log that vetoed a deletion is not read more often than the poll interval.
        match self.tried_at.get(task).map(|tried| *tried + at.poll).filter(|again| *again > at.now) {
            None => Known::Due,
            Some(again) => self.busy(task).map_or(Known::NotYet(again), |job| Known::Busy(job.clone())),
        }
    }

    /// The job that the last reading showed.
    #[must_use]
    pub fn busy(&self, task: &str) -> Option<&JobName> {
        self.busy.get(task)
    }
}

fn why_absent(reading: &LogReading) -> NoLog {
    match reading {
        LogReading::NotConfigured => NoLog::NotConfigured,
        LogReading::Missing => NoLog::Missing,
        LogReading::Silent { is_whole: true } => NoLog::NeverListened,
        LogReading::Failed(remote_error) => match remote_error.kind {
            ErrorKind::Denied => NoLog::Denied,
            ErrorKind::NotFound => NoLog::Missing,
            ErrorKind::Throttled { .. }
            | ErrorKind::Unavailable
            | ErrorKind::Unreachable
            | ErrorKind::Conflict
            | ErrorKind::Unauthenticated
            | ErrorKind::Invalid
            | ErrorKind::Unexpected => NoLog::Unreadable,
        },
        LogReading::Silent { is_whole: false } | LogReading::State(_) => NoLog::Silent,
    }
}
