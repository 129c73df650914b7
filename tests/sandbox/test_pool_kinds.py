"""Pools with AppId, CapacityProvider, Ephemeral, RegisterBy and RunnerName, and several at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.ecs_pool import EcsPool
from sandbox.leftovers import leftovers
from sandbox.scenario import LOGICAL_ID, OTHER_IMAGE, TEMPLATES, DeployedWorld, Pool
from sandbox.world import PROVIDER_STACK

APP_KEY = "/github-runner-pool/app-key"


@pytest.fixture(scope="module")
def ecs_pool(deployed_world: DeployedWorld) -> Iterator[EcsPool]:
    """A cluster with a capacity provider that is none of the pool's."""
    made = EcsPool(deployed_world.world).make_capacity()
    yield made
    made.tear_down()


@pytest.fixture(scope="module")
def pools(deployed_world: DeployedWorld, ecs_pool: EcsPool) -> dict[str, Pool]:
    world = deployed_world.world
    key = world.put_app("4711", {99: "orgs/acme"})
    deployed_world.planted += [line for line in key.splitlines() if len(line) > 40 and "-----" not in line]
    world.put_parameter(APP_KEY, key)
    world.post("/github/runner-groups", target="orgs/acme", name="silver")
    own = dict.fromkeys(("LaunchTemplate", "Subnets"))
    made = {
        "app": deployed_world.start(
            "app", AccessTokenParameter=None, AppId="4711", AppPrivateKeyParameter=APP_KEY, RunnerGroup="silver"
        ),
        "named": deployed_world.start("named", Cluster=ecs_pool.cluster, CapacityProvider=ecs_pool.name, **own),
        "ephemeral": deployed_world.start("ephemeral", DesiredCount=2, Ephemeral=True),
        "fixed": deployed_world.start("fixed", RunnerName="the-only-one"),
        "container": deployed_world.start("container", RegisterBy="Container"),
    }
    return {name: pool.up() for name, pool in made.items()}


def test_app_id_pool_registers_runners_in_runner_group(pools: dict[str, Pool]) -> None:
    pool = pools["app"]
    container = pool.task_definition["containerDefinitions"][0]
    assert container["secrets"] == []
    assert {"name": "RUNNER_GROUP", "value": "silver"} in container["environment"]
    _, groups = pool.world.github_call("GET", "/orgs/acme/actions/runner-groups")
    silver = next(group["id"] for group in groups["runner_groups"] if group["name"] == "silver")
    _, inside = pool.world.github_call("GET", f"/orgs/acme/actions/runner-groups/{silver}/runners")
    assert [runner["id"] for runner in inside["runners"]] == [runner["id"] for runner in pool.online()]
    pool.update(DesiredCount=2)
    assert pool.outputs["OnlineRunners"] == "2"
    pool.delete()
    assert pool.leftovers() == []


def test_register_by_container_has_the_credential_and_the_image_register(pools: dict[str, Pool]) -> None:
    """And an Update to Function waits for the job on the old runner."""
    pool, world = pools["container"], pools["container"].world
    [old] = pool.online()
    container = pool.task_definition["containerDefinitions"][0]
    assert [secret["name"] for secret in container["secrets"]] == ["ACCESS_TOKEN"]
    assert "entryPoint" not in container
    assert "taskRoleArn" not in pool.task_definition
    job = pool.run(4)
    pool.update(RegisterBy="Function")
    assert pool.job_ends(job) == "succeeded"
    assert world.job(job)["runner"] == old["name"]
    definition = pool.task_definition
    assert definition["containerDefinitions"][0]["secrets"] == []
    assert definition["taskRoleArn"] == world.stacks.get(PROVIDER_STACK).outputs["RunnerRoleArn"]
    [new] = pool.online()
    assert new["name"].endswith(pool.tasks()[0]["taskArn"].rsplit("/", 1)[-1][:12])
    pool.delete()
    assert pool.leftovers() == []


def test_capacity_provider_property_is_used_and_never_changed(pools: dict[str, Pool], ecs_pool: EcsPool) -> None:
    pool, world = pools["named"], pools["named"].world
    before, began = described(ecs_pool), pool.deployed_world.sequence
    assert pool.outputs["CapacityProviderName"] == ecs_pool.name
    assert pool.outputs["AutoScalingGroupName"] == pool.outputs["AutoScalingGroupArn"] == ""
    assert {task["capacityProviderName"] for task in pool.tasks()} == {ecs_pool.name}
    pool.update(Image=OTHER_IMAGE)
    pool_id = pool.id
    pool.delete()
    assert pool.leftovers() == []
    assert described(ecs_pool) == before
    cluster = world.client("ecs").describe_clusters(clusters=[ecs_pool.cluster])["clusters"][0]
    assert cluster["capacityProviders"] == [ecs_pool.name]
    about = [call for call in world.calls(writes=True) if ecs_pool.name in str(call.get("request"))]
    written = {call["operation"] for call in about if call["seq"] > began or pool_id in str(call.get("request"))}
    assert not written & {
        "PutClusterCapacityProviders",
        "UpdateCapacityProvider",
        "DeleteCapacityProvider",
        "UpdateContainerInstancesState",
        "DeregisterContainerInstance",
    }
    assert [call for call in about if call["service"] == "autoscaling"] == []


def described(ecs_pool: EcsPool) -> list[dict[str, Any]]:
    """The provider and its group, without what managed scaling moves."""
    moving = ("Instances", "DesiredCapacity", "updateStatus", "updateStatusReason")
    return [
        {key: value for key, value in found.items() if key not in moving}
        for found in (ecs_pool.provider, ecs_pool.group)
    ]


def test_ephemeral_pool_has_a_new_runner_after_every_job(pools: dict[str, Pool]) -> None:
    pool = pools["ephemeral"]
    previous = pool.runner_ids()
    jobs = [pool.queue(0.5) for _ in range(5)]
    for job in jobs:
        assert pool.job_ends(job) == "succeeded"
    assert len({pool.world.job(job)["runner"] for job in jobs}) == len(jobs)
    pool.world.wait_for("fresh runners", lambda: len(pool.online()) == 2 and not previous & pool.runner_ids())
    job = pool.run(4)
    pool.update(Image=OTHER_IMAGE)
    assert pool.job_ends(job) == "succeeded"
    assert len(pool.online()) == 2
    job = pool.run(3)
    pool.delete()
    assert pool.world.job(job)["state"] == "succeeded"
    assert pool.leftovers() == []


def test_runner_name_survives_an_image_update(pools: dict[str, Pool]) -> None:
    pool = pools["fixed"]
    [before] = pool.online()
    assert before["name"] == pool.outputs["RunnerNamePrefix"] == "the-only-one"
    job = pool.run(3)
    pool.update(Image=OTHER_IMAGE)
    assert pool.world.job(job)["state"] == "succeeded"
    [after] = pool.runners()
    assert (after["name"], after["status"]) == ("the-only-one", "online")
    assert after["id"] != before["id"]
    assert pool.task_definition["containerDefinitions"][0]["image"] == OTHER_IMAGE
    pool.delete()
    assert pool.leftovers() == []


def test_four_pools_template_creates_and_deletes_concurrently(deployed_world: DeployedWorld) -> None:
    world = deployed_world.world
    stack = deployed_world.start_template(
        "four", TEMPLATES / "four-pools.yaml", IdleConfirmation="1", OnlineTimeout="120", DrainTimeout="60"
    )
    stack.settled().expect("CREATE_COMPLETE")
    ids = {name: stack.physical_id(name) for name in ("Small", "Large", "Spot", "Plain")}
    assert len(set(ids.values())) == 4
    for pool_id in ids.values():
        assert [r for r in world.online_runners() if pool_id in r["labels"]] != []
    cluster = world.client("ecs").describe_clusters(clusters=[stack.physical_id("Cluster")])["clusters"][0]
    assert set(cluster["capacityProviders"]) >= set(ids.values())
    jobs = [world.queue_job([pool_id], 3) for pool_id in ids.values()]
    world.wait_for("the jobs", lambda: all(world.job(job)["state"] == "running" for job in jobs))
    stack.delete().settled().expect("DELETE_COMPLETE")
    asked = [event for event in world.events("request") if event["stack_id"] == stack.id]
    assert [event["what"] for event in asked] == ["Create"] * 4 + ["Delete"] * 4
    for request in ("Create", "Delete"):
        times = [event["at"] for event in asked if event["what"] == request]
        responded = [
            event["at"]
            for event in world.events("response")
            if event.get("request_type") == request and event["request_id"] in {one["request_id"] for one in asked}
        ]
        assert len(responded) == 4
        assert max(times) < min(responded)
    assert [world.job(job)["state"] for job in jobs] == ["succeeded"] * 4
    assert [thing for pool_id in ids.values() for thing in leftovers(world, pool_id)] == []


def test_pool_template_works_unchanged(deployed_world: DeployedWorld) -> None:
    stack = deployed_world.start_template("complete", TEMPLATES / "pool.yaml", IdleConfirmation="1", DesiredCount="2")
    stack.settled().expect("CREATE_COMPLETE")
    pool_id = stack.physical_id(LOGICAL_ID)
    assert stack.outputs["OnlineRunners"] == "2"
    stack.update(Image=OTHER_IMAGE, DesiredCount="1").settled().expect("UPDATE_COMPLETE")
    assert len([r for r in deployed_world.world.online_runners() if pool_id in r["labels"]]) == 1
    stack.delete().settled().expect("DELETE_COMPLETE")
    assert leftovers(deployed_world.world, pool_id) == []
