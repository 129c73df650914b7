//! What every part of an invocation works with.

use super::budget::Budget;
use crate::settings::Settings;

/// One invocation: where it reads and writes, how it is set up, and the time it has.
pub(super) struct Context<'a, W> {
    pub(super) world: &'a W,
    pub(super) settings: &'a Settings,
    /// The ARN or name by which the function invokes itself.
    pub(super) function: &'a str,
    pub(super) budget: Budget,
}
