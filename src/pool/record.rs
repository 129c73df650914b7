//! What a Delete has to know of a pool when its template no longer tells.
//!
//! A Delete must succeed with properties that are missing, null or nonsense. Names are never secret, so each task
//! definition carries this record as a Docker label, and a Delete reads it back from the newest revision.

use serde::{Deserialize, Serialize};

use super::identity::{PhysicalId, RunnerMark};
use super::spec::{Administrator, Capacity, GitHubTarget, PoolSpec};

/// How to reach everything of a pool: names and places, no values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// The cluster's name or ARN.
    pub cluster: String,
    /// Where its runners register.
    pub github: GitHubTarget,
    /// What lets us administer them.
    pub administrator: Option<Administrator>,
    /// How they are recognized.
    pub mark: RunnerMark,
    /// The capacity provider of somebody else that it runs on; `None` for one of its own.
    pub named_provider: Option<String>,
}

/// How GitHub is reached: where, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Where runners register.
    pub github: GitHubTarget,
    /// What lets us administer them.
    pub administrator: Administrator,
}

impl Reach {
    /// The record of the same pool, with this way to GitHub.
    #[must_use]
    pub fn of(self, record: PoolRecord) -> PoolRecord {
        PoolRecord { github: self.github, administrator: Some(self.administrator), ..record }
    }

    /// Another way to GitHub than that of `record`, if it is one.
    #[must_use]
    pub fn beside(self, record: &PoolRecord) -> Option<Self> {
        let is_other = self.github != record.github || Some(&self.administrator) != record.administrator.as_ref();
        is_other.then_some(self)
    }
}

impl PoolRecord {
    /// How this pool reaches GitHub, if it has a credential.
    #[must_use]
    pub fn reach(&self) -> Option<Reach> {
        Some(Reach { github: self.github.clone(), administrator: self.administrator.clone()? })
    }

    /// The record of the pool that `spec` describes.
    #[must_use]
    pub fn of(id: &PhysicalId, spec: &PoolSpec) -> Self {
        Self {
            cluster: spec.cluster.clone(),
            github: spec.github.clone(),
            administrator: spec.credentials.administrator.clone(),
            mark: RunnerMark::of(id, spec),
            named_provider: match &spec.capacity {
                Capacity::Own(_) => None,
                Capacity::Named(name) => Some(name.clone()),
            },
        }
    }

    /// The record as a label's text.
    #[must_use]
    pub fn to_label(&self) -> String {
        // Plain strings and enums: nothing in here can fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a label back; `None` if it is none of ours.
    #[must_use]
    pub fn from_label(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
