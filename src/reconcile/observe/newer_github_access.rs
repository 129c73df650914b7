//! Observes GitHub with what a newer request of the resource knows: an organization may have been renamed, and a
//! credential replaced.

use super::github::credential;
use crate::pool::model::github_access::GitHubAccess;
use crate::pool::model::observed::{GitHubRunners, Reading};
use crate::pool::model::operation::{Goal, Operation};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::reconcile::log_error;
use crate::reconcile::lookup::pools_of;
use crate::reconcile::ports::{Clock, Ecs, GitHub, RemoteResult, World};
use crate::reconcile::session::Session;

/// If a pool that is being deleted can no longer access GitHub, another pool of its resource may: an Update that
/// changed the organization's name or the credential created one. Only a list that contains runners of this pool
/// counts, since an empty list from another target would look like a pool whose runners are gone.
pub(super) async fn observe<W: World>(
    world: &W,
    operation: &Operation,
    metadata: &PoolMetadata,
    session: &mut Session,
) {
    let is_refused = matches!(&session.observed.github, GitHubRunners::Failed(no) if !no.kind.is_retryable());
    if !is_refused || matches!(operation.goal, Goal::Converge(_)) || session.other_pools_checked {
        return;
    }
    let others = match github_access_of_other_pools(world, operation, metadata).await {
        Ok(others) => others,
        Err(error) => return log_error(&error),
    };
    session.other_pools_checked = true;
    for github_access in others {
        let Ok(credential) = credential(world, &github_access.github_credential).await else { continue };
        let began_at = world.clock().now();
        match world.github().runners(&github_access.github, &credential).await {
            Ok(runners) if runners.iter().any(|runner| metadata.matcher.owns(runner)) => {
                tracing::info!(step = "observe", "the runners are found at the {} now", github_access.github.scope);
                session.credential = Some(credential);
                session.observed.github_read = Some(Reading { began_at, ended_at: world.clock().now() });
                session.observed.github = GitHubRunners::Listed(runners);
                session.observed.newer_github_access = Some(github_access);
                return;
            }
            Ok(_) => {}
            Err(error) => log_error(&error),
        }
    }
}

/// How the other pools of the resource access GitHub, without duplicates.
async fn github_access_of_other_pools<W: World>(
    world: &W,
    operation: &Operation,
    metadata: &PoolMetadata,
) -> RemoteResult<Vec<GitHubAccess>> {
    let mut accesses: Vec<GitHubAccess> = Vec::new();
    for id in pools_of(world, &operation.request.stack_resource).await?.iter().filter(|id| **id != operation.id) {
        let newest = world.ecs().task_definition(id).await?.filter(|revision| id.owns(&revision.tags));
        let other = newest.and_then(|revision| PoolMetadata::from_label(revision.metadata.as_deref()?));
        let github_access = other.and_then(|other| other.github_access());
        accesses.extend(
            github_access
                .filter(|access| metadata.github_access().as_ref() != Some(access) && !accesses.contains(access)),
        );
    }
    Ok(accesses)
}
