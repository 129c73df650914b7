//! Auto Scaling groups.

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{
    Activity, AutoScalingGroup, Filter, Instance, LaunchTemplateSpecification, LifecycleState,
    ScalingActivityStatusCode, Tag,
};

use super::super::convert::{self, count, int};
use super::super::errors::{done_if_missing, found};
use super::config::{self, Source};
use super::errors::AUTO_SCALING;
use super::once;
use crate::pool::model::auto_scaling::{Group, GroupConfig, GroupInstance};
use crate::pool::model::identity::{StackResource, TAG_LOGICAL_ID, TAG_STACK_ID};
use crate::pool::model::remote_error::ErrorKind;
use crate::reconcile::ports::{RemoteResult, Tags};

/// The maximum instances of a `SetInstanceProtection` call.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html>
const PROTECTION_BATCH: usize = 50;
/// The maximum tags of a `CreateOrUpdateTags` or `DeleteTags` call; same page.
const TAG_BATCH: usize = 25;
/// Activities that are looked at for a failure: enough to get past the launches that are still under way.
const ACTIVITIES: i32 = 20;
/// ECS's managed draining puts this hook on the group. Left behind, it holds every terminating instance for an hour.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html>
const DRAINING_HOOK: &str = "ecs-managed-draining-termination-hook";
/// ECS puts this tag on a group with a capacity provider, and cannot manage the group without it. The function sets it
/// from the start, and hides it from the pool, so that no comparison of tags can remove it.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html>
const ECS_MANAGED_TAG: &str = "AmazonECSManaged";
/// The status of a group that is being deleted, the only status there is.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AutoScalingGroup.html>
const DELETING: &str = "Delete in progress";
const GROUP_RESOURCE: &str = "auto-scaling-group";

pub(super) async fn describe(sdk: &Client, name: &str) -> RemoteResult<Option<AutoScalingGroup>> {
    let call = sdk.describe_auto_scaling_groups().auto_scaling_group_names(name).send().await;
    let response = call.map_err(|error| AUTO_SCALING.refused("DescribeAutoScalingGroups", error))?;
    // By the name in the response: shortly after a change, the response may be about another group.
    let groups = response.auto_scaling_groups.unwrap_or_default();
    Ok(groups.into_iter().find(|group| group.auto_scaling_group_name() == Some(name)))
}

/// The group but for its warm pool, whose instances another call lists.
pub(super) fn observed(group: &AutoScalingGroup) -> Group {
    let (config, launch_template_name) = config::observed(group);
    Group {
        arn: group.auto_scaling_group_arn().unwrap_or_default().to_owned(),
        config,
        launch_template_name,
        desired: count(group.desired_capacity().unwrap_or(0)),
        protects_new_instances: group.new_instances_protected_from_scale_in().unwrap_or(false),
        tags: observed_tags(group),
        instances: group.instances().iter().filter_map(instance).filter(|instance| !is_warm(instance)).collect(),
        warm_pool: None,
        is_being_deleted: group.status() == Some(DELETING),
    }
}

fn observed_tags(group: &AutoScalingGroup) -> Tags {
    let mut tags = convert::tags(group.tags().iter().map(|tag| (tag.key(), tag.value())));
    tags.remove(ECS_MANAGED_TAG);
    tags
}

/// In a state of the warm pool. No page says that a group lists any, and none may count as one that runs.
fn is_warm(instance: &GroupInstance) -> bool {
    instance.lifecycle_state.starts_with("Warmed:")
}

pub(super) fn instance(instance: &Instance) -> Option<GroupInstance> {
    let template = instance.launch_template().and_then(LaunchTemplateSpecification::version);
    Some(GroupInstance {
        id: instance.instance_id()?.to_owned(),
        lifecycle_state: instance.lifecycle_state().map_or("", LifecycleState::as_str).to_owned(),
        protected_from_scale_in: instance.protected_from_scale_in().unwrap_or(false),
        template_version: template.and_then(|version| version.parse().ok()),
    })
}

pub(super) async fn of(sdk: &Client, stack_resource: &StackResource) -> RemoteResult<Vec<String>> {
    let owner = [(TAG_STACK_ID, &stack_resource.stack_id), (TAG_LOGICAL_ID, &stack_resource.logical_id)];
    let filter = |(key, value): (&str, &String)| Filter::builder().name(format!("tag:{key}")).values(value).build();
    let call = sdk.describe_auto_scaling_groups().set_filters(Some(owner.map(filter).to_vec()));
    let pages = AUTO_SCALING.all_pages("DescribeAutoScalingGroups", call.into_paginator().send()).await?;
    // Checked again here: what comes out of this may be deleted.
    let is_owned = |group: &AutoScalingGroup| {
        let tags = observed_tags(group);
        owner.iter().all(|(key, value)| tags.get(*key) == Some(value))
    };
    let groups = pages.into_iter().flat_map(|page| page.auto_scaling_groups.unwrap_or_default());
    Ok(groups.filter(is_owned).filter_map(|group| group.auto_scaling_group_name).collect())
}

pub(super) async fn last_failed_activity(sdk: &Client, name: &str) -> RemoteResult<Option<String>> {
    let call = sdk.describe_scaling_activities().auto_scaling_group_name(name).max_records(ACTIVITIES).send().await;
    let response = found(call.map_err(|error| AUTO_SCALING.refused("DescribeScalingActivities", error)))?;
    Ok(response.and_then(|response| failure(response.activities())))
}

/// The first activity that has come to an end decides, newest first. A failed launch is Failed or Cancelled.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScalingActivities.html>
fn failure(activities: &[Activity]) -> Option<String> {
    let ended = activities.iter().find(|activity| {
        let status = activity.status_code().map(ScalingActivityStatusCode::as_str);
        matches!(status, Some("Successful" | "Failed" | "Cancelled"))
    })?;
    if ended.status_code() == Some(&ScalingActivityStatusCode::Successful) {
        return None;
    }
    let said = ended.status_message().or(ended.description()).unwrap_or("Auto Scaling gives no reason");
    Some(said.to_owned())
}

/// The minimum is 0 whatever the shape says: an instance that starts before the group's capacity provider is in place
/// is never managed by it. The pool raises it afterwards.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/asg-capacity-providers.html>
pub(super) async fn create(sdk: &Client, name: &str, config: &GroupConfig, tagged: &Tags) -> RemoteResult<()> {
    let managed = tag_of(name, ECS_MANAGED_TAG, "true");
    let own = tagged.iter().map(|(key, value)| tag_of(name, key, value));
    let call = sdk
        .create_auto_scaling_group()
        .auto_scaling_group_name(name)
        .min_size(0)
        .max_size(int(config.max))
        .vpc_zone_identifier(config::subnets(config))
        .new_instances_protected_from_scale_in(true)
        .set_tags(Some(own.chain([managed]).collect()));
    let call = match config::source(config) {
        Source::Template(template) => call.launch_template(template),
        Source::Mixed(policy) => call.mixed_instances_policy(policy),
    };
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("CreateAutoScalingGroup", error))
}

/// Sending a launch template removes the group's mixed-instances policy, and the reverse.
pub(super) async fn update(sdk: &Client, name: &str, config: &GroupConfig) -> RemoteResult<()> {
    let call = sdk
        .update_auto_scaling_group()
        .auto_scaling_group_name(name)
        .min_size(int(config.min))
        .max_size(int(config.max))
        .vpc_zone_identifier(config::subnets(config))
        .new_instances_protected_from_scale_in(true);
    let call = match config::source(config) {
        Source::Template(template) => call.launch_template(template),
        Source::Mixed(policy) => call.mixed_instances_policy(policy),
    };
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("UpdateAutoScalingGroup", error))
}

pub(super) async fn empty(sdk: &Client, name: &str) -> RemoteResult<()> {
    let call = sdk
        .update_auto_scaling_group()
        .auto_scaling_group_name(name)
        .min_size(0)
        .max_size(0)
        .desired_capacity(0)
        .new_instances_protected_from_scale_in(false);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("UpdateAutoScalingGroup", error))
}

/// One instance that has left its group makes Auto Scaling refuse the whole batch, so such a batch is sent again one
/// instance at a time.
pub(super) async fn unprotect_instances(sdk: &Client, name: &str, instances: &[String]) -> RemoteResult<()> {
    for batch in instances.chunks(PROTECTION_BATCH) {
        match unprotect(sdk, name, batch).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                for instance in batch.chunks(1) {
                    done_if_missing(unprotect(sdk, name, instance).await)?;
                }
            }
            done => done?,
        }
    }
    Ok(())
}

async fn unprotect(sdk: &Client, name: &str, instances: &[String]) -> RemoteResult<()> {
    let call = sdk
        .set_instance_protection()
        .auto_scaling_group_name(name)
        .set_instance_ids(Some(instances.to_vec()))
        .protected_from_scale_in(false);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("SetInstanceProtection", error))
}

pub(super) async fn delete_draining_hook(sdk: &Client, name: &str) -> RemoteResult<()> {
    let call = sdk.delete_lifecycle_hook().auto_scaling_group_name(name).lifecycle_hook_name(DRAINING_HOOK);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("DeleteLifecycleHook", error))
}

pub(super) async fn delete(sdk: &Client, name: &str) -> RemoteResult<()> {
    let call = sdk.delete_auto_scaling_group().auto_scaling_group_name(name).force_delete(true);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| AUTO_SCALING.refused("DeleteAutoScalingGroup", error))
}

pub(super) async fn tag(sdk: &Client, name: &str, set: &Tags, remove: &[String]) -> RemoteResult<()> {
    let set: Vec<Tag> = set.iter().map(|(key, value)| tag_of(name, key, value)).collect();
    for batch in set.chunks(TAG_BATCH) {
        let call = sdk.create_or_update_tags().set_tags(Some(batch.to_vec()));
        let response = call.customize().config_override(once()).send().await;
        response.map_err(|error| AUTO_SCALING.refused("CreateOrUpdateTags", error))?;
    }
    let key_of = |key: &String| Tag::builder().resource_id(name).resource_type(GROUP_RESOURCE).key(key).build();
    let remove: Vec<Tag> = remove.iter().filter(|key| *key != ECS_MANAGED_TAG).map(key_of).collect();
    for batch in remove.chunks(TAG_BATCH) {
        let call = sdk.delete_tags().set_tags(Some(batch.to_vec()));
        let response = call.customize().config_override(once()).send().await;
        response.map_err(|error| AUTO_SCALING.refused("DeleteTags", error))?;
    }
    Ok(())
}

fn tag_of(group: &str, key: &str, value: &str) -> Tag {
    Tag::builder()
        .resource_id(group)
        .resource_type(GROUP_RESOURCE)
        .key(key)
        .value(value)
        .propagate_at_launch(true)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(status: ScalingActivityStatusCode, said: &str) -> Activity {
        Activity::builder().status_code(status).status_message(said).build()
    }

    #[test]
    fn the_newest_activity_that_ended_decides_whether_launches_fail() {
        use ScalingActivityStatusCode::{Cancelled, Failed, InProgress, Successful};
        let failed = || activity(Failed, "no capacity");
        assert_eq!(failure(&[]), None);
        assert_eq!(failure(&[activity(InProgress, "")]), None);
        assert_eq!(failure(&[activity(InProgress, ""), failed()]).as_deref(), Some("no capacity"));
        assert_eq!(failure(&[activity(Cancelled, "spot is gone"), failed()]).as_deref(), Some("spot is gone"));
        assert_eq!(failure(&[activity(Successful, ""), failed()]), None);
    }

    #[test]
    fn the_tag_that_ecs_needs_is_not_shown() {
        let tag = |key: &str| aws_sdk_autoscaling::types::TagDescription::builder().key(key).value("x").build();
        let group = AutoScalingGroup::builder().tags(tag(ECS_MANAGED_TAG)).tags(tag("team")).tags(tag("aws:x")).build();
        assert_eq!(observed_tags(&group).into_keys().collect::<Vec<_>>(), ["team"]);
    }
}
