//! The ways in which the work of an invocation ends.

use crate::metrics::Tally;
use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::WaitReason;
use crate::pool::model::operation_lock::Superseded;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::time::Timestamp;
use crate::reconcile::run::RunResult;

use super::respond::Recording;

/// What is left to do once the work of an invocation has ended.
pub(super) enum Completion {
    /// Respond to CloudFormation.
    Respond {
        physical_id: String,
        outcome: Outcome,
        recording: Recording,
        /// For the metrics.
        tally: Tally,
    },
    /// Do nothing, or repeat a recorded response: another invocation works on the resource.
    Superseded(Superseded),
    /// Continue in another invocation.
    Continue(Box<Continuation>, WaitReason),
}

impl Completion {
    /// A response without metrics.
    pub(super) fn respond(physical_id: impl Into<String>, outcome: Outcome, recording: Recording) -> Self {
        Self::Respond { physical_id: physical_id.into(), outcome, recording, tally: Tally::default() }
    }

    /// Converts the result of a reconciliation.
    pub(super) fn of_run(continuation: Continuation, result: RunResult, now: Timestamp) -> Self {
        match result {
            RunResult::Completed(outcome) => {
                // A Delete that fails before it acquires its lock still repeats a response that another delivery
                // recorded.
                let is_recorded =
                    continuation.memory.lock_version.is_some() || matches!(outcome, Outcome::Failed { .. });
                Self::Respond {
                    physical_id: continuation.operation.response_physical_id().to_owned(),
                    recording: if is_recorded { Recording::Record } else { Recording::Skip },
                    outcome,
                    tally: Tally::of(&continuation, now),
                }
            }
            RunResult::Superseded(why) => Self::Superseded(why),
            RunResult::OutOfTime { why } => Self::Continue(Box::new(continuation), why),
        }
    }
}
