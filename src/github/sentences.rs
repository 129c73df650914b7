//! The sentence that helps: what stands in the way at GitHub, and what to do about it, in the words of the template.
//!
//! The client does not know which parameter a credential came from, so the sentences name it as "its parameter".

use std::time::Duration;

use super::answer::Answer;
use super::app::KeyError;
use super::client::{Ask, Presented, spoken};
use super::pace::{HeldBy, Notice};
use super::refusals::{Finding, Way};
use crate::pool::model::spec::{GitHubHost, HostKind, Scope};
use crate::pool::model::time::HumanDuration;

/// <https://docs.github.com/en/enterprise-cloud@latest/rest/actions/self-hosted-runners>: "This endpoint does not work
/// with GitHub App user access tokens, GitHub App installation access tokens, or fine-grained personal access tokens."
pub(super) const NO_APP_FOR_ENTERPRISES: &str = "GitHub lets no App administer the runners of an enterprise: use \
    AccessTokenParameter with a classic personal access token that has the scope manage_runners:enterprise, or let the \
    runners register with OrgName";

/// A credential that no header can carry.
pub(super) const BAD_CHARACTERS: &str = "the access token holds a character that no token has, such as a line break at \
    its end: put it into its parameter without, and update the stack";

/// The sentence for what an answer said.
pub(super) fn of(finding: Finding, ask: &Ask<'_>, answer: &Answer) -> String {
    let scope = &ask.target.scope;
    match finding {
        Finding::Throttled => of_throttle(Notice::Unsaid, Duration::ZERO),
        Finding::BadToken => {
            "GitHub does not accept this access token: it has expired, was revoked, or was mistyped in \
            its parameter; put a new one in and update the stack"
                .to_owned()
        }
        Finding::BadSignature => "GitHub does not accept the App's signature: AppId and the private key do not belong \
            together, or the key was deleted in the App's settings; correct AppId, or put a current key into its \
            parameter, and update the stack"
            .to_owned(),
        Finding::BadAppToken => format!(
            "GitHub does not accept the token that it has just made for the App: see whether the App is still installed \
             on {scope} and not suspended there"
        ),
        Finding::WantsSso => format!(
            "single sign-on guards {scope}, and this access token is not authorized for it: authorize it under \
             Settings, Developer settings, Personal access tokens, Configure SSO"
        ),
        Finding::AddressNotAllowed => format!(
            "{scope} has an IP allow list, and the function's address is not on it: run the function in a VPC behind a \
             NAT gateway and put that gateway's address on the list"
        ),
        Finding::Suspended => {
            format!("the {} is suspended for {scope}: lift the suspension on GitHub", credential(answer.presented))
        }
        Finding::NotInstalled => format!(
            "the App is not installed on {scope}, or {} names something else than is meant: install it there, or \
             correct the name",
            property(scope)
        ),
        Finding::NotGranted => format!(
            "the App's installation on {scope} lacks a permission: grant {} in the App's settings, then accept the new \
             permission on the installation{}",
            permission(scope),
            repository_access(scope)
        ),
        Finding::NotPermitted => format!(
            "this {} may not administer the runners of {scope}: {}{}",
            credential(answer.presented),
            what_it_takes(scope, answer.presented),
            what_github_tells(answer)
        ),
        Finding::RunnerGone => "GitHub does not know this runner any more".to_owned(),
        Finding::NotShown => format!(
            "GitHub shows no {scope} to this {}: either {} is wrong, or a permission is missing; {}{}",
            credential(answer.presented),
            property(scope),
            what_it_takes(scope, answer.presented),
            what_github_tells(answer)
        ),
        Finding::Renamed => of_moved(scope),
        Finding::VersionRetired => {
            "this GitHub has switched off version 2022-11-28 of its REST API: the function needs \
            an update"
                .to_owned()
        }
        Finding::InTheWay => "something else is going on there at the moment".to_owned(),
        Finding::Invalid => {
            "GitHub found the request wrong, which is a fault of the function; please report it".to_owned()
        }
        Finding::Unwell => format!("{} is not well at the moment", spoken(&ask.target.host)),
        Finding::Unexpected => "an answer that the function does not know".to_owned(),
    }
}

/// The sentence for a throttle.
pub(super) fn of_throttle(notice: Notice, pause: Duration) -> String {
    match notice {
        Notice::UsedUpUntil(_) => format!(
            "the credential's hourly limit at GitHub is used up for another {}; everything that uses the same \
             credential or account spends from it, the runners' own registrations too",
            HumanDuration(pause)
        ),
        Notice::After(_) | Notice::Unsaid => {
            format!("GitHub was called too fast with this credential and wants a pause of {}", HumanDuration(pause))
        }
    }
}

/// The sentence for a request that was held back.
pub(super) fn of_hold(by: HeldBy, wait: Duration) -> String {
    let wait = HumanDuration(wait);
    match by {
        HeldBy::Ourselves => {
            format!("held back for {wait}, to stay below the pace that GitHub allows (180 deletions a minute)")
        }
        HeldBy::GitHub => format!("held back for {wait}, the rest of the pause that GitHub asked for"),
    }
}

/// The sentence for a body that is not what it should be.
pub(super) fn of_unreadable(host: &GitHubHost) -> String {
    format!(
        "{} answered with something else than GitHub's API does: see whether GitHubUrl is right, and whether a proxy or \
         a login page answers in its place",
        spoken(host)
    )
}

/// The sentence for a next page on another server.
pub(super) fn of_foreign_page(host: &GitHubHost) -> String {
    format!(
        "the next page of the list lies on another server than {}, to which no credential is sent: give GitHubUrl the \
         name that this GitHub calls itself",
        spoken(host)
    )
}

/// The sentence for a target that has another name now.
pub(super) fn of_moved(scope: &Scope) -> String {
    format!("{scope} was renamed or moved: put its present name into {}", property(scope))
}

/// The sentence for a redirect to another server.
pub(super) fn of_foreign_redirect(host: &GitHubHost) -> String {
    format!(
        "{} redirects to another server, to which no credential is sent: give GitHubUrl, or RepoUrl, the name that this \
         GitHub calls itself",
        spoken(host)
    )
}

/// The sentence for redirects without end.
pub(super) fn of_endless_redirects(host: &GitHubHost) -> String {
    format!("{} redirects from one address to the next without end", spoken(host))
}

/// The sentence for a list without end.
pub(super) fn of_endless(scope: &Scope, pages_max: usize) -> String {
    format!(
        "{scope} lists more than {} entries, and the function reads no further: remove what is not in use any more",
        pages_max.saturating_mul(100)
    )
}

/// The sentence for a host that is none.
pub(super) fn of_bad_host(host: &GitHubHost) -> String {
    format!("GitHubUrl leads to {host}, which is no address")
}

/// The sentence for a private key that cannot sign.
pub(super) fn of_key(error: KeyError) -> String {
    format!(
        "the App's private key cannot be used: {error}; put the PEM file that GitHub gave out into its parameter as it \
         is, line breaks included (or written as \\n), and update the stack"
    )
}

/// The sentence for a body without end.
pub(super) fn of_long_body(host: &GitHubHost, bytes_max: usize) -> String {
    format!("{}; its answer was longer than {bytes_max} bytes", of_unreadable(host))
}

/// The sentence for a way that broke.
pub(super) fn of_way(way: Way, host: &GitHubHost, detail: Option<&str>) -> String {
    let name = spoken(host);
    let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    match way {
        Way::Name => format!(
            "the name {name} has no address where the function runs: see whether GitHubUrl is right, and in a VPC \
             whether its DNS knows the name"
        ),
        Way::Issuer => match host.kind() {
            HostKind::GitHubCom | HostKind::GheCom => format!(
                "the certificate of {name} is not trusted{detail}: something between the function and GitHub replaces \
                 it; put the certificate authority of that proxy into the function's package and its path into \
                 SSL_CERT_FILE"
            ),
            HostKind::EnterpriseServer => format!(
                "the certificate of {name} is not trusted{detail}: for a private certificate authority put its PEM file \
                 into the function's package and its path into SSL_CERT_FILE"
            ),
        },
        Way::Certificate => format!(
            "the certificate of {name} does not hold{detail}: see whether it has expired, and whether GitHubUrl is the \
             name in it"
        ),
        Way::Tls => format!("{name} and the function could not agree on an encrypted connection{detail}"),
        Way::Connection => format!(
            "{name} cannot be reached: a function in a VPC needs a route to it (a NAT gateway for github.com) and a \
             security group that lets HTTPS out"
        ),
        Way::Silence => format!("{name} did not answer in time"),
        Way::Broken => format!("the connection to {name} ended before the answer came"),
    }
}

fn credential(presented: Presented) -> &'static str {
    match presented {
        Presented::AccessToken => "access token",
        Presented::AppToken | Presented::AppSignature => "App",
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
fn what_it_takes(scope: &Scope, presented: Presented) -> String {
    let permission = permission(scope);
    match (presented, scope) {
        (Presented::AppToken | Presented::AppSignature, _) => {
            format!("grant {permission} in the App's settings, then accept it on the installation")
        }
        (Presented::AccessToken, Scope::Organization(_)) => format!(
            "a classic token needs the scope admin:org and an owner of the organization behind it, a fine-grained token \
             the organization as its resource owner and {permission}"
        ),
        (Presented::AccessToken, Scope::Repository { .. }) => format!(
            "a classic token needs the scope repo and an administrator of the repository behind it, a fine-grained token \
             access to the repository and {permission}"
        ),
        (Presented::AccessToken, Scope::Enterprise(_)) => {
            "a classic token needs the scope manage_runners:enterprise and \
            an owner of the enterprise behind it; a fine-grained token cannot do it"
                .to_owned()
        }
    }
}

/// What the headers add: the permission in GitHub's own spelling, and the scopes that a classic token has.
fn what_github_tells(answer: &Answer) -> String {
    let mut told = String::new();
    if let Some(permissions) = &answer.notes.accepted_permissions {
        told.push_str(" (X-Accepted-GitHub-Permissions: ");
        told.push_str(permissions);
        told.push(')');
    }
    match answer.notes.scopes.as_deref().map(str::trim) {
        Some("") => told.push_str(" (this token has no scopes)"),
        Some(scopes) => {
            told.push_str(" (this token's scopes: ");
            told.push_str(scopes);
            told.push(')');
        }
        None => {}
    }
    told
}
