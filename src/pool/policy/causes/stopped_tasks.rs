//! Maps ECS's reasons for stopped tasks to the properties that caused them.

use crate::pool::model::ecs::{StopInfo, Task};
use crate::pool::model::evidence::STOPPED_BY_POOL;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::spec::PoolSpec;
use crate::pool::model::text::pluralize;
use crate::pool::policy::deployments::is_of_newest;

/// The prefix of ECS's reason for a task that it stops to scale in or to replace.
const SCALED_IN: &str = "scaling activity initiated by";
/// Parts of ECS's reasons for tasks that found no instance, in lower case.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
const UNPLACED: &[&str] =
    &["resource:", "empty capacity provider", "no active instances", "placement constraint", "no_instances_in_cluster"];

/// What the container's end is about, by a part of ECS's words in lower case: the property, and what to do. The first
/// that fits counts.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resolve-cannot-pull-container-errors.html>,
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
const PROPERTIES: &[(&str, &str, &str)] = &[
    ("toomanyrequests", "Image", "Name RepositoryCredentialsParameter, or take the image from a registry of your own"),
    (
        "cannotpullcontainer",
        "Image",
        "Correct it, or let RepositoryCredentialsParameter or the instances' role pull it",
    ),
    ("cannotpullecrcontainer", "Image", "Correct it, or let ExecutionRoleArn or the instances' role pull it"),
    ("logging driver", "LogGroup", "Create it in this Region, and let ExecutionRoleArn write to it"),
    ("log group", "LogGroup", "Create it in this Region, and let ExecutionRoleArn write to it"),
    ("unable to pull secrets", "ExecutionRoleArn", "Let it read the parameters of the container's secrets"),
    ("secret", "ExecutionRoleArn", "Let it read the parameters of the container's secrets"),
    ("unable to assume", "ExecutionRoleArn", "Let ecs-tasks.amazonaws.com assume it, and TaskRoleArn"),
    ("outofmemory", "Memory", "Raise it, or leave it out"),
    ("privileged", "Privileged", "Leave ECS_DISABLE_PRIVILEGED out of the instances' ecs.config, or set it to false"),
    ("/var/run/docker.sock", "DockerSocket", "Take an image that runs Docker, or set it to false"),
];

/// The tasks of this deployment that stopped since the request began, except those that the function or ECS stopped.
pub(super) fn endings<'observed>(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &'observed Observed,
) -> Vec<&'observed StopInfo> {
    let was_let_go = |task: &Task| {
        let names = task.short_ids().chain(goal.spec.runner.name.as_deref());
        names.into_iter().any(|name| memory.deregistered_at.contains_key(name))
    };
    let is_wanted = |ending: &StopInfo| {
        let reason = ending.reason.to_lowercase();
        // An ephemeral runner exits with code 0 after its job.
        let did_its_job = goal.spec.runner.ephemeral && ending.exit_code == Some(0);
        ending.reason.starts_with(STOPPED_BY_POOL) || reason.starts_with(SCALED_IN) || did_its_job
    };
    let ours = observed.tasks.iter().filter(|task| is_of_newest(goal, observed, task) && !was_let_go(task));
    let endings = ours.filter_map(|task| task.ending.as_ref());
    endings.filter(|it| it.at.is_none_or(|at| at >= operation.signed_at) && !is_wanted(it)).collect()
}

/// Whether a task never found an instance.
pub(super) fn is_unplaced(ending: &StopInfo) -> bool {
    let reason = ending.reason.to_lowercase();
    UNPLACED.iter().any(|words| reason.contains(words))
}

/// The reason of the newest stopped task, with its property.
pub(super) fn stopped(spec: &PoolSpec, endings: &[&StopInfo]) -> Option<String> {
    let newest = endings.iter().max_by_key(|ending| ending.at)?;
    let reason = newest.reason.trim_end_matches('.');
    let words = reason.to_lowercase();
    let exit = newest.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
    let n_tasks = pluralize(endings.len(), "1 task stopped", "tasks stopped, the last one");
    let Some((_, property, advice)) = PROPERTIES.iter().find(|(part, ..)| words.contains(part)) else {
        let log = match &spec.task.log {
            Some(log) => format!("See its log in {}", log.group),
            None => "Specify LogGroup to keep its output".to_owned(),
        };
        return Some(format!("{n_tasks}: {reason}{exit}. {log}"));
    };
    let given = match *property {
        "Image" => format!("{} ", spec.task.image),
        "LogGroup" => spec.task.log.as_ref().map(|log| format!("{} ", log.group)).unwrap_or_default(),
        _ => String::new(),
    };
    Some(format!("{property}: {given}failed, {n_tasks}: {reason}{exit}. {advice}"))
}
