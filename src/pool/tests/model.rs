//! Tests of `pool::model`, a file per source file.

mod decision;
mod evidence;
mod identity;
mod log_memory;
mod operation;
mod operation_lock;
mod pool_metadata;
mod remote_error;
mod runner_matching;
mod task_definition;
mod text;
mod user_data;
