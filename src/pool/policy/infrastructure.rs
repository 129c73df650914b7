//! Creates and updates what a service needs: task definition, group, capacity provider, association.
//!
//! The task definition comes first, because it carries the record by which a Delete finds everything else.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pool::model::auto_scaling::{Group, GroupConfig};
use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::{CapacityProvider, ProviderConfig, ProviderState};
use crate::pool::model::identity::TAG_CONTENT;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::{Capacity, LaunchTemplate, LaunchTemplateId, MixedInstances, OwnCapacity};
use crate::pool::model::step::{Step, Steps, TaggedResource};
use crate::pool::model::task_definition::TaskDefinitionContent;
use crate::pool::model::time::DecisionTime;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::purchasing::{Purchasing, vacate};
use crate::pool::policy::warm_pool::{self, WarmPoolChange};

/// Updates of the capacity provider in one request. A second one, since the observation after the first may still show
/// a failure from before it.
const PROVIDER_UPDATES_MAX: u32 = 2;
/// How long Auto Scaling may show instance types that an update took away.
const TYPES_KEPT_MAX: Duration = Duration::from_secs(60);

/// The resources that the service uses.
pub(super) struct ServiceDependencies {
    /// The ARN of the revision with the wanted content.
    pub(super) task_definition: String,
    /// The capacity provider's name.
    pub(super) provider: String,
    /// Whether every runner leaves before the group can become what is wanted.
    pub(super) retires_all_tasks: bool,
}

/// The infrastructure, or the next decision towards it.
pub(super) fn ensure(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    at: DecisionTime,
) -> Result<ServiceDependencies, Decision> {
    let content = TaskDefinitionContent::of(&operation.id, &goal.spec);
    let fingerprint = content.fingerprint();
    let task_definition = revision_with(memory, observed, &fingerprint);
    let tags = all_tags(operation, goal);

    let mut steps = Steps::new();
    if task_definition.is_none() {
        let mut tags = tags.clone();
        tags.insert(TAG_CONTENT.to_owned(), fingerprint);
        steps.push(Step::RegisterTaskDefinition { content: Box::new(content), tags });
    }
    let waiting = match &goal.spec.capacity {
        Capacity::Existing(_) => None,
        Capacity::Own(own) => capacity(operation, memory, own, observed, &tags, &mut steps, at)?,
    };
    steps.extend(tag_changes(operation, goal, observed, &tags));
    if !steps.is_empty() {
        return Err(Decision::Act(steps));
    }
    if let Some((why, scope)) = waiting {
        return Err(at.wait(why, scope));
    }
    let provider = match &goal.spec.capacity {
        Capacity::Existing(name) => name.clone(),
        Capacity::Own(_) => operation.id.as_str().to_owned(),
    };
    let retires_all_tasks = match &goal.spec.capacity {
        Capacity::Existing(_) => false,
        Capacity::Own(own) => Purchasing::of(observed, &group_shape(own, None, 0)) == Purchasing::HasRunners,
    };
    match task_definition {
        Some(task_definition) => Ok(ServiceDependencies { task_definition, provider, retires_all_tasks }),
        // Registered in this very round; the next observation shows its ARN.
        None => Err(at.requeue_now(WaitReason::FinalCheck, ObserveScope::Full)),
    }
}

/// A revision that says what is wanted: one that the service deploys, so that a rollback does not start the same
/// content anew, or the newest. The revision of a deployment that had failed before this request does not count: ECS
/// starts no more tasks of it, and only another revision starts another deployment.
pub(super) fn revision_with(memory: &Memory, observed: &Observed, fingerprint: &str) -> Option<String> {
    let service = observed.service.as_ref();
    let before = memory.failed_deployments_before.as_ref();
    let is_given_up = |arn: &str| {
        let primary = service.and_then(|service| service.deployments.iter().find(|it| it.is_primary));
        primary.is_some_and(|it| it.task_definition == arn && before.is_some_and(|before| before.contains(&it.id)))
    };
    let primary = service.map(|service| service.config.task_definition.as_str());
    let deployed = observed.deployed_content.iter().filter(|(_, content)| *content == fingerprint).map(|(arn, _)| arn);
    let mut deployed: Vec<&String> = deployed.filter(|arn| !is_given_up(arn)).collect();
    deployed.sort_by_key(|arn| primary != Some(arn.as_str()));
    let newest = observed.task_definition.as_ref().filter(|revision| {
        revision.tags.get(TAG_CONTENT).is_some_and(|content| content == fingerprint) && !is_given_up(&revision.arn)
    });
    deployed.first().map(|arn| (*arn).clone()).or_else(|| newest.map(|revision| revision.arn.clone()))
}

/// The group and the provider on it; what is waited for, if anything.
fn capacity(
    operation: &Operation,
    memory: &Memory,
    own: &OwnCapacity,
    observed: &Observed,
    tags: &BTreeMap<String, String>,
    steps: &mut Steps,
    at: DecisionTime,
) -> Result<Option<(WaitReason, ObserveScope)>, Decision> {
    let is_associated = observed
        .cluster
        .as_ref()
        .is_some_and(|cluster| cluster.providers.iter().any(|name| name == operation.id.as_str()));
    // Instances that start before the association is complete may never be managed by it, so the minimum waits.
    let mut config = group_shape(own, observed.template_version, if is_associated { own.min_instances } else { 0 });
    let Some(group) = &observed.group else {
        steps.push(Step::CreateGroup { config, tags: tags.clone() });
        return Ok(None);
    };
    if group.is_being_deleted {
        return Ok(Some((WaitReason::GroupDeletion, ObserveScope::AutoScalingGroup)));
    }
    let warm_pool = WarmPoolChange::of(own, group, observed.template_version);
    let leaves = Some((WaitReason::WarmPoolDeletion, ObserveScope::AutoScalingGroup));
    let purchasing = Purchasing::of(observed, &config);
    match purchasing {
        // Deleted first where Auto Scaling refuses the change beside it.
        _ if warm_pool == WarmPoolChange::Delete && (own.warm_instances == 0 || purchasing != Purchasing::Free) => {
            steps.extend(warm_pool::delete(own));
            return Ok(leaves);
        }
        _ if warm_pool == WarmPoolChange::Leaving => return Ok(leaves),
        Purchasing::Free => {}
        Purchasing::Unconfirmed => return Err(at.requeue_now(WaitReason::FinalCheck, ObserveScope::Full)),
        Purchasing::HasRunners => config.mixed_instances_policy.clone_from(&group.config.mixed_instances_policy),
        Purchasing::HasInstances => {
            steps.extend(vacate(operation, group));
            return Ok(Some((
                WaitReason::InstancesLeaving { n_instances: group.instances.len() },
                ObserveScope::AutoScalingGroup,
            )));
        }
    }
    if let Some(since) = memory.group_updated_at.filter(|_| keeps_types(group, &config)) {
        return types_kept(since, at);
    }
    // Before the group changes, which may be what shows that its warm pool is outdated.
    if warm_pool == WarmPoolChange::Delete {
        steps.extend(warm_pool::delete(own));
    }
    if !matches_config(group, &config) {
        steps.push(Step::UpdateGroup(config));
    }
    if warm_pool == WarmPoolChange::Put && is_associated && purchasing == Purchasing::Free {
        steps.extend(warm_pool::put(own));
    }
    let Some(provider) = &observed.provider else {
        steps.push(Step::CreateCapacityProvider {
            group_arn: group.arn.clone(),
            config: provider_shape(own),
            tags: tags.clone(),
        });
        return Ok(None);
    };
    provider_ready(memory, own, provider, group, steps)?;
    let changing = matches!(provider.state, ProviderState::Changing);
    let busy = observed.cluster.as_ref().is_some_and(|cluster| cluster.is_busy);
    Ok(match (is_associated, changing, busy) {
        (false, true, _) => Some((WaitReason::ProviderChange, ObserveScope::CapacityProvider)),
        (false, false, true) => Some((WaitReason::ClusterUpdateInProgress, ObserveScope::CapacityProvider)),
        (false, false, false) => {
            steps.push(Step::AttachCapacityProvider);
            None
        }
        // A service can be made only once the association has settled. One that runs does not mind its neighbours'.
        (true, _, true) if observed.service.is_none() => {
            Some((WaitReason::ClusterUpdateInProgress, ObserveScope::CapacityProvider))
        }
        (true, true, _) => Some((WaitReason::ProviderChange, ObserveScope::CapacityProvider)),
        (true, false, _) => None,
    })
}

/// Whether the group differs in nothing but instance types that the template does not name any more.
fn keeps_types(group: &Group, wanted: &GroupConfig) -> bool {
    let (Some(observed), Some(mixed_instances_policy)) =
        (&group.config.mixed_instances_policy, &wanted.mixed_instances_policy)
    else {
        return false;
    };
    let kept = MixedInstances { instance_types: observed.instance_types.clone(), ..mixed_instances_policy.clone() };
    mixed_instances_policy.instance_types.is_empty()
        && !observed.instance_types.is_empty()
        && matches_config(group, &GroupConfig { mixed_instances_policy: Some(kept), ..wanted.clone() })
}

/// An empty list takes them away, as the API's page has it of every property; should Auto Scaling keep them all the
/// same, sending it again would not help.
fn types_kept(since: Timestamp, at: DecisionTime) -> Result<Option<(WaitReason, ObserveScope)>, Decision> {
    if at.now.since(since) < TYPES_KEPT_MAX {
        return Err(at.wait(WaitReason::NextStep("update_group"), ObserveScope::Full));
    }
    Err(Decision::Respond(Outcome::failed(
        "InstanceTypes: EC2 Auto Scaling accepted their removal and still shows them. Name the launch template's own \
         instance type in InstanceTypes instead of leaving it out, then deploy again.",
    )))
}

fn provider_ready(
    memory: &Memory,
    own: &OwnCapacity,
    provider: &CapacityProvider,
    group: &Group,
    steps: &mut Steps,
) -> Result<(), Decision> {
    if provider.group_arn.as_ref() != Some(&group.arn) {
        // The group that it was made for is gone, and a provider keeps its group for life.
        steps.push(Step::DetachCapacityProvider);
        steps.push(Step::DeleteCapacityProvider);
        return Ok(());
    }
    let failed = |why: &str| {
        Err(Decision::Respond(Outcome::failed(format!(
            "ECS could not set up the capacity provider {}: {why}. Correct that and deploy again.",
            provider.name
        ))))
    };
    let is_as_wanted = provider.config == provider_shape(own);
    let n_sent = memory.n_provider_updates;
    match &provider.state {
        ProviderState::Failed(why) => failed(why),
        // A failure from before this request says nothing against it: only another update can clear it.
        ProviderState::UpdateFailed(why) if n_sent > 0 && (is_as_wanted || n_sent >= PROVIDER_UPDATES_MAX) => {
            failed(why)
        }
        ProviderState::Active | ProviderState::UpdateFailed(_) | ProviderState::DeleteFailed(_) if !is_as_wanted => {
            steps.push(Step::UpdateCapacityProvider(provider_shape(own)));
            Ok(())
        }
        ProviderState::Active
        | ProviderState::UpdateFailed(_)
        | ProviderState::DeleteFailed(_)
        | ProviderState::Changing => Ok(()),
    }
}

pub(super) fn group_shape(own: &OwnCapacity, version: Option<u64>, min: u32) -> GroupConfig {
    GroupConfig {
        launch_template: LaunchTemplate {
            reference: own.launch_template.reference.clone(),
            version: version.map_or_else(|| own.launch_template.version.clone(), |number| number.to_string()),
        },
        subnets: own.subnets.clone(),
        min,
        max: own.max_instances,
        mixed_instances_policy: own.mixed_instances_policy.clone(),
    }
}

pub(super) const fn provider_shape(own: &OwnCapacity) -> ProviderConfig {
    ProviderConfig {
        target_capacity_percent: Some(own.target_capacity_percent),
        #[expect(clippy::as_conversions, reason = "the property decoder admits at most 10,000")]
        instance_warmup_secs: own.instance_warmup.as_secs() as u32,
        protects_from_termination: true,
        drains: true,
    }
}

/// Whether the group has the shape, whichever way its launch template is named.
pub(super) fn matches_config(group: &Group, wanted: &GroupConfig) -> bool {
    let mut observed = group.config.clone();
    if let LaunchTemplateId::Name(name) = &wanted.launch_template.reference
        && group.launch_template_name.as_ref() == Some(name)
    {
        observed.launch_template.reference = LaunchTemplateId::Name(name.clone());
    }
    observed == *wanted
}

/// The template's tags and the ownership tags.
pub(super) fn all_tags(operation: &Operation, goal: &ConvergeGoal) -> BTreeMap<String, String> {
    let mut tags = goal.spec.tags.clone();
    tags.extend(operation.id.ownership_tags(&operation.request.stack_resource));
    tags
}

/// Sets tags that differ and removes those that the template has dropped; other tags stay.
pub(super) fn tag_changes(
    operation: &Operation,
    goal: &ConvergeGoal,
    observed: &Observed,
    wanted: &BTreeMap<String, String>,
) -> Vec<Step> {
    let owns_capacity = matches!(goal.spec.capacity, Capacity::Own(_));
    let service =
        observed.service.as_ref().filter(|service| service.state == crate::pool::model::ecs::ServiceState::Active);
    let found = [
        observed.group.as_ref().map(|group| (TaggedResource::Group, &group.tags)),
        observed
            .provider
            .as_ref()
            .filter(|_| owns_capacity)
            .map(|provider| (TaggedResource::Ecs(provider.arn.clone()), &provider.tags)),
        observed.task_definition.as_ref().map(|revision| (TaggedResource::Ecs(revision.arn.clone()), &revision.tags)),
        service.map(|service| (TaggedResource::Ecs(service.arn.clone()), &service.tags)),
    ];
    found
        .into_iter()
        .flatten()
        .filter(|(_, tags)| operation.id.owns(tags))
        .filter_map(|(resource, tags)| {
            let set: BTreeMap<String, String> = wanted
                .iter()
                .filter(|(key, value)| tags.get(*key) != Some(value))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let remove: Vec<String> = goal
                .previous_tags
                .iter()
                .filter(|key| !wanted.contains_key(*key) && tags.contains_key(*key))
                .cloned()
                .collect();
            (!set.is_empty() || !remove.is_empty()).then_some(Step::UpdateTags { resource, set, remove })
        })
        .collect()
}
