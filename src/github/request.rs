//! A request to GitHub: its endpoint, its URL and its credential.

use std::time::Duration;

use reqwest::Method;
use url::Url;

use super::rate_limit::Pacing;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubHost, GitHubTarget, Scope};

/// The endpoint decides everything else about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `GET …/actions/runners`.
    ListRunners,
    /// `DELETE …/actions/runners/{id}`.
    DeleteRunner,
    /// `POST …/actions/runners/registration-token`.
    CreateRegistrationToken,
    /// `POST …/actions/runners/generate-jitconfig`.
    GenerateJitConfig,
    /// `POST /actions/runner-registration`, by which a registration token leads to the service behind it.
    ExchangeRegistrationToken,
    /// `GET …/actions/runner-groups`.
    ListRunnerGroups,
    /// `GET …/installation`.
    GetInstallation,
    /// `POST /app/installations/{id}/access_tokens`.
    CreateInstallationToken,
}

impl Endpoint {
    pub(super) const fn method(self) -> Method {
        match self {
            Self::ListRunners | Self::ListRunnerGroups | Self::GetInstallation => Method::GET,
            Self::CreateRegistrationToken
            | Self::GenerateJitConfig
            | Self::ExchangeRegistrationToken
            | Self::CreateInstallationToken => Method::POST,
            Self::DeleteRunner => Method::DELETE,
        }
    }

    /// Reads follow redirects, and so does a deletion, whose runner id no other runner has. Under a former name nothing
    /// is created: the runners' containers are given the same name, and they follow no redirect.
    pub(super) const fn follows_redirects(self) -> bool {
        match self {
            Self::ListRunners | Self::ListRunnerGroups | Self::GetInstallation | Self::DeleteRunner => true,
            Self::CreateRegistrationToken
            | Self::GenerateJitConfig
            | Self::ExchangeRegistrationToken
            | Self::CreateInstallationToken => false,
        }
    }

    pub(super) const fn pacing(self) -> Pacing {
        match self {
            Self::DeleteRunner => Pacing::Deletion,
            // One registration a container, and one installation token an hour.
            Self::ListRunners
            | Self::ListRunnerGroups
            | Self::GetInstallation
            | Self::CreateRegistrationToken
            | Self::GenerateJitConfig
            | Self::ExchangeRegistrationToken
            | Self::CreateInstallationToken => Pacing::Unpaced,
        }
    }

    /// How long a request may wait in the client, all pauses together. What takes longer is for the pool to decide. A
    /// deletion rests on a list and a log that were read just before: rather than to wait longer it is not sent, and the
    /// pool reads them again. A container that waits for its registration asks again by itself.
    pub(super) const fn wait_max(self) -> Duration {
        match self {
            Self::DeleteRunner | Self::GenerateJitConfig => Duration::from_secs(5),
            Self::ListRunners
            | Self::ListRunnerGroups
            | Self::GetInstallation
            | Self::CreateRegistrationToken
            | Self::ExchangeRegistrationToken
            | Self::CreateInstallationToken => Duration::from_secs(30),
        }
    }

    /// Whether a request may be sent again when the outcome of the first try is unknown. A token too many does no harm.
    /// A deletion would answer 404 where the first try had deleted, and the difference is evidence; a runner would be
    /// registered under a name that is taken by then.
    pub(super) const fn may_repeat_ambiguous(self) -> bool {
        match self {
            Self::ListRunners
            | Self::ListRunnerGroups
            | Self::GetInstallation
            | Self::CreateRegistrationToken
            | Self::ExchangeRegistrationToken
            | Self::CreateInstallationToken => true,
            Self::DeleteRunner | Self::GenerateJitConfig => false,
        }
    }
}

/// What the `Authorization` header carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialKind {
    /// A personal access token.
    AccessToken,
    /// A token of an App's installation.
    InstallationToken,
    /// A JSON Web Token signed by the App.
    AppJwt,
    /// A token with which runners register.
    RegistrationToken,
    /// A token of the scale-set service, for a target or for a queue.
    ServiceToken,
}

impl CredentialKind {
    /// The word before it in the `Authorization` header.
    pub(super) const fn scheme(self) -> &'static str {
        match self {
            Self::AccessToken | Self::InstallationToken | Self::AppJwt | Self::ServiceToken => "Bearer",
            Self::RegistrationToken => "RemoteAuth",
        }
    }
}

/// The value of the `Authorization` header.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    pub(super) value: Secret,
    pub(super) kind: CredentialKind,
}

/// One request.
#[derive(Debug)]
pub(super) struct ApiRequest<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) target: &'a GitHubTarget,
    pub(super) url: Url,
    pub(super) body: Option<String>,
    /// Method and path below the API's root, for messages. The same for every page of a list.
    pub(super) operation: String,
}

/// The host makes no URL.
#[derive(Debug)]
pub(super) struct InvalidHost(pub(super) GitHubHost);

impl<'a> ApiRequest<'a> {
    /// A request to `segments` below the host's API.
    ///
    /// # Errors
    /// When the host makes no URL.
    pub(super) fn new(endpoint: Endpoint, target: &'a GitHubTarget, segments: &[&str]) -> Result<Self, InvalidHost> {
        let host = &target.host;
        let root = format!("{}://{}{}", host.scheme_str(), host.api_authority(), host.api_path());
        let url = Url::parse(&root).ok().and_then(|mut url| {
            // Encodes what a name could smuggle in.
            url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
            Some(url)
        });
        let url = url.ok_or_else(|| InvalidHost(host.clone()))?;
        let path = url.path().strip_prefix(host.api_path()).unwrap_or(url.path());
        let operation = format!("{} {path}", endpoint.method());
        Ok(Self { endpoint, target, url, body: None, operation })
    }

    /// A request to `segments` below the path of the target's scope.
    ///
    /// # Errors
    /// When the host makes no URL.
    pub(super) fn in_scope(
        endpoint: Endpoint,
        target: &'a GitHubTarget,
        segments: &[&str],
    ) -> Result<Self, InvalidHost> {
        let mut path = scope_path(&target.scope);
        path.extend_from_slice(segments);
        Self::new(endpoint, target, &path)
    }
}

fn scope_path(scope: &Scope) -> Vec<&str> {
    match scope {
        Scope::Organization(name) => vec!["orgs", name],
        Scope::Repository { owner, name } => vec!["repos", owner, name],
        Scope::Enterprise(name) => vec!["enterprises", name],
    }
}

/// Whether two URLs lead to the same server, by the same scheme.
pub(super) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}
