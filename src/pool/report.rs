//! What people read: sentences that say what happened, where, and what to do next.
//!
//! A Reason begins with what to do and is written for somebody who sees nothing but it. What only the log needs is not
//! in here.

mod credential;
mod draining;

use std::collections::BTreeSet;
use std::time::Duration;

pub use self::credential::{cannot_deregister, explained, github_refused};
pub use self::draining::{cannot_protect, drain_overdue};
use super::continuation::{Continuation, Goal, HOPS_MAX, Present};
use super::decision::Waiting;
use super::identity::PhysicalId;
use super::observed::{GitHubView, Observed};
use super::refusal::{Class, Refusal, Remote};
use super::spec::{Capacity, PoolSpec};
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

/// AWS has not made a role that it makes for itself, and it should have by now.
#[must_use]
pub fn no_service_linked_role(held: &Continuation, principal: &str, refusal: &Refusal, waited: Duration) -> String {
    format!(
        "The service-linked role for {principal}: it is missing, or not usable after {}. Create it with `aws iam \
         create-service-linked-role --aws-service-name {principal}`, then try again. {}. (pool {})",
        Spoken(waited),
        refusal.to_string().trim_end_matches('.'),
        held.id
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
    let refusal = held.memory.last_refusal.as_ref().map(ToString::to_string);
    let refusal = refusal.map(|refusal| format!(" Last refusal: {}.", refusal.trim_end_matches('.')));
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
    let mut notes = cancelled(held, seen);
    match &seen.github {
        GitHubView::NoCredential => notes.push(
            "RunnerTokenParameter alone gives no access to GitHub: runners were not checked and will not be \
             deregistered on Delete"
                .to_owned(),
        ),
        GitHubView::Refused(refusal) => {
            let administrator = goal.spec.credentials.administrator.as_ref();
            notes.push(format!("the runners could not be counted: {}", explained(administrator, refusal)));
        }
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
    let mut notes = cancelled(held, seen);
    match (&seen.github, held.record(seen).filter(|_| held.memory.was_built)) {
        (GitHubView::Runners(runners), Some(record)) => {
            let ours: Vec<_> = runners.iter().filter(|runner| record.mark.owns(runner)).collect();
            let names: Vec<&str> = ours.iter().map(|runner| runner.name.as_str()).collect();
            let how = if ours.iter().all(|runner| runner.is_busy) { " as busy" } else { "" };
            if !names.is_empty() {
                notes.push(format!("GitHub still lists {}{how}; {BY_ITSELF}", listed(&names)));
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

fn cancelled(held: &Continuation, seen: &Observed) -> Vec<String> {
    let n = usize::try_from(held.memory.n_cancelled).unwrap_or(usize::MAX);
    if n == 0 {
        return Vec::new();
    }
    // The list of now says nothing of the moment in which they were stopped, but it was read then as it is now.
    let doubt = match &seen.github {
        GitHubView::Runners(_) | GitHubView::NotAsked => String::new(),
        GitHubView::Refused(_) | GitHubView::NoCredential => {
            "; whether one was is not known, since GitHub could not be asked".to_owned()
        }
    };
    vec![format!(
        "{} with a job that may have been running, because DrainTimeout ({}) had passed{doubt}",
        either(n, "1 task was stopped", "tasks were stopped"),
        Spoken(held.manners().drain_timeout)
    )]
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
