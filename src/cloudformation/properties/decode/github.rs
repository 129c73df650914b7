//! Where the runners register, and with which credentials.

use super::super::github_urls::repository;
use super::super::given::Given;
use super::super::problems::Problems;
use super::super::table::registration::{
    ACCESS_TOKEN_PARAMETER, APP_ID, APP_LOGIN, APP_PRIVATE_KEY_PARAMETER, ENTERPRISE_NAME, GITHUB_URL, ORG_NAME,
    ORG_RUNNER, REGISTER_BY, REPO_URL, RUNNER_TOKEN_PARAMETER,
};
use crate::cloudformation::properties::github_urls::github_host;
use crate::pool::model::spec::{Credentials, GitHubCredential, GitHubHost, GitHubTarget, RegisterBy, Scope};

/// `None` if it is unknown, and then there is a problem.
pub(super) fn target(given: &Given<'_>, problems: &mut Problems) -> Option<GitHubTarget> {
    let names: Vec<&str> = [
        (ORG_NAME.name, given.has(&ORG_NAME)),
        (REPO_URL.name, given.has(&REPO_URL)),
        (ENTERPRISE_NAME.name, given.has(&ENTERPRISE_NAME)),
    ]
    .iter()
    .filter(|(_, is_given)| *is_given)
    .map(|(name, _)| *name)
    .collect();
    match names.as_slice() {
        [_] => {}
        [] => problems.missing(ORG_NAME.name, "exactly one of OrgName, RepoUrl and EnterpriseName"),
        [first, others @ ..] => problems.add(
            first,
            format!("cannot be combined with {}", others.join(" and ")),
            "Specify exactly one of OrgName, RepoUrl and EnterpriseName.",
        ),
    }
    check_org_runner(given, problems);

    let host = given.get(&GITHUB_URL).and_then(|url| github_host(&url));
    let repository = given.get(&REPO_URL).and_then(|url| repository(&url));
    if let (Some(host), Some(repository)) = (&host, &repository)
        && *host != repository.host
    {
        let problem = format!("its host is {}, but GitHubUrl is {host}", repository.host);
        problems.add(REPO_URL.name, problem, "Specify the same host in both, or remove GitHubUrl.");
    }
    let is_host_known = host.is_some() == given.has(&GITHUB_URL);
    if names.len() != 1 || !is_host_known {
        return None;
    }
    repository.or_else(|| {
        let organization = given.get(&ORG_NAME).map(Scope::Organization);
        let scope = organization.or_else(|| given.get(&ENTERPRISE_NAME).map(Scope::Enterprise))?;
        Some(GitHubTarget { host: host.unwrap_or_else(GitHubHost::github_com), scope })
    })
}

fn check_org_runner(given: &Given<'_>, problems: &mut Problems) {
    let problem = match (given.get(&ORG_RUNNER), given.has(&ORG_NAME)) {
        (Some(true), false) => "true requires OrgName",
        (Some(false), true) => "false excludes OrgName",
        (Some(true), true) | (Some(false), false) | (None, _) => return,
    };
    problems.add(ORG_RUNNER.name, problem, "Remove OrgRunner, or specify true with OrgName and false without it.");
}

/// `None` if they are incomplete or invalid, and then there is a problem.
pub(super) fn credentials(
    given: &Given<'_>,
    target: Option<&GitHubTarget>,
    problems: &mut Problems,
) -> Option<Credentials> {
    let (has_access_token, has_app) = (given.has(&ACCESS_TOKEN_PARAMETER), has_app(given));
    if has_access_token && has_app {
        let remedy = "Specify either AccessTokenParameter, or AppId with AppPrivateKeyParameter.";
        problems.add(ACCESS_TOKEN_PARAMETER.name, "cannot be combined with a GitHub App", remedy);
    }
    if !has_access_token && !has_app && !given.has(&RUNNER_TOKEN_PARAMETER) {
        let expected = "it, or AppId with AppPrivateKeyParameter, or at least RunnerTokenParameter";
        problems.missing(ACCESS_TOKEN_PARAMETER.name, expected);
    }
    if given.has(&APP_LOGIN) && !has_app {
        let remedy = "Specify AppId and AppPrivateKeyParameter as well, or remove AppLogin.";
        problems.add(APP_LOGIN.name, "requires a GitHub App", remedy);
    }
    if has_app && given.has(&ENTERPRISE_NAME) {
        let path = if given.has(&APP_ID) { APP_ID.name } else { APP_PRIVATE_KEY_PARAMETER.name };
        let problem = "GitHub lets no App administer the runners of an enterprise";
        let remedy = "Specify AccessTokenParameter, with a classic token that has the scope manage_runners:enterprise.";
        problems.add(path, problem, remedy);
    }
    let github_credential = github_credential(given, target, problems);
    let runner_token = given.get(&RUNNER_TOKEN_PARAMETER);
    let register_by = register_by(given, problems);
    let has_all = github_credential.is_some() == (has_access_token || has_app)
        && runner_token.is_some() == given.has(&RUNNER_TOKEN_PARAMETER);
    has_all.then_some(Credentials { github_credential, runner_token, register_by })
}

/// Who registers the runners: with a registration token of the template's, their containers.
pub(super) fn register_by(given: &Given<'_>, problems: &mut Problems) -> RegisterBy {
    match (given.get(&REGISTER_BY), given.has(&RUNNER_TOKEN_PARAMETER)) {
        (Some(RegisterBy::Function), true) => {
            let remedy = "Remove RunnerTokenParameter, or specify RegisterBy: Container.";
            problems.add(REGISTER_BY.name, "Function cannot be combined with RunnerTokenParameter", remedy);
            RegisterBy::Function
        }
        (Some(register_by), _) => register_by,
        (None, true) => RegisterBy::Container,
        (None, false) => RegisterBy::Function,
    }
}

/// The credential that administers the runners, if it can be read.
pub(super) fn github_credential(
    given: &Given<'_>,
    target: Option<&GitHubTarget>,
    problems: &mut Problems,
) -> Option<GitHubCredential> {
    let app = if has_app(given) { app(given, target, problems) } else { None };
    given.get(&ACCESS_TOKEN_PARAMETER).map(GitHubCredential::AccessToken).or(app)
}

fn has_app(given: &Given<'_>) -> bool {
    given.has(&APP_ID) || given.has(&APP_PRIVATE_KEY_PARAMETER)
}

fn app(given: &Given<'_>, target: Option<&GitHubTarget>, problems: &mut Problems) -> Option<GitHubCredential> {
    if !given.has(&APP_ID) {
        problems.missing(APP_ID.name, APP_ID.accepts.expected);
    }
    if !given.has(&APP_PRIVATE_KEY_PARAMETER) {
        problems.missing(APP_PRIVATE_KEY_PARAMETER.name, "the parameter that stores the App's private key");
    }
    let owner = || match &target?.scope {
        Scope::Organization(name) | Scope::Repository { owner: name, .. } => Some(name.clone()),
        Scope::Enterprise(_) => None,
    };
    let login = if given.has(&APP_LOGIN) { given.get(&APP_LOGIN) } else { owner() };
    Some(GitHubCredential::App {
        id: given.get(&APP_ID)?,
        private_key: given.get(&APP_PRIVATE_KEY_PARAMETER)?,
        login: login?,
    })
}
