//! Registers runners for others: with a just-in-time configuration, or by a registration token.
//!
//! <https://docs.github.com/en/rest/actions/self-hosted-runners#create-configuration-for-a-just-in-time-runner-for-an-organization>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::GitHubClient;
use super::errors;
use super::messages;
use super::request::{ApiRequest, Endpoint};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::GitHubTarget;
use crate::reconcile::ports::{Clock, Credential, JitRunner, JitRunnerRequest, RemoteResult};

/// The group of every runner that is not put into another one, and the only one of a repository.
pub(super) const DEFAULT_GROUP: u64 = 1;

/// The file of a configuration that says how the runner behaves.
const SETTINGS_FILE: &str = ".runner";
/// Its switch against updates of the runner by itself. The call has no parameter for it.
/// <https://github.com/actions/runner/blob/main/src/Runner.Common/ConfigurationStore.cs>
const DISABLE_UPDATE: &str = "DisableUpdate";

#[derive(Deserialize)]
struct CreatedToken {
    token: Secret,
}

#[derive(Deserialize)]
struct CreatedRunner {
    runner: RunnerId,
    encoded_jit_config: Secret,
}

#[derive(Deserialize)]
struct RunnerId {
    id: u64,
}

/// A registration token.
pub(super) async fn create_token<C: Clock>(
    client: &GitHubClient<C>,
    target: &GitHubTarget,
    credential: &Credential,
) -> RemoteResult<Secret> {
    let path = ["actions", "runners", "registration-token"];
    let request = ApiRequest::in_scope(Endpoint::CreateRegistrationToken, target, &path)?;
    let response = errors::require_success(&request, client.call(credential, &request).await?)?;
    Ok(errors::decode::<CreatedToken>(&request, &response)?.token)
}

/// A runner with its just-in-time configuration.
pub(super) async fn create_jit_runner<C: Clock>(
    client: &GitHubClient<C>,
    target: &GitHubTarget,
    credential: &Credential,
    runner: &JitRunnerRequest,
) -> RemoteResult<JitRunner> {
    let path = ["actions", "runners", "generate-jitconfig"];
    let mut request = ApiRequest::in_scope(Endpoint::GenerateJitConfig, target, &path)?;
    let group = match &runner.group {
        None => DEFAULT_GROUP,
        Some(name) => match client.group_named(target, credential, name).await? {
            Some((id, _)) => id,
            None => return Err(errors::no_such_group(&request, name)),
        },
    };
    let body = json!({
        "name": runner.name, "runner_group_id": group, "labels": runner.labels, "work_folder": runner.workdir,
    });
    request.body = Some(body.to_string());
    let response = client.call(credential, &request).await?;
    match response.status {
        StatusCode::CONFLICT => return Ok(JitRunner::NameTaken),
        // A server without the call answers as one that hides the target does.
        StatusCode::NOT_FOUND if !response.headers.requires_sso => {
            client.confirm_target_visible(target, credential).await?;
            return Ok(JitRunner::Unsupported);
        }
        _ => {}
    }
    let response = errors::require_success(&request, response)?;
    let created: CreatedRunner = errors::decode(&request, &response)?;
    match files(created.encoded_jit_config.expose(), runner.disable_auto_update) {
        Some(files) => Ok(JitRunner::Registered { id: created.runner.id, files }),
        None => Err(errors::unreadable(&request, messages::UNREADABLE_JIT_CONFIG)),
    }
}

/// The files of a configuration, name to content in base64. The whole is base64 of a JSON object of them.
/// <https://github.com/actions/runner/blob/main/src/Runner.Listener/Runner.cs>
pub(super) fn files(encoded: &str, disable_auto_update: bool) -> Option<BTreeMap<String, Secret>> {
    let text = BASE64.decode(encoded.trim()).ok()?;
    let mut files: BTreeMap<String, Secret> = serde_json::from_slice(&text).ok()?;
    let settings = files.get_mut(SETTINGS_FILE)?;
    if disable_auto_update && let Some(changed) = without_updates(settings.expose()) {
        *settings = changed;
    }
    Some(files)
}

/// The runner's settings with updates switched off; `None` if they are not JSON.
fn without_updates(encoded: &str) -> Option<Secret> {
    let text = BASE64.decode(encoded).ok()?;
    // .NET writes a byte order mark.
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
    let mut settings: serde_json::Map<String, Value> = serde_json::from_slice(text).ok()?;
    // The runner reads the names whatever their case.
    settings.retain(|name, _| !name.eq_ignore_ascii_case(DISABLE_UPDATE));
    settings.insert(DISABLE_UPDATE.to_owned(), Value::Bool(true));
    Some(Secret::new(BASE64.encode(serde_json::to_vec(&settings).ok()?)))
}

#[cfg(test)]
mod tests;
