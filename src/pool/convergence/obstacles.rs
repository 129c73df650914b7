//! What no waiting removes: found in the first look, told before anything is built.

use crate::pool::continuation::{Continuation, Present};
use crate::pool::identity::cluster_name;
use crate::pool::observed::{Observed, Permission, ServiceState};
use crate::pool::report;
use crate::pool::spec::Capacity;

/// The first obstacle, as a Reason.
pub(super) fn first(held: &Continuation, goal: &Present, seen: &Observed) -> Option<String> {
    let spec = &goal.spec;
    match &seen.permission {
        Some(Permission::Refused(refusal)) if !refusal.class.may_pass() => {
            return Some(report::github_refused(spec, refusal));
        }
        Some(Permission::OtherAppLogin(login)) => return Some(report::other_app_login(spec, login)),
        Some(Permission::NoSuchRunnerGroup) => return Some(report::no_such_runner_group(spec)),
        Some(Permission::Refused(_) | Permission::Granted) | None => {}
    }
    let Some(cluster) = seen.cluster.as_ref().filter(|cluster| cluster.is_active) else {
        return Some(format!(
            "Cluster: there is no active ECS cluster {} in this Region and account. Create it in the template and let \
             the pool refer to it, or correct the name.",
            cluster_name(&spec.cluster)
        ));
    };
    match &spec.capacity {
        Capacity::Named(name) if !cluster.providers.contains(name) => {
            return Some(format!(
                "CapacityProvider: {name} is not associated with the cluster {}. Associate it, or leave \
                 CapacityProvider out and give LaunchTemplate and Subnets.",
                cluster_name(&spec.cluster)
            ));
        }
        Capacity::Own(own) if seen.template_version.is_none() => {
            return Some(format!(
                "LaunchTemplate: there is no launch template {} in this Region and account. Correct its id or name.",
                own.launch_template.reference
            ));
        }
        Capacity::Named(_) | Capacity::Own(_) => {}
    }
    foreign(held, goal, seen)
}

/// A thing of the pool's own name that is not the pool's: it is never written to.
fn foreign(held: &Continuation, goal: &Present, seen: &Observed) -> Option<String> {
    let owns_capacity = matches!(goal.spec.capacity, Capacity::Own(_));
    let found = [
        ("Auto Scaling group", seen.group.as_ref().map(|group| &group.tags)),
        ("capacity provider", seen.provider.as_ref().filter(|_| owns_capacity).map(|provider| &provider.tags)),
        ("task definition", seen.task_definition.as_ref().map(|revision| &revision.tags)),
        (
            "ECS service",
            seen.service
                .as_ref()
                .filter(|service| service.state != ServiceState::Inactive)
                .map(|service| &service.tags),
        ),
    ];
    found.into_iter().find_map(|(kind, tags)| tags.filter(|tags| !held.id.owns(tags)).map(|_| kind)).map(|kind| {
        format!(
            "An {kind} named {} exists already and does not carry this pool's tags, so it is left alone. Rename or \
             delete it, then update the stack again.",
            held.id
        )
        .replace("An capacity", "A capacity")
        .replace("An task", "A task")
    })
}
