//! Whose runners leave, and how long they are waited for.

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::operation::Operation;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::spec::WaitPolicy;

/// Of which pool runners leave, and how long they are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Drain<'pool> {
    /// The pool.
    pub id: &'pool PhysicalId,
    /// How its runners are recognized.
    pub metadata: &'pool PoolMetadata,
    /// How long a runner is watched, and waited for.
    pub wait_policy: &'pool WaitPolicy,
    /// Whether the wait has an end.
    pub limit: DrainLimit,
}

/// Whether there is an end to the wait for running jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainLimit {
    /// `DrainTimeout`, and what `OnDrainTimeout` says of it.
    DrainTimeout,
    /// None: no one waits for it, and every job ends by itself.
    None,
}

impl<'pool> Drain<'pool> {
    /// The drain of a request.
    #[must_use]
    pub fn of(operation: &'pool Operation, metadata: &'pool PoolMetadata) -> Self {
        Self { id: &operation.id, metadata, wait_policy: operation.wait_policy(), limit: DrainLimit::DrainTimeout }
    }
}
