//! The reconciliation loop: observe, decide, apply, observe again.
//!
//! This module does the I/O and decides nothing: [`crate::pool`] decides what to observe, what to do and when to stop.

pub mod apply;
pub mod claims;
pub mod deregister;
pub mod due_work;
pub mod listen;
pub mod lookup;
pub mod observe;
pub mod ports;
pub mod registration;
pub mod remains;
pub mod run;
pub mod runner_lists;
pub mod runner_logs;
pub mod scaling;
pub mod session;
pub mod sweep;

use std::error::Error;
use std::fmt::Write;

/// An error and its chain of sources, in one line. Every chain in the log is formatted here.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let said = cause.to_string();
        if !text.contains(&said) {
            // Writing to a String cannot fail.
            _ = write!(text, ": {said}");
        }
        below = cause.source();
    }
    text
}

/// Logs a failed call with its kind and its chain of errors.
pub(crate) fn log_error(error: &ports::RemoteCallError) {
    tracing::warn!(step = "remote_error", kind = error.kind().name(), error = %chain(error));
}
