//! The runners of each GitHub target, listed once for all of its pools.

use super::log_error;
use super::observe::credential;
use super::ports::{GitHub, World};
use crate::pool::model::observed::GitHubRunners;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::spec::{GitHubCredential, GitHubTarget};

/// The lists that have been read so far.
#[derive(Default)]
pub struct RunnerLists(Vec<RunnerList>);

struct RunnerList {
    target: GitHubTarget,
    github_credential: GitHubCredential,
    runners: GitHubRunners,
}

impl RunnerLists {
    /// The runners of the target at which a pool registers, read with the pool's credential. An error is cached like a
    /// list.
    pub async fn of<W: World>(&mut self, world: &W, metadata: &PoolMetadata) -> GitHubRunners {
        let (target, Some(github_credential)) = (&metadata.github, &metadata.github_credential) else {
            return GitHubRunners::NoCredential;
        };
        let is_same = |list: &&RunnerList| list.target == *target && list.github_credential == *github_credential;
        if let Some(known) = self.0.iter().find(is_same) {
            return known.runners.clone();
        }
        let runners = list_runners(world, target, github_credential).await;
        self.0.push(RunnerList {
            target: target.clone(),
            github_credential: github_credential.clone(),
            runners: runners.clone(),
        });
        runners
    }
}

async fn list_runners<W: World>(
    world: &W,
    target: &GitHubTarget,
    github_credential: &GitHubCredential,
) -> GitHubRunners {
    let credential = match credential(world, github_credential).await {
        Ok(credential) => credential,
        Err(error) => return GitHubRunners::Failed(error),
    };
    match world.github().runners(target, &credential).await {
        Ok(runners) => GitHubRunners::Listed(runners),
        Err(error) => {
            log_error(&error);
            GitHubRunners::Failed(error.remote_error)
        }
    }
}
