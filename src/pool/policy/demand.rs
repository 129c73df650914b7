//! As many runners as jobs: how many tasks a pool starts, and which of its runners leave. Pure; the listener does it.
//!
//! Guarantees:
//! - never more than `MaxRunners` tasks, those that still end included;
//! - no runner leaves but by the rules of [`crate::pool::policy::retirement`], whatever the number of jobs, and however
//!   long its job takes;
//! - nothing leaves on one reading: a surplus is waited for first, and then each runner is watched.
//!
//! Assumptions: GitHub's count of assigned jobs includes those that run. It may be late, and once in a while zero.
//!
//! Races, and what comes of each:
//! - **A job is assigned while its runner leaves.** GitHub refuses the deletion, or assigns the job to another runner of
//!   the set; the next look starts one.
//! - **A job is cancelled while its runner starts.** The runner comes up idle, and leaves as a surplus.
//! - **Statistics say zero beside an assigned job.** The events of the message keep the count above zero.
//! - **A task without an instance while the jobs go away.** It is stopped before anything else: nothing runs in it.
//! - **A job takes a runner that was started for another one.** Which runner has which job does not matter.
//! - **Tasks end before their job**, as with an image that cannot be pulled. After two looks with such tasks one is started
//!   at a time, with longer and longer pauses, until a job begins on one.
//! - **A runner never connects.** Once it is late by `OnlineTimeout` and offline in GitHub's list, it leaves as any idle
//!   one, and the next look starts another in its place.
//! - **A container outlasts its runner**, such as one whose registration GitHub has taken for a job that never began
//!   (<https://github.com/actions/runner/issues/4617>). Once GitHub has not listed its runner for long enough, another one
//!   is started for the next job, and the container leaves by its log; so does one that goes on after its job.

mod departures;
mod late_runners;
mod messages;
mod runner_jobs;
mod start_failures;

use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::{Task, TaskPhase};
use crate::pool::model::evidence::OwnedTask;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::Observed;
use crate::pool::model::scale_set::{JobStatistics, ScaleSetMessage};
use crate::pool::model::scaling::{ScalingGoal, ScalingMode};
use crate::pool::model::step::Steps;
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::demand::departures::{Departures, next_departure};
use crate::pool::policy::demand::late_runners::has_no_runner;
use crate::pool::policy::demand::runner_jobs::RunnerJobs;
use crate::pool::policy::demand::start_failures::StartFailures;

pub use self::messages::{available_jobs, statistics_after};

/// Between two looks at a pool that is as it should be, and at runners whose jobs are waited for.
const CALM_INTERVAL: Duration = Duration::from_secs(30);

/// Tasks that one look starts: `RunTask` takes ten at a time, and GitHub ends a session that has not polled for about 50
/// seconds. <https://github.com/rhobuild/runpool/blob/main/docs/adrs/2026-08-11-session-conflict.md>
const STARTS_MAX: u32 = 200;

/// What the listener remembers of a pool between two looks. Losing it costs time, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemandMemory {
    /// Since when there have been more runners than jobs.
    surplus_since: Option<Timestamp>,
    runner_jobs: RunnerJobs,
    start_failures: StartFailures,
    /// When GitHub's list was last asked for runners that never connected.
    late_checked_at: Option<Timestamp>,
}

/// One look at a pool: what is wanted of it, what GitHub says of its jobs, and what was observed.
#[derive(Clone, Copy, Debug)]
pub struct Look<'look> {
    /// The pool.
    pub id: &'look PhysicalId,
    /// What the newest request wants of it.
    pub goal: &'look ScalingGoal,
    /// What GitHub says of its jobs.
    pub statistics: &'look JobStatistics,
    /// Its tasks, and what was asked of GitHub.
    pub observed: &'look Observed,
    /// When.
    pub at: DecisionTime,
}

/// What to do about a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalingDecision {
    /// Tasks to start.
    pub n_starts: u32,
    /// What else to do.
    pub steps: Steps,
    /// When to look again, if no message comes before.
    pub look_at: Timestamp,
    /// What to look at then.
    pub scope: ObserveScope,
    /// How the pool is.
    pub counts: RunnerCounts,
}

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
struct PoolTasks<'look> {
    /// Those that have or will have a runner for the next job, or run one.
    live: Vec<&'look Task>,
    /// Those whose runners take no job any more, and whose containers go on.
    spent: Vec<&'look Task>,
    counts: RunnerCounts,
}

impl DemandMemory {
    /// Takes in what a message says of runners.
    pub fn record_message(&mut self, message: &ScaleSetMessage) {
        if self.runner_jobs.record_message(message) {
            self.start_failures.end();
        }
    }

    /// Takes in which tasks there are, and which have ended.
    fn record_look(&mut self, look: Look<'_>, memory: &Memory) {
        let owned: Vec<&Task> =
            look.observed.tasks.iter().filter(|task| OwnedTask::of(look.id, task).is_some()).collect();
        self.start_failures.record_ends(look, &owned, &self.runner_jobs, memory);
        self.runner_jobs.record_tasks(&owned, look.at.now);
    }
}

impl<'look> PoolTasks<'look> {
    fn of(look: Look<'look>, demand: &DemandMemory, memory: &Memory) -> Self {
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
            } else if !demand.runner_jobs.has_ended(task) {
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
    fn missing(&self, max_runners: u32) -> u32 {
        self.target.saturating_sub(self.live).min(max_runners.saturating_sub(self.all))
    }

    const fn surplus(&self) -> u32 {
        self.live.saturating_sub(self.target)
    }

    /// Whether the next look will show something else, with nothing done.
    const fn are_changing(&self) -> bool {
        self.surplus() > 0 || self.starting > 0 || self.live < self.target || self.all > self.live
    }
}

/// Decides what to do about a pool, by one look at its tasks and what that look had of GitHub.
#[must_use]
pub fn decide(look: Look<'_>, demand: &mut DemandMemory, memory: &mut Memory) -> ScalingDecision {
    let Look { goal, at, .. } = look;
    demand.record_look(look, memory);
    let tasks = PoolTasks::of(look, demand, memory);
    let counts = tasks.counts;
    let calm_until =
        at.now + if counts.all == 0 { CALM_INTERVAL } else { CALM_INTERVAL.min(at.poll.saturating_mul(3)) };
    let calm =
        ScalingDecision { n_starts: 0, steps: Steps::new(), look_at: calm_until, scope: ObserveScope::Tasks, counts };
    if goal.mode != ScalingMode::Active {
        demand.surplus_since = None;
        return calm;
    }
    if counts.surplus() == 0 {
        demand.surplus_since = None;
    }
    let missing = counts.missing(goal.max_runners);
    let paused_until = demand.start_failures.paused_until(at).filter(|until| missing > 0 && at.now < *until);
    let n_starts = if paused_until.is_some() { 0 } else { demand.start_failures.limit(missing).min(STARTS_MAX) };
    let departures = if missing > 0 { Departures::Spent } else { Departures::All };
    let decision = match next_departure(look, &tasks, departures, demand, memory) {
        Some(Decision::Act(steps)) => ScalingDecision { steps, look_at: at.now, scope: ObserveScope::Runners, ..calm },
        Some(Decision::Wait { why, until, scope }) => {
            let look_at = if is_calm(&why) { at.now + CALM_INTERVAL } else { until };
            ScalingDecision { look_at, scope, ..calm }
        }
        Some(Decision::Respond(_) | Decision::Stop(_)) | None if counts.are_changing() => {
            ScalingDecision { look_at: at.next_poll(), ..calm }
        }
        Some(Decision::Respond(_) | Decision::Stop(_)) | None => calm,
    };
    let starts_at = (missing > 0).then(|| paused_until.unwrap_or_else(|| at.next_poll()).min(at.next_poll()));
    ScalingDecision { n_starts, look_at: starts_at.map_or(decision.look_at, |it| it.min(decision.look_at)), ..decision }
}

/// Whether its container starts or runs, and was not stopped.
fn is_meant_to_go_on(task: &Task) -> bool {
    matches!(task.phase, TaskPhase::Starting | TaskPhase::Running) && !task.desired_stopped
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Whether only running jobs are waited for, which take as long as they take.
const fn is_calm(why: &WaitReason) -> bool {
    matches!(why, WaitReason::RunnersDraining { unconfirmed: 0, unknown: 0, ending: 0, .. })
}
