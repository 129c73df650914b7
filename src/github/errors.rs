//! The errors that the port returns: the class for the pool, the message for people, the source for the log.

use std::error::Error;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::error_kind::{ApiErrorKind, SendError, tls_error};
use super::jwt::KeyError;
use super::messages;
use super::rate_limit::{DelayCause, ThrottleHint};
use super::request::{ApiRequest, InvalidHost};
use super::response::ApiResponse;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::reconcile::ports::{RemoteCallError, RemoteResult};

/// The response, if its status is one of success.
pub(super) fn require_success(request: &ApiRequest<'_>, response: ApiResponse) -> RemoteResult<ApiResponse> {
    if response.status.is_success() { Ok(response) } else { Err(api_error(request, &response)) }
}

/// The body of a successful response.
pub(super) fn decode<T: DeserializeOwned>(request: &ApiRequest<'_>, response: &ApiResponse) -> RemoteResult<T> {
    response.json().map_err(|invalid| {
        let message = messages::invalid_body(&request.target.host);
        call_error(request, ErrorKind::Unexpected, Some(response), message, Some(Box::new(invalid)))
    })
}

/// The error that a response is.
pub(super) fn api_error(request: &ApiRequest<'_>, response: &ApiResponse) -> RemoteCallError {
    let kind = ApiErrorKind::of(request.endpoint, response);
    call_error(request, kind.error_kind(None), Some(response), messages::api_error(kind, request, response), None)
}

/// The error that a rate-limited response is, with the pause that follows from it.
pub(super) fn rate_limited(
    request: &ApiRequest<'_>,
    response: &ApiResponse,
    hint: ThrottleHint,
    pause: Duration,
) -> RemoteCallError {
    let error_kind = ApiErrorKind::RateLimited.error_kind(Some(pause));
    call_error(request, error_kind, Some(response), messages::rate_limited(hint, pause), None)
}

/// A request that was not sent, to stay within GitHub's limits.
pub(super) fn delayed(request: &ApiRequest<'_>, cause: DelayCause, wait: Duration) -> RemoteCallError {
    let error_kind = ErrorKind::Throttled { retry_after: Some(wait) };
    call_error(request, error_kind, None, messages::delayed(cause, wait), None)
}

/// No response.
pub(super) fn send_error(request: &ApiRequest<'_>, error: SendError) -> RemoteCallError {
    let (host, error_kind) = (&request.target.host, error.error_kind());
    match error {
        SendError::InvalidBearer => call_error(request, error_kind, None, messages::INVALID_BEARER.to_owned(), None),
        SendError::BodyTooLong { bytes_max } => {
            call_error(request, error_kind, None, messages::body_too_long(host, bytes_max), None)
        }
        SendError::Transport { kind, error } => {
            let detail = tls_error(&error).map(ToString::to_string);
            call_error(
                request,
                error_kind,
                None,
                messages::transport(kind, &host.api_authority(), host.kind(), detail.as_deref()),
                Some(error),
            )
        }
    }
}

/// A next page on another server, to which no credential is sent.
pub(super) fn foreign_page(request: &ApiRequest<'_>) -> RemoteCallError {
    call_error(request, ErrorKind::Invalid, None, messages::foreign_page(&request.target.host), None)
}

/// A redirect to another server, to which no credential is sent.
pub(super) fn foreign_redirect(request: &ApiRequest<'_>) -> RemoteCallError {
    call_error(request, ErrorKind::Invalid, None, messages::foreign_redirect(&request.target.host), None)
}

/// More redirects than are followed.
pub(super) fn too_many_redirects(request: &ApiRequest<'_>) -> RemoteCallError {
    call_error(request, ErrorKind::Invalid, None, messages::too_many_redirects(&request.target.host), None)
}

/// The runner group of a runner that was to be registered is gone.
pub(super) fn no_such_group(request: &ApiRequest<'_>, name: &str) -> RemoteCallError {
    call_error(request, ErrorKind::NotFound, None, messages::no_such_group(&request.target.scope, name), None)
}

/// A response of success whose content cannot be used.
pub(super) fn unreadable(request: &ApiRequest<'_>, message: &str) -> RemoteCallError {
    call_error(request, ErrorKind::Unexpected, None, message.to_owned(), None)
}

/// More pages than are read.
pub(super) fn too_many_pages(request: &ApiRequest<'_>, pages_max: usize) -> RemoteCallError {
    call_error(request, ErrorKind::Invalid, None, messages::too_many_pages(&request.target.scope, pages_max), None)
}

impl From<InvalidHost> for RemoteCallError {
    fn from(InvalidHost(host): InvalidHost) -> Self {
        unsent(ErrorKind::Invalid, "address", messages::invalid_host(&host))
    }
}

/// An App cannot administer the runners of an enterprise.
pub(super) fn no_app_for_enterprises() -> RemoteCallError {
    unsent(ErrorKind::Invalid, "App authentication", messages::NO_APP_FOR_ENTERPRISES.to_owned())
}

impl From<KeyError> for RemoteCallError {
    fn from(error: KeyError) -> Self {
        unsent(ErrorKind::Unauthenticated, "App authentication", messages::invalid_key(error))
    }
}

fn call_error(
    request: &ApiRequest<'_>,
    error_kind: ErrorKind,
    response: Option<&ApiResponse>,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
) -> RemoteCallError {
    let message = match response.and_then(|response| response.message.as_deref()) {
        Some(of_github) => format!("{message}. GitHub said: {of_github}"),
        None => message,
    };
    let code = response.map(|response| response.status.as_u16().to_string());
    RemoteCallError {
        remote_error: RemoteError {
            remote: RemoteService::GitHub,
            kind: error_kind,
            operation: request.operation.clone(),
            code,
            message,
        },
        source,
    }
}

/// An error before there was a request.
fn unsent(error_kind: ErrorKind, operation: &str, message: String) -> RemoteCallError {
    let operation = operation.to_owned();
    RemoteCallError {
        remote_error: RemoteError { remote: RemoteService::GitHub, kind: error_kind, operation, code: None, message },
        source: None,
    }
}
