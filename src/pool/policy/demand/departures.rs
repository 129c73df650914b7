//! The runners that leave: those that take no job any more, of an older revision, never connected, beyond the target.

use std::collections::BTreeSet;
use std::time::Duration;

use super::late_runners::{LateRunners, late_runners};
use super::look::Look;
use super::memory::DemandMemory;
use super::tasks::PoolTasks;
use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::Task;
use crate::pool::model::evidence::{OwnedTask, StoppableTask};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::memory::Memory;
use crate::pool::model::step::{Step, Steps};
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::retirement::{Drain, DrainLimit, DrainProgress, DrainSet, retire};

/// How long there must be more runners than jobs before one is watched: a message may be of the moment between two jobs.
const SURPLUS_CONFIRMATION: Duration = Duration::from_secs(30);

/// Who may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departures {
    /// Those that take no job any more: runners are missing.
    Spent,
    /// Any that is not wanted.
    All,
}

/// Tasks of which some or all leave.
struct Leavers<'tasks> {
    tasks: &'tasks [&'tasks Task],
    /// How many of them, those counted that leave before them; `None` for all.
    limit: Option<usize>,
}

/// The next step for those who are to leave.
pub(super) fn next_departure(
    look: Look<'_>,
    tasks: &PoolTasks<'_>,
    departures: Departures,
    demand: &mut DemandMemory,
    memory: &mut Memory,
) -> Option<Decision> {
    let spent = Leavers { tasks: &tasks.spent, limit: None };
    if departures == Departures::Spent {
        return retire_in_order(look, memory, &[spent]);
    }
    let (at, surplus) = (look.at, tasks.counts.surplus());
    let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
    let surplus_since = (surplus > 0).then(|| *demand.surplus_since.get_or_insert(at.now));
    let is_confirmed = surplus_since.is_some_and(|since| at.now.since(since) >= SURPLUS_CONFIRMATION);
    if let Some(since) = surplus_since
        && !is_confirmed
        && tasks.spent.is_empty()
    {
        return Some(wait_for_surplus(since, at));
    }
    if is_confirmed {
        let unplaced = tasks.live.iter().filter_map(|task| stop_unplaced(look.id, task));
        let steps: Steps = unplaced.take(surplus).flatten().collect();
        if !steps.is_empty() {
            return Some(Decision::Act(steps));
        }
    }
    let (current, outdated): (Vec<&Task>, Vec<&Task>) =
        tasks.live.iter().partition(|task| task.task_definition == look.goal.task_definition);
    let late = match late_runners(look, demand, memory, &current) {
        LateRunners::Ask => return Some(at.requeue_now(WaitReason::FinalCheck, ObserveScope::Runners)),
        LateRunners::Tasks(late) => late,
        LateRunners::None => Vec::new(),
    };
    let order = [
        spent,
        Leavers { tasks: &outdated, limit: None },
        Leavers { tasks: &late, limit: None },
        Leavers { tasks: &current, limit: Some(if is_confirmed { surplus } else { 0 }) },
    ];
    retire_in_order(look, memory, &order)
}

/// Stops a task that has no instance yet. It may get one before it is stopped, so its registration is withdrawn first.
fn stop_unplaced(id: &PhysicalId, task: &Task) -> Option<[Step; 2]> {
    let stoppable = StoppableTask::unplaced(id, task)?;
    Some([Step::WithdrawRegistration(OwnedTask::of(id, task)?), Step::StopTask(stoppable)])
}

/// Retires them. Of several waits the one that ends first counts, and one for running jobs alone counts last: a runner is
/// idle for certain only if it is watched at short intervals. A reading of logs comes before any wait.
fn retire_in_order(look: Look<'_>, memory: &mut Memory, order: &[Leavers<'_>]) -> Option<Decision> {
    let Look { id, goal, observed, at, .. } = look;
    let drain = Drain { id, metadata: &goal.metadata, wait_policy: &goal.wait_policy, limit: DrainLimit::None };
    let (mut waiting, mut reading, mut asked) = (None, None, BTreeSet::new());
    let mut n_leaving = 0;
    for Leavers { tasks, limit } in order {
        let count = limit.map_or(tasks.len(), |limit| limit.saturating_sub(n_leaving));
        match retire(drain, memory, observed, DrainSet { tasks, count }, at) {
            // The next look reads all logs at once: a deletion rests on a log of its own look only.
            DrainProgress::Pending(decision @ Decision::Wait { scope: ObserveScope::RunnerLogs, .. }) => {
                asked.append(&mut memory.logs.asked);
                n_leaving += n_idle_in(&decision);
                reading.get_or_insert(decision);
            }
            DrainProgress::Pending(decision @ Decision::Wait { scope: ObserveScope::Runners, .. }) => {
                n_leaving += n_idle_in(&decision);
                let first: &mut Option<Decision> = &mut waiting;
                if first.as_ref().is_none_or(|first| order_of(&decision) < order_of(first)) {
                    *first = Some(decision);
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

/// Of several waits the least counts.
const fn order_of(decision: &Decision) -> Option<(bool, Timestamp)> {
    match decision {
        Decision::Wait { why, until, .. } => Some((is_calm(why), *until)),
        Decision::Act(_) | Decision::Respond(_) | Decision::Stop(_) => None,
    }
}

/// Whether only running jobs are waited for, which take as long as they take.
pub(super) const fn is_calm(why: &WaitReason) -> bool {
    matches!(why, WaitReason::RunnersDraining { unconfirmed: 0, unknown: 0, ending: 0, .. })
}

fn wait_for_surplus(since: Timestamp, at: DecisionTime) -> Decision {
    Decision::Wait {
        why: WaitReason::FinalCheck,
        until: at.next_poll().min(since + SURPLUS_CONFIRMATION),
        scope: ObserveScope::Tasks,
    }
}
