//! What people read about what may be left at GitHub of a pool that is deleted.

use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed, ObservedScaleSet};
use crate::pool::model::remains::RemainsRecord;
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::text::abbreviated_list;
use crate::pool::policy::reasons::scale_set::scale_set_left;

const BY_ITSELF: &str =
    "GitHub removes them automatically 14 days after they were last online (ephemeral ones after 1 day)";

/// What may be left at GitHub of a pool that is gone; empty if nothing is.
#[must_use]
pub fn notes_of_remains(memory: &Memory, observed: &Observed) -> Vec<String> {
    let mut notes: Vec<String> = scale_set_note(memory, observed).into_iter().collect();
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

/// What may be left of pools that earlier requests have deleted, where no request will delete it any more.
#[must_use]
pub fn notes_of_deleted_pools(remains: &RemainsRecord) -> Vec<String> {
    let labels: Vec<&str> = remains.pools().map(|(id, _)| id.as_str()).collect();
    let runners = (!labels.is_empty()).then(|| {
        let labels = abbreviated_list(&labels);
        format!("GitHub may still list runners with the label {labels}, which an earlier Delete left; {BY_ITSELF}")
    });
    let scale_sets = remains.pools().filter_map(|(_, metadata)| metadata.scale_set.as_ref());
    scale_sets.map(|request| scale_set_left(&request.name, "an earlier Delete left it")).chain(runners).collect()
}
