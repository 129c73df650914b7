//! An instance that joins its Auto Scaling group, which the launch hook makes wait.
//!
//! The hook is there for the warm pool, where its time is let run out. An instance on its way into the group has nothing to
//! wait for and is let go on at once. An event that is lost costs that time once.

use super::error::HandleError;
use super::event::LaunchAction;
use crate::pool::model::auto_scaling::LAUNCH_HOOK;
use crate::pool::model::identity::PhysicalId;
use crate::reconcile::log_error;
use crate::reconcile::ports::{AutoScaling, World};

/// Where an instance goes that runners are to run on.
const GROUP: &str = "AutoScalingGroup";

/// Lets the instance go on.
///
/// # Errors
/// When another delivery of the event may help.
pub(super) async fn complete<W: World>(world: &W, launch: LaunchAction) -> Result<(), HandleError> {
    let (group, instance) = (launch.auto_scaling_group_name, launch.instance);
    let is_ours = launch.lifecycle_hook_name == LAUNCH_HOOK && launch.destination == GROUP;
    let Ok(id) = PhysicalId::try_from(group) else {
        tracing::debug!(step = "launch", instance, "ignored: the group is no pool's");
        return Ok(());
    };
    if !is_ours {
        tracing::debug!(step = "launch", instance, "ignored: it does not join the group by the launch hook");
        return Ok(());
    }
    match world.auto_scaling().complete_launch(id.as_str(), &instance).await {
        Ok(()) => tracing::info!(step = "launch", physical_id = id.as_str(), instance, "complete"),
        Err(error) if error.kind().is_retryable() => return Err(HandleError::LaunchNotCompleted(error)),
        Err(error) => log_error(&error),
    }
    Ok(())
}
