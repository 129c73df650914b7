//! How a runner leaves without its job dying.
//!
//! GitHub decides who may go: it refuses to delete a runner that has a job, and a runner that it has deleted gets no
//! job any more. ECS decides who is stopped: it passes by a task that is protected from scale-in. So every task is
//! protected before the service is lowered or deploys anew, and each runner is deleted at GitHub before its task is
//! stopped.
//!
//! # The races, and the outcome chosen for each
//!
//! Between GitHub and us:
//! - **A job is assigned between our reading and our deletion.** GitHub refuses the deletion with 422; the runner is
//!   watched again from the start ([`super::continuation::Applied::FoundBusy`]).
//! - **`busy` says false for a minute after a job began**, because GitHub sets it when the job is acquired and lags on
//!   long-lived runners. One idle reading is never enough: no reading in the whole confirmation window may have said busy,
//!   and readings far apart are no watch. A list that was read before a wait for something else is read again.
//! - **A task registers its runner while the drain begins.** A running task without a runner on GitHub's list gets
//!   [`REGISTRATION_GRACE`] to register before it is held to be spent.
//! - **The deregistered runner's container does not end.** After [`EXIT_GRACE`] its protection is lifted and it is
//!   stopped; no job can have come to it.
//! - **A runner's name leads to no task**, or GitHub does not let us in, or no longer does. It is presumed busy: its task
//!   is waited for until it ends by itself or `DrainTimeout` passes.
//! - **A runner stays listed as busy after its task died.** On Update it stays until GitHub lets it go; a Delete waits for
//!   ten minutes, then names it in its Reason ([`super::deletion`]).
//!
//! Between ECS and us:
//! - **A task starts after the protection and before the service is lowered**, or replaces one that was protected. It is
//!   not protected, so ECS may stop it; a task of a few seconds has no job, since a runner takes longer to register.
//!   Tasks that *run* are all protected in the look that the lowering rests on.
//! - **Protection answers 200 with failures in it.** Each is remembered with its reason, asked for again, and nothing is
//!   lowered or deployed before every running task shows its protection, or the drain's time is over.
//! - **`DEPLOYMENT_BLOCKED`: more tasks are protected than the service wants**, as after an Update that failed half way.
//!   The service is made to want all that live, and to stop none of them; then they can be protected. Protection is asked
//!   for 48 hours at once and not renewed in a drain, where it would be refused.
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

use std::time::Duration;

use super::continuation::{Continuation, reading_gap_max};
use super::decision::{Decision, Look, Moment, Waiting};
use super::evidence::{IdleRunner, OwnedTask, Spent, SpentTask};
use super::observed::{GitHubView, Observed, Runner, Task, TaskPhase};
use super::pairing::{Behind, runner_behind};
use super::plan::{Plan, Step};
use super::record::PoolRecord;
use super::spec::OnDrainTimeout;
use super::time::Timestamp;

/// How long a container may take to end by itself once its runner was deleted. Its listener notices at its next poll
/// of GitHub; stopping it sooner costs nothing, for no job can reach it, and a Delete should not take a minute longer.
pub const EXIT_GRACE: Duration = Duration::from_secs(10);
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

/// Where one task stands on its way out.
enum Standing {
    /// Told to stop, or its runner deleted moments ago.
    Ending,
    /// Its container has not started.
    Starting,
    /// May be deleted at GitHub.
    Idle(IdleRunner),
    /// Idle, for less than the window; confirmed at this moment if nothing changes.
    Unconfirmed(Timestamp),
    /// No runner of its own is on GitHub's list; held to be spent from this moment on if none comes.
    Silent(Timestamp),
    /// Has a job; the runner's name.
    Busy(String),
    /// May be stopped.
    Spent(Spent),
    /// Nobody can tell.
    Unclear,
}

impl Standing {
    /// When it is known to be idle or spent, if nothing changes until then.
    const fn settles_at(&self) -> Option<Timestamp> {
        match self {
            Self::Unconfirmed(moment) | Self::Silent(moment) => Some(*moment),
            Self::Ending | Self::Starting | Self::Idle(_) | Self::Busy(_) | Self::Spent(_) | Self::Unclear => None,
        }
    }
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
        leavers.tasks.iter().map(|task| (*task, standing(held, record, seen, task, at.now))).collect();

    let deadline = began + held.manners().drain_timeout;
    if is_outdated(seen, at) {
        return Progress::Next(at.look_again(waiting_for(&standings), Look::Runners));
    }

    let mut plan = Plan::new();
    let mut room = leavers.quota;
    let is_leaving = |state: &Standing| matches!(state, Standing::Ending | Standing::Spent(Spent::Deregistered));
    room = room.saturating_sub(standings.iter().filter(|(_, state)| is_leaving(state)).count());
    for (task, state) in &standings {
        match state {
            Standing::Spent(Spent::Deregistered) => plan.extend(stop(held, task, Spent::Deregistered)),
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
            | Standing::Unconfirmed(_)
            | Standing::Silent(_)
            | Standing::Busy(_)
            | Standing::Unclear => {}
        }
    }
    if !plan.is_empty() {
        return Progress::Next(Decision::Act(plan));
    }

    // The answer may be due before that. Then the request fails and every job goes on.
    // Who looks idle keeps the time that it takes to be sure, or a patience below the window would never be enough.
    let settles = |state: &Standing| state.settles_at().is_some_and(|moment| moment > at.now);
    let left = || standings.iter().filter(|(_, state)| !is_leaving(state) && !settles(state)).take(room);
    if at.now >= deadline && left().next().is_some() {
        return match held.manners().on_drain_timeout {
            OnDrainTimeout::Fail => Progress::Overdue { left: left().map(|(task, state)| name(task, state)).collect() },
            OnDrainTimeout::Cancel => {
                let plan: Plan = left().flat_map(|(task, _)| stop(held, task, Spent::DrainTimedOut)).collect();
                Progress::Next(Decision::Act(plan))
            }
        };
    }
    Progress::Next(waiting(&standings, deadline, at))
}

fn standing(held: &Continuation, record: &PoolRecord, seen: &Observed, task: &Task, now: Timestamp) -> Standing {
    if task.is_told_to_stop || task.phase == TaskPhase::Stopping {
        return Standing::Ending;
    }
    if task.phase == TaskPhase::Starting {
        return Standing::Starting;
    }
    let GitHubView::Runners(runners) = &seen.github else { return Standing::Unclear };
    let behind = runner_behind(&record.mark, runners, &seen.tasks, task);
    if let Behind::Runner(runner) = behind {
        let read_at = seen.github_read.map_or(now, |reading| reading.began_at);
        return occupied(held, record, runner, read_at);
    }
    // What GitHub has let go is gone, whoever else's name leads nowhere.
    let names = task.short_id().into_iter().chain(record.mark.fixed_names.iter().map(String::as_str));
    let deregistered_at = names.filter_map(|name| held.memory.deregistered_at.get(name)).max().copied();
    let silent_since = held.memory.silent_since.get(&task.arn).copied().unwrap_or(now);
    match (deregistered_at, behind) {
        (Some(since), _) if now.since(since) >= EXIT_GRACE => Standing::Spent(Spent::Deregistered),
        (Some(_), _) => Standing::Ending,
        (None, Behind::Nobody) if now.since(silent_since) >= REGISTRATION_GRACE => {
            Standing::Spent(Spent::NeverRegistered)
        }
        (None, Behind::Nobody) => Standing::Silent(silent_since + REGISTRATION_GRACE),
        (None, Behind::Unclear | Behind::Runner(_)) => Standing::Unclear,
    }
}

/// Whether GitHub's list was read too long ago to let a runner go by it, as after a wait for something else.
fn is_outdated(seen: &Observed, at: Moment) -> bool {
    matches!(seen.github, GitHubView::Runners(_))
        && seen.github_read.is_some_and(|reading| at.now.since(reading.ended_at) > reading_gap_max(at.poll))
}

/// Where a task with a runner on GitHub's list stands, by a reading of this moment.
fn occupied(held: &Continuation, record: &PoolRecord, runner: &Runner, read_at: Timestamp) -> Standing {
    if runner.is_busy {
        return Standing::Busy(runner.name.clone());
    }
    let window = held.manners().idle_confirmation;
    let since = held.memory.idle_since.get(&runner.id).copied();
    match IdleRunner::confirmed(&record.mark, runner, since, window, read_at) {
        Some(idle) => Standing::Idle(idle),
        None => Standing::Unconfirmed(since.unwrap_or(read_at) + window),
    }
}

/// By what a person finds it again.
fn name(task: &Task, state: &Standing) -> String {
    match state {
        Standing::Busy(name) => name.clone(),
        Standing::Idle(runner) => runner.name().to_owned(),
        Standing::Ending
        | Standing::Starting
        | Standing::Unconfirmed(_)
        | Standing::Silent(_)
        | Standing::Spent(_)
        | Standing::Unclear => task.arn.clone(),
    }
}

/// Lifts the protection of a task and stops it.
fn stop(held: &Continuation, task: &Task, why: Spent) -> Vec<Step> {
    let Some(owned) = OwnedTask::of(&held.id, task) else { return Vec::new() };
    vec![Step::UnprotectTasks(vec![owned.clone()]), Step::StopTask(SpentTask::new(owned, why))]
}

fn waiting_for(standings: &[(&Task, Standing)]) -> Waiting {
    let count = |is: fn(&Standing) -> bool| standings.iter().filter(|(_, state)| is(state)).count();
    Waiting::RunnersLeaving {
        busy: standings
            .iter()
            .filter(|(_, state)| matches!(state, Standing::Busy(_)))
            .map(|(task, state)| name(task, state))
            .collect(),
        unconfirmed: count(|state| matches!(state, Standing::Unconfirmed(_) | Standing::Idle(_))),
        unclear: count(|state| matches!(state, Standing::Unclear | Standing::Silent(_) | Standing::Spent(_))),
        ending: count(|state| matches!(state, Standing::Ending | Standing::Starting)),
    }
}

fn waiting(standings: &[(&Task, Standing)], deadline: Timestamp, at: Moment) -> Decision {
    // The moment at which the first of them is settled comes before the next poll, often enough.
    let settled_at = standings.iter().filter_map(|(_, state)| state.settles_at());
    let until = settled_at.chain([at.next_look(), deadline]).filter(|moment| *moment > at.now).min();
    let until = until.unwrap_or_else(|| at.next_look());
    Decision::Wait { why: waiting_for(standings), until, look: Look::Runners }
}
