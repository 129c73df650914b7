//! A group's warm pool, and the launch hook that goes with it.
//!
//! Auto Scaling stops an instance "as soon as" it has been launched into a warm pool and does not wait for its user data,
//! which runs at the first boot only. So a hook holds the instance back until that is done and the image is pulled. The
//! same hook holds back every instance that joins the group, with nothing left to do, and the function ends that at once.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html>

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{
    AutoScalingGroup, InstanceReusePolicy, WarmPoolConfiguration, WarmPoolState, WarmPoolStatus,
};

use super::super::convert::{count, int};
use super::super::errors::found;
use super::errors::AUTO_SCALING;
use super::groups::instance;
use super::once;
use crate::pool::model::auto_scaling::{LAUNCH_HOOK, WarmPool};
use crate::reconcile::ports::RemoteResult;

/// Enough for a boot, the user data and the pull of a large image. An instance bound for the warm pool runs for as long.
const LAUNCH_SECS: i32 = 600;

/// The warm pool of a group; `None` without a call if the group has neither one nor instances of one. Its configuration may
/// go before its instances do.
pub(super) async fn describe(sdk: &Client, name: &str, group: &AutoScalingGroup) -> RemoteResult<Option<WarmPool>> {
    let config = group.warm_pool_configuration();
    if config.is_none() && group.warm_pool_size().unwrap_or(0) == 0 {
        return Ok(None);
    }
    let call = sdk.describe_warm_pool().auto_scaling_group_name(name).into_paginator().send();
    let pages = found(AUTO_SCALING.all_pages("DescribeWarmPool", call).await)?.unwrap_or_default();
    let instances: Vec<_> = pages.iter().flat_map(|page| page.instances().iter().filter_map(instance)).collect();
    if config.is_none() && instances.is_empty() {
        return Ok(None);
    }
    let is_being_deleted = config.is_none_or(|config| config.status() == Some(&WarmPoolStatus::PendingDelete));
    Ok(Some(WarmPool { size: config.and_then(size), is_being_deleted, instances }))
}

/// Only two equal bounds are a size: without the upper one it is the group's maximum less its desired capacity.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutWarmPool.html>
fn size(config: &WarmPoolConfiguration) -> Option<u32> {
    let (min, max) = (config.min_size().unwrap_or(0), config.max_group_prepared_capacity()?);
    let reuses = config.instance_reuse_policy().and_then(InstanceReusePolicy::reuse_on_scale_in).unwrap_or(false);
    let is_stopped = config.pool_state().is_none_or(|state| *state == WarmPoolState::Stopped);
    (min == max && is_stopped && !reuses).then(|| count(min))
}

/// Sends every parameter each time, since one that is left out keeps its last value. Instances that leave the group
/// must not return to the pool, since ECS does not manage the scaling of such a group.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-warm-pool.html>
pub(super) async fn put(sdk: &Client, name: &str, size: u32) -> RemoteResult<()> {
    let call = sdk
        .put_warm_pool()
        .auto_scaling_group_name(name)
        .min_size(int(size))
        .max_group_prepared_capacity(int(size))
        .pool_state(WarmPoolState::Stopped)
        .instance_reuse_policy(InstanceReusePolicy::builder().reuse_on_scale_in(false).build());
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("PutWarmPool", error))
}

/// By force, so that no lifecycle hook holds its instances back: ECS answers its own for container instances only.
pub(super) async fn delete(sdk: &Client, name: &str) -> RemoteResult<()> {
    let call = sdk.delete_warm_pool().auto_scaling_group_name(name).force_delete(true);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("DeleteWarmPool", error))
}

/// An instance whose timeout elapses continues.
pub(super) async fn put_launch_hook(sdk: &Client, name: &str) -> RemoteResult<()> {
    let call = sdk
        .put_lifecycle_hook()
        .auto_scaling_group_name(name)
        .lifecycle_hook_name(LAUNCH_HOOK)
        .lifecycle_transition("autoscaling:EC2_INSTANCE_LAUNCHING")
        .heartbeat_timeout(LAUNCH_SECS)
        .default_result("CONTINUE");
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("PutLifecycleHook", error))
}

pub(super) async fn delete_launch_hook(sdk: &Client, name: &str) -> RemoteResult<()> {
    let call = sdk.delete_lifecycle_hook().auto_scaling_group_name(name).lifecycle_hook_name(LAUNCH_HOOK);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("DeleteLifecycleHook", error))
}

pub(super) async fn complete_launch(sdk: &Client, name: &str, instance: &str) -> RemoteResult<()> {
    let call = sdk
        .complete_lifecycle_action()
        .auto_scaling_group_name(name)
        .lifecycle_hook_name(LAUNCH_HOOK)
        .instance_id(instance)
        .lifecycle_action_result("CONTINUE");
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("CompleteLifecycleAction", error))
}
