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
//! A second way through the same modules: a runner's container asks for its registration, and
//! [`reconcile::registration`] answers what [`pool::policy::registration`] decides. `{"Tick": {}}`, once a minute,
//! begins what is due without a request, such as [`reconcile::sweep`]. A third: [`reconcile::listen`] reads GitHub's
//! messages about the jobs of pools with `MaxRunners`, and starts and retires runners as [`pool::policy::demand`] decides.
//!
//! # The modules, in reading order
//!
//! - [`pool::model`]: what a pool is, what is observed of it, what is remembered, what can be done. Values only.
//! - [`pool::policy`]: what to do next. Pure functions; [`pool::policy::decide`] is the way in.
//! - [`reconcile`]: the loop around it, over one narrow trait per remote ([`reconcile::ports`]).
//! - [`cloudformation`]: the protocol. Requests, properties, responses.
//! - [`handler`]: one invocation. Parse the event, run what it asks for under guards, respond.
//! - [`aws`] and [`github`]: the ports on the real services; [`http`] is the one client beneath them.
//! - [`clients`] puts these together; [`settings`] reads the environment; [`log`] writes lines, some of them
//!   [`metrics`]; [`version`] is in both.
//!
//! # Invariants
//!
//! - CloudFormation gets one response to each request, also after a panic and at the end of Lambda's time.
//! - The physical id is known before the first write, and is the same on every delivery of a request.
//! - No task is stopped whose runner GitHub did not deregister, except after the template's own `DrainTimeout`.
//! - Nothing is written that does not carry the pool's tags; no runner is deleted without its label and its name.
//! - A pool with `MaxRunners` never has more tasks than that, and GitHub's messages are acknowledged after they were acted
//!   upon. Of two listeners one loses its lease and its writes.
//! - A task gets at most one registration, ever, and only its own. No container has a credential, unless the template
//!   says `RegisterBy: Container`.
//! - No credential, no registration and no response URL is in a log line, an error, an attribute or a `Debug`.
//! - No progress is stored. Losing all that an invocation knew and delivering its event again ends in the same place.
//!   What is stored is which request works on a resource, and its response ([`pool::model::operation_lock`]), which
//!   task has had its registration ([`pool::model::registration`]), what is wanted of a pool with `MaxRunners` and how far
//!   its listener is ([`pool::model::scaling`]), and when the work that is due by the clock was last begun
//!   ([`pool::model::tick_record`]).

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
