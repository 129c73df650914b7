//! The model: the desired pool, what is observed of it, what a request remembers, and the steps that it can take.
//!
//! Values only. Each file depends only on files above it in this list.

pub mod attribute;
pub mod auto_scaling;
pub mod continuation;
pub mod decision;
pub mod ec2;
pub mod ecs;
pub mod evidence;
pub mod github_access;
pub mod identity;
pub mod log_memory;
pub mod memory;
pub mod observed;
pub mod operation;
pub mod operation_lock;
pub mod outcome;
pub mod pool_metadata;
pub mod registration;
pub mod remains;
pub mod remote_error;
pub mod request;
pub mod runner;
pub mod runner_log;
pub mod runner_matching;
pub mod scale_set;
pub mod scaling;
pub mod secret;
pub mod spec;
pub mod step;
pub mod task_definition;
pub mod text;
pub mod tick_record;
pub mod time;
pub mod user_data;
