//! The port itself: runners, runner groups, and whether we may administer them.
//!
//! <https://docs.github.com/en/rest/actions/self-hosted-runners>

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::answer::next_page;
use super::client::{Ask, GitHubClient, LockPurpose, is_same_origin};
use super::credentials::Place;
use super::refusals;
use crate::pool::model::runner::{Runner, RunnerGroup};
use crate::pool::model::spec::{GitHubTarget, Scope};
use crate::reconcile::ports::{Clock, Credential, Deregistration, GitHub, RemoteResult};

/// GitHub's most.
const PER_PAGE: &str = "100";

/// 10,000 entries: as many as GitHub lets a runner group hold.
/// <https://docs.github.com/en/actions/reference/limits>
const PAGES_MAX: usize = 100;

/// For this long after a list a 404 on a deletion is believed. Longer than a poll, much shorter than it takes to notice
/// that a permission was withdrawn.
const SEEN_FOR: Duration = Duration::from_secs(60);

/// More places than a warm function meets in a minute.
const SEEN_MAX: usize = 64;

#[derive(Deserialize)]
struct RunnersPage {
    total_count: Option<usize>,
    /// Required: an answer without it is no empty list.
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
    name: Option<String>,
    inherited: Option<bool>,
}

impl RunnerEntry {
    fn into_runner(self) -> Runner {
        Runner {
            id: self.id,
            name: self.name.unwrap_or_default(),
            // An open string at GitHub; only this word says that a job can come to it.
            is_online: self.status.is_some_and(|status| status.eq_ignore_ascii_case("online")),
            // Where GitHub does not tell, a job may be running.
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
            // A runner that left while the pages were read pulls another one onto a page that was already read. What
            // either reading saw is there, or was a moment ago; a list that lacks a runner would pass for an empty pool.
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
        let path = below(&target.scope, &["actions", "runners", "registration-token"]);
        let ask = Ask::new(LockPurpose::MakeRegistrationToken, target, &path)?;
        // The token in the body is never looked at.
        refusals::accepted(&ask, self.call(credential, &ask).await?)?;
        Ok(self.installed_on(target, credential))
    }

    async fn runner_group(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<RunnerGroup>> {
        if matches!(target.scope, Scope::Repository { .. }) {
            return Ok(None);
        }
        let path = below(&target.scope, &["actions", "runner-groups"]);
        let ask = Ask::new(LockPurpose::ListGroups, target, &path)?;
        let pages: Vec<GroupsPage> = self.pages(credential, ask).await?;
        // The runner that registers compares the names in the same way:
        // https://github.com/actions/runner/blob/main/src/Runner.Listener/Configuration/ConfigurationManager.cs
        let name = name.to_lowercase();
        let named = pages
            .into_iter()
            .flat_map(|page| page.runner_groups)
            .filter(|group| group.name.as_ref().is_some_and(|group| group.to_lowercase() == name));
        // One of its own comes before one of the same name that the enterprise shares.
        let of =
            |group: GroupEntry| if group.inherited == Some(true) { RunnerGroup::Inherited } else { RunnerGroup::Own };
        Ok(named.map(of).min_by_key(|group| *group == RunnerGroup::Inherited))
    }

    async fn deregister(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: u64,
    ) -> RemoteResult<Deregistration> {
        let id = runner.to_string();
        let path = below(&target.scope, &["actions", "runners", &id]);
        let ask = Ask::new(LockPurpose::DeleteRunner, target, &path)?;
        let answer = self.call(credential, &ask).await?;
        match answer.status {
            StatusCode::NOT_FOUND if !answer.notes.wants_sso => {
                self.see(target, credential).await?;
                Ok(Deregistration::Missing)
            }
            // Its words have changed over the years, the status has not.
            StatusCode::UNPROCESSABLE_ENTITY => Ok(Deregistration::Busy),
            _ => refusals::accepted(&ask, answer).map(|_| Deregistration::Deleted),
        }
    }
}

impl<C: Clock> GitHubClient<C> {
    async fn read_runners(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Reading> {
        let ask = Ask::new(LockPurpose::ListRunners, target, &below(&target.scope, &["actions", "runners"]))?;
        let pages: Vec<RunnersPage> = self.pages(credential, ask).await?;
        self.note_seen(target, credential);
        let n_pages = pages.len();
        let totals: Vec<usize> = pages.iter().filter_map(|page| page.total_count).collect();
        let runners: BTreeMap<u64, Runner> =
            pages.into_iter().flat_map(|page| page.runners).map(|entry| (entry.id, entry.into_runner())).collect();
        // Within one page nothing can shift, and whatever it counts is no reason to doubt it.
        let is_consistent = n_pages <= 1 || totals.iter().all(|total| *total == runners.len());
        Ok(Reading { runners, is_consistent })
    }

    /// A 404 on a deletion says that the runner is gone, or that GitHub hides the whole place from a credential that
    /// has lost its permission. The two look alike, and only a list tells them apart: it fails in the second case.
    async fn see(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<()> {
        let now = self.clock.now();
        let place = Place::of(target, credential);
        if self.seen.borrow().get(&place).is_some_and(|seen_at| now.since(*seen_at) < SEEN_FOR) {
            return Ok(());
        }
        let mut ask = Ask::new(LockPurpose::ListRunners, target, &below(&target.scope, &["actions", "runners"]))?;
        ask.url.query_pairs_mut().append_pair("per_page", "1");
        let answer = refusals::accepted(&ask, self.call(credential, &ask).await?)?;
        refusals::readable::<RunnersPage>(&ask, &answer)?;
        self.note_seen(target, credential);
        Ok(())
    }

    fn note_seen(&self, target: &GitHubTarget, credential: &Credential) {
        let now = self.clock.now();
        let mut seen = self.seen.borrow_mut();
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        seen.insert(Place::of(target, credential), now);
    }

    /// Every page of a list, from the first on.
    async fn pages<T: DeserializeOwned>(&self, credential: &Credential, mut ask: Ask<'_>) -> RemoteResult<Vec<T>> {
        let root = ask.url.clone();
        ask.url.query_pairs_mut().append_pair("per_page", PER_PAGE);
        let mut pages = Vec::new();
        while pages.len() < PAGES_MAX {
            let answer = refusals::accepted(&ask, self.call(credential, &ask).await?)?;
            pages.push(refusals::readable(&ask, &answer)?);
            let Some(next) = answer.notes.link.as_deref().and_then(next_page) else {
                return Ok(pages);
            };
            match Url::parse(next) {
                Ok(next) if is_same_origin(&root, &next) => ask.url = next,
                Ok(_) | Err(_) => return Err(refusals::foreign_page(&ask)),
            }
        }
        Err(refusals::endless(&ask, PAGES_MAX))
    }
}

/// The segments of a path below `scope`.
fn below<'a>(scope: &'a Scope, path: &[&'a str]) -> Vec<&'a str> {
    let mut segments = match scope {
        Scope::Organization(name) => vec!["orgs", name],
        Scope::Repository { owner, name } => vec!["repos", owner, name],
        Scope::Enterprise(name) => vec!["enterprises", name],
    };
    segments.extend_from_slice(path);
    segments
}
