//! A runner leads to its task: its name ends in the first digits of the container's id.

use super::identity::{RunnerMark, RunnerNames};
use super::observed::{Runner, Task};

/// Which runner is behind a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind<'seen> {
    /// This one.
    Runner(&'seen Runner),
    /// None that GitHub lists.
    Nobody,
    /// Nothing that we see can tell.
    Unclear,
}

/// Finds the runner behind `task`, one of `tasks`, among all that GitHub lists.
#[must_use]
pub fn runner_behind<'seen>(mark: &RunnerMark, runners: &'seen [Runner], tasks: &[Task], task: &Task) -> Behind<'seen> {
    match &mark.names {
        RunnerNames::Prefixed(_) => {
            let Some(digits) = task.short_id() else { return Behind::Unclear };
            runners
                .iter()
                .find(|runner| mark.owns(runner) && mark.short_id(&runner.name) == Some(digits))
                .map_or(Behind::Nobody, Behind::Runner)
        }
        RunnerNames::Fixed(_) => match runners.iter().find(|runner| mark.owns(runner)) {
            None => Behind::Nobody,
            // One name for all: it leads to a task only while there is but one.
            Some(runner) if tasks.iter().filter(|task| task.is_live()).count() == 1 => Behind::Runner(runner),
            Some(_) => Behind::Unclear,
        },
    }
}

/// The name that the runner of this task has; `None` while the container's id is unknown.
#[must_use]
pub fn name_of(mark: &RunnerMark, task: &Task) -> Option<String> {
    match &mark.names {
        RunnerNames::Prefixed(prefix) => task.short_id().map(|digits| format!("{prefix}-{digits}")),
        RunnerNames::Fixed(name) => Some(name.clone()),
    }
}
