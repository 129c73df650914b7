//! Where the runners register, and with which credentials.

use url::Url;

use crate::cloudformation::loopback::is_loopback;
use crate::pool::model::spec::{Credentials, GitHubCredential, GitHubHost, GitHubTarget, ParameterRef, Scheme, Scope};

use super::collecting::Field;
use super::problems::{Problems, is_credential_itself};
use super::raw::Raw;
use super::shapes::{fitting, is_name, is_parameter, is_secret_arn, is_whole_reference};
use super::stringly::Text;

/// Characters of an account's, a repository's or an enterprise's name; GitHub itself stops earlier.
const NAME_CHARS_MAX: usize = 100;

/// The target; `None` if it cannot be told, and then a problem says why.
pub(super) fn target(raw: &Raw, problems: &mut Problems) -> Option<GitHubTarget> {
    let given: Vec<&str> = [
        ("OrgName", raw.org_name.is_present()),
        ("RepoUrl", raw.repo_url.is_present()),
        ("EnterpriseName", raw.enterprise_name.is_present()),
    ]
    .iter()
    .filter(|(_, is_present)| *is_present)
    .map(|(name, _)| *name)
    .collect();
    match given.as_slice() {
        [_] => {}
        [] => problems.missing("OrgName", "exactly one of OrgName, RepoUrl and EnterpriseName"),
        [first, others @ ..] => problems.add(
            first,
            format!("is given together with {}", others.join(" and ")),
            "give exactly one of OrgName, RepoUrl and EnterpriseName",
        ),
    }
    check_org_runner(raw, problems);

    let host = raw.github_url.get().and_then(|url| host_of_github_url(&url.0, problems));
    let is_host_clear = host.is_some() == raw.github_url.is_present();
    let repository = raw.repo_url.get().and_then(|url| repository(&url.0, problems));
    let organization = named("OrgName", "the organization's name alone, such as acme", &raw.org_name, problems);
    let accepted = "the enterprise's name as in its URL, such as acme";
    let enterprise = named("EnterpriseName", accepted, &raw.enterprise_name, problems);
    if let (Some(host), Some(repository)) = (&host, &repository)
        && *host != repository.host
    {
        let fault = format!("is on {}, and GitHubUrl is {host}", repository.host);
        problems.add("RepoUrl", fault, "give both the same host, or leave GitHubUrl out");
    }
    if given.len() != 1 || !is_host_clear {
        return None;
    }
    repository.or_else(|| {
        let scope = organization.map(Scope::Organization).or_else(|| enterprise.map(Scope::Enterprise))?;
        Some(GitHubTarget { host: host.unwrap_or_else(GitHubHost::github_com), scope })
    })
}

/// The credentials; `None` if they do not fit together, and then a problem says why.
pub(super) fn credentials(raw: &Raw, target: Option<&GitHubTarget>, problems: &mut Problems) -> Option<Credentials> {
    let (has_access_token, has_app) = (raw.access_token_parameter.is_present(), has_app(raw));
    if has_access_token && has_app {
        let fault = "is given together with a GitHub App";
        problems.add("AccessTokenParameter", fault, "give one of the two: it, or AppId and AppPrivateKeyParameter");
    }
    if !has_access_token && !has_app && !raw.runner_token_parameter.is_present() {
        let accepted = "it, or AppId and AppPrivateKeyParameter, or at least RunnerTokenParameter";
        problems.missing("AccessTokenParameter", accepted);
    }
    if raw.app_login.is_present() && !has_app {
        problems.add(
            "AppLogin",
            "is given without an App",
            "give AppId and AppPrivateKeyParameter too, or take it out",
        );
    }
    if has_app && raw.enterprise_name.is_present() {
        let path = if raw.app_id.is_present() { "AppId" } else { "AppPrivateKeyParameter" };
        let fault = "is given for an enterprise, whose runners GitHub lets no App administer";
        let advice = "use AccessTokenParameter, with a classic token that has the scope manage_runners:enterprise";
        problems.add(path, fault, advice);
    }
    let github_credential = github_credential(raw, target, problems);
    let runner_token = parameter("RunnerTokenParameter", "the token", &raw.runner_token_parameter, problems);
    let has_all = github_credential.is_some() == (has_access_token || has_app)
        && runner_token.is_some() == raw.runner_token_parameter.is_present();
    has_all.then_some(Credentials { github_credential, runner_token })
}

/// What lets us administer the runners, as far as it can be read.
pub(super) fn github_credential(
    raw: &Raw,
    target: Option<&GitHubTarget>,
    problems: &mut Problems,
) -> Option<GitHubCredential> {
    let access_token = parameter("AccessTokenParameter", "the access token", &raw.access_token_parameter, problems);
    let app = if has_app(raw) { app(raw, target, problems) } else { None };
    access_token.map(GitHubCredential::AccessToken).or(app)
}

fn has_app(raw: &Raw) -> bool {
    raw.app_id.is_present() || raw.app_private_key_parameter.is_present()
}

/// A place where a value lies, rather than the value itself.
pub(super) fn parameter(path: &str, what: &str, field: &Field<Text>, problems: &mut Problems) -> Option<ParameterRef> {
    let text = field.get()?.0.as_str();
    if is_credential_itself(text) {
        let advice = format!("put {what} into Parameter Store as a SecureString and give the parameter's name");
        problems.add(path, "looks like a token or key itself (not repeated here)", advice);
        return None;
    }
    if !is_parameter(text) && !is_secret_arn(text) {
        problems.unfit_text(
            path,
            text,
            "a Parameter Store parameter's name (from its leading slash on) or ARN, or a Secrets Manager secret's ARN",
        );
        return None;
    }
    if is_secret_arn(text) && !is_whole_reference(text) {
        let advice = "end it in :KEY:: for a key of a JSON secret, in :KEY:STAGE: or :KEY::VERSION-ID for a version of \
            it, or in nothing for the whole secret, as ECS takes it";
        problems.add(path, "has another number of colons behind the secret's name than three", advice);
        return None;
    }
    Some(ParameterRef(text.to_owned()))
}

fn app(raw: &Raw, target: Option<&GitHubTarget>, problems: &mut Problems) -> Option<GitHubCredential> {
    if !raw.app_id.is_present() {
        problems.missing("AppId", "the App's numeric id");
    }
    if !raw.app_private_key_parameter.is_present() {
        problems.missing("AppPrivateKeyParameter", "the parameter that holds the App's private key");
    }
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let id = fitting("AppId", &raw.app_id, is_number, "the App's numeric id", problems);
    let what = "the App's private key";
    let private_key = parameter("AppPrivateKeyParameter", what, &raw.app_private_key_parameter, problems);
    let owner = || match &target?.scope {
        Scope::Organization(name) | Scope::Repository { owner: name, .. } => Some(name.clone()),
        Scope::Enterprise(_) => None,
    };
    let login = if raw.app_login.is_present() {
        named("AppLogin", "the account on which the App is installed", &raw.app_login, problems)
    } else {
        owner()
    };
    Some(GitHubCredential::App { id: id?.to_owned(), private_key: private_key?, login: login? })
}

fn check_org_runner(raw: &Raw, problems: &mut Problems) {
    let advice = "take it out, or give true with OrgName and false with the others";
    match (raw.org_runner.get().map(|flag| flag.0), raw.org_name.is_present()) {
        (Some(true), false) => problems.add("OrgRunner", "is true without OrgName", advice),
        (Some(false), true) => problems.add("OrgRunner", "is false with OrgName", advice),
        (Some(true), true) | (Some(false), false) | (None, _) => {}
    }
}

fn named(path: &str, accepted: &str, field: &Field<Text>, problems: &mut Problems) -> Option<String> {
    fitting(path, field, is_account, accepted, problems).map(str::to_owned)
}

fn is_account(text: &str) -> bool {
    is_name(text, "-_.", NAME_CHARS_MAX) && !text.starts_with('.')
}

fn host_of_github_url(text: &str, problems: &mut Problems) -> Option<GitHubHost> {
    let accepted = "GitHub's web address (not its API's), https://HOST without a path";
    let host = web_url(text).filter(|url| url.path() == "/").as_ref().and_then(host);
    if host.is_none() {
        problems.unfit_text("GitHubUrl", text, accepted);
    }
    host
}

fn repository(text: &str, problems: &mut Problems) -> Option<GitHubTarget> {
    let target = web_url(text).and_then(|url| {
        let path = url.path().trim_matches('/');
        let (owner, name) = path.split_once('/')?;
        let name = name.strip_suffix(".git").unwrap_or(name);
        let is_fit = is_account(owner) && is_name(name, "-_.", NAME_CHARS_MAX);
        let scope = Scope::Repository { owner: owner.to_owned(), name: name.to_owned() };
        is_fit.then_some(GitHubTarget { host: host(&url)?, scope })
    });
    if target.is_none() {
        let accepted = "the repository's address, https://HOST/OWNER/REPO";
        problems.unfit_text("RepoUrl", text, accepted);
    }
    target
}

/// An address without user, query and fragment, over TLS unless it is on this machine.
fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    (is_bare && is_safe && url.fragment().is_none()).then_some(url)
}

/// The host of such an address; `None` for GitHub's own API hosts, which people copy by mistake.
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
