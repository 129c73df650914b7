//! What people read: sentences that say what happened, where, and what to do next.
//!
//! A Reason begins with what to do and is written for somebody who sees nothing but it. What only the log needs is not
//! in here.

use std::collections::BTreeSet;
use std::time::Duration;

use super::continuation::{Continuation, Goal, HOPS_MAX, Present};
use super::decision::Waiting;
use super::identity::PhysicalId;
use super::observed::{GitHubView, Observed};
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

/// The pools of a resource that its Delete does not name, and that stay; `None` if there are none. `unknown` is why it
/// is not known whether the whole stack is being deleted.
#[must_use]
pub fn pools_left(left: &BTreeSet<PhysicalId>, unknown: Option<&Refusal>) -> Option<String> {
    let listed = pools(left)?;
    let why = unknown.map(|refusal| format!("; whether the stack is being deleted is not known ({refusal})"));
    Some(format!(
        "{listed} of this resource stays until a Delete names it or its stack is deleted{}",
        why.unwrap_or_default()
    ))
}

/// A Delete whose physical id names no pool, with the pools that stay; `None` if there are none.
#[must_use]
pub fn names_no_pool(physical_id: &str, left: &BTreeSet<PhysicalId>, unknown: Option<&Refusal>) -> Option<String> {
    let stays = pools_left(left, unknown)?;
    Some(format!("the physical id {physical_id} names no pool, so nothing was deleted: {stays}"))
}

/// Whether the resource has other pools could not be found out.
#[must_use]
pub fn other_pools_unknown(refusal: &Refusal) -> String {
    format!("whether this resource has other pools is not known ({refusal})")
}

/// Which pool a Delete is about could not be found out.
#[must_use]
pub fn pool_not_found_out(refusal: &Refusal) -> String {
    format!("Delete again: the physical id names no pool, and what the resource has could not be read. {refusal}")
}

/// The first is named, and the others are counted.
fn pools(ids: &BTreeSet<PhysicalId>) -> Option<String> {
    let first = ids.first()?;
    Some(match ids.len().saturating_sub(1) {
        0 => format!("the pool {first}"),
        more => format!("the pool {first} (and {more} more)"),
    })
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
        Remote::GitHub
        | Remote::ParameterStore
        | Remote::CloudFormation
        | Remote::Ecs
        | Remote::AutoScaling
        | Remote::Ec2
        | Remote::Lambda => {
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
