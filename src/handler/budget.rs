//! The time of one invocation, and every margin in it.
//!
//! ```text
//! now                 reconcile_until           respond_from                   last_attempt_by  deadline
//!  |  observe, apply, wait  |  CALL_MARGIN, 30 s  |        RESPONSE_MARGIN, 45 s       |          |
//!                           |  the call under way |  record the response, and send it  |   2 s    |
//!                           |  and self-invoking  |                     DEADLINE_MARGIN: |----------|
//! ```

use std::time::Duration;

use crate::pool::model::time::Timestamp;

/// For the response and its retries.
pub(super) const RESPONSE_MARGIN: Duration = Duration::from_secs(45);
/// For the call that is under way, and for invoking the function again.
const CALL_MARGIN: Duration = Duration::from_secs(30);
/// Between the last attempt to send a response and Lambda's deadline.
const DEADLINE_MARGIN: Duration = Duration::from_secs(2);
/// The assumed duration of an invocation whose deadline has already passed, as under `cargo lambda watch`.
const DEFAULT_INVOCATION_TIMEOUT: Duration = Duration::from_secs(900);

/// Between two attempts to invoke the function again.
pub(super) const SELF_INVOKE_RETRY_DELAY: Duration = Duration::from_secs(5);
/// The time within which Lambda retries the event of a failed invocation twice: after one minute, and after two more.
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>
pub(super) const EVENT_RETRY_WINDOW: Duration = Duration::from_secs(180);

/// Between the first two attempts to record a response; each further delay is twice as long.
pub(super) const RECORDING_RETRY_DELAY: Duration = Duration::from_millis(500);
/// How long recording a response may delay sending it, and the end of the invocation after that: within
/// [`RESPONSE_MARGIN`].
pub(super) const RECORDING_MAX: Duration = Duration::from_secs(5);
/// How long recording that a response was or was not accepted may take: within [`DEADLINE_MARGIN`].
pub(super) const DELIVERY_RECORDING_MAX: Duration = Duration::from_secs(1);

/// The time that Lambda gives an invocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    deadline: Timestamp,
}

impl Budget {
    /// Derives the budget from Lambda's deadline.
    pub(super) fn new(deadline: Timestamp, now: Timestamp) -> Self {
        Self { deadline: if deadline > now { deadline } else { now + DEFAULT_INVOCATION_TIMEOUT } }
    }

    /// The time until which the operation may run in this invocation; `limit` is the maximum duration that the settings
    /// allow.
    pub(super) fn reconcile_until(self, now: Timestamp, limit: Option<Duration>) -> Timestamp {
        let until = self.deadline - RESPONSE_MARGIN - CALL_MARGIN;
        limit.map_or(until, |limit| until.min(now + limit))
    }

    /// The time at which a response is sent, even if the operation is still running.
    pub(super) fn respond_from(self) -> Timestamp {
        self.deadline - RESPONSE_MARGIN
    }

    /// The latest time at which an attempt to send the response begins.
    pub(super) fn last_attempt_by(self) -> Timestamp {
        self.deadline - DEADLINE_MARGIN
    }
}
