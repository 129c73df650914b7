//! Decodes properties: first each by itself, then part by part what they mean together.
//!
//! A Create or an Update needs all of them to be valid. A Delete must succeed with properties that are missing, malformed or
//! from an older version of the resource, and takes what is valid. Both read the same [`DecodedProperties`].

mod capacity;
mod github;
mod runner;
pub(super) mod scaling;
mod task;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::given::Given;
use super::objects::tags_unvalidated;
use super::problems::Problems;
use super::table::capacity::{CAPACITY_PROVIDER, CLUSTER};
use super::table::runner::RUNNER_NAME;
use super::table::scaling::{DESIRED_COUNT, DISTINCT_INSTANCES, MIN_RUNNERS, ON_DRAIN_TIMEOUT, TAGS};
use super::table::{ROWS, property_names};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::runner_matching::RunnerMatcher;
use crate::pool::model::spec::{GitHubCredential, GitHubTarget, OnDrainTimeout, PoolSpec, WaitPolicy};

/// The properties of one request, as far as they are valid, and everything that is invalid.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodedProperties {
    /// `RunnerName`.
    pub runner_name: Option<String>,
    /// The timeouts and failure policies, each with its default if it is missing or invalid. Without a `Cluster`,
    /// `OnDrainTimeout` defaults to `Fail`.
    pub wait_policy: WaitPolicy,
    /// `Tags`, also those that AWS would reject: an Update removes those that the new properties do not have.
    pub tags: BTreeMap<String, String>,
    cluster: Option<String>,
    github: Option<GitHubTarget>,
    github_credential: Option<GitHubCredential>,
    capacity_provider: Option<String>,
    spec: Option<PoolSpec>,
    problems: Problems,
}

/// Decodes properties; total. CloudFormation waits for `service_timeout`.
#[must_use]
pub fn decode(properties: &Value, service_timeout: Duration) -> DecodedProperties {
    let mut problems = Problems::default();
    let given = Given::properties(properties, &ROWS, &mut problems);
    let spec = spec(&given, &mut problems);
    let mut wait_policy = scaling::wait_policy(&given);
    scaling::check_timeouts(&wait_policy, service_timeout, &mut problems);
    problems.sort_by_property(property_names());
    // What is invalid in these is a problem already.
    let mut ignored = Problems::default();
    let github = github::target(&given, &mut ignored);
    let cluster = given.text_unvalidated(&CLUSTER);
    // These are not a pool's properties: other code may have served the resource before. What the pool's template
    // specifies is unknown, so a Delete cancels no job.
    if cluster.is_none() && given.json(&ON_DRAIN_TIMEOUT).is_none() {
        wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    }
    DecodedProperties {
        runner_name: given.text_unvalidated(&RUNNER_NAME),
        wait_policy,
        tags: given.json(&TAGS).map(tags_unvalidated).unwrap_or_default(),
        cluster,
        github_credential: github::github_credential(&given, github.as_ref(), &mut ignored),
        github,
        capacity_provider: given.text_unvalidated(&CAPACITY_PROVIDER),
        spec,
        problems,
    }
}

impl DecodedProperties {
    /// The pool that a Create or an Update is to make.
    ///
    /// # Errors
    /// Everything that is invalid, in the order of [`property_names`].
    pub fn spec(&self) -> Result<&PoolSpec, &Problems> {
        self.spec.as_ref().filter(|_| self.problems.is_empty()).ok_or(&self.problems)
    }

    /// The pool that these properties described when they were deployed, whatever the `ServiceTimeout` of today.
    #[must_use]
    pub fn deployed_spec(&self) -> Option<&PoolSpec> {
        self.spec.as_ref()
    }

    /// How to reach the pool with this id, if cluster and target are known.
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
            registration: None,
            external_capacity_provider: self.capacity_provider.clone(),
            scale_set: None,
        })
    }
}

/// The spec, whatever CloudFormation's timeout; `None` if anything is invalid.
fn spec(given: &Given<'_>, problems: &mut Problems) -> Option<PoolSpec> {
    let github = github::target(given, problems);
    let credentials = github::credentials(given, github.as_ref(), problems);
    let job_scaling = scaling::job_scaling(given, problems);
    let mut runner = runner::runner(given, problems);
    runner.ephemeral |= job_scaling.is_some();
    let task = task::task(given, problems);
    let cluster = capacity::cluster(given, problems);
    let capacity = capacity::capacity(given, problems);
    let spec = PoolSpec {
        github: github?,
        credentials: credentials?,
        runner,
        task,
        cluster: cluster?,
        capacity: capacity?,
        desired_count: match job_scaling {
            Some(_) => given.get_or_default(&MIN_RUNNERS),
            None => given.get_or_default(&DESIRED_COUNT),
        },
        job_scaling,
        distinct_instances: given.get_or_default(&DISTINCT_INSTANCES),
        wait_policy: scaling::wait_policy(given),
        tags: given.get(&TAGS).unwrap_or_default(),
    };
    problems.is_empty().then_some(spec)
}
