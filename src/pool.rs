//! The heart: what a pool is, what is seen of it, and what to do next.
//!
//! No async, no I/O, no clock, no randomness, no logging, and no name of anything outside this folder. In reading
//! order: the words ([`spec`], [`identity`], [`record`], [`task_definition`], [`observed`] with [`ec2`], [`refusal`]), the carrying
//! ([`continuation`]), the deciding ([`decision`], [`succession`], [`convergence`], [`retirement`], [`deletion`]), and what it comes
//! to ([`plan`] with its [`evidence`], [`report`], [`causes`], [`warnings`], [`user_data`]). Apart from all requests: [`survey`].

pub mod abandonment;
pub mod causes;
pub mod continuation;
pub mod convergence;
pub mod decision;
pub mod deletion;
pub mod ec2;
pub mod evidence;
pub mod identity;
pub mod log_memory;
pub mod observed;
pub mod pairing;
pub mod plan;
pub mod record;
pub mod refusal;
pub mod report;
pub mod retirement;
pub mod runner_log;
pub mod secret;
pub mod spec;
pub mod succession;
pub mod survey;
pub mod task_definition;
pub mod time;
pub mod user_data;
pub mod warnings;

#[cfg(test)]
mod tests;
