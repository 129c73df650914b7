//! What an error of GitHub's means: one table from status, headers and message to a kind, and from a kind to the class
//! that the pool acts on.
//!
//! GitHub's documentation of statuses: <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>
//! and, for limits, <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use super::rate_limit::ThrottleHint;
use super::request::{CredentialKind, Endpoint};
use super::response::ApiResponse;
use crate::pool::model::remote_error::ErrorKind;

/// What an error response says about the credential, the target or GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiErrorKind {
    /// A rate limit.
    RateLimited,
    /// The access token is invalid.
    InvalidAccessToken,
    /// The App's JSON Web Token is invalid.
    InvalidAppJwt,
    /// A token that GitHub has just made for the App's installation is invalid.
    InvalidInstallationToken,
    /// The organization requires the token to be authorized for single sign-on.
    SsoRequired,
    /// The function's address is not on the organization's IP allow list.
    IpNotAllowed,
    /// The App's installation, or the account, is suspended.
    Suspended,
    /// The App is not installed on the target.
    AppNotInstalled,
    /// The App's installation lacks the permission.
    PermissionNotGranted,
    /// GitHub does not accept a registration token that it has just made as a key to the scale-set service.
    ScaleSetsForbidden,
    /// The server has no scale-set service.
    NoScaleSets,
    /// The credential lacks the permission.
    Forbidden,
    /// The runner is deleted already.
    RunnerNotFound,
    /// The target does not exist, or GitHub hides it from the credential.
    NotFoundOrHidden,
    /// The target has another name now.
    Renamed,
    /// Our version of the API is switched off.
    ApiVersionRetired,
    /// 409.
    Conflict,
    /// The request is wrong.
    InvalidRequest,
    /// 5xx, or a timeout of GitHub's own.
    ServerError,
    /// None of the above.
    Unexpected,
}

/// What the rows of the table look at.
struct ErrorContext<'a> {
    status: u16,
    /// GitHub's message, in lower case.
    message: String,
    endpoint: Endpoint,
    response: &'a ApiResponse,
}

impl ErrorContext<'_> {
    fn is_sent_with(&self, credential: CredentialKind) -> bool {
        self.response.credential == credential
    }
}

type Row = (ApiErrorKind, fn(&ErrorContext<'_>) -> bool);

/// The first row that matches.
const TABLE: [Row; 20] = [
    (ApiErrorKind::RateLimited, |error| throttle_hint(error.response).is_some()),
    (ApiErrorKind::InvalidAppJwt, |error| error.status == 401 && error.is_sent_with(CredentialKind::AppJwt)),
    (ApiErrorKind::InvalidAppJwt, |error| {
        error.is_sent_with(CredentialKind::AppJwt) && error.message.contains("integration not found")
    }),
    (ApiErrorKind::InvalidInstallationToken, |error| {
        error.status == 401 && error.is_sent_with(CredentialKind::InstallationToken)
    }),
    (ApiErrorKind::ScaleSetsForbidden, |error| {
        matches!(error.status, 401 | 403) && error.endpoint == Endpoint::ExchangeRegistrationToken
    }),
    (ApiErrorKind::NoScaleSets, |error| error.status == 404 && error.endpoint == Endpoint::ExchangeRegistrationToken),
    (ApiErrorKind::InvalidAccessToken, |error| error.status == 401),
    // GitHub also hides a target behind single sign-on with 404.
    (ApiErrorKind::SsoRequired, |error| matches!(error.status, 403 | 404) && error.response.headers.requires_sso),
    (ApiErrorKind::IpNotAllowed, |error| error.status == 403 && error.message.contains("ip allow list")),
    (ApiErrorKind::Suspended, |error| error.status == 403 && error.message.contains("suspended")),
    (ApiErrorKind::AppNotInstalled, |error| error.status == 404 && error.is_sent_with(CredentialKind::AppJwt)),
    (ApiErrorKind::PermissionNotGranted, |error| {
        matches!(error.status, 403 | 422) && error.endpoint == Endpoint::CreateInstallationToken
    }),
    (ApiErrorKind::Forbidden, |error| error.status == 403),
    (ApiErrorKind::RunnerNotFound, |error| error.status == 404 && error.endpoint == Endpoint::DeleteRunner),
    (ApiErrorKind::NotFoundOrHidden, |error| error.status == 404),
    (ApiErrorKind::Renamed, |error| (300..400).contains(&error.status)),
    (ApiErrorKind::ApiVersionRetired, |error| error.status == 410),
    (ApiErrorKind::Conflict, |error| error.status == 409),
    (ApiErrorKind::InvalidRequest, |error| matches!(error.status, 400 | 422)),
    (ApiErrorKind::ServerError, |error| error.status >= 500 || error.status == 408),
];

impl ApiErrorKind {
    pub(super) fn of(endpoint: Endpoint, response: &ApiResponse) -> Self {
        let error = ErrorContext {
            status: response.status.as_u16(),
            message: response.message.as_deref().unwrap_or_default().to_lowercase(),
            endpoint,
            response,
        };
        TABLE.iter().find(|(_, matches)| matches(&error)).map_or(Self::Unexpected, |(kind, _)| *kind)
    }

    pub(super) const fn error_kind(self, retry_after: Option<Duration>) -> ErrorKind {
        match self {
            Self::RateLimited => ErrorKind::Throttled { retry_after },
            Self::InvalidAccessToken | Self::InvalidAppJwt | Self::InvalidInstallationToken => {
                ErrorKind::Unauthenticated
            }
            Self::SsoRequired
            | Self::IpNotAllowed
            | Self::Suspended
            | Self::AppNotInstalled
            | Self::PermissionNotGranted
            | Self::ScaleSetsForbidden
            | Self::Forbidden => ErrorKind::Denied,
            Self::RunnerNotFound | Self::NoScaleSets | Self::NotFoundOrHidden => ErrorKind::NotFound,
            Self::Renamed | Self::ApiVersionRetired | Self::InvalidRequest => ErrorKind::Invalid,
            Self::Conflict => ErrorKind::Conflict,
            Self::ServerError => ErrorKind::Unavailable,
            Self::Unexpected => ErrorKind::Unexpected,
        }
    }
}

/// What a rate-limited response says about the wait; `None` for any other response. A rate limit is a 429, or a 403 with
/// one of the headers or words of a rate limit.
pub(super) fn throttle_hint(response: &ApiResponse) -> Option<ThrottleHint> {
    let headers = &response.headers;
    let message = response.message.as_deref().unwrap_or_default().to_lowercase();
    let is_rate_limit = match response.status.as_u16() {
        429 => true,
        403 => {
            headers.retry_after.is_some()
                || headers.remaining == Some(0)
                || message.contains("rate limit")
                || message.contains("abuse detection")
        }
        _ => false,
    };
    let hint = match (headers.retry_after, headers.exhausted_until()) {
        (Some(pause), _) => ThrottleHint::RetryAfter(pause),
        (None, Some(reset)) => ThrottleHint::ResetAt(reset),
        (None, None) => ThrottleHint::None,
    };
    is_rate_limit.then_some(hint)
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum SendError {
    /// The credential has characters that no header takes, such as a line break.
    InvalidBearer,
    /// The body is longer than any response of GitHub's.
    BodyTooLong { bytes_max: usize },
    Transport {
        kind: TransportError,
        /// Without its URL.
        error: Box<reqwest::Error>,
    },
}

/// Where the connection to GitHub failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransportError {
    /// The name of the host has no address.
    Dns,
    /// The certificate's issuer is not trusted.
    UntrustedIssuer,
    /// The certificate has another fault: it has expired, or names another host.
    InvalidCertificate,
    /// The TLS handshake failed otherwise.
    Tls,
    /// No connection was established.
    Connect,
    /// No response came in time.
    Timeout,
    /// The connection was closed before the response was complete.
    ConnectionClosed,
}

impl SendError {
    pub(super) fn transport(error: reqwest::Error) -> Self {
        let kind = match tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => TransportError::UntrustedIssuer,
            Some(rustls::Error::InvalidCertificate(_)) => TransportError::InvalidCertificate,
            Some(_) => TransportError::Tls,
            None if error.is_dns() => TransportError::Dns,
            None if error.is_connect() => TransportError::Connect,
            None if error.is_timeout() => TransportError::Timeout,
            None => TransportError::ConnectionClosed,
        };
        Self::Transport { kind, error: Box::new(error.without_url()) }
    }

    /// Whether GitHub cannot have received anything of the request.
    pub(super) const fn is_before_send(&self) -> bool {
        match self {
            Self::InvalidBearer => true,
            Self::BodyTooLong { .. } => false,
            Self::Transport { kind, .. } => match kind {
                TransportError::Dns
                | TransportError::UntrustedIssuer
                | TransportError::InvalidCertificate
                | TransportError::Tls
                | TransportError::Connect => true,
                TransportError::Timeout | TransportError::ConnectionClosed => false,
            },
        }
    }

    /// Whether another try a moment later may succeed. A timeout has used up the time of this call.
    pub(super) const fn is_transient(&self) -> bool {
        match self {
            Self::InvalidBearer | Self::BodyTooLong { .. } => false,
            Self::Transport { kind, .. } => match kind {
                TransportError::Dns
                | TransportError::Tls
                | TransportError::Connect
                | TransportError::ConnectionClosed => true,
                TransportError::UntrustedIssuer | TransportError::InvalidCertificate | TransportError::Timeout => false,
            },
        }
    }

    pub(super) const fn error_kind(&self) -> ErrorKind {
        match self {
            Self::InvalidBearer => ErrorKind::Unauthenticated,
            Self::BodyTooLong { .. } => ErrorKind::Unexpected,
            Self::Transport { kind, .. } => match kind {
                TransportError::UntrustedIssuer | TransportError::InvalidCertificate => ErrorKind::Invalid,
                TransportError::Dns | TransportError::Tls | TransportError::Connect => ErrorKind::Unreachable,
                TransportError::Timeout | TransportError::ConnectionClosed => ErrorKind::Unavailable,
            },
        }
    }
}

/// The TLS stack's own error, which `std::io::Error` hides from `source`.
pub(super) fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests;
