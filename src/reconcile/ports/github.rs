//! GitHub's port: runners, their registrations, and who may administer them.

#![expect(async_fn_in_trait, reason = "no caller needs `Send`: the Lambda runtime here is single-threaded")]

use std::collections::BTreeMap;

use super::call_error::RemoteResult;
use crate::pool::model::runner::{Runner, RunnerGroup};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::GitHubTarget;

/// A credential with its value, for the length of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A personal access token.
    AccessToken(Secret),
    /// A GitHub App, to be signed in as its installation on the target.
    App {
        /// The App's id.
        id: String,
        /// Its private key, PEM, `\n` escapes allowed.
        private_key: Secret,
    },
}

/// What became of a deregistration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deregistration {
    /// GitHub deleted it: it was idle, and no job will come to it any more.
    Deleted,
    /// GitHub did not know it any more.
    Missing,
    /// GitHub failed: it has a job.
    Busy,
}

/// GitHub's REST API for self-hosted runners. Every refusal is classed and begins with the sentence that helps.
pub trait GitHub {
    /// Every runner of the target, foreign ones included.
    async fn runners(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Vec<Runner>>;
    /// Whether the credential may *administer* runners there, not only list them: makes a registration token and
    /// throws it away. Returns the account on which an App is installed, as GitHub spells it.
    async fn check_administration(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
    ) -> RemoteResult<Option<String>>;
    /// The runner group of this name there; a repository has none.
    async fn runner_group(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<RunnerGroup>>;
    /// The runner of this name there.
    async fn runner_named(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<Runner>>;
    /// Registers a runner for one job.
    async fn create_jit_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: &JitRunnerRequest,
    ) -> RemoteResult<JitRunner>;
    /// A token with which runners register there, for an hour.
    async fn create_registration_token(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Secret>;
    /// Deletes a runner's registration.
    async fn deregister(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: u64,
    ) -> RemoteResult<Deregistration>;
}

/// A runner that is to be registered with a just-in-time configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JitRunnerRequest {
    /// Its name.
    pub name: String,
    /// Its runner group; `None` for the default one.
    pub group: Option<String>,
    /// All of its labels.
    pub labels: Vec<String>,
    /// Its work folder.
    pub workdir: String,
    /// Whether it leaves updates of itself to its image.
    pub disable_auto_update: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JitRunner {
    /// It is registered.
    Registered {
        /// GitHub's id of it.
        id: u64,
        /// The files that configure it: name to content, base64.
        files: BTreeMap<String, Secret>,
    },
    /// A runner has this name already.
    NameTaken,
    /// This GitHub has no such call: an Enterprise Server from before there was one.
    Unsupported,
}
