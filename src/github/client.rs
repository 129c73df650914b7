//! Sends one request to GitHub: its headers, its rate limit, its retries and redirects, its bounded response.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use futures_util::lock::Mutex;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use reqwest::{Method, RequestBuilder, StatusCode};
use url::Url;

use super::error_kind::{SendError, throttle_hint};
use super::errors;
use super::messages;
use super::rate_limit::ThrottleHint;
use super::request::{ApiRequest, Bearer, is_same_origin};
use super::response::{ApiResponse, ResponseHeaders};
use super::session::{GitHubSessions, SessionKey};
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{Clock, RemoteCallError, RemoteResult};
use crate::version;

/// <https://docs.github.com/en/rest/about-the-rest-api/api-versions>: understood by every supported Enterprise Server.
const API_VERSION: &str = "2022-11-28";

/// For one try, body included. GitHub itself ends a request after 10 seconds; the rest is for the way.
/// <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#timeouts>
pub(super) const TRY_TIMEOUT: Duration = Duration::from_secs(20);

/// A page of 100 runners is about 100 KB; a longer body is no response of GitHub's.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The first try and three more.
pub(super) const TRIES_MAX: u32 = 4;

/// Redirects of one request that are followed. GitHub redirects once, to the repository's id.
const REDIRECTS_MAX: u32 = 3;

/// Before the second try; doubled before each further one.
pub(super) const BACKOFF: Duration = Duration::from_millis(500);

/// GitHub's REST API for self-hosted runners, of any number of hosts and credentials.
///
/// Keep one for the life of the process: it remembers each credential's rate limit, and the tokens of GitHub Apps until
/// shortly before they expire.
pub struct GitHubClient<C> {
    pub(super) http: reqwest::Client,
    /// For requests that GitHub answers only when there is a message.
    pub(super) long_polls: reqwest::Client,
    pub(super) clock: C,
    pub(super) sessions: GitHubSessions,
    /// Only one caller authenticates an App at a time; the others find its token.
    pub(super) refresh_lock: Mutex<()>,
    n_calls: Cell<u64>,
    remaining: Cell<Option<u64>>,
}

impl<C> fmt::Debug for GitHubClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubClient").finish_non_exhaustive()
    }
}

impl<C: Clock> GitHubClient<C> {
    /// A client on `http`, and on `long_polls` for requests that take a minute. Both must follow no redirects by themselves:
    /// which are followed is decided here, and the credential goes to no other host. Time passes and is read through
    /// `clock`.
    #[must_use]
    pub fn new(http: reqwest::Client, long_polls: reqwest::Client, clock: C) -> Self {
        Self {
            http,
            long_polls,
            clock,
            sessions: GitHubSessions::default(),
            refresh_lock: Mutex::new(()),
            n_calls: Cell::new(0),
            remaining: Cell::new(None),
        }
    }

    /// Requests since the last call, and what GitHub last reported to be left of a credential's hour.
    #[must_use]
    pub fn take_calls(&self) -> (u64, Option<u64>) {
        (self.n_calls.take(), self.remaining.get())
    }

    /// Sends `request`, and follows redirects within its host where the endpoint allows that, with the same method.
    ///
    /// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects>
    ///
    /// # Errors
    /// Those of the last try, a redirect to another host, and too many redirects.
    pub(super) async fn send_with_retries(
        &self,
        key: &SessionKey,
        request: &ApiRequest<'_>,
        bearer: &Bearer,
    ) -> RemoteResult<ApiResponse> {
        let give_up_at = self.clock.now() + request.endpoint.wait_max();
        let mut url = request.url.clone();
        for n_followed in 0..=REDIRECTS_MAX {
            let mut response = self.send_to(key, request, &url, bearer, give_up_at).await?;
            let Some(next) = redirection(request, &url, &response) else {
                response.redirected_to = (n_followed > 0).then_some(url);
                return Ok(response);
            };
            if !is_same_origin(&request.url, &next) {
                return Err(errors::foreign_redirect(request));
            }
            self.log_rename(key, request);
            url = next;
        }
        Err(errors::too_many_redirects(request))
    }

    /// Logs once that a target has another name now.
    fn log_rename(&self, key: &SessionKey, request: &ApiRequest<'_>) {
        let was_logged = self
            .sessions
            .with_target(key, self.clock.now(), |target| std::mem::replace(&mut target.is_rename_logged, true));
        if !was_logged {
            tracing::warn!(operation = request.operation, "{}", messages::renamed(&request.target.scope));
        }
    }

    /// Sends `request` to `url` when the rate limit allows it, and again where that is harmless. A response is returned
    /// whatever its status, save for a rate limit and for a gateway that timed out.
    ///
    /// # Errors
    /// `Throttled` when it would have to wait beyond `give_up_at`, `Unavailable` when no response came.
    async fn send_to(
        &self,
        key: &SessionKey,
        request: &ApiRequest<'_>,
        url: &Url,
        bearer: &Bearer,
        give_up_at: Timestamp,
    ) -> RemoteResult<ApiResponse> {
        let mut last_rate_limit: Option<RemoteCallError> = None;
        let mut n_tries = 0;
        loop {
            let sent = match self.wait_for_rate_limit(key, request, give_up_at).await {
                Ok(sent) => sent,
                Err(error) => return Err(last_rate_limit.unwrap_or(error)),
            };
            n_tries += 1;
            let outcome = self.send(request, url, bearer).await;
            let retry_at = self.clock.now() + BACKOFF.saturating_mul(1 << (n_tries - 1));
            let is_last = n_tries >= TRIES_MAX || retry_at > give_up_at;
            match outcome {
                Ok(response) => {
                    if let Some(error) = self.apply_rate_limit(key, request, &response, sent) {
                        if n_tries >= TRIES_MAX || !response.headers.is_core_limit() {
                            return Err(error);
                        }
                        last_rate_limit = Some(error);
                        continue;
                    }
                    if is_last || !is_gateway_timeout(response.status) || !request.endpoint.may_repeat_ambiguous() {
                        return Ok(response);
                    }
                }
                Err(error) => {
                    let may_repeat = error.is_before_send() || request.endpoint.may_repeat_ambiguous();
                    if is_last || !error.is_transient() || !may_repeat {
                        return Err(errors::send_error(request, error));
                    }
                }
            }
            self.clock.sleep_until(retry_at).await;
        }
    }

    /// Waits until `request` may be sent, and returns that moment.
    async fn wait_for_rate_limit(
        &self,
        key: &SessionKey,
        request: &ApiRequest<'_>,
        give_up_at: Timestamp,
    ) -> RemoteResult<Timestamp> {
        let pacing = request.endpoint.pacing();
        loop {
            let now = self.clock.now();
            match self.sessions.with_rate_limiter(key, now, |limiter| limiter.try_acquire(now, pacing)) {
                Ok(()) => return Ok(now),
                Err(delay) if delay.until > give_up_at => {
                    return Err(errors::delayed(request, delay.cause, delay.until.since(now)));
                }
                Err(delay) => self.clock.sleep_until(delay.until).await,
            }
        }
    }

    /// Pauses the session where the response asks for it; the error, if the response is a rate limit.
    fn apply_rate_limit(
        &self,
        key: &SessionKey,
        request: &ApiRequest<'_>,
        response: &ApiResponse,
        sent: Timestamp,
    ) -> Option<RemoteCallError> {
        let now = self.clock.now();
        let is_core_limit = response.headers.is_core_limit();
        let Some(hint) = throttle_hint(response) else {
            let reset = response.headers.exhausted_until().filter(|_| is_core_limit);
            self.sessions.with_rate_limiter(key, now, |limiter| {
                limiter.record_success(sent);
                reset.map(|reset| limiter.pause_until(reset))
            });
            return None;
        };
        let pause = match hint {
            ThrottleHint::ResetAt(reset) if !is_core_limit => reset.since(now),
            ThrottleHint::ResetAt(_) | ThrottleHint::RetryAfter(_) | ThrottleHint::None => {
                self.sessions.with_rate_limiter(key, now, |limiter| limiter.record_rate_limit(sent, now, hint))
            }
        };
        tracing::warn!(operation = request.operation, pause_secs = pause.as_secs(), "GitHub asks for a pause");
        Some(errors::rate_limited(request, response, hint, pause))
    }

    async fn send(&self, request: &ApiRequest<'_>, url: &Url, bearer: &Bearer) -> Result<ApiResponse, SendError> {
        let mut http_request = self
            .http
            .request(request.endpoint.method(), url.clone())
            .timeout(TRY_TIMEOUT)
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", API_VERSION);
        if let Some(body) = &request.body {
            http_request = http_request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = self.exchange(&request.operation, http_request, bearer).await?;
        if response.headers.is_core_limit() {
            self.remaining.set(response.headers.remaining.or(self.remaining.get()));
        }
        Ok(response)
    }

    /// Sends one HTTP request as `bearer`, and reads its response up to a bound.
    pub(super) async fn exchange(
        &self,
        operation: &str,
        http_request: RequestBuilder,
        bearer: &Bearer,
    ) -> Result<ApiResponse, SendError> {
        let authorization = format!("{} {}", bearer.kind.scheme(), bearer.value.expose());
        let mut authorization = HeaderValue::try_from(authorization).map_err(|_| SendError::InvalidBearer)?;
        authorization.set_sensitive(true);
        let http_request = http_request.header(AUTHORIZATION, authorization).header(USER_AGENT, version::USER_AGENT);
        self.n_calls.set(self.n_calls.get() + 1);
        let sent = self.clock.now();
        let mut response = http_request.send().await.map_err(SendError::transport)?;
        let status = response.status();
        let headers = ResponseHeaders::read(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(SendError::transport)? {
            if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
                return Err(SendError::BodyTooLong { bytes_max: BODY_BYTES_MAX });
            }
            body.extend_from_slice(&chunk);
        }
        tracing::debug!(
            operation,
            status = status.as_u16(),
            request_id = headers.request_id,
            took_ms = u64::try_from(self.clock.now().since(sent).as_millis()).unwrap_or(u64::MAX),
            "GitHub responded"
        );
        Ok(ApiResponse::new(status, headers, body, bearer))
    }
}

/// A gateway that got no response in time says nothing about the outcome of the request.
pub(super) fn is_gateway_timeout(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Where a response redirects to, if the endpoint follows redirects. 303 asks for a GET, which is no deletion.
fn redirection(request: &ApiRequest<'_>, url: &Url, response: &ApiResponse) -> Option<Url> {
    let is_redirect = match response.status.as_u16() {
        301 | 302 | 307 | 308 => true,
        303 => request.endpoint.method() == Method::GET,
        _ => false,
    };
    let location =
        response.headers.location.as_deref().filter(|_| is_redirect && request.endpoint.follows_redirects())?;
    url.join(location).ok()
}
