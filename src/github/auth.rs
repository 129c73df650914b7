//! Authentication: a personal access token as it is, a GitHub App as its installation on the target.
//!
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation>

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::client::GitHubClient;
use super::errors;
use super::jwt;
use super::request::{ApiRequest, Bearer, CredentialKind, Endpoint};
use super::response::ApiResponse;
use super::session::{InstallationToken, SessionKey};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubTarget, Scope};
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{Clock, Credential, RemoteResult};

/// An installation's token expires after an hour, and is taken to where `expires_at` cannot be read.
/// <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>
const TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A token is not used in its last minutes: longer than a call with all its pauses, and than two clocks differ.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5 * 60);

#[derive(Deserialize)]
struct Installation {
    id: u64,
    account: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    login: Option<String>,
}

#[derive(Deserialize)]
struct CreatedToken {
    token: Secret,
    expires_at: Option<String>,
}

impl<C: Clock> GitHubClient<C> {
    /// The account on which the App is installed, as GitHub spells it; `None` for an access token.
    pub(super) fn installed_on(&self, target: &GitHubTarget, credential: &Credential) -> Option<String> {
        let key = SessionKey::of(target, credential);
        self.sessions.with_target(&key, self.clock.now(), |target| target.token.as_ref()?.installed_on.clone())
    }

    /// Sends `request` as `credential`. A token of an App that GitHub rejects is replaced once.
    ///
    /// # Errors
    /// Those of the authentication, and of [`GitHubClient::send_with_retries`].
    pub(super) async fn call(&self, credential: &Credential, request: &ApiRequest<'_>) -> RemoteResult<ApiResponse> {
        let key = SessionKey::of(request.target, credential);
        let bearer = self.authenticate(credential, request.target, &key).await?;
        let response = self.send_with_retries(&key, request, &bearer).await?;
        if !self.discard_if_rejected(&key, &response, &bearer) {
            return Ok(response);
        }
        let bearer = self.authenticate(credential, request.target, &key).await?;
        let response = self.send_with_retries(&key, request, &bearer).await?;
        self.discard_if_rejected(&key, &response, &bearer);
        Ok(response)
    }

    /// Discards an installation's token that GitHub rejected, and returns whether it did.
    fn discard_if_rejected(&self, key: &SessionKey, response: &ApiResponse, bearer: &Bearer) -> bool {
        let is_rejected =
            response.status == StatusCode::UNAUTHORIZED && bearer.kind == CredentialKind::InstallationToken;
        if is_rejected {
            self.sessions.with_target(key, self.clock.now(), |target| target.remove_rejected(bearer));
        }
        is_rejected
    }

    async fn authenticate(
        &self,
        credential: &Credential,
        target: &GitHubTarget,
        key: &SessionKey,
    ) -> RemoteResult<Bearer> {
        let (id, private_key) = match credential {
            Credential::AccessToken(token) => {
                return Ok(Bearer { value: token.clone(), kind: CredentialKind::AccessToken });
            }
            Credential::App { id, private_key } => (id, private_key),
        };
        let cached = |now| self.sessions.with_target(key, now, |target| target.bearer(now));
        if let Some(bearer) = cached(self.clock.now()) {
            return Ok(bearer);
        }
        let _refreshing = self.refresh_lock.lock().await;
        let now = self.clock.now();
        if let Some(bearer) = cached(now) {
            return Ok(bearer);
        }
        if matches!(target.scope, Scope::Enterprise(_)) {
            return Err(errors::no_app_for_enterprises());
        }
        let jwt = Bearer { value: jwt::sign(id, private_key, now)?, kind: CredentialKind::AppJwt };

        let request = ApiRequest::in_scope(Endpoint::GetInstallation, target, &["installation"])?;
        let response = errors::require_success(&request, self.send_with_retries(key, &request, &jwt).await?)?;
        let installation: Installation = errors::decode(&request, &response)?;

        let renamed_id = response.redirected_to.as_ref().and_then(repository_id);
        let id = installation.id.to_string();
        let installed_on = installation.account.and_then(|account| account.login);
        let segments = ["app", "installations", &id, "access_tokens"];
        let mut request = ApiRequest::new(Endpoint::CreateInstallationToken, target, &segments)?;
        request.body = Some(token_permissions(&target.scope, renamed_id).to_string());
        let response = errors::require_success(&request, self.send_with_retries(key, &request, &jwt).await?)?;
        let token: CreatedToken = errors::decode(&request, &response)?;

        let expires_at = token
            .expires_at
            .as_deref()
            .and_then(Timestamp::parse_rfc3339)
            .unwrap_or(now + TOKEN_LIFETIME)
            .min(now + TOKEN_LIFETIME);
        let bearer = Bearer { value: token.token.clone(), kind: CredentialKind::InstallationToken };
        let token = InstallationToken { value: token.token, installed_on, use_until: expires_at - EXPIRY_MARGIN };
        self.sessions.with_target(key, now, |target| target.token = Some(token));
        Ok(bearer)
    }
}

/// No more than it takes to administer runners, whatever else the App may do.
/// <https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps>
fn token_permissions(scope: &Scope, renamed_id: Option<u64>) -> serde_json::Value {
    match scope {
        // GitHub does not find a renamed repository by its former name.
        Scope::Repository { name, .. } => match renamed_id {
            Some(id) => json!({"repository_ids": [id], "permissions": {"administration": "write"}}),
            None => json!({"repositories": [name], "permissions": {"administration": "write"}}),
        },
        Scope::Organization(_) | Scope::Enterprise(_) => {
            json!({"permissions": {"organization_self_hosted_runners": "write"}})
        }
    }
}

/// The id in `/repositories/ID/…`, to which GitHub redirects from a repository's former name.
fn repository_id(url: &Url) -> Option<u64> {
    let mut segments = url.path_segments()?.skip_while(|segment| *segment != "repositories").skip(1);
    segments.next()?.parse().ok()
}
