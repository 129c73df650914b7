//! Determines from the end of a runner's own log whether the runner has a job.
//!
//! The listener of the runner prints three lines from which its state follows, each behind a UTC time of whole seconds:
//!
//! ```text
//! 2026-09-16 15:14:46Z: Listening for Jobs
//! 2026-09-16 15:15:02Z: Running job: build (ubuntu)
//! 2026-09-16 15:21:40Z: Job build (ubuntu) completed with result: Succeeded
//! ```
//!
//! They are literals of its source, the same in every release since 2.300:
//! <https://github.com/actions/runner/blob/main/src/Runner.Listener/Runner.cs>,
//! <https://github.com/actions/runner/blob/main/src/Runner.Listener/JobDispatcher.cs>. What the steps of a job print
//! goes to GitHub and not here.
//!
//! - A start is closed by the end **of its own name**, not by the next line: before 2.336 a runner may print the start
//!   of a job before the end of the one before it.
//! - An end may be missing though its job is over (its lock could never be renewed, its worker did not start). The
//!   runner then reads as busy until its next job, or until it listens anew. A drain waits for that or `DrainTimeout`;
//!   with `OnDrainTimeout: Fail` a person has to stop the task, which the failure reason names.
//! - A line counts from its first character on. With `ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT` the same words stand behind
//!   `[RUNNER …]` or `[WORKER …]`, several times each.
//! - A job that is root in its container can print these lines itself. A forged end hurts that job alone, and only
//!   where GitHub calls its runner idle as well; a forged start costs `DrainTimeout`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pool::model::time::Timestamp;

/// Characters of a job's name that a sentence repeats.
const NAME_CHARS_MAX: usize = 200;
/// What stands before the words, as a pattern in which `0` is any digit.
const TIME_PATTERN: &str = "0000-00-00 00:00:00Z: ";

/// The log stream of one task's container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogStream {
    /// The log group's name.
    pub group: String,
    /// The stream's name.
    pub name: String,
}

/// Where the containers of a revision write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// The log group's name.
    pub group: String,
    /// The stream prefix.
    pub stream_prefix: String,
}

impl LogPlace {
    /// The stream of a task's container, as the `awslogs` driver names it: `PREFIX/CONTAINER/TASK-ID`.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html>
    #[must_use]
    pub fn stream(&self, container: &str, task_arn: &str) -> LogStream {
        let task_id = task_arn.rsplit('/').next().unwrap_or(task_arn);
        LogStream { group: self.group.clone(), name: format!("{}/{container}/{task_id}", self.stream_prefix) }
    }
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When Docker received it.
    pub at: Timestamp,
    /// The line, without its end.
    pub text: String,
}

/// The state that the end of a log shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogState {
    /// No job runs.
    Idle(IdleLog),
    /// This job runs.
    Busy(JobName),
}

/// The evidence that a runner's own log shows no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdleLog {
    since: Timestamp,
}

impl IdleLog {
    /// When the line was written that shows it.
    #[must_use]
    pub const fn since(self) -> Timestamp {
        self.since
    }
}

/// Why no log shows whether a runner has a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NoLog {
    /// The task's definition names no log group.
    NotConfigured,
    /// The group, or the task's stream in it, is not there.
    Missing,
    /// The stream is empty, or what could be read of it has no line of the listener.
    Silent,
    /// The stream has lines, and from its beginning none of the listener.
    NeverListened,
    /// The function may not read it.
    Denied,
    /// It could not be read for minutes.
    Unreadable,
}

impl NoLog {
    /// Whether the next reading may show a listener: a container that waits for its registration prints nothing.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            Self::Silent | Self::NeverListened => true,
            Self::NotConfigured | Self::Missing | Self::Denied | Self::Unreadable => false,
        }
    }
}

/// What is wrong, and what to do.
impl fmt::Display for NoLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConfigured => "its task has no LogGroup, so give the pool one",
            Self::Missing => "its log stream does not exist, so create the LogGroup",
            Self::Silent => "its log has no line of the runner's listener",
            Self::NeverListened => "its log shows no runner's listener at all",
            Self::Denied => {
                "the function may not read its log, so have RunnerLogGroups of its role's stack cover LogGroup"
            }
            Self::Unreadable => "its log could not be read",
        })
    }
}

/// A job's name, fit for a sentence: cut to 200 characters, control characters escaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobName(String);

impl JobName {
    fn of(name: &str) -> Self {
        let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
        Self(name.chars().take(NAME_CHARS_MAX).map(escape).collect())
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The message of the listener in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said<'line> {
    Listens,
    Began(&'line str),
    Ended(&'line str),
}

impl<'line> Said<'line> {
    fn parse(line: &'line str) -> Option<Self> {
        let line = line.trim_end_matches(['\r', '\n']);
        let (time, words) = line.split_at_checked(TIME_PATTERN.len())?;
        let fits = |(c, pattern): (u8, u8)| if pattern == b'0' { c.is_ascii_digit() } else { c == pattern };
        if !time.bytes().zip(TIME_PATTERN.bytes()).all(fits) {
            return None;
        }
        if words == "Listening for Jobs" {
            return Some(Self::Listens);
        }
        if let Some(name) = words.strip_prefix("Running job: ") {
            return Some(Self::Began(name));
        }
        let (name, result) = words.strip_prefix("Job ")?.rsplit_once(" completed with result: ")?;
        let is_word = !result.is_empty() && result.bytes().all(|c| c.is_ascii_alphanumeric());
        is_word.then_some(Self::Ended(name))
    }
}

/// Reads the end of a log, oldest line first; `None` if these lines do not show the state, and earlier ones may.
#[must_use]
pub fn read(lines: &[LogLine]) -> Option<LogState> {
    let mut state: Option<LogState> = None;
    let mut running: Option<&str> = None;
    // The job that another one has followed before its end was printed. That end may still come, and must not be taken
    // for the end of the new job, which may well have the same name.
    let mut overtaken: Option<&str> = None;
    for line in lines {
        match Said::parse(&line.text) {
            Some(Said::Listens) => {
                running = None;
                overtaken = None;
                state = Some(LogState::Idle(IdleLog { since: line.at }));
            }
            Some(Said::Began(name)) => {
                overtaken = running.replace(name).or(overtaken);
                state = Some(LogState::Busy(JobName::of(name)));
            }
            Some(Said::Ended(name)) => {
                if overtaken == Some(name) {
                    overtaken = None;
                } else if running == Some(name) {
                    running = None;
                    state = Some(LogState::Idle(IdleLog { since: line.at }));
                }
            }
            None => {}
        }
    }
    state
}

#[cfg(test)]
mod tests;
