//! The identity of a pool: its name in AWS and GitHub, and the tags that prove that a resource belongs to it.
//!
//! The physical id is the name of the Auto Scaling group, the capacity provider, the task family and the service, and
//! the label of the runners. It follows from the stack, the logical id and the properties that cannot change in
//! place, so it is known before the first effect and is the same on every delivery of a request.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::pool::model::spec::{Capacity, PoolSpec};

/// The prefix of every physical id. ECS rejects names that begin with `aws`, `ecs` or `fargate`, and the name of a
/// stack may begin with one of these.
pub const PREFIX: &str = "ghr";
/// Hexadecimal digits of the hash: 40 bits make a collision of two pools in one stack negligible.
const DIGITS: usize = 10;
/// Characters of the stack's name and of the logical id that the physical id keeps, each. With two of these, the prefix
/// and the digits, an id stays below 128 characters, which is readable and below the limits of a runner's label (256)
/// and of ECS names (255).
const PART_CHARS_MAX: usize = 48;

/// The tag of every resource with the pool's physical id.
pub const TAG_ID: &str = "github-runner-pool:id";
/// The tag of every resource with the stack's ARN.
pub const TAG_STACK_ID: &str = "github-runner-pool:stack-id";
/// The tag of every resource with the logical id.
pub const TAG_LOGICAL_ID: &str = "github-runner-pool:logical-id";
/// The tag of a task definition with the hash of its content.
pub const TAG_CONTENT: &str = "github-runner-pool:content";

/// A resource of a stack, which is how CloudFormation identifies a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StackResource {
    /// The stack's ARN.
    pub stack_id: String,
    /// The resource's name in its template.
    pub logical_id: String,
}

impl StackResource {
    /// The stack's name, out of its ARN `arn:…:stack/NAME/GUID`; the whole text where it is no ARN.
    #[must_use]
    pub fn stack_name(&self) -> &str {
        self.stack_id.split('/').nth(1).unwrap_or(&self.stack_id)
    }

    /// The stack's GUID, which no other stack of that name ever has; the whole text where it is no ARN.
    #[must_use]
    pub fn stack_guid(&self) -> &str {
        self.stack_id.split('/').nth(2).unwrap_or(&self.stack_id)
    }

    /// Whether a resource with these tags was made for this one.
    #[must_use]
    pub fn owns(&self, tags: &BTreeMap<String, String>) -> bool {
        tags.get(TAG_STACK_ID) == Some(&self.stack_id) && tags.get(TAG_LOGICAL_ID) == Some(&self.logical_id)
    }

    /// What every physical id of this resource begins with, digits left off.
    #[must_use]
    pub fn physical_id_prefix(&self) -> String {
        format!("{PREFIX}-{}-{}-", sanitize(self.stack_name()), sanitize(&self.logical_id))
    }
}

/// What GitHub does not change of a runner scale set that exists: its labels, and what it is found by.
fn scale_set_parts(spec: &PoolSpec) -> Vec<String> {
    let Some(job_scaling) = &spec.job_scaling else { return Vec::new() };
    let runner = &spec.runner;
    let mut labels: Vec<String> = runner.labels.iter().map(|label| label.to_lowercase()).collect();
    labels.sort_unstable();
    let mut parts = vec![
        "MaxRunners".to_owned(),
        job_scaling.scale_set_name.clone().unwrap_or_default(),
        runner.group.clone().unwrap_or_default(),
        runner.no_default_labels.to_string(),
    ];
    parts.extend(labels);
    parts
}

/// The cluster's name, whether a template gave the name or the ARN.
#[must_use]
pub fn cluster_name(cluster: &str) -> &str {
    cluster.rsplit('/').next().unwrap_or(cluster)
}

/// Keeps what ECS, Auto Scaling and a runner's label all accept.
fn sanitize(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(PART_CHARS_MAX).collect()
}

/// The pool's name: `ghr-<stack>-<logical id>-<10 hex>`, for example `ghr-ci-Runners-0a1b2c3d4e`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhysicalId(String);

/// The text is not a physical id of this function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not of the form ghr-STACK-LOGICALID-0123456789")]
pub struct InvalidPhysicalId;

impl PhysicalId {
    /// The id of the pool that `spec` describes, in `stack_resource`.
    ///
    /// Its digits hash what cannot change in place: the stack, the resource, the cluster, where the runners register,
    /// and whose capacity it is; with `MaxRunners` what GitHub does not change of a runner scale set, too. Specs that
    /// differ only in other properties have the same id, and are updated in place.
    #[must_use]
    pub fn of(stack_resource: &StackResource, spec: &PoolSpec) -> Self {
        let capacity = match &spec.capacity {
            Capacity::Own(_) => String::new(),
            Capacity::Existing(provider) => provider.clone(),
        };
        let mut hash = Sha256::new();
        for part in [
            stack_resource.stack_guid(),
            &stack_resource.logical_id,
            cluster_name(&spec.cluster),
            &spec.github.host.to_string(),
            &spec.github.scope.to_string().to_ascii_lowercase(),
            &capacity,
        ] {
            // The length precedes each part, so that different lists of parts never hash the same text.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        for part in scale_set_parts(spec) {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{}{}", stack_resource.physical_id_prefix(), digits.chars().take(DIGITS).collect::<String>()))
    }

    /// The id that CloudFormation sent, if it is one that this resource can have.
    #[must_use]
    pub fn parse_for(stack_resource: &StackResource, text: &str) -> Option<Self> {
        let id = Self::try_from(text.to_owned()).ok()?;
        (text.strip_prefix(&stack_resource.physical_id_prefix())? == id.hash()).then_some(id)
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ten digits.
    #[must_use]
    pub fn hash(&self) -> &str {
        self.0.rsplit('-').next().unwrap_or_default()
    }

    /// The prefix of the pool's runner names: the template's, and the pool's digits.
    #[must_use]
    pub fn runner_name_prefix(&self, spec: &PoolSpec) -> String {
        format!("{}-{}", spec.runner.name_prefix, self.hash())
    }

    /// The tags that prove a resource to be this pool's.
    #[must_use]
    pub fn ownership_tags(&self, stack_resource: &StackResource) -> BTreeMap<String, String> {
        BTreeMap::from([
            (TAG_ID.to_owned(), self.0.clone()),
            (TAG_STACK_ID.to_owned(), stack_resource.stack_id.clone()),
            (TAG_LOGICAL_ID.to_owned(), stack_resource.logical_id.clone()),
        ])
    }

    /// Whether a resource with these tags is this pool's.
    #[must_use]
    pub fn owns(&self, tags: &BTreeMap<String, String>) -> bool {
        tags.get(TAG_ID).is_some_and(|id| *id == self.0)
    }
}

impl TryFrom<String> for PhysicalId {
    type Error = InvalidPhysicalId;

    fn try_from(text: String) -> Result<Self, InvalidPhysicalId> {
        let mut parts = text.split('-');
        let begins = parts.next() == Some(PREFIX);
        let ends = parts
            .next_back()
            .is_some_and(|digits| digits.len() == DIGITS && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
        let sanitize = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if begins && ends && sanitize && parts.count() >= 2 { Ok(Self(text)) } else { Err(InvalidPhysicalId) }
    }
}

impl From<PhysicalId> for String {
    fn from(id: PhysicalId) -> Self {
        id.0
    }
}

impl fmt::Display for PhysicalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PhysicalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhysicalId({})", self.0)
    }
}
