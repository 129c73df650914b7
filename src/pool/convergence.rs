//! Create and Update: toward the pool that the template describes.
//!
//! Four parts, in this order, each of which is silent once the world agrees with it: obstacles that no waiting
//! removes, the foundation (task definition, group, capacity provider, association), the rollout of the service with
//! its runners, and the answer. What is judged here is only what the last look showed; a step that turns out to be
//! needed twice is taken twice.

pub(super) mod capacity;
mod foundation;
mod obstacles;
pub mod preview;
mod purchasing;
mod rollout;
mod success;

use super::continuation::{Continuation, Present};
use super::decision::{Decision, Look, Moment, Outcome, Waiting};
use super::observed::{GitHubView, Observed, Permission};
use super::report;

pub(super) use self::rollout::{given_up_for_want_of_room, last_lift, unprotected};
pub use self::success::{attributes, n_online, n_online_of_before};

/// Decides the next step of a Create or an Update.
pub fn decide(held: &mut Continuation, goal: &Present, seen: &Observed, at: Moment) -> Decision {
    if let Some(reason) = obstacles::first(held, goal, seen) {
        return Decision::Answer(Outcome::failed(reason));
    }
    // Nothing is built before GitHub has said whether runners may register; a no that may pass is asked again.
    if let Some(Permission::Refused(no)) = &seen.permission {
        return at.wait(Waiting::Passing(no.clone()), Look::Everything);
    }
    let next = match foundation::lay(held, goal, seen, at) {
        Ok(foundation) => rollout::advance(held, goal, seen, &foundation, at),
        Err(decision) => Some(decision),
    };
    match next {
        // Nothing is begun that GitHub would not let us finish. What has begun goes on without its word.
        Some(_)
            if held.memory.drain_began.is_none()
                && let GitHubView::Refused(no) = &seen.github
                && !no.class.may_pass() =>
        {
            Decision::Answer(Outcome::failed(report::github_refused(&goal.spec, no)))
        }
        Some(decision) => decision,
        None if !seen.is_complete => at.look_again(Waiting::LastLook, Look::Everything),
        None => Decision::Answer(success::outcome(held, goal, seen)),
    }
}
