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
//!   at a time, with longer and longer pauses, until one runs its job.
//! - **A runner never connects.** Once it is late by `OnlineTimeout` and offline in GitHub's list, it leaves as any idle
//!   one, and the next look starts another in its place.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::{Task, TaskPhase};
use crate::pool::model::evidence::{OwnedTask, STOPPED_BY_POOL, StoppableTask};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::scale_set::{JobEvent, JobStatistics, ScaleSetMessage};
use crate::pool::model::scaling::{ScalingGoal, ScalingMode};
use crate::pool::model::step::{Step, Steps};
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::retirement::{Drain, DrainLimit, DrainProgress, DrainSet, retire};

/// How long there must be more runners than jobs before one is watched: a message may be of the moment between two jobs.
const SURPLUS_CONFIRMATION: Duration = Duration::from_secs(30);
/// Between two looks at a pool that is as it should be, and at runners whose jobs are waited for.
const CALM_INTERVAL: Duration = Duration::from_secs(30);

/// Looks with failed tasks before starts become rare: a container may end once by accident, and Spot takes several.
const FAILED_LOOKS_MAX: u32 = 2;
/// The longest pause between two starts of tasks that fail.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(300);

/// What the listener remembers of a pool between two looks. Losing it costs time, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemandMemory {
    /// Since when there have been more runners than jobs.
    surplus_since: Option<Timestamp>,
    /// Runners that have ended their job, by name: their containers end.
    finished: BTreeSet<String>,
    /// Looks in a row in which tasks had ended without having run a job, and none that had run one.
    n_failed_looks: u32,
    /// When the last of them was.
    failed_at: Option<Timestamp>,
    /// The revision that they were of: another one may go well.
    failed_revision: String,
    /// Tasks, by ARN, whose end has been counted.
    ended: BTreeSet<String>,
    /// When GitHub's list was last asked for runners that never connected.
    late_checked_at: Option<Timestamp>,
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

/// The statistics once a message has been read. A message without any changes nothing; and zero assigned jobs beside an
/// event of a job that is there is GitHub's mistake: <https://github.com/actions/actions-runner-controller/issues/3420>.
#[must_use]
pub fn statistics_after(before: JobStatistics, message: &ScaleSetMessage) -> JobStatistics {
    let Some(statistics) = message.statistics else { return before };
    let n_assigned = count(message.events.iter().filter(|event| matches!(event, JobEvent::Assigned)).count());
    let n_started = count(message.events.iter().filter(|event| matches!(event, JobEvent::Started { .. })).count());
    let assigned = if statistics.assigned == 0 && n_assigned.max(n_started) > 0 {
        before.assigned.max(n_assigned).max(n_started)
    } else {
        // They may be older than the events beside them; a runner too many leaves again.
        statistics.assigned.max(n_assigned)
    };
    JobStatistics { assigned, ..statistics }
}

/// The jobs that a message offers.
#[must_use]
pub fn available_jobs(message: &ScaleSetMessage) -> Vec<i64> {
    let request_id = |event: &JobEvent| match event {
        JobEvent::Available { request_id } => Some(*request_id),
        JobEvent::Assigned | JobEvent::Started { .. } | JobEvent::Completed { .. } => None,
    };
    message.events.iter().filter_map(request_id).collect()
}

impl DemandMemory {
    /// Takes in what a message says of runners.
    pub fn record_message(&mut self, message: &ScaleSetMessage) {
        let finished = message.events.iter().filter_map(|event| match event {
            JobEvent::Completed { runner } => runner.clone(),
            JobEvent::Available { .. } | JobEvent::Assigned | JobEvent::Started { .. } => None,
        });
        self.finished.extend(finished);
    }

    /// Takes in the tasks that have ended. What ends before its job ends again when it is started again, so that starts
    /// become rare until one goes well.
    fn record_endings(&mut self, id: &PhysicalId, goal: &ScalingGoal, tasks: &[Task], now: Timestamp) {
        if self.failed_revision != goal.task_definition {
            self.failed_revision.clone_from(&goal.task_definition);
            self.n_failed_looks = 0;
        }
        let stopped = || tasks.iter().filter(|task| !task.is_live() && OwnedTask::of(id, task).is_some());
        let is_new = |task: &&Task| task.task_definition == goal.task_definition && !self.ended.contains(&task.arn);
        let new = || stopped().filter(is_new);
        let ending = |task: &&Task| task.ending.clone();
        let has_failed = new()
            .filter_map(|task| ending(&task))
            .any(|ending| ending.exit_code != Some(0) && !ending.reason.starts_with(STOPPED_BY_POOL));
        let has_run = new().filter_map(|task| ending(&task)).any(|ending| ending.exit_code == Some(0));
        if has_run {
            self.n_failed_looks = 0;
        } else if has_failed {
            self.n_failed_looks = self.n_failed_looks.saturating_add(1);
            self.failed_at = Some(now);
        }
        self.ended = stopped().map(|task| task.arn.clone()).collect();
    }

    /// Until when nothing is started, after tasks that have failed.
    fn paused_until(&self, at: DecisionTime) -> Option<Timestamp> {
        let doublings = self.n_failed_looks.checked_sub(FAILED_LOOKS_MAX)?.min(6);
        Some(self.failed_at? + at.poll.saturating_mul(1 << doublings).min(FAILURE_PAUSE_MAX))
    }

    fn is_finished(&self, task: &Task) -> bool {
        self.finished.iter().any(|name| task.short_ids().any(|id| name.ends_with(id)))
    }
}

/// Decides what to do about a pool, by one look at its tasks and what that look had of GitHub.
#[must_use]
pub fn decide(
    id: &PhysicalId,
    goal: &ScalingGoal,
    statistics: &JobStatistics,
    demand: &mut DemandMemory,
    memory: &mut Memory,
    observed: &Observed,
    at: DecisionTime,
) -> ScalingDecision {
    demand.record_endings(id, goal, &observed.tasks, at.now);
    let owned: Vec<&Task> =
        observed.tasks.iter().filter(|task| task.is_live() && OwnedTask::of(id, task).is_some()).collect();
    let is_leaving = |task: &Task| task.short_ids().any(|id| memory.deregistered_at.contains_key(id));
    let (leaving, staying): (Vec<&Task>, Vec<&Task>) =
        owned.iter().copied().filter(|task| is_live(task)).partition(|task| is_leaving(task));
    let live: Vec<&Task> = staying.into_iter().filter(|task| !demand.is_finished(task)).collect();
    demand.finished.retain(|name| owned.iter().any(|task| task.short_ids().any(|id| name.ends_with(id))));
    let counts = RunnerCounts {
        target: goal.target(statistics),
        live: count(live.len()),
        starting: count(live.iter().filter(|task| task.phase == TaskPhase::Starting).count()),
        all: count(owned.len()),
    };
    let calm = |scope| ScalingDecision {
        n_starts: 0,
        steps: Steps::new(),
        look_at: at.now + if counts.all == 0 { CALM_INTERVAL } else { CALM_INTERVAL.min(at.poll.saturating_mul(3)) },
        scope,
        counts,
    };
    if goal.mode != ScalingMode::Active {
        demand.surplus_since = None;
        return calm(ObserveScope::Tasks);
    }
    let surplus = counts.live.saturating_sub(counts.target);
    if surplus == 0 {
        demand.surplus_since = None;
    }
    let n_starts = counts.target.saturating_sub(counts.live).min(goal.max_runners.saturating_sub(counts.all));
    if let Some(paused_until) = demand.paused_until(at).filter(|until| n_starts > 0 && at.now < *until) {
        return ScalingDecision { look_at: paused_until.min(at.next_poll()), ..calm(ObserveScope::Tasks) };
    }
    // One shows whether tasks go well again.
    let n_starts = if demand.n_failed_looks >= FAILED_LOOKS_MAX { n_starts.min(1) } else { n_starts };
    if n_starts > 0 {
        return ScalingDecision { n_starts, look_at: at.next_poll(), ..calm(ObserveScope::Tasks) };
    }
    let decision = retire_all(id, goal, statistics, demand, memory, observed, &live, &leaving, surplus, at);
    let is_changing = surplus > 0 || counts.starting > 0 || counts.live < counts.target || counts.all > counts.live;
    match decision {
        Some(Decision::Act(steps)) => ScalingDecision { steps, look_at: at.now, ..calm(ObserveScope::Runners) },
        Some(Decision::Wait { why, until, scope }) => {
            let look_at = if is_calm(&why) { at.now + CALM_INTERVAL } else { until };
            ScalingDecision { look_at, ..calm(scope) }
        }
        Some(Decision::Respond(_) | Decision::Stop(_)) | None if is_changing => {
            ScalingDecision { look_at: at.next_poll(), ..calm(ObserveScope::Tasks) }
        }
        Some(Decision::Respond(_) | Decision::Stop(_)) | None => calm(ObserveScope::Tasks),
    }
}

/// Whether a task has a runner, or will have one.
fn is_live(task: &Task) -> bool {
    matches!(task.phase, TaskPhase::Starting | TaskPhase::Running) && !task.desired_stopped
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Whether only running jobs are waited for, which take as long as they take.
const fn is_calm(why: &WaitReason) -> bool {
    matches!(why, WaitReason::RunnersDraining { unconfirmed: 0, unknown: 0, ending: 0, .. })
}

/// The next step for those who are to leave: of an older revision, never connected, beyond the target.
#[expect(clippy::too_many_arguments, reason = "one look, taken apart once")]
fn retire_all(
    id: &PhysicalId,
    goal: &ScalingGoal,
    statistics: &JobStatistics,
    demand: &mut DemandMemory,
    memory: &mut Memory,
    observed: &Observed,
    live: &[&Task],
    leaving: &[&Task],
    surplus: u32,
    at: DecisionTime,
) -> Option<Decision> {
    let drain = Drain { id, metadata: &goal.metadata, wait_policy: &goal.wait_policy, limit: DrainLimit::None };
    if surplus > 0 {
        let since = *demand.surplus_since.get_or_insert(at.now);
        let unplaced: Steps = live
            .iter()
            .filter_map(|task| StoppableTask::unplaced(id, task))
            .take(usize::try_from(surplus).unwrap_or(usize::MAX))
            .map(Step::StopTask)
            .collect();
        if at.now.since(since) < SURPLUS_CONFIRMATION && leaving.is_empty() {
            return Some(wait_for_surplus(since, at));
        }
        if !unplaced.is_empty() && at.now.since(since) >= SURPLUS_CONFIRMATION {
            return Some(Decision::Act(unplaced));
        }
    }
    let (current, outdated): (Vec<&Task>, Vec<&Task>) =
        live.iter().partition(|task| task.task_definition == goal.task_definition);
    let late = late_tasks(goal, statistics, demand, memory, observed, &current, at);
    if matches!(late, Late::Ask) {
        return Some(at.requeue_now(WaitReason::FinalCheck, ObserveScope::Runners));
    }
    let late = if let Late::Tasks(late) = late { late } else { Vec::new() };
    let (mut waiting, mut reading, mut asked) = (None, None, BTreeSet::new());
    let is_confirmed = demand.surplus_since.is_some_and(|since| at.now.since(since) >= SURPLUS_CONFIRMATION);
    let surplus = if is_confirmed { usize::try_from(surplus).unwrap_or(usize::MAX) } else { 0 };
    let mut n_leaving = 0;
    for (tasks, most) in [(leaving, None), (&outdated, None), (&late, None), (&current, Some(surplus))] {
        let count = most.map_or(tasks.len(), |most: usize| most.saturating_sub(n_leaving));
        match retire(drain, memory, observed, DrainSet { tasks, count }, at) {
            // The next look reads the logs for all stages: a deletion rests on a log of its own look only.
            DrainProgress::Pending(decision @ Decision::Wait { scope: ObserveScope::RunnerLogs, .. }) => {
                asked.append(&mut memory.logs.asked);
                n_leaving += n_idle_in(&decision);
                reading.get_or_insert(decision);
            }
            DrainProgress::Pending(decision @ Decision::Wait { scope: ObserveScope::Runners, .. }) => {
                n_leaving += n_idle_in(&decision);
                let earlier: &mut Option<Decision> = &mut waiting;
                if earlier.as_ref().is_none_or(|earlier| until(&decision) < until(earlier)) {
                    *earlier = Some(decision);
                }
            }
            DrainProgress::Pending(decision) => return Some(decision),
            DrainProgress::Done | DrainProgress::TimedOut { .. } => {}
        }
    }
    memory.logs.asked.append(&mut asked);
    reading.or(waiting)
}

/// How many of those who are to leave may leave soon: all but those with a job.
const fn n_idle_in(decision: &Decision) -> usize {
    match decision {
        Decision::Wait { why: WaitReason::RunnersDraining { unconfirmed, .. }, .. } => *unconfirmed,
        Decision::Wait { .. } | Decision::Act(_) | Decision::Respond(_) | Decision::Stop(_) => 0,
    }
}

fn until(decision: &Decision) -> Option<Timestamp> {
    match decision {
        Decision::Wait { until, .. } => Some(*until),
        Decision::Act(_) | Decision::Respond(_) | Decision::Stop(_) => None,
    }
}

fn wait_for_surplus(since: Timestamp, at: DecisionTime) -> Decision {
    Decision::Wait {
        why: WaitReason::FinalCheck,
        until: at.next_poll().min(since + SURPLUS_CONFIRMATION),
        scope: ObserveScope::Tasks,
    }
}

/// Runners that should have connected long ago.
enum Late<'observed> {
    /// None, as far as the statistics show.
    None,
    /// GitHub's list has to say which.
    Ask,
    /// The tasks of these.
    Tasks(Vec<&'observed Task>),
}

/// The tasks that have run for longer than `OnlineTimeout`, and whose runners are offline.
fn late_tasks<'observed>(
    goal: &ScalingGoal,
    statistics: &JobStatistics,
    demand: &mut DemandMemory,
    memory: &Memory,
    observed: &Observed,
    current: &[&'observed Task],
    at: DecisionTime,
) -> Late<'observed> {
    let is_old = |task: &&&Task| {
        task.is_running()
            && task.started_at.is_some_and(|started| at.now.since(started) >= goal.wait_policy.online_timeout)
    };
    let old: Vec<&Task> = current.iter().filter(is_old).copied().collect();
    let n_connected = statistics.busy_runners.saturating_add(statistics.idle_runners);
    if count(old.len()) <= n_connected {
        return Late::None;
    }
    let GitHubRunners::Listed(runners) = &observed.github else {
        let is_due = demand.late_checked_at.is_none_or(|last| at.now.since(last) >= CALM_INTERVAL);
        if is_due {
            demand.late_checked_at = Some(at.now);
            return Late::Ask;
        }
        return Late::None;
    };
    let offline = |task: &&&Task| {
        runners.iter().any(|runner| {
            let leads_here = task.short_ids().any(|id| runner.name.ends_with(id));
            leads_here && !runner.is_online && memory.offline_since.contains_key(&runner.id)
        })
    };
    Late::Tasks(old.iter().filter(offline).copied().collect())
}
