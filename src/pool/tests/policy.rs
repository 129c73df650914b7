//! Tests of `pool::policy`, a file per source file.

mod capacity;
mod causes;
mod convergence;
mod decide;
mod deletion;
mod demand;
mod deployments;
mod infrastructure;
mod inventory;
mod job_rollout;
mod locking;
mod orphaned_pools;
mod outcome;
mod preconditions;
mod preview;
mod purchasing;
mod reasons;
mod registration;
mod retirement;
mod rollout;
mod runner_counts;
mod start_delay;
mod status;
mod task_protection;
mod warm_pool;
mod warnings;
