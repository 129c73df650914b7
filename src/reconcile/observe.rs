//! Makes one observation, with the scope that the last decision asked for.

mod github;
mod newer_github_access;
mod scale_set;

pub use self::github::credential;
pub use self::scale_set::with_members;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{join, try_join};

use super::log_error;
use super::lookup::{DeletedPool, lock_of};
use super::ports::{AutoScaling, Ecs, RemoteResult, World};
use super::remains::read_remains;
use super::runner_logs::read_logs;
use super::session::Session;
use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::ObserveScope;
use crate::pool::model::ec2::instance_types;
use crate::pool::model::ecs::{Protection, ServiceState, Task};
use crate::pool::model::identity::{PhysicalId, TAG_CONTENT};
use crate::pool::model::operation::{Goal, Operation, SpecChange};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::spec::{Capacity, OwnCapacity};

/// Observes, and updates `session.observed`. After an error it has what was read before.
///
/// # Errors
/// The first call that failed. An error of GitHub is part of the observation instead.
pub async fn observe<W: World>(
    world: &W,
    continuation: &Continuation,
    session: &mut Session,
    scope: ObserveScope,
) -> RemoteResult<()> {
    let Continuation { operation, memory } = continuation;
    session.observed.metadata = operation.metadata(memory, &session.observed);
    let is_whole = matches!(scope, ObserveScope::Full | ObserveScope::Diagnostics);
    session.observed.remote_error = None;
    // A deletion relies only on a log that was read in the same observation.
    session.observed.logs.clear();
    if scope == ObserveScope::Lock {
        return lock(world, operation, session).await;
    }
    session.observed.is_complete = false;
    session.observed.is_diagnosis = false;

    if is_whole {
        session.observed.task_definition = world.ecs().task_definition(&operation.id).await?;
        group(world, operation, session, scope).await?;
        remains(world, continuation, session).await?;
    }
    if scope == ObserveScope::AutoScalingGroup {
        session.observed.group = world.auto_scaling().group(operation.id.as_str()).await?;
    }
    session.observed.metadata = operation.metadata(memory, &session.observed);
    let metadata = session.observed.metadata.clone();
    if matches!(scope, ObserveScope::Full | ObserveScope::Diagnostics | ObserveScope::CapacityProvider) {
        association(world, &operation.id, metadata.as_ref(), session).await?;
    }
    if let Some(metadata) = &metadata {
        if matches!(
            scope,
            ObserveScope::Full
                | ObserveScope::Diagnostics
                | ObserveScope::Runners
                | ObserveScope::RunnerLogs
                | ObserveScope::Tasks
        ) {
            service_and_tasks(world, operation, &metadata.cluster, session, scope).await?;
            scale_set::observe_scaling(world, &operation.id, metadata, session).await?;
        }
        if is_whole {
            protections(world, &metadata.cluster, session).await?;
            instances(world, continuation, metadata, session).await?;
        }
        if matches!(
            scope,
            ObserveScope::Full | ObserveScope::Diagnostics | ObserveScope::Runners | ObserveScope::RunnerLogs
        ) {
            github::observe(world, operation, metadata, session, scope).await;
            // This future is large and rarely used.
            Box::pin(newer_github_access::observe(world, operation, metadata, session)).await;
        }
        // After GitHub's list, which may take long to read: a deletion relies on both, and the log must be as recent as
        // possible.
        if scope == ObserveScope::RunnerLogs {
            let asked = &memory.logs.asked;
            let tasks: Vec<&Task> =
                session.observed.tasks.iter().filter(|task| task.is_running() && asked.contains(&task.arn)).collect();
            // Boxed, since it is rarely used and would enlarge the future of every observation.
            session.observed.logs = Box::pin(read_logs(world, &mut session.log_places, &tasks)).await?;
        }
    }
    // Last, so that it is as recent as possible when a step relies on it.
    lock(world, operation, session).await?;
    session.observed.is_complete = scope == ObserveScope::Full;
    session.observed.is_diagnosis = scope == ObserveScope::Diagnostics;
    Ok(())
}

async fn lock<W: World>(world: &W, operation: &Operation, session: &mut Session) -> RemoteResult<()> {
    let is_of_one_pool = matches!(operation.goal, Goal::Delete(_)) && !operation.covers_resource();
    let deleted = is_of_one_pool.then(|| DeletedPool {
        id: &operation.id,
        current_pool: operation.current_pool(),
        has_pool_lock: session.observed.has_pool_lock,
    });
    let found = lock_of(world, &operation.request.stack_resource, deleted).await?;
    session.observed.has_pool_lock = found.is_own;
    session.observed.lock = found.lock;
    Ok(())
}

async fn group<W: World>(
    world: &W,
    operation: &Operation,
    session: &mut Session,
    scope: ObserveScope,
) -> RemoteResult<()> {
    let own = match &operation.goal {
        Goal::Converge(goal) => match &goal.spec.capacity {
            Capacity::Own(own) => Some(own),
            Capacity::Existing(_) => return Ok(()),
        },
        Goal::Delete(_) => None,
    };
    session.observed.group = world.auto_scaling().group(operation.id.as_str()).await?;
    if let Some(own) = own {
        let template = &own.launch_template;
        session.observed.template_version = match template.version.parse() {
            Ok(number) => Some(number),
            Err(_) => world.auto_scaling().template_version(&template.reference, &template.version).await?,
        };
        ec2(world, operation, own, session).await;
    }
    if scope == ObserveScope::Diagnostics {
        session.observed.failed_activity = world.auto_scaling().last_failed_activity(operation.id.as_str()).await?;
    }
    Ok(())
}

/// Reads what an earlier Delete of the pool may have left at GitHub, if no observation of this one shows how to reach it.
async fn remains<W: World>(world: &W, continuation: &Continuation, session: &mut Session) -> RemoteResult<()> {
    let Continuation { operation, memory } = continuation;
    let is_unknown = session.observed.task_definition.is_none() && !memory.was_built;
    if matches!(operation.goal, Goal::Delete(_)) && (is_unknown || session.observed.remains.is_some()) {
        let record = read_remains(world, &operation.request.stack_resource).await?;
        session.observed.remains = record.metadata(&operation.id).cloned();
    }
    Ok(())
}

/// Reads the launch template, the instance types and the subnets from EC2. A request that changes something reads them
/// once, so that mistakes are found before anything is created. If the role lacks the permission, Auto Scaling reports
/// them later.
async fn ec2<W: World>(world: &W, operation: &Operation, own: &OwnCapacity, session: &mut Session) {
    if !is_changed(operation) || std::mem::replace(&mut session.ec2_checked, true) {
        return;
    }
    let (port, template) = (world.auto_scaling(), &own.launch_template);
    let is_accepted = session.observed.group.as_ref().is_some_and(|group| group.config.subnets == own.subnets);
    let subnets = async { if is_accepted { Ok(None) } else { port.subnets(&own.subnets).await } };
    let (template, subnets) = join!(port.template(&template.reference, &template.version), subnets);
    let view = &mut session.observed.ec2;
    view.template = optional(template).unwrap_or_default();
    if let Some(found) = optional(subnets).flatten() {
        view.missing_subnets = own.subnets.iter().filter(|id| !found.contains(*id)).cloned().collect();
    }
    let types = instance_types(own, &view.template);
    if !types.is_empty()
        && let Some(found) = optional(port.instance_types(&types).await).flatten()
    {
        view.instance_types = types.into_iter().map(|name| (name.clone(), found.get(&name).copied())).collect();
    }
}

/// The result of an optional read; `None` if it failed.
fn optional<T>(result: RemoteResult<T>) -> Option<T> {
    result.inspect_err(log_error).ok()
}

fn is_changed(operation: &Operation) -> bool {
    matches!(&operation.goal, Goal::Converge(goal) if goal.change == SpecChange::Changed)
}

async fn association<W: World>(
    world: &W,
    id: &PhysicalId,
    metadata: Option<&PoolMetadata>,
    session: &mut Session,
) -> RemoteResult<()> {
    let provider = metadata.and_then(|metadata| metadata.external_capacity_provider.as_deref()).unwrap_or(id.as_str());
    let cluster = async {
        match metadata {
            Some(metadata) => world.ecs().cluster(&metadata.cluster).await,
            None => Ok(None),
        }
    };
    (session.observed.provider, session.observed.cluster) =
        try_join!(world.ecs().capacity_provider(provider), cluster)?;
    Ok(())
}

/// Reads the service and its tasks: all tasks in a full observation, otherwise those that may still change.
async fn service_and_tasks<W: World>(
    world: &W,
    operation: &Operation,
    cluster: &str,
    session: &mut Session,
    scope: ObserveScope,
) -> RemoteResult<()> {
    let is_first = !std::mem::replace(&mut session.has_listed_tasks, false);
    let is_scaled = session.observed.metadata.as_ref().is_some_and(|metadata| metadata.scale_set.is_some());
    let live = session.observed.tasks.iter().filter(|task| task.is_live()).map(|task| task.arn.clone()).collect();
    let tasks = async {
        match scope {
            // Without a service, only the tasks show that one has stopped, and why.
            ObserveScope::Runners | ObserveScope::RunnerLogs | ObserveScope::Tasks if !is_first && !is_scaled => {
                world.ecs().tasks_incremental(cluster, &operation.id, live).await
            }
            ObserveScope::Full
            | ObserveScope::Lock
            | ObserveScope::Runners
            | ObserveScope::RunnerLogs
            | ObserveScope::Tasks
            | ObserveScope::CapacityProvider
            | ObserveScope::AutoScalingGroup
            | ObserveScope::Diagnostics => world.ecs().tasks(cluster, &operation.id).await,
        }
    };
    let (service, tasks) = try_join!(world.ecs().service(cluster, &operation.id), tasks)?;
    session.has_listed_tasks = true;
    let before: BTreeMap<String, Protection> =
        session.observed.tasks.drain(..).map(|task| (task.arn, task.protection)).collect();
    session.observed.tasks = tasks
        .into_iter()
        .map(|task| Task { protection: before.get(&task.arn).copied().unwrap_or(task.protection), ..task })
        .collect();
    session.observed.service = service;
    deployed_content(world, session).await
}

/// Reads the content of every revision that the service deploys, each once, since a revision never changes.
async fn deployed_content<W: World>(world: &W, session: &mut Session) -> RemoteResult<()> {
    let mut deployed: BTreeSet<String> = BTreeSet::new();
    if let Some(service) = session.observed.service.as_ref().filter(|service| service.state == ServiceState::Active) {
        deployed.extend(service.deployments.iter().map(|deployment| deployment.task_definition.clone()));
        deployed.insert(service.config.task_definition.clone());
    }
    session.observed.deployed_content.retain(|arn, _| deployed.contains(arn));
    for arn in deployed {
        if session.observed.deployed_content.contains_key(&arn) {
            continue;
        }
        let revision = match &session.observed.task_definition {
            Some(newest) if newest.arn == arn => Some(newest.clone()),
            Some(_) | None => world.ecs().revision(&arn).await?,
        };
        let content = revision.and_then(|revision| revision.tags.get(TAG_CONTENT).cloned()).unwrap_or_default();
        session.observed.deployed_content.insert(arn, content);
    }
    Ok(())
}

async fn protections<W: World>(world: &W, cluster: &str, session: &mut Session) -> RemoteResult<()> {
    let running: Vec<String> = session
        .observed
        .tasks
        .iter()
        .filter(|task| task.is_running() && !task.is_standalone())
        .map(|task| task.arn.clone())
        .collect();
    if running.is_empty() {
        return Ok(());
    }
    let protections = world.ecs().protections(cluster, &running).await?;
    for task in &mut session.observed.tasks {
        if let Some(protection) = protections.get(&task.arn) {
            task.protection = *protection;
        }
    }
    Ok(())
}

/// Reads the container instances where a decision may depend on them: on Delete, for a diagnosis, when some run another
/// version of the launch template, and once before a change, to know how much room they have.
async fn instances<W: World>(
    world: &W,
    continuation: &Continuation,
    metadata: &PoolMetadata,
    session: &mut Session,
) -> RemoteResult<()> {
    let Continuation { operation, memory } = continuation;
    if metadata.external_capacity_provider.is_some() {
        return Ok(());
    }
    let in_group: Vec<String> =
        session.observed.group.iter().flat_map(|group| &group.instances).map(|instance| instance.id.clone()).collect();
    let is_outdated = session.observed.group.iter().flat_map(|group| &group.instances).any(|instance| {
        instance.template_version.is_some() && instance.template_version != session.observed.template_version
    });
    let awaits_runners = memory.online_awaited_since.is_some();
    let is_before_change = is_changed(operation) && !std::mem::replace(&mut session.capacity_checked, true);
    let has_instances = is_before_change && !in_group.is_empty();
    let matters = matches!(operation.goal, Goal::Delete(_)) || is_outdated || awaits_runners || has_instances;
    session.observed.instances = if matters {
        world.ecs().container_instances(&metadata.cluster, operation.id.as_str(), &in_group).await?
    } else {
        Vec::new()
    };
    Ok(())
}
