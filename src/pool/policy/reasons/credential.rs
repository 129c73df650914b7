//! What people read about a credential: that it does not work, that it cannot be read, and how to let it be read.

use crate::pool::model::memory::UNREACHABLE_MAX;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::spec::{GitHubCredential, ParameterRef, PoolSpec, Scope};
use crate::pool::model::time::HumanDuration;

/// What a denial of the key says, by Systems Manager or by IAM, in lower case.
const DENIES_KEY: &[&str] = &["kms:decrypt", "ciphertext refers to", "kms key", "customer master key"];

/// The failure reason when GitHub rejects the credential, or its parameter cannot be read.
#[must_use]
pub fn github_refused(spec: &PoolSpec, remote_error: &RemoteError) -> String {
    let github_credential = spec.credentials.github_credential.as_ref();
    let property = github_credential.map_or_else(|| "the credential".to_owned(), property);
    match (remote_error.remote, remote_error.kind) {
        (RemoteService::ParameterStore, ErrorKind::NotFound) => format!(
            "{property}: there is no such parameter in this Region and account. Create it as a SecureString that holds \
             the credential, or correct its name."
        ),
        (RemoteService::ParameterStore, ErrorKind::Invalid) => {
            format!("{property}: {}. Correct that, then deploy again.", remote_error.message.trim_end_matches('.'))
        }
        _ => match github_credential.and_then(|github_credential| advice(github_credential, remote_error)) {
            Some(advice) => format!("{property}: the function may not read it. {advice} {remote_error}"),
            None => format!(
                "{} cannot access the {} on {}: {remote_error}{}",
                github_credential.map_or(property, whole),
                spec.github.scope,
                spec.github.host,
                also_for_jobs(spec, remote_error)
            ),
        },
    }
}

/// The failure reason when the function has found no connection to GitHub for a while.
#[must_use]
pub fn github_unreachable(spec: &PoolSpec, remote_error: &RemoteError) -> String {
    format!(
        "GitHubUrl: no connection to {} in {}: {}. Nothing was built.",
        spec.github.host,
        HumanDuration(UNREACHABLE_MAX),
        remote_error.message.trim_end_matches('.')
    )
}

/// What the first check of a pool with `MaxRunners` does not find out, since it asks for less: both in one reason.
/// <https://docs.github.com/en/actions/how-tos/manage-runners/use-actions-runner-controller/authenticate-to-the-api>
fn also_for_jobs(spec: &PoolSpec, remote_error: &RemoteError) -> &'static str {
    let is_permission = matches!(remote_error.kind, ErrorKind::Denied | ErrorKind::NotFound);
    let is_token = matches!(spec.credentials.github_credential, Some(GitHubCredential::AccessToken(_)));
    let is_organization = matches!(spec.github.scope, Scope::Organization(_));
    let is_named = remote_error.message.contains("Administration");
    if spec.job_scaling.is_some() && is_permission && is_token && is_organization && !is_named {
        ". With MaxRunners, a fine-grained token also needs the organization permission Administration: Read"
    } else {
        ""
    }
}

/// A Delete that GitHub does not let clean up, and that is to fail then.
#[must_use]
pub fn cannot_deregister(github_credential: Option<&GitHubCredential>, remote_error: &RemoteError) -> String {
    let advice = github_credential.and_then(|github_credential| advice(github_credential, remote_error));
    format!(
        "OnDeregisterFailure: it is Fail, and the runners cannot be deregistered, so nothing was deleted. {} \
         {remote_error}",
        advice.unwrap_or_else(|| "Store a working credential in the parameter, then delete again.".to_owned())
    )
}

/// An error, and how to let the credential be read where that is what was refused.
#[must_use]
pub fn explained(github_credential: Option<&GitHubCredential>, remote_error: &RemoteError) -> String {
    match github_credential.and_then(|github_credential| advice(github_credential, remote_error)) {
        Some(advice) => format!("{remote_error}. {}", advice.trim_end_matches('.')),
        None => remote_error.to_string().trim_end_matches('.').to_owned(),
    }
}

/// What to do about a credential that the function may not read; `None` for another refusal.
fn advice(github_credential: &GitHubCredential, remote_error: &RemoteError) -> Option<String> {
    if remote_error.remote != RemoteService::ParameterStore || remote_error.kind != ErrorKind::Denied {
        return None;
    }
    let message = remote_error.message.to_lowercase();
    if DENIES_KEY.iter().any(|words| message.contains(words)) {
        return Some(
            "It is encrypted with a key that the function's role may not use: set CredentialKeyArn of the provider \
             stack to that key's ARN."
                .to_owned(),
        );
    }
    let folder = folder(parameter(github_credential));
    let or_there = folder.map(|folder| format!(", or set CredentialPrefix of the provider stack to {folder}"));
    Some(format!(
        "The provider stack allows it to read below its CredentialPrefix, github-runner-pool by default: move \
         the credential there, such as to /github-runner-pool/token{}.",
        or_there.unwrap_or_default()
    ))
}

const fn parameter(github_credential: &GitHubCredential) -> &ParameterRef {
    match github_credential {
        GitHubCredential::AccessToken(parameter) | GitHubCredential::App { private_key: parameter, .. } => parameter,
    }
}

/// The property that names the credential's parameter, with what it says.
fn property(github_credential: &GitHubCredential) -> String {
    match github_credential {
        GitHubCredential::AccessToken(parameter) => format!("AccessTokenParameter {parameter}"),
        GitHubCredential::App { private_key, .. } => format!("AppPrivateKeyParameter {private_key}"),
    }
}

/// The whole credential.
fn whole(github_credential: &GitHubCredential) -> String {
    match github_credential {
        GitHubCredential::AccessToken(_) => property(github_credential),
        GitHubCredential::App { id, private_key, .. } => {
            format!("AppId {id} with AppPrivateKeyParameter {private_key}")
        }
    }
}

/// The folders of a parameter's or a secret's name, if it has any.
fn folder(parameter: &ParameterRef) -> Option<&str> {
    let name = if parameter.0.starts_with("arn:") {
        // arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME, arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME
        let resource = parameter.0.splitn(6, ':').nth(5)?;
        let name = resource.strip_prefix("secret:").or_else(|| resource.strip_prefix("parameter/"))?;
        name.split(':').next()?
    } else {
        parameter.0.as_str()
    };
    let (folder, _) = name.trim_start_matches('/').rsplit_once('/')?;
    (!folder.is_empty()).then_some(folder)
}
