//! What a Delete can still learn from properties, however broken.
//!
//! A Delete must end well with properties that are missing, of another shape or from another age of this resource, so
//! nothing in here fails: each part is read by itself, and what cannot be read is absent.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::pool::identity::{PhysicalId, RunnerMark};
use crate::pool::record::PoolRecord;
use crate::pool::spec::{Administrator, GitHubTarget, Manners, PoolSpec};

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
    pub administrator: Option<Administrator>,
    /// `RunnerName`, which only a pool of one has.
    pub runner_name: Option<String>,
    /// `RunnerNamePrefix`, or its default.
    pub runner_name_prefix: String,
    /// The provider of somebody else.
    pub named_provider: Option<String>,
    /// Each wait and policy, or its default.
    pub manners: Manners,
}

impl Hints {
    /// How to reach the pool of this id, where the properties tell cluster and target.
    #[must_use]
    pub fn record(&self, id: &PhysicalId) -> Option<PoolRecord> {
        if let Some(spec) = &self.spec {
            return Some(PoolRecord::of(id, spec));
        }
        Some(PoolRecord {
            cluster: self.cluster.clone()?,
            github: self.github.clone()?,
            administrator: self.administrator.clone(),
            mark: RunnerMark {
                label: id.as_str().to_owned(),
                digits: id.digits().to_owned(),
                fixed_names: self.runner_name.iter().cloned().collect(),
            },
            named_provider: self.named_provider.clone(),
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
    let administrator = github::administrator(&raw, github.as_ref(), &mut problems);
    let text = |field: Option<&Text>| field.map(|text| text.0.clone());
    Hints {
        spec,
        cluster: text(raw.cluster.get()),
        administrator,
        github,
        runner_name: text(raw.runner_name.get()),
        runner_name_prefix: text(raw.runner_name_prefix.get()).unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
        named_provider: text(raw.capacity_provider.get()),
        manners: service::manners(&raw),
    }
}

/// The template's tags, as far as they can be read: an Update removes those of the old properties that are gone.
#[must_use]
pub fn user_tags(properties: &Value) -> BTreeMap<String, String> {
    service::readable_tags(&Raw::read(properties, &mut Problems::default()))
}
