//! Observes GitHub with the pool's credential.

use super::scale_set::{observe_scale_set, with_members};
use crate::pool::model::decision::ObserveScope;
use crate::pool::model::observed::{GitHubRunners, ObservedScaleSet, PreflightResult, Reading};
use crate::pool::model::operation::{Goal, Operation, Preflight};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::runner::Runner;
use crate::pool::model::spec::GitHubCredential;
use crate::reconcile::log_error;
use crate::reconcile::ports::{Clock, Credential, GitHub, RemoteResult, SecretStore, World};
use crate::reconcile::session::Session;

/// Lists the runners, after the preflight if one is due. An error is part of the observation: policy decides what it
/// means.
pub(super) async fn observe<W: World>(
    world: &W,
    operation: &Operation,
    metadata: &PoolMetadata,
    session: &mut Session,
    scope: ObserveScope,
) {
    let Some(github_credential) = &metadata.github_credential else {
        session.observed.github = GitHubRunners::NoCredential;
        return;
    };
    if session.credential.is_none() {
        match credential(world, github_credential).await {
            Ok(credential) => session.credential = Some(credential),
            Err(remote_error) => {
                if runs_preflight(operation) {
                    session.observed.preflight_result = Some(PreflightResult::Failed(remote_error.clone()));
                }
                session.observed.github = GitHubRunners::Failed(remote_error);
                // What an earlier observation found with the credential cannot be changed without it.
                session.observed.scale_set = ObservedScaleSet::NotQueried;
                return;
            }
        }
    }
    let Some(credential) = session.credential.clone() else { return };
    if session.observed.preflight_result != Some(PreflightResult::Passed) {
        session.observed.preflight_result = preflight_result(world, operation, session, &credential).await;
    }
    observe_scale_set(world, metadata, session, scope).await;
    let began_at = world.clock().now();
    session.observed.github = match runners(world, metadata, session, &credential).await {
        Ok(runners) => {
            session.observed.github_read = Some(Reading { began_at, ended_at: world.clock().now() });
            GitHubRunners::Listed(runners)
        }
        Err(error) => {
            log_error(&error);
            if error.kind() == ErrorKind::Unauthenticated {
                session.forget_credential();
            }
            GitHubRunners::Failed(error.remote_error)
        }
    };
}

/// Every runner of the target, with the pool's label on those of its scale set.
async fn runners<W: World>(
    world: &W,
    metadata: &PoolMetadata,
    session: &mut Session,
    credential: &Credential,
) -> RemoteResult<Vec<Runner>> {
    let runners = world.github().runners(&metadata.github, credential).await?;
    let of_record = session.observed.scaling.as_ref().map(|found| found.record.goal.scale_set);
    let Some(scale_set) = of_record.filter(|_| metadata.scale_set.is_some()) else { return Ok(runners) };
    let Session { observed, members, .. } = session;
    with_members(world, metadata, credential, scale_set, &observed.tasks, runners, members).await
}

/// Reads the value of the credential.
///
/// # Errors
/// When it cannot be read or does not exist.
pub async fn credential<W: World>(world: &W, github_credential: &GitHubCredential) -> Result<Credential, RemoteError> {
    let parameter = match github_credential {
        GitHubCredential::AccessToken(parameter) | GitHubCredential::App { private_key: parameter, .. } => parameter,
    };
    let value = world.secret_store().read(parameter).await.map_err(|error| {
        log_error(&error);
        error.remote_error
    })?;
    let value = value.ok_or_else(|| RemoteError {
        remote: RemoteService::ParameterStore,
        kind: ErrorKind::NotFound,
        operation: "GetParameter".to_owned(),
        code: None,
        message: format!("there is no parameter {parameter}"),
    })?;
    Ok(match github_credential {
        GitHubCredential::AccessToken(_) => Credential::AccessToken(value),
        GitHubCredential::App { id, .. } => Credential::App { id: id.clone(), private_key: value },
    })
}

/// Asks GitHub whether runners may register, if the goal requires that.
async fn preflight_result<W: World>(
    world: &W,
    operation: &Operation,
    session: &mut Session,
    credential: &Credential,
) -> Option<PreflightResult> {
    let Goal::Converge(goal) = &operation.goal else { return None };
    if !runs_preflight(operation) {
        return None;
    }
    let target = &goal.spec.github;
    match world.github().check_administration(target, credential).await {
        Ok(Some(login)) if goal.spec.credentials.app_login().is_some_and(|ours| *ours != login) => {
            return Some(PreflightResult::AppLoginMismatch(login));
        }
        Ok(_) => {}
        Err(error) => {
            log_error(&error);
            return Some(PreflightResult::Failed(error.remote_error));
        }
    }
    let Some(group) = &goal.spec.runner.group else { return Some(PreflightResult::Passed) };
    Some(match world.github().runner_group(target, credential, group).await {
        Ok(None) => PreflightResult::NoSuchRunnerGroup,
        Ok(found) => {
            session.observed.runner_group = found;
            PreflightResult::Passed
        }
        Err(error) => {
            log_error(&error);
            PreflightResult::Failed(error.remote_error)
        }
    })
}

fn runs_preflight(operation: &Operation) -> bool {
    matches!(&operation.goal, Goal::Converge(goal) if goal.preflight == Preflight::Run)
}
