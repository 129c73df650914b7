//! Where each task stands on its way out.

use super::{COMPLETION_GRACE, REGISTRATION_GRACE, SECOND_READING, SELF_EXIT};
use crate::pool::continuation::Continuation;
use crate::pool::decision::Moment;
use crate::pool::evidence::{IdleRunner, LogWitness, Spent};
use crate::pool::log_memory::Known;
use crate::pool::observed::{GitHubView, Observed, Runner, Task, TaskPhase};
use crate::pool::pairing::{Behind, runner_behind};
use crate::pool::record::PoolRecord;
use crate::pool::runner_log::{IdleLog, JobName, NoLog};
use crate::pool::time::Timestamp;

/// Where one task stands.
pub(super) enum Standing {
    /// Ordered to stop, or its runner deleted moments ago.
    Ending,
    /// Its container has not started.
    Starting,
    /// May be deleted at GitHub.
    Idle(IdleRunner),
    /// Idle by GitHub's word, and its log has to be read before it may be deleted.
    Unread,
    /// The same of a log after the deletion, before the container may be stopped.
    UnreadAfter,
    /// Idle, and not yet for certain: for less than the window, or its log has nothing to tell yet; settled at this moment
    /// if nothing changes.
    Unconfirmed(Timestamp),
    /// No runner of its own is on GitHub's list; more is known at this moment if none comes.
    Silent(Timestamp),
    /// Has a job; the runner's name.
    Busy(String),
    /// GitHub calls it idle, and its log shows this job; the runner's name.
    BusyByLog(String, JobName),
    /// GitHub does not list its runner any more, and its log shows this job.
    Finishing(JobName),
    /// GitHub does not list its runner any more, its container goes on, and no log tells whether it works.
    Lingering(NoLog),
    /// May be stopped.
    Spent(Spent),
    /// Nothing tells.
    Unclear,
}

impl Standing {
    /// When it is known to be idle or spent, if nothing changes until then.
    pub(super) const fn settles_at(&self) -> Option<Timestamp> {
        match self {
            Self::Unconfirmed(moment) | Self::Silent(moment) => Some(*moment),
            Self::Ending
            | Self::Starting
            | Self::Idle(_)
            | Self::Unread
            | Self::UnreadAfter
            | Self::Busy(_)
            | Self::BusyByLog(..)
            | Self::Finishing(_)
            | Self::Lingering(_)
            | Self::Spent(_)
            | Self::Unclear => None,
        }
    }

    /// Whether its runner is gone already, so that it counts among those that leave. One that has none on GitHub's list
    /// does so until more is known: were another sent away in its place, and its deletion only forgotten, one too few would
    /// be left.
    pub(super) const fn has_left(&self) -> bool {
        match self {
            Self::Ending
            | Self::UnreadAfter
            | Self::Silent(_)
            | Self::Finishing(_)
            | Self::Lingering(_)
            | Self::Spent(Spent::Deregistered(_)) => true,
            Self::Starting
            | Self::Idle(_)
            | Self::Unread
            | Self::Unconfirmed(_)
            | Self::Busy(_)
            | Self::BusyByLog(..)
            | Self::Spent(Spent::NeverRegistered | Spent::DrainTimedOut)
            | Self::Unclear => false,
        }
    }

    /// By what a person finds it again.
    pub(super) fn name(&self, task: &Task) -> String {
        match self {
            Self::Busy(name) => name.clone(),
            Self::BusyByLog(name, job) => format!("{name}, {}", by_log(task, job)),
            Self::Finishing(job) => format!("{}, {}", task.arn, by_log(task, job)),
            Self::Lingering(why) => format!("{}, presumed busy: {why}", task.arn),
            Self::Idle(runner) => runner.name().to_owned(),
            Self::Ending
            | Self::Starting
            | Self::Unread
            | Self::UnreadAfter
            | Self::Unconfirmed(_)
            | Self::Silent(_)
            | Self::Spent(_)
            | Self::Unclear => task.arn.clone(),
        }
    }
}

/// An end may be missing in a log.
fn by_log(task: &Task, job: &JobName) -> String {
    let task_id = task.arn.rsplit('/').next().unwrap_or(&task.arn);
    format!("whose log shows the job {job}: if it is over, stop the ECS task {task_id}")
}

/// Where this task stands.
pub(super) fn standing(held: &Continuation, record: &PoolRecord, seen: &Observed, task: &Task, at: Moment) -> Standing {
    let now = at.now;
    if task.is_told_to_stop || task.phase == TaskPhase::Stopping {
        return Standing::Ending;
    }
    if task.phase == TaskPhase::Starting {
        return Standing::Starting;
    }
    let GitHubView::Runners(runners) = &seen.github else { return Standing::Unclear };
    let behind = runner_behind(&record.mark, runners, &seen.tasks, task);
    let log = held.memory.logs.of(seen, &task.arn, at);
    if let Behind::Runner(runner) = behind {
        let read_at = seen.github_read.map_or(now, |reading| reading.began_at);
        return occupied(held, record, task, runner, log, read_at);
    }
    // What GitHub has let go is gone, whatever other name leads nowhere.
    let names = task.short_id().into_iter().chain(record.mark.fixed_names.iter().map(String::as_str));
    let deregistered_at = names.filter_map(|name| held.memory.deregistered_at.get(name)).max().copied();
    match (deregistered_at, behind) {
        (Some(since), _) => deregistered(since, log, now),
        (None, Behind::Nobody) => unregistered(held, task, log, now),
        (None, Behind::Unclear | Behind::Runner(_)) => Standing::Unclear,
    }
}

/// Where a task with a runner on GitHub's list stands, by a reading of this moment.
fn occupied(
    held: &Continuation,
    record: &PoolRecord,
    task: &Task,
    runner: &Runner,
    log: Known,
    read_at: Timestamp,
) -> Standing {
    if runner.is_busy {
        return Standing::Busy(runner.name.clone());
    }
    let window = held.manners().idle_confirmation;
    let since = held.memory.idle_since.get(&runner.id).copied();
    let confirmed = |log: LogWitness| IdleRunner::confirmed(&record.mark, runner, since, window, log, read_at);
    let unconfirmed = || match held.memory.logs.busy(&task.arn) {
        Some(job) => Standing::BusyByLog(runner.name.clone(), job.clone()),
        None => Standing::Unconfirmed(since.unwrap_or(read_at) + window),
    };
    let is_watched = since.is_some_and(|since| read_at.since(since) >= window);
    match log {
        Known::Idle(idle) => confirmed(LogWitness::Agrees(idle)).map_or_else(unconfirmed, Standing::Idle),
        Known::Absent(why) => confirmed(LogWitness::Absent(why)).map_or_else(unconfirmed, Standing::Idle),
        Known::Due if is_watched => Standing::Unread,
        Known::NotYet(again) if is_watched => Standing::Unconfirmed(again),
        Known::Due | Known::NotYet(_) | Known::Busy(_) => unconfirmed(),
    }
}

/// Where a task stands whose runner GitHub deleted for this request.
fn deregistered(since: Timestamp, log: Known, now: Timestamp) -> Standing {
    let waited = now.since(since);
    match log {
        _ if waited < SECOND_READING => Standing::Ending,
        Known::Absent(_) if waited < SELF_EXIT => Standing::Ending,
        Known::Absent(why) => Standing::Lingering(why),
        Known::Due => Standing::UnreadAfter,
        Known::NotYet(_) => Standing::Ending,
        Known::Busy(job) => Standing::Finishing(job),
        Known::Idle(idle) if has_just_ended(idle, now) => Standing::Ending,
        Known::Idle(idle) => Standing::Spent(Spent::Deregistered(idle)),
    }
}

/// Where a task stands of whose runner nothing is known: it may never have had one, or an earlier invocation or request
/// has deleted it.
fn unregistered(held: &Continuation, task: &Task, log: Known, now: Timestamp) -> Standing {
    let since = held.memory.silent_since.get(&task.arn).copied().unwrap_or(now);
    if now.since(since) < REGISTRATION_GRACE {
        return Standing::Silent(since + REGISTRATION_GRACE);
    }
    match log {
        Known::Absent(NoLog::NeverListened) => Standing::Spent(Spent::NeverRegistered),
        Known::Absent(_) if held.memory.never_protected.contains(&task.arn) => Standing::Spent(Spent::NeverRegistered),
        Known::Absent(why) => Standing::Lingering(why),
        Known::Due => Standing::UnreadAfter,
        Known::NotYet(again) => Standing::Silent(again),
        Known::Busy(job) => Standing::Finishing(job),
        Known::Idle(idle) if has_just_ended(idle, now) => Standing::Silent(now + COMPLETION_GRACE),
        Known::Idle(idle) => Standing::Spent(Spent::Deregistered(idle)),
    }
}

/// Whether the listener may still be reporting the end of its job. A line from the future is of a clock that goes wrong.
fn has_just_ended(idle: IdleLog, now: Timestamp) -> bool {
    idle.since() <= now && now.since(idle.since()) < COMPLETION_GRACE
}
