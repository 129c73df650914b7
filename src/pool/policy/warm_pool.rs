//! The warm pool on the pool's own Auto Scaling group: stopped instances, from which the group starts sooner.
//!
//! - It comes after the association of the capacity provider: an instance that starts earlier may never be managed by it.
//! - The launch hook comes before the warm pool, so that no instance is stopped before it is set up.
//! - What is in it was started from the launch template of its day and would join with that. So a warm pool with an outdated
//!   instance is deleted, and made anew: before the new runners start, which would take just these instances.
//! - One that gets smaller is made anew too: only a deletion by force keeps ECS's draining hook, which waits for container
//!   instances, from holding back what leaves.
//! - A group does without one while its purchase options change. Auto Scaling refuses one beside Spot Instances.
//!
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-warm-pools.html>,
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-warm-pool.html>

use crate::pool::model::auto_scaling::{Group, WarmPool};
use crate::pool::model::spec::{LaunchTemplateId, OwnCapacity};
use crate::pool::model::step::Step;
use crate::pool::policy::purchasing;

/// How a group's warm pool differs from the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WarmPoolChange {
    /// It does not.
    None,
    /// It is on its way out.
    Leaving,
    /// It goes, for good or to be made anew.
    Delete,
    /// It is made, or gets larger.
    Put,
}

impl WarmPoolChange {
    /// What comes next for the warm pool; `template_version` is that of the wanted launch template.
    pub(super) fn of(own: &OwnCapacity, group: &Group, template_version: Option<u64>) -> Self {
        let wanted = own.warm_instances;
        let Some(warm_pool) = &group.warm_pool else { return if wanted > 0 { Self::Put } else { Self::None } };
        if warm_pool.is_being_deleted {
            return Self::Leaving;
        }
        let changes_purchasing =
            purchasing::differs(group.config.mixed_instances_policy.as_ref(), own.mixed_instances_policy.as_ref());
        let shrinks = warm_pool.size.is_none_or(|size| size > wanted);
        let is_of_other = is_of_other_template(group, &own.launch_template.reference);
        if shrinks || changes_purchasing || is_of_other || n_outdated(warm_pool, template_version) > 0 {
            return Self::Delete;
        }
        if warm_pool.size == Some(wanted) { Self::None } else { Self::Put }
    }
}

/// What makes or changes the warm pool.
pub(super) fn put(own: &OwnCapacity) -> [Step; 2] {
    [Step::PutLaunchHook, Step::PutWarmPool(own.warm_instances)]
}

/// What deletes it. The hook goes with it for good, and before it: once the warm pool is gone, nothing shows that there is
/// one.
pub(super) fn delete(own: &OwnCapacity) -> Vec<Step> {
    let hook = (own.warm_instances == 0).then_some(Step::DeleteLaunchHook);
    hook.into_iter().chain([Step::DeleteWarmPool]).collect()
}

/// Whether the group starts its instances from another launch template than this, whichever way that is named.
fn is_of_other_template(group: &Group, wanted: &LaunchTemplateId) -> bool {
    let is_named = matches!(wanted, LaunchTemplateId::Name(name) if group.launch_template_name.as_ref() == Some(name));
    !is_named && group.config.launch_template.reference != *wanted
}

/// Its instances that were started from another version of the launch template.
pub(super) fn n_outdated(warm_pool: &WarmPool, template_version: Option<u64>) -> usize {
    let is_outdated =
        |version: Option<u64>| version.is_some() && template_version.is_some() && version != template_version;
    warm_pool.instances.iter().filter(|instance| is_outdated(instance.template_version)).count()
}
