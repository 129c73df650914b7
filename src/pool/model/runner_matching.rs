//! Determines which runners belong to the pool, and which task each of them runs in.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::pool::model::ecs::{SHORT_CONTAINER_ID_DIGITS, Task};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::runner::Runner;
use crate::pool::model::spec::PoolSpec;

/// What distinguishes this pool's runners from all others: label **and** name.
///
/// A name is the pool's if it ends in the pool's digits and the short id of a task or a container, whatever stands before: the
/// template's prefix may change in place while runners of the old one still work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerMatcher {
    /// The pool's own label, which is its physical id.
    pub label: String,
    /// The ten digits that stand before the task's or the container's in a runner's name.
    pub pool_hash: String,
    /// Names that the template gives, or gave, by `RunnerName`.
    pub fixed_names: BTreeSet<String>,
}

impl RunnerMatcher {
    /// The matcher of the runners that `spec` describes.
    #[must_use]
    pub fn of(id: &PhysicalId, spec: &PoolSpec) -> Self {
        Self {
            label: id.as_str().to_owned(),
            pool_hash: id.hash().to_owned(),
            fixed_names: spec.runner.name.iter().cloned().collect(),
        }
    }

    /// Whether this runner is the pool's.
    #[must_use]
    pub fn owns(&self, runner: &Runner) -> bool {
        self.has_label(runner) && (self.fixed_names.contains(&runner.name) || self.short_id(&runner.name).is_some())
    }

    /// Whether this runner carries the pool's label. Case is ignored, as GitHub does.
    #[must_use]
    pub fn has_label(&self, runner: &Runner) -> bool {
        runner.labels.iter().any(|label| label.eq_ignore_ascii_case(&self.label))
    }

    /// The digits with which a runner's name leads to its task; `None` for a fixed name or a foreign one.
    #[must_use]
    pub fn short_id<'name>(&self, name: &'name str) -> Option<&'name str> {
        let (before, short_id) = name.rsplit_once('-')?;
        let (_, digits) = before.rsplit_once('-')?;
        let is_short_id =
            short_id.len() == SHORT_CONTAINER_ID_DIGITS && short_id.chars().all(|c| c.is_ascii_hexdigit());
        (digits == self.pool_hash && is_short_id).then_some(short_id)
    }

    /// What distinguishes one runner of the pool from another: its short id, or its fixed name.
    #[must_use]
    pub fn runner_key<'name>(&self, name: &'name str) -> &'name str {
        self.short_id(name).unwrap_or(name)
    }
}

/// The runner of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunnerLookup<'observed> {
    /// This runner.
    Found(&'observed Runner),
    /// No runner that GitHub lists.
    NotListed,
    /// The observation does not show it.
    Ambiguous,
}

/// Finds the runner behind `task`, one of `tasks`, among all that GitHub lists.
#[must_use]
pub fn runner_for_task<'observed>(
    matcher: &RunnerMatcher,
    runners: &'observed [Runner],
    tasks: &[Task],
    task: &Task,
) -> RunnerLookup<'observed> {
    let leads_to =
        |runner: &Runner, task: &Task| matcher.short_id(&runner.name).is_some_and(|id| task.has_short_id(id));
    if let Some(runner) = runners.iter().find(|runner| matcher.owns(runner) && leads_to(runner, task)) {
        return RunnerLookup::Found(runner);
    }
    if task.short_container_id().is_none() {
        return RunnerLookup::Ambiguous;
    }
    // A runner with our label that works, and whose name leads to no living task, may be the one behind any of them.
    let leads_nowhere = |runner: &&Runner| {
        matcher.has_label(runner)
            && (runner.is_online || runner.is_busy)
            && !tasks.iter().any(|task| task.is_live() && leads_to(runner, task))
    };
    let mut lost = runners.iter().filter(leads_nowhere);
    match (lost.next(), lost.next()) {
        (None, _) => RunnerLookup::NotListed,
        // One fixed name leads to a task while there is but one.
        (Some(runner), None)
            if matcher.fixed_names.contains(&runner.name)
                && tasks.iter().filter(|task| task.is_live()).count() == 1 =>
        {
            RunnerLookup::Found(runner)
        }
        (Some(_), _) => RunnerLookup::Ambiguous,
    }
}
