//! The GitHub port: runners, runner groups, and the permission to administer them.
//!
//! <https://docs.github.com/en/rest/actions/self-hosted-runners>

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::client::GitHubClient;
use super::errors;
use super::registration;
use super::request::{ApiRequest, Endpoint, is_same_origin};
use super::response::next_page;
use super::session::SessionKey;
use crate::pool::model::runner::{Runner, RunnerGroup};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubTarget, Scope};
use crate::reconcile::ports::{Clock, Credential, Deregistration, GitHub, JitRunner, JitRunnerRequest, RemoteResult};

/// GitHub's maximum.
const PER_PAGE: &str = "100";

/// 10,000 entries: as many as GitHub lets a runner group hold.
/// <https://docs.github.com/en/actions/reference/limits>
const PAGES_MAX: usize = 100;

/// For how long a list proves that the credential sees the target, so that a 404 on a deletion means a missing runner.
/// Longer than a poll, much shorter than it takes to notice that a permission was withdrawn.
const VISIBLE_FOR: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct RunnersPage {
    total_count: Option<usize>,
    /// Required: a body without it is no empty list.
    runners: Vec<RunnerEntry>,
}

#[derive(Deserialize)]
struct RunnerEntry {
    id: u64,
    name: Option<String>,
    status: Option<String>,
    busy: Option<bool>,
    labels: Option<Vec<LabelEntry>>,
    version: Option<String>,
}

#[derive(Deserialize)]
struct LabelEntry {
    name: Option<String>,
}

#[derive(Deserialize)]
struct GroupsPage {
    runner_groups: Vec<GroupEntry>,
}

#[derive(Deserialize)]
struct GroupEntry {
    id: u64,
    name: Option<String>,
    inherited: Option<bool>,
}

impl RunnerEntry {
    fn into_runner(self) -> Runner {
        Runner {
            id: self.id,
            name: self.name.unwrap_or_default(),
            // An open string at GitHub; only this value says that the runner can get a job.
            is_online: self.status.is_some_and(|status| status.eq_ignore_ascii_case("online")),
            // Without the field, a job may be running.
            is_busy: self.busy.unwrap_or(true),
            labels: self.labels.unwrap_or_default().into_iter().filter_map(|label| label.name).collect(),
            version: self.version,
        }
    }
}

/// One reading of a whole list.
struct Reading {
    runners: BTreeMap<u64, Runner>,
    is_consistent: bool,
}

impl<C: Clock> GitHub for GitHubClient<C> {
    async fn runners(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Vec<Runner>> {
        let Reading { mut runners, is_consistent } = self.read_runners(target, credential).await?;
        if !is_consistent {
            // A runner that is deleted while the pages are read moves another one onto a page that was already read. Both
            // readings together lack none; a list that lacks a runner would pass for an empty pool.
            tracing::debug!("the list of runners changed while it was read; reading it again");
            runners.extend(self.read_runners(target, credential).await?.runners);
        }
        Ok(runners.into_values().collect())
    }

    async fn check_administration(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
    ) -> RemoteResult<Option<String>> {
        let path = ["actions", "runners", "registration-token"];
        let request = ApiRequest::in_scope(Endpoint::CreateRegistrationToken, target, &path)?;
        // The token in the body is not read.
        errors::require_success(&request, self.call(credential, &request).await?)?;
        Ok(self.installed_on(target, credential))
    }

    async fn runner_group(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<RunnerGroup>> {
        let group = self.group_named(target, credential, name).await?;
        Ok(group.map(|(_, group)| group))
    }

    async fn runner_named(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<Runner>> {
        let mut request = ApiRequest::in_scope(Endpoint::ListRunners, target, &["actions", "runners"])?;
        // A server from before this filter returns the whole list.
        request.url.query_pairs_mut().append_pair("name", name);
        let pages: Vec<RunnersPage> = self.pages(credential, request).await?;
        self.mark_visible(target, credential);
        let mut runners = pages.into_iter().flat_map(|page| page.runners).map(RunnerEntry::into_runner);
        Ok(runners.find(|runner| runner.name.eq_ignore_ascii_case(name)))
    }

    async fn create_jit_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: &JitRunnerRequest,
    ) -> RemoteResult<JitRunner> {
        registration::create_jit_runner(self, target, credential, runner).await
    }

    async fn create_registration_token(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Secret> {
        registration::create_token(self, target, credential).await
    }

    async fn deregister(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: u64,
    ) -> RemoteResult<Deregistration> {
        let id = runner.to_string();
        let request = ApiRequest::in_scope(Endpoint::DeleteRunner, target, &["actions", "runners", &id])?;
        let response = self.call(credential, &request).await?;
        match response.status {
            StatusCode::NOT_FOUND if !response.headers.requires_sso => {
                self.confirm_target_visible(target, credential).await?;
                Ok(Deregistration::Missing)
            }
            // The message has changed over the years, the status has not.
            StatusCode::UNPROCESSABLE_ENTITY => Ok(Deregistration::Busy),
            _ => errors::require_success(&request, response).map(|_| Deregistration::Deleted),
        }
    }
}

impl<C: Clock> GitHubClient<C> {
    async fn read_runners(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Reading> {
        let request = ApiRequest::in_scope(Endpoint::ListRunners, target, &["actions", "runners"])?;
        let pages: Vec<RunnersPage> = self.pages(credential, request).await?;
        self.mark_visible(target, credential);
        let n_pages = pages.len();
        let totals: Vec<usize> = pages.iter().filter_map(|page| page.total_count).collect();
        let runners: BTreeMap<u64, Runner> =
            pages.into_iter().flat_map(|page| page.runners).map(|entry| (entry.id, entry.into_runner())).collect();
        // Within one page nothing can shift, and whatever it counts is no reason to doubt it.
        let is_consistent = n_pages <= 1 || totals.iter().all(|total| *total == runners.len());
        Ok(Reading { runners, is_consistent })
    }

    /// The runner group of this name and its id; a repository has none.
    pub(super) async fn group_named(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<(u64, RunnerGroup)>> {
        if matches!(target.scope, Scope::Repository { .. }) {
            return Ok(None);
        }
        let request = ApiRequest::in_scope(Endpoint::ListRunnerGroups, target, &["actions", "runner-groups"])?;
        let pages: Vec<GroupsPage> = self.pages(credential, request).await?;
        // The runner that registers compares the names in the same way:
        // https://github.com/actions/runner/blob/main/src/Runner.Listener/Configuration/ConfigurationManager.cs
        let name = name.to_lowercase();
        let named = pages
            .into_iter()
            .flat_map(|page| page.runner_groups)
            .filter(|group| group.name.as_ref().is_some_and(|group| group.to_lowercase() == name));
        // One of its own comes before one of the same name that the enterprise shares.
        let of = |group: GroupEntry| {
            let kind = if group.inherited == Some(true) { RunnerGroup::Inherited } else { RunnerGroup::Own };
            (group.id, kind)
        };
        Ok(named.map(of).min_by_key(|(_, group)| *group == RunnerGroup::Inherited))
    }

    /// A 404 on a deletion means that the runner is deleted, or that GitHub hides the target from a credential that has
    /// lost its permission. Only a list distinguishes the two: it fails in the second case.
    pub(super) async fn confirm_target_visible(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
    ) -> RemoteResult<()> {
        let (now, key) = (self.clock.now(), SessionKey::of(target, credential));
        let visible_at = self.sessions.with_target(&key, now, |target| target.visible_at);
        if visible_at.is_some_and(|visible_at| now.since(visible_at) < VISIBLE_FOR) {
            return Ok(());
        }
        let mut request = ApiRequest::in_scope(Endpoint::ListRunners, target, &["actions", "runners"])?;
        request.url.query_pairs_mut().append_pair("per_page", "1");
        let response = errors::require_success(&request, self.call(credential, &request).await?)?;
        errors::decode::<RunnersPage>(&request, &response)?;
        self.mark_visible(target, credential);
        Ok(())
    }

    fn mark_visible(&self, target: &GitHubTarget, credential: &Credential) {
        let (now, key) = (self.clock.now(), SessionKey::of(target, credential));
        self.sessions.with_target(&key, now, |target| target.visible_at = Some(now));
    }

    /// Every page of a list, from the first on.
    async fn pages<T: DeserializeOwned>(
        &self,
        credential: &Credential,
        mut request: ApiRequest<'_>,
    ) -> RemoteResult<Vec<T>> {
        let root = request.url.clone();
        request.url.query_pairs_mut().append_pair("per_page", PER_PAGE);
        let mut pages = Vec::new();
        while pages.len() < PAGES_MAX {
            let response = errors::require_success(&request, self.call(credential, &request).await?)?;
            pages.push(errors::decode(&request, &response)?);
            let Some(next) = response.headers.link.as_deref().and_then(next_page) else {
                return Ok(pages);
            };
            match Url::parse(next) {
                Ok(next) if is_same_origin(&root, &next) => request.url = next,
                Ok(_) | Err(_) => return Err(errors::foreign_page(&request)),
            }
        }
        Err(errors::too_many_pages(&request, PAGES_MAX))
    }
}
