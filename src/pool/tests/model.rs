//! Tests of `pool::model`, a file per source file.

mod decision;
mod evidence;
mod identity;
mod log_memory;
mod operation;
mod operation_lock;
mod pool_metadata;
mod registration;
mod remains;
mod remote_error;
mod runner_matching;
mod scaling;
mod task_definition;
mod text;
mod tick_record;
mod user_data;
