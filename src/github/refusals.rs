//! What GitHub's no means: one table from status, headers and words to a finding, from a finding to its class.
//!
//! GitHub's documentation of statuses: <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>
//! and, for limits, <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::CertificateError;
use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::app::KeyError;
use super::client::{Ask, LockPurpose, Presented};
use super::pace::{HeldBy, Notice};
use super::sentences;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::spec::GitHubHost;
use crate::reconcile::ports::{RemoteCallError, RemoteResult};

/// What a refusing answer says about us, the place or GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Too many calls.
    Throttled,
    /// The access token is none.
    BadToken,
    /// The App's own signature is not accepted.
    BadSignature,
    /// A token that GitHub has just made for the App's installation is not accepted.
    BadAppToken,
    /// The organization wants the token authorized for single sign-on.
    WantsSso,
    /// The organization lets in certain addresses only.
    AddressNotAllowed,
    /// The App's installation, or the account, is suspended.
    Suspended,
    /// The App is not installed there.
    NotInstalled,
    /// The App's installation lacks the permission.
    NotGranted,
    /// The credential lacks the permission.
    NotPermitted,
    /// A runner that is gone.
    RunnerGone,
    /// A place that does not exist, or that GitHub hides from the credential.
    NotShown,
    /// The place has another name now.
    Renamed,
    /// Our version of the API is switched off.
    VersionRetired,
    /// Something else is going on there.
    InTheWay,
    /// The request is wrong.
    Invalid,
    /// GitHub is not well.
    Unwell,
    /// None of the above.
    Unexpected,
}

/// What the table looks at.
struct Heard<'a> {
    status: u16,
    said: String,
    is_throttle: bool,
    purpose: LockPurpose,
    answer: &'a Answer,
}

impl Heard<'_> {
    fn presented(&self, presented: Presented) -> bool {
        self.answer.presented == presented
    }
}

type Row = (Finding, fn(&Heard<'_>) -> bool);

/// The first row that fits.
const TABLE: [Row; 18] = [
    (Finding::Throttled, |heard| heard.is_throttle),
    (Finding::BadSignature, |heard| heard.status == 401 && heard.presented(Presented::AppSignature)),
    (Finding::BadSignature, |heard| {
        heard.presented(Presented::AppSignature) && heard.said.contains("integration not found")
    }),
    (Finding::BadAppToken, |heard| heard.status == 401 && heard.presented(Presented::AppToken)),
    (Finding::BadToken, |heard| heard.status == 401),
    // GitHub hides a place behind single sign-on with 404 as well.
    (Finding::WantsSso, |heard| matches!(heard.status, 403 | 404) && heard.answer.notes.wants_sso),
    (Finding::AddressNotAllowed, |heard| heard.status == 403 && heard.said.contains("ip allow list")),
    (Finding::Suspended, |heard| heard.status == 403 && heard.said.contains("suspended")),
    (Finding::NotInstalled, |heard| heard.status == 404 && heard.presented(Presented::AppSignature)),
    (Finding::NotGranted, |heard| {
        matches!(heard.status, 403 | 422) && heard.purpose == LockPurpose::MakeInstallationToken
    }),
    (Finding::NotPermitted, |heard| heard.status == 403),
    (Finding::RunnerGone, |heard| heard.status == 404 && heard.purpose == LockPurpose::DeleteRunner),
    (Finding::NotShown, |heard| heard.status == 404),
    (Finding::Renamed, |heard| (300..400).contains(&heard.status)),
    (Finding::VersionRetired, |heard| heard.status == 410),
    (Finding::InTheWay, |heard| heard.status == 409),
    (Finding::Invalid, |heard| matches!(heard.status, 400 | 422)),
    (Finding::Unwell, |heard| heard.status >= 500 || heard.status == 408),
];

impl Finding {
    fn of(purpose: LockPurpose, answer: &Answer) -> Self {
        let heard = Heard {
            status: answer.status.as_u16(),
            said: answer.said.as_deref().unwrap_or_default().to_lowercase(),
            is_throttle: throttle(answer).is_some(),
            purpose,
            answer,
        };
        TABLE.iter().find(|(_, fits)| fits(&heard)).map_or(Self::Unexpected, |(finding, _)| *finding)
    }

    const fn class(self, pause: Option<Duration>) -> ErrorKind {
        match self {
            Self::Throttled => ErrorKind::Throttled { retry_after: pause },
            Self::BadToken | Self::BadSignature | Self::BadAppToken => ErrorKind::Unauthenticated,
            Self::WantsSso
            | Self::AddressNotAllowed
            | Self::Suspended
            | Self::NotInstalled
            | Self::NotGranted
            | Self::NotPermitted => ErrorKind::Denied,
            Self::RunnerGone | Self::NotShown => ErrorKind::NotFound,
            Self::Renamed | Self::VersionRetired | Self::Invalid => ErrorKind::Invalid,
            Self::InTheWay => ErrorKind::Conflict,
            Self::Unwell => ErrorKind::Unavailable,
            Self::Unexpected => ErrorKind::Unexpected,
        }
    }
}

/// How GitHub said that it is too much, if that is what it said: 429, or a 403 that one of the headers or its own
/// words make one.
pub(super) fn throttle(answer: &Answer) -> Option<Notice> {
    let notes = &answer.notes;
    let words = answer.said.as_deref().unwrap_or_default().to_lowercase();
    let is_throttle = match answer.status.as_u16() {
        429 => true,
        403 => {
            notes.retry_after.is_some()
                || notes.remaining == Some(0)
                || words.contains("rate limit")
                || words.contains("abuse detection")
        }
        _ => false,
    };
    let notice = match (notes.retry_after, notes.used_up_until()) {
        (Some(pause), _) => Notice::After(pause),
        (None, Some(reset)) => Notice::UsedUpUntil(reset),
        (None, None) => Notice::Unsaid,
    };
    is_throttle.then_some(notice)
}

/// The answer, if it is a yes.
pub(super) fn accepted(ask: &Ask<'_>, answer: Answer) -> RemoteResult<Answer> {
    if answer.status.is_success() { Ok(answer) } else { Err(of_answer(ask, &answer)) }
}

/// The refusal that an answer is.
pub(super) fn of_answer(ask: &Ask<'_>, answer: &Answer) -> RemoteCallError {
    let finding = Finding::of(ask.purpose, answer);
    refused(ask, finding.class(None), Some(answer), sentences::of(finding, ask, answer), None)
}

/// The refusal that a throttle is, with the pause that follows from it.
pub(super) fn throttled(ask: &Ask<'_>, answer: &Answer, notice: Notice, pause: Duration) -> RemoteCallError {
    let class = Finding::Throttled.class(Some(pause));
    refused(ask, class, Some(answer), sentences::of_throttle(notice, pause), None)
}

/// A request that was not sent, so that GitHub need not refuse it.
pub(super) fn held_back(ask: &Ask<'_>, by: HeldBy, wait: Duration) -> RemoteCallError {
    let class = ErrorKind::Throttled { retry_after: Some(wait) };
    refused(ask, class, None, sentences::of_hold(by, wait), None)
}

/// The body of a yes.
pub(super) fn readable<T: DeserializeOwned>(ask: &Ask<'_>, answer: &Answer) -> RemoteResult<T> {
    answer.json().map_err(|unreadable| {
        let sentence = sentences::of_unreadable(&ask.target.host);
        refused(ask, ErrorKind::Unexpected, Some(answer), sentence, Some(Box::new(unreadable)))
    })
}

/// A next page that lies on another server, to which no credential goes.
pub(super) fn foreign_page(ask: &Ask<'_>) -> RemoteCallError {
    refused(ask, ErrorKind::Invalid, None, sentences::of_foreign_page(&ask.target.host), None)
}

/// A redirect to another server, to which no credential goes.
pub(super) fn foreign_redirect(ask: &Ask<'_>) -> RemoteCallError {
    refused(ask, ErrorKind::Invalid, None, sentences::of_foreign_redirect(&ask.target.host), None)
}

/// Redirects that lead nowhere.
pub(super) fn endless_redirects(ask: &Ask<'_>) -> RemoteCallError {
    refused(ask, ErrorKind::Invalid, None, sentences::of_endless_redirects(&ask.target.host), None)
}

/// More pages than are read.
pub(super) fn endless(ask: &Ask<'_>, pages_max: usize) -> RemoteCallError {
    refused(ask, ErrorKind::Invalid, None, sentences::of_endless(&ask.target.scope, pages_max), None)
}

/// A host that makes no URL.
pub(super) fn no_such_host(host: &GitHubHost) -> RemoteCallError {
    bare(ErrorKind::Invalid, "address".to_owned(), sentences::of_bad_host(host))
}

/// An App for an enterprise.
pub(super) fn no_app_for_enterprises() -> RemoteCallError {
    bare(ErrorKind::Invalid, "App sign-in".to_owned(), sentences::NO_APP_FOR_ENTERPRISES.to_owned())
}

/// A private key that cannot sign.
pub(super) fn unusable_key(error: KeyError) -> RemoteCallError {
    bare(ErrorKind::Unauthenticated, "App sign-in".to_owned(), sentences::of_key(error))
}

fn refused(
    ask: &Ask<'_>,
    class: ErrorKind,
    answer: Option<&Answer>,
    sentence: String,
    source: Option<Box<dyn Error + Send + Sync>>,
) -> RemoteCallError {
    let message = match answer.and_then(|answer| answer.said.as_deref()) {
        Some(said) => format!("{sentence}. GitHub said: {said}"),
        None => sentence,
    };
    let code = answer.map(|answer| answer.status.as_u16().to_string());
    RemoteCallError {
        remote_error: RemoteError {
            remote: RemoteService::GitHub,
            kind: class,
            operation: ask.operation.clone(),
            code,
            message,
        },
        source,
    }
}

fn bare(class: ErrorKind, operation: String, message: String) -> RemoteCallError {
    RemoteCallError {
        remote_error: RemoteError { remote: RemoteService::GitHub, kind: class, operation, code: None, message },
        source: None,
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The credential holds characters that no header takes, such as a line break.
    BadBearer,
    /// The body is longer than any answer of GitHub's.
    BodyTooLong {
        /// The bound.
        bytes_max: usize,
    },
    /// The way there or back.
    Transport {
        /// Where it broke.
        way: Way,
        /// The error, without its URL.
        error: Box<reqwest::Error>,
    },
}

/// Where the way to GitHub broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The host's name has no address.
    Name,
    /// Nobody we trust vouches for its certificate.
    Issuer,
    /// Its certificate has another fault: it has expired, or names another host.
    Certificate,
    /// No encrypted connection came about.
    Tls,
    /// No connection came about.
    Connection,
    /// No answer came in time.
    Silence,
    /// The connection ended before the answer did.
    Broken,
}

impl Fault {
    /// What `reqwest` says, located.
    pub(super) fn transport(error: reqwest::Error) -> Self {
        let way = match tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Way::Issuer,
            Some(rustls::Error::InvalidCertificate(_)) => Way::Certificate,
            Some(_) => Way::Tls,
            None if error.is_dns() => Way::Name,
            None if error.is_connect() => Way::Connection,
            None if error.is_timeout() => Way::Silence,
            None => Way::Broken,
        };
        Self::Transport { way, error: Box::new(error.without_url()) }
    }

    /// Whether GitHub cannot have seen anything of the request.
    pub(super) const fn was_before_sending(&self) -> bool {
        match self {
            Self::BadBearer => true,
            Self::BodyTooLong { .. } => false,
            Self::Transport { way, .. } => match way {
                Way::Name | Way::Issuer | Way::Certificate | Way::Tls | Way::Connection => true,
                Way::Silence | Way::Broken => false,
            },
        }
    }

    /// Whether another try a moment later may fare better. A silence has taken its time already.
    pub(super) const fn is_retryable(&self) -> bool {
        match self {
            Self::BadBearer | Self::BodyTooLong { .. } => false,
            Self::Transport { way, .. } => match way {
                Way::Name | Way::Tls | Way::Connection | Way::Broken => true,
                Way::Issuer | Way::Certificate | Way::Silence => false,
            },
        }
    }

    /// The refusal.
    pub(super) fn into_error(self, ask: &Ask<'_>) -> RemoteCallError {
        let host = &ask.target.host;
        match self {
            Self::BadBearer => {
                refused(ask, ErrorKind::Unauthenticated, None, sentences::BAD_CHARACTERS.to_owned(), None)
            }
            Self::BodyTooLong { bytes_max } => {
                refused(ask, ErrorKind::Unexpected, None, sentences::of_long_body(host, bytes_max), None)
            }
            Self::Transport { way, error } => {
                let class = match way {
                    Way::Issuer | Way::Certificate => ErrorKind::Invalid,
                    Way::Name | Way::Tls | Way::Connection | Way::Silence | Way::Broken => ErrorKind::Unavailable,
                };
                let detail = tls_error(&error).map(ToString::to_string);
                refused(ask, class, None, sentences::of_way(way, host, detail.as_deref()), Some(error))
            }
        }
    }
}

/// The TLS stack's own error, which `std::io::Error` hides from `source`.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
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
