//! What people read about runners that did not leave in time: what is known of their jobs apart from what is presumed.

use super::{credential, either, listed};
use crate::pool::observed::{GitHubView, Observed};
use crate::pool::spec::{Administrator, Manners};
use crate::pool::time::Spoken;

/// `DrainTimeout` has passed, and jobs are to be left alone. `left` are runners by name, and tasks by ARN.
#[must_use]
pub fn drain_overdue(
    manners: &Manners,
    administrator: Option<&Administrator>,
    seen: &Observed,
    left: &[String],
) -> String {
    let (busy, presumed): (Vec<&String>, Vec<&String>) = left.iter().partition(|name| is_busy(seen, name));
    let timeout = Spoken(manners.drain_timeout);
    let known = format!(
        "{} ({}) after DrainTimeout ({timeout}), and OnDrainTimeout is Fail, so nothing was stopped. Wait for the jobs or \
         cancel them in GitHub, then try again; or raise DrainTimeout.",
        either(busy.len(), "1 runner still has a running job", "runners still have a running job"),
        listed(&busy)
    );
    if presumed.is_empty() {
        return known;
    }
    let doubt = format!(
        "{} ({}), which is presumed because it is not known: {}.",
        either(presumed.len(), "1 task may still have a running job", "tasks may still have a running job"),
        listed(&presumed),
        why_not_known(administrator, seen)
    );
    let first = match &seen.github {
        GitHubView::Refused(_) | GitHubView::NotAsked => "Correct that",
        GitHubView::NoCredential | GitHubView::Runners(_) => "Look in GitHub whether they work",
    };
    let advice = format!("{first}, then try again; or set OnDrainTimeout to Cancel, which stops them.");
    if busy.is_empty() {
        format!("After DrainTimeout ({timeout}) {doubt} OnDrainTimeout is Fail, so nothing was stopped. {advice}")
    } else {
        format!("{known} Beside those, {doubt} {advice}")
    }
}

/// Whether GitHub's list calls a runner busy.
fn is_busy(seen: &Observed, name: &str) -> bool {
    let GitHubView::Runners(runners) = &seen.github else { return false };
    runners.iter().any(|runner| runner.is_busy && runner.name == name)
}

/// Why it is not known whether a task has a job.
fn why_not_known(administrator: Option<&Administrator>, seen: &Observed) -> String {
    match &seen.github {
        GitHubView::Refused(refusal) => credential::explained(administrator, refusal),
        GitHubView::NoCredential => "RunnerTokenParameter alone gives no access to GitHub".to_owned(),
        GitHubView::NotAsked => "GitHub was not asked".to_owned(),
        GitHubView::Runners(_) => "no runner on GitHub's list has a name that leads to it".to_owned(),
    }
}

/// ECS does not protect tasks, and jobs are to be left alone.
#[must_use]
pub fn cannot_protect(manners: &Manners, n_tasks: usize, reason: &str) -> String {
    format!(
        "Wait for running jobs or cancel them in GitHub, if there are any, then try again: for DrainTimeout ({}) ECS did \
         not protect {} ({reason}), and OnDrainTimeout is Fail, so nothing was put at risk.",
        Spoken(manners.drain_timeout),
        either(n_tasks, "1 task", "tasks")
    )
}
