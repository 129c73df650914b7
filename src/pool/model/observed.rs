//! One observation: the responses of the remote services, as plain values in the terms of the pool.
//!
//! `None` means absent, never "could not be read": a read that fails ends the round and comes back as
//! [`Observed::remote_error`].

use std::collections::BTreeMap;

use crate::pool::model::auto_scaling::Group;
use crate::pool::model::ec2::Ec2View;
use crate::pool::model::ecs::{CapacityProvider, Cluster, ContainerInstance, Service, Task, TaskDefinition};
use crate::pool::model::github_access::GitHubAccess;
use crate::pool::model::operation_lock::ObservedLock;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remote_error::{ErrorKind, RemoteError};
use crate::pool::model::runner::{Runner, RunnerGroup};
use crate::pool::model::runner_log::LogState;
use crate::pool::model::scale_set::ScaleSet;
use crate::pool::model::scaling::ObservedScaling;
use crate::pool::model::time::Timestamp;

/// Everything that a decision may depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The Auto Scaling group of the pool's name.
    pub group: Option<Group>,
    /// The capacity provider that the service runs on: the pool's own, or the named one.
    pub provider: Option<CapacityProvider>,
    /// The cluster.
    pub cluster: Option<Cluster>,
    /// The newest active task definition of the pool's family.
    pub task_definition: Option<TaskDefinition>,
    /// How the pool is reached, as its properties or its task definition say.
    pub metadata: Option<PoolMetadata>,
    /// How to reach what an earlier Delete of the pool may have left at GitHub.
    pub remains: Option<PoolMetadata>,
    /// The service of the pool's name.
    pub service: Option<Service>,
    /// Every task of the pool's family that ECS still knows, stopped ones included.
    pub tasks: Vec<Task>,
    /// The container instances on the pool's own capacity provider.
    pub instances: Vec<ContainerInstance>,
    /// Revisions, by ARN, that the service still deploys in addition to the newest one, with the hash of their content.
    pub deployed_content: BTreeMap<String, String>,
    /// What GitHub says.
    pub github: GitHubRunners,
    /// When its list was read, the last time that it was: a narrow observation leaves it as it is.
    pub github_read: Option<Reading>,
    /// How GitHub was reached in this observation, where it was by what a newer request of the resource knows.
    pub newer_github_access: Option<GitHubAccess>,
    /// By task, by ARN, what came of reading its log in this observation; an observation that was not for logs has
    /// none.
    pub logs: BTreeMap<String, LogReading>,
    /// The pool's runner scale set, where it has as many runners as jobs.
    pub scale_set: ObservedScaleSet,
    /// What is written down for the listener of such a pool.
    pub scaling: Option<ObservedScaling>,
    /// Whether a listener is at work.
    pub is_listening: bool,
    /// Whether GitHub would let runners register; `None` if it was not asked.
    pub preflight_result: Option<PreflightResult>,
    /// The template's runner group, if that was asked and there is one.
    pub runner_group: Option<RunnerGroup>,
    /// What the newest failed scaling activity said; only looked up for a diagnosis.
    pub failed_activity: Option<String>,
    /// Whether this observation also asked what stands in the way of new instances.
    pub is_diagnosis: bool,
    /// Whether this observation left nothing out.
    pub is_complete: bool,
    /// The number that the template's launch-template version stands for now.
    pub template_version: Option<u64>,
    /// What EC2 says of the launch template, the instance types and the subnets, where that was asked.
    pub ec2: Ec2View,
    /// The lock of the resource, or of this pool; `None` if there is none.
    pub lock: Option<ObservedLock>,
    /// Whether the resource's lock is for another pool, so that this pool has its own lock.
    pub has_pool_lock: bool,
    /// The last call that was refused since the previous decision.
    pub remote_error: Option<RemoteError>,
}

impl Observed {
    /// Whether no connection to GitHub was found.
    #[must_use]
    pub fn is_github_unreachable(&self) -> bool {
        let error = match (&self.preflight_result, &self.github) {
            (Some(PreflightResult::Failed(error)), _) | (_, GitHubRunners::Failed(error)) => error,
            (_, GitHubRunners::NotQueried | GitHubRunners::NoCredential | GitHubRunners::Listed(_)) => return false,
        };
        error.kind == ErrorKind::Unreachable
    }
}

/// What GitHub says about the pool's runner scale set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ObservedScaleSet {
    /// It was not asked in this observation, or the pool has none.
    #[default]
    NotQueried,
    /// There is no set of its name.
    Missing,
    /// This one has its name.
    Found(ScaleSet),
    /// GitHub, or the credential's parameter, refused the function.
    Failed(RemoteError),
}

/// The time in which something was read, page by page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its first page shows nothing older.
    pub began_at: Timestamp,
    /// Its last page shows nothing newer.
    pub ended_at: Timestamp,
}

/// The result of reading the log of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogReading {
    /// It shows whether a job runs.
    State(LogState),
    /// The task's definition names no log group.
    NotConfigured,
    /// There is no such log group, or the task has no stream in it.
    Missing,
    /// There is a stream, and what was read of it does not show whether a job runs.
    Silent {
        /// Whether that was all of it, and more than nothing.
        is_whole: bool,
    },
    /// The call was refused.
    Failed(RemoteError),
}

/// What GitHub says about the pool's runners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GitHubRunners {
    /// It was not asked in this observation.
    #[default]
    NotQueried,
    /// The template has no credential with which to ask GitHub.
    NoCredential,
    /// GitHub, or the read of the credential's parameter, returned an error.
    Failed(RemoteError),
    /// Every runner that GitHub lists, including those of others.
    Listed(Vec<Runner>),
}

/// What GitHub said when it was asked whether runners may register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreflightResult {
    /// They may.
    Passed,
    /// They may not, or the credential cannot be read.
    Failed(RemoteError),
    /// They may, and the runner group of the template does not exist.
    NoSuchRunnerGroup,
    /// The function may, and a container would not: the account on which the App is installed, as GitHub spells it,
    /// which the template spells otherwise. The image compares them letter by letter.
    /// <https://github.com/myoung34/docker-github-actions-runner/blob/master/app_token.sh>
    AppLoginMismatch(String),
}
