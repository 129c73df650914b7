//! Determines how far each task is in its retirement.

use crate::pool::model::ecs::{Task, TaskPhase};
use crate::pool::model::evidence::{IdleRunner, LogWitness, StopReason};
use crate::pool::model::log_memory::Known;
use crate::pool::model::memory::Memory;
use crate::pool::model::memory::REGISTRATION_GRACE;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::runner::Runner;
use crate::pool::model::runner_log::{IdleLog, JobName, NoLog};
use crate::pool::model::runner_matching::{RunnerLookup, runner_for_task};
use crate::pool::model::time::DecisionTime;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::reasons::busy_by_log;
use crate::pool::policy::retirement::drain::Drain;
use std::time::Duration;

/// From a deletion to the second reading of the log, for a job that began in the last seconds before the deletion. It is
/// acknowledged within five seconds and acquired in one more; Docker hands its line on within another five, and the rest
/// is slack.
pub(in crate::pool) const SECOND_READING: Duration = Duration::from_secs(20);
/// How long the container of a deleted runner may take to end by itself, where no log shows whether it works. An idle
/// listener's poll takes a minute at the longest, then come the image's exit and ECS's report.
pub(in crate::pool) const SELF_EXIT: Duration = Duration::from_secs(90);
/// From a job's end in the log to the stop of its container: the listener has yet to report the end to GitHub.
const COMPLETION_GRACE: Duration = Duration::from_secs(10);

/// The state of one task in its retirement.
pub(super) enum RunnerDrainState {
    /// Stopping, or its runner was deregistered moments ago.
    Stopping,
    /// Its container has not started.
    Starting,
    /// Its runner may be deregistered.
    Idle(IdleRunner),
    /// Idle according to GitHub; its log must be read before the runner may be deregistered.
    LogDue,
    /// The same of a log after the deletion, before the container may be stopped.
    SecondLogDue,
    /// Idle, and not yet for certain: for less than the window, or its log is inconclusive; settled at this
    /// moment if nothing changes.
    AwaitingConfirmation(Timestamp),
    /// No runner of its own is on GitHub's list; more is known at this moment if none comes.
    Unregistered(Timestamp),
    /// Its runner has a job; the runner's name.
    Busy(String),
    /// GitHub reports its runner as idle, and its log shows this job; the runner's name.
    BusyByLog(String, JobName),
    /// GitHub does not list its runner any more, and its log shows this job.
    FinishingJob(JobName),
    /// GitHub no longer lists its runner, its container still runs, and no log shows whether it has a job. The wait reason
    /// advises a `LogGroup`.
    PresumedBusy(NoLog),
    /// May be stopped.
    Stoppable(StopReason),
    /// GitHub's list could not be read, or does not say which runner is the task's. A log that shows no job does not
    /// change that, since it cannot keep the next job away.
    Unknown,
}

impl RunnerDrainState {
    /// When it is known to be idle or spent, if nothing changes until then.
    pub(in crate::pool) const fn resolves_at(&self) -> Option<Timestamp> {
        match self {
            Self::AwaitingConfirmation(moment) | Self::Unregistered(moment) => Some(*moment),
            Self::Stopping
            | Self::Starting
            | Self::Idle(_)
            | Self::LogDue
            | Self::SecondLogDue
            | Self::Busy(_)
            | Self::BusyByLog(..)
            | Self::FinishingJob(_)
            | Self::PresumedBusy(_)
            | Self::Stoppable(_)
            | Self::Unknown => None,
        }
    }

    /// Whether its runner is gone already, so that it counts among those that leave. One that has none on GitHub's list
    /// does so until more is known: were another sent away in its place, and its deletion only forgotten, one too few
    /// would be left.
    pub(in crate::pool) const fn is_draining(&self) -> bool {
        match self {
            Self::Stopping
            | Self::SecondLogDue
            | Self::Unregistered(_)
            | Self::FinishingJob(_)
            | Self::PresumedBusy(_)
            | Self::Stoppable(StopReason::Deregistered(_)) => true,
            Self::Starting
            | Self::Idle(_)
            | Self::LogDue
            | Self::AwaitingConfirmation(_)
            | Self::Busy(_)
            | Self::BusyByLog(..)
            | Self::Stoppable(StopReason::NeverRegistered | StopReason::DrainTimedOut | StopReason::NotPlaced)
            | Self::Unknown => false,
        }
    }

    /// The name by which a person finds the task.
    pub(super) fn name(&self, task: &Task) -> String {
        match self {
            Self::Busy(name) => name.clone(),
            Self::BusyByLog(name, job) => format!("{name}, {}", busy_by_log(task, job)),
            Self::FinishingJob(job) => format!("{}, {}", task.arn, busy_by_log(task, job)),
            Self::PresumedBusy(why) => format!("{}, presumed busy: {why}", task.arn),
            Self::Idle(runner) => runner.name().to_owned(),
            Self::Stopping
            | Self::Starting
            | Self::LogDue
            | Self::SecondLogDue
            | Self::AwaitingConfirmation(_)
            | Self::Unregistered(_)
            | Self::Stoppable(_)
            | Self::Unknown => task.arn.clone(),
        }
    }
}

/// Determines the state of this task.
pub(super) fn drain_state(
    drain: Drain<'_>,
    memory: &Memory,
    observed: &Observed,
    task: &Task,
    at: DecisionTime,
) -> RunnerDrainState {
    let now = at.now;
    if task.desired_stopped || task.phase == TaskPhase::Stopping {
        return RunnerDrainState::Stopping;
    }
    if task.phase == TaskPhase::Starting {
        return RunnerDrainState::Starting;
    }
    let GitHubRunners::Listed(runners) = &observed.github else { return RunnerDrainState::Unknown };
    let matcher = &drain.metadata.matcher;
    let behind = runner_for_task(matcher, runners, &observed.tasks, task);
    let log = memory.logs.of(observed, &task.arn, at);
    if let RunnerLookup::Found(runner) = behind {
        let read_at = observed.github_read.map_or(now, |reading| reading.began_at);
        return registered_state(drain, memory, task, runner, log, read_at);
    }
    // A runner that GitHub has deregistered is gone, even if the names of others lead to no task.
    let names = task.short_ids().chain(matcher.fixed_names.iter().map(String::as_str));
    let deregistered_at = names.filter_map(|name| memory.deregistered_at.get(name)).max().copied();
    match (deregistered_at, behind) {
        (Some(since), _) => deregistered_state(since, log, now),
        (None, RunnerLookup::NotListed) => unregistered_state(memory, task, log, now),
        (None, RunnerLookup::Ambiguous | RunnerLookup::Found(_)) => RunnerDrainState::Unknown,
    }
}

/// The state of a task with a runner on GitHub's list, from the current observation.
fn registered_state(
    drain: Drain<'_>,
    memory: &Memory,
    task: &Task,
    runner: &Runner,
    log: Known,
    read_at: Timestamp,
) -> RunnerDrainState {
    if runner.is_busy {
        return RunnerDrainState::Busy(runner.name.clone());
    }
    let window = drain.wait_policy.idle_confirmation;
    let since = memory.idle_since.get(&runner.id).copied();
    let confirmed =
        |log: LogWitness| IdleRunner::confirmed(&drain.metadata.matcher, runner, since, window, log, read_at);
    let unconfirmed = || match memory.logs.busy(&task.arn) {
        Some(job) => RunnerDrainState::BusyByLog(runner.name.clone(), job.clone()),
        None => RunnerDrainState::AwaitingConfirmation(since.unwrap_or(read_at) + window),
    };
    let is_watched = since.is_some_and(|since| read_at.since(since) >= window);
    match log {
        Known::Idle(idle) => confirmed(LogWitness::Agrees(idle)).map_or_else(unconfirmed, RunnerDrainState::Idle),
        Known::Absent(why) => confirmed(LogWitness::Absent(why)).map_or_else(unconfirmed, RunnerDrainState::Idle),
        Known::Due if is_watched => RunnerDrainState::LogDue,
        Known::NotYet(again) if is_watched => RunnerDrainState::AwaitingConfirmation(again),
        Known::Due | Known::NotYet(_) | Known::Busy(_) => unconfirmed(),
    }
}

/// The state of a task whose runner this request deregistered. An idle listener ends at its next poll.
fn deregistered_state(since: Timestamp, log: Known, now: Timestamp) -> RunnerDrainState {
    let waited = now.since(since);
    match log {
        _ if waited < SECOND_READING => RunnerDrainState::Stopping,
        Known::Absent(_) if waited < SELF_EXIT => RunnerDrainState::Stopping,
        Known::Absent(why) => RunnerDrainState::PresumedBusy(why),
        Known::Due => RunnerDrainState::SecondLogDue,
        Known::NotYet(_) => RunnerDrainState::Stopping,
        Known::Busy(job) => RunnerDrainState::FinishingJob(job),
        Known::Idle(idle) if has_just_ended(idle, now) => RunnerDrainState::Stopping,
        Known::Idle(idle) => RunnerDrainState::Stoppable(StopReason::Deregistered(idle)),
    }
}

/// The state of a task without a runner on GitHub's list. Its runner may register yet. Or it was deleted, and the memory of
/// that was lost with a killed invocation: so it counts as one that never registered only if its log has lines and none
/// of a listener, or without a log if it was never protected, which every task is before its runner is deleted.
fn unregistered_state(memory: &Memory, task: &Task, log: Known, now: Timestamp) -> RunnerDrainState {
    let since = memory.unregistered_since.get(&task.arn).copied().unwrap_or(now);
    if now.since(since) < REGISTRATION_GRACE {
        return RunnerDrainState::Unregistered(since + REGISTRATION_GRACE);
    }
    match log {
        Known::Absent(NoLog::NeverListened) => RunnerDrainState::Stoppable(StopReason::NeverRegistered),
        Known::Absent(_) if memory.never_protected.contains(&task.arn) => {
            RunnerDrainState::Stoppable(StopReason::NeverRegistered)
        }
        Known::Absent(why) => RunnerDrainState::PresumedBusy(why),
        Known::Due => RunnerDrainState::SecondLogDue,
        Known::NotYet(again) => RunnerDrainState::Unregistered(again),
        Known::Busy(job) => RunnerDrainState::FinishingJob(job),
        Known::Idle(idle) if has_just_ended(idle, now) => RunnerDrainState::Unregistered(now + COMPLETION_GRACE),
        Known::Idle(idle) => RunnerDrainState::Stoppable(StopReason::Deregistered(idle)),
    }
}

/// Whether the listener may still be reporting the end of its job. A line from the future shows a wrong clock.
fn has_just_ended(idle: IdleLog, now: Timestamp) -> bool {
    idle.since() <= now && now.since(idle.since()) < COMPLETION_GRACE
}
