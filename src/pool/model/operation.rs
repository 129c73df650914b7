//! The intent of one request: what it asks for, of which pool, and by when.
//!
//! No step counter and no cached state. Losing an operation and delivering its event again ends in the same place, only
//! later: whatever can be observed again is observed again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::pool::model::evidence::DeletionEvidence;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation_lock::{CONTENT_DIGITS, LockPurpose, OperationLock};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::request::{RequestInfo, RequestType};
use crate::pool::model::spec::{PoolSpec, WaitPolicy};
use crate::pool::model::task_definition::TaskDefinitionContent;
use crate::pool::model::time::Timestamp;

/// Invocations of one request. An hour is five of fourteen minutes; Lambda's loop detection, should it be on, ends a
/// chain at about sixteen.
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>
pub const CONTINUATIONS_MAX: u32 = 10;

/// A request on its way to a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Who asked, and where the response goes.
    pub request: RequestInfo,
    /// The pool.
    pub id: PhysicalId,
    /// The goal.
    pub goal: Goal,
    /// When CloudFormation signed the request, from which `ServiceTimeout` is counted.
    pub signed_at: Timestamp,
    /// The latest time at which to start sending a response.
    pub respond_by: Timestamp,
    /// The number of continuations.
    pub continuation_count: u32,
}

/// The goal of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Create and Update: converge to the template.
    Converge(Box<ConvergeGoal>),
    /// Delete: remove the pool.
    Delete(Box<DeleteGoal>),
}

/// The goal of a Create or an Update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvergeGoal {
    /// The desired pool.
    pub spec: PoolSpec,
    /// Keys of tags that the template had before this request, so that those it dropped can be removed.
    pub previous_tags: BTreeSet<String>,
    /// The previous `RunnerName`: a runner with that name may still have a job.
    pub previous_runner_name: Option<String>,
    /// Whether GitHub is asked, before anything is changed, if it would let runners register: on Create, and on an
    /// Update that touches credentials or the runner group.
    pub preflight: Preflight,
    /// Whether the request changes the pool.
    #[serde(default)]
    pub change: SpecChange,
    /// The pool that the properties before this request describe, where the physical id names the one that they ask for
    /// now: that of a replacement which was cancelled in favour of this one.
    #[serde(default)]
    pub previous_pool: Option<PreviousPool>,
}

/// A pool that `OldResourceProperties` describe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousPool {
    /// Its id.
    pub id: PhysicalId,
    /// How to reach it.
    pub metadata: Option<PoolMetadata>,
    /// How long to wait for its runners.
    pub wait_policy: WaitPolicy,
}

/// Whether a request changes the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpecChange {
    /// It does: every Create, and an Update that changes more than timeouts.
    #[default]
    Changed,
    /// The same pool.
    Unchanged,
}

/// Whether to test the permission at GitHub first. The test is a write, so an unchanged pool skips it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preflight {
    /// Ask.
    Run,
    /// Skip the test: the pool already works with this credential.
    Skip,
}

/// The goal of a Delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteGoal {
    /// Why the pool may be taken down.
    pub evidence: DeletionEvidence,
    /// How to reach the pool, if the properties say so; otherwise its task definition does.
    pub metadata: Option<PoolMetadata>,
    /// How long to wait, and what to do then.
    pub wait_policy: WaitPolicy,
    /// The physical id that CloudFormation sent, and hears again, where it is not the pool's.
    #[serde(default)]
    pub requested_id: Option<String>,
    /// What is to be responded to of the pool that stays, where this one is the rest of a cancelled replacement.
    #[serde(default)]
    pub surviving_outcome: Option<Outcome>,
    /// The warnings about the pools that were deleted before this one.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The pools that were deleted before this one. Their own failed Deletes may have left locks.
    #[serde(default)]
    pub deleted_pools: Vec<PhysicalId>,
}

impl DeleteGoal {
    /// The Delete of one pool alone.
    #[must_use]
    pub const fn single_pool(
        evidence: DeletionEvidence,
        metadata: Option<PoolMetadata>,
        wait_policy: WaitPolicy,
        requested_id: Option<String>,
    ) -> Self {
        Self {
            evidence,
            metadata,
            wait_policy,
            requested_id,
            surviving_outcome: None,
            notes: Vec::new(),
            deleted_pools: Vec::new(),
        }
    }
}

impl Operation {
    /// How to reach the pool: by the template, by the metadata in its task definition, or by what was recorded before that
    /// was deleted.
    #[must_use]
    pub fn metadata(&self, memory: &Memory, observed: &Observed) -> Option<PoolMetadata> {
        match &self.goal {
            Goal::Converge(goal) => {
                let mut metadata = PoolMetadata::of(&self.id, &goal.spec);
                metadata.matcher.fixed_names.extend(goal.previous_runner_name.clone());
                Some(metadata)
            }
            // Its metadata says what was built, whatever has become of the template since; only what leads to
            // GitHub may have another name by now.
            Goal::Delete(goal) => {
                let metadata = self
                    .deployed_metadata(observed)
                    .or_else(|| memory.metadata.clone())
                    .or_else(|| observed.remains.clone())
                    .or_else(|| goal.metadata.clone())?;
                Some(match memory.github_access.clone() {
                    Some(github_access) => metadata.with_github_access(github_access),
                    None => metadata,
                })
            }
        }
    }

    fn deployed_metadata(&self, observed: &Observed) -> Option<PoolMetadata> {
        let newest = observed.task_definition.as_ref().filter(|revision| self.id.owns(&revision.tags))?;
        PoolMetadata::from_label(newest.metadata.as_deref()?)
    }

    /// The physical id to respond with.
    #[must_use]
    pub fn response_physical_id(&self) -> &str {
        match &self.goal {
            Goal::Converge(_) => self.id.as_str(),
            Goal::Delete(goal) => goal.requested_id.as_deref().unwrap_or(self.id.as_str()),
        }
    }

    /// The pool that the stack holds while this one is worked on: another one where this is no one's any more.
    #[must_use]
    pub fn current_pool(&self) -> &str {
        let Goal::Delete(goal) = &self.goal else { return self.id.as_str() };
        goal.surviving_outcome.as_ref().and(goal.requested_id.as_deref()).unwrap_or(self.id.as_str())
    }

    /// How long to wait, and what to do then.
    #[must_use]
    pub fn wait_policy(&self) -> &WaitPolicy {
        match &self.goal {
            Goal::Converge(goal) => &goal.spec.wait_policy,
            Goal::Delete(goal) => &goal.wait_policy,
        }
    }

    /// The lock of this invocation, written over the one that was found.
    #[must_use]
    pub fn lock(&self, previous: Option<&OperationLock>) -> OperationLock {
        let purpose = match self.goal {
            Goal::Converge(_) => LockPurpose::Converge,
            Goal::Delete(_) => LockPurpose::Delete,
        };
        OperationLock {
            is_of_create: self.is_of_create(),
            covers_resource: self.covers_resource(),
            live_pool: previous.and_then(|previous| previous.live_pool.clone()),
            content: self.desired_content(),
            live_content: previous.and_then(|previous| previous.live_content.clone()),
            continuation_count: self.continuation_count,
            ..OperationLock::new(&self.request, self.current_pool(), self.signed_at, purpose)
        }
    }

    /// Whether a Delete takes down every pool of the resource.
    #[must_use]
    pub fn covers_resource(&self) -> bool {
        matches!(&self.goal, Goal::Delete(goal) if goal.evidence.covers_resource())
    }

    fn is_of_create(&self) -> bool {
        match &self.goal {
            Goal::Converge(_) => self.request.request_type == RequestType::Create,
            Goal::Delete(goal) => goal.evidence.is_unanswered_create(),
        }
    }

    /// The beginning of the fingerprint of the task definition that the request wants.
    fn desired_content(&self) -> Option<String> {
        let Goal::Converge(goal) = &self.goal else { return None };
        let fingerprint = TaskDefinitionContent::of(&self.id, &goal.spec).fingerprint();
        Some(fingerprint.chars().take(CONTENT_DIGITS).collect())
    }
}
