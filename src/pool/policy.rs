//! The policy: pure functions over the model, without async, I/O, clock, randomness or logging.
//!
//! Each file depends only on the model and on files above it in this list; [`decide`] is the entry point.

pub mod capacity;
pub mod causes;
pub mod convergence;
pub mod decide;
pub mod deletion;
pub mod demand;
pub mod deployments;
pub mod infrastructure;
pub mod inventory;
pub mod job_rollout;
pub mod locking;
pub mod online_wait;
pub mod orphaned_pools;
pub mod outcome;
pub mod preconditions;
pub mod preview;
pub mod purchasing;
pub mod reasons;
pub mod registration;
pub mod retirement;
pub mod rollout;
pub mod runner_counts;
pub mod start_delay;
pub mod status;
pub mod task_protection;
pub mod warm_pool;
pub mod warnings;
