//! The pool whose runners are retired, and how long to wait for their jobs.

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::operation::Operation;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::spec::WaitPolicy;

/// The pool whose runners are retired, and how long to wait for their jobs.
#[derive(Clone, Copy, Debug)]
pub struct Drain<'pool> {
    /// The pool.
    pub id: &'pool PhysicalId,
    /// The matcher of its runners.
    pub metadata: &'pool PoolMetadata,
    /// The timeouts of the retirement.
    pub wait_policy: &'pool WaitPolicy,
    /// Whether the wait has a limit.
    pub limit: DrainLimit,
}

/// The limit of the wait for running jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainLimit {
    /// `DrainTimeout`, after which `OnDrainTimeout` applies.
    DrainTimeout,
    /// No limit: no request waits, and every job runs to its end.
    None,
}

impl<'pool> Drain<'pool> {
    /// The drain of a request.
    #[must_use]
    pub fn of(operation: &'pool Operation, metadata: &'pool PoolMetadata) -> Self {
        Self { id: &operation.id, metadata, wait_policy: operation.wait_policy(), limit: DrainLimit::DrainTimeout }
    }
}
