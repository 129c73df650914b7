//! The answer to a Create or an Update that reached its goal.

use std::collections::BTreeMap;

use super::rollout::is_current;
use crate::pool::continuation::{Continuation, Present};
use crate::pool::decision::Outcome;
use crate::pool::identity::{RunnerMark, cluster_name};
use crate::pool::observed::{GitHubView, Observed, Task};
use crate::pool::pairing::{Behind, runner_behind};
use crate::pool::report;
use crate::pool::spec::Capacity;

/// Runners of the wanted revision that are online; `None` when GitHub does not tell.
#[must_use]
pub fn n_online(held: &Continuation, goal: &Present, seen: &Observed) -> Option<u32> {
    let service = seen.service.as_ref();
    let current = seen.tasks.iter().filter(|task| service.is_some_and(|service| is_current(service, task)));
    online_among(held, goal, seen, current)
}

/// Runners that are online and not of the revision that the service works towards, or all that are while it works
/// towards another one than wanted.
#[must_use]
pub fn n_online_of_before(held: &Continuation, goal: &Present, seen: &Observed) -> u32 {
    let service = seen.service.as_ref();
    let is_under_way = held.memory.online_awaited_since.is_some();
    let old = seen.tasks.iter().filter(|task| !is_under_way || !service.is_some_and(|it| is_current(it, task)));
    online_among(held, goal, seen, old).unwrap_or(0)
}

/// How many of these tasks run a runner that is online; `None` when GitHub does not tell.
pub(super) fn online_among<'seen>(
    held: &Continuation,
    goal: &Present,
    seen: &Observed,
    tasks: impl Iterator<Item = &'seen Task>,
) -> Option<u32> {
    let GitHubView::Runners(runners) = &seen.github else { return None };
    let mark = RunnerMark::of(&held.id, &goal.spec);
    let is_online = |task: &&Task| matches!(runner_behind(&mark, runners, &seen.tasks, task), Behind::Runner(runner) if runner.is_online);
    Some(u32::try_from(tasks.filter(|task| task.is_running()).filter(is_online).count()).unwrap_or(u32::MAX))
}

pub(super) fn outcome(held: &Continuation, goal: &Present, seen: &Observed) -> Outcome {
    Outcome::Succeeded { attributes: attributes(held, goal, seen), notes: report::notes_of_success(held, goal, seen) }
}

/// `Fn::GetAtt`: every key, always, as strings.
#[must_use]
pub fn attributes(held: &Continuation, goal: &Present, seen: &Observed) -> BTreeMap<String, String> {
    let id = held.id.as_str().to_owned();
    let (provider, group_name) = match &goal.spec.capacity {
        Capacity::Own(_) => (id.clone(), id.clone()),
        Capacity::Named(name) => (name.clone(), String::new()),
    };
    let service = seen.service.as_ref();
    let prefix = goal.spec.runner.name.clone().unwrap_or_else(|| held.id.runner_name_prefix(&goal.spec));
    let attributes = [
        ("ServiceArn", service.map(|service| service.arn.clone()).unwrap_or_default()),
        ("ServiceName", id.clone()),
        ("ClusterName", cluster_name(&goal.spec.cluster).to_owned()),
        ("TaskDefinitionArn", service.map(|service| service.shape.task_definition.clone()).unwrap_or_default()),
        ("CapacityProviderName", provider),
        ("AutoScalingGroupName", group_name),
        ("AutoScalingGroupArn", seen.group.as_ref().map(|group| group.arn.clone()).unwrap_or_default()),
        ("RunnerLabel", id),
        ("RunnerNamePrefix", prefix),
        ("DesiredCount", goal.spec.desired_count.to_string()),
        ("OnlineRunners", n_online(held, goal, seen).unwrap_or(0).to_string()),
    ];
    attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
