//! Who a pool is: its name everywhere, and what proves that a thing belongs to it.
//!
//! The physical id is the name of the Auto Scaling group, the capacity provider, the task family and the service, and
//! the label of the runners. It follows from the stack, the logical id and the properties that cannot change in
//! place, so it is known before the first effect and is the same on every delivery of a request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::observed::{Runner, SHORT_ID_DIGITS};
use super::spec::{Capacity, PoolSpec};

/// Every physical id of ours begins so. ECS refuses names that begin with `aws`, `ecs` or `fargate`, and a stack may
/// well be called that.
pub const PREFIX: &str = "ghr";
/// Digits of the hash: 40 bits, enough that two pools of one stack never meet.
const DIGITS: usize = 10;
/// Characters of the stack's name and of the logical id that the physical id keeps, each. Two of these, the prefix and
/// the digits stay below 128: a runner's label may have 256 characters, an ECS name 255, and a person reads it.
const PART_CHARS_MAX: usize = 48;

/// On everything of ours: the pool's physical id.
pub const TAG_ID: &str = "github-runner-pool:id";
/// On everything of ours: the stack's ARN.
pub const TAG_STACK_ID: &str = "github-runner-pool:stack-id";
/// On everything of ours: the resource's name in its template.
pub const TAG_LOGICAL_ID: &str = "github-runner-pool:logical-id";
/// On a task definition: the hash of its content.
pub const TAG_CONTENT: &str = "github-runner-pool:content";

/// Which resource of which stack: what CloudFormation itself knows a pool by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The stack's ARN.
    pub stack_id: String,
    /// The resource's name in its template.
    pub logical_id: String,
}

impl Origin {
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
    pub fn made(&self, tags: &BTreeMap<String, String>) -> bool {
        tags.get(TAG_STACK_ID) == Some(&self.stack_id) && tags.get(TAG_LOGICAL_ID) == Some(&self.logical_id)
    }

    /// What every physical id of this resource begins with, digits left off.
    #[must_use]
    pub fn id_stem(&self) -> String {
        format!("{PREFIX}-{}-{}-", nameable(self.stack_name()), nameable(&self.logical_id))
    }
}

/// The cluster's name, whether a template gave the name or the ARN.
#[must_use]
pub fn cluster_name(cluster: &str) -> &str {
    cluster.rsplit('/').next().unwrap_or(cluster)
}

/// Keeps what ECS, Auto Scaling and a runner's label all accept.
fn nameable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(PART_CHARS_MAX).collect()
}

/// The pool's name: `ghr-<stack>-<logical id>-<10 hex>`, for example `ghr-ci-Runners-0a1b2c3d4e`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhysicalId(String);

/// A text that is no physical id of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not of the form ghr-STACK-LOGICALID-0123456789")]
pub struct NotOurs;

impl PhysicalId {
    /// The id of the pool that `spec` describes, in `origin`.
    ///
    /// Its digits hash what cannot change in place: the stack, the resource, the cluster, where the runners register,
    /// and whose capacity it is. Two specs that differ elsewhere only have the same id and are updated in place.
    #[must_use]
    pub fn of(origin: &Origin, spec: &PoolSpec) -> Self {
        let capacity = match &spec.capacity {
            Capacity::Own(_) => String::new(),
            Capacity::Named(provider) => provider.clone(),
        };
        let mut hash = Sha256::new();
        for part in [
            origin.stack_guid(),
            &origin.logical_id,
            cluster_name(&spec.cluster),
            &spec.github.host.to_string(),
            &spec.github.scope.to_string().to_ascii_lowercase(),
            &capacity,
        ] {
            // Length first, so that no two different lists of parts read the same.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{}{}", origin.id_stem(), digits.chars().take(DIGITS).collect::<String>()))
    }

    /// The id that CloudFormation sent, if it is one that this resource can have.
    #[must_use]
    pub fn sent(origin: &Origin, text: &str) -> Option<Self> {
        let id = Self::try_from(text.to_owned()).ok()?;
        (text.strip_prefix(&origin.id_stem())? == id.digits()).then_some(id)
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ten digits.
    #[must_use]
    pub fn digits(&self) -> &str {
        self.0.rsplit('-').next().unwrap_or_default()
    }

    /// The prefix of the pool's runner names: the template's, and the pool's digits.
    #[must_use]
    pub fn runner_name_prefix(&self, spec: &PoolSpec) -> String {
        format!("{}-{}", spec.runner.name_prefix, self.digits())
    }

    /// The tags that prove a resource to be this pool's.
    #[must_use]
    pub fn ownership_tags(&self, origin: &Origin) -> BTreeMap<String, String> {
        BTreeMap::from([
            (TAG_ID.to_owned(), self.0.clone()),
            (TAG_STACK_ID.to_owned(), origin.stack_id.clone()),
            (TAG_LOGICAL_ID.to_owned(), origin.logical_id.clone()),
        ])
    }

    /// Whether a resource with these tags is this pool's.
    #[must_use]
    pub fn owns(&self, tags: &BTreeMap<String, String>) -> bool {
        tags.get(TAG_ID).is_some_and(|id| *id == self.0)
    }
}

impl TryFrom<String> for PhysicalId {
    type Error = NotOurs;

    fn try_from(text: String) -> Result<Self, NotOurs> {
        let mut parts = text.split('-');
        let begins = parts.next() == Some(PREFIX);
        let ends = parts
            .next_back()
            .is_some_and(|digits| digits.len() == DIGITS && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
        let nameable = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if begins && ends && nameable && parts.count() >= 2 { Ok(Self(text)) } else { Err(NotOurs) }
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

/// How this pool's runners are told from everybody else's: by label **and** by name.
///
/// A name is the pool's if it ends in the pool's digits and a container's short id, whatever stands before: the
/// template's prefix may change in place while runners of the old one still work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerMark {
    /// The pool's own label, which is its physical id.
    pub label: String,
    /// The ten digits that stand before the container's in a runner's name.
    pub digits: String,
    /// Names that the template gives, or gave, by `RunnerName`.
    pub fixed_names: BTreeSet<String>,
}

impl RunnerMark {
    /// The mark of the runners that `spec` asks for.
    #[must_use]
    pub fn of(id: &PhysicalId, spec: &PoolSpec) -> Self {
        Self {
            label: id.as_str().to_owned(),
            digits: id.digits().to_owned(),
            fixed_names: spec.runner.name.iter().cloned().collect(),
        }
    }

    /// Whether this runner is the pool's.
    #[must_use]
    pub fn owns(&self, runner: &Runner) -> bool {
        self.labels(runner) && (self.fixed_names.contains(&runner.name) || self.short_id(&runner.name).is_some())
    }

    /// Whether this runner carries the pool's label. Case is ignored, as GitHub does.
    #[must_use]
    pub fn labels(&self, runner: &Runner) -> bool {
        runner.labels.iter().any(|label| label.eq_ignore_ascii_case(&self.label))
    }

    /// The digits with which a runner's name leads to its task; `None` for a fixed name or a foreign one.
    #[must_use]
    pub fn short_id<'name>(&self, name: &'name str) -> Option<&'name str> {
        let (before, short_id) = name.rsplit_once('-')?;
        let (_, digits) = before.rsplit_once('-')?;
        let is_short_id = short_id.len() == SHORT_ID_DIGITS && short_id.chars().all(|c| c.is_ascii_hexdigit());
        (digits == self.digits && is_short_id).then_some(short_id)
    }

    /// What tells one runner from another of the pool: its short id, or its fixed name.
    #[must_use]
    pub fn key<'name>(&self, name: &'name str) -> &'name str {
        self.short_id(name).unwrap_or(name)
    }
}
