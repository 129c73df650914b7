//! What people read: sentences that say what happened, where, and what to do next.
//!
//! A Reason begins with what to do and is written for somebody who sees nothing but it. What only the log needs is not
//! in here.

use std::time::Duration;

use super::continuation::{Continuation, Goal, HOPS_MAX, Present};
use super::convergence::{given_up_for_want_of_room, n_online};
use super::decision::Waiting;
use super::observed::{GitHubView, Observed, Rollout, Task, TaskPhase};
use super::refusal::{Class, Refusal, Remote};
use super::spec::{Administrator, Capacity, Manners, OnDrainTimeout, PoolSpec};
use super::time::{Spoken, Timestamp};

/// Names that a sentence lists before it only counts.
const NAMES_MAX: usize = 5;

/// What was handed on is of a newer version.
pub const UNREADABLE: &str = "The function was changed to another version while this request was under way, and this \
    version cannot read what was handed on. Try again to go on from here.";

/// A panic.
pub const DEFECT: &str = "github-runner-pool failed in a way that it should not: this is a defect. Try again, and \
    report it with the function's log.";

/// Characters of what Lambda reports that a Reason repeats.
const SAID_CHARS_MAX: usize = 200;

/// The end of the invocation came before the end of a call.
#[must_use]
pub fn call_never_came_back(took: Duration) -> String {
    format!(
        "A call did not come back before the invocation had to end, after {}. Try again to go on from here.",
        Spoken(took)
    )
}

/// The request took more invocations than it may.
#[must_use]
pub fn too_many_hops(held: &Continuation, why: &Waiting) -> String {
    format!(
        "After {HOPS_MAX} invocations the pool {} was still waiting for {why}. Try again to go on from here.",
        held.id
    )
}

/// The function could not invoke itself.
#[must_use]
pub fn not_handed_on(held: &Continuation, why: &Waiting, refusal: &Refusal) -> String {
    format!(
        "The invocation's time was over while the pool {} was waiting for {why}, and the function could not invoke \
         itself to go on: {refusal}. Let its role invoke it, then try again.",
        held.id
    )
}

/// Lambda delivered the request's event as often as it does, and no invocation came to its end.
#[must_use]
pub fn given_up(condition: &str, tries: Option<u32>, said: Option<&str>) -> String {
    let why = match condition {
        "RetriesExhausted" => "every try failed",
        "EventAgeExceeded" => "it had waited too long for an invocation",
        other => other,
    };
    let tries = tries.map(|n| format!(" after {}", either(usize::try_from(n).unwrap_or(0), "1 try", "tries")));
    let said = said.map(|said| format!(" Lambda reports: {}.", said.chars().take(SAID_CHARS_MAX).collect::<String>()));
    format!(
        "Look at the function's log and metrics, then try again to go on from here: Lambda gave this request up{}, \
         because {why}.{}",
        tries.unwrap_or_default(),
        said.unwrap_or_default()
    )
}

/// A call that will be refused again.
#[must_use]
pub fn refused(held: &Continuation, refusal: &Refusal) -> String {
    let what_to_do = match (refusal.class, refusal.remote) {
        (Class::Denied | Class::Unauthenticated, Remote::GitHub) => "",
        (Class::Denied, _) => "Allow it in the function's role, then try again. ",
        (Class::Unauthenticated, _) => "The function's own AWS credentials were not accepted; try again. ",
        (Class::Rejected, _) => "Correct what it names, then try again. ",
        (Class::Missing, _) => "Create what it names, or correct the name, then try again. ",
        (Class::Throttled { .. } | Class::Unavailable | Class::Conflict | Class::Unexpected, _) => "Try again. ",
    };
    format!("{}. {what_to_do}(pool {})", refusal.to_string().trim_end_matches('.'), held.id)
}

/// GitHub, or the parameter with its credential, turned us away.
#[must_use]
pub fn github_refused(spec: &PoolSpec, refusal: &Refusal) -> String {
    let property = match &spec.credentials.administrator {
        Some(Administrator::AccessToken(parameter)) => format!("AccessTokenParameter {parameter}"),
        Some(Administrator::App { id, private_key, .. }) => {
            format!("AppId {id} with AppPrivateKeyParameter {private_key}")
        }
        None => "the credential".to_owned(),
    };
    match refusal.remote {
        Remote::ParameterStore if refusal.class == Class::Missing => format!(
            "{property}: there is no such parameter in this Region and account. Create it as a SecureString that holds \
             the credential, or correct its name."
        ),
        Remote::GitHub | Remote::ParameterStore | Remote::Ecs | Remote::AutoScaling | Remote::Ec2 | Remote::Lambda => {
            format!("{property} does not open the {} at {}: {refusal}", spec.github.scope, spec.github.host)
        }
    }
}

/// The image would not find the installation of the App.
#[must_use]
pub fn other_app_login(spec: &PoolSpec, login: &str) -> String {
    format!(
        "AppLogin: the App is installed on {login}, and the containers would look for {}, letter by letter. Write \
         {login} with just these capitals in AppLogin, or in the property from which it follows; the pool stays the \
         same one.",
        spec.credentials.app_login().map_or("", String::as_str)
    )
}

/// The runner group of the template does not exist.
#[must_use]
pub fn no_such_runner_group(spec: &PoolSpec) -> String {
    format!(
        "RunnerGroup: the {} has no runner group named {}. Create it under Settings > Actions > Runner groups, correct \
         the name, or leave RunnerGroup out.",
        spec.github.scope,
        spec.runner.group.as_deref().unwrap_or_default()
    )
}

/// `DrainTimeout` has passed, and jobs are to be left alone.
#[must_use]
pub fn drain_overdue(manners: &Manners, left: &[String]) -> String {
    format!(
        "{} ({}) after DrainTimeout ({}), and OnDrainTimeout is Fail, so nothing was \
         stopped. Wait for the jobs or cancel them in GitHub, then try again; or raise DrainTimeout.",
        either(left.len(), "1 runner still has a running job", "runners still have a running job"),
        listed(left),
        Spoken(manners.drain_timeout)
    )
}

/// ECS does not protect tasks, and jobs are to be left alone.
#[must_use]
pub fn cannot_protect(manners: &Manners, n_tasks: usize, reason: &str) -> String {
    format!(
        "Wait for the running jobs or cancel them in GitHub, then try again: for DrainTimeout ({}) ECS did not protect \
         {} ({reason}), and OnDrainTimeout is Fail, so nothing was put at risk.",
        Spoken(manners.drain_timeout),
        either(n_tasks, "1 task", "tasks")
    )
}

/// A Delete that GitHub does not let clean up, and that is to fail then.
#[must_use]
pub fn cannot_deregister(refusal: &Refusal) -> String {
    format!(
        "The runners cannot be deregistered, and OnDeregisterFailure is Fail, so nothing was deleted. Put a working \
         credential into the parameter and delete again. {refusal}"
    )
}

/// The answer is due and the goal is not reached.
#[must_use]
pub fn out_of_time(held: &Continuation, seen: &Observed, why: &Waiting, now: Timestamp) -> String {
    let spent = Spoken(now.since(held.accepted_at));
    let next = match held.goal {
        Goal::Present(_) => "Nothing was undone; update the stack again to go on from here.",
        Goal::Absent(_) => "Delete again to go on from here.",
    };
    let refusal = held.memory.last_refusal.as_ref().map(|refusal| format!(" Last refusal: {refusal}."));
    let event = seen.service.as_ref().and_then(|service| service.events.first());
    let event = event.map(|event| format!(" Last event of the service: {}", event.message));
    format!(
        "After {spent} the pool {} was still waiting for {why}. {next}{}{}",
        held.id,
        refusal.unwrap_or_default(),
        event.unwrap_or_default()
    )
}

/// The wanted runners did not come online: what stands in the way, nearest cause first.
#[must_use]
pub fn not_online(held: &Continuation, goal: &Present, seen: &Observed) -> String {
    let wanted = goal.spec.desired_count;
    let mut causes = Vec::new();
    if let Some(failed) = failed_rollout(seen) {
        causes.push(failed);
    }
    causes.extend(stopped_tasks(seen));
    causes.extend(offline_runners(held, goal, seen));
    // Told within seconds, a failed deployment says nothing against instances that are still starting.
    let is_told_at_once = failed_rollout(seen).is_some() && given_up_for_want_of_room(seen).is_none();
    if matches!(goal.spec.capacity, Capacity::Own(_)) && !is_told_at_once {
        causes.extend(missing_instances(held, seen));
    }
    if let Some(event) = seen.service.as_ref().and_then(|service| service.events.first()) {
        causes.push(format!("last event of the service: {}", event.message));
    }
    if let GitHubView::Refused(refusal) = &seen.github {
        causes.push(refusal.to_string());
    }
    if goal.spec.credentials.app_login().is_some() && seen.tasks.iter().any(|task| task.ending.is_some()) {
        causes.push(
            "the image looks for the App's installation among the first 30 that GitHub lists, so an App with more of \
             them needs RunnerTokenParameter or an access token"
                .to_owned(),
        );
    }
    if causes.is_empty() {
        causes.push("the tasks run, and GitHub lists no runner of theirs; see the containers' log".to_owned());
    }
    let online = n_online(held, goal, seen).unwrap_or(0);
    let patience = if is_told_at_once {
        String::new()
    } else {
        format!(" within OnlineTimeout ({})", Spoken(goal.spec.manners.online_timeout))
    };
    let causes: Vec<&str> = causes.iter().map(|cause| cause.trim_end_matches('.')).collect();
    format!("{online} of {wanted} runners came online{patience}: {}.", causes.join("; "))
}

fn failed_rollout(seen: &Observed) -> Option<String> {
    let deployments = &seen.service.as_ref()?.deployments;
    deployments.iter().find_map(|deployment| match &deployment.rollout {
        Rollout::Failed(why) if deployment.is_primary => Some(format!("ECS gave the deployment up: {why}")),
        Rollout::Failed(_) | Rollout::InProgress | Rollout::Completed => None,
    })
}

/// The newest task that stopped by itself, with its reason.
fn stopped_tasks(seen: &Observed) -> Option<String> {
    let endings = seen.tasks.iter().filter_map(|task| task.ending.as_ref());
    let newest = endings.clone().max_by_key(|ending| ending.at)?;
    let exit = newest.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
    let stopped = either(endings.count(), "1 task stopped", "tasks stopped, the last one");
    Some(format!("{stopped}: {}{exit}", newest.reason))
}

fn offline_runners(held: &Continuation, goal: &Present, seen: &Observed) -> Option<String> {
    let GitHubView::Runners(runners) = &seen.github else { return None };
    let mark = super::identity::RunnerMark::of(&held.id, &goal.spec);
    let names: Vec<&str> = runners
        .iter()
        .filter(|runner| mark.owns(runner) && !runner.is_online)
        .map(|runner| runner.name.as_str())
        .collect();
    (!names.is_empty()).then(|| format!("registered but offline: {}", listed(&names)))
}

/// Why tasks have nowhere to run.
fn missing_instances(held: &Continuation, seen: &Observed) -> Vec<String> {
    let mut causes = Vec::new();
    if let Some(activity) = &seen.failed_activity {
        causes.push(format!("the last scaling activity failed: {activity}"));
    }
    let attachments = seen.cluster.iter().flat_map(|cluster| &cluster.failed_attachments);
    let own: Vec<&String> = attachments.filter(|attachment| attachment.contains(held.id.as_str())).collect();
    if !own.is_empty() {
        causes.push(format!(
            "ECS could not attach the capacity provider to the cluster, and does not scale its group: {}; remove its \
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
            "instances that joined no cluster: {}. The launch template's user data must write ECS_CLUSTER={} to \
             /etc/ecs/ecs.config, and its instance profile must let the ECS agent in",
            listed(&strangers),
            seen.cluster.as_ref().map(|cluster| super::identity::cluster_name(&cluster.arn)).unwrap_or_default()
        ));
    }
    let waiting = seen.tasks.iter().filter(|task| is_unplaced(task)).count();
    if waiting > 0 && group.desired >= group.shape.max {
        causes.push(format!(
            "{}: the group is at MaxInstances ({}). Raise it, or ask for less memory per \
             runner",
            either(waiting, "1 task has no room", "tasks have no room"),
            group.shape.max
        ));
    }
    causes
}

/// Whether a task has no instance yet.
pub(super) fn is_unplaced(task: &Task) -> bool {
    task.phase == TaskPhase::Starting && task.container_instance_arn.is_none()
}

/// What a person should know about a pool that is as it should be.
#[must_use]
pub fn notes_of_success(held: &Continuation, goal: &Present, seen: &Observed) -> Vec<String> {
    let mut notes = cancelled(held);
    match &seen.github {
        GitHubView::NoCredential => notes.push(
            "RunnerTokenParameter alone gives no access to GitHub: runners were not checked and will not be \
             deregistered on Delete"
                .to_owned(),
        ),
        GitHubView::Refused(refusal) => notes.push(format!("the runners could not be counted: {refusal}")),
        GitHubView::NotAsked | GitHubView::Runners(_) => {}
    }
    if let (Capacity::Own(_), Some(group)) = (&goal.spec.capacity, &seen.group) {
        let is_older = |version: Option<u64>| version.is_some() && version != seen.template_version;
        let n_older = group.instances.iter().filter(|instance| is_older(instance.template_version)).count();
        if n_older > 0 {
            notes.push(format!(
                "{} on an older version of the launch template, until empty",
                either(n_older, "1 instance still works", "instances still work")
            ));
        }
    }
    notes
}

/// What a person should know about a pool that is gone.
#[must_use]
pub fn notes_of_deletion(held: &Continuation, seen: &Observed) -> Vec<String> {
    const BY_ITSELF: &str =
        "GitHub drops them by itself 14 days after they were last online (ephemeral ones after 1 day)";
    let mut notes = cancelled(held);
    match (&seen.github, held.record(seen)) {
        (GitHubView::Runners(runners), Some(record)) => {
            let names: Vec<&str> =
                runners.iter().filter(|runner| record.mark.owns(runner)).map(|runner| runner.name.as_str()).collect();
            if !names.is_empty() {
                notes.push(format!("GitHub still lists {} as busy; {BY_ITSELF}", listed(&names)));
            }
        }
        (GitHubView::Refused(refusal), Some(record)) => notes.push(format!(
            "GitHub may still list {}, because they could not be deregistered ({refusal}); {BY_ITSELF}",
            unlisted(held, &record.mark.label)
        )),
        (GitHubView::NoCredential, Some(record)) => notes.push(format!(
            "GitHub may still list {}, because RunnerTokenParameter alone gives no access to GitHub; {BY_ITSELF}",
            unlisted(held, &record.mark.label)
        )),
        (GitHubView::NotAsked | GitHubView::Runners(_) | GitHubView::Refused(_) | GitHubView::NoCredential, _) => {}
    }
    notes
}

/// The runners that are left, as far as anybody can tell.
fn unlisted(held: &Continuation, label: &str) -> String {
    let names: Vec<&String> = held.memory.registered.iter().collect();
    if names.is_empty() {
        format!("runners with the label {label}")
    } else {
        format!("the runners {} (label {label})", listed(&names))
    }
}

fn cancelled(held: &Continuation) -> Vec<String> {
    match (held.memory.n_cancelled, held.manners().on_drain_timeout) {
        (0, OnDrainTimeout::Cancel | OnDrainTimeout::Fail) => Vec::new(),
        (n, OnDrainTimeout::Cancel | OnDrainTimeout::Fail) => vec![format!(
            "{} with a job that may have been running, because DrainTimeout ({}) had passed",
            either(usize::try_from(n).unwrap_or(usize::MAX), "1 task was stopped", "tasks were stopped"),
            Spoken(held.manners().drain_timeout)
        )],
    }
}

/// The words for one, or the number and the words for more.
pub(super) fn either(n: usize, one: &str, more: &str) -> String {
    if n == 1 { one.to_owned() } else { format!("{n} {more}") }
}

/// The first few, and how many more.
pub(super) fn listed(names: &[impl AsRef<str>]) -> String {
    let shown = names.iter().take(NAMES_MAX).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
