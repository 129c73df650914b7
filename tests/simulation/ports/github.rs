//! GitHub, as the function reaches it.

use github_runner_pool::pool::model::remote_error::RemoteService;
use github_runner_pool::pool::model::runner::{Runner, RunnerGroup};
use github_runner_pool::pool::model::secret::Secret;
use github_runner_pool::pool::model::spec::GitHubTarget;
use github_runner_pool::reconcile::ports::{
    Credential, Deregistration, GitHub, JitRunner, JitRunnerRequest, RemoteResult,
};

use super::Port;
use crate::world::World;

impl GitHub for Port {
    async fn runners(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Vec<Runner>> {
        let look = |world: &mut World| {
            world.sign_in_at("GET /actions/runners", target, credential)?;
            Ok(world.planted_runners(target))
        };
        self.call(RemoteService::GitHub, "GET /actions/runners", look).await
    }

    async fn check_administration(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
    ) -> RemoteResult<Option<String>> {
        const OPERATION: &str = "POST /actions/runners/registration-token";
        self.call(RemoteService::GitHub, OPERATION, |world| {
            world.sign_in_at(OPERATION, target, credential).map(|()| None)
        })
        .await
    }

    async fn runner_group(
        &self,
        _: &GitHubTarget,
        credential: &Credential,
        _: &str,
    ) -> RemoteResult<Option<RunnerGroup>> {
        const OPERATION: &str = "GET /actions/runner-groups";
        let look = |world: &mut World| world.sign_in(OPERATION, credential).map(|()| Some(RunnerGroup::Own));
        self.call(RemoteService::GitHub, OPERATION, look).await
    }

    async fn runner_named(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<Runner>> {
        const OPERATION: &str = "GET /actions/runners by name";
        let look = |world: &mut World| {
            world.sign_in_at(OPERATION, target, credential)?;
            Ok(world.find_runner(target, name))
        };
        self.call(RemoteService::GitHub, OPERATION, look).await
    }

    async fn create_jit_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: &JitRunnerRequest,
    ) -> RemoteResult<JitRunner> {
        const OPERATION: &str = "POST /actions/runners/generate-jitconfig";
        let effect = |world: &mut World| {
            world.sign_in_at(OPERATION, target, credential)?;
            Ok(world.create_jit_runner(target, runner))
        };
        self.call(RemoteService::GitHub, OPERATION, effect).await
    }

    async fn create_registration_token(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Secret> {
        const OPERATION: &str = "POST /actions/runners/registration-token";
        let effect = |world: &mut World| {
            world.sign_in_at(OPERATION, target, credential)?;
            Ok(world.create_registration_token(target))
        };
        self.call(RemoteService::GitHub, OPERATION, effect).await
    }

    async fn deregister(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: u64,
    ) -> RemoteResult<Deregistration> {
        const OPERATION: &str = "DELETE /actions/runners";
        let invocation = self.invocation;
        let effect = |world: &mut World| {
            world.sign_in_at(OPERATION, target, credential)?;
            let result = world.deregister(runner);
            world.note_background_deregistration(invocation, result);
            Ok(result)
        };
        self.write(RemoteService::GitHub, OPERATION, &format!("runner {runner}"), effect).await
    }
}
