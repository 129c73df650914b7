//! Previews a Create or an Update for reviewers, since a change set shows nothing about what a custom resource does.
//!
//! A preview is based on one observation, with the same comparisons as the real request. It does not predict the order
//! of steps, nor changes until the deployment: a runner that is idle now may have a job then.

mod scale_set;

use std::collections::BTreeMap;

use crate::pool::model::auto_scaling::GroupConfig;
use crate::pool::model::ecs::{Service, ServiceState, Task};
use crate::pool::model::identity::{PhysicalId, cluster_name};
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::runner_matching::RunnerMatcher;
use crate::pool::model::runner_matching::{RunnerLookup, runner_for_task};
use crate::pool::model::scale_set::ScaleSetRequest;
use crate::pool::model::spec::{Capacity, JobScaling, OnDrainTimeout, OwnCapacity, WaitPolicy};
use crate::pool::model::task_definition::TaskDefinitionContent;
use crate::pool::model::text::pluralize;
use crate::pool::model::time::HumanDuration;
use crate::pool::policy::infrastructure;
use crate::pool::policy::infrastructure::{all_tags, group_shape, matches_config, provider_shape, tag_changes};
use crate::pool::policy::preconditions;
use crate::pool::policy::purchasing;
use crate::pool::policy::reasons;
use crate::pool::policy::retirement::DrainLimit;
use crate::pool::policy::rollout::desired_config;
use crate::pool::policy::warm_pool;

/// What a request would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The kind of the request.
    pub action: Action,
    /// What would be created (`+`), changed (`~`) and removed (`-`), a sentence each.
    pub changes: Vec<String>,
    /// Runners that would be retired, by name, or by task where the name is unknown; and what they do now.
    pub retires: BTreeMap<String, RunnerActivity>,
    /// Whether there is an end to the wait for their jobs.
    pub drain_limit: DrainLimit,
    /// Why the request would fail, as its failure reason would say; `None` if nothing is known that would fail it.
    pub obstacle: Option<String>,
}

/// The kind of a request's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A pool would be created.
    Create,
    /// The pool would be changed in place.
    Update,
    /// Another pool would be built in addition to the one that is there, and CloudFormation would then delete that.
    Replacement,
    /// The pool would be deleted.
    Deletion,
    /// Nothing would change.
    Nothing,
}

/// What a runner does, as GitHub says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunnerActivity {
    /// No job, by a list that may lag by a minute.
    Idle,
    /// A job: it would be waited for.
    Busy,
    /// GitHub does not say, so that it would be considered busy.
    Unknown,
}

impl Preview {
    /// What becomes of the jobs of runners that are to leave; nothing where none may have one.
    #[must_use]
    pub fn drain_note(&self, wait_policy: &WaitPolicy) -> Option<String> {
        let then = match wait_policy.on_drain_timeout {
            OnDrainTimeout::Cancel => "then a job that still runs is cut off",
            OnDrainTimeout::Fail => "then the request fails and every job is left alone",
        };
        let may_work = self.retires.values().any(|doing| *doing != RunnerActivity::Idle);
        may_work.then(|| match self.drain_limit {
            DrainLimit::DrainTimeout => {
                format!(
                    "Jobs are waited for, up to DrainTimeout ({}); {then}",
                    HumanDuration(wait_policy.drain_timeout)
                )
            }
            DrainLimit::None => "The request does not wait for jobs; each runner with a job ends after it".to_owned(),
        })
    }
}

/// An existing pool, as a Delete would observe it.
pub type PoolState = (Operation, Observed);

/// What the request would do to what was observed; `others` are the other pools that the resource has.
#[must_use]
pub fn preview(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    others: &[PoolState],
) -> Preview {
    let mut changes = Vec::new();
    let revision = revision(operation, memory, goal, observed, &mut changes);
    if let Capacity::Own(own) = &goal.spec.capacity {
        capacity(operation, own, observed, &mut changes);
    }
    let mut retires = match &goal.spec.job_scaling {
        Some(job_scaling) => job_scaling_changes(operation, goal, job_scaling, observed, revision, &mut changes),
        None => service(operation, memory, goal, observed, revision, &mut changes),
    };
    let n_tagged = tag_changes(operation, goal, observed, &all_tags(operation, goal)).len();
    if n_tagged > 0 {
        changes.push(format!("~ tags of {}", pluralize(n_tagged, "1 resource", "resources")));
    }
    for (other, observed) in others {
        let why = observed
            .metadata
            .as_ref()
            .map(|metadata| differences(metadata, &operation.id, goal))
            .filter(|why| !why.is_empty());
        let why = why.map(|why| format!("; another one because of {}", why.join(", "))).unwrap_or_default();
        changes.push(format!("- pool {}, deleted by CloudFormation once the new one is there{why}", other.id));
        retires.extend(runners_of(observed));
    }
    let is_there = observed.task_definition.is_some() || observed.group.is_some() || observed.service.is_some();
    let action = match (others.is_empty(), is_there, changes.is_empty()) {
        (_, _, true) => Action::Nothing,
        (false, _, _) => Action::Replacement,
        (true, false, _) => Action::Create,
        (true, true, _) => Action::Update,
    };
    // A change of the purchase options has every runner leave first, and a replaced pool is deleted.
    let is_unlimited =
        goal.spec.job_scaling.is_some() && others.is_empty() && !changes_purchase_options(goal, observed);
    let drain_limit = if is_unlimited { DrainLimit::None } else { DrainLimit::DrainTimeout };
    let refused = match &observed.github {
        GitHubRunners::Failed(no) => Some(reasons::github_refused(&goal.spec, no)),
        GitHubRunners::NotQueried | GitHubRunners::NoCredential | GitHubRunners::Listed(_) => None,
    };
    Preview {
        action,
        changes,
        retires,
        drain_limit,
        obstacle: preconditions::first_violation(operation, memory, goal, observed).or(refused),
    }
}

/// What the deletion of a resource would do to its pools.
#[must_use]
pub fn deletion(pools: &[PoolState]) -> Preview {
    let mut found = Preview {
        action: Action::Nothing,
        changes: Vec::new(),
        retires: BTreeMap::new(),
        drain_limit: DrainLimit::DrainTimeout,
        obstacle: None,
    };
    for (pool, observed) in pools {
        found.action = Action::Deletion;
        found.changes.push(format!("- pool {} with all that it is made of", pool.id));
        found.retires.extend(runners_of(observed));
    }
    found
}

/// Every runner of a pool that would be deleted.
fn runners_of(observed: &Observed) -> BTreeMap<String, RunnerActivity> {
    let Some(metadata) = &observed.metadata else { return BTreeMap::new() };
    observed.tasks.iter().filter(|task| task.is_live()).map(|task| runner(&metadata.matcher, observed, task)).collect()
}

/// Why this pool cannot become the desired one.
fn differences(metadata: &PoolMetadata, id: &PhysicalId, goal: &ConvergeGoal) -> Vec<String> {
    let provider = |named: Option<&str>| match named {
        Some(name) => format!("capacity provider {name}"),
        None => "capacity of its own".to_owned(),
    };
    let (before, after) = (&metadata.github, &goal.spec.github);
    let wanted = match &goal.spec.capacity {
        Capacity::Existing(name) => Some(name.as_str()),
        Capacity::Own(_) => None,
    };
    let pairs = [
        (
            format!("cluster {}", cluster_name(&metadata.cluster)),
            format!("cluster {}", cluster_name(&goal.spec.cluster)),
        ),
        (before.host.to_string(), after.host.to_string()),
        (before.scope.to_string(), after.scope.to_string()),
        (provider(metadata.external_capacity_provider.as_deref()), provider(wanted)),
    ];
    let request = ScaleSetRequest::of(id, &goal.spec);
    let of_set = scale_set::differences((&metadata.matcher.label, metadata.scale_set.as_ref()), (id, request.as_ref()));
    pairs
        .into_iter()
        .chain(of_set)
        .filter(|(before, after)| before != after)
        .map(|(b, a)| format!("{b} -> {a}"))
        .collect()
}

/// The revision that would be deployed, if it exists.
fn revision(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    changes: &mut Vec<String>,
) -> Option<String> {
    let content = TaskDefinitionContent::of(&operation.id, &goal.spec);
    let found = infrastructure::revision_with(memory, observed, &content.fingerprint());
    if found.is_none() {
        let which = if observed.task_definition.is_some() { "a new revision" } else { "its first revision" };
        changes.push(format!("+ task definition: {which}, with the image {}", content.image));
    }
    found
}

fn capacity(operation: &Operation, own: &OwnCapacity, observed: &Observed, changes: &mut Vec<String>) {
    let config = group_shape(own, observed.template_version, own.min_instances);
    match observed.group.as_ref().filter(|group| !group.is_being_deleted) {
        None => changes.push(format!(
            "+ Auto Scaling group: {} to {} instances from version {} of launch template {}",
            config.min, config.max, config.launch_template.version, config.launch_template.reference
        )),
        Some(group) if !matches_config(group, &config) => {
            changes.push(format!("~ Auto Scaling group: {}", group_differences(&group.config, &config).join(", ")));
            let n_outdated = group
                .instances
                .iter()
                .filter(|instance| instance.template_version.is_some())
                .filter(|instance| instance.template_version != observed.template_version)
                .count();
            if n_outdated > 0 {
                let instances = pluralize(n_outdated, "1 instance", "instances");
                changes.push(format!("- {instances} of an older launch template, each as soon as it holds no task"));
            }
        }
        Some(_) => {}
    }
    changes.extend(warm_pool_change(own, observed));
    match &observed.provider {
        None => changes.push("+ capacity provider".to_owned()),
        Some(provider) if provider.config != provider_shape(own) => {
            changes.push("~ capacity provider: TargetCapacity, InstanceWarmupPeriod".to_owned());
        }
        Some(_) => {}
    }
    let is_associated =
        |cluster: &crate::pool::model::ecs::Cluster| cluster.providers.contains(&operation.id.as_str().into());
    if !observed.cluster.as_ref().is_some_and(is_associated) {
        changes.push("~ cluster: the capacity provider is added to its list, beside those of others".to_owned());
    }
}

fn warm_pool_change(own: &OwnCapacity, observed: &Observed) -> Option<String> {
    let wanted = own.warm_instances;
    let group = observed.group.as_ref().filter(|group| !group.is_being_deleted);
    let Some(before) = group.and_then(|group| group.warm_pool.as_ref()).filter(|pool| !pool.is_being_deleted) else {
        let stopped = pluralize(size(wanted), "1 stopped instance", "stopped instances");
        return (wanted > 0).then(|| format!("+ warm pool: {stopped}"));
    };
    if before.size != Some(wanted) {
        let before = before.size.map_or_else(|| "another configuration".to_owned(), |size| size.to_string());
        return Some(format!("{} warm pool: WarmInstances {before} -> {wanted}", if wanted > 0 { "~" } else { "-" }));
    }
    let n_outdated = warm_pool::n_outdated(before, observed.template_version);
    let instances = pluralize(n_outdated, "1 stopped instance", "stopped instances");
    (n_outdated > 0)
        .then(|| format!("~ warm pool: {instances} of an older launch template, replaced before new runners start"))
}

fn group_differences(before: &GroupConfig, after: &GroupConfig) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, before: String, after: String| {
        if before != after {
            found.push(format!("{what} {before} -> {after}"));
        }
    };
    let versions = [before, after].map(|config| config.launch_template.version.clone());
    let [old_version, new_version] = versions;
    differ("launch template version", old_version, new_version);
    differ("MinInstances", before.min.to_string(), after.min.to_string());
    differ("MaxInstances", before.max.to_string(), after.max.to_string());
    differ("Subnets", before.subnets.join(" "), after.subnets.join(" "));
    if purchasing::differs(before.mixed_instances_policy.as_ref(), after.mixed_instances_policy.as_ref()) {
        found.push("purchase options, for which every runner and every instance leaves first".to_owned());
    } else if before.mixed_instances_policy != after.mixed_instances_policy {
        found.push("InstanceTypes or SpotAllocationStrategy, of new instances".to_owned());
    }
    if found.is_empty() {
        found.push("launch template".to_owned());
    }
    found
}

fn changes_purchase_options(goal: &ConvergeGoal, observed: &Observed) -> bool {
    let (Capacity::Own(own), Some(group)) = (&goal.spec.capacity, &observed.group) else { return false };
    purchasing::differs(group.config.mixed_instances_policy.as_ref(), own.mixed_instances_policy.as_ref())
}

/// The runner scale set, and the runners that would leave.
fn job_scaling_changes(
    operation: &Operation,
    goal: &ConvergeGoal,
    job_scaling: &JobScaling,
    observed: &Observed,
    revision: Option<String>,
    changes: &mut Vec<String>,
) -> BTreeMap<String, RunnerActivity> {
    let Some(request) = ScaleSetRequest::of(&operation.id, &goal.spec) else { return BTreeMap::new() };
    let deploys = scale_set::deploys(observed, revision.as_deref());
    changes.extend(scale_set::changes(&request, &goal.spec, job_scaling, observed, deploys));
    let n_kept = if deploys { 0 } else { size(scale_set::target(&goal.spec, job_scaling, observed)) };
    leaving(operation, goal, observed, n_kept)
}

/// The runners beyond `n_kept`, idle ones first.
fn leaving(
    operation: &Operation,
    goal: &ConvergeGoal,
    observed: &Observed,
    n_kept: usize,
) -> BTreeMap<String, RunnerActivity> {
    let matcher = RunnerMatcher::of(&operation.id, &goal.spec);
    let mut live: Vec<(String, RunnerActivity)> =
        observed.tasks.iter().filter(|task| task.is_live()).map(|task| runner(&matcher, observed, task)).collect();
    live.sort_by_key(|(_, doing)| *doing);
    let n_leaving = live.len().saturating_sub(n_kept);
    live.into_iter().take(n_leaving).collect()
}

/// The service, and the runners that would leave.
fn service(
    operation: &Operation,
    _memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    revision: Option<String>,
    changes: &mut Vec<String>,
) -> BTreeMap<String, RunnerActivity> {
    let wanted = goal.spec.desired_count;
    let Some(service) = observed.service.as_ref().filter(|service| service.state == ServiceState::Active) else {
        changes.push(format!("+ service with {}", pluralize(size(wanted), "1 runner", "runners")));
        return BTreeMap::new();
    };
    let deploys = deploys(operation, goal, service, revision);
    if service.config.desired_count != wanted {
        changes.push(format!("~ service: DesiredCount {} -> {wanted}", service.config.desired_count));
    }
    if deploys {
        changes.push("~ service: a new deployment; new runners come online, then the old ones are retired".to_owned());
    } else if service.config.distinct_instances != goal.spec.distinct_instances {
        changes.push("~ service: DistinctInstances".to_owned());
    }
    leaving(operation, goal, observed, if deploys { 0 } else { size(wanted) })
}

/// Whether the service would start its tasks anew.
fn deploys(operation: &Operation, goal: &ConvergeGoal, service: &Service, revision: Option<String>) -> bool {
    let provider = match &goal.spec.capacity {
        Capacity::Existing(name) => name.clone(),
        Capacity::Own(_) => operation.id.as_str().to_owned(),
    };
    let Some(task_definition) = revision else { return true };
    let wanted = desired_config(
        goal,
        &infrastructure::ServiceDependencies { task_definition, provider, retires_all_tasks: false },
        0,
    );
    service.config.task_definition != wanted.task_definition
        || service.config.capacity_provider != wanted.capacity_provider
}

fn runner(matcher: &RunnerMatcher, observed: &Observed, task: &Task) -> (String, RunnerActivity) {
    let unknown = || (task.short_ids().next().unwrap_or(&task.arn).to_owned(), RunnerActivity::Unknown);
    let GitHubRunners::Listed(runners) = &observed.github else { return unknown() };
    match runner_for_task(matcher, runners, &observed.tasks, task) {
        RunnerLookup::Found(runner) if runner.is_busy => (runner.name.clone(), RunnerActivity::Busy),
        RunnerLookup::Found(runner) => (runner.name.clone(), RunnerActivity::Idle),
        RunnerLookup::NotListed | RunnerLookup::Ambiguous => unknown(),
    }
}

fn size(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
