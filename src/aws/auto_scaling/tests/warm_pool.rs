//! The calls about warm pools and the launch hook.

use crate::aws::test_http_client::Replay;
use crate::pool::model::auto_scaling::WarmPool;
use crate::pool::model::remote_error::ErrorKind;
use crate::reconcile::ports::AutoScaling;

fn group(more: &str) -> String {
    format!(
        "<AutoScalingGroups><member><AutoScalingGroupName>g</AutoScalingGroupName><MinSize>0</MinSize>
         <MaxSize>4</MaxSize>{more}<Instances>
         <member><InstanceId>i-1</InstanceId><LifecycleState>InService</LifecycleState></member>
         <member><InstanceId>i-2</InstanceId><LifecycleState>Warmed:Stopped</LifecycleState></member>
         </Instances></member></AutoScalingGroups>"
    )
}

fn configuration(fields: &str) -> String {
    group(&format!("<WarmPoolConfiguration>{fields}</WarmPoolConfiguration><WarmPoolSize>1</WarmPoolSize>"))
}

const TWO: &str = "<MaxGroupPreparedCapacity>2</MaxGroupPreparedCapacity><MinSize>2</MinSize>";
const INSTANCES: &str = "<Instances><member><InstanceId>i-2</InstanceId><LifecycleState>Warmed:Stopped</LifecycleState>
    <LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId><Version>6</Version></LaunchTemplate></member></Instances>";

async fn warm_pool(described: &str, instances: &str) -> Option<WarmPool> {
    let replay = Replay::default().query("DescribeAutoScalingGroups", described).query("DescribeWarmPool", instances);
    replay.auto_scaling().group("g").await.unwrap().unwrap().warm_pool
}

#[tokio::test]
async fn describe_warm_pool_is_called_only_for_a_group_that_has_one_and_its_instances_are_none_of_the_group() {
    let replay = Replay::default().query("DescribeAutoScalingGroups", &group("<WarmPoolSize>0</WarmPoolSize>"));
    let found = replay.auto_scaling().group("g").await.unwrap().unwrap();
    assert_eq!((found.warm_pool, replay.sent().len()), (None, 1));
    assert_eq!(found.instances.iter().map(|instance| instance.id.as_str()).collect::<Vec<_>>(), ["i-1"]);
}

#[tokio::test]
async fn describe_warm_pool_reads_size_status_and_instances() {
    let found = warm_pool(&configuration(TWO), INSTANCES).await.unwrap();
    assert_eq!((found.size, found.is_being_deleted), (Some(2), false));
    let instance = &found.instances[0];
    assert_eq!((instance.id.as_str(), instance.lifecycle_state.as_str()), ("i-2", "Warmed:Stopped"));
    assert_eq!(instance.template_version, Some(6));
    let leaving = warm_pool(&configuration(&format!("{TWO}<Status>PendingDelete</Status>")), INSTANCES).await.unwrap();
    assert!(leaving.is_being_deleted);
}

#[tokio::test]
async fn describe_warm_pool_reads_every_page() {
    let replay = Replay::default()
        .query("DescribeAutoScalingGroups", &configuration(TWO))
        .query("DescribeWarmPool", &format!("{INSTANCES}<NextToken>n</NextToken>"))
        .query("DescribeWarmPool", INSTANCES);
    let found = replay.auto_scaling().group("g").await.unwrap().unwrap();
    assert_eq!(found.warm_pool.unwrap().instances.len(), 2);
    assert!(replay.sent()[2].form().contains("NextToken=n"));
}

#[tokio::test]
async fn warm_pool_without_a_configuration_leaves_until_its_instances_are_gone() {
    let gone = group("<WarmPoolSize>1</WarmPoolSize>");
    assert!(warm_pool(&gone, INSTANCES).await.unwrap().is_being_deleted);
    assert_eq!(warm_pool(&gone, "<Instances/>").await, None);
}

#[tokio::test]
async fn warm_pool_that_is_not_as_put_warm_pool_writes_it_has_no_size() {
    for fields in [
        "<MinSize>2</MinSize>",
        "<MaxGroupPreparedCapacity>3</MaxGroupPreparedCapacity><MinSize>2</MinSize>",
        &format!("{TWO}<PoolState>Running</PoolState>"),
        &format!("{TWO}<InstanceReusePolicy><ReuseOnScaleIn>true</ReuseOnScaleIn></InstanceReusePolicy>"),
    ] {
        assert_eq!(warm_pool(&configuration(fields), INSTANCES).await.unwrap().size, None, "{fields}");
    }
}

#[tokio::test]
async fn put_warm_pool_sends_both_bounds_and_stopped_instances_that_are_not_reused() {
    let replay = Replay::default().query("PutWarmPool", "");
    replay.auto_scaling().put_warm_pool("g", 2).await.unwrap();
    insta::assert_snapshot!(replay.sent()[0].form(), @r"
    Action=PutWarmPool
    AutoScalingGroupName=g
    InstanceReusePolicy.ReuseOnScaleIn=false
    MaxGroupPreparedCapacity=2
    MinSize=2
    PoolState=Stopped
    Version=2011-01-01
    ");
}

#[tokio::test]
async fn put_lifecycle_hook_continues_when_its_time_is_over() {
    let replay = Replay::default().query("PutLifecycleHook", "");
    replay.auto_scaling().put_launch_hook("g").await.unwrap();
    insta::assert_snapshot!(replay.sent()[0].form(), @r"
    Action=PutLifecycleHook
    AutoScalingGroupName=g
    DefaultResult=CONTINUE
    HeartbeatTimeout=600
    LifecycleHookName=github-runner-pool-launch
    LifecycleTransition=autoscaling:EC2_INSTANCE_LAUNCHING
    Version=2011-01-01
    ");
}

#[tokio::test]
async fn complete_lifecycle_action_is_about_one_instance() {
    let replay = Replay::default()
        .query("CompleteLifecycleAction", "")
        .query_error("ValidationError", "No active Lifecycle Action found with instance ID i-1");
    let client = replay.auto_scaling();
    client.complete_launch("g", "i-1").await.unwrap();
    client.complete_launch("g", "i-1").await.unwrap();
    insta::assert_snapshot!(replay.sent()[0].form(), @r"
    Action=CompleteLifecycleAction
    AutoScalingGroupName=g
    InstanceId=i-1
    LifecycleActionResult=CONTINUE
    LifecycleHookName=github-runner-pool-launch
    Version=2011-01-01
    ");
}

#[tokio::test]
async fn delete_warm_pool_is_forced_and_one_that_is_gone_is_done() {
    let replay = Replay::default()
        .query("DeleteWarmPool", "")
        .query_error("ValidationError", "No warm pool found for the Auto Scaling group g")
        .query_error("ValidationError", "No Lifecycle Hook found with name: github-runner-pool-launch")
        .query_error("ScalingActivityInProgress", "busy");
    let client = replay.auto_scaling();
    client.delete_warm_pool("g").await.unwrap();
    client.delete_warm_pool("g").await.unwrap();
    client.delete_launch_hook("g").await.unwrap();
    assert_eq!(client.delete_warm_pool("g").await.unwrap_err().kind(), ErrorKind::Conflict);
    let sent = replay.sent();
    assert!(sent[0].form().contains("ForceDelete=true"));
    assert!(sent[2].form().contains("LifecycleHookName=github-runner-pool-launch"));
}
