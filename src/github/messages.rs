//! What people read about an error: what is wrong, and what to do, in the template's own names.
//!
//! The client does not know which parameter a credential comes from, and calls it "its parameter". A message has no full
//! stop at its end, since GitHub's own message may follow.

use std::time::Duration;

use super::error_kind::{ApiErrorKind, TransportError};
use super::jwt::KeyError;
use super::rate_limit::{DelayCause, ThrottleHint};
use super::request::{ApiRequest, CredentialKind};
use super::response::ApiResponse;
use crate::pool::model::spec::{GitHubHost, HostKind, Scope};
use crate::pool::model::time::HumanDuration;

/// <https://docs.github.com/en/enterprise-cloud@latest/rest/actions/self-hosted-runners>: "This endpoint does not work
/// with GitHub App user access tokens, GitHub App installation access tokens, or fine-grained personal access tokens."
pub(super) const NO_APP_FOR_ENTERPRISES: &str = "AppId: a GitHub App cannot administer the runners of an enterprise. \
    Use AccessTokenParameter with a classic personal access token that has the scope manage_runners:enterprise, or \
    register the runners with OrgName";

pub(super) const INVALID_BEARER: &str = "the access token contains a character that no token has, such as a line break \
    at its end. Store it in its parameter without that, and deploy again";

pub(super) const UNREADABLE_JIT_CONFIG: &str = "GitHub's just-in-time configuration is not in the form that this \
    version of github-runner-pool reads. Deploy a newer version, or specify RegisterBy: Container";

pub(super) const UNREADABLE_CONNECTION: &str = "GitHub named no address of its scale-set service to which a token may be \
    sent. Check GitHubUrl, and whether a proxy answers in its place";

pub(super) fn no_such_group(scope: &Scope, name: &str) -> String {
    format!("RunnerGroup: {scope} has no runner group {name} any more. Create it, or update the stack with another one")
}

pub(super) fn api_error(kind: ApiErrorKind, request: &ApiRequest<'_>, response: &ApiResponse) -> String {
    let (scope, credential) = (&request.target.scope, credential_name(response.credential));
    match kind {
        ApiErrorKind::RateLimited => rate_limited(ThrottleHint::None, Duration::ZERO),
        ApiErrorKind::InvalidAccessToken => "GitHub rejected this access token: it has expired, was revoked, or was \
             mistyped in its parameter. Store a valid one there and deploy again"
            .to_owned(),
        ApiErrorKind::InvalidAppJwt => {
            "GitHub rejected the App's JSON Web Token: AppId and the private key do not belong \
             together, or the key was deleted in the App's settings. Correct AppId, or store a current key in its \
             parameter, and deploy again"
                .to_owned()
        }
        ApiErrorKind::InvalidInstallationToken => format!(
            "GitHub rejected the token that it has just created for the App. Check whether the App is still installed \
             on {scope} and not suspended there"
        ),
        ApiErrorKind::SsoRequired => format!(
            "{scope} requires single sign-on, and this access token is not authorized for it. Authorize it under \
             Settings, Developer settings, Personal access tokens, Configure SSO"
        ),
        ApiErrorKind::IpNotAllowed => format!(
            "{scope} has an IP allow list without the function's address. Run the function in a VPC behind a NAT \
             gateway, and add the gateway's address to the list"
        ),
        ApiErrorKind::Suspended => format!("the {credential} is suspended for {scope}. Lift the suspension on GitHub"),
        ApiErrorKind::AppNotInstalled => format!(
            "the App is not installed on {scope}, or {} is wrong. Install the App there, or correct the name",
            property(scope)
        ),
        ApiErrorKind::PermissionNotGranted => format!(
            "the App's installation on {scope} lacks a permission. Grant {} in the App's settings, then accept the new \
             permission on the installation{}",
            permission(scope),
            repository_access(scope)
        ),
        ApiErrorKind::ScaleSetsForbidden => scale_sets_forbidden(scope),
        ApiErrorKind::NoScaleSets => no_scale_sets(&request.target.host, scope),
        ApiErrorKind::Forbidden => format!(
            "this {credential} may not administer the runners of {scope}. {}{}",
            requirements(scope, response.credential),
            header_details(response)
        ),
        ApiErrorKind::RunnerNotFound => "GitHub has no runner with this id".to_owned(),
        ApiErrorKind::NotFoundOrHidden => format!(
            "GitHub returned 404 for {scope}: {} is wrong, or this {credential} lacks a permission. {}{}",
            property(scope),
            requirements(scope, response.credential),
            header_details(response)
        ),
        ApiErrorKind::Renamed => renamed(scope),
        ApiErrorKind::ApiVersionRetired => {
            "this GitHub no longer supports version 2022-11-28 of its REST API. Update the function".to_owned()
        }
        ApiErrorKind::Conflict => "GitHub reported a conflict with another operation".to_owned(),
        ApiErrorKind::InvalidRequest => "GitHub rejected the request as invalid, which is a defect of \
             github-runner-pool. Please report it with the function's log"
            .to_owned(),
        ApiErrorKind::ServerError => format!("{} returned a server error", request.target.host.api_authority()),
        ApiErrorKind::Unexpected => "GitHub returned an unexpected status".to_owned(),
    }
}

pub(super) fn rate_limited(hint: ThrottleHint, pause: Duration) -> String {
    let pause = HumanDuration(pause);
    match hint {
        ThrottleHint::ResetAt(_) => format!(
            "the hourly rate limit of this credential is used up for another {pause}. Everything that uses the same \
             credential or account shares it, including the runners' own registrations"
        ),
        ThrottleHint::RetryAfter(_) | ThrottleHint::None => {
            format!("the secondary rate limit of this credential is exceeded, and GitHub asks for a pause of {pause}")
        }
    }
}

/// A request that was not sent.
pub(super) fn delayed(cause: DelayCause, wait: Duration) -> String {
    let wait = HumanDuration(wait);
    match cause {
        DelayCause::Client => {
            format!("not sent for another {wait}, because GitHub asks for a second between deletions")
        }
        DelayCause::GitHub => format!("not sent for another {wait}, the rest of the pause that GitHub asked for"),
    }
}

pub(super) fn invalid_body(host: &GitHubHost) -> String {
    format!(
        "{} returned something other than a response of GitHub's API. Check GitHubUrl, and whether a proxy or a login \
         page answers in its place",
        host.api_authority()
    )
}

pub(super) fn body_too_long(host: &GitHubHost, bytes_max: usize) -> String {
    format!(
        "{} returned more than {bytes_max} bytes, which no response of GitHub's API has. Check GitHubUrl, and whether \
         a proxy answers in its place",
        host.api_authority()
    )
}

pub(super) fn foreign_page(host: &GitHubHost) -> String {
    format!(
        "GitHubUrl: the next page of the list is on another server than {}, to which no credential is sent. Use the \
         name that this GitHub calls itself",
        host.api_authority()
    )
}

pub(super) fn renamed(scope: &Scope) -> String {
    format!("{}: {scope} was renamed or transferred. Use its current name", property(scope))
}

pub(super) fn foreign_redirect(host: &GitHubHost) -> String {
    format!(
        "GitHubUrl or RepoUrl: {} redirects to another server, to which no credential is sent. Use the name that this \
         GitHub calls itself",
        host.api_authority()
    )
}

pub(super) fn too_many_redirects(host: &GitHubHost) -> String {
    format!("{} redirects in a loop", host.api_authority())
}

pub(super) fn too_many_pages(scope: &Scope, pages_max: usize) -> String {
    format!(
        "{scope} lists more than {} entries, which is the most that the function reads. Remove those that are not in \
         use",
        pages_max.saturating_mul(100)
    )
}

pub(super) fn invalid_host(host: &GitHubHost) -> String {
    format!("GitHubUrl: {host} is not a valid address. Correct it")
}

pub(super) fn invalid_key(error: KeyError) -> String {
    format!(
        "the App's private key cannot be used: {error}. Store the PEM file from GitHub in its parameter as it is, line \
         breaks included (or written as \\n), and deploy again"
    )
}

/// <https://docs.github.com/en/actions/how-tos/manage-runners/use-actions-runner-controller/authenticate-to-the-api>
pub(super) fn scale_sets_forbidden(scope: &Scope) -> String {
    let needed = match scope {
        Scope::Organization(_) => {
            "A classic token needs the scope admin:org; a fine-grained token or an App needs the organization permission \
             \"Self-hosted runners: Read and write\", a fine-grained token also \"Administration: Read\""
        }
        Scope::Repository { .. } => {
            "A classic token needs the scope repo; a fine-grained token or an App needs the repository permission \
             \"Administration: Read and write\""
        }
        Scope::Enterprise(_) => "It takes a classic token with the scope manage_runners:enterprise",
    };
    format!("this credential may not administer the runner scale sets of {scope}. {needed}")
}

pub(super) fn no_scale_sets(host: &GitHubHost, scope: &Scope) -> String {
    let advice = match host.kind() {
        HostKind::EnterpriseServer => {
            "An Enterprise Server has them from version 3.9 on: upgrade it, or specify DesiredCount in place of MaxRunners"
        }
        HostKind::GitHubCom | HostKind::GheCom => "Check its name, or specify DesiredCount in place of MaxRunners",
    };
    format!("{} has no runner scale sets for {scope}. {advice}", host.api_authority())
}

pub(super) fn transport(kind: TransportError, name: &str, host: HostKind, detail: Option<&str>) -> String {
    let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    match kind {
        TransportError::Dns => {
            format!("DNS lookup for {name} failed. Check GitHubUrl and, in a VPC, whether its DNS resolves the name")
        }
        TransportError::UntrustedIssuer => match host {
            HostKind::GitHubCom | HostKind::GheCom => format!(
                "invalid TLS certificate for {name}{detail}: something between the function and GitHub replaces it \
                 with one of an issuer that is not trusted. Put the certificate authority of that proxy into the \
                 function's package and its path into SSL_CERT_FILE"
            ),
            HostKind::EnterpriseServer => format!(
                "invalid TLS certificate for {name}{detail}: its issuer is not trusted. For a private certificate \
                 authority, put its PEM file into the function's package and its path into SSL_CERT_FILE"
            ),
        },
        TransportError::InvalidCertificate => format!(
            "invalid TLS certificate for {name}{detail}. Check whether it has expired, and whether GitHubUrl is the \
             name in it"
        ),
        TransportError::Tls => format!(
            "TLS handshake with {name} failed{detail}. Check the host and the port of GitHubUrl, and whether a proxy \
             answers in its place"
        ),
        TransportError::Connect => format!(
            "connection to {name} failed. Check GitHubUrl. A function in a VPC needs a route to it (a NAT gateway for \
             github.com) and a security group that allows outbound HTTPS"
        ),
        TransportError::Timeout => format!("{name} did not respond in time"),
        TransportError::ConnectionClosed => format!("{name} closed the connection before it responded"),
    }
}

fn credential_name(credential: CredentialKind) -> &'static str {
    match credential {
        CredentialKind::AccessToken => "access token",
        CredentialKind::InstallationToken | CredentialKind::AppJwt => "App",
        CredentialKind::RegistrationToken | CredentialKind::ServiceToken => "credential",
    }
}

fn property(scope: &Scope) -> &'static str {
    match scope {
        Scope::Organization(_) => "OrgName",
        Scope::Repository { .. } => "RepoUrl",
        Scope::Enterprise(_) => "EnterpriseName",
    }
}

/// <https://docs.github.com/en/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens>
fn permission(scope: &Scope) -> &'static str {
    match scope {
        Scope::Organization(_) => "the organization permission \"Self-hosted runners: Read and write\"",
        Scope::Repository { .. } => "the repository permission \"Administration: Read and write\"",
        Scope::Enterprise(_) => "nothing that an App can have",
    }
}

fn repository_access(scope: &Scope) -> &'static str {
    match scope {
        Scope::Repository { .. } => ", and see that its repository access includes the repository",
        Scope::Organization(_) | Scope::Enterprise(_) => "",
    }
}

/// <https://docs.github.com/en/rest/actions/self-hosted-runners>
fn requirements(scope: &Scope, credential: CredentialKind) -> String {
    let permission = permission(scope);
    match (credential, scope) {
        (CredentialKind::InstallationToken | CredentialKind::AppJwt, _) => {
            format!("Grant {permission} in the App's settings, then accept it on the installation")
        }
        (CredentialKind::RegistrationToken | CredentialKind::ServiceToken, _) => scale_sets_forbidden(scope),
        (CredentialKind::AccessToken, Scope::Organization(_)) => format!(
            "A classic token needs the scope admin:org and an owner of the organization behind it, a fine-grained \
             token the organization as its resource owner and {permission}"
        ),
        (CredentialKind::AccessToken, Scope::Repository { .. }) => format!(
            "A classic token needs the scope repo and an administrator of the repository behind it, a fine-grained \
             token access to the repository and {permission}"
        ),
        (CredentialKind::AccessToken, Scope::Enterprise(_)) => {
            "A classic token needs the scope manage_runners:enterprise and \
            an owner of the enterprise behind it; a fine-grained token cannot do it"
                .to_owned()
        }
    }
}

/// The permission in GitHub's own spelling, and the scopes that a classic token has.
fn header_details(response: &ApiResponse) -> String {
    let mut details = String::new();
    if let Some(permissions) = &response.headers.accepted_permissions {
        details.push_str(" (X-Accepted-GitHub-Permissions: ");
        details.push_str(permissions);
        details.push(')');
    }
    match response.headers.scopes.as_deref().map(str::trim) {
        Some("") => details.push_str(" (this token has no scopes)"),
        Some(scopes) => {
            details.push_str(" (this token's scopes: ");
            details.push_str(scopes);
            details.push(')');
        }
        None => {}
    }
    details
}
