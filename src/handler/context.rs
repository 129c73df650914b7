//! The dependencies that every part of an invocation shares.

use super::budget::Budget;
use crate::settings::Settings;

/// One invocation: its ports, its settings and its time budget.
pub(super) struct Context<'a, W> {
    pub(super) world: &'a W,
    pub(super) settings: &'a Settings,
    /// The ARN or name by which the function invokes itself.
    pub(super) function: &'a str,
    pub(super) budget: Budget,
}
