//! The URLs and names of GitHub that properties contain.

use url::Url;

use super::formats::is_name;
use crate::cloudformation::loopback::is_loopback;
use crate::pool::model::spec::{GitHubHost, GitHubTarget, Scheme, Scope};

/// GitHub itself accepts less.
const NAME_CHARS_MAX: usize = 100;

/// The name of an organization, a user or an enterprise.
pub(super) fn is_account_name(text: &str) -> bool {
    is_name(text, "-_.", NAME_CHARS_MAX) && !text.starts_with('.')
}

/// The host of GitHub's web site.
pub(super) fn github_host(text: &str) -> Option<GitHubHost> {
    web_url(text).filter(|url| url.path() == "/").as_ref().and_then(host)
}

/// The repository at a URL.
pub(super) fn repository(text: &str) -> Option<GitHubTarget> {
    let url = web_url(text)?;
    let (owner, name) = url.path().trim_matches('/').split_once('/')?;
    let name = name.strip_suffix(".git").unwrap_or(name);
    let is_valid = is_account_name(owner) && is_name(name, "-_.", NAME_CHARS_MAX);
    let scope = Scope::Repository { owner: owner.to_owned(), name: name.to_owned() };
    is_valid.then_some(GitHubTarget { host: host(&url)?, scope })
}

/// A URL without user, query and fragment, with TLS unless its host is a loopback host.
fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    (is_bare && is_safe && url.fragment().is_none()).then_some(url)
}

/// `None` for the hosts of GitHub's API, which people copy by mistake.
fn host(url: &Url) -> Option<GitHubHost> {
    let name = url.host_str()?.to_ascii_lowercase();
    if name == "api.github.com" || (name.starts_with("api.") && name.ends_with(".ghe.com")) {
        return None;
    }
    let name = if name == "www.github.com" { "github.com".to_owned() } else { name };
    let authority = url.port().map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
    let scheme = if url.scheme() == "https" { Scheme::Https } else { Scheme::HttpOnLoopback };
    Some(GitHubHost { scheme, authority })
}
