//! Why the wanted runners did not come online: the most probable cause first, with the property that it is about.
//!
//! A cause is only what this request's own deployment shows. A task of an earlier one, one that ended before the request
//! began, and one that the pool let go itself say nothing about the runners that are waited for.

mod endings;

use self::endings::{endings, is_unplaced, stopped};
use super::continuation::{Continuation, Present};
use super::convergence::capacity;
use super::convergence::{given_up_for_want_of_room, n_online, n_online_of_before};
use super::identity::{RunnerMark, cluster_name};
use super::observed::{Deployment, GitHubView, Observed, Rollout, ServiceEvent, Task, TaskEnding, TaskPhase};
use super::report::{either, listed};
use super::spec::Capacity;
use super::time::Spoken;

/// The wanted runners did not come online: the causes, what came, and what of the pool still works.
#[must_use]
pub fn not_online(held: &Continuation, goal: &Present, seen: &Observed) -> String {
    let mut causes = causes(held, goal, seen);
    if causes.is_empty() {
        causes.push("The containers run, and GitHub lists no runner of theirs. See the containers' log".to_owned());
    }
    let event = seen.service.as_ref().and_then(|service| service.events.iter().find(|event| !is_about_leaving(event)));
    let event = event.filter(|event| event.at >= held.accepted_at);
    causes.extend(event.map(|event| format!("The last event of the service: {}", event.message)));
    let causes: Vec<String> = causes.iter().map(|cause| format!("{}.", cause.trim_end_matches('.'))).collect();
    let (first, more) = causes.split_first().map_or((String::new(), &[][..]), |(first, more)| (first.clone(), more));
    let also = if more.is_empty() { String::new() } else { format!(" Also: {}", more.join(" ")) };
    let online = n_online(held, goal, seen).unwrap_or(0);
    let is_given_up_at_once = failed_rollout(seen).is_some() && given_up_for_want_of_room(seen).is_none();
    let patience = if is_given_up_at_once {
        String::new()
    } else {
        format!(" within OnlineTimeout ({})", Spoken(goal.spec.manners.online_timeout))
    };
    format!(
        "{} {online} of {} runners came online{patience}.{}{also}",
        first,
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
        causes.extend(missing_instances(held, goal, seen, n_waiting));
    }
    causes.extend(offline_runners(held, goal, seen));
    if goal.spec.credentials.app_login().is_some() && !ended.is_empty() {
        causes.push(
            "AppId: the image looks for the App's installation among the first 30 that GitHub lists, so an App with more \
             of them needs RunnerTokenParameter or an access token"
                .to_owned(),
        );
    }
    causes.extend(failed_rollout(seen).map(|why| format!("ECS gave the deployment up: {why}")));
    causes
}

/// Whether ECS only says that it waits for old runners, which the pool protects.
fn is_about_leaving(event: &ServiceEvent) -> bool {
    event.message.contains("unable to scale in")
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

/// Why tasks have nowhere to run.
fn missing_instances(held: &Continuation, goal: &Present, seen: &Observed, n_waiting: usize) -> Vec<String> {
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
    let attachments = seen.cluster.iter().flat_map(|cluster| &cluster.failed_attachments);
    let own: Vec<&String> = attachments.filter(|attachment| attachment.contains(held.id.as_str())).collect();
    if !own.is_empty() {
        causes.push(format!(
            "Cluster: ECS could not attach the capacity provider, and does not scale its group: {}. Remove the group's \
             scaling policies and plans, if there are any, then replace the pool",
            listed(&own)
        ));
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
            "MaxInstances: the group is at {} and has no room for {}{beside}. Raise it, or lower MemoryReservation ({} MiB)",
            group.shape.max,
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
        .then(|| format!("Registered at GitHub but offline: {}. See the containers' log", listed(&names)))
}

/// Whether a task has no instance yet.
pub(super) fn has_no_instance(task: &Task) -> bool {
    task.phase == TaskPhase::Starting && task.container_instance_arn.is_none()
}
