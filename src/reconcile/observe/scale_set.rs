//! Observes the runner scale set of a pool with `MaxRunners`, and determines which of GitHub's runners belong to it.
//!
//! GitHub's list of runners shows those of a scale set without labels
//! (<https://github.com/actions/actions-runner-controller/issues/4425>), so the scale-set service is asked which set
//! each belongs to.

use std::collections::BTreeSet;

use crate::pool::model::decision::ObserveScope;
use crate::pool::model::ecs::Task;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::observed::ObservedScaleSet;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::registration::TaskArn;
use crate::pool::model::runner::Runner;
use crate::reconcile::log_error;
use crate::reconcile::ports::{Clock, Credential, RemoteResult, ScaleSets, World};
use crate::reconcile::scaling::{read_lease, read_scaling};
use crate::reconcile::session::{KnownMembers, Session};

/// Reads the listener's item. The tasks that it has just started count among the pool's, whether `ListTasks` shows them yet
/// or not: a Delete that ignored one would leave it behind.
pub(super) async fn observe_scaling<W: World>(
    world: &W,
    id: &PhysicalId,
    metadata: &PoolMetadata,
    session: &mut Session,
) -> RemoteResult<()> {
    if metadata.scale_set.is_none() {
        return Ok(());
    }
    let now = world.clock().now();
    session.observed.scaling = read_scaling(world, id).await?;
    session.observed.is_listening = read_lease(world).await?.0.is_current(now);
    if let Some(found) = &session.observed.scaling {
        let unlisted = found.record.progress.unlisted_tasks(id, &session.observed.tasks, now);
        session.observed.tasks.extend(unlisted);
    }
    Ok(())
}

/// Asks GitHub for the set. An error is part of the observation.
pub(super) async fn observe_scale_set<W: World>(
    world: &W,
    metadata: &PoolMetadata,
    session: &mut Session,
    scope: ObserveScope,
) {
    let (Some(request), Some(credential)) = (&metadata.scale_set, session.credential()) else { return };
    if !matches!(scope, ObserveScope::Full | ObserveScope::Diagnostics) {
        return;
    }
    let group = request.group.as_deref();
    let found = world.scale_sets().scale_set_named(&metadata.github, credential, group, &request.name).await;
    session.observed.scale_set = match found {
        Ok(Some(scale_set)) => ObservedScaleSet::Found(scale_set),
        Ok(None) => ObservedScaleSet::Missing,
        Err(error) => {
            log_error(&error);
            ObservedScaleSet::Failed(error.remote_error)
        }
    };
}

/// GitHub's list with the pool's label on the runners of its set, and with runners that only the scale-set service
/// knows. The latter count as online and idle: GitHub refuses to delete one that has a job.
///
/// # Errors
/// The first call that failed.
pub async fn with_members<W: World>(
    world: &W,
    metadata: &PoolMetadata,
    credential: &Credential,
    scale_set: u64,
    tasks: &[Task],
    mut runners: Vec<Runner>,
    known: &mut KnownMembers,
) -> RemoteResult<Vec<Runner>> {
    let matcher = &metadata.matcher;
    let mut is_member = async |name: &str, id: Option<u64>| -> RemoteResult<Option<u64>> {
        if let (Some(known), Some(id)) = (known.get(name), id)
            && *known == id
        {
            return Ok(Some(id));
        }
        let found = world.scale_sets().scale_set_runner(&metadata.github, credential, name).await?;
        let found = found.filter(|runner| runner.scale_set == Some(scale_set)).map(|runner| runner.id);
        if let Some(id) = found {
            known.insert(name.to_owned(), id);
        }
        Ok(found)
    };
    for runner in &mut runners {
        if matcher.short_id(&runner.name).is_some()
            && !matcher.has_label(runner)
            && is_member(&runner.name, Some(runner.id)).await? == Some(runner.id)
        {
            runner.labels.insert(matcher.label.clone());
        }
    }
    let Some(settings) = &metadata.registration else { return Ok(runners) };
    let listed: BTreeSet<String> = runners.iter().map(|runner| runner.name.clone()).collect();
    let running = tasks.iter().filter(|task| task.is_running()).filter_map(|task| TaskArn::parse(&task.arn));
    for name in running.map(|task| settings.runner_name(&task)).filter(|name| !listed.contains(name)) {
        if let Some(id) = is_member(&name, None).await? {
            let labels = BTreeSet::from([matcher.label.clone()]);
            runners.push(Runner { id, name, is_online: true, is_busy: false, labels, version: None });
        }
    }
    Ok(runners)
}
