//! The connection to the scale-set service, and calls by it.
//!
//! A registration token leads to it: GitHub exchanges one for the address of the service and a token that administers the
//! target's scale sets. <https://github.com/actions/scaleset/blob/main/client.go>
//!
//! GitHub's client names itself by a JSON object, for GitHub's statistics. The service asks for none: other clients send
//! a plain product token or nothing, and here the `User-Agent` is that of every other request.
//! <https://github.com/cloudbase/garm/blob/main/util/github/scalesets/client.go>

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::{Host, Url};

use super::errors::CallContext;
use crate::github::client::{BACKOFF, GitHubClient, TRIES_MAX, TRY_TIMEOUT, is_gateway_timeout};
use crate::github::errors;
use crate::github::jwt;
use crate::github::messages;
use crate::github::registration;
use crate::github::request::{ApiRequest, Bearer, CredentialKind, Endpoint};
use crate::github::response::ApiResponse;
use crate::github::session::{ServiceConnection, SessionKey};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubTarget, Scheme};
use crate::reconcile::ports::{Clock, Credential, RemoteResult};

/// The one version that there is.
const API_VERSION: &str = "6.0-preview";

/// Before the second exchange of a registration token; doubled before each further one. GitHub may not know a token yet
/// that it has just made, and then rejects it.
const EXCHANGE_BACKOFF: Duration = Duration::from_secs(1);

/// Of a token that does not say when it expires. GitHub's last for about an hour.
const LIFETIME_MIN: Duration = Duration::from_secs(10 * 60);

/// A token is not used in its last minute: longer than a call, and than two clocks differ.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct ExchangedToken {
    url: String,
    token: Secret,
}

/// One call of the service.
pub(super) struct ServiceCall<'a> {
    pub(super) target: &'a GitHubTarget,
    pub(super) credential: &'a Credential,
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<String>,
    operation: String,
}

impl<'a> ServiceCall<'a> {
    /// A call of `path` below the service's root.
    pub(super) fn new(target: &'a GitHubTarget, credential: &'a Credential, method: Method, path: &[&str]) -> Self {
        let operation = format!("{method} {}", path.join("/"));
        let path = path.iter().copied().map(str::to_owned).collect();
        Self { target, credential, method, path, query: Vec::new(), body: None, operation }
    }

    /// One segment further down, which no message shows.
    pub(super) fn below(mut self, segment: &str) -> Self {
        self.path.push(segment.to_owned());
        self
    }

    pub(super) fn with_query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    pub(super) fn with_body(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string());
        self
    }

    /// What its errors say of it.
    pub(super) fn context(&self, connection: &ServiceConnection) -> CallContext<'_> {
        CallContext {
            operation: &self.operation,
            authority: authority(&connection.url),
            scope: Some(&self.target.scope),
        }
    }

    fn url(&self, root: &Url) -> Option<Url> {
        let mut url = root.clone();
        // Encodes what a name could smuggle in.
        url.path_segments_mut().ok()?.pop_if_empty().extend(&self.path);
        url.query_pairs_mut().extend_pairs(&self.query).append_pair("api-version", API_VERSION);
        Some(url)
    }
}

/// A response of the service, and where it came from.
pub(super) struct ServiceResponse<'a> {
    pub(super) response: ApiResponse,
    pub(super) context: CallContext<'a>,
}

impl<C: Clock> GitHubClient<C> {
    /// Calls the service. A connection that it rejects is made anew once. A response is returned whatever its status.
    ///
    /// # Errors
    /// Those of the connection, and when no response came.
    pub(super) async fn call_service<'a>(&self, call: &'a ServiceCall<'_>) -> RemoteResult<ServiceResponse<'a>> {
        let connection = self.connect(call.target, call.credential).await?;
        let first = self.send_as_administrator(call, &connection).await?;
        if first.response.status != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        let connection = self.connect(call.target, call.credential).await?;
        self.send_as_administrator(call, &connection).await
    }

    /// Discards a connection whose token the service rejects.
    async fn send_as_administrator<'a>(
        &self,
        call: &'a ServiceCall<'_>,
        connection: &ServiceConnection,
    ) -> RemoteResult<ServiceResponse<'a>> {
        let bearer = service_bearer(&connection.token);
        let sent = self.send_to_service(call, connection, &bearer).await?;
        if sent.response.status == StatusCode::UNAUTHORIZED {
            let key = SessionKey::of(call.target, call.credential);
            self.sessions.with_target(&key, self.clock.now(), |target| target.remove_rejected_connection(connection));
        }
        Ok(sent)
    }

    /// Sends a call as `bearer`. A read is sent again where that may help; anything else only if the service has received
    /// nothing of it.
    pub(super) async fn send_to_service<'a>(
        &self,
        call: &'a ServiceCall<'_>,
        connection: &ServiceConnection,
        bearer: &Bearer,
    ) -> RemoteResult<ServiceResponse<'a>> {
        let context = call.context(connection);
        let url = call.url(&connection.url).ok_or_else(|| context.unreadable())?;
        let is_read = call.method == Method::GET;
        let mut n_tries = 0;
        loop {
            n_tries += 1;
            let mut http_request = self
                .http
                .request(call.method.clone(), url.clone())
                .timeout(TRY_TIMEOUT)
                .header(CONTENT_TYPE, "application/json");
            if let Some(body) = &call.body {
                http_request = http_request.body(body.clone());
            }
            let is_last = n_tries >= TRIES_MAX;
            match self.exchange(&call.operation, http_request, bearer).await {
                Ok(response) if is_last || !is_read || !is_gateway_timeout(response.status) => {
                    return Ok(ServiceResponse { response, context });
                }
                Ok(_) => {}
                Err(error) => {
                    let may_repeat = error.is_before_send() || is_read;
                    if is_last || !error.is_transient() || !may_repeat {
                        return Err(context.send_error(error));
                    }
                }
            }
            self.clock.sleep_until(self.clock.now() + BACKOFF.saturating_mul(1 << (n_tries - 1))).await;
        }
    }

    /// The connection to the service of a target, made once for the time that its token is valid.
    pub(super) async fn connect(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
    ) -> RemoteResult<ServiceConnection> {
        let key = SessionKey::of(target, credential);
        let cached = |now| self.sessions.with_target(&key, now, |target| target.live_connection(now));
        if let Some(connection) = cached(self.clock.now()) {
            return Ok(connection);
        }
        let lock = self.sessions.with_target(&key, self.clock.now(), |target| Arc::clone(&target.connecting));
        let _connecting = lock.lock().await;
        if let Some(connection) = cached(self.clock.now()) {
            return Ok(connection);
        }
        let connection = self.exchange_registration_token(target, credential, &key).await?;
        let known = connection.clone();
        self.sessions.with_target(&key, self.clock.now(), |target| target.connection = Some(known));
        Ok(connection)
    }

    async fn exchange_registration_token(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        key: &SessionKey,
    ) -> RemoteResult<ServiceConnection> {
        let token = registration::create_token(self, target, credential).await?;
        let bearer = Bearer { value: token, kind: CredentialKind::RegistrationToken };
        let path = ["actions", "runner-registration"];
        let mut request = ApiRequest::new(Endpoint::ExchangeRegistrationToken, target, &path)?;
        request.body = Some(json!({ "url": target.url(), "runner_event": "register" }).to_string());
        let mut n_tries = 0;
        let response = loop {
            n_tries += 1;
            let response = self.send_with_retries(key, &request, &bearer).await?;
            // What a gateway says was tried again already.
            let may_pass = matches!(response.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                || (response.status.is_server_error() && !is_gateway_timeout(response.status));
            if !may_pass || n_tries >= TRIES_MAX {
                break errors::require_success(&request, response)?;
            }
            self.clock.sleep_until(self.clock.now() + EXCHANGE_BACKOFF.saturating_mul(1 << (n_tries - 1))).await;
        };
        let exchanged: ExchangedToken = errors::decode(&request, &response)?;
        match address(&exchanged.url, target.host.scheme) {
            Some(url) if !exchanged.token.expose().is_empty() => {
                let expires_at = jwt::expires_at(&exchanged.token).unwrap_or(self.clock.now() + LIFETIME_MIN);
                Ok(ServiceConnection { url, token: exchanged.token, use_until: expires_at - EXPIRY_MARGIN })
            }
            Some(_) | None => Err(errors::unreadable(&request, messages::UNREADABLE_CONNECTION)),
        }
    }
}

/// What a call is sent with as a token of the service.
pub(super) fn service_bearer(token: &Secret) -> Bearer {
    Bearer { value: token.clone(), kind: CredentialKind::ServiceToken }
}

/// An address that GitHub chose, if a token may be sent there: by TLS, or within this machine for a GitHub that is a
/// stand-in on this machine.
pub(super) fn address(text: &str, scheme: Scheme) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_permitted = match url.scheme() {
        "https" => true,
        "http" => scheme == Scheme::HttpOnLoopback && is_loopback(&url),
        _ => false,
    };
    is_permitted.then_some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The host, with its port where one was given.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
