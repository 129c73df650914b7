//! `Custom::GitHubRunnerPool`: a CloudFormation custom resource that runs a pool of self-hosted GitHub Actions runners
//! on Amazon ECS on EC2, keeps running jobs alive through every update, and leaves nothing behind on Delete.
//!
//! # How it works
//!
//! A reconciler: observe what is, decide purely, apply, observe again.
//!
//! ```text
//! event -> handler -> reconcile: observe -> pool::policy::decide -> apply -> ... -> outcome -> response
//!                         |                        |                  |
//!                  the ports' reads         a pure function     the ports' writes
//! ```
//!
//! Three other events take the same path. When a runner's container asks for its registration,
//! [`reconcile::registration`] answers as [`pool::policy::registration`] decides. `{"Tick": {}}`, once a minute, starts
//! periodic work such as [`reconcile::sweep`]. `{"Listen": {}}` starts [`reconcile::listen`], which reads GitHub's
//! messages about the jobs of pools with `MaxRunners`, and starts and retires runners as [`pool::policy::demand`]
//! decides.
//!
//! # The modules, in reading order
//!
//! - [`pool::model`]: what a pool is, what is observed of it, what is remembered, what can be done. Values only.
//! - [`pool::policy`]: what to do next. Pure functions; [`pool::policy::decide`] is the entry point.
//! - [`reconcile`]: the loop around the policy, over one narrow trait per remote service ([`reconcile::ports`]).
//! - [`cloudformation`]: the protocol. Requests, properties, responses.
//! - [`handler`]: one invocation. Parse the event, run what it asks for under guards, respond.
//! - [`aws`] and [`github`]: the ports on the real services; [`http`] is the one client beneath them.
//! - [`clients`] assembles these; [`settings`] reads the environment; [`log`] writes the log lines, some of which are
//!   [`metrics`]; both include the [`version`].
//!
//! # Invariants
//!
//! - CloudFormation gets one response to each request, even after a panic and at Lambda's timeout.
//! - The physical id is known before the first write, and is the same on every delivery of a request.
//! - No task is stopped unless GitHub has deregistered its runner, except after the template's `DrainTimeout`.
//! - Nothing is written that does not carry the pool's tags; no runner is deleted without its label and its name.
//! - A pool with `MaxRunners` never has more tasks than that, and GitHub's messages are acknowledged after they were acted
//!   upon. Of two listeners one loses its lease and its writes.
//! - A task gets at most one registration, ever, and only its own. No container has a credential, unless the template
//!   says `RegisterBy: Container`.
//! - No credential, no registration and no response URL is in a log line, an error, an attribute or a `Debug`.
//! - No progress is stored. If an invocation is lost, delivering its event again ends in the same state. What is
//!   stored: which request works on a resource, and its response ([`pool::model::operation_lock`]); which task has had
//!   its registration ([`pool::model::registration`]); the goal of a pool with `MaxRunners` and the progress of its
//!   listener ([`pool::model::scaling`]); and when periodic work was last started ([`pool::model::tick_record`]).

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
pub mod version;
