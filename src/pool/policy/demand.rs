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
//!   the set; the next observation starts one.
//! - **A job is cancelled while its runner starts.** The runner comes up idle, and leaves as a surplus.
//! - **Statistics say zero beside an assigned job.** The events of the message keep the count above zero.
//! - **A session is opened with fewer jobs than were known.** They count once a message or another reading confirms them.
//! - **A task without an instance while the jobs go away.** It is stopped before anything else: nothing runs in it.
//! - **Such a task gets an instance before `StopTask` arrives**, which may be late or repeated. Its claim is withdrawn
//!   before: either it gets no registration any more, and so no job, or it has asked already and is not stopped.
//! - **A job takes a runner that was started for another one.** Which runner has which job does not matter.
//! - **Tasks end before their job**, as with an image that cannot be pulled. After two looks with such tasks one is started
//!   at a time, with longer and longer pauses, until a job begins on one. The next listener goes on with the pauses.
//! - **A task never starts on its instance**, which is gone or has lost its agent. After `OnlineTimeout` another one is
//!   started for its job, as far as `MaxRunners` leaves room; it is not stopped, and counts again once it runs.
//! - **A runner never connects.** Once it is late by `OnlineTimeout` and offline in GitHub's list, it leaves as any idle
//!   one, and the next look starts another in its place.
//! - **A container outlasts its runner**, such as one whose registration GitHub has taken for a job that never began
//!   (<https://github.com/actions/runner/issues/4617>). Once GitHub has not listed its runner for long enough, another one
//!   is started for the next job, and the container leaves by its log; so does one that goes on after its job.

mod departures;
mod late_runners;
mod look;
mod memory;
mod messages;
mod placed_starts;
mod runner_jobs;
mod start_failures;
mod tasks;

use std::time::Duration;

use self::departures::{Departures, is_calm, next_departure};
use self::tasks::PoolTasks;
use crate::pool::model::decision::{Decision, ObserveScope};
use crate::pool::model::memory::Memory;
use crate::pool::model::scaling::ScalingMode;
use crate::pool::model::step::Steps;
use crate::pool::model::time::Timestamp;

pub use self::look::Look;
pub use self::memory::DemandMemory;
pub use self::messages::{
    available_jobs, begin_session, confirm_statistics, is_confirmation_due, postpone_confirmation, record_statistics,
};
pub use self::tasks::RunnerCounts;

/// Between two observations of a pool that is as it should be, and at runners whose jobs are waited for.
const CALM_INTERVAL: Duration = Duration::from_secs(30);

/// Tasks that one decision starts: `RunTask` takes ten at a time, and GitHub ends a session that has not polled for about 50
/// seconds. <https://github.com/rhobuild/runpool/blob/main/docs/adrs/2026-08-11-session-conflict.md>
const STARTS_MAX: u32 = 200;

/// What to do about a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalingDecision {
    /// Tasks to start.
    pub n_starts: u32,
    /// What else to do.
    pub steps: Steps,
    /// When to observe again, if no message comes before.
    pub look_at: Timestamp,
    /// What to observe then.
    pub scope: ObserveScope,
    /// How the pool is.
    pub counts: RunnerCounts,
}

/// Decides what to do about a pool, by one observation of its tasks and of GitHub.
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
