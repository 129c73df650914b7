//! Preconditions that waiting cannot meet. The first observation checks them, and a violation is reported before
//! anything is created.

use crate::pool::model::auto_scaling::Group;
use crate::pool::model::ec2::{TemplateView, instance_types};
use crate::pool::model::ecs::ServiceState;
use crate::pool::model::evidence::OwnedScaleSet;
use crate::pool::model::identity::cluster_name;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{Observed, ObservedScaleSet, PreflightResult};
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::scale_set::ScaleSetRequest;
use crate::pool::model::spec::{Capacity, OwnCapacity};
use crate::pool::model::text::abbreviated_list;
use crate::pool::policy::capacity;
use crate::pool::policy::causes;
use crate::pool::policy::infrastructure::{group_shape, matches_config};
use crate::pool::policy::reasons;
use crate::pool::policy::warm_pool::WarmPoolChange;

/// The first violated precondition, as a failure reason.
pub(super) fn first_violation(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
) -> Option<String> {
    let spec = &goal.spec;
    match &observed.preflight_result {
        Some(PreflightResult::Failed(remote_error)) if !remote_error.kind.is_retryable() => {
            return Some(reasons::github_refused(spec, remote_error));
        }
        Some(PreflightResult::AppLoginMismatch(login)) => return Some(reasons::other_app_login(spec, login)),
        Some(PreflightResult::NoSuchRunnerGroup) => return Some(reasons::no_such_runner_group(spec)),
        Some(PreflightResult::Failed(_) | PreflightResult::Passed) | None => {}
    }
    if let Some(reason) = scale_set_conflict(operation, memory, goal, observed) {
        return Some(reason);
    }
    let Some(cluster) = observed.cluster.as_ref().filter(|cluster| cluster.is_active) else {
        return Some(format!(
            "Cluster: there is no active ECS cluster {} in this Region and account. Create it in the template and let \
             the pool refer to it, or correct the name.",
            cluster_name(&spec.cluster)
        ));
    };
    match &spec.capacity {
        Capacity::Existing(name) if !cluster.providers.contains(name) => {
            return Some(format!(
                "CapacityProvider: {name} is not associated with the cluster {}. Associate it, or specify \
                 LaunchTemplate and Subnets instead of CapacityProvider.",
                cluster_name(&spec.cluster)
            ));
        }
        Capacity::Own(own) => {
            if let Some(reason) = capacity_of_its_own(own, observed) {
                return Some(reason);
            }
        }
        Capacity::Existing(_) => {}
    }
    name_conflict(operation, goal, observed).or_else(|| no_room(operation, memory, goal, observed))
}

/// A runner scale set that the function cannot use.
fn scale_set_conflict(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
) -> Option<String> {
    let request = ScaleSetRequest::of(&operation.id, &goal.spec)?;
    match &observed.scale_set {
        ObservedScaleSet::Failed(no) if !no.kind.is_retryable() => Some(reasons::github_refused(&goal.spec, no)),
        // A server that drops labels leaves no other sign of whose it is before the listener's item names it.
        ObservedScaleSet::Found(scale_set) if memory.scale_set_created == Some(scale_set.id) => None,
        ObservedScaleSet::Found(scale_set) => OwnedScaleSet::of(&operation.id, scale_set, observed.scaling.as_ref())
            .is_none()
            .then(|| reasons::foreign_scale_set(&request, scale_set)),
        ObservedScaleSet::Failed(_) | ObservedScaleSet::Missing | ObservedScaleSet::NotQueried => None,
    }
}

/// A launch template, instance type or subnet from which the group cannot be created. Values that the group already has
/// are not checked.
fn capacity_of_its_own(own: &OwnCapacity, observed: &Observed) -> Option<String> {
    let template = &own.launch_template.reference;
    let is_in_use =
        |group: &Group| matches_config(group, &group_shape(own, observed.template_version, group.config.min));
    if observed.template_version.is_some()
        && let Some(group) = observed.group.as_ref().filter(|group| is_in_use(group))
    {
        let has_warm_pool = WarmPoolChange::of(own, group, observed.template_version) == WarmPoolChange::None;
        return if has_warm_pool { None } else { no_warm_pool(own, observed) };
    }
    let (view, version) = (&observed.ec2, &own.launch_template.version);
    let lacks = |what: &str| {
        format!(
            "LaunchTemplate: version {version} of {template} {what}. Give it one, and take the version that has it."
        )
    };
    match &view.template {
        TemplateView::Unknown if observed.template_version.is_some() => {}
        TemplateView::Unknown | TemplateView::NoTemplate => {
            return Some(format!(
                "LaunchTemplate: there is no launch template {template} in this Region and account. Correct its id or \
                 name."
            ));
        }
        TemplateView::NoVersion => {
            return Some(format!(
                "LaunchTemplate.Version: the launch template {template} has no version {version}. Correct it, or let \
                 it follow from the template with Fn::GetAtt LatestVersionNumber."
            ));
        }
        TemplateView::Version(found) if !found.has_image => return Some(lacks("has no image (ImageId)")),
        TemplateView::Version(found) if !found.has_requirements && instance_types(own, &view.template).is_empty() => {
            return Some(lacks("has no InstanceType, and the pool specifies no InstanceTypes"));
        }
        TemplateView::Version(_) => {}
    }
    if let Some(reason) = no_warm_pool(own, observed) {
        return Some(reason);
    }
    if let Some(subnet) = view.missing_subnets.first() {
        return Some(format!(
            "Subnets: there is no {subnet} in this Region and account{}. Correct its id; subnets are those of the VPC \
             in the Region of the function.",
            match view.missing_subnets.len().saturating_sub(1) {
                0 => String::new(),
                more => format!(", nor {more} more of them"),
            }
        ));
    }
    let missing: Vec<&str> =
        view.instance_types.iter().filter(|(_, room)| room.is_none()).map(|(name, _)| name.as_str()).collect();
    (!missing.is_empty() && missing.len() == view.instance_types.len()).then(|| {
        let is_listed = own
            .mixed_instances_policy
            .as_ref()
            .is_some_and(|mixed_instances_policy| !mixed_instances_policy.instance_types.is_empty());
        let property = if is_listed { "InstanceTypes" } else { "LaunchTemplate" };
        let names = abbreviated_list(&missing);
        let template = if is_listed { "" } else { " (InstanceType of the launch template)" };
        format!("{property}: EC2 offers no {names} in this Region{template}. Correct the name, or take another type.")
    })
}

/// Why the launch template's instances cannot be in a warm pool. One whose agent registers before that gets runners, and is
/// stopped with their jobs. User data that does not configure the agent is left to a warning: its image may.
fn no_warm_pool(own: &OwnCapacity, observed: &Observed) -> Option<String> {
    let version = observed.ec2.version().filter(|_| own.warm_instances > 0)?;
    let launch_template = &own.launch_template.reference;
    if version.requests_spot {
        return Some(format!(
            "WarmInstances: the launch template {launch_template} requests Spot Instances, and a warm pool has none. \
             Remove InstanceMarketOptions there, or remove WarmInstances."
        ));
    }
    let joins = version.checks_warm_pool == Some(false) && !version.clusters.is_empty();
    joins.then(|| {
        format!(
            "WarmInstances: the user data of the launch template {launch_template} does not contain \
             ECS_WARM_POOLS_CHECK=true, so that instances would join the cluster and be stopped with their jobs. Write \
             it to /etc/ecs/ecs.config there, or remove WarmInstances."
        )
    })
}

/// Runners that can never be placed. A deployment that is already in progress is left to `OnlineTimeout`.
fn no_room(operation: &Operation, memory: &Memory, goal: &ConvergeGoal, observed: &Observed) -> Option<String> {
    if memory.online_awaited_since.is_some() || memory.drain_started_at.is_some() {
        return None;
    }
    let why = capacity::impossible(&goal.spec, observed)
        .or_else(|| capacity::no_room_beside_old(operation, memory, goal, observed))?;
    Some(format!("{why}.{}", causes::still_works(operation, memory, goal, observed)))
}

/// A resource that has the pool's name and another owner: it is never changed.
fn name_conflict(operation: &Operation, goal: &ConvergeGoal, observed: &Observed) -> Option<String> {
    let owns_capacity = matches!(goal.spec.capacity, Capacity::Own(_));
    let found = [
        ("An Auto Scaling group", observed.group.as_ref().map(|group| &group.tags)),
        ("A capacity provider", observed.provider.as_ref().filter(|_| owns_capacity).map(|provider| &provider.tags)),
        ("A task definition", observed.task_definition.as_ref().map(|revision| &revision.tags)),
        (
            "An ECS service",
            observed
                .service
                .as_ref()
                .filter(|service| service.state != ServiceState::Inactive)
                .map(|service| &service.tags),
        ),
    ];
    found.into_iter().find_map(|(kind, tags)| tags.filter(|tags| !operation.id.owns(tags)).map(|_| kind)).map(|kind| {
        format!(
            "{kind} named {} exists already and does not carry this pool's tags, so it is left alone. Rename or \
             delete it, then deploy again.",
            operation.id
        )
    })
}
