//! The deletion of a runner's registration, at the service that has it.

use super::ports::{Credential, Deregistration, GitHub, RemoteResult, ScaleSets, World};
use crate::pool::model::pool_metadata::PoolMetadata;

/// Deletes a registration of the pool. GitHub refuses while its runner has a job; the scale-set service says so of those
/// that belong to a set.
///
/// # Errors
/// When the call was refused.
pub async fn deregister<W: World>(
    world: &W,
    metadata: &PoolMetadata,
    credential: &Credential,
    runner: u64,
) -> RemoteResult<Deregistration> {
    match &metadata.scale_set {
        Some(_) => world.scale_sets().deregister_runner(&metadata.github, credential, runner).await,
        None => world.github().deregister(&metadata.github, credential, runner).await,
    }
}
