//! Previews the changes of a pool with `MaxRunners`: those of its runner scale set and of its listener's goal.

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::observed::{Observed, ObservedScaleSet};
use crate::pool::model::scale_set::ScaleSetRequest;
use crate::pool::model::spec::{JobScaling, PoolSpec};

/// What would be created and changed, a sentence each.
pub(super) fn changes(
    request: &ScaleSetRequest,
    spec: &PoolSpec,
    job_scaling: &JobScaling,
    observed: &Observed,
    deploys: bool,
) -> Vec<String> {
    let (min, max) = (spec.desired_count, job_scaling.max_runners);
    let found = observed.scaling.as_ref().map(|found| &found.record.goal);
    let is_made = match observed.scale_set {
        ObservedScaleSet::Found(_) => true,
        ObservedScaleSet::Missing => false,
        ObservedScaleSet::NotQueried | ObservedScaleSet::Failed(_) => found.is_some(),
    };
    let mut changes = Vec::new();
    if !is_made {
        changes.push(format!("+ runner scale set {}: as many runners as jobs, {min} to {max}", request.name));
    }
    let Some(goal) = found.filter(|_| is_made) else { return changes };
    for (name, before, after) in [("MinRunners", goal.min_runners, min), ("MaxRunners", goal.max_runners, max)] {
        if before != after {
            changes.push(format!("~ runner scale set: {name} {before} -> {after}"));
        }
    }
    if deploys {
        changes.push("~ runners: new ones start from the new revision; idle old ones are retired".to_owned());
    }
    if goal.distinct_instances != spec.distinct_instances {
        changes.push("~ runners: DistinctInstances".to_owned());
    }
    changes
}

/// Whether new runners would start from another revision than those that are there.
pub(super) fn deploys(observed: &Observed, revision: Option<&str>) -> bool {
    observed.scaling.as_ref().is_some_and(|found| Some(found.record.goal.task_definition.as_str()) != revision)
}

/// The target number of runners, from the last statistics.
pub(super) fn target(spec: &PoolSpec, job_scaling: &JobScaling, observed: &Observed) -> u32 {
    let assigned = observed.scaling.as_ref().map_or(0, |found| found.record.progress.statistics.assigned);
    spec.desired_count.saturating_add(assigned).min(job_scaling.max_runners)
}

/// The parts of a scale set that GitHub does not change, before and after; or which kind of scaling the pool has.
pub(super) fn differences(
    (id_before, before): (&str, Option<&ScaleSetRequest>),
    (id_after, after): (&PhysicalId, Option<&ScaleSetRequest>),
) -> Vec<(String, String)> {
    const FIXED: &str = "DesiredCount";
    const AS_JOBS: &str = "MaxRunners";
    match (before, after) {
        (None, None) => Vec::new(),
        (None, Some(_)) => vec![(FIXED.to_owned(), AS_JOBS.to_owned())],
        (Some(_), None) => vec![(AS_JOBS.to_owned(), FIXED.to_owned())],
        (Some(before), Some(after)) => {
            let (before, after) = (parts(id_before, before), parts(id_after.as_str(), after));
            before.into_iter().zip(after).collect()
        }
    }
}

/// The name, the group and the labels, without what differs from pool to pool by itself.
fn parts(id: &str, request: &ScaleSetRequest) -> [String; 3] {
    let name = if request.name == id { "of the pool's name" } else { &request.name };
    let labels = request.labels.iter().filter(|label| **label != request.name && *label != id);
    let labels: Vec<&str> = labels.map(String::as_str).collect();
    [
        format!("scale set {name}"),
        format!("runner group {}", request.group.as_deref().unwrap_or("by default")),
        format!("labels {}", labels.join(" ")),
    ]
}
