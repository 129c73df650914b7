//! The sweep removes registrations of containers that have stopped: a container does not deregister a runner that the
//! function registered.

use super::deregister::deregister;
use super::log_error;
use super::lookup::{FoundPool, every_pool};
use super::observe::{credential, with_members};
use super::ports::{Deregistration, Ecs, RemoteResult, World};
use super::runner_lists::RunnerLists;
use super::scaling::read_scaling;
use super::session::KnownMembers;
use crate::pool::model::observed::GitHubRunners;
use crate::pool::model::runner::Runner;
use crate::pool::policy::registration::abandoned;

/// The state of one sweep.
#[derive(Default)]
struct Sweep {
    lists: RunnerLists,
    n_removed: u64,
}

/// Removes every registration of a pool's runner that has no task and is offline, and returns their number. A pool that
/// cannot be read is left to the next sweep.
///
/// # Errors
/// When the pools themselves cannot be listed.
pub async fn sweep<W: World>(world: &W) -> RemoteResult<u64> {
    let mut sweep = Sweep::default();
    for pool in every_pool(world).await? {
        if let Err(error) = sweep_pool(world, &pool, &mut sweep).await {
            log_error(&error);
        }
    }
    Ok(sweep.n_removed)
}

/// Sweeps pools whose newest revision registers in the container as well: the function may have registered the runners
/// of an older revision, and a container that is killed cannot deregister its runner.
async fn sweep_pool<W: World>(world: &W, pool: &FoundPool, sweep: &mut Sweep) -> RemoteResult<()> {
    let FoundPool { id, metadata, revision } = pool;
    // Errors of reading have been logged.
    let GitHubRunners::Listed(runners) = sweep.lists.of(world, metadata).await else { return Ok(()) };
    let Some(runners) = with_scale_set(world, pool, runners).await? else { return Ok(()) };
    // Read after the runners, so that the runner of a task that starts in between does not look orphaned.
    let tasks = world.ecs().tasks(&metadata.cluster, id).await?;
    let abandoned = abandoned(metadata, revision, &runners, &tasks);
    let Some(github_credential) = metadata.github_credential.as_ref().filter(|_| !abandoned.is_empty()) else {
        return Ok(());
    };
    let Ok(credential) = credential(world, github_credential).await else { return Ok(()) };
    for runner in abandoned {
        let result = deregister(world, metadata, &credential, runner.id()).await?;
        if result == Deregistration::Deleted {
            sweep.n_removed += 1;
            tracing::info!(step = "sweep", physical_id = id.as_str(), runner = runner.name(), "removed");
        }
    }
    Ok(())
}

/// The runners of a target, those that are offline and belong to the pool's scale set recognized; `None` where there is
/// nothing to sweep.
async fn with_scale_set<W: World>(
    world: &W,
    pool: &FoundPool,
    runners: Vec<Runner>,
) -> RemoteResult<Option<Vec<Runner>>> {
    let FoundPool { id, metadata, .. } = pool;
    if metadata.scale_set.is_none() {
        return Ok(Some(runners));
    }
    let offline = |runner: &Runner| !runner.is_online && metadata.matcher.short_id(&runner.name).is_some();
    let offline: Vec<Runner> = runners.into_iter().filter(offline).collect();
    let (Some(github_credential), Some(scaling)) = (&metadata.github_credential, read_scaling(world, id).await?) else {
        return Ok(None);
    };
    if offline.is_empty() {
        return Ok(None);
    }
    let Ok(credential) = credential(world, github_credential).await else { return Ok(None) };
    let scale_set = scaling.record.goal.scale_set;
    let known = &mut KnownMembers::default();
    with_members(world, metadata, &credential, scale_set, &[], offline, known).await.map(Some)
}
