//! The sweep: registrations of containers that have ended. No container whose runner the function registered
//! deregisters it.

use super::log_error;
use super::lookup::{FoundPool, every_pool};
use super::observe::credential;
use super::ports::{Deregistration, Ecs, GitHub, RemoteResult, World};
use crate::pool::model::runner::Runner;
use crate::pool::model::spec::{GitHubCredential, GitHubTarget};
use crate::pool::policy::registration::abandoned;

/// The runners of a target as the sweep has listed them, for all of its pools.
struct Listed {
    target: GitHubTarget,
    github_credential: GitHubCredential,
    runners: Vec<Runner>,
}

/// One sweep.
#[derive(Default)]
struct Sweep {
    listed: Vec<Listed>,
    n_removed: u64,
}

/// Removes every registration of a pool's runner that has no task and is offline, and returns how many there were. A pool
/// that cannot be read is left for the next sweep.
///
/// # Errors
/// When the pools themselves cannot be listed.
pub async fn sweep<W: World>(world: &W) -> RemoteResult<u64> {
    let mut sweep = Sweep::default();
    for pool in every_pool(world).await? {
        // Whoever registers the runners of its newest revision: those of an older one may have been registered by the
        // function, and a container that is killed cannot deregister its own.
        if let Some(github_credential) = &pool.metadata.github_credential
            && let Err(error) = sweep_pool(world, &pool, github_credential, &mut sweep).await
        {
            log_error(&error);
        }
    }
    Ok(sweep.n_removed)
}

async fn sweep_pool<W: World>(
    world: &W,
    pool: &FoundPool,
    github_credential: &GitHubCredential,
    sweep: &mut Sweep,
) -> RemoteResult<()> {
    let FoundPool { id, metadata, revision } = pool;
    // It has been logged.
    let Ok(credential) = credential(world, github_credential).await else { return Ok(()) };
    let target = &metadata.github;
    let is_of_pool = |it: &&Listed| it.target == *target && it.github_credential == *github_credential;
    let runners = match sweep.listed.iter().find(is_of_pool) {
        Some(listed) => listed.runners.clone(),
        None => {
            let runners = world.github().runners(target, &credential).await?;
            sweep.listed.push(Listed {
                target: target.clone(),
                github_credential: github_credential.clone(),
                runners: runners.clone(),
            });
            runners
        }
    };
    // After the runners: a task that started in between is no reason to take its runner for abandoned.
    let tasks = world.ecs().tasks(&metadata.cluster, id).await?;
    for runner in abandoned(metadata, revision, &runners, &tasks) {
        let result = world.github().deregister(target, &credential, runner.id()).await?;
        if result == Deregistration::Deleted {
            sweep.n_removed += 1;
            tracing::info!(step = "sweep", physical_id = id.as_str(), runner = runner.name(), "removed");
        }
    }
    Ok(())
}
