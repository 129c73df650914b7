//! The heart: what a pool is, what is seen of it, and what to do next.

pub mod evidence;
pub mod identity;
pub mod observed;
pub mod plan;
pub mod record;
pub mod refusal;
pub mod secret;
pub mod spec;
pub mod task_definition;
pub mod time;
