//! Counts the pool's online runners.

use crate::pool::model::ecs::Task;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::runner_matching::{RunnerLookup, RunnerMatcher, runner_for_task};
use crate::pool::policy::deployments::is_current;

/// Runners of the wanted revision that are online; `None` if GitHub could not be asked.
#[must_use]
pub fn n_online(operation: &Operation, goal: &ConvergeGoal, observed: &Observed) -> Option<u32> {
    let service = observed.service.as_ref();
    let scaling = observed.scaling.as_ref().map(|found| &found.record.goal);
    let is_of_newest = |task: &&Task| match goal.spec.job_scaling {
        Some(_) => scaling.is_some_and(|wanted| wanted.task_definition == task.task_definition),
        None => service.is_some_and(|service| is_current(service, task)),
    };
    online_among(operation, goal, observed, observed.tasks.iter().filter(is_of_newest))
}

/// How many runners of the wanted revision `MaxRunners` allows beside those of previous revisions that have not ended.
pub(super) fn room_for_new_runners(goal: &ConvergeGoal, observed: &Observed) -> u32 {
    let (Some(job_scaling), Some(scaling)) = (&goal.spec.job_scaling, &observed.scaling) else { return u32::MAX };
    let newest = &scaling.record.goal.task_definition;
    let n_previous = observed.tasks.iter().filter(|task| task.is_live() && task.task_definition != *newest).count();
    job_scaling.max_runners.saturating_sub(u32::try_from(n_previous).unwrap_or(u32::MAX))
}

/// Runners that are online and not of the revision that the service works towards, or all that are while it works
/// towards another one than wanted.
#[must_use]
pub fn n_previous_online(operation: &Operation, memory: &Memory, goal: &ConvergeGoal, observed: &Observed) -> u32 {
    let service = observed.service.as_ref();
    let is_under_way = memory.online_awaited_since.is_some();
    let old = observed.tasks.iter().filter(|task| !is_under_way || !service.is_some_and(|it| is_current(it, task)));
    online_among(operation, goal, observed, old).unwrap_or(0)
}

/// The number of these tasks whose runner is online; `None` if GitHub could not be asked.
pub(super) fn online_among<'observed>(
    operation: &Operation,
    goal: &ConvergeGoal,
    observed: &Observed,
    tasks: impl Iterator<Item = &'observed Task>,
) -> Option<u32> {
    let GitHubRunners::Listed(runners) = &observed.github else { return None };
    let matcher = RunnerMatcher::of(&operation.id, &goal.spec);
    let is_online = |task: &&Task| matches!(runner_for_task(&matcher, runners, &observed.tasks, task), RunnerLookup::Found(runner) if runner.is_online);
    Some(u32::try_from(tasks.filter(|task| task.is_running()).filter(is_online).count()).unwrap_or(u32::MAX))
}
