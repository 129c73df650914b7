//! What a service stands on: task definition, group, capacity provider, association.
//!
//! The task definition comes first, because it carries the record by which a Delete finds everything else.

use std::collections::BTreeMap;
use std::time::Duration;

use super::purchasing::{Purchasing, vacate};
use crate::pool::continuation::{Continuation, Present};
use crate::pool::decision::{Decision, Look, Moment, Outcome, Waiting};
use crate::pool::identity::TAG_CONTENT;
use crate::pool::observed::{CapacityProvider, Group, GroupShape, Observed, ProviderShape, ProviderState};
use crate::pool::plan::{Plan, Step, Tagged};
use crate::pool::spec::{Capacity, LaunchTemplate, MixedInstances, OwnCapacity, TemplateRef};
use crate::pool::task_definition::TaskDefinitionContent;
use crate::pool::time::Timestamp;

/// Updates of the capacity provider in one request. A second one, since the look after the first may still tell of a
/// failure from before it.
const PROVIDER_UPDATES_MAX: u32 = 2;
/// How long Auto Scaling may show instance types that an update took away.
const TYPES_KEPT_MAX: Duration = Duration::from_secs(60);

/// What the service is built from.
pub(super) struct Foundation {
    /// The ARN of the revision with the wanted content.
    pub(super) task_definition: String,
    /// The capacity provider's name.
    pub(super) provider: String,
    /// Whether every runner leaves before the group can become what is wanted.
    pub(super) retires_all: bool,
}

/// The foundation, or what comes first.
pub(super) fn lay(held: &Continuation, goal: &Present, seen: &Observed, at: Moment) -> Result<Foundation, Decision> {
    let content = TaskDefinitionContent::of(&held.id, &goal.spec);
    let fingerprint = content.fingerprint();
    let task_definition = revision_with(held, seen, &fingerprint);
    let tags = all_tags(held, goal);

    let mut plan = Plan::new();
    if task_definition.is_none() {
        let mut tags = tags.clone();
        tags.insert(TAG_CONTENT.to_owned(), fingerprint);
        plan.push(Step::RegisterTaskDefinition { content: Box::new(content), tags });
    }
    let waiting = match &goal.spec.capacity {
        Capacity::Named(_) => None,
        Capacity::Own(own) => capacity(held, own, seen, &tags, &mut plan, at)?,
    };
    plan.extend(retagging(held, goal, seen, &tags));
    if !plan.is_empty() {
        return Err(Decision::Act(plan));
    }
    if let Some((why, look)) = waiting {
        return Err(at.wait(why, look));
    }
    let provider = match &goal.spec.capacity {
        Capacity::Named(name) => name.clone(),
        Capacity::Own(_) => held.id.as_str().to_owned(),
    };
    let retires_all = match &goal.spec.capacity {
        Capacity::Named(_) => false,
        Capacity::Own(own) => Purchasing::of(seen, &group_shape(own, None, 0)) == Purchasing::HasRunners,
    };
    match task_definition {
        Some(task_definition) => Ok(Foundation { task_definition, provider, retires_all }),
        // Registered in this very round; the next look shows its ARN.
        None => Err(at.look_again(Waiting::LastLook, Look::Everything)),
    }
}

/// A revision that says what is wanted: one that the service deploys, so that a rollback does not start the same
/// content anew, or the newest. Not the one of a deployment that ECS had given up before this request: it starts no task
/// of that one any more, and only another revision begins another deployment.
pub(super) fn revision_with(held: &Continuation, seen: &Observed, fingerprint: &str) -> Option<String> {
    let service = seen.service.as_ref();
    let before = held.memory.given_up_before.as_ref();
    let is_given_up = |arn: &str| {
        let primary = service.and_then(|service| service.deployments.iter().find(|it| it.is_primary));
        primary.is_some_and(|it| it.task_definition == arn && before.is_some_and(|before| before.contains(&it.id)))
    };
    let primary = service.map(|service| service.shape.task_definition.as_str());
    let deployed = seen.deployed_content.iter().filter(|(_, content)| *content == fingerprint).map(|(arn, _)| arn);
    let mut deployed: Vec<&String> = deployed.filter(|arn| !is_given_up(arn)).collect();
    deployed.sort_by_key(|arn| primary != Some(arn.as_str()));
    let newest = seen.task_definition.as_ref().filter(|revision| {
        revision.tags.get(TAG_CONTENT).is_some_and(|content| content == fingerprint) && !is_given_up(&revision.arn)
    });
    deployed.first().map(|arn| (*arn).clone()).or_else(|| newest.map(|revision| revision.arn.clone()))
}

/// The group and the provider on it; what is waited for, if anything.
fn capacity(
    held: &Continuation,
    own: &OwnCapacity,
    seen: &Observed,
    tags: &BTreeMap<String, String>,
    plan: &mut Plan,
    at: Moment,
) -> Result<Option<(Waiting, Look)>, Decision> {
    let is_associated =
        seen.cluster.as_ref().is_some_and(|cluster| cluster.providers.iter().any(|name| name == held.id.as_str()));
    // Instances that start before the association is complete may never be managed by it, so the minimum waits.
    let mut shape = group_shape(own, seen.template_version, if is_associated { own.min_instances } else { 0 });
    let Some(group) = &seen.group else {
        plan.push(Step::CreateGroup { shape, tags: tags.clone() });
        return Ok(None);
    };
    if group.is_being_deleted {
        return Ok(Some((Waiting::GroupDeletion, Look::Group)));
    }
    match Purchasing::of(seen, &shape) {
        Purchasing::Free => {}
        Purchasing::HasRunners => shape.mixed.clone_from(&group.shape.mixed),
        Purchasing::HasInstances => {
            plan.extend(vacate(held, group));
            return Ok(Some((Waiting::InstancesLeaving { n_instances: group.instances.len() }, Look::Group)));
        }
    }
    if let Some(since) = held.memory.group_updated_at.filter(|_| keeps_types(group, &shape)) {
        return types_kept(since, at);
    }
    if !agrees(group, &shape) {
        plan.push(Step::UpdateGroup(shape));
    }
    let Some(provider) = &seen.provider else {
        plan.push(Step::CreateCapacityProvider {
            group_arn: group.arn.clone(),
            shape: provider_shape(own),
            tags: tags.clone(),
        });
        return Ok(None);
    };
    provider_ready(held, own, provider, group, plan)?;
    let changing = matches!(provider.state, ProviderState::Changing);
    let busy = seen.cluster.as_ref().is_some_and(|cluster| cluster.is_busy);
    Ok(match (is_associated, changing, busy) {
        (false, true, _) => Some((Waiting::ProviderChange, Look::Association)),
        (false, false, true) => Some((Waiting::BusyCluster, Look::Association)),
        (false, false, false) => {
            plan.push(Step::AssociateCapacityProvider);
            None
        }
        // A service can be made only once the association has settled. One that runs does not mind its neighbours'.
        (true, _, true) if seen.service.is_none() => Some((Waiting::BusyCluster, Look::Association)),
        (true, true, _) => Some((Waiting::ProviderChange, Look::Association)),
        (true, false, _) => None,
    })
}

/// Whether the group differs in nothing but instance types that the template does not name any more.
fn keeps_types(group: &Group, wanted: &GroupShape) -> bool {
    let (Some(seen), Some(mixed)) = (&group.shape.mixed, &wanted.mixed) else { return false };
    let kept = MixedInstances { instance_types: seen.instance_types.clone(), ..mixed.clone() };
    mixed.instance_types.is_empty()
        && !seen.instance_types.is_empty()
        && agrees(group, &GroupShape { mixed: Some(kept), ..wanted.clone() })
}

/// An empty list takes them away, as the API's page has it of every property; should Auto Scaling keep them all the same,
/// sending it again would not help.
fn types_kept(since: Timestamp, at: Moment) -> Result<Option<(Waiting, Look)>, Decision> {
    if at.now.since(since) < TYPES_KEPT_MAX {
        return Err(at.wait(Waiting::Step("update_group"), Look::Everything));
    }
    Err(Decision::Answer(Outcome::failed(
        "InstanceTypes: EC2 Auto Scaling accepted their removal and still shows them. Name the launch template's own \
         instance type in InstanceTypes instead of leaving it out, then update the stack again.",
    )))
}

fn provider_ready(
    held: &Continuation,
    own: &OwnCapacity,
    provider: &CapacityProvider,
    group: &Group,
    plan: &mut Plan,
) -> Result<(), Decision> {
    if provider.group_arn.as_ref() != Some(&group.arn) {
        // The group that it was made for is gone, and a provider keeps its group for life.
        plan.push(Step::DissociateCapacityProvider);
        plan.push(Step::DeleteCapacityProvider);
        return Ok(());
    }
    let failed = |why: &str| {
        Err(Decision::Answer(Outcome::failed(format!(
            "ECS could not set up the capacity provider {}: {why}. Correct that and update the stack again.",
            provider.name
        ))))
    };
    let is_as_wanted = provider.shape == provider_shape(own);
    let n_sent = held.memory.n_provider_updates;
    match &provider.state {
        ProviderState::Failed(why) => failed(why),
        // A failure from before this request says nothing against it: only another update can clear it.
        ProviderState::UpdateFailed(why) if n_sent > 0 && (is_as_wanted || n_sent >= PROVIDER_UPDATES_MAX) => {
            failed(why)
        }
        ProviderState::Active | ProviderState::UpdateFailed(_) | ProviderState::DeleteFailed(_) if !is_as_wanted => {
            plan.push(Step::UpdateCapacityProvider(provider_shape(own)));
            Ok(())
        }
        ProviderState::Active
        | ProviderState::UpdateFailed(_)
        | ProviderState::DeleteFailed(_)
        | ProviderState::Changing => Ok(()),
    }
}

pub(super) fn group_shape(own: &OwnCapacity, version: Option<u64>, min: u32) -> GroupShape {
    GroupShape {
        launch_template: LaunchTemplate {
            reference: own.launch_template.reference.clone(),
            version: version.map_or_else(|| own.launch_template.version.clone(), |number| number.to_string()),
        },
        subnets: own.subnets.clone(),
        min,
        max: own.max_instances,
        mixed: own.mixed.clone(),
    }
}

pub(super) const fn provider_shape(own: &OwnCapacity) -> ProviderShape {
    ProviderShape {
        target_capacity_percent: Some(own.target_capacity_percent),
        #[expect(clippy::as_conversions, reason = "the property decoder admits at most 10,000")]
        instance_warmup_secs: own.instance_warmup.as_secs() as u32,
        protects_from_termination: true,
        drains: true,
    }
}

/// Whether the group has the shape, whichever way its launch template is named.
pub(super) fn agrees(group: &Group, wanted: &GroupShape) -> bool {
    let mut seen = group.shape.clone();
    if let TemplateRef::Name(name) = &wanted.launch_template.reference
        && group.launch_template_name.as_ref() == Some(name)
    {
        seen.launch_template.reference = TemplateRef::Name(name.clone());
    }
    seen == *wanted
}

/// The template's tags and ours.
pub(super) fn all_tags(held: &Continuation, goal: &Present) -> BTreeMap<String, String> {
    let mut tags = goal.spec.tags.clone();
    tags.extend(held.id.ownership_tags(&held.request.origin));
    tags
}

/// Sets tags that differ and removes those that the template has dropped; a tag of anybody else stays.
pub(super) fn retagging(
    held: &Continuation,
    goal: &Present,
    seen: &Observed,
    wanted: &BTreeMap<String, String>,
) -> Vec<Step> {
    let owns_capacity = matches!(goal.spec.capacity, Capacity::Own(_));
    let service = seen.service.as_ref().filter(|service| service.state == crate::pool::observed::ServiceState::Active);
    let found = [
        seen.group.as_ref().map(|group| (Tagged::Group, &group.tags)),
        seen.provider
            .as_ref()
            .filter(|_| owns_capacity)
            .map(|provider| (Tagged::Ecs(provider.arn.clone()), &provider.tags)),
        seen.task_definition.as_ref().map(|revision| (Tagged::Ecs(revision.arn.clone()), &revision.tags)),
        service.map(|service| (Tagged::Ecs(service.arn.clone()), &service.tags)),
    ];
    found
        .into_iter()
        .flatten()
        .filter(|(_, tags)| held.id.owns(tags))
        .filter_map(|(resource, tags)| {
            let set: BTreeMap<String, String> = wanted
                .iter()
                .filter(|(key, value)| tags.get(*key) != Some(value))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let remove: Vec<String> = goal
                .former_tags
                .iter()
                .filter(|key| !wanted.contains_key(*key) && tags.contains_key(*key))
                .cloned()
                .collect();
            (!set.is_empty() || !remove.is_empty()).then_some(Step::Tag { resource, set, remove })
        })
        .collect()
}
