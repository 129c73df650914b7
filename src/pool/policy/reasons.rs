//! Failure reasons and warnings: sentences that say what happened, where, and what to do next.
//!
//! A failure reason is all that many readers see, so it is self-contained. Details for the log are not part of it.

mod credential;
mod draining;
mod scale_set;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::pool::model::decision::WaitReason;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed, ObservedScaleSet};
use crate::pool::model::operation::{CONTINUATIONS_MAX, ConvergeGoal, Goal, Operation};
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::spec::{Capacity, PoolSpec};
pub use crate::pool::model::text::{abbreviated_list, pluralize};
use crate::pool::model::time::{HumanDuration, Timestamp};
pub use crate::pool::policy::reasons::credential::{cannot_deregister, explained, github_refused, github_unreachable};
pub use crate::pool::policy::reasons::draining::{busy_by_log, cannot_protect, drain_timed_out};
pub use crate::pool::policy::reasons::scale_set::{foreign_scale_set, no_listener_session, scale_set_left};

/// A continuation in the format of another version.
pub const UNSUPPORTED_CONTINUATION: &str = "The function was updated during this request, and this version cannot read \
    the other version's continuation. Retry the operation; it resumes from the current state.";

/// A panic.
pub const INTERNAL_ERROR: &str =
    "Internal error in github-runner-pool. Retry the operation, and report the error with the function's log.";

/// Characters of what Lambda reports that a Reason repeats.
const MESSAGE_CHARS_MAX: usize = 200;

/// The end of the invocation came before the end of a call.
#[must_use]
pub fn call_timed_out(took: Duration) -> String {
    format!(
        "An API call did not return before the end of the invocation, after {}. Retry the operation; it resumes from \
         the current state.",
        HumanDuration(took)
    )
}

/// The request took more invocations than it may.
#[must_use]
pub fn too_many_continuations(operation: &Operation, why: &WaitReason) -> String {
    format!(
        "After {CONTINUATIONS_MAX} invocations the pool {} was still waiting for {why}. Retry the operation; it \
         resumes from the current state.",
        operation.id
    )
}

/// The function could not invoke itself.
#[must_use]
pub fn not_continued(operation: &Operation, why: &WaitReason, remote_error: &RemoteError) -> String {
    format!(
        "lambda:InvokeFunction: the function could not invoke itself to continue while the pool {} was waiting for \
         {why}: {remote_error}. Allow it in the function's role, then retry.",
        operation.id
    )
}

/// Lambda has exhausted its retries of the request's event, and no invocation completed.
#[must_use]
pub fn retries_exhausted(condition: &str, attempts: Option<u32>, error: Option<&str>) -> String {
    let why = match condition {
        "RetriesExhausted" => "every attempt failed",
        "EventAgeExceeded" => "the event waited too long for an invocation",
        other => other,
    };
    let attempts =
        attempts.map(|n| format!(" ({})", pluralize(usize::try_from(n).unwrap_or(0), "1 attempt", "attempts")));
    let error = error
        .map(|error| format!(" Lambda reports: {}.", error.chars().take(MESSAGE_CHARS_MAX).collect::<String>()))
        .unwrap_or_default();
    format!(
        "Lambda exhausted its retries{} for this request: {why}.{error} Check the function's log and metrics, then \
         retry the operation; it resumes from the current state.",
        attempts.unwrap_or_default()
    )
}

/// The pools of a resource that its Delete does not name, and that stay; `None` if there are none.
#[must_use]
pub fn pools_left(left: &BTreeSet<PhysicalId>) -> Option<String> {
    Some(format!("{} of this resource stays until a Delete names it or its stack is deleted", pools(left)?))
}

/// A Delete has deleted its pool, and CloudFormation does not say whether the others of the resource go as well.
#[must_use]
pub fn stack_deletion_unknown(id: &PhysicalId, left: &BTreeSet<PhysicalId>, remote_error: &RemoteError) -> String {
    let others = pools(left).unwrap_or_else(|| "a pool that an earlier request may still create".to_owned());
    format!(
        "DescribeStacks: the pool {id} is gone, and it is unknown whether the stack is being deleted and {others} of \
         this resource with it ({remote_error}). Allow cloudformation:DescribeStacks in the function's role, then \
         delete again."
    )
}

/// A Delete whose physical id names no pool, with the pools that stay; `None` if there are none.
#[must_use]
pub fn names_no_pool(physical_id: &str, left: &BTreeSet<PhysicalId>) -> Option<String> {
    let stays = pools_left(left)?;
    Some(format!("the physical id {physical_id} names no pool, so nothing was deleted: {stays}"))
}

/// An Update could not find out whether its resource has other pools.
#[must_use]
pub fn other_pools_unknown(remote_error: &RemoteError) -> String {
    format!("whether this resource has other pools is unknown ({remote_error})")
}

/// The same for a Delete, after which nothing asks again.
#[must_use]
pub fn other_pools_not_listed(operation: &Operation, remote_error: &RemoteError) -> String {
    format!(
        "Other pools of this resource: they could not be listed, and the pool {} is gone. Delete again. {remote_error}",
        operation.id
    )
}

/// Which pool a Delete is about could not be found out.
#[must_use]
pub fn pool_not_identified(remote_error: &RemoteError) -> String {
    format!(
        "PhysicalResourceId: it names no pool, and the resource's pools could not be listed. Delete again. \
         {remote_error}"
    )
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
pub fn remote_error(operation: &Operation, remote_error: &RemoteError) -> String {
    let what_to_do = match (remote_error.kind, remote_error.remote) {
        (ErrorKind::Denied | ErrorKind::Unauthenticated, RemoteService::GitHub) => "",
        (ErrorKind::Denied, _) => "Allow it in the function's role, then retry. ",
        (ErrorKind::Unauthenticated, _) => "AWS did not accept the function's own credentials; retry. ",
        (ErrorKind::Invalid, _) => "Correct the named value, then retry. ",
        // The table has the name that the function's own stack gives it.
        (ErrorKind::NotFound, RemoteService::DynamoDb) => "Deploy the provider stack of this version, then retry. ",
        (ErrorKind::NotFound, _) => "Create the named resource, or correct the name, then retry. ",
        (
            ErrorKind::Throttled { .. }
            | ErrorKind::Unavailable
            | ErrorKind::Unreachable
            | ErrorKind::Conflict
            | ErrorKind::Unexpected,
            _,
        ) => "Retry. ",
    };
    format!("{}. {what_to_do}(pool {})", remote_error.to_string().trim_end_matches('.'), operation.id)
}

/// The image would not find the installation of the App.
#[must_use]
pub fn other_app_login(spec: &PoolSpec, login: &str) -> String {
    format!(
        "AppLogin: the App is installed on {login}, and the image would look for {}, case-sensitively. Specify {login} \
         with this capitalization in AppLogin, or in the property that it is derived from; the pool stays the same.",
        spec.credentials.app_login().map_or("", String::as_str)
    )
}

/// The runner group of the template does not exist.
#[must_use]
pub fn no_such_runner_group(spec: &PoolSpec) -> String {
    format!(
        "RunnerGroup: the {} has no runner group named {}. Create it under Settings > Actions > Runner groups, correct \
         the name, or omit RunnerGroup.",
        spec.github.scope,
        spec.runner.group.as_deref().unwrap_or_default()
    )
}

/// AWS has not made a role that it makes for itself, and it should have by now.
#[must_use]
pub fn no_service_linked_role(
    operation: &Operation,
    principal: &str,
    remote_error: &RemoteError,
    waited: Duration,
) -> String {
    format!(
        "The service-linked role for {principal}: it is missing, or not usable after {}. Create it with `aws iam \
         create-service-linked-role --aws-service-name {principal}`, then retry. {}. (pool {})",
        HumanDuration(waited),
        remote_error.to_string().trim_end_matches('.'),
        operation.id
    )
}

/// The response is due and the goal is not reached.
#[must_use]
pub fn out_of_time(
    operation: &Operation,
    memory: &Memory,
    observed: &Observed,
    why: &WaitReason,
    now: Timestamp,
) -> String {
    let spent = HumanDuration(now.since(operation.signed_at));
    let next = match operation.goal {
        Goal::Converge(_) => "The function rolled no changes back. Update the stack again to resume.",
        Goal::Delete(_) => "Delete again to resume.",
    };
    let remote_error = memory.last_error.as_ref().map(ToString::to_string);
    let remote_error = remote_error.map(|remote_error| format!(" Last error: {}.", remote_error.trim_end_matches('.')));
    let event = observed.service.as_ref().and_then(|service| service.events.first());
    let event = event.map(|event| format!(" Last event of the service: {}", event.message));
    format!(
        "After {spent} the pool {} was still waiting for {why}. {next}{}{}",
        operation.id,
        remote_error.unwrap_or_default(),
        event.unwrap_or_default()
    )
}

/// What a person should know about a pool that is as it should be.
#[must_use]
pub fn notes_of_success(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
) -> Vec<String> {
    let mut notes = cancelled_jobs_note(operation, memory, observed);
    match &observed.github {
        GitHubRunners::NoCredential => notes.push(
            "RunnerTokenParameter alone gives no access to GitHub: runners were not checked and will not be \
             deregistered on Delete"
                .to_owned(),
        ),
        GitHubRunners::Failed(remote_error) => {
            let github_credential = goal.spec.credentials.github_credential.as_ref();
            notes.push(format!("the runners could not be counted: {}", explained(github_credential, remote_error)));
        }
        GitHubRunners::NotQueried | GitHubRunners::Listed(_) => {}
    }
    if let (Capacity::Own(_), Some(group)) = (&goal.spec.capacity, &observed.group) {
        let is_older = |version: Option<u64>| version.is_some() && version != observed.template_version;
        let n_older = group.instances.iter().filter(|instance| is_older(instance.template_version)).count();
        if n_older > 0 {
            notes.push(format!(
                "{} on an older version of the launch template, until empty",
                pluralize(n_older, "1 instance still works", "instances still work")
            ));
        }
    }
    notes
}

/// What a person should know about a pool that is gone.
#[must_use]
pub fn notes_of_deletion(operation: &Operation, memory: &Memory, observed: &Observed) -> Vec<String> {
    const BY_ITSELF: &str =
        "GitHub removes them automatically 14 days after they were last online (ephemeral ones after 1 day)";
    let mut notes = cancelled_jobs_note(operation, memory, observed);
    notes.extend(scale_set_note(memory, observed));
    let is_unknown = matches!(&observed.github, GitHubRunners::Failed(error) if error.kind == ErrorKind::Unreachable);
    match (&observed.github, observed.metadata.as_ref().filter(|_| memory.was_built || is_unknown)) {
        (GitHubRunners::Listed(runners), Some(metadata)) => {
            let ours: Vec<_> = runners.iter().filter(|runner| metadata.matcher.owns(runner)).collect();
            let names: Vec<&str> = ours.iter().map(|runner| runner.name.as_str()).collect();
            let how = if ours.iter().all(|runner| runner.is_busy) { " as busy" } else { "" };
            if !names.is_empty() {
                notes.push(format!("GitHub still lists {}{how}; {BY_ITSELF}", abbreviated_list(&names)));
            }
        }
        (GitHubRunners::Failed(remote_error), Some(metadata)) => notes.push(format!(
            "GitHub may still list {}, because they could not be deregistered ({remote_error}); {BY_ITSELF}",
            possibly_remaining(memory, &metadata.matcher.label)
        )),
        (GitHubRunners::NoCredential, Some(metadata)) => notes.push(format!(
            "GitHub may still list {}, because RunnerTokenParameter alone gives no access to GitHub; {BY_ITSELF}",
            possibly_remaining(memory, &metadata.matcher.label)
        )),
        (
            GitHubRunners::NotQueried
            | GitHubRunners::Listed(_)
            | GitHubRunners::Failed(_)
            | GitHubRunners::NoCredential,
            _,
        ) => {}
    }
    notes
}

/// The runner scale set that may be left.
fn scale_set_note(memory: &Memory, observed: &Observed) -> Option<String> {
    let request = observed.metadata.as_ref().filter(|_| memory.was_built)?.scale_set.as_ref()?;
    match &observed.scale_set {
        ObservedScaleSet::Found(_) if memory.scale_set_busy_since.is_some() => {
            Some(scale_set_left(&request.name, "GitHub says that a job runs in it"))
        }
        ObservedScaleSet::Failed(remote_error) => Some(scale_set_left(&request.name, &remote_error.to_string())),
        ObservedScaleSet::NotQueried => match &observed.github {
            GitHubRunners::Failed(remote_error) => Some(scale_set_left(&request.name, &remote_error.to_string())),
            GitHubRunners::NotQueried | GitHubRunners::NoCredential | GitHubRunners::Listed(_) => None,
        },
        ObservedScaleSet::Found(_) | ObservedScaleSet::Missing => None,
    }
}

/// The runners that may be left.
fn possibly_remaining(memory: &Memory, label: &str) -> String {
    let names: Vec<&String> = memory.registered.iter().collect();
    if names.is_empty() {
        format!("runners with the label {label}")
    } else {
        format!("the runners {} (label {label})", abbreviated_list(&names))
    }
}

fn cancelled_jobs_note(operation: &Operation, memory: &Memory, observed: &Observed) -> Vec<String> {
    let n = usize::try_from(memory.n_jobs_cancelled).unwrap_or(usize::MAX);
    if n == 0 {
        return Vec::new();
    }
    // The list of now says nothing of the moment in which they were stopped, but it was read then as it is now.
    let doubt = match &observed.github {
        GitHubRunners::Listed(_) | GitHubRunners::NotQueried => String::new(),
        GitHubRunners::Failed(_) | GitHubRunners::NoCredential => {
            "; whether one was is not known, since GitHub could not be asked".to_owned()
        }
    };
    vec![format!(
        "{} with a job that may have been running, because DrainTimeout ({}) had passed{doubt}",
        pluralize(n, "1 task was stopped", "tasks were stopped"),
        HumanDuration(operation.wait_policy().drain_timeout)
    )]
}

/// The reconciliation loop exceeded its rounds.
#[must_use]
pub fn too_many_rounds(id: &PhysicalId, rounds_max: u32) -> String {
    format!(
        "Internal error in github-runner-pool: the pool {id} did not converge in {rounds_max} rounds. Report it with \
         the function's log."
    )
}
