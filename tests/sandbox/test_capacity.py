"""Capacity providers, associations, groups and instances behave as AWS documents them."""

from __future__ import annotations

import pytest

from sandbox.ecs_pool import EcsPool, client_error
from sandbox.world import World


def test_managed_scaling_scales_out_from_zero(pool: EcsPool) -> None:
    pool.make_capacity().make_service(2)
    runners = pool.wait_online(2)
    assert all(runner["labels"] == ["self-hosted", "Linux", "X64", pool.label] for runner in runners)
    machines = pool.group["Instances"]
    assert machines
    assert all(m["ProtectedFromScaleIn"] and m["LaunchTemplate"]["Version"] == "1" for m in machines)
    joined = pool.instances()
    assert {i["capacityProviderName"] for i in joined} == {pool.name}
    assert {i["ec2InstanceId"] for i in joined} <= {m["InstanceId"] for m in machines}
    assert {pool.runner_of(task) for task in pool.tasks()} == {runner["name"] for runner in runners}


def test_managed_scaling_stays_within_max_size(world: World, pool: EcsPool) -> None:
    pool.make_capacity(max_size=1).make_service(3, pool.define(memory=7000))
    pool.wait_online(1)
    world.wait_for("a complaint", lambda: "unable to place a task" in str(pool.service["events"]))
    assert pool.group["DesiredCapacity"] == 1
    assert [t["lastStatus"] for t in pool.tasks()].count("PROVISIONING") == 2


def test_provisioning_task_times_out_and_counts_for_the_circuit_breaker(world: World, pool: EcsPool) -> None:
    with world.faults(agents="silent"):
        pool.make_capacity().make_service(4)
        world.wait_for("the failure", lambda: pool.service["deployments"][0]["rolloutState"] == "FAILED", 60)
    service = pool.service
    assert service["deployments"][0]["failedTasks"] >= 3
    message = "was unable to start a task. Reason: TaskFailedToStart: EMPTY CAPACITY PROVIDER"
    assert message in str(service["events"])
    stopped = pool.tasks("STOPPED")
    assert {task["stoppedReason"] for task in stopped} == {"TaskFailedToStart: EMPTY CAPACITY PROVIDER"}
    waited = [(task["stoppedAt"] - task["createdAt"]).total_seconds() for task in stopped]
    assert min(waited) >= 3


@pytest.mark.parametrize(("memory", "reason"), [(7000, "RESOURCE:MEMORY"), (700, "RESOURCE:CPU")])
def test_stopped_reason_in_a_full_group_names_the_missing_resource(
    world: World, pool: EcsPool, memory: int, reason: str
) -> None:
    pool.make_capacity(max_size=1)
    cpu = 2000 if reason == "RESOURCE:CPU" else 0
    made = pool.ecs.register_task_definition(
        family=pool.name, containerDefinitions=[{"name": "app", "image": "nginx", "memory": memory, "cpu": cpu}]
    )
    pool.make_service(2, made["taskDefinition"]["taskDefinitionArn"])

    def reasons() -> set[str]:
        return {task["stoppedReason"] for task in pool.tasks("STOPPED")}

    found = world.wait_for("the stop", reasons, 60)
    assert found == {f"TaskFailedToStart: {reason}"}


def test_stopped_reason_while_all_instances_drain(world: World, pool: EcsPool) -> None:
    pool.make_capacity(max_size=1).make_service(1)
    pool.wait_online(1)
    arns = [instance["containerInstanceArn"] for instance in pool.instances()]
    pool.ecs.update_container_instances_state(cluster=pool.cluster, containerInstances=arns, status="DRAINING")
    made = {"taskDefinition": pool.define(), "cluster": pool.cluster}
    strategy = [{"capacityProvider": pool.name, "weight": 1}]
    task = pool.ecs.run_task(**made, capacityProviderStrategy=strategy)["tasks"][0]["taskArn"]

    def reason() -> str:
        return str(pool.ecs.describe_tasks(cluster=pool.cluster, tasks=[task])["tasks"][0].get("stoppedReason", ""))

    assert world.wait_for("the stop", reason, 60) == "TaskFailedToStart: NO ACTIVE INSTANCES"


def test_distinct_instance_constraint_spreads_tasks(pool: EcsPool) -> None:
    pool.make_capacity().make_service(3, placementConstraints=[{"type": "distinctInstance"}])
    pool.wait_online(3)
    assert len({task["containerInstanceArn"] for task in pool.tasks()}) == 3


def test_managed_scaling_unprotects_and_terminates_idle_instances(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    pool.update(desiredCount=0)
    world.wait_for("an empty group", lambda: not pool.group["Instances"])
    world.wait_for("no registrations", lambda: not pool.instances())
    assert pool.group["DesiredCapacity"] == 0


def test_put_cluster_capacity_providers_conflicts_while_an_update_is_in_progress(pool: EcsPool) -> None:
    pool.make_capacity()
    pool.associate([pool.name])
    with client_error("UpdateInProgressException", "busy state"):
        pool.associate([pool.name])
    pool.wait_associated()
    hooks = pool.auto_scaling.describe_lifecycle_hooks(AutoScalingGroupName=pool.name)["LifecycleHooks"]
    assert [hook["LifecycleHookName"] for hook in hooks] == ["ecs-managed-draining-termination-hook"]
    assert "AmazonECSManaged" in [tag["Key"] for tag in pool.group["Tags"]]


def test_put_cluster_capacity_providers_rejects_removing_a_provider_in_use(pool: EcsPool) -> None:
    pool.make_capacity().make_service(0)
    with client_error("ResourceInUseException", "in use"):
        pool.associate([])


def test_delete_capacity_provider_fails_while_associated(world: World, pool: EcsPool) -> None:
    pool.make_capacity()
    response = pool.ecs.delete_capacity_provider(capacityProvider=pool.name)
    assert response["capacityProvider"]["status"] == "ACTIVE"
    world.wait_for("the failure", lambda: pool.provider["updateStatus"] == "DELETE_FAILED")
    assert pool.cluster in pool.provider["updateStatusReason"]
    pool.associate([])
    pool.wait_associated()
    pool.ecs.delete_capacity_provider(capacityProvider=pool.name)
    world.wait_for("the deletion", lambda: pool.provider["status"] == "INACTIVE")
    with client_error("ClientException", "does not exist"):
        pool.ecs.delete_capacity_provider(capacityProvider=pool.name)


def test_capacity_provider_must_be_active_and_not_updating(world: World, pool: EcsPool) -> None:
    made = {"autoScalingGroupArn": pool.make_group(), "managedScaling": {"status": "ENABLED"}}
    pool.ecs.create_capacity_provider(name=pool.name, autoScalingGroupProvider=made)
    assert (pool.provider["status"], pool.provider["updateStatus"]) == ("PROVISIONING", "CREATE_IN_PROGRESS")
    with client_error("InvalidParameterException", f"'{pool.name}' is not in an ACTIVE state"):
        pool.associate([pool.name])
    with client_error("UpdateInProgressException", "busy state"):
        pool.ecs.delete_capacity_provider(capacityProvider=pool.name)
    pool.wait_active()
    change = {"managedScaling": {"targetCapacity": 90}}
    pool.ecs.update_capacity_provider(name=pool.name, autoScalingGroupProvider=change)
    with client_error("UpdateInProgressException", "busy state"):
        pool.ecs.update_capacity_provider(name=pool.name, autoScalingGroupProvider=change)
    with client_error("UpdateInProgressException", "busy state"):
        pool.ecs.delete_capacity_provider(capacityProvider=pool.name)
    world.wait_for("the update", lambda: pool.provider["updateStatus"] == "UPDATE_COMPLETE")
    pool.ecs.delete_capacity_provider(capacityProvider=pool.name)
    with client_error("InvalidParameterException", "is not in an ACTIVE state"):
        pool.associate([pool.name])
    with client_error("InvalidParameterException", "was not found"):
        pool.associate([f"{pool.name}-x"])


def test_update_capacity_provider_failure_keeps_the_provider_active(world: World, pool: EcsPool) -> None:
    pool.make_capacity()
    world.post("/faults", provider_updates=[{"provider": pool.name, "times": 1, "reason": "no scaling plan"}])
    change = {"managedScaling": {"targetCapacity": 90}}
    pool.ecs.update_capacity_provider(name=pool.name, autoScalingGroupProvider=change)
    world.wait_for("the failure", lambda: pool.provider["updateStatus"] == "UPDATE_FAILED")
    failed = pool.provider
    assert (failed["status"], failed["updateStatusReason"]) == ("ACTIVE", "no scaling plan")
    assert failed["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"] == 100
    pool.ecs.update_capacity_provider(name=pool.name, autoScalingGroupProvider=change)
    world.wait_for("the update", lambda: pool.provider["updateStatus"] == "UPDATE_COMPLETE")
    assert "updateStatusReason" not in pool.provider
    assert pool.provider["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"] == 90


def test_managed_termination_protection_needs_scale_in_protection(pool: EcsPool) -> None:
    arn = pool.make_group()
    pool.auto_scaling.update_auto_scaling_group(AutoScalingGroupName=pool.name, NewInstancesProtectedFromScaleIn=False)
    provider = {
        "autoScalingGroupArn": arn,
        "managedScaling": {"status": "ENABLED"},
        "managedTerminationProtection": "ENABLED",
    }
    with client_error("ClientException", "managed termination protection"):
        pool.ecs.create_capacity_provider(name=pool.name, autoScalingGroupProvider=provider)
    with client_error("ClientException", "name is invalid"):
        pool.ecs.create_capacity_provider(name="ecs-x", autoScalingGroupProvider={"autoScalingGroupArn": arn})
    pool.ecs.create_capacity_provider(name=pool.name, autoScalingGroupProvider={"autoScalingGroupArn": arn})
    with client_error("ClientException", "already being used"):
        pool.ecs.create_capacity_provider(name="other", autoScalingGroupProvider={"autoScalingGroupArn": arn})


def test_delete_auto_scaling_group_with_instances_needs_force_delete(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    with client_error("ResourceInUse"):
        pool.auto_scaling.delete_auto_scaling_group(AutoScalingGroupName=pool.name)
    pool.ecs.delete_service(cluster=pool.cluster, service=pool.name, force=True)
    world.wait_for("the drained service", lambda: pool.service["status"] == "INACTIVE")
    pool.auto_scaling.delete_auto_scaling_group(AutoScalingGroupName=pool.name, ForceDelete=True)
    assert pool.group["Status"] == "Delete in progress"
    find = pool.auto_scaling.describe_auto_scaling_groups
    world.wait_for("no group", lambda: not find(AutoScalingGroupNames=[pool.name])["AutoScalingGroups"])
    strays = pool.instances()
    assert strays
    assert not any(stray["agentConnected"] for stray in strays)
    with client_error("ClusterContainsContainerInstancesException"):
        pool.ecs.delete_cluster(cluster=pool.cluster)
    for stray in strays:
        pool.ecs.deregister_container_instance(
            cluster=pool.cluster, containerInstance=stray["containerInstanceArn"], force=True
        )
    pool.ecs.delete_cluster(cluster=pool.cluster)


def test_scale_in_protection_keeps_instances_until_it_is_removed(world: World, pool: EcsPool) -> None:
    pool.make_group()
    group = {"AutoScalingGroupName": pool.name}
    pool.auto_scaling.set_desired_capacity(**group, DesiredCapacity=1)
    world.wait_for("a machine", lambda: [m for m in pool.group["Instances"] if m["LifecycleState"] == "InService"])
    pool.auto_scaling.update_auto_scaling_group(**group, MinSize=0, DesiredCapacity=0)
    activities = pool.auto_scaling.describe_scaling_activities
    world.wait_for("the complaint", lambda: "protected from scale-in" in str(activities(**group)["Activities"]))
    ids = [machine["InstanceId"] for machine in pool.group["Instances"]]
    pool.auto_scaling.set_instance_protection(**group, InstanceIds=ids, ProtectedFromScaleIn=False)
    world.wait_for("an empty group", lambda: not pool.group["Instances"])


def test_terminating_lifecycle_hook_keeps_an_instance_until_the_hook_is_deleted(world: World, pool: EcsPool) -> None:
    pool.make_group()
    group = {"AutoScalingGroupName": pool.name}
    pool.auto_scaling.put_lifecycle_hook(
        **group, LifecycleHookName="hook", LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING"
    )
    pool.auto_scaling.update_auto_scaling_group(**group, NewInstancesProtectedFromScaleIn=False)
    pool.auto_scaling.set_desired_capacity(**group, DesiredCapacity=1)
    world.wait_for("a machine", lambda: [m for m in pool.group["Instances"] if m["LifecycleState"] == "InService"])
    pool.auto_scaling.set_desired_capacity(**group, DesiredCapacity=0)
    world.wait_for("the wait", lambda: pool.group["Instances"][0]["LifecycleState"] == "Terminating:Wait")
    pool.auto_scaling.delete_lifecycle_hook(**group, LifecycleHookName="hook")
    world.wait_for("an empty group", lambda: not pool.group["Instances"])


def test_describe_scaling_activities_shows_failed_launches(world: World, pool: EcsPool) -> None:
    pool.make_capacity()
    with world.faults(launches="fail"):
        pool.make_service(1)
        find = pool.auto_scaling.describe_scaling_activities
        found = world.wait_for("an activity", lambda: find(AutoScalingGroupName=pool.name)["Activities"])
        assert found[0]["StatusCode"] == "Failed"
        assert found[0]["Progress"] == 100
        assert "sufficient" in found[0]["StatusMessage"]
    pool.wait_online(1)


def test_ecs_cluster_in_user_data_decides_the_cluster(world: World, pool: EcsPool) -> None:
    other = f"{pool.cluster}-other"
    pool.ecs.create_cluster(clusterName=other)
    pool.make_capacity(pool.make_template(other, f"{pool.name}-other")).make_service(1)
    find = pool.ecs.list_container_instances
    world.wait_for("an instance elsewhere", lambda: find(cluster=other)["containerInstanceArns"])
    assert not pool.instances()
    assert {task["lastStatus"] for task in pool.tasks()} == {"PROVISIONING"}


def test_ecs_cluster_in_user_data_may_be_an_arn(world: World, pool: EcsPool) -> None:
    arn = pool.ecs.describe_clusters(clusters=[pool.cluster])["clusters"][0]["clusterArn"]
    pool.make_capacity(pool.make_template(arn, f"{pool.name}-arn")).make_service(1)
    pool.wait_online(1)
    elsewhere = arn.replace("us-east-1", "eu-west-1")
    other = EcsPool(world)
    other.make_group(other.make_template(elsewhere, f"{other.name}-elsewhere"))
    world.client("autoscaling").set_desired_capacity(AutoScalingGroupName=other.name, DesiredCapacity=1)

    def failed_agents() -> list[str]:
        return [event["cluster"] for event in world.events("instance") if event["what"] == "cannot register"]

    world.wait_for("the agent that joins nothing", lambda: elsewhere in failed_agents())
    other.tear_down()


def test_mixed_instances_policy_keeps_overrides_until_removed(pool: EcsPool) -> None:
    pool.make_group()
    update = pool.auto_scaling.update_auto_scaling_group
    template = {"LaunchTemplateId": pool.template, "Version": "1"}

    def types() -> list[str]:
        templates = pool.group["MixedInstancesPolicy"]["LaunchTemplate"]
        return [override["InstanceType"] for override in templates.get("Overrides", [])]

    def policy(**more: list[dict[str, str]]) -> dict[str, dict[str, object]]:
        return {"LaunchTemplate": {"LaunchTemplateSpecification": template, **more}}

    def put(**more: list[dict[str, str]]) -> list[str]:
        update(AutoScalingGroupName=pool.name, MixedInstancesPolicy=policy(**more))
        return types()

    assert put(Overrides=[{"InstanceType": "m6i.large"}]) == ["m6i.large"]
    assert put(Overrides=[]) == ["m6i.large"]
    assert put() == ["m6i.large"]
    update(AutoScalingGroupName=pool.name, LaunchTemplate=template)
    assert put(Overrides=[]) == []


def test_describe_auto_scaling_groups_returns_what_was_created(pool: EcsPool) -> None:
    arn = pool.make_group()
    with client_error("AlreadyExists"):
        pool.make_group()
    pool.auto_scaling.update_auto_scaling_group(
        AutoScalingGroupName=pool.name,
        MixedInstancesPolicy={
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {"LaunchTemplateId": pool.template, "Version": "1"},
                "Overrides": [{"InstanceType": "m6i.large"}, {"InstanceType": "m5.large"}],
            },
            "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 50},
        },
    )
    group = pool.group
    assert group["AutoScalingGroupARN"] == arn
    assert "LaunchTemplate" not in group
    policy = group["MixedInstancesPolicy"]
    assert [o["InstanceType"] for o in policy["LaunchTemplate"]["Overrides"]] == ["m6i.large", "m5.large"]
    assert policy["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"] == 50
    assert {"owner": "a&b"}.items() <= {tag["Key"]: tag["Value"] for tag in group["Tags"]}.items()
    with client_error("ValidationError", "must be between"):
        pool.auto_scaling.update_auto_scaling_group(AutoScalingGroupName=pool.name, DesiredCapacity=9)
