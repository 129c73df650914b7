//! The port of GitHub's REST API: runners, their registrations, and the permission to administer them.

#![expect(async_fn_in_trait, reason = "no caller needs `Send`: the Lambda runtime here is single-threaded")]

use std::collections::BTreeMap;

use super::call_error::RemoteResult;
use crate::pool::model::runner::{Runner, RunnerGroup};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::GitHubTarget;

/// A credential with its value. It lives no longer than the invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A personal access token.
    AccessToken(Secret),
    /// A GitHub App, which authenticates as its installation on the target.
    App {
        /// The App's id.
        id: String,
        /// Its private key in PEM format, with line breaks or `\n` escapes.
        private_key: Secret,
    },
}

/// The result of deleting a runner's registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deregistration {
    /// GitHub deleted it: it was idle, and gets no more jobs.
    Deleted,
    /// It does not exist any more.
    Missing,
    /// GitHub refused, because the runner has a job.
    Busy,
}

/// GitHub's REST API for self-hosted runners. Every error is classified, and its message begins with a sentence that
/// says what to do.
pub trait GitHub {
    /// Every runner of the target, including those of others.
    async fn runners(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Vec<Runner>>;
    /// Whether the credential may *administer* runners there, not only list them: makes a registration token and
    /// throws it away. Returns the account on which an App is installed, as GitHub spells it.
    async fn check_administration(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
    ) -> RemoteResult<Option<String>>;
    /// The runner group with this name; a repository has no groups.
    async fn runner_group(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<RunnerGroup>>;
    /// The runner with this name.
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
    /// Creates a registration token, which is valid for an hour.
    async fn create_registration_token(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Secret>;
    /// Deletes a runner's registration.
    async fn deregister(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: u64,
    ) -> RemoteResult<Deregistration>;
}

/// The request for a just-in-time configuration.
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

/// The result of the request for a just-in-time configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JitRunner {
    /// The runner is registered.
    Registered {
        /// GitHub's id of it.
        id: u64,
        /// Its configuration files: base64 content by name.
        files: BTreeMap<String, Secret>,
    },
    /// A runner has this name already.
    NameTaken,
    /// This GitHub Enterprise Server is too old for just-in-time configurations.
    Unsupported,
}
