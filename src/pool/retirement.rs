//! How a runner leaves without its job dying.
//!
//! Two witnesses say whether a runner has a job: GitHub, and the runner's own log, where the pool has a `LogGroup` that
//! the function may read. GitHub has called runners idle that worked, for a minute or for the whole of a job, and has
//! deleted them when asked (<https://github.com/actions/runner/issues/4422>,
//! <https://github.com/github-aws-runners/terraform-aws-github-runner/issues/5085>). So either of the two vetoes a
//! deletion, and no time overrules a veto but the template's own `DrainTimeout`.
//!
//! GitHub decides who may go: it refuses to delete a runner that has a job, and gives none to one that it has deleted.
//! ECS decides who is stopped: it passes by a task that is protected from scale-in. So every task is protected before the
//! service is lowered or deploys anew, and each runner is deleted at GitHub before its task is stopped.
//!
//! # The races, and the outcome chosen for each
//!
//! Between GitHub and us:
//! - **A job is assigned between our reading and our deletion.** GitHub refuses the deletion with 422; the runner is
//!   watched again from the start ([`super::continuation::Applied::FoundBusy`]).
//! - **`busy` says false for a minute after a job began**, because GitHub sets it when the job is acquired and lags on
//!   long-lived runners. One idle reading is never enough: no reading in the whole confirmation window may have said busy,
//!   and readings far apart are no watch. A list that was read before a wait for something else is read again.
//! - **`busy` says false for the whole of a job, and GitHub would delete the runner.** The end of its log is read right
//!   before each deletion, in the same look and after GitHub's list. A job that began and has not ended there is a busy
//!   runner, watched again from the start. Without a log the deletion goes through; see below for what follows.
//! - **A job begins in the last seconds before the deletion**, in which GitHub lets the runner go. The log is some ten
//!   seconds late (Docker hands lines on every five), so it is read once more [`SECOND_READING`] after the deletion. A
//!   container that shows a job then is kept until the job's end.
//! - **The busy runner's next poll finds its registration gone.** By the runner's source it cancels its job then. So what
//!   is read after the deletion saves a job only where GitHub's poll does not notice. **What nothing saves** is a job of a
//!   pool without a log whose runner GitHub calls idle throughout, lets us delete, and then tells to stop; and one that
//!   began too late for its log, or whose start Docker could not hand on, where all three go wrong.
//! - **A task registers its runner while the drain begins.** A running task without a runner on GitHub's list gets
//!   [`REGISTRATION_GRACE`] to register before anything else is thought of it.
//! - **The deleted runner's container does not end.** An idle listener ends at its next poll. With a log that shows no job,
//!   it is stopped at [`SECOND_READING`]. Without one it is given [`SELF_EXIT`], and if it is still there then it may be
//!   working: it is presumed busy until `DrainTimeout`, and what is waited for says that a `LogGroup` would tell.
//! - **The memory of a deletion is lost with a killed invocation.** Its task then looks like one that never registered.
//!   That one is stopped only if its log has lines and none of a listener, or without a log if it was never protected,
//!   which every task is before its runner is deleted. Otherwise it is presumed busy.
//! - **A runner's name leads to no task**, or GitHub does not let us in, or no longer does. It is presumed busy: its task
//!   is waited for until it ends by itself or `DrainTimeout` passes. A log that shows no job does not change that, since
//!   it cannot keep the next job away.
//! - **A runner stays listed as busy after its task died.** On Update it stays until GitHub lets it go; a Delete waits for
//!   ten minutes, then names it in its Reason ([`super::deletion`]).
//!
//! Between the log and us ([`super::runner_log`], [`super::log_memory`]):
//! - **It is late.** Nothing rests on how fresh it is: it can only veto. Up to [`SECOND_READING`] late, the reading after
//!   the deletion sees the job.
//! - **It is empty, missing, or has no line of the listener**, as for an image with another entry point, or where the
//!   retention is shorter than the job. It is tried again for a minute, since it may be late; then the runner is one
//!   without a log.
//! - **It is denied.** Likewise: a new permission takes a moment, and a Delete must not hang on one that never comes. What
//!   is waited for says which permission.
//! - **The service throttles or is down.** Tried again for five minutes, then likewise.
//! - **It shows a job that is over**, since the end was never printed or handed on, or a job printed a start itself. The
//!   runner is waited for until its next job's end, or `DrainTimeout`; with `OnDrainTimeout: Fail` a person has to stop the
//!   task, which the reason names.
//! - **A job printed its own end.** It reads as idle, and is lost if GitHub calls it idle as well: its own doing.
//!
//! Between ECS and us:
//! - **A task starts after the protection and before the service is lowered**, or replaces one that was protected. It is
//!   not protected, so ECS may stop it; a task of a few seconds has no job, since a runner takes longer to register.
//!   Tasks that *run* are all protected in the look that the lowering rests on.
//! - **Protection answers 200 with failures in it.** Each is remembered with its reason, asked for again, and nothing is
//!   lowered or deployed before every running task shows its protection, or the drain's time is over.
//! - **`DEPLOYMENT_BLOCKED`: more tasks are protected than the service wants**, as after an Update that failed half way.
//!   The service is made to want all that live, with no room to start or stop one; then they can be protected. Protection
//!   is asked for 48 hours at once and not renewed in a drain, where it would be refused.
//! - **Protection runs out.** What has less than two hours left is asked for anew before anything rests on it; no request
//!   lasts longer than one.
//! - **A request fails half way.** Its protection is lifted where ECS has nothing to stop, and stays where it has: the
//!   rollback or the next try finds it, and needs it.
//! - **An instance is lost, or a Spot one reclaimed, under a busy task.** Nothing protects from that, and the job is lost.
//!   The task shows as stopped, the service starts another, and the registration is a ghost.
//! - **The cluster of a named provider goes away.** A cluster that is gone has no tasks; a Delete goes on to GitHub's
//!   list, an Update fails and says so.
//!
//! Between two requests:
//! - **A runner that is no longer wanted is idle, but the new ones are not online.** It stays: a failed Update must leave
//!   the old pool whole. The caller's quota says how many may go.
//! - **A Delete arrives while a Create or an Update is at work.** The newer one goes on ([`super::succession`]).
//! - **A rollback brings the old definition back while its tasks still run.** They count as current, those of an earlier
//!   deployment leave first, and nobody is started for whom somebody still runs ([`super::convergence`]).
//! - **The answer is due before `DrainTimeout` has passed.** The request fails; nothing is stopped before its time.

mod standing;

use std::time::Duration;

use self::standing::{Standing, standing};
use super::continuation::{Continuation, reading_gap_max};
use super::decision::{Decision, Look, Moment, Waiting};
use super::evidence::{OwnedTask, Spent, SpentTask};
use super::observed::{GitHubView, Observed, Task};
use super::plan::{Plan, Step};
use super::record::PoolRecord;
use super::spec::OnDrainTimeout;
use super::time::Timestamp;

/// From a deletion to the second reading of the log. A job that was dispatched before the deletion is acknowledged within
/// five seconds and acquired in one more; Docker hands its line on within another five, and the rest is slack.
pub const SECOND_READING: Duration = Duration::from_secs(20);
/// How long the container of a deleted runner may take to end by itself, where no log tells whether it works. An idle
/// listener's poll takes a minute at the longest, then come the image's exit and ECS's report.
pub const SELF_EXIT: Duration = Duration::from_secs(90);
/// From a job's end in the log to the stop of its container: the listener has yet to report the end to GitHub.
const COMPLETION_GRACE: Duration = Duration::from_secs(10);
/// How long a running task may be without a runner on GitHub's list. The image downloads nothing at its start and
/// registers within seconds; three minutes are many times that, and still short for a person who waits.
pub const REGISTRATION_GRACE: Duration = Duration::from_secs(180);

/// How a retirement goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everybody who was to leave has left.
    Gone,
    /// These steps come next, or this is waited for.
    Next(Decision),
    /// `DrainTimeout` has passed and the template wants jobs left alone.
    Overdue {
        /// Runners that did not leave, by name; a task whose runner nobody can tell, by its ARN.
        left: Vec<String>,
    },
}

/// Who is to leave, and how many of them.
#[derive(Clone, Copy, Debug)]
pub struct Leavers<'seen> {
    /// Live tasks of which some or all are to leave.
    pub tasks: &'seen [&'seen Task],
    /// How many of them, idle ones first.
    pub quota: usize,
}

/// Decides the next step for those who are to leave.
pub fn retire(
    held: &mut Continuation,
    record: &PoolRecord,
    seen: &Observed,
    leavers: Leavers<'_>,
    at: Moment,
) -> Progress {
    if leavers.quota == 0 || leavers.tasks.is_empty() {
        return Progress::Gone;
    }
    let began = *held.memory.drain_began.get_or_insert(at.now);
    let standings: Vec<(&Task, Standing)> =
        leavers.tasks.iter().map(|task| (*task, standing(held, record, seen, task, at))).collect();
    if is_outdated(seen, at) {
        return Progress::Next(at.look_again(waiting_for(&standings), Look::Runners));
    }
    let n_left = standings.iter().filter(|(_, state)| state.has_left()).count();
    let room = leavers.quota.saturating_sub(n_left);
    let plan = next_steps(held, &standings, room);
    if !plan.is_empty() {
        return Progress::Next(Decision::Act(plan));
    }

    // A log is read when all that is missing is its word, and for no more runners than may go.
    let after = standings.iter().filter(|(_, state)| matches!(state, Standing::UnreadAfter));
    let before = standings.iter().filter(|(_, state)| matches!(state, Standing::Unread)).take(room);
    held.memory.logs.asked = after.chain(before).map(|(task, _)| task.arn.clone()).collect();
    if !held.memory.logs.asked.is_empty() {
        return Progress::Next(at.look_again(waiting_for(&standings), Look::RunnerLogs));
    }

    // The answer may be due before that. Then the request fails and every job goes on.
    let deadline = began + held.manners().drain_timeout;
    if at.now >= deadline {
        let left = overdue(&standings, leavers.quota, at.now);
        if !left.is_empty() {
            return match held.manners().on_drain_timeout {
                OnDrainTimeout::Fail => {
                    Progress::Overdue { left: left.iter().map(|(task, state)| state.name(task)).collect() }
                }
                OnDrainTimeout::Cancel => {
                    let plan = left.iter().flat_map(|(task, _)| stop(held, task, Spent::DrainTimedOut)).collect();
                    Progress::Next(Decision::Act(plan))
                }
            };
        }
    }
    Progress::Next(waiting(&standings, deadline, at))
}

/// Whether GitHub's list was read too long ago to let a runner go by it, as after a wait for something else.
fn is_outdated(seen: &Observed, at: Moment) -> bool {
    matches!(seen.github, GitHubView::Runners(_))
        && seen.github_read.is_some_and(|reading| at.now.since(reading.ended_at) > reading_gap_max(at.poll))
}

/// What can be done for them now, `room` of them at the most beside those whose runners are gone.
fn next_steps(held: &Continuation, standings: &[(&Task, Standing)], mut room: usize) -> Plan {
    let mut plan = Plan::new();
    for (task, state) in standings {
        match state {
            Standing::Spent(why @ Spent::Deregistered(_)) => plan.extend(stop(held, task, *why)),
            Standing::Spent(why) if room > 0 => {
                room = room.saturating_sub(1);
                plan.extend(stop(held, task, *why));
            }
            Standing::Idle(runner) if room > 0 => {
                room = room.saturating_sub(1);
                plan.push(Step::DeregisterRunner(runner.clone()));
            }
            Standing::Spent(_)
            | Standing::Idle(_)
            | Standing::Ending
            | Standing::Starting
            | Standing::Unread
            | Standing::UnreadAfter
            | Standing::Unconfirmed(_)
            | Standing::Silent(_)
            | Standing::Busy(_)
            | Standing::BusyByLog(..)
            | Standing::Finishing(_)
            | Standing::Lingering(_)
            | Standing::Unclear => {}
        }
    }
    plan
}

/// Those whose time is over: of the ones without a runner those that may be working, and as many more as are to leave.
/// What looks idle keeps the time that it takes to be sure, or a patience below the window would never be enough.
fn overdue<'all, 'seen>(
    standings: &'all [(&'seen Task, Standing)],
    quota: usize,
    now: Timestamp,
) -> Vec<&'all (&'seen Task, Standing)> {
    let n_left = standings.iter().filter(|(_, state)| state.has_left()).count();
    let settles = |state: &Standing| state.settles_at().is_some_and(|moment| moment > now);
    let may_work = |state: &Standing| matches!(state, Standing::Finishing(_) | Standing::Lingering(_));
    let gone = standings.iter().filter(|(_, state)| may_work(state)).take(quota);
    let there = standings.iter().filter(|(_, state)| !state.has_left() && !settles(state));
    gone.chain(there.take(quota.saturating_sub(n_left))).collect()
}

/// Lifts the protection of a task and stops it.
fn stop(held: &Continuation, task: &Task, why: Spent) -> Vec<Step> {
    let Some(owned) = OwnedTask::of(&held.id, task) else { return Vec::new() };
    vec![Step::UnprotectTasks(vec![owned.clone()]), Step::StopTask(SpentTask::new(owned, why))]
}

fn waiting_for(standings: &[(&Task, Standing)]) -> Waiting {
    let count = |is: fn(&Standing) -> bool| standings.iter().filter(|(_, state)| is(state)).count();
    let mut why = Waiting::RunnersLeaving {
        busy: Vec::new(),
        busy_by_log: Vec::new(),
        unconfirmed: count(|state| matches!(state, Standing::Unconfirmed(_) | Standing::Idle(_) | Standing::Unread)),
        unclear: count(|state| matches!(state, Standing::Unclear | Standing::Silent(_) | Standing::Spent(_))),
        lingering: Vec::new(),
        ending: count(|state| matches!(state, Standing::Ending | Standing::UnreadAfter | Standing::Starting)),
    };
    if let Waiting::RunnersLeaving { busy, busy_by_log, lingering, .. } = &mut why {
        for (task, state) in standings {
            match state {
                Standing::Busy(name) => busy.push(name.clone()),
                Standing::BusyByLog(name, job) => busy_by_log.push((name.clone(), job.clone())),
                Standing::Finishing(job) => busy_by_log.push((task.arn.clone(), job.clone())),
                Standing::Lingering(why) => lingering.push(*why),
                Standing::Ending
                | Standing::Starting
                | Standing::Idle(_)
                | Standing::Unread
                | Standing::UnreadAfter
                | Standing::Unconfirmed(_)
                | Standing::Silent(_)
                | Standing::Spent(_)
                | Standing::Unclear => {}
            }
        }
    }
    why
}

fn waiting(standings: &[(&Task, Standing)], deadline: Timestamp, at: Moment) -> Decision {
    // The moment at which the first of them is settled comes before the next poll, often enough.
    let settled_at = standings.iter().filter_map(|(_, state)| state.settles_at());
    let until = settled_at.chain([at.next_look(), deadline]).filter(|moment| *moment > at.now).min();
    Decision::Wait { why: waiting_for(standings), until: until.unwrap_or_else(|| at.next_look()), look: Look::Runners }
}
