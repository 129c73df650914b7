"""`WarmInstances`: the warm pool of a pool's group, by the real function."""

from __future__ import annotations

import base64

from sandbox.scenario import OTHER_IMAGE, TEMPLATES, DeployedWorld, Entry, Pool, Properties
from sandbox.test_status import ask, make_status
from sandbox.world import World

CHECK = " >> /etc/ecs/ecs.config\necho ECS_WARM_POOLS_CHECK=true >> /etc/ecs/ecs.config\n"
USER_DATA: Properties = {
    "UserData": {"Fn::Base64": {"Fn::Join": ["", ["#!/bin/bash\necho ECS_CLUSTER=", {"Ref": "Cluster"}, CHECK]]}}
}
HOOK = "github-runner-pool-launch"
# For one runner on each instance, of which t3.large has 7,700 MiB.
ON_ITS_OWN = 5000


def warm(pool: Pool) -> list[Entry]:
    """The stopped instances."""
    described = pool.world.client("autoscaling").describe_warm_pool(AutoScalingGroupName=pool.id)
    return [instance for instance in described["Instances"] if instance["LifecycleState"] == "Warmed:Stopped"]


def warm_ids(pool: Pool) -> set[str]:
    return {instance["InstanceId"] for instance in warm(pool)}


def wait_warm(pool: Pool, count: int) -> set[str]:
    """Waits until there are so many; their ids."""

    def enough() -> list[Entry] | None:
        found = warm(pool)
        return found if len(found) == count else None

    return {instance["InstanceId"] for instance in pool.world.wait_for(f"{count} stopped instances", enough, 60)}


def hooks(pool: Pool) -> list[str]:
    described = pool.world.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=pool.id)
    return [hook["LifecycleHookName"] for hook in described["LifecycleHooks"]]


def states(world: World, machine: str) -> list[str]:
    """What a machine went through."""
    return [event["what"] for event in world.events("machine") if event["machine"] == machine]


def calls(pool: Pool, after: int) -> list[str]:
    """The writes about its warm pool, in order."""
    about = ("PutLifecycleHook", "PutWarmPool", "DeleteWarmPool", "DeleteLifecycleHook", "CompleteLifecycleAction")
    return [
        call["operation"]
        for call in pool.world.calls(service="autoscaling", writes=True)
        if call["seq"] > after and call["operation"] in about and pool.id in str(call.get("request"))
    ]


def test_warm_instances_start_runners_and_are_replaced_and_removed(deployed_world: DeployedWorld) -> None:
    world = deployed_world.world
    pool = deployed_world.start(
        "warm", USER_DATA, DesiredCount=1, MemoryReservation=ON_ITS_OWN, MaxInstances=6, WarmInstances=2
    ).up()
    assert not any("Warm" in str(response["reason"]) for response in pool.responses()), "a warning of the user data"
    first = wait_warm(pool, 2)
    assert HOOK in hooks(pool)
    assert first & {instance["ec2InstanceId"] for instance in pool.container_instances()} == set()
    (shown,) = ask(deployed_world, pool.stack.name)
    assert {it["Id"] for it in shown["Instances"] if it["LifecycleState"].startswith("Warmed:")} >= warm_ids(pool)
    assert "Warmed:Stopped" in make_status(deployed_world, pool.stack.name)

    # A new runner needs an instance: a stopped one starts, the function lets it join, and another takes its place.
    pool.update(DesiredCount=2)
    started = first & {instance["ec2InstanceId"] for instance in pool.container_instances()}
    assert started
    for machine in started:
        way = ["Warmed:Pending:Wait", "Warmed:Stopped", "Pending", "Pending:Wait", "InService"]
        assert states(world, machine)[:5] == way
    completed = [call for call in world.calls() if call["operation"] == "CompleteLifecycleAction"]
    assert all(any(machine in str(call["request"]) for call in completed) for machine in started)
    second = wait_warm(pool, 2)
    assert second != first

    # Another launch template: the stopped instances of the old one go before new runners start.
    began = deployed_world.sequence
    pool.update(launch_template={"InstanceType": "m7i.large"}, Image=OTHER_IMAGE)
    assert calls(pool, began)[:3] == ["DeleteWarmPool", "PutLifecycleHook", "PutWarmPool"]
    third = wait_warm(pool, 2)
    assert third & second == set()
    assert {instance["LaunchTemplate"]["Version"] for instance in warm(pool)} == {"2"}

    pool.update(WarmInstances=0)
    assert "WarmPoolConfiguration" not in pool.group
    assert HOOK not in hooks(pool)
    pool.update(WarmInstances=2)
    wait_warm(pool, 2)
    pool.delete()
    assert pool.leftovers() == []


def test_warm_instances_leave_before_spot_instances_come(deployed_world: DeployedWorld) -> None:
    pool = deployed_world.start("warmspot", USER_DATA, WarmInstances=1, DrainTimeout=60).up()
    wait_warm(pool, 1)
    pool.update(WarmInstances=0, OnDemandPercentageAboveBaseCapacity=0)
    assert "WarmPoolConfiguration" not in pool.group
    pool.delete()
    assert pool.leftovers() == []


def test_warm_instances_that_would_lose_jobs_are_named_before_anything_is_built(deployed_world: DeployedWorld) -> None:
    pool = deployed_world.start("nowarm", WarmInstances=1)
    reason = pool.failure_reason()
    assert "WarmInstances: the user data of the launch template lt-" in reason
    assert "does not contain ECS_WARM_POOLS_CHECK=true" in reason
    assert "Warnings" not in reason
    assert pool.leftovers() == []


def test_warm_instances_of_the_pool_template_keep_out_of_the_cluster(deployed_world: DeployedWorld) -> None:
    """Its user data writes the check only with WarmInstances."""
    stack = deployed_world.start_template("warmtemplate", TEMPLATES / "pool.yaml", WarmInstances="1")
    stack.settled().expect("CREATE_COMPLETE")
    ec2, template = deployed_world.world.client("ec2"), stack.physical_id("LaunchTemplate")

    def user_data(version: str) -> str:
        found = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=[version])
        encoded = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]
        return base64.b64decode(encoded).decode()

    assert "\necho ECS_WARM_POOLS_CHECK=true >> /etc/ecs/ecs.config\n" in user_data("1")
    assert "ExecStart=/usr/bin/docker pull myoung34/github-runner:" in user_data("1")
    stack.delete().settled().expect("DELETE_COMPLETE")
