//! What people read about runners that did not leave in time: what is known of their jobs apart from what is presumed.

use crate::pool::model::ecs::Task;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::runner_log::JobName;
use crate::pool::model::spec::{GitHubCredential, WaitPolicy};
use crate::pool::model::text::{abbreviated_list, pluralize};
use crate::pool::model::time::HumanDuration;
use crate::pool::policy::reasons::credential;

/// `DrainTimeout` has passed, and jobs are to be left alone. `left` are runners by name, and tasks by ARN.
#[must_use]
pub fn drain_timed_out(
    wait_policy: &WaitPolicy,
    github_credential: Option<&GitHubCredential>,
    observed: &Observed,
    left: &[String],
) -> String {
    let (busy, presumed): (Vec<&String>, Vec<&String>) = left.iter().partition(|name| is_busy(observed, name));
    let timeout = HumanDuration(wait_policy.drain_timeout);
    let known = format!(
        "{} ({}) after DrainTimeout ({timeout}), and OnDrainTimeout is Fail, so no task was stopped. Wait for the jobs \
         or cancel them in GitHub, then retry; or raise DrainTimeout.",
        pluralize(busy.len(), "1 runner still has a running job", "runners still have a running job"),
        abbreviated_list(&busy)
    );
    if presumed.is_empty() {
        return known;
    }
    let doubt = format!(
        "{} ({}), which is unknown and so presumed: {}.",
        pluralize(presumed.len(), "1 task may still have a running job", "tasks may still have a running job"),
        abbreviated_list(&presumed),
        why_not_known(github_credential, observed)
    );
    let first = match &observed.github {
        GitHubRunners::Failed(_) | GitHubRunners::NotQueried => "Correct that",
        GitHubRunners::NoCredential | GitHubRunners::Listed(_) => "Check in GitHub whether they have jobs",
    };
    let advice = format!("{first}, then retry; or set OnDrainTimeout to Cancel, which stops them.");
    if busy.is_empty() {
        format!("After DrainTimeout ({timeout}) {doubt} OnDrainTimeout is Fail, so no task was stopped. {advice}")
    } else {
        format!("{known} Also, {doubt} {advice}")
    }
}

/// Whether GitHub's list calls a runner busy.
fn is_busy(observed: &Observed, name: &str) -> bool {
    let GitHubRunners::Listed(runners) = &observed.github else { return false };
    runners.iter().any(|runner| runner.is_busy && runner.name == name)
}

/// Why it is not known whether a task has a job.
fn why_not_known(github_credential: Option<&GitHubCredential>, observed: &Observed) -> String {
    match &observed.github {
        GitHubRunners::Failed(remote_error) => credential::explained(github_credential, remote_error),
        GitHubRunners::NoCredential => "RunnerTokenParameter alone gives no access to GitHub".to_owned(),
        GitHubRunners::NotQueried => "GitHub was not asked".to_owned(),
        GitHubRunners::Listed(_) => "no runner on GitHub's list has a name that leads to it".to_owned(),
    }
}

/// That a runner has a job by its own log. The end of the job may be missing there, and then only a person can decide.
#[must_use]
pub fn busy_by_log(task: &Task, job: &JobName) -> String {
    let task_id = task.arn.rsplit('/').next().unwrap_or(&task.arn);
    format!("whose log shows the job {job}: if it is over, stop the ECS task {task_id}")
}

/// ECS does not protect tasks, and jobs are to be left alone.
#[must_use]
pub fn cannot_protect(wait_policy: &WaitPolicy, n_tasks: usize, reason: &str) -> String {
    format!(
        "Task protection: for DrainTimeout ({}) ECS did not protect {} ({reason}), and OnDrainTimeout is Fail, so no \
         task was stopped. Wait for running jobs or cancel them in GitHub, then retry.",
        HumanDuration(wait_policy.drain_timeout),
        pluralize(n_tasks, "1 task", "tasks")
    )
}
