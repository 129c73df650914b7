//! What a Create or an Update would do, for reviewers: a change set shows nothing of a custom resource's inside.
//!
//! Judged from one look, by the same comparisons that the real work goes by. Nothing is promised about the order, nor
//! about what the world will be by then: a runner that is idle now may have a job when its time comes.

use std::collections::BTreeMap;

use super::foundation::{self, agrees, all_tags, group_shape, provider_shape, retagging};
use super::obstacles;
use super::purchasing;
use super::rollout::wanted_shape;
use crate::pool::continuation::{Continuation, Present};
use crate::pool::identity::{RunnerMark, cluster_name};
use crate::pool::observed::{GitHubView, GroupShape, Observed, Service, ServiceState, Task};
use crate::pool::pairing::{Behind, runner_behind};
use crate::pool::record::PoolRecord;
use crate::pool::report;
use crate::pool::spec::{Capacity, Manners, OnDrainTimeout, OwnCapacity};
use crate::pool::task_definition::TaskDefinitionContent;
use crate::pool::time::Spoken;

/// What a request would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// In a word.
    pub action: Action,
    /// What would be made (`+`), changed (`~`) and removed (`-`), a sentence each.
    pub changes: Vec<String>,
    /// Runners that would be retired, by name, or by task where a name cannot be told; and what they do now.
    pub retires: BTreeMap<String, Doing>,
    /// Why the request would fail, as its Reason would say; `None` if nothing is seen that would stop it.
    pub obstacle: Option<String>,
}

/// A request in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is no pool, and there would be one.
    Create,
    /// The pool would be changed in place.
    Update,
    /// Another pool would be built beside the one that is there, and CloudFormation would then delete that.
    Replacement,
    /// The pool would be taken down.
    Deletion,
    /// Everything is as the properties say.
    Nothing,
}

/// What a runner does, as GitHub says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doing {
    /// No job, as far as the list tells, which may lag by a minute.
    Idle,
    /// A job: it would be waited for.
    Busy,
    /// GitHub does not say, so that it would be held to be busy.
    Unknown,
}

impl Preview {
    /// What becomes of the jobs of runners that are to leave; nothing where none may have one.
    #[must_use]
    pub fn patience(&self, manners: &Manners) -> Option<String> {
        let then = match manners.on_drain_timeout {
            OnDrainTimeout::Cancel => "then a job that still runs is cut off",
            OnDrainTimeout::Fail => "then the request fails and every job is left alone",
        };
        let may_work = self.retires.values().any(|doing| *doing != Doing::Idle);
        may_work.then(|| format!("Jobs are waited for, up to DrainTimeout ({}); {then}", Spoken(manners.drain_timeout)))
    }
}

/// A pool that is there, as a Delete would look at it.
pub type Other = (Continuation, Observed);

/// What the request would do to what was seen; `others` are the other pools that the resource has.
#[must_use]
pub fn preview(held: &Continuation, goal: &Present, seen: &Observed, others: &[Other]) -> Preview {
    let mut changes = Vec::new();
    let revision = revision(held, goal, seen, &mut changes);
    if let Capacity::Own(own) = &goal.spec.capacity {
        capacity(held, own, seen, &mut changes);
    }
    let mut retires = service(held, goal, seen, revision, &mut changes);
    let n_tagged = retagging(held, goal, seen, &all_tags(held, goal)).len();
    if n_tagged > 0 {
        changes.push(format!("~ tags of {}", report::either(n_tagged, "1 resource", "resources")));
    }
    for (other, seen) in others {
        let why = other.record(seen).map(|record| differences(&record, goal)).filter(|why| !why.is_empty());
        let why = why.map(|why| format!("; another one because of {}", why.join(", "))).unwrap_or_default();
        changes.push(format!("- pool {}, deleted by CloudFormation once the new one is there{why}", other.id));
        retires.extend(runners_of(other, seen));
    }
    let is_there = seen.task_definition.is_some() || seen.group.is_some() || seen.service.is_some();
    let action = match (others.is_empty(), is_there, changes.is_empty()) {
        (_, _, true) => Action::Nothing,
        (false, _, _) => Action::Replacement,
        (true, false, _) => Action::Create,
        (true, true, _) => Action::Update,
    };
    let refused = match &seen.github {
        GitHubView::Refused(no) => Some(report::github_refused(&goal.spec, no)),
        GitHubView::NotAsked | GitHubView::NoCredential | GitHubView::Runners(_) => None,
    };
    Preview { action, changes, retires, obstacle: obstacles::first(held, goal, seen).or(refused) }
}

/// What the deletion of a resource would do to its pools.
#[must_use]
pub fn removal(pools: &[Other]) -> Preview {
    let mut found = Preview { action: Action::Nothing, changes: Vec::new(), retires: BTreeMap::new(), obstacle: None };
    for (pool, seen) in pools {
        found.action = Action::Deletion;
        found.changes.push(format!("- pool {} with all that it is made of", pool.id));
        found.retires.extend(runners_of(pool, seen));
    }
    found
}

/// Every runner of a pool that is to go.
fn runners_of(pool: &Continuation, seen: &Observed) -> BTreeMap<String, Doing> {
    let Some(record) = pool.record(seen) else { return BTreeMap::new() };
    seen.tasks.iter().filter(|task| task.is_live()).map(|task| runner(&record.mark, seen, task)).collect()
}

/// Why this pool cannot become the wanted one.
fn differences(record: &PoolRecord, goal: &Present) -> Vec<String> {
    let provider = |named: Option<&str>| match named {
        Some(name) => format!("capacity provider {name}"),
        None => "capacity of its own".to_owned(),
    };
    let (before, after) = (&record.github, &goal.spec.github);
    let wanted = match &goal.spec.capacity {
        Capacity::Named(name) => Some(name.as_str()),
        Capacity::Own(_) => None,
    };
    let pairs = [
        (format!("cluster {}", cluster_name(&record.cluster)), format!("cluster {}", cluster_name(&goal.spec.cluster))),
        (before.host.to_string(), after.host.to_string()),
        (before.scope.to_string(), after.scope.to_string()),
        (provider(record.named_provider.as_deref()), provider(wanted)),
    ];
    pairs.into_iter().filter(|(before, after)| before != after).map(|(b, a)| format!("{b} -> {a}")).collect()
}

/// The revision that would be deployed, if it is there.
fn revision(held: &Continuation, goal: &Present, seen: &Observed, changes: &mut Vec<String>) -> Option<String> {
    let content = TaskDefinitionContent::of(&held.id, &goal.spec);
    let found = foundation::revision_with(held, seen, &content.fingerprint());
    if found.is_none() {
        let which = if seen.task_definition.is_some() { "a new revision" } else { "its first revision" };
        changes.push(format!("+ task definition: {which}, with the image {}", content.image));
    }
    found
}

fn capacity(held: &Continuation, own: &OwnCapacity, seen: &Observed, changes: &mut Vec<String>) {
    let shape = group_shape(own, seen.template_version, own.min_instances);
    match seen.group.as_ref().filter(|group| !group.is_being_deleted) {
        None => changes.push(format!(
            "+ Auto Scaling group: {} to {} instances from version {} of launch template {}",
            shape.min, shape.max, shape.launch_template.version, shape.launch_template.reference
        )),
        Some(group) if !agrees(group, &shape) => {
            changes.push(format!("~ Auto Scaling group: {}", group_differences(&group.shape, &shape).join(", ")));
            let n_outdated = group
                .instances
                .iter()
                .filter(|instance| instance.template_version.is_some())
                .filter(|instance| instance.template_version != seen.template_version)
                .count();
            if n_outdated > 0 {
                let instances = report::either(n_outdated, "1 instance", "instances");
                changes.push(format!("- {instances} of an older launch template, each as soon as it holds no task"));
            }
        }
        Some(_) => {}
    }
    match &seen.provider {
        None => changes.push("+ capacity provider".to_owned()),
        Some(provider) if provider.shape != provider_shape(own) => {
            changes.push("~ capacity provider: TargetCapacity, InstanceWarmupPeriod".to_owned());
        }
        Some(_) => {}
    }
    let is_associated = |cluster: &crate::pool::observed::Cluster| cluster.providers.contains(&held.id.as_str().into());
    if !seen.cluster.as_ref().is_some_and(is_associated) {
        changes.push("~ cluster: the capacity provider is added to its list, beside those of others".to_owned());
    }
}

fn group_differences(before: &GroupShape, after: &GroupShape) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, before: String, after: String| {
        if before != after {
            found.push(format!("{what} {before} -> {after}"));
        }
    };
    let versions = [before, after].map(|shape| shape.launch_template.version.clone());
    let [old_version, new_version] = versions;
    differ("launch template version", old_version, new_version);
    differ("MinInstances", before.min.to_string(), after.min.to_string());
    differ("MaxInstances", before.max.to_string(), after.max.to_string());
    differ("Subnets", before.subnets.join(" "), after.subnets.join(" "));
    if purchasing::differs(before.mixed.as_ref(), after.mixed.as_ref()) {
        found.push("purchase options, for which every runner and every instance leaves first".to_owned());
    } else if before.mixed != after.mixed {
        found.push("InstanceTypes or SpotAllocationStrategy, of new instances".to_owned());
    }
    if found.is_empty() {
        found.push("launch template".to_owned());
    }
    found
}

/// The service, and the runners that would leave.
fn service(
    held: &Continuation,
    goal: &Present,
    seen: &Observed,
    revision: Option<String>,
    changes: &mut Vec<String>,
) -> BTreeMap<String, Doing> {
    let wanted = goal.spec.desired_count;
    let Some(service) = seen.service.as_ref().filter(|service| service.state == ServiceState::Active) else {
        changes.push(format!("+ service with {}", report::either(size(wanted), "1 runner", "runners")));
        return BTreeMap::new();
    };
    let deploys = deploys(held, goal, service, revision);
    if service.shape.desired_count != wanted {
        changes.push(format!("~ service: DesiredCount {} -> {wanted}", service.shape.desired_count));
    }
    if deploys {
        changes.push("~ service: a new deployment; new runners come online, then the old ones are retired".to_owned());
    } else if service.shape.distinct_instances != goal.spec.distinct_instances {
        changes.push("~ service: DistinctInstances".to_owned());
    }
    let mark = RunnerMark::of(&held.id, &goal.spec);
    let mut live: Vec<(String, Doing)> =
        seen.tasks.iter().filter(|task| task.is_live()).map(|task| runner(&mark, seen, task)).collect();
    live.sort_by_key(|(_, doing)| *doing);
    let n_leaving = if deploys { live.len() } else { live.len().saturating_sub(size(wanted)) };
    live.into_iter().take(n_leaving).collect()
}

/// Whether the service would start its tasks anew.
fn deploys(held: &Continuation, goal: &Present, service: &Service, revision: Option<String>) -> bool {
    let provider = match &goal.spec.capacity {
        Capacity::Named(name) => name.clone(),
        Capacity::Own(_) => held.id.as_str().to_owned(),
    };
    let Some(task_definition) = revision else { return true };
    let wanted = wanted_shape(goal, &foundation::Foundation { task_definition, provider, retires_all: false }, 0);
    service.shape.task_definition != wanted.task_definition
        || service.shape.capacity_provider != wanted.capacity_provider
}

fn runner(mark: &RunnerMark, seen: &Observed, task: &Task) -> (String, Doing) {
    let unknown = || (task.short_id().unwrap_or(&task.arn).to_owned(), Doing::Unknown);
    let GitHubView::Runners(runners) = &seen.github else { return unknown() };
    match runner_behind(mark, runners, &seen.tasks, task) {
        Behind::Runner(runner) if runner.is_busy => (runner.name.clone(), Doing::Busy),
        Behind::Runner(runner) => (runner.name.clone(), Doing::Idle),
        Behind::Nobody | Behind::Unclear => unknown(),
    }
}

fn size(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
