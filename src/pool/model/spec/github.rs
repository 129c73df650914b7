//! Where the runners register at GitHub: the host, and the organization, repository or enterprise.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One place on one GitHub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHubTarget {
    /// Which GitHub.
    pub host: GitHubHost,
    /// The organization, repository or enterprise there.
    pub scope: Scope,
}

impl GitHubTarget {
    /// The URL of the organization, repository or enterprise on GitHub's web site, by which runners register.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.scope {
            Scope::Organization(name) => format!("{}/{name}", self.host),
            Scope::Repository { owner, name } => format!("{}/{owner}/{name}", self.host),
            Scope::Enterprise(name) => format!("{}/enterprises/{name}", self.host),
        }
    }
}

/// Which GitHub: github.com, a tenant of ghe.com, or an Enterprise Server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHubHost {
    /// `https`, or `http` for a loopback host.
    pub scheme: Scheme,
    /// The host in lower case, with its port where one was given: `github.com`, `acme.ghe.com`, `127.0.0.1:8080`.
    pub authority: String,
}

/// The URL scheme of a GitHub host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Every real GitHub.
    Https,
    /// A local emulator.
    HttpOnLoopback,
}

impl GitHubHost {
    /// github.com itself.
    #[must_use]
    pub fn github_com() -> Self {
        Self { scheme: Scheme::Https, authority: "github.com".to_owned() }
    }

    /// The host of the REST API: `api.github.com`, `api.SUB.ghe.com`, or the Enterprise Server itself.
    ///
    /// <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api>
    #[must_use]
    pub fn api_authority(&self) -> String {
        match self.kind() {
            HostKind::GitHubCom => "api.github.com".to_owned(),
            HostKind::GheCom => format!("api.{}", self.authority),
            HostKind::EnterpriseServer => self.authority.clone(),
        }
    }

    /// The path below which the REST API lives: empty, or `/api/v3` on an Enterprise Server.
    #[must_use]
    pub fn api_path(&self) -> &'static str {
        match self.kind() {
            HostKind::GitHubCom | HostKind::GheCom => "",
            HostKind::EnterpriseServer => "/api/v3",
        }
    }

    /// Which of the three families this host belongs to.
    #[must_use]
    pub fn kind(&self) -> HostKind {
        if self.authority == "github.com" || self.authority == "www.github.com" {
            HostKind::GitHubCom
        } else if self.authority.ends_with(".ghe.com") {
            HostKind::GheCom
        } else {
            HostKind::EnterpriseServer
        }
    }

    /// The scheme with which every URL of this host begins.
    #[must_use]
    pub const fn scheme_str(&self) -> &'static str {
        match self.scheme {
            Scheme::Https => "https",
            Scheme::HttpOnLoopback => "http",
        }
    }
}

impl fmt::Display for GitHubHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme_str(), self.authority)
    }
}

/// The families of GitHub hosts, which differ in where their API lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// github.com.
    GitHubCom,
    /// A tenant with data residency.
    GheCom,
    /// A GitHub Enterprise Server.
    EnterpriseServer,
}

/// The owner of the runners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// An organization: the runner group determines which repositories use the runners.
    Organization(String),
    /// One repository.
    Repository {
        /// The user or organization.
        owner: String,
        /// Its repository.
        name: String,
    },
    /// An enterprise: the runner group determines which organizations use the runners.
    Enterprise(String),
}

impl Scope {
    /// The path prefix of this scope in GitHub's REST API, such as `/orgs/acme`.
    #[must_use]
    pub fn api_prefix(&self) -> String {
        match self {
            Self::Organization(name) => format!("/orgs/{name}"),
            Self::Repository { owner, name } => format!("/repos/{owner}/{name}"),
            Self::Enterprise(name) => format!("/enterprises/{name}"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(name) => write!(f, "organization {name}"),
            Self::Repository { owner, name } => write!(f, "repository {owner}/{name}"),
            Self::Enterprise(name) => write!(f, "enterprise {name}"),
        }
    }
}
