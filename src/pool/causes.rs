//! Why the wanted runners did not come online: the most probable cause first, with the property that it is about.
//!
//! A cause is only what this request's own deployment shows. A task of an earlier one, one that ended before the request
//! began, and one that the pool let go itself say nothing about the runners that are waited for.

use super::continuation::{Continuation, Present};
use super::convergence::capacity;
use super::convergence::{n_online, n_online_of_before};
use super::evidence::STOPPED_BY_POOL;
use super::identity::{RunnerMark, cluster_name};
use super::observed::{Deployment, GitHubView, Observed, Rollout, Task, TaskEnding, TaskPhase};
use super::report::{either, listed};
use super::spec::{Capacity, PoolSpec};
use super::time::Spoken;

/// What ECS says of a task that it stops to have fewer, or another in its place.
const SCALED_IN: &str = "scaling activity initiated by";
/// What ECS says of a task that found no instance; ECS's words.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
const UNPLACED: &[&str] = &["resource:", "empty capacity provider", "no active instances", "no_instances_in_cluster"];

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

/// The wanted runners did not come online: the causes, what came, and what of the pool still works.
#[must_use]
pub fn not_online(held: &Continuation, goal: &Present, seen: &Observed) -> String {
    let mut causes = causes(held, goal, seen);
    if causes.is_empty() {
        causes.push("the containers run, and GitHub lists no runner of theirs. See the containers' log".to_owned());
    }
    let causes: Vec<String> = causes.iter().map(|cause| format!("{}.", cause.trim_end_matches('.'))).collect();
    let (first, more) = causes.split_first().map_or((String::new(), &[][..]), |(first, more)| (first.clone(), more));
    let also = if more.is_empty() { String::new() } else { format!(" Also: {}", more.join(" ")) };
    let online = n_online(held, goal, seen).unwrap_or(0);
    let patience = match failed_rollout(seen) {
        Some(_) => String::new(),
        None => format!(" within OnlineTimeout ({})", Spoken(goal.spec.manners.online_timeout)),
    };
    format!(
        "{} {online} of {} runners came online{patience}.{}{also}",
        capitalized(&first),
        goal.spec.desired_count,
        still_works(held, goal, seen)
    )
}

/// That runners of before this request still take jobs, where they do; begins with a space.
#[must_use]
pub fn still_works(held: &Continuation, goal: &Present, seen: &Observed) -> String {
    match n_online_of_before(held, goal, seen) {
        0 => String::new(),
        1 => " The old runner still works.".to_owned(),
        n => format!(" The {n} old runners still work."),
    }
}

/// The most probable first, each without its full stop.
fn causes(held: &Continuation, goal: &Present, seen: &Observed) -> Vec<String> {
    let endings = endings(held, goal, seen);
    let (unplaced, ended): (Vec<&TaskEnding>, Vec<&TaskEnding>) = endings.into_iter().partition(|it| is_unplaced(it));
    let n_waiting = seen.tasks.iter().filter(|task| has_no_instance(task)).count();
    let mut causes = Vec::new();
    causes.extend(capacity::impossible(&goal.spec, seen));
    causes.extend(stopped(&goal.spec, &ended));
    if causes.is_empty()
        && let GitHubView::Refused(refusal) = &seen.github
    {
        causes.push(refusal.to_string());
    }
    // Seconds after its start a failed deployment says nothing against instances that are still starting.
    let had_time = failed_rollout(seen).is_none() || !unplaced.is_empty();
    let n_waiting = n_waiting.max(unplaced.len());
    if matches!(goal.spec.capacity, Capacity::Own(_)) && had_time && (n_waiting > 0 || !has_live_task(seen)) {
        causes.extend(missing_instances(goal, seen, n_waiting));
    }
    causes.extend(offline_runners(held, goal, seen));
    causes.extend(failed_rollout(seen).map(|why| format!("ECS gave the deployment up: {why}")));
    let event = seen.service.as_ref().and_then(|service| service.events.first());
    let event = event.filter(|event| event.at >= held.accepted_at);
    causes.extend(event.map(|event| format!("The last event of the service: {}", event.message)));
    causes
}

fn primary(seen: &Observed) -> Option<&Deployment> {
    seen.service.as_ref()?.deployments.iter().find(|deployment| deployment.is_primary)
}

/// Whether anything of this deployment lives.
fn has_live_task(seen: &Observed) -> bool {
    let is_ours = |task: &Task| primary(seen).is_some_and(|primary| task.started_by.as_ref() == Some(&primary.id));
    seen.tasks.iter().any(|task| task.is_live() && is_ours(task))
}

fn failed_rollout(seen: &Observed) -> Option<&str> {
    match &primary(seen)?.rollout {
        Rollout::Failed(why) => Some(why),
        Rollout::InProgress | Rollout::Completed => None,
    }
}

/// The ends of this deployment's tasks since the request began, save those that the pool or ECS wanted.
fn endings<'seen>(held: &Continuation, goal: &Present, seen: &'seen Observed) -> Vec<&'seen TaskEnding> {
    let Some(primary) = primary(seen) else { return Vec::new() };
    let was_let_go = |task: &Task| {
        let names = task.short_id().into_iter().chain(goal.spec.runner.name.as_deref());
        names.into_iter().any(|name| held.memory.deregistered_at.contains_key(name))
    };
    let is_wanted = |ending: &TaskEnding| {
        let reason = ending.reason.to_lowercase();
        // An ephemeral runner ends well after its job.
        let did_its_job = goal.spec.runner.ephemeral && ending.exit_code == Some(0);
        ending.reason.starts_with(STOPPED_BY_POOL) || reason.starts_with(SCALED_IN) || did_its_job
    };
    let ours = seen.tasks.iter().filter(|task| task.started_by.as_ref() == Some(&primary.id) && !was_let_go(task));
    let endings = ours.filter_map(|task| task.ending.as_ref());
    endings.filter(|it| it.at.is_none_or(|at| at >= held.accepted_at) && !is_wanted(it)).collect()
}

fn is_unplaced(ending: &TaskEnding) -> bool {
    let reason = ending.reason.to_lowercase();
    UNPLACED.iter().any(|words| reason.contains(words))
}

/// What the newest end says, with its property.
fn stopped(spec: &PoolSpec, endings: &[&TaskEnding]) -> Option<String> {
    let newest = endings.iter().max_by_key(|ending| ending.at)?;
    let reason = newest.reason.trim_end_matches('.');
    let words = reason.to_lowercase();
    let exit = newest.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
    let n_tasks = either(endings.len(), "1 task stopped", "tasks stopped, the last one");
    let Some((_, property, advice)) = PROPERTIES.iter().find(|(part, ..)| words.contains(part)) else {
        let log = match &spec.task.log {
            Some(log) => format!("See its log in {}", log.group),
            None => "LogGroup keeps what the container says".to_owned(),
        };
        return Some(format!("{n_tasks}: {reason}{exit}. {log}"));
    };
    let given = match *property {
        "Image" => format!("{} ", spec.task.image),
        "LogGroup" => spec.task.log.as_ref().map(|log| format!("{} ", log.group)).unwrap_or_default(),
        _ => String::new(),
    };
    Some(format!("{property}: {given}does not work, {n_tasks}: {reason}{exit}. {advice}"))
}

/// Why tasks have nowhere to run.
fn missing_instances(goal: &Present, seen: &Observed, n_waiting: usize) -> Vec<String> {
    let mut causes = Vec::new();
    if let Some(activity) = &seen.failed_activity {
        let is_short = activity.contains("capacity") || activity.contains("not supported in your requested");
        let (property, advice) = if is_short {
            ("InstanceTypes", "Give more types, or Subnets in more zones")
        } else {
            ("LaunchTemplate", "Correct what it names")
        };
        let activity = activity.trim_end_matches('.');
        causes.push(format!("{property}: Auto Scaling could not start an instance: {activity}. {advice}"));
    }
    let Some(group) = &seen.group else { return causes };
    let joined = |id: &str| seen.instances.iter().any(|instance| instance.ec2_instance_id.as_deref() == Some(id));
    let strangers: Vec<&str> = group
        .instances
        .iter()
        .filter(|instance| instance.lifecycle_state == "InService" && !joined(&instance.id))
        .map(|instance| instance.id.as_str())
        .collect();
    if !strangers.is_empty() {
        causes.push(format!(
            "LaunchTemplate: instances that joined no cluster: {}. Its user data must write ECS_CLUSTER={} to \
             /etc/ecs/ecs.config, its instance profile must let the ECS agent in, and Subnets must have a way out",
            listed(&strangers),
            seen.cluster.as_ref().map(|cluster| cluster_name(&cluster.arn)).unwrap_or_default()
        ));
    }
    if n_waiting > 0 && strangers.is_empty() && group.desired >= group.shape.max {
        let beside = if seen.tasks.iter().any(|task| task.is_running()) { " beside those that run" } else { "" };
        causes.push(format!(
            "MaxInstances: {} has no room for {}{beside}. Raise it, or lower MemoryReservation ({} MiB)",
            either(
                usize::try_from(group.shape.max).unwrap_or(usize::MAX),
                "a group of 1 instance",
                "instances: the group"
            ),
            either(n_waiting, "1 more runner", "more runners"),
            goal.spec.task.memory_reservation_mib
        ));
    }
    causes
}

fn offline_runners(held: &Continuation, goal: &Present, seen: &Observed) -> Option<String> {
    let GitHubView::Runners(runners) = &seen.github else { return None };
    let mark = RunnerMark::of(&held.id, &goal.spec);
    let has_task = |name: &str| {
        let digits = mark.short_id(name);
        seen.tasks.iter().any(|task| task.is_live() && task.short_id() == digits && digits.is_some())
    };
    let offline = runners.iter().filter(|runner| mark.owns(runner) && !runner.is_online && has_task(&runner.name));
    let names: Vec<&str> = offline.map(|runner| runner.name.as_str()).collect();
    (!names.is_empty())
        .then(|| format!("registered at GitHub but offline: {}. See the containers' log", listed(&names)))
}

/// Whether a task has no instance yet.
pub(super) fn has_no_instance(task: &Task) -> bool {
    task.phase == TaskPhase::Starting && task.container_instance_arn.is_none()
}

fn capitalized(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
