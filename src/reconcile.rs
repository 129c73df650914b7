//! The loop: observe, let the pool decide, apply, look again.
//!
//! Here is all the asynchrony and none of the judgement: what to look at, what to do and when to stop is decided in
//! [`crate::pool`].

pub mod apply;
pub mod deregister;
pub mod due_work;
pub mod listen;
pub mod lookup;
pub mod observe;
pub mod ports;
pub mod registration;
pub mod run;
pub mod runner_lists;
pub mod runner_logs;
pub mod scaling;
pub mod session;
pub mod sweep;

use std::error::Error;
use std::fmt::Write;

/// An error with everything below it, in one line: the one place where chains are printed.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let said = cause.to_string();
        if !text.contains(&said) {
            // Writing into a String cannot fail.
            _ = write!(text, ": {said}");
        }
        below = cause.source();
    }
    text
}

/// Logs a call that failed: its kind, and all that it said.
pub(crate) fn log_error(error: &ports::RemoteCallError) {
    tracing::warn!(step = "remote_error", kind = error.kind().name(), error = %chain(error));
}
