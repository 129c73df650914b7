"""A pool lives: made, changed in every way that a template can ask for, rolled back, replaced, gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.leftovers import leftovers
from sandbox.scenario import (
    ATTRIBUTES,
    BROKEN_IMAGE,
    IMAGE,
    LOGICAL_ID,
    OTHER_IMAGE,
    DeployedWorld,
    Entry,
    Pool,
)

# What an Update without a change may cost, AWS and GitHub together.
CALLS_WITHOUT_A_CHANGE = 12
# One runner fills an instance.
WHOLE_INSTANCE = 7000


@pytest.fixture(scope="module")
def made(deployed_world: DeployedWorld) -> Iterator[dict[str, Pool]]:
    """Several stacks, created at the same time to save the wait; all of them are up when the first test begins."""
    pools = {
        "changed": deployed_world.start("changed", DesiredCount=2, Tags=[{"Key": "team", "Value": "platform"}]),
        "replaced": deployed_world.start("replaced"),
        "broken": deployed_world.start("broken", DesiredCount=2),
        "gone": deployed_world.start("gone", DesiredCount=2),
        "moved": deployed_world.start("moved", MemoryReservation=WHOLE_INSTANCE),
    }
    yield {name: pool.up() for name, pool in pools.items()}
    for pool in pools.values():
        pool.stack.delete()
    for pool in pools.values():
        pool.stack.settled().expect("DELETE_COMPLETE")
    assert [left for pool in pools.values() for left in pool.leftovers()] == []


@pytest.fixture(scope="module")
def pool(made: dict[str, Pool]) -> Pool:
    """A pool that the tests of this module change one after the other."""
    return made["changed"]


def tags_of(resource: Entry) -> dict[str, str]:
    """Tags as a map, whichever way the service spells them."""
    listed = resource.get("tags") or resource.get("Tags") or []
    return {tag.get("key") or tag["Key"]: tag.get("value") or tag.get("Value") or "" for tag in listed}


def format_calls(calls: list[Entry]) -> str:
    """Calls as text."""
    return "\n".join(f"  {call['service']} {call['operation']} {call['status']}" for call in calls)


def test_create_waits_for_online_runners_and_returns_all_attributes(pool: Pool) -> None:
    assert len(pool.online()) == 2
    found = pool.outputs
    assert set(found) == {*ATTRIBUTES, "Ref"}
    group, service = pool.group, pool.service
    assert found == {
        "Ref": pool.id,
        "ServiceArn": service["serviceArn"],
        "ServiceName": pool.id,
        "ClusterName": service["clusterArn"].rsplit("/", 1)[1],
        "TaskDefinitionArn": service["taskDefinition"],
        "CapacityProviderName": pool.id,
        "AutoScalingGroupName": pool.id,
        "AutoScalingGroupArn": group["AutoScalingGroupARN"],
        "RunnerLabel": pool.id,
        "RunnerNamePrefix": f"github-runner-{pool.id.rsplit('-', 1)[1]}",
        "DesiredCount": "2",
        "OnlineRunners": "2",
        "RunnerScaleSetName": "",
    }
    assert all(runner["name"].startswith(found["RunnerNamePrefix"] + "-") for runner in pool.online())
    assert pool.id.startswith(f"ghr-{pool.stack.name}-{LOGICAL_ID}-")


def test_ownership_tags_are_on_every_resource(pool: Pool) -> None:
    owned = {
        "github-runner-pool:id": pool.id,
        "github-runner-pool:stack-id": pool.stack.id,
        "github-runner-pool:logical-id": LOGICAL_ID,
        "team": "platform",
    }
    for resource in (pool.group, pool.provider, pool.service, pool.task_definition):
        assert owned.items() <= tags_of(resource).items()


def test_service_timeout_change_writes_nothing(pool: Pool) -> None:
    before, runners, asked = pool.deployed_world.sequence, pool.runner_ids(), pool.requests()
    pool.update(ServiceTimeout=3000)
    calls = pool.deployed_world.calls_since(before)
    print(f"{len(calls)} calls:\n{format_calls(calls)}")
    assert pool.requests() == [*asked, "Update"]
    assert [call for call in calls if call["write"]] == []
    assert 0 < len(calls) <= CALLS_WITHOUT_A_CHANGE
    assert pool.runner_ids() == runners
    assert pool.outputs["OnlineRunners"] == "2"


def test_unrelated_template_change_does_not_invoke_the_function(pool: Pool) -> None:
    before, asked = pool.deployed_world.sequence, pool.requests()
    pool.update(description="Something else")
    assert pool.requests() == asked
    assert pool.deployed_world.calls_since(before) == []


def test_update_without_change_writes_nothing(pool: Pool) -> None:
    properties = pool.sent_properties()
    before, runners = pool.deployed_world.sequence, pool.runner_ids()
    response = pool.deployed_world.invoke(
        {
            "RequestType": "Update",
            "StackId": pool.stack.id,
            "LogicalResourceId": LOGICAL_ID,
            "PhysicalResourceId": pool.id,
            "ResourceProperties": properties,
            "OldResourceProperties": properties,
        }
    )
    calls = pool.deployed_world.calls_since(before)
    print(f"{len(calls)} calls:\n{format_calls(calls)}")
    assert response["Status"] == "SUCCESS", response
    assert response["PhysicalResourceId"] == pool.id
    assert response["Data"] == {name: value for name, value in pool.outputs.items() if name != "Ref"}
    assert [call for call in calls if call["write"]] == []
    assert 0 < len(calls) <= CALLS_WITHOUT_A_CHANGE
    assert pool.runner_ids() == runners


def test_larger_desired_count_adds_runners_and_keeps_existing_ones(pool: Pool) -> None:
    before, definition = pool.runner_ids(), pool.service["taskDefinition"]
    pool.update(DesiredCount=3)
    assert before < pool.runner_ids()
    assert len(pool.online()) == 3
    assert pool.outputs["OnlineRunners"] == pool.outputs["DesiredCount"] == "3"
    assert pool.service["taskDefinition"] == definition


def test_smaller_desired_count_retires_idle_runners_first(pool: Pool) -> None:
    before = pool.runner_ids()
    busy = max(pool.online(), key=lambda runner: runner["id"])
    job = pool.run(5, busy["name"])
    pool.update(DesiredCount=1)
    assert pool.job_ends(job) == "succeeded"
    assert pool.runner_ids() == {busy["id"]}
    assert busy["id"] in before
    assert [runner["id"] for runner in pool.runners()] == [busy["id"]]
    assert len(pool.tasks()) == pool.service["desiredCount"] == 1
    pool.update(DesiredCount=2)


def test_image_change_replaces_every_runner(pool: Pool) -> None:
    before, definition = pool.runner_ids(), pool.service["taskDefinition"]
    pool.update(Image=OTHER_IMAGE)
    assert pool.task_definition["containerDefinitions"][0]["image"] == OTHER_IMAGE
    assert pool.outputs["TaskDefinitionArn"] == pool.service["taskDefinition"] != definition
    assert {task["taskDefinitionArn"] for task in pool.tasks()} == {pool.service["taskDefinition"]}
    assert len(pool.online()) == len(pool.runners()) == 2
    assert not before & pool.runner_ids()


def test_labels_change_keeps_the_pools_own_label(pool: Pool) -> None:
    pool.update(Labels=["gpu", "nightly"])
    assert len(pool.online()) == len(pool.runners()) == 2
    for runner in pool.runners():
        assert {"gpu", "nightly", pool.id, "self-hosted"} <= set(runner["labels"])
        assert "default" not in runner["labels"]


def test_tags_change_keeps_every_runner(pool: Pool) -> None:
    before, definition = pool.runner_ids(), pool.service["taskDefinition"]
    pool.update(Tags=[{"Key": "cost-centre", "Value": "42"}])
    for resource in (pool.group, pool.provider, pool.service, pool.task_definition):
        tags = tags_of(resource)
        assert tags["cost-centre"] == "42"
        assert "team" not in tags
        assert tags["github-runner-pool:id"] == pool.id
    assert pool.runner_ids() == before
    assert pool.service["taskDefinition"] == definition


def test_desired_count_zero(pool: Pool) -> None:
    pool.update(DesiredCount=0)
    assert pool.runners() == []
    assert pool.tasks() == []
    assert pool.outputs["OnlineRunners"] == "0"
    pool.update(DesiredCount=1)
    assert len(pool.online()) == 1


def test_launch_template_version_change_drains_instances_as_they_empty(made: dict[str, Pool]) -> None:
    pool = made["moved"]
    before = pool.runner_ids()
    old_instance = pool.tasks()[0]["containerInstanceArn"]
    assert pool.group["LaunchTemplate"]["Version"] == "1"

    pool.update(launch_template={"InstanceType": "m7i.large"})
    assert pool.group["LaunchTemplate"]["Version"] == "2"
    assert pool.runner_ids() == before
    status = {instance["containerInstanceArn"]: instance["status"] for instance in pool.container_instances()}
    assert status.pop(old_instance) == "ACTIVE"
    assert set(status.values()) <= {"DRAINING"}

    pool.update(Image=OTHER_IMAGE)
    versions = {i["InstanceId"]: i["LaunchTemplate"]["Version"] for i in pool.group["Instances"]}
    instances = {instance["containerInstanceArn"]: instance for instance in pool.container_instances()}
    for task in pool.tasks():
        assert versions[instances[task["containerInstanceArn"]]["ec2InstanceId"]] == "2"
    for instance in instances.values():
        if versions.get(instance["ec2InstanceId"]) == "1":
            assert instance["status"] == "DRAINING"
    assert len(pool.online()) == 1


def test_image_that_cannot_start_rolls_back_and_keeps_old_runners(made: dict[str, Pool]) -> None:
    pool = made["broken"]
    world, began = pool.world, pool.deployed_world.sequence
    before = pool.online()
    job = pool.run(6, before[0]["name"])
    pool.begin_update(Image=BROKEN_IMAGE).settled().expect("UPDATE_ROLLBACK_COMPLETE")
    reason = pool.stack.reasons(LOGICAL_ID)[0]
    print(reason)
    assert "CannotPullContainerError" in reason
    assert "circuit breaker" in reason
    failed = next(response for response in pool.responses() if response["what"] == "FAILED")
    names = {runner["name"] for runner in before}
    gone = [e for e in world.events("runner", began) if e["what"] not in ("busy", "idle") and e["runner"] in names]
    assert all(event["seq"] > failed["seq"] for event in gone)
    assert pool.job_ends(job) == "succeeded"
    assert pool.task_definition["containerDefinitions"][0]["image"] == IMAGE
    assert len(pool.online()) == len(pool.runners()) == 2
    assert len(pool.tasks()) == pool.service["desiredCount"] == 2
    pool.properties["Image"] = IMAGE


def test_second_rollback_ends_with_a_full_pool_and_the_job_done(made: dict[str, Pool]) -> None:
    # ECS here starts a new deployment for the old revision, so idle runners may be replaced by the same kind.
    pool = made["broken"]
    job = pool.run(3, pool.online()[0]["name"])
    pool.begin_update(Image=BROKEN_IMAGE).settled().expect("UPDATE_ROLLBACK_COMPLETE")
    assert pool.job_ends(job) == "succeeded"
    assert len(pool.online()) == 2
    assert len(pool.runners()) == 2
    pool.properties["Image"] = IMAGE


def test_org_name_change_replaces_the_pool(made: dict[str, Pool]) -> None:
    pool = made["replaced"]
    old = pool.id
    cluster = pool.cluster
    pool.update(OrgName="globex")
    assert pool.id != old
    assert pool.requests() == ["Create", "Update", "Delete"]
    assert pool.cluster == cluster
    assert len(pool.online("orgs/globex")) == 1
    assert leftovers(pool.world, old) == []
    online = [event["at"] for event in pool.world.events("runner") if event["what"] == "online"]
    gone = [
        event["at"]
        for event in pool.world.events("runner")
        if event["what"] == "deleted by request" and old.rsplit("-", 1)[1] in event["runner"]
    ]
    assert online[-1] < min(gone)


def test_delete_leaves_nothing_behind(made: dict[str, Pool]) -> None:
    pool = made["gone"]
    world, cluster, pool_id = pool.world, pool.cluster, pool.id
    there = leftovers(world, pool_id)
    kinds = ("runner", "group", "hook", "provider", "association", "service", "task definition", "container instance")
    assert [kind for kind in kinds if not any(thing.startswith(kind) for thing in there)] == []
    pool.delete()
    assert pool.leftovers() == []
    clusters = world.client("ecs").describe_clusters(clusters=[cluster])["clusters"]
    assert [found["status"] for found in clusters if found["status"] != "INACTIVE"] == []
    # Each runner was deregistered; none outlived its machine.
    digits = pool_id.rsplit("-", 1)[1]
    behind = [event for event in world.events("runner") if event["what"] == "left behind"]
    assert [event for event in behind if digits in event["runner"]] == []
