//! Registers the runner of one task: read the request, let the policy decide, register, answer. The only module that
//! writes answers.
//!
//! The claim is written before GitHub is called, and again before the answer, each time conditionally. So one of two
//! concurrent invocations fails to write it, and stops.

use std::collections::BTreeMap;

use super::claims::{read_claim, write_claim};
use super::deregister::deregister;
use super::log_error;
use super::observe::{credential, with_members};
use super::ports::{
    AnswerWrite, Clock, Credential, Deregistration, Ecs, GitHub, JitRunner, JitRunnerRequest, Registrations,
    RemoteResult, ScaleSets, StateWrite, World,
};
use super::scaling::read_scaling;
use super::session::KnownMembers;
use crate::pool::model::ecs::Task;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::registration::{
    ClaimState, Refusal, RegistrationAnswer, RegistrationClaim, RegistrationRequest, RegistrationSettings, TaskArn,
};
use crate::pool::model::remote_error::RemoteError;
use crate::pool::model::runner::Runner;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubCredential, GitHubTarget};
use crate::pool::policy::registration::{
    ClaimGrant, EarlierMint, NameHolder, Rejection, already_registered, foreign_task, name_not_free, name_taken,
    no_scale_set, other_start, pool_of_revision, pool_of_task, refused_by_remote, take_claim,
};

/// The result of a request for a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestResult {
    /// The task has got its registration.
    Registered {
        /// The runner's name.
        runner: String,
    },
    /// The task was told why it gets none.
    Refused(Refusal),
    /// There was nothing to do, for this reason.
    Ignored(&'static str),
}

/// A task that may have its registration.
struct Asker<'request> {
    request: &'request RegistrationRequest,
    id: PhysicalId,
    task: TaskArn,
    metadata: PoolMetadata,
    settings: RegistrationSettings,
    github_credential: GitHubCredential,
}

/// A registration that has not been handed to its task yet.
struct Minted {
    answer: RegistrationAnswer,
    runner: String,
    /// GitHub's id of the runner, if it is registered already.
    runner_id: Option<u64>,
    credential: Credential,
}

/// Answers the request under `key` of the registrations table, if there is one.
///
/// # Errors
/// The first call to AWS that failed. A retry resumes the work.
pub async fn answer_request<W: World>(world: &W, key: &str) -> RemoteResult<RequestResult> {
    let Some(request) = world.registrations().request(key).await? else {
        return Ok(RequestResult::Ignored("no request waits"));
    };
    let asker = match look(world, &request).await? {
        Ok(asker) => asker,
        Err(rejection) => return reject(world, &request, rejection).await,
    };
    let claim_key = RegistrationClaim::key(&asker.task);
    let found = read_claim(world, &asker.task).await?;
    let grant = match take_claim(found.as_ref(), world.clock().now()) {
        Ok(grant) => grant,
        Err(rejection) => return reject(world, &request, rejection).await,
    };
    register(world, &asker, &claim_key, grant).await
}

/// The task behind a request and its pool.
async fn look<'request, W: World>(
    world: &W,
    request: &'request RegistrationRequest,
) -> RemoteResult<Result<Asker<'request>, Rejection>> {
    let Some(arn) = request.task() else { return Ok(Err(foreign_task(request))) };
    let task = world.ecs().task(&arn).await?;
    let id = match pool_of_task(&arn, task.as_ref(), world.clock().now()) {
        Ok(id) => id,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let revision = match &task {
        Some(task) => world.ecs().revision(&task.task_definition).await?,
        None => None,
    };
    let found = pool_of_revision(&id, revision.as_ref()).and_then(|found| {
        // Only the function starts standalone tasks of a pool, and only of one with a scale set.
        let is_standalone = task.as_ref().is_some_and(Task::is_standalone);
        if is_standalone == found.0.scale_set.is_some() { Ok(found) } else { Err(other_start(&arn)) }
    });
    Ok(found.map(|(metadata, settings, github_credential)| Asker {
        request,
        id: id.clone(),
        task: arn,
        metadata,
        settings,
        github_credential,
    }))
}

async fn reject<W: World>(
    world: &W,
    request: &RegistrationRequest,
    rejection: Rejection,
) -> RemoteResult<RequestResult> {
    match rejection {
        Rejection::Ignore(why) => Ok(RequestResult::Ignored(why)),
        Rejection::Refuse(refusal) => {
            world.registrations().answer(request, &RegistrationAnswer::Refused(refusal.clone())).await?;
            Ok(RequestResult::Refused(refusal))
        }
    }
}

/// Takes the claim, registers the runner at GitHub, and writes the answer.
async fn register<W: World>(
    world: &W,
    asker: &Asker<'_>,
    claim_key: &str,
    grant: ClaimGrant,
) -> RemoteResult<RequestResult> {
    let write = |state, version| {
        let claim = RegistrationClaim::new(state, asker.request.attempt, world.clock().now());
        write_claim(world, claim_key, claim, version)
    };
    if write(ClaimState::Minting, grant.version).await? == StateWrite::Conflict {
        return Ok(RequestResult::Ignored("another invocation registers this task's runner"));
    }
    let next = grant.version.saturating_add(1);
    let minted = match mint(world, asker, grant.earlier).await {
        Ok(minted) => minted,
        Err(refusal) => {
            // Without a retry of the container, the task's runner exists.
            let state = if refusal.retry { ClaimState::Released } else { ClaimState::Made };
            write(state, next).await?;
            return reject(world, asker.request, Rejection::Refuse(refusal)).await;
        }
    };
    // A Delete of the pool looks for registrations once its tasks have ended.
    let task = world.ecs().task(&asker.task).await?;
    if let Err(rejection) = pool_of_task(&asker.task, task.as_ref(), world.clock().now()) {
        remove(world, asker, &minted).await;
        write(ClaimState::Released, next).await?;
        return reject(world, asker.request, rejection).await;
    }
    if write(ClaimState::Made, next).await? == StateWrite::Conflict {
        remove(world, asker, &minted).await;
        return Ok(RequestResult::Ignored("another invocation has taken over this task's claim"));
    }
    match world.registrations().answer(asker.request, &minted.answer).await? {
        AnswerWrite::Stored => Ok(RequestResult::Registered { runner: minted.runner }),
        // The container may have taken the answer already, if only DynamoDB's response was lost, so the registration
        // stays.
        AnswerWrite::Withdrawn => Ok(RequestResult::Ignored("the container no longer waits")),
    }
}

/// Registers the runner at GitHub, or creates the registration token for it.
///
/// # Errors
/// The refusal that the container prints.
async fn mint<W: World>(world: &W, asker: &Asker<'_>, earlier: EarlierMint) -> Result<Minted, Refusal> {
    let refused = |error: &RemoteError| refused_by_remote(Some(&asker.github_credential), error);
    let credential = credential(world, &asker.github_credential).await.map_err(|error| refused(&error))?;
    let runner = asker.settings.runner_name(&asker.task);
    if earlier == EarlierMint::Unfinished && asker.settings.fixed_name.is_none() {
        free_name(world, asker, &credential, &runner).await?;
    }
    if asker.metadata.scale_set.is_some() {
        let (id, files) = mint_for_scale_set(world, asker, &credential, &runner).await?;
        let answer = jit_answer(asker, &runner, files);
        return Ok(Minted { answer, runner, runner_id: Some(id), credential });
    }
    if asker.settings.is_just_in_time() {
        match mint_jit(world, asker, &credential, &runner).await? {
            JitRunner::Registered { id, files } => {
                let answer = jit_answer(asker, &runner, files);
                return Ok(Minted { answer, runner, runner_id: Some(id), credential });
            }
            // A registration token is no substitute, since it could register any runner.
            JitRunner::NameTaken => return Err(name_not_free(&runner)),
            JitRunner::Unsupported => {
                tracing::info!(step = "registration", "this GitHub has no just-in-time configurations");
            }
        }
    }
    let token = call(asker, world.github().create_registration_token(target(asker), &credential).await)?;
    Ok(Minted { answer: token_answer(asker, &runner, token), runner, runner_id: None, credential })
}

/// Registers the runner in the pool's scale set.
async fn mint_for_scale_set<W: World>(
    world: &W,
    asker: &Asker<'_>,
    credential: &Credential,
    runner: &str,
) -> Result<(u64, BTreeMap<String, Secret>), Refusal> {
    let scaling = read_scaling(world, &asker.id).await.map_err(|error| {
        log_error(&error);
        refused_by_remote(None, &error.remote_error)
    })?;
    let Some(scaling) = scaling else { return Err(no_scale_set(&asker.id)) };
    let (scale_set, workdir) = (scaling.record.goal.scale_set, asker.settings.workdir(runner));
    let create = async || {
        let port = world.scale_sets();
        call(asker, port.create_runner(target(asker), credential, scale_set, runner, &workdir).await)
    };
    let mut made = create().await?;
    if made == JitRunner::NameTaken {
        free_name(world, asker, credential, runner).await?;
        made = create().await?;
    }
    match made {
        JitRunner::Registered { id, files } => Ok((id, files)),
        JitRunner::NameTaken => Err(name_not_free(runner)),
        JitRunner::Unsupported => Err(no_scale_set(&asker.id)),
    }
}

/// Registers the runner with a just-in-time configuration.
async fn mint_jit<W: World>(
    world: &W,
    asker: &Asker<'_>,
    credential: &Credential,
    runner: &str,
) -> Result<JitRunner, Refusal> {
    let request = jit(asker, runner);
    let create = async || call(asker, world.github().create_jit_runner(target(asker), credential, &request).await);
    match create().await? {
        JitRunner::NameTaken => {
            free_name(world, asker, credential, runner).await?;
            create().await
        }
        made @ (JitRunner::Registered { .. } | JitRunner::Unsupported) => Ok(made),
    }
}

/// Removes a registration of the runner's name that was never used.
async fn free_name<W: World>(
    world: &W,
    asker: &Asker<'_>,
    credential: &Credential,
    runner: &str,
) -> Result<(), Refusal> {
    let found = call(asker, runner_named(world, asker, credential, runner).await)?;
    match NameHolder::of(&asker.metadata, found.as_ref()) {
        NameHolder::None => Ok(()),
        NameHolder::Connected => Err(already_registered()),
        NameHolder::Foreign => Err(name_taken(runner)),
        NameHolder::Leftover(id) => match call(asker, deregister(world, &asker.metadata, credential, id).await)? {
            Deregistration::Deleted | Deregistration::Missing => Ok(()),
            Deregistration::Busy => Err(already_registered()),
        },
    }
}

/// Removes a registration that no task will use. If that fails, the next sweep removes it.
async fn remove<W: World>(world: &W, asker: &Asker<'_>, minted: &Minted) {
    let Some(id) = minted.runner_id else { return };
    if let Err(error) = deregister(world, &asker.metadata, &minted.credential, id).await {
        log_error(&error);
    }
}

/// The runner with this name. A runner of the pool's scale set gets the pool's label here, since GitHub's list shows it
/// without labels.
async fn runner_named<W: World>(
    world: &W,
    asker: &Asker<'_>,
    credential: &Credential,
    runner: &str,
) -> RemoteResult<Option<Runner>> {
    let found = world.github().runner_named(target(asker), credential, runner).await?;
    if asker.metadata.scale_set.is_none() {
        return Ok(found);
    }
    let Some(scaling) = read_scaling(world, &asker.id).await? else { return Ok(found) };
    let scale_set = scaling.record.goal.scale_set;
    let runners = found.into_iter().collect();
    let known = &mut KnownMembers::default();
    let runners = with_members(world, &asker.metadata, credential, scale_set, &[], runners, known).await?;
    if let Some(runner) = runners.into_iter().next() {
        return Ok(Some(runner));
    }
    let of_set = world.scale_sets().scale_set_runner(target(asker), credential, runner).await?;
    Ok(of_set.map(|found| Runner {
        id: found.id,
        name: found.name,
        is_online: false,
        is_busy: false,
        labels: (found.scale_set == Some(scale_set))
            .then(|| asker.metadata.matcher.label.clone())
            .into_iter()
            .collect(),
        version: None,
    }))
}

/// The result of a call to GitHub, with an error as the refusal that the container prints.
fn call<T>(asker: &Asker<'_>, result: RemoteResult<T>) -> Result<T, Refusal> {
    result.map_err(|error| {
        log_error(&error);
        refused_by_remote(Some(&asker.github_credential), &error.remote_error)
    })
}

const fn target<'asker>(asker: &'asker Asker<'_>) -> &'asker GitHubTarget {
    &asker.metadata.github
}

fn jit(asker: &Asker<'_>, runner: &str) -> JitRunnerRequest {
    let settings = &asker.settings;
    JitRunnerRequest {
        name: runner.to_owned(),
        group: settings.group.clone(),
        labels: settings.all_labels(asker.request.architecture),
        workdir: settings.workdir(runner),
        disable_auto_update: settings.disable_auto_update,
    }
}

fn jit_answer(asker: &Asker<'_>, runner: &str, files: BTreeMap<String, Secret>) -> RegistrationAnswer {
    RegistrationAnswer::Jit { name: runner.to_owned(), workdir: asker.settings.workdir(runner), files }
}

fn token_answer(asker: &Asker<'_>, runner: &str, token: Secret) -> RegistrationAnswer {
    let settings = &asker.settings;
    RegistrationAnswer::Token {
        name: runner.to_owned(),
        workdir: settings.workdir(runner),
        url: asker.metadata.github.url(),
        token,
        labels: settings.labels.join(","),
        group: settings.group.clone(),
        ephemeral: settings.ephemeral,
        disable_update: settings.disable_auto_update,
        no_default_labels: settings.no_default_labels,
    }
}
