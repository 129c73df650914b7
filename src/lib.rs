//! `Custom::GitHubRunnerPool`: a CloudFormation custom resource that runs a pool of self-hosted GitHub Actions runners
//! on Amazon ECS on EC2, keeps running jobs alive through every update, and leaves nothing behind on Delete.
//!
//! # How it works
//!
//! A reconciler: read what is, decide purely, apply, look again.
//!
//! ```text
//! event -> handler -> reconcile: observe -> pool::decision::decide -> apply -> ... -> outcome -> answer
//!                         |                        |                   |
//!                  the ports' reads          a pure function      the ports' writes
//! ```
//!
//! # The modules, in reading order
//!
//! - [`pool`], the heart: what a pool is, what is seen of it, what to do next. Values and pure functions.
//! - [`reconcile`], the loop around it, over one narrow trait per remote ([`reconcile::ports`]).
//! - [`cloudformation`], the protocol: requests, properties, answers.
//! - [`handler`], one invocation: decode, guard, reconcile, answer.
//! - [`aws`] and [`github`], the ports on the real remotes; [`http`], the one client beneath them.
//! - [`clients`] puts these together; [`settings`] reads the environment; [`log`] writes lines, some
//!   of them [`metrics`].
//!
//! # What holds everywhere
//!
//! - Whoever waits gets one answer, also after a panic and at the end of Lambda's time.
//! - The physical id is known before the first effect, and is the same on every delivery of a request.
//! - Nothing is stopped that GitHub did not let go, save after the template's own `DrainTimeout`.
//! - Nothing is written that does not carry the pool's tags; no runner is touched without its label and its name.
//! - No credential and no response URL is in a log line, an error, an attribute or a `Debug`.
//! - **Absent on purpose:** no stored progress. Losing all that an invocation knew and delivering its event again ends
//!   in the same place. What is stored is who works and what was answered ([`pool::succession`]).

// The SDK's futures nest deeper than the default allows a layout to be computed.
#![recursion_limit = "256"]

pub mod aws;
pub mod clients;
pub mod cloudformation;
pub mod github;
pub mod handler;
pub mod http;
pub mod log;
pub mod metrics;
pub mod pool;
pub mod reconcile;
pub mod settings;
