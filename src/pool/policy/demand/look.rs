//! One observation of a pool, with its goal and its jobs: everything is decided on it.

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::observed::Observed;
use crate::pool::model::scale_set::JobStatistics;
use crate::pool::model::scaling::ScalingGoal;
use crate::pool::model::time::DecisionTime;

/// One observation of a pool, what is wanted of it, and what GitHub says of its jobs.
#[derive(Clone, Copy, Debug)]
pub struct Look<'look> {
    /// The pool.
    pub id: &'look PhysicalId,
    /// What the newest request wants of it.
    pub goal: &'look ScalingGoal,
    /// What GitHub says of its jobs.
    pub statistics: &'look JobStatistics,
    /// Its tasks, and what was asked of GitHub.
    pub observed: &'look Observed,
    /// When.
    pub at: DecisionTime,
}

pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
