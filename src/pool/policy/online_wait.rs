//! The wait of a request for runners to come online, for `OnlineTimeout` at the longest.

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::causes;

/// A wait that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnlineWait {
    deadline: Timestamp,
    /// Whether its time is over.
    pub(super) is_over: bool,
}

impl OnlineWait {
    /// Begins it, or goes on with the one that has begun.
    pub(super) fn begin(operation: &Operation, memory: &mut Memory, goal: &ConvergeGoal, at: DecisionTime) -> Self {
        let since = *memory.online_awaited_since.get_or_insert(at.now);
        let deadline = since + goal.spec.wait_policy.online_timeout;
        Self { deadline, is_over: at.now >= deadline.min(operation.respond_by) }
    }

    /// The next observation of the runners.
    pub(super) fn next_look(self, why: WaitReason, at: DecisionTime) -> Decision {
        Decision::Wait { why, until: at.next_poll().min(self.deadline), scope: ObserveScope::Runners }
    }
}

/// Whether so many runners are online; without a word of GitHub the count of containers has to do.
pub(super) fn are_online(n_online: Option<u32>, wanted: u32, observed: &Observed) -> bool {
    match n_online {
        Some(n) => n >= wanted,
        None => !matches!(&observed.github, GitHubRunners::Failed(no) if no.kind.is_retryable()),
    }
}

/// Fails the request with what stands in the way, which takes one more observation.
pub(super) fn fail(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    why: WaitReason,
    at: DecisionTime,
) -> Decision {
    if !observed.is_diagnosis {
        return at.requeue_now(why, ObserveScope::Diagnostics);
    }
    Decision::Respond(Outcome::failed(causes::not_online(operation, memory, goal, observed)))
}
