//! What an error of the scale-set service means: one table from the exception that it names and its status to a kind, and
//! from a kind to the class that the pool acts on, and to what people read.
//!
//! The service is documented by its client only: <https://github.com/actions/scaleset/blob/main/errors.go>. What is not in
//! the table is unexpected, and changes nothing.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;
use serde::de::DeserializeOwned;

use crate::github::error_kind::{SendError, throttle_hint, tls_error};
use crate::github::messages;
use crate::github::rate_limit::ThrottleHint;
use crate::github::response::ApiResponse;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::spec::{GitHubHost, HostKind, Scheme, Scope};
use crate::pool::model::time::HumanDuration;
use crate::reconcile::ports::{RemoteCallError, RemoteResult};

/// What an error response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServiceErrorKind {
    /// A job runs on the runner, or in the set.
    JobStillRunning,
    /// A runner has this name.
    RunnerExists,
    /// There is no such runner.
    RunnerNotFound,
    /// The set has another session.
    SessionConflict,
    /// There is no such session any more.
    SessionExpired,
    /// There is no such set.
    ScaleSetNotFound,
    /// A set of the group has this name.
    ScaleSetExists,
    /// A rate limit.
    Throttled,
    /// 5xx, or a timeout of the service's own.
    ServerError,
    /// A page for people, as proxies answer with.
    ForeignPage,
    /// 401.
    InvalidToken,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 410.
    Gone,
    /// 409.
    Conflict,
    /// None of the above.
    Unexpected,
}

type Row = (ServiceErrorKind, fn(&ApiResponse) -> bool);

/// The first row that matches. Exceptions come first: the service uses 400 for most of them, and has used others.
pub(super) const TABLE: [Row; 15] = [
    (ServiceErrorKind::JobStillRunning, |error| names(error, "JobStillRunningException")),
    (ServiceErrorKind::RunnerExists, |error| names(error, "AgentExistsException")),
    (ServiceErrorKind::RunnerNotFound, |error| names(error, "AgentNotFoundException")),
    // https://github.com/actions/actions-runner-controller/issues/4285
    (ServiceErrorKind::SessionConflict, |error| names(error, "RunnerScaleSetSessionConflictException")),
    (ServiceErrorKind::SessionExpired, |error| names(error, "RunnerScaleSetSessionExpiredException")),
    // https://github.com/actions/actions-runner-controller/issues/4370
    (ServiceErrorKind::ScaleSetNotFound, |error| names(error, "RunnerScaleSetNotFoundException")),
    (ServiceErrorKind::ScaleSetExists, |error| names(error, "RunnerScaleSetExistsException")),
    (ServiceErrorKind::Throttled, |error| throttle_hint(error).is_some()),
    (ServiceErrorKind::ServerError, |error| error.status.is_server_error() || error.status.as_u16() == 408),
    (ServiceErrorKind::ForeignPage, ApiResponse::is_html),
    (ServiceErrorKind::InvalidToken, |error| error.status == StatusCode::UNAUTHORIZED),
    (ServiceErrorKind::Forbidden, |error| error.status == StatusCode::FORBIDDEN),
    (ServiceErrorKind::NotFound, |error| error.status == StatusCode::NOT_FOUND),
    (ServiceErrorKind::Gone, |error| error.status == StatusCode::GONE),
    (ServiceErrorKind::Conflict, |error| error.status == StatusCode::CONFLICT),
];

/// By the end of its name: the service has exceptions such as `TaskAgentNotFoundException` as well.
/// <https://github.com/actions/runner/blob/main/src/Sdk/DTWebApi/WebApi/Exceptions.cs>
fn names(error: &ApiResponse, exception: &str) -> bool {
    error.exception.as_deref().is_some_and(|name| name.ends_with(exception))
}

impl ServiceErrorKind {
    pub(super) fn of(response: &ApiResponse) -> Self {
        if response.status.is_success() {
            return Self::Unexpected;
        }
        TABLE.iter().find(|(_, matches)| matches(response)).map_or(Self::Unexpected, |(kind, _)| *kind)
    }

    fn error_kind(self, retry_after: Option<Duration>) -> ErrorKind {
        match self {
            Self::Throttled => ErrorKind::Throttled { retry_after },
            Self::ServerError => ErrorKind::Unavailable,
            Self::InvalidToken => ErrorKind::Unauthenticated,
            Self::Forbidden => ErrorKind::Denied,
            Self::RunnerNotFound | Self::SessionExpired | Self::ScaleSetNotFound | Self::NotFound | Self::Gone => {
                ErrorKind::NotFound
            }
            Self::JobStillRunning
            | Self::RunnerExists
            | Self::SessionConflict
            | Self::ScaleSetExists
            | Self::Conflict => ErrorKind::Conflict,
            Self::ForeignPage | Self::Unexpected => ErrorKind::Unexpected,
        }
    }

    fn message(self, call: &CallContext<'_>, pause: Option<Duration>) -> String {
        let name = &call.authority;
        let of_scope = call.scope.map(|scope| format!(" of {scope}")).unwrap_or_default();
        match self {
            Self::JobStillRunning => "GitHub refuses this while a job runs there".to_owned(),
            Self::RunnerExists => "GitHub has a runner of this name already".to_owned(),
            Self::RunnerNotFound => "GitHub has no such runner".to_owned(),
            Self::SessionConflict => "another listener has the session of this runner scale set".to_owned(),
            Self::SessionExpired => "GitHub has ended this session of the runner scale set".to_owned(),
            Self::ScaleSetNotFound => {
                "GitHub has no such runner scale set: it was deleted, or had no listener for seven days".to_owned()
            }
            Self::ScaleSetExists => format!(
                "RunnerScaleSetName: the runner group{of_scope} has a runner scale set of this name already. Specify \
                 another name, or delete that set"
            ),
            Self::Throttled => match pause {
                Some(pause) => format!("{name} asks for a pause of {}", HumanDuration(pause)),
                None => format!("{name} asks for a pause"),
            },
            Self::ServerError => format!("{name} returned a server error"),
            Self::ForeignPage => foreign_page(name),
            Self::InvalidToken => format!(
                "{name} rejected a token that GitHub has just made for it. Check whether the credential is still valid"
            ),
            Self::Forbidden => match call.scope {
                Some(scope) => messages::scale_sets_forbidden(scope),
                None => format!("{name} denied the listener access to its messages"),
            },
            Self::NotFound => match (call.scope, call.host_kind()) {
                (Some(scope), HostKind::EnterpriseServer) => {
                    let host = GitHubHost { scheme: Scheme::Https, authority: name.clone() };
                    messages::no_scale_sets(&host, scope)
                }
                _ => format!("{name} returned 404"),
            },
            Self::Gone => format!("{name} no longer has what was asked for"),
            Self::Conflict => "GitHub reported a conflict with another operation".to_owned(),
            Self::Unexpected => format!("{name} returned an unexpected status"),
        }
    }
}

fn foreign_page(name: &str) -> String {
    format!(
        "{name} returned something other than a response of GitHub's scale-set service. Check whether a proxy or a login \
         page answers in its place"
    )
}

/// What an error says of its call. It contains no secret.
#[derive(Clone, Debug)]
pub(super) struct CallContext<'a> {
    /// Method and path, without what identifies a session or a queue.
    pub(super) operation: &'a str,
    /// Where it goes to.
    pub(super) authority: String,
    /// Whose scale sets; unknown to a queue.
    pub(super) scope: Option<&'a Scope>,
}

impl CallContext<'_> {
    /// Whose server it is: github.com's service has names of its own.
    fn host_kind(&self) -> HostKind {
        if self.authority.ends_with(".githubusercontent.com") {
            return HostKind::GitHubCom;
        }
        GitHubHost { scheme: Scheme::Https, authority: self.authority.clone() }.kind()
    }

    /// The response, if it has this status.
    pub(super) fn require(&self, response: ApiResponse, status: StatusCode) -> RemoteResult<ApiResponse> {
        if response.status == status { Ok(response) } else { Err(self.api_error(&response)) }
    }

    /// The body of a response with this status.
    pub(super) fn decode<T: DeserializeOwned>(&self, response: ApiResponse, status: StatusCode) -> RemoteResult<T> {
        let response = self.require(response, status)?;
        response.json().map_err(|invalid| {
            let message = if response.is_html() { foreign_page(&self.authority) } else { self.unreadable_message() };
            let code = response.status.as_u16().to_string();
            self.call_error(ErrorKind::Unexpected, Some(code), message, Some(Box::new(invalid)))
        })
    }

    /// The error that a response is.
    pub(super) fn api_error(&self, response: &ApiResponse) -> RemoteCallError {
        let kind = ServiceErrorKind::of(response);
        let pause = match throttle_hint(response) {
            Some(ThrottleHint::RetryAfter(pause)) => Some(pause),
            Some(ThrottleHint::ResetAt(_) | ThrottleHint::None) | None => None,
        };
        let message = match &response.message {
            Some(of_github) => format!("{}. GitHub said: {of_github}", kind.message(self, pause)),
            None => kind.message(self, pause),
        };
        let code = response.exception.clone().unwrap_or_else(|| response.status.as_u16().to_string());
        self.call_error(kind.error_kind(pause), Some(code), message, None)
    }

    /// A response of success whose content has another form than is known.
    pub(super) fn unreadable(&self) -> RemoteCallError {
        self.call_error(ErrorKind::Unexpected, None, self.unreadable_message(), None)
    }

    fn unreadable_message(&self) -> String {
        format!(
            "{} responded in a form that this version of github-runner-pool does not read. Nothing was changed. If it \
             lasts, deploy a newer version, or specify DesiredCount in place of MaxRunners",
            self.authority
        )
    }

    /// No such runner group.
    pub(super) fn no_such_group(&self, scope: &Scope, name: &str) -> RemoteCallError {
        self.call_error(ErrorKind::NotFound, None, messages::no_such_group(scope, name), None)
    }

    /// No response.
    pub(super) fn send_error(&self, error: SendError) -> RemoteCallError {
        let (name, kind) = (&self.authority, error.error_kind());
        match error {
            SendError::InvalidBearer => self.call_error(
                ErrorKind::Unexpected,
                None,
                format!("GitHub made a token for {name} with a character that no token has"),
                None,
            ),
            SendError::BodyTooLong { bytes_max } => {
                self.call_error(kind, None, format!("{name} returned more than {bytes_max} bytes"), None)
            }
            SendError::Transport { kind: transport, error } => {
                let detail = tls_error(&error).map(ToString::to_string);
                let message = messages::transport(transport, name, self.host_kind(), detail.as_deref());
                self.call_error(kind, None, message, Some(error))
            }
        }
    }

    fn call_error(
        &self,
        kind: ErrorKind,
        code: Option<String>,
        message: String,
        source: Option<Box<dyn Error + Send + Sync>>,
    ) -> RemoteCallError {
        let operation = self.operation.to_owned();
        RemoteCallError {
            remote_error: RemoteError { remote: RemoteService::GitHub, kind, operation, code, message },
            source,
        }
    }
}

#[cfg(test)]
mod tests;
