//! The adapter against recorded responses.

mod warm_pool;

use std::collections::BTreeMap;

use super::errors::{AUTO_SCALING, TABLE};
use crate::aws::errors::tests::check;
use crate::aws::test_http_client::Replay;
use crate::pool::model::auto_scaling::GroupConfig;
use crate::pool::model::identity::StackResource;
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::remote_error::ErrorKind::{Conflict, Denied, Invalid, NotFound};
use crate::pool::model::spec::{LaunchTemplate, LaunchTemplateId, MixedInstances};
use crate::reconcile::ports::{AutoScaling, Tags};

#[test]
fn every_error_of_auto_scaling_has_its_class() {
    check(
        &AUTO_SCALING,
        TABLE,
        &[
            (
                "AlreadyExists",
                "AutoScalingGroup by this name already exists - A group with the name g already exists",
                Conflict,
            ),
            (
                "ResourceContention",
                "You already have a pending update to an Amazon EC2 Auto Scaling resource",
                Conflict,
            ),
            (
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.",
                Conflict,
            ),
            (
                "ScalingActivityInProgress",
                "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
                Conflict,
            ),
            ("InstanceRefreshInProgress", "An active instance refresh already exists.", Conflict),
            ("ServiceLinkedRoleFailure", "The service-linked role is not yet ready for use.", Conflict),
            ("LimitExceeded", "You have already reached a limit for your Amazon EC2 Auto Scaling resources", Invalid),
            (
                "ValidationError",
                "You must use a valid fully-formed launch template. Value (p) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
                Conflict,
            ),
            ("ValidationError", "You are not authorized to use launch template: lt-1", Denied),
            (
                "ValidationError",
                "You must use a valid fully-formed launch template. The key pair 'k' was not found",
                Invalid,
            ),
            ("ValidationError", "The instance i-1 is not part of Auto Scaling group g.", NotFound),
            ("ValidationError", "The instance i-1 is not in InService or EnteringStandby or Standby.", NotFound),
            ("ValidationError", "No Lifecycle Hook found with name: ecs-managed-draining-termination-hook", NotFound),
            ("ValidationError", "No active Lifecycle Action found with instance ID i-1", NotFound),
            ("ValidationError", "No warm pool found for the Auto Scaling group g", NotFound),
            ("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup 'g' not found", NotFound),
            ("ValidationError", "Max bound, 0, must be greater than or equal to min bound, 1", Invalid),
        ],
    );
}

fn config(mixed_instances_policy: Option<MixedInstances>) -> GroupConfig {
    GroupConfig {
        launch_template: LaunchTemplate { reference: LaunchTemplateId::Id("lt-1".to_owned()), version: "7".to_owned() },
        subnets: vec!["subnet-a".to_owned(), "subnet-b".to_owned()],
        min: 2,
        max: 4,
        mixed_instances_policy,
    }
}

fn mixed_instances_policy(instance_types: &[&str]) -> MixedInstances {
    MixedInstances {
        instance_types: instance_types.iter().map(|name| (*name).to_owned()).collect(),
        on_demand_base_capacity: 1,
        on_demand_percentage_above_base: 0,
        spot_allocation_strategy: "price-capacity-optimized".to_owned(),
    }
}

fn owner() -> Tags {
    BTreeMap::from([("github-runner-pool:id".to_owned(), "g".to_owned())])
}

fn instances(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("i-{i:03}")).collect()
}

#[tokio::test]
async fn create_auto_scaling_group_is_empty_protected_and_tagged_for_ecs() {
    let replay = Replay::default().query("CreateAutoScalingGroup", "");
    replay.auto_scaling().create_group("g", &config(None), &owner()).await.unwrap();
    insta::assert_snapshot!(replay.sent()[0].form(), @r"
    Action=CreateAutoScalingGroup
    AutoScalingGroupName=g
    LaunchTemplate.LaunchTemplateId=lt-1
    LaunchTemplate.Version=7
    MaxSize=4
    MinSize=0
    NewInstancesProtectedFromScaleIn=true
    Tags.member.1.Key=github-runner-pool:id
    Tags.member.1.PropagateAtLaunch=true
    Tags.member.1.ResourceId=g
    Tags.member.1.ResourceType=auto-scaling-group
    Tags.member.1.Value=g
    Tags.member.2.Key=AmazonECSManaged
    Tags.member.2.PropagateAtLaunch=true
    Tags.member.2.ResourceId=g
    Tags.member.2.ResourceType=auto-scaling-group
    Tags.member.2.Value=true
    VPCZoneIdentifier=subnet-a,subnet-b
    Version=2011-01-01
    ");
}

#[tokio::test]
async fn instance_types_and_spot_allocation_strategy_become_a_mixed_instances_policy() {
    let replay = Replay::default().query("CreateAutoScalingGroup", "");
    let config = config(Some(mixed_instances_policy(&["m6i.large", "m5.large"])));
    replay.auto_scaling().create_group("g", &config, &owner()).await.unwrap();
    let form = replay.sent()[0].form();
    let of_policy: Vec<&str> = form.lines().filter(|line| line.starts_with("MixedInstancesPolicy")).collect();
    insta::assert_snapshot!(of_policy.join("\n"), @r"
    MixedInstancesPolicy.InstancesDistribution.OnDemandAllocationStrategy=prioritized
    MixedInstancesPolicy.InstancesDistribution.OnDemandBaseCapacity=1
    MixedInstancesPolicy.InstancesDistribution.OnDemandPercentageAboveBaseCapacity=0
    MixedInstancesPolicy.InstancesDistribution.SpotAllocationStrategy=price-capacity-optimized
    MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateId=lt-1
    MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.Version=7
    MixedInstancesPolicy.LaunchTemplate.Overrides.member.1.InstanceType=m6i.large
    MixedInstancesPolicy.LaunchTemplate.Overrides.member.2.InstanceType=m5.large
    ");
    assert!(!form.contains("\nLaunchTemplate."), "{form}");
}

#[tokio::test]
async fn update_auto_scaling_group_leaves_the_desired_capacity() {
    let replay = Replay::default().query("UpdateAutoScalingGroup", "").query("UpdateAutoScalingGroup", "");
    let client = replay.auto_scaling();
    client.update_group("g", &config(None)).await.unwrap();
    insta::assert_snapshot!(replay.sent()[0].form(), @r"
    Action=UpdateAutoScalingGroup
    AutoScalingGroupName=g
    LaunchTemplate.LaunchTemplateId=lt-1
    LaunchTemplate.Version=7
    MaxSize=4
    MinSize=2
    NewInstancesProtectedFromScaleIn=true
    VPCZoneIdentifier=subnet-a,subnet-b
    Version=2011-01-01
    ");
    client.update_group("g", &config(Some(mixed_instances_policy(&[])))).await.unwrap();
    let form = replay.sent()[1].form();
    assert!(!form.contains("DesiredCapacity"), "{form}");
    // An empty list is what takes the former instance types off the policy.
    assert!(form.contains("MixedInstancesPolicy.LaunchTemplate.Overrides=\n"), "{form}");
}

#[tokio::test]
async fn update_auto_scaling_group_to_zero_is_the_only_write_of_the_desired_capacity() {
    let replay = Replay::default().query("UpdateAutoScalingGroup", "");
    replay.auto_scaling().scale_group_to_zero("g").await.unwrap();
    insta::assert_snapshot!(replay.sent()[0].form(), @r"
    Action=UpdateAutoScalingGroup
    AutoScalingGroupName=g
    DesiredCapacity=0
    MaxSize=0
    MinSize=0
    NewInstancesProtectedFromScaleIn=false
    Version=2011-01-01
    ");
}

const GROUP: &str = "<AutoScalingGroups><member>
    <AutoScalingGroupName>g</AutoScalingGroupName><AutoScalingGroupARN>arn:g</AutoScalingGroupARN>
    <MinSize>0</MinSize><MaxSize>4</MaxSize><DesiredCapacity>1</DesiredCapacity>
    <VPCZoneIdentifier>subnet-b,subnet-a</VPCZoneIdentifier>
    <LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId><LaunchTemplateName>runners</LaunchTemplateName>
      <Version>7</Version></LaunchTemplate>
    <NewInstancesProtectedFromScaleIn>true</NewInstancesProtectedFromScaleIn>
    <Status>Delete in progress</Status>
    <Instances><member><InstanceId>i-1</InstanceId><LifecycleState>Terminating:Wait</LifecycleState>
      <ProtectedFromScaleIn>true</ProtectedFromScaleIn>
      <LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId><Version>6</Version></LaunchTemplate></member></Instances>
    <Tags><member><Key>github-runner-pool:stack-id</Key><Value>stack</Value></member>
      <member><Key>github-runner-pool:logical-id</Key><Value>Runners</Value></member>
      <member><Key>AmazonECSManaged</Key><Value></Value></member></Tags>
  </member></AutoScalingGroups>";

#[tokio::test]
async fn describe_auto_scaling_groups_reads_every_field() {
    let replay = Replay::default().query("DescribeAutoScalingGroups", GROUP);
    let group = replay.auto_scaling().group("g").await.unwrap().unwrap();
    assert_eq!(group.config, GroupConfig { min: 0, ..config(None) });
    assert_eq!((group.arn.as_str(), group.launch_template_name.as_deref()), ("arn:g", Some("runners")));
    assert!(group.is_being_deleted && group.protects_new_instances);
    assert_eq!(group.desired, 1);
    let instance = &group.instances[0];
    assert_eq!((instance.id.as_str(), instance.lifecycle_state.as_str()), ("i-1", "Terminating:Wait"));
    assert_eq!((instance.protected_from_scale_in, instance.template_version), (true, Some(6)));
    let keys: Vec<&String> = group.tags.keys().collect();
    assert_eq!(keys, ["github-runner-pool:logical-id", "github-runner-pool:stack-id"]);
}

#[tokio::test]
async fn describe_auto_scaling_groups_with_another_name_is_none() {
    let replay = Replay::default()
        .query("DescribeAutoScalingGroups", GROUP)
        .query("DescribeAutoScalingGroups", "<AutoScalingGroups/>");
    let client = replay.auto_scaling();
    assert_eq!(client.group("other").await.unwrap(), None);
    assert_eq!(client.group("g").await.unwrap(), None);
}

#[tokio::test]
async fn describe_auto_scaling_groups_by_both_tags_reads_every_page() {
    let foreign = GROUP.replace("<Value>Runners</Value>", "<Value>Runners2</Value>");
    let replay = Replay::default()
        .query("DescribeAutoScalingGroups", &format!("{foreign}<NextToken>n</NextToken>"))
        .query("DescribeAutoScalingGroups", GROUP);
    let stack_resource = StackResource { stack_id: "stack".to_owned(), logical_id: "Runners".to_owned() };
    assert_eq!(replay.auto_scaling().groups_owned_by(&stack_resource).await.unwrap(), ["g"]);
    insta::assert_snapshot!(replay.sent()[1].form(), @r"
    Action=DescribeAutoScalingGroups
    Filters.member.1.Name=tag:github-runner-pool:stack-id
    Filters.member.1.Values.member.1=stack
    Filters.member.2.Name=tag:github-runner-pool:logical-id
    Filters.member.2.Values.member.1=Runners
    NextToken=n
    Version=2011-01-01
    ");
}

#[tokio::test]
async fn describe_scaling_activities_reads_a_failed_activity_and_none_of_a_missing_group() {
    let failed = "<Activities><member><ActivityId>a</ActivityId><StatusCode>Failed</StatusCode><Progress>100</Progress>
        <StatusMessage>We currently do not have sufficient capacity</StatusMessage></member></Activities>";
    let replay = Replay::default()
        .query("DescribeScalingActivities", failed)
        .query_error("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup 'g' not found");
    let client = replay.auto_scaling();
    let message = client.last_failed_activity("g").await.unwrap();
    assert_eq!(message.as_deref(), Some("We currently do not have sufficient capacity"));
    assert_eq!(client.last_failed_activity("g").await.unwrap(), None);
    assert!(replay.sent()[0].form().contains("MaxRecords=20"));
}

#[tokio::test]
async fn set_instance_protection_takes_fifty_instances_a_call() {
    let replay = Replay::default().query("SetInstanceProtection", "").query("SetInstanceProtection", "");
    replay.auto_scaling().unprotect_instances("g", &instances(51)).await.unwrap();
    let count = |form: String| form.lines().filter(|line| line.starts_with("InstanceIds.member.")).count();
    let sent = replay.sent();
    assert_eq!(sent.iter().map(|sent| count(sent.form())).collect::<Vec<_>>(), [50, 1]);
    assert!(sent[0].form().contains("ProtectedFromScaleIn=false"));
}

#[tokio::test]
async fn set_instance_protection_is_repeated_without_an_instance_that_left() {
    let left = "The instance i-001 is not part of Auto Scaling group g.";
    let replay = Replay::default()
        .query_error("ValidationError", left)
        .query("SetInstanceProtection", "")
        .query_error("ValidationError", left)
        .query("SetInstanceProtection", "");
    replay.auto_scaling().unprotect_instances("g", &instances(3)).await.unwrap();
    assert_eq!(replay.sent().len(), 4);
}

#[tokio::test]
async fn delete_auto_scaling_group_and_lifecycle_hook_that_are_gone_are_done() {
    let gone = "AutoScalingGroup name not found - AutoScalingGroup 'g' not found";
    let replay = Replay::default()
        .query_error("ValidationError", gone)
        .query_error("ValidationError", "No Lifecycle Hook found with name: x")
        .query_error("ValidationError", gone);
    let client = replay.auto_scaling();
    client.scale_group_to_zero("g").await.unwrap();
    client.delete_draining_hook("g").await.unwrap();
    client.delete_group("g").await.unwrap();
    let sent = replay.sent();
    assert!(sent[1].form().contains("LifecycleHookName=ecs-managed-draining-termination-hook"));
    assert!(sent[2].form().contains("ForceDelete=true"));
}

#[tokio::test]
async fn delete_auto_scaling_group_in_use_is_a_conflict_and_not_repeated() {
    let replay = Replay::default().query_error("ScalingActivityInProgress", "busy");
    let error = replay.auto_scaling().delete_group("g").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.to_string(), "EC2 Auto Scaling DeleteAutoScalingGroup failed (ScalingActivityInProgress): busy");
}

#[tokio::test]
async fn create_or_update_tags_takes_twenty_five_tags_a_call_and_leaves_those_of_ecs() {
    let replay =
        Replay::default().query("CreateOrUpdateTags", "").query("CreateOrUpdateTags", "").query("DeleteTags", "");
    let set: Tags = (0..26).map(|i| (format!("k{i}"), "v".to_owned())).collect();
    let remove = ["old".to_owned(), "AmazonECSManaged".to_owned()];
    replay.auto_scaling().tag_group("g", &set, &remove).await.unwrap();
    assert_eq!(replay.operations(), ["CreateOrUpdateTags", "CreateOrUpdateTags", "DeleteTags"]);
    insta::assert_snapshot!(replay.sent()[1].form(), @r"
    Action=CreateOrUpdateTags
    Tags.member.1.Key=k9
    Tags.member.1.PropagateAtLaunch=true
    Tags.member.1.ResourceId=g
    Tags.member.1.ResourceType=auto-scaling-group
    Tags.member.1.Value=v
    Version=2011-01-01
    ");
    insta::assert_snapshot!(replay.sent()[2].form(), @r"
    Action=DeleteTags
    Tags.member.1.Key=old
    Tags.member.1.ResourceId=g
    Tags.member.1.ResourceType=auto-scaling-group
    Version=2011-01-01
    ");
}

#[tokio::test(start_paused = true)]
async fn create_auto_scaling_group_with_an_unclear_outcome_is_not_repeated() {
    let replay = Replay::default().lost().query("CreateAutoScalingGroup", "");
    let error = replay.auto_scaling().create_group("g", &config(None), &owner()).await.unwrap_err();
    assert_eq!((error.kind(), replay.sent().len()), (ErrorKind::Unavailable, 1));
}
