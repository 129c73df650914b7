//! A runner leads to its task: its name ends in the first digits of the container's id.

use super::identity::RunnerMark;
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
    let Some(digits) = task.short_id() else { return Behind::Unclear };
    if let Some(runner) = runners.iter().find(|runner| mark.owns(runner) && mark.short_id(&runner.name) == Some(digits))
    {
        return Behind::Runner(runner);
    }
    // A runner with our label that works, and whose name leads to no living task, may be the one behind any of them.
    let leads_nowhere = |runner: &&Runner| {
        mark.labels(runner)
            && (runner.is_online || runner.is_busy)
            && mark
                .short_id(&runner.name)
                .is_none_or(|name| !tasks.iter().any(|task| task.is_live() && task.short_id() == Some(name)))
    };
    let mut lost = runners.iter().filter(leads_nowhere);
    match (lost.next(), lost.next()) {
        (None, _) => Behind::Nobody,
        // One fixed name leads to a task while there is but one.
        (Some(runner), None)
            if mark.fixed_names.contains(&runner.name) && tasks.iter().filter(|task| task.is_live()).count() == 1 =>
        {
            Behind::Runner(runner)
        }
        (Some(_), _) => Behind::Unclear,
    }
}
