//! Create and Update: toward the pool that the template describes.
//!
//! Four stages follow each other, and each has nothing to do once the observation matches the goal: preconditions that
//! waiting cannot meet, the infrastructure (task definition, group, capacity provider, association), the rollout of the
//! service with its runners, and the response. Decisions depend only on the last observation; a step that is needed
//! twice is taken twice.

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed, PreflightResult};
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::reasons;
use crate::pool::policy::{infrastructure, job_rollout, outcome, preconditions, rollout};

/// Decides the next step of a Create or an Update.
pub fn decide(
    operation: &Operation,
    memory: &mut Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
    at: DecisionTime,
) -> Decision {
    if let Some(reason) = preconditions::first_violation(operation, memory, goal, observed) {
        return Decision::Respond(Outcome::failed(reason));
    }
    // Nothing is built before GitHub has said whether runners may register; a no that may pass is asked again.
    if let Some(PreflightResult::Failed(no)) = &observed.preflight_result {
        if !memory.was_built && memory.is_unreachable_for_long(at.now) {
            return Decision::Respond(Outcome::failed(reasons::github_unreachable(&goal.spec, no)));
        }
        return at.wait(WaitReason::RetryableError(no.clone()), ObserveScope::Full);
    }
    let next = match infrastructure::ensure(operation, memory, goal, observed, at) {
        Ok(dependencies) if goal.spec.job_scaling.is_some() => {
            job_rollout::next_step(operation, memory, goal, observed, &dependencies, at)
                .or_else(|| rollout::clean_up(operation, memory, goal, observed, at))
        }
        Ok(dependencies) => rollout::next_step(operation, memory, goal, observed, &dependencies, at),
        Err(decision) => Some(decision),
    };
    match next {
        // Nothing is started that GitHub would prevent from completing. What has been started continues without asking
        // again.
        Some(_)
            if memory.drain_started_at.is_none()
                && let GitHubRunners::Failed(no) = &observed.github
                && !no.kind.is_retryable() =>
        {
            Decision::Respond(Outcome::failed(reasons::github_refused(&goal.spec, no)))
        }
        Some(decision) => decision,
        None if !observed.is_complete => at.requeue_now(WaitReason::FinalCheck, ObserveScope::Full),
        None => Decision::Respond(outcome::outcome(operation, memory, goal, observed)),
    }
}
