//! Retires runners without ending their jobs.
//!
//! GitHub gives no job to a deleted runner, and refuses to delete one that has a job. ECS never chooses a task that is
//! protected from scale-in. So every task is protected before the service is lowered or deploys anew
//! ([`crate::pool::policy::task_protection`]), and a runner is deleted before its task is stopped.
//!
//! GitHub has also reported working runners as idle, for a minute or for a whole job, and deleted them when asked
//! (<https://github.com/actions/runner/issues/4422>,
//! <https://github.com/github-aws-runners/terraform-aws-github-runner/issues/5085>). So the runner's own log, if the
//! function can read it, has a veto as well ([`crate::pool::model::runner_log`]). Only `DrainTimeout` overrules a veto.
//!
//! | task | decision |
//! |---|---|
//! | its runner has a job, says GitHub's list or the log | wait for the job, then begin the window anew |
//! | idle in each reading of the window `IdleConfirmation`, and in its log, read after the last list | delete the runner |
//! | GitHub refuses the deletion: a job came after the list | begin the window anew |
//! | its runner was deleted, and the log read `SECOND_READING` later shows no job | stop it |
//! | the same, and that log shows a job | wait for the job, then stop it |
//! | its runner was deleted, and there is no log | expect its end within `SELF_EXIT`, then presume it busy |
//! | no runner of its own on GitHub's list for `REGISTRATION_GRACE` | stop it if it never had one; else as if deleted |
//! | its name leads to no runner for certain, or GitHub rejects the credential | wait for its end: it may have a job |
//! | still there at `DrainTimeout` | `OnDrainTimeout`: stop it, or fail and leave every job alone |
//!
//! Nothing saves a job whose runner GitHub reports as idle throughout and deletes, if there is no log, or the job began too
//! late for it: a runner that finds its registration gone at its next poll cancels its job.
//! <https://github.com/actions/runner/blob/main/src/Runner.Listener/Runner.cs>

mod drain;
mod drain_state;

pub use self::drain::{Drain, DrainLimit};

#[cfg(test)]
pub(in crate::pool) use self::drain_state::{SECOND_READING, SELF_EXIT};

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::Task;
use crate::pool::model::evidence::{OwnedTask, StopReason, StoppableTask};
use crate::pool::model::memory::Memory;
use crate::pool::model::memory::reading_gap_max;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::spec::OnDrainTimeout;
use crate::pool::model::step::{Step, Steps};
use crate::pool::model::time::DecisionTime;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::retirement::drain_state::{RunnerDrainState, drain_state};

/// The progress of a retirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainProgress {
    /// Every runner that was to leave has left.
    Done,
    /// The next steps, or what to wait for.
    Pending(Decision),
    /// `DrainTimeout` has passed and the template wants jobs left alone.
    TimedOut {
        /// Runners that did not leave, by name; a task whose runner is unknown, by its ARN.
        remaining: Vec<String>,
    },
}

/// Which tasks are to leave, and how many of them: the caller's quota. An idle runner that is no longer wanted stays
/// while its successor is not online, since a failed Update must leave the old pool whole.
#[derive(Clone, Copy, Debug)]
pub struct DrainSet<'observed> {
    /// Live tasks of which some or all are to leave.
    pub tasks: &'observed [&'observed Task],
    /// How many of them, idle ones first.
    pub count: usize,
}

/// Decides the next step for the tasks that are to leave.
pub fn retire(
    drain: Drain<'_>,
    memory: &mut Memory,
    observed: &Observed,
    leavers: DrainSet<'_>,
    at: DecisionTime,
) -> DrainProgress {
    if leavers.count == 0 || leavers.tasks.is_empty() {
        return DrainProgress::Done;
    }
    let began = *memory.drain_started_at.get_or_insert(at.now);
    let states: Vec<(&Task, RunnerDrainState)> =
        leavers.tasks.iter().map(|task| (*task, drain_state(drain, memory, observed, task, at))).collect();
    if is_outdated(observed, at) {
        return DrainProgress::Pending(at.requeue_now(waiting_for(&states), ObserveScope::Runners));
    }
    let n_draining = states.iter().filter(|(_, state)| state.is_draining()).count();
    let room = leavers.count.saturating_sub(n_draining);
    let steps = next_steps(drain, &states, room);
    if !steps.is_empty() {
        return DrainProgress::Pending(Decision::Act(steps));
    }

    // A log is read once it is all that is missing, and for no more runners than may be retired.
    let after = states.iter().filter(|(_, state)| matches!(state, RunnerDrainState::SecondLogDue));
    let before = states.iter().filter(|(_, state)| matches!(state, RunnerDrainState::LogDue)).take(room);
    memory.logs.asked = after.chain(before).map(|(task, _)| task.arn.clone()).collect();
    if !memory.logs.asked.is_empty() {
        return DrainProgress::Pending(at.requeue_now(waiting_for(&states), ObserveScope::RunnerLogs));
    }

    // The response may be due earlier. Then the request fails, and every job continues.
    let deadline = match drain.limit {
        DrainLimit::DrainTimeout => Some(began + drain.wait_policy.drain_timeout),
        DrainLimit::None => None,
    };
    if deadline.is_some_and(|deadline| at.now >= deadline) {
        let remaining = timed_out(&states, leavers.count, at.now);
        if !remaining.is_empty() {
            return match drain.wait_policy.on_drain_timeout {
                OnDrainTimeout::Fail => DrainProgress::TimedOut {
                    remaining: remaining.iter().map(|(task, state)| state.name(task)).collect(),
                },
                OnDrainTimeout::Cancel => {
                    let steps =
                        remaining.iter().flat_map(|(task, _)| stop(drain, task, StopReason::DrainTimedOut)).collect();
                    DrainProgress::Pending(Decision::Act(steps))
                }
            };
        }
    }
    DrainProgress::Pending(waiting(&states, deadline, at))
}

/// Whether GitHub's list is too old to deregister a runner, as after a wait for something else. GitHub marks a runner as
/// busy up to a minute late, so the last reading of the window must be a fresh one.
fn is_outdated(observed: &Observed, at: DecisionTime) -> bool {
    matches!(observed.github, GitHubRunners::Listed(_))
        && observed.github_read.is_some_and(|reading| at.now.since(reading.ended_at) > reading_gap_max(at.poll))
}

/// The steps that are possible now, for at most `room` runners in addition to those that are already deregistered.
fn next_steps(drain: Drain<'_>, states: &[(&Task, RunnerDrainState)], mut room: usize) -> Steps {
    let mut steps = Steps::new();
    for (task, state) in states {
        match state {
            RunnerDrainState::Stoppable(why @ StopReason::Deregistered(_)) => steps.extend(stop(drain, task, *why)),
            RunnerDrainState::Stoppable(why) if room > 0 => {
                room = room.saturating_sub(1);
                steps.extend(stop(drain, task, *why));
            }
            RunnerDrainState::Idle(runner) if room > 0 => {
                room = room.saturating_sub(1);
                steps.push(Step::DeregisterRunner(runner.clone()));
            }
            RunnerDrainState::Stoppable(_)
            | RunnerDrainState::Idle(_)
            | RunnerDrainState::Stopping
            | RunnerDrainState::Starting
            | RunnerDrainState::LogDue
            | RunnerDrainState::SecondLogDue
            | RunnerDrainState::AwaitingConfirmation(_)
            | RunnerDrainState::Unregistered(_)
            | RunnerDrainState::Busy(_)
            | RunnerDrainState::BusyByLog(..)
            | RunnerDrainState::FinishingJob(_)
            | RunnerDrainState::PresumedBusy(_)
            | RunnerDrainState::Unknown => {}
        }
    }
    steps
}

/// Those whose time is over: of the ones without a runner those that may be working, and as many more as are to leave.
/// What looks idle keeps the time that it takes to be sure, or a patience below the window would never be enough. Its
/// window is over by a reading of GitHub's list, which is older than `now`.
fn timed_out<'all, 'observed>(
    states: &'all [(&'observed Task, RunnerDrainState)],
    count: usize,
    now: Timestamp,
) -> Vec<&'all (&'observed Task, RunnerDrainState)> {
    let n_draining = states.iter().filter(|(_, state)| state.is_draining()).count();
    let resolves = |state: &RunnerDrainState| {
        matches!(state, RunnerDrainState::AwaitingConfirmation(_))
            || state.resolves_at().is_some_and(|moment| moment > now)
    };
    let may_work = |state: &RunnerDrainState| {
        matches!(state, RunnerDrainState::FinishingJob(_) | RunnerDrainState::PresumedBusy(_))
    };
    let gone = states.iter().filter(|(_, state)| may_work(state)).take(count);
    let there = states.iter().filter(|(_, state)| !state.is_draining() && !resolves(state));
    gone.chain(there.take(count.saturating_sub(n_draining))).collect()
}

/// Lifts the protection of a task and stops it. A standalone task has none. One that never had a runner must not get one
/// between this decision and its end, so its registration is withdrawn first.
fn stop(drain: Drain<'_>, task: &Task, why: StopReason) -> Vec<Step> {
    let Some(owned) = OwnedTask::of(drain.id, task) else { return Vec::new() };
    let is_registered_by_function = drain.metadata.registration.is_some();
    let withdraw = (why == StopReason::NeverRegistered && is_registered_by_function)
        .then(|| Step::WithdrawRegistration(owned.clone()));
    let unprotect = (!task.is_standalone()).then(|| Step::UnprotectTasks(vec![owned.clone()]));
    withdraw.into_iter().chain(unprotect).chain([Step::StopTask(StoppableTask::new(owned, why))]).collect()
}

fn waiting_for(states: &[(&Task, RunnerDrainState)]) -> WaitReason {
    let count = |is: fn(&RunnerDrainState) -> bool| states.iter().filter(|(_, state)| is(state)).count();
    let mut why = WaitReason::RunnersDraining {
        busy: Vec::new(),
        busy_by_log: Vec::new(),
        unconfirmed: count(|state| {
            matches!(
                state,
                RunnerDrainState::AwaitingConfirmation(_) | RunnerDrainState::Idle(_) | RunnerDrainState::LogDue
            )
        }),
        unknown: count(|state| {
            matches!(
                state,
                RunnerDrainState::Unknown | RunnerDrainState::Unregistered(_) | RunnerDrainState::Stoppable(_)
            )
        }),
        presumed_busy: Vec::new(),
        ending: count(|state| {
            matches!(state, RunnerDrainState::Stopping | RunnerDrainState::SecondLogDue | RunnerDrainState::Starting)
        }),
    };
    if let WaitReason::RunnersDraining { busy, busy_by_log, presumed_busy, .. } = &mut why {
        for (task, state) in states {
            match state {
                RunnerDrainState::Busy(name) => busy.push(name.clone()),
                RunnerDrainState::BusyByLog(name, job) => busy_by_log.push((name.clone(), job.clone())),
                RunnerDrainState::FinishingJob(job) => busy_by_log.push((task.arn.clone(), job.clone())),
                RunnerDrainState::PresumedBusy(why) => presumed_busy.push(*why),
                RunnerDrainState::Stopping
                | RunnerDrainState::Starting
                | RunnerDrainState::Idle(_)
                | RunnerDrainState::LogDue
                | RunnerDrainState::SecondLogDue
                | RunnerDrainState::AwaitingConfirmation(_)
                | RunnerDrainState::Unregistered(_)
                | RunnerDrainState::Stoppable(_)
                | RunnerDrainState::Unknown => {}
            }
        }
    }
    why
}

fn waiting(states: &[(&Task, RunnerDrainState)], deadline: Option<Timestamp>, at: DecisionTime) -> Decision {
    // The moment at which the first of them is settled comes before the next poll, often enough.
    let settled_at = states.iter().filter_map(|(_, state)| state.resolves_at());
    let until = settled_at.chain(deadline).chain([at.next_poll()]).filter(|moment| *moment > at.now).min();
    Decision::Wait {
        why: waiting_for(states),
        until: until.unwrap_or_else(|| at.next_poll()),
        scope: ObserveScope::Runners,
    }
}
