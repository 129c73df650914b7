//! What people read about runner scale sets.

use crate::pool::model::operation::ConvergeGoal;
use crate::pool::model::scale_set::{ScaleSet, ScaleSetRequest};
use crate::pool::model::time::HumanDuration;

/// A scale set of the pool's name that is not the pool's.
#[must_use]
pub fn foreign_scale_set(request: &ScaleSetRequest, scale_set: &ScaleSet) -> String {
    let group = request.group.as_deref().map_or_else(|| "the default runner group".to_owned(), |name| name.to_owned());
    format!(
        "RunnerScaleSetName: {group} has a runner scale set {} (id {}) that is not this pool's, so it is left alone. \
         Specify another name, or delete that set.",
        scale_set.name, scale_set.id
    )
}

/// The listener did not begin within `OnlineTimeout`.
#[must_use]
pub fn no_listener_session(goal: &ConvergeGoal) -> String {
    format!(
        "MaxRunners: the listener opened no session of the runner scale set within OnlineTimeout ({}). Check that the \
         function's reserved concurrency leaves room for one more invocation, and its log for lines with step \
         \"listen\"; then deploy again.",
        HumanDuration(goal.spec.wait_policy.online_timeout)
    )
}

/// A scale set that a Delete could not remove.
#[must_use]
pub fn scale_set_left(name: &str, why: &str) -> String {
    format!(
        "the runner scale set {name} may be left at GitHub ({why}); GitHub deletes it after seven days without a listener"
    )
}
