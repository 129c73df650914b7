//! The facts about a pool that a Delete needs when its properties are missing or invalid.
//!
//! A Delete must succeed with properties that are missing, null or nonsense. Names are never secret, so each task
//! definition carries this record as a Docker label, and a Delete reads it back from the newest revision.

use serde::{Deserialize, Serialize};

use crate::pool::model::github_access::GitHubAccess;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::registration::RegistrationSettings;
use crate::pool::model::runner_matching::RunnerMatcher;
use crate::pool::model::scale_set::ScaleSetRequest;
use crate::pool::model::spec::{Capacity, GitHubCredential, GitHubTarget, PoolSpec};

/// The format of the label. Raised with every change that an older version of the function cannot read.
const FORMAT: u16 = 1;

/// The label's JSON.
#[derive(Serialize, Deserialize)]
struct MetadataLabel {
    format: u16,
    #[serde(flatten)]
    metadata: PoolMetadata,
}

/// How to find every resource of a pool: names and locations, never the values of secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolMetadata {
    /// The cluster's name or ARN.
    pub cluster: String,
    /// Where its runners register.
    pub github: GitHubTarget,
    /// The credential that administers them.
    pub github_credential: Option<GitHubCredential>,
    /// How they are recognized.
    pub matcher: RunnerMatcher,
    /// What the function registers them with; `None` where their containers do.
    pub registration: Option<RegistrationSettings>,
    /// The capacity provider of another owner that it runs on; `None` for one of its own.
    pub external_capacity_provider: Option<String>,
    /// The runner scale set of a pool that has as many runners as jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_set: Option<ScaleSetRequest>,
}

impl PoolMetadata {
    /// The same pool with another access to GitHub.
    #[must_use]
    pub fn with_github_access(self, access: GitHubAccess) -> Self {
        Self { github: access.github, github_credential: Some(access.github_credential), ..self }
    }

    /// How this pool reaches GitHub, if it has a credential.
    #[must_use]
    pub fn github_access(&self) -> Option<GitHubAccess> {
        Some(GitHubAccess { github: self.github.clone(), github_credential: self.github_credential.clone()? })
    }

    /// The record of the pool that `spec` describes.
    #[must_use]
    pub fn of(id: &PhysicalId, spec: &PoolSpec) -> Self {
        Self {
            cluster: spec.cluster.clone(),
            github: spec.github.clone(),
            github_credential: spec.credentials.github_credential.clone(),
            matcher: RunnerMatcher::of(id, spec),
            registration: RegistrationSettings::of(id, spec),
            external_capacity_provider: match &spec.capacity {
                Capacity::Own(_) => None,
                Capacity::Existing(name) => Some(name.clone()),
            },
            scale_set: ScaleSetRequest::of(id, spec),
        }
    }

    /// The text of the Docker label that holds it.
    #[must_use]
    pub fn to_label(&self) -> String {
        let label = MetadataLabel { format: FORMAT, metadata: self.clone() };
        // Strings and enums: nothing in here can fail to serialize.
        serde_json::to_string(&label).unwrap_or_default()
    }

    /// Reads a label back; `None` if this version of the function did not write it, or an older one.
    #[must_use]
    pub fn from_label(text: &str) -> Option<Self> {
        let label: MetadataLabel = serde_json::from_str(text).ok()?;
        (label.format <= FORMAT).then_some(label.metadata)
    }
}
