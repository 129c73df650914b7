//! What a Delete can still learn from properties, however broken.
//!
//! A Delete must end well with properties that are missing, of another shape or from another age of this resource, so
//! nothing in here fails: each part is read by itself, and what cannot be read is absent.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::runner_matching::RunnerMatcher;
use crate::pool::model::spec::{GitHubCredential, GitHubTarget, OnDrainTimeout, PoolSpec, WaitPolicy};

use super::problems::Problems;
use super::raw::Raw;
use super::runner::DEFAULT_PREFIX;
use super::stringly::Text;
use super::{github, service};

/// The readable part of some properties.
#[derive(Clone, PartialEq, Eq)]
pub struct Hints {
    /// The whole, if it is valid; its timeouts may exceed what CloudFormation waits.
    pub spec: Option<PoolSpec>,
    /// The cluster's name or ARN.
    pub cluster: Option<String>,
    /// Where the runners register.
    pub github: Option<GitHubTarget>,
    /// Who administers them.
    pub github_credential: Option<GitHubCredential>,
    /// `RunnerName`, which only a pool of one has.
    pub runner_name: Option<String>,
    /// `RunnerNamePrefix`, or its default.
    pub runner_name_prefix: String,
    /// The provider of somebody else.
    pub external_capacity_provider: Option<String>,
    /// Each wait and policy, or its default. Without a `Cluster` jobs are left alone, unless `OnDrainTimeout` says
    /// otherwise.
    pub wait_policy: WaitPolicy,
}

impl Hints {
    /// How to reach the pool of this id, where the properties tell cluster and target.
    #[must_use]
    pub fn metadata(&self, id: &PhysicalId) -> Option<PoolMetadata> {
        if let Some(spec) = &self.spec {
            return Some(PoolMetadata::of(id, spec));
        }
        Some(PoolMetadata {
            cluster: self.cluster.clone()?,
            github: self.github.clone()?,
            github_credential: self.github_credential.clone(),
            matcher: RunnerMatcher {
                label: id.as_str().to_owned(),
                pool_hash: id.hash().to_owned(),
                fixed_names: self.runner_name.iter().cloned().collect(),
            },
            external_capacity_provider: self.external_capacity_provider.clone(),
        })
    }
}

/// Reads what can be read. Never fails.
#[must_use]
pub fn hints(properties: &Value) -> Hints {
    let mut problems = Problems::default();
    let raw = Raw::read(properties, &mut problems);
    let spec = super::spec(&raw, &mut problems);
    let github = github::target(&raw, &mut problems);
    let github_credential = github::github_credential(&raw, github.as_ref(), &mut problems);
    let text = |field: Option<&Text>| field.map(|text| text.0.clone());
    let mut wait_policy = service::wait_policy(&raw);
    // These are no pool's properties, as those that other code had for the resource. What the pool's template says is not
    // known.
    if raw.cluster.get().is_none() && raw.on_drain_timeout.get().is_none() {
        wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    }
    Hints {
        spec,
        cluster: text(raw.cluster.get()),
        github_credential,
        github,
        runner_name: text(raw.runner_name.get()),
        runner_name_prefix: text(raw.runner_name_prefix.get()).unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
        external_capacity_provider: text(raw.capacity_provider.get()),
        wait_policy,
    }
}

/// The template's tags, as far as they can be read: an Update removes those of the old properties that are gone.
#[must_use]
pub fn user_tags(properties: &Value) -> BTreeMap<String, String> {
    service::readable_tags(&Raw::read(properties, &mut Problems::default()))
}
