//! Retires runners without ending their jobs.
//!
//! Two sources show whether a runner has a job: GitHub, and the runner's own log, if the pool has a `LogGroup` that the
//! function may read. GitHub has reported working runners as idle, for a minute or for a whole job, and has deleted
//! them when asked (<https://github.com/actions/runner/issues/4422>,
//! <https://github.com/github-aws-runners/terraform-aws-github-runner/issues/5085>). So either source can veto a
//! deletion, and only the template's `DrainTimeout` overrules a veto.
//!
//! GitHub decides which runners may be removed: it refuses to delete a runner that has a job, and assigns no job to a
//! deleted one. ECS decides which tasks to stop: it never chooses a task that is protected from scale-in. So every task
//! is protected before the service is lowered or deploys anew, and each runner is deleted at GitHub before its task is
//! stopped.
//!
//! # The races, and the outcome chosen for each
//!
//! Between GitHub and the function:
//! - **A job is assigned between the reading and the deletion.** GitHub refuses the deletion with 422; the runner is
//!   watched again from the start ([`crate::pool::model::memory::StepResult::RunnerBusy`]).
//! - **`busy` says false for a minute after a job began**, because GitHub sets it when the job is acquired and lags on
//!   long-lived runners. One idle reading is never enough: no reading in the whole confirmation window may have said
//!   busy, and readings far apart are no watch. A list that was read before a wait for something else is read again.
//! - **`busy` says false for the whole of a job, and GitHub would delete the runner.** The end of its log is read right
//!   before each deletion, in the same observation and after GitHub's list. A job that began and has not ended there is
//!   a busy runner, watched again from the start. Without a log the deletion goes through; see below for what follows.
//! - **A job begins in the last seconds before the deletion**, in which GitHub lets the runner go. The log is some ten
//!   seconds late (Docker hands lines on every five), so it is read once more `SECOND_READING` after the deletion. A
//!   container that then shows a job is kept until the job ends.
//! - **The busy runner's next poll finds its registration gone.** According to the runner's source, it then cancels its
//!   job. So what is read after the deletion saves a job only where GitHub's poll does not notice. **What nothing
//!   saves** is a job of a pool without a log whose runner GitHub reports as idle throughout, lets the function delete,
//!   and then stops; and one that began too late for its log, or whose start Docker could not hand on, where all three
//!   go wrong.
//! - **A task registers its runner while the drain begins.** A running task without a runner on GitHub's list gets
//!   `REGISTRATION_GRACE` to register before anything else is thought of it. If the function registers the runners, the
//!   task's claim is withdrawn before the task is stopped ([`crate::pool::policy::registration`]).
//! - **The deleted runner's container does not end.** An idle listener ends at its next poll. With a log that shows no
//!   job, it is stopped at `SECOND_READING`. Without one it is given `SELF_EXIT`, and if it is still there then it
//!   may be working: it is presumed busy until `DrainTimeout`, and the wait reason advises a `LogGroup`.
//! - **The memory of a deletion is lost with a killed invocation.** Its task then looks like one that never registered.
//!   That one is stopped only if its log has lines and none of a listener, or without a log if it was never protected,
//!   which every task is before its runner is deleted. Otherwise it is presumed busy.
//! - **A runner's name leads to no task**, or GitHub rejects the credential. It is presumed busy: its task is waited
//!   for until it ends by itself or `DrainTimeout` passes. A log that shows no job does not change that, since it
//!   cannot keep the next job away.
//! - **A runner stays listed as busy after its task died.** On Update it stays until GitHub lets it go; a Delete waits
//!   for ten minutes, then names it in its Reason ([`crate::pool::policy::deletion`]).
//!
//! Between the log and the function ([`crate::pool::model::runner_log`], [`crate::pool::model::log_memory`]):
//! - **It is late.** Nothing rests on how fresh it is: it can only veto. Up to `SECOND_READING` late, the reading
//!   after the deletion sees the job.
//! - **It is empty, missing, or has no line of the listener**, as for an image with another entry point, or where the
//!   retention is shorter than the job. It is tried again for a minute, since it may be late; then the runner is one
//!   without a log.
//! - **It is denied.** The same: a new permission takes a moment to apply, and a Delete must not wait for one that is
//!   never granted. The wait reason names the permission.
//! - **The service throttles or is down.** Tried again for five minutes, then likewise.
//! - **It shows a job that is over**, since the end was never printed or handed on, or a job printed a start itself.
//!   The runner is waited for until its next job's end, or `DrainTimeout`; with `OnDrainTimeout: Fail`, or
//!   where an Update in a full group fails before that, a person has to stop the task, which the reason names.
//! - **A job printed its own end.** The runner looks idle, and its job is lost if GitHub reports it as idle as well.
//!   The job has caused that itself.
//!
//! Between ECS and the function:
//! - **A task starts after the protection and before the service is lowered**, or replaces one that was protected. It
//!   is not protected, so ECS may stop it; a task of a few seconds has no job, since a runner takes longer to register.
//!   Tasks that *run* are all protected in the observation that the lowering rests on.
//! - **Protection answers 200 with failures in it.** Each is remembered with its reason, asked for again, and nothing
//!   is lowered or deployed before every running task shows its protection, or the drain's time is over.
//! - **`DEPLOYMENT_BLOCKED`: more tasks are protected than the service wants**, as after an Update that failed half
//!   way. The service is made to want all that live, with no room to start or stop one; then they can be protected.
//!   Protection is asked for 48 hours at once and not renewed in a drain, where it would be refused.
//! - **Protection runs out.** What has less than two hours left is asked for anew before anything rests on it; no
//!   request lasts longer than one.
//! - **A request fails half way.** Its protection is lifted where ECS has nothing to stop, and stays where it has: the
//!   rollback or the next try finds it, and needs it.
//! - **An instance is lost, or a Spot one reclaimed, under a busy task.** Nothing protects from that, and the job is
//!   lost. The task shows as stopped, the service starts another, and its registration is left as an orphaned runner.
//! - **The cluster of a named provider goes away.** A cluster that is gone has no tasks; a Delete goes on to GitHub's
//!   list, an Update fails and says so.
//!
//! Between two requests:
//! - **A runner that is no longer wanted is idle, but the new ones are not online.** It stays: a failed Update must
//!   leave the old pool whole. The caller's quota says how many may go.
//! - **A Delete arrives while a Create or an Update is at work.** The newer one goes on ([`crate::pool::policy::locking`]).
//! - **A rollback brings the old definition back while its tasks still run.** They count as current, those of an
//!   earlier deployment leave first, and none is started while an old one still runs in its place
//!   ([`crate::pool::policy::convergence`]).
//! - **The response is due before `DrainTimeout` has passed.** The request fails; nothing is stopped before its time.

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

/// Which tasks are to leave, and how many of them.
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

/// Whether GitHub's list is too old to deregister a runner, as after a wait for something else.
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
