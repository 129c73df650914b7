//! Decides whether a task that asks for a runner registration gets one.
//!
//! Guarantees: a task gets at most one registration, ever; nothing is registered for a task that is not the one whose
//! credentials asked, that is not a live task of a pool, or that asks after its start.
//!
//! Assumptions: ECS names the session of a task's role after the task, and no one else can choose that name; only the
//! function writes claims.
//!
//! Races, and the outcome chosen for each:
//! - The same request is delivered twice: one invocation gets the claim by its conditional write, the other ignores the
//!   request.
//! - The function ends between its claim and the registration, or cannot tell whether GitHub made it: the claim is
//!   taken over when the container asks again, and what was made under the runner's name is removed first.
//! - A slow invocation whose claim was taken over: its next write of the claim fails, and it removes what it made.
//! - The function ends after the registration and before its answer: the container waits, exits, and ECS starts another
//!   task. The registration that no runner has is removed by the next sweep.
//! - The task ends while its runner is registered: it is looked at once more before the answer, and what was made for it
//!   is removed. If the function ends just then, the next sweep removes it; and if the pool is deleted meanwhile, GitHub,
//!   which keeps an ephemeral runner that is offline for a day.
//!   <https://docs.github.com/en/actions/reference/runners/self-hosted-runners>

use std::time::Duration;

use crate::pool::model::ecs::{Task, TaskDefinition};
use crate::pool::model::evidence::{OrphanedRunner, OwnedTask};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::registration::{
    ClaimState, ObservedClaim, Refusal, RegistrationRequest, RegistrationSettings, TaskArn,
};
use crate::pool::model::remote_error::RemoteError;
use crate::pool::model::runner::Runner;
use crate::pool::model::spec::GitHubCredential;
use crate::pool::model::time::{HumanDuration, Timestamp};
use crate::pool::policy::reasons::explained;

/// How long after its start a task may ask. Its container gives up after ten minutes; a job comes later, and must not
/// get a registration by its task's role once the claim has expired.
pub const ASKING_PERIOD: Duration = Duration::from_secs(30 * 60);

/// After this time an invocation is taken to have ended without a word. It makes three calls of GitHub, which answers
/// or ends a request within 10 seconds.
/// <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#timeouts>
pub const MINT_MAX: Duration = Duration::from_secs(60);

/// Why a request does not lead to a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Its container ends, or another invocation works for it: there is nothing to answer.
    Ignore(&'static str),
    /// The container prints this.
    Refuse(Refusal),
}

impl Rejection {
    fn refuse(message: String) -> Self {
        Self::Refuse(Refusal { message, retry: false })
    }
}

/// The pool whose task asks.
///
/// # Errors
/// When it is no task of a pool, or none that may ask.
pub fn pool_of_task(arn: &TaskArn, task: Option<&Task>, now: Timestamp) -> Result<PhysicalId, Rejection> {
    let Some(task) = task else {
        let message = format!(
            "Task {}: Amazon ECS does not know it in the cluster {}. The container asks again; if this persists, stop \
             the task, and the service starts another one.",
            arn.id(),
            arn.cluster()
        );
        return Err(Rejection::Refuse(Refusal { message, retry: true }));
    };
    if !task.is_live() || task.desired_stopped {
        return Err(Rejection::Ignore("the task ends"));
    }
    if let Some(age) = task.started_at.map(|started_at| now.since(started_at)).filter(|age| *age > ASKING_PERIOD) {
        return Err(Rejection::refuse(format!(
            "Task {}: it started {} ago, and a task may ask for its registration only in the first {}. Stop the task; \
             the service starts another one.",
            arn.id(),
            HumanDuration(age),
            HumanDuration(ASKING_PERIOD)
        )));
    }
    let name = task.group.strip_prefix("service:").or_else(|| task.group.strip_prefix("family:"));
    let id = name.and_then(|name| PhysicalId::try_from(name.to_owned()).ok());
    id.filter(|id| OwnedTask::of(id, task).is_some()).ok_or_else(|| other_start(arn))
}

/// The task was not started by the pool.
#[must_use]
pub fn other_start(arn: &TaskArn) -> Rejection {
    Rejection::refuse(format!(
        "Task {}: no Custom::GitHubRunnerPool has started it. Declare the runners in a template.",
        arn.id()
    ))
}

/// What the task's own revision says of its pool.
///
/// # Errors
/// When the revision is not the pool's, or its runners do not register through the function.
pub fn pool_of_revision(
    id: &PhysicalId,
    revision: Option<&TaskDefinition>,
) -> Result<(PoolMetadata, RegistrationSettings, GitHubCredential), Rejection> {
    let metadata = revision
        .filter(|revision| id.owns(&revision.tags))
        .and_then(|revision| PoolMetadata::from_label(revision.metadata.as_deref()?));
    let Some(metadata) = metadata else {
        return Err(Rejection::refuse(format!(
            "Task definition: the task's revision is not an active one of {id}. Update the stack."
        )));
    };
    match (metadata.registration.clone(), metadata.github_credential.clone()) {
        (Some(settings), Some(github_credential)) => Ok((metadata, settings, github_credential)),
        (_, _) => Err(Rejection::refuse(format!(
            "RegisterBy: the task definition of {id} does not let the function register its runners. Update the stack."
        ))),
    }
}

/// The request is not that of the task whose credentials wrote it.
#[must_use]
pub fn foreign_task(request: &RegistrationRequest) -> Rejection {
    Rejection::refuse(format!(
        "Task {}: the request was made with the credentials of another task. Ask with the task's own.",
        request.task_arn
    ))
}

/// What a claim allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimGrant {
    /// The version to write it with.
    pub version: u64,
    /// What may have been registered under the runner's name before.
    pub earlier: EarlierMint,
}

/// What an earlier attempt may have left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlierMint {
    /// There was none.
    None,
    /// One whose outcome is unknown.
    Unfinished,
}

/// Whether the task's claim can be taken.
///
/// # Errors
/// When the task has had its registration, or another invocation makes it.
pub fn take_claim(found: Option<&ObservedClaim>, now: Timestamp) -> Result<ClaimGrant, Rejection> {
    let Some(found) = found else { return Ok(ClaimGrant { version: 1, earlier: EarlierMint::None }) };
    let grant = ClaimGrant { version: found.version.saturating_add(1), earlier: EarlierMint::Unfinished };
    match found.claim.state {
        ClaimState::Released => Ok(grant),
        ClaimState::Minting if now.since(found.claim.at) >= MINT_MAX => Ok(grant),
        ClaimState::Minting => Err(Rejection::Ignore("another invocation registers this task's runner")),
        ClaimState::Made => Err(Rejection::Refuse(already_registered())),
    }
}

/// The task has had its registration.
#[must_use]
pub fn already_registered() -> Refusal {
    Refusal {
        message: "Registration: this task has had its registration, and a task gets one. If its runner is not online, \
                  stop the task; the service starts another one."
            .to_owned(),
        retry: false,
    }
}

/// What to do about an existing runner with the name of the task's runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameHolder {
    /// No runner has the name.
    None,
    /// A registration that was never used: it is removed first.
    Leftover(u64),
    /// The task's runner itself.
    Connected,
    /// The runner of another pool or owner.
    Foreign,
}

impl NameHolder {
    /// Decides from the runner that GitHub lists under the name.
    #[must_use]
    pub fn of(metadata: &PoolMetadata, runner: Option<&Runner>) -> Self {
        match runner {
            None => Self::None,
            Some(runner) if !metadata.matcher.owns(runner) => Self::Foreign,
            Some(runner) if runner.is_online || runner.is_busy => Self::Connected,
            Some(runner) => Self::Leftover(runner.id),
        }
    }
}

/// A runner of that name that is not the pool's.
#[must_use]
pub fn name_taken(name: &str) -> Refusal {
    let message = format!(
        "Runner {name}: GitHub lists another runner of this name, without the pool's label. Remove it from the list of \
         runners, or change RunnerNamePrefix."
    );
    Refusal { message, retry: true }
}

/// The pool has no runner scale set now: it is about to be created, or the pool is being deleted.
#[must_use]
pub fn no_scale_set(id: &PhysicalId) -> Refusal {
    let message = format!(
        "RunnerScaleSetName: the pool {id} has no runner scale set at the moment. The container asks again; if this \
         persists, update the stack."
    );
    Refusal { message, retry: true }
}

/// GitHub says that the name is taken, after what it lists under it was removed.
#[must_use]
pub fn name_not_free(name: &str) -> Refusal {
    let message = format!(
        "Runner {name}: GitHub does not register it, because the name is still taken. The container asks again; if this \
         persists, remove the runner from GitHub's list."
    );
    Refusal { message, retry: true }
}

/// GitHub, or the parameter with the credential, refused.
#[must_use]
pub fn refused_by_remote(github_credential: Option<&GitHubCredential>, remote_error: &RemoteError) -> Refusal {
    Refusal { message: format!("{}.", explained(github_credential, remote_error)), retry: true }
}

/// Registrations of containers that ended: offline, idle, and of no task that lives. `runners` were read before `tasks`,
/// so that a runner's task cannot have started after the tasks were listed. `newest` is the revision of `metadata`.
#[must_use]
pub fn abandoned(metadata: &PoolMetadata, newest: &str, runners: &[Runner], tasks: &[Task]) -> Vec<OrphanedRunner> {
    // A task whose runner the function registers is known by its own id. It need not have reported its container: in a
    // pool of runners for one job there is always a task that has not.
    let is_another = |runner: &Runner, task: &Task| {
        let digits = metadata.matcher.short_id(&runner.name);
        metadata.registration.is_some()
            && task.task_definition == newest
            && digits.is_some_and(|digits| !task.has_short_id(digits))
    };
    let offline = runners.iter().filter(|runner| !runner.is_online);
    let orphaned = offline.filter_map(|runner| {
        let tasks = tasks.iter().filter(|task| !task.is_unplaced() && !is_another(runner, task));
        OrphanedRunner::of(&metadata.matcher, runner, tasks)
    });
    orphaned.collect()
}
