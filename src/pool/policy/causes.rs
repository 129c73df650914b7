//! Explains why the desired runners did not come online: the most probable cause first, with the property to change.
//!
//! Only this request's deployment counts. Tasks of an earlier deployment, tasks that stopped before the request began,
//! and tasks that the function stopped say nothing about the runners that it waits for.

mod stopped_tasks;

use crate::pool::model::ecs::{Placement, RolloutState, ServiceEvent, StopInfo, Task, TaskPhase};
use crate::pool::model::identity::cluster_name;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::runner_matching::{RunnerLookup, RunnerMatcher, runner_for_task};
use crate::pool::model::spec::Capacity;
use crate::pool::model::text::{abbreviated_list, pluralize};
use crate::pool::model::time::HumanDuration;
use crate::pool::policy::capacity;
use crate::pool::policy::causes::stopped_tasks::{endings, is_unplaced, stopped};
use crate::pool::policy::deployments::failed_without_capacity;
use crate::pool::policy::deployments::{is_of_newest, newest_deployment};
use crate::pool::policy::reasons::busy_by_log;
use crate::pool::policy::runner_counts::{n_online, n_previous_online};

/// The failure reason when the desired runners did not come online: the causes, how many came online, and what still
/// works.
#[must_use]
pub fn not_online(operation: &Operation, memory: &Memory, goal: &ConvergeGoal, observed: &Observed) -> String {
    let mut causes = causes(operation, memory, goal, observed);
    if causes.is_empty() {
        causes.push("The containers run, and GitHub lists no runner of theirs. See the containers' log".to_owned());
    }
    let event =
        observed.service.as_ref().and_then(|service| service.events.iter().find(|event| !is_about_leaving(event)));
    let event = event.filter(|event| event.at >= operation.signed_at);
    causes.extend(event.map(|event| format!("The last event of the service: {}", event.message)));
    let causes: Vec<String> = causes.iter().map(|cause| format!("{}.", cause.trim_end_matches('.'))).collect();
    let (first, more) = causes.split_first().map_or((String::new(), &[][..]), |(first, more)| (first.clone(), more));
    let also = if more.is_empty() { String::new() } else { format!(" Also: {}", more.join(" ")) };
    let online = n_online(operation, goal, observed).unwrap_or(0);
    let is_given_up_at_once = failed_rollout(observed).is_some() && failed_without_capacity(observed).is_none();
    let patience = if is_given_up_at_once {
        String::new()
    } else {
        format!(" within OnlineTimeout ({})", HumanDuration(goal.spec.wait_policy.online_timeout))
    };
    format!(
        "{} {online} of {} runners came online{patience}.{}{also}",
        first,
        goal.spec.desired_count,
        still_works(operation, memory, goal, observed)
    )
}

/// A sentence that runners from before this request still take jobs, if they do; begins with a space.
#[must_use]
pub fn still_works(operation: &Operation, memory: &Memory, goal: &ConvergeGoal, observed: &Observed) -> String {
    match n_previous_online(operation, memory, goal, observed) {
        0 => String::new(),
        1 => " The old runner still accepts jobs.".to_owned(),
        n => format!(" The {n} old runners still accept jobs."),
    }
}

/// The causes, the most probable first, each without its full stop.
fn causes(operation: &Operation, memory: &Memory, goal: &ConvergeGoal, observed: &Observed) -> Vec<String> {
    let endings = endings(operation, memory, goal, observed);
    let (unplaced, ended): (Vec<&StopInfo>, Vec<&StopInfo>) = endings.into_iter().partition(|it| is_unplaced(it));
    let n_waiting = observed.tasks.iter().filter(|task| has_no_instance(task)).count();
    let mut causes = Vec::new();
    causes.extend(capacity::impossible(&goal.spec, observed));
    causes.extend(stopped(&goal.spec, &ended));
    if causes.is_empty()
        && let GitHubRunners::Failed(remote_error) = &observed.github
    {
        let remote_error = remote_error.to_string();
        causes.push(format!("{}. Retry once GitHub responds", remote_error.trim_end_matches('.')));
    }
    // Shortly after the request began, a failed deployment says nothing about instances that are still starting.
    let had_time = failed_rollout(observed).is_none() || !unplaced.is_empty();
    let n_waiting = n_waiting.max(unplaced.len());
    if matches!(goal.spec.capacity, Capacity::Own(_)) && had_time && (n_waiting > 0 || !has_live_task(goal, observed)) {
        causes.extend(missing_instances(operation, goal, observed, n_waiting));
    }
    causes.extend(busy_runners(operation, memory, goal, observed));
    causes.extend(offline_runners(operation, goal, observed));
    if goal.spec.credentials.app_login().is_some() && !ended.is_empty() {
        causes.push(
            "AppId: the image looks for the App's installation among the first 30 that GitHub lists, so an App with \
             more of them needs RunnerTokenParameter or an access token"
                .to_owned(),
        );
    }
    causes.extend(
        failed_rollout(observed)
            .map(|why| format!("ECS deployment failed: {why}. Check the service's events and the containers' log")),
    );
    causes
}

/// Whether ECS only says that it waits for old runners, which the pool protects.
fn is_about_leaving(event: &ServiceEvent) -> bool {
    event.message.contains("unable to scale in")
}

/// Whether any task of this deployment is live.
fn has_live_task(goal: &ConvergeGoal, observed: &Observed) -> bool {
    observed.tasks.iter().any(|task| task.is_live() && is_of_newest(goal, observed, task))
}

/// The number of tasks of this deployment that stopped without being stopped by the function or ECS.
pub(super) fn n_failed_tasks(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
) -> usize {
    endings(operation, memory, goal, observed).len()
}

fn failed_rollout(observed: &Observed) -> Option<&str> {
    match &newest_deployment(observed)?.rollout {
        RolloutState::Failed(why) => Some(why),
        RolloutState::InProgress | RolloutState::Completed => None,
    }
}

/// Why tasks find no instance.
fn missing_instances(operation: &Operation, goal: &ConvergeGoal, observed: &Observed, n_waiting: usize) -> Vec<String> {
    let mut causes = Vec::new();
    if let Some(activity) = &observed.failed_activity {
        let is_short = activity.contains("capacity") || activity.contains("not supported in your requested");
        let (property, advice) = if is_short {
            ("InstanceTypes", "Give more types, or Subnets in more zones")
        } else {
            ("LaunchTemplate", "Correct the named value")
        };
        let activity = activity.trim_end_matches('.');
        causes.push(format!("{property}: Auto Scaling could not start an instance: {activity}. {advice}"));
    }
    let attachments = observed.cluster.iter().flat_map(|cluster| &cluster.failed_attachments);
    let own: Vec<&String> = attachments.filter(|attachment| attachment.contains(operation.id.as_str())).collect();
    if !own.is_empty() {
        causes.push(format!(
            "Cluster: ECS could not attach the capacity provider, and does not scale its group: {}. Remove the group's \
             scaling policies and plans, if there are any, then replace the pool",
            abbreviated_list(&own)
        ));
    }
    let Some(group) = &observed.group else { return causes };
    let joined = |id: &str| observed.instances.iter().any(|instance| instance.ec2_instance_id.as_deref() == Some(id));
    let strangers: Vec<&str> = group
        .instances
        .iter()
        .filter(|instance| instance.lifecycle_state == "InService" && !joined(&instance.id))
        .map(|instance| instance.id.as_str())
        .collect();
    if !strangers.is_empty() {
        causes.push(format!(
            "LaunchTemplate: instances that are not registered with the cluster: {}. Its user data must write \
             ECS_CLUSTER={} to /etc/ecs/ecs.config, its instance profile must allow the ECS agent, and Subnets must \
             have a route to ECS",
            abbreviated_list(&strangers),
            observed.cluster.as_ref().map(|cluster| cluster_name(&cluster.arn)).unwrap_or_default()
        ));
    }
    if n_waiting > 0 && strangers.is_empty() && group.desired >= group.config.max {
        let beside = if observed.tasks.iter().any(|task| task.is_running()) { " beside those that run" } else { "" };
        causes.push(format!(
            "MaxInstances: the group is at {} and has no room for {}{beside}. Raise it, or lower MemoryReservation ({} \
             MiB)",
            group.config.max,
            pluralize(n_waiting, "1 more runner", "more runners"),
            goal.spec.task.memory_reservation_mib
        ));
    }
    causes
}

/// Runners that do not make room for their replacements, since their own log shows a job.
fn busy_runners(operation: &Operation, memory: &Memory, goal: &ConvergeGoal, observed: &Observed) -> Option<String> {
    let GitHubRunners::Listed(runners) = &observed.github else { return None };
    let matcher = RunnerMatcher::of(&operation.id, &goal.spec);
    let running = observed.tasks.iter().filter(|task| task.is_running());
    let named = running.filter_map(|task| {
        let job = memory.logs.busy(&task.arn)?;
        match runner_for_task(&matcher, runners, &observed.tasks, task) {
            RunnerLookup::Found(runner) if runner.is_busy => None,
            RunnerLookup::Found(runner) => Some(format!("{}, {}", runner.name, busy_by_log(task, job))),
            RunnerLookup::NotListed | RunnerLookup::Ambiguous => {
                Some(format!("{}, {}", task.arn, busy_by_log(task, job)))
            }
        }
    });
    let named: Vec<String> = named.collect();
    (!named.is_empty())
        .then(|| format!("LogGroup: runners that have a job are not replaced: {}", abbreviated_list(&named)))
}

fn offline_runners(operation: &Operation, goal: &ConvergeGoal, observed: &Observed) -> Option<String> {
    let GitHubRunners::Listed(runners) = &observed.github else { return None };
    let matcher = RunnerMatcher::of(&operation.id, &goal.spec);
    let has_task = |name: &str| {
        let leads_to = |task: &Task| matcher.short_id(name).is_some_and(|id| task.has_short_id(id));
        observed.tasks.iter().any(|task| task.is_live() && leads_to(task))
    };
    let offline = runners.iter().filter(|runner| matcher.owns(runner) && !runner.is_online && has_task(&runner.name));
    let names: Vec<&str> = offline.map(|runner| runner.name.as_str()).collect();
    (!names.is_empty())
        .then(|| format!("Registered at GitHub but offline: {}. See the containers' log", abbreviated_list(&names)))
}

/// Whether a task has no instance yet.
pub(super) fn has_no_instance(task: &Task) -> bool {
    task.phase == TaskPhase::Starting && task.placement == Placement::Unplaced
}
