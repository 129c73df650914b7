"""RunTask's tasks, which are of no service, behave as AWS documents them.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
"""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.ecs_pool import EcsPool, client_error
from sandbox.world import World

POOL_TAG = {"key": "owner", "value": "me"}


def request(pool: EcsPool, **more: Any) -> dict[str, Any]:
    """A RunTask of the pool's newest task definition."""
    strategy = [{"capacityProvider": pool.name, "weight": 1}]
    given = {"cluster": pool.cluster, "taskDefinition": pool.name, "capacityProviderStrategy": strategy}
    return {**given, "startedBy": pool.name, **more}


def run(pool: EcsPool, **more: Any) -> list[str]:
    """The ARNs of started tasks."""
    made = pool.ecs.run_task(**request(pool, **more))
    assert made["failures"] == []
    return [task["taskArn"] for task in made["tasks"]]


def describe(pool: EcsPool, arns: list[str]) -> list[dict[str, Any]]:
    return list(pool.ecs.describe_tasks(cluster=pool.cluster, tasks=arns, include=["TAGS"])["tasks"])


def statuses(pool: EcsPool, arns: list[str]) -> set[str]:
    return {task["lastStatus"] for task in describe(pool, arns)}


def stopped(world: World, pool: EcsPool, arns: list[str]) -> list[dict[str, Any]]:
    world.wait_for("their end", lambda: statuses(pool, arns) == {"STOPPED"})
    return describe(pool, arns)


def test_run_task_scales_out_from_zero_and_managed_scaling_scales_in_to_zero(world: World, pool: EcsPool) -> None:
    pool.make_capacity()
    pool.define(EPHEMERAL="1")
    assert pool.group["DesiredCapacity"] == 0
    [made] = pool.ecs.run_task(**request(pool, tags=[POOL_TAG]))["tasks"]
    assert (made["lastStatus"], made["desiredStatus"], made["group"]) == (
        "PROVISIONING",
        "RUNNING",
        f"family:{pool.name}",
    )
    assert (made["startedBy"], made["capacityProviderName"], made["tags"]) == (pool.name, pool.name, [POOL_TAG])
    more = run(pool, count=2)
    assert len(pool.wait_online(3)) == 3
    arns = [made["taskArn"], *more]
    jobs = [world.queue_job([pool.label], seconds=0.3) for _ in arns]
    ended = stopped(world, pool, arns)
    assert {world.job(job)["state"] for job in jobs} == {"succeeded"}
    assert {(task["stopCode"], task["containers"][0]["exitCode"]) for task in ended} == {
        ("EssentialContainerExited", 0)
    }
    world.wait_for("an empty group", lambda: not pool.group["Instances"] and not pool.instances())
    assert pool.group["DesiredCapacity"] == 0
    # Nothing replaced them.
    assert pool.ecs.list_tasks(cluster=pool.cluster, desiredStatus="RUNNING")["taskArns"] == []


def test_run_task_waits_for_room_in_a_full_group(world: World, pool: EcsPool) -> None:
    pool.make_capacity(max_size=1)
    pool.define(memory=5000)
    first, second = run(pool, count=2)
    pool.wait_online(1)
    states = {task["taskArn"]: task["lastStatus"] for task in describe(pool, [first, second])}
    assert sorted(states.values()) == ["PROVISIONING", "RUNNING"]
    running, waiting = sorted(states, key=lambda arn: states[arn], reverse=True)
    pool.ecs.stop_task(cluster=pool.cluster, task=running)
    world.wait_for("the other to run", lambda: statuses(pool, [waiting]) == {"RUNNING"})
    assert pool.group["DesiredCapacity"] == 1


def test_run_task_keeps_distinct_instances_apart(pool: EcsPool) -> None:
    pool.make_capacity()
    pool.define()
    arns = run(pool, count=3, placementConstraints=[{"type": "distinctInstance"}])
    pool.wait_online(3)
    assert len({task["containerInstanceArn"] for task in describe(pool, arns)}) == 3


@pytest.mark.parametrize("wait_until_it_runs", [False, True], ids=["provisioning", "running"])
def test_stop_task_ends_a_standalone_task_for_good(world: World, pool: EcsPool, wait_until_it_runs: bool) -> None:
    pool.make_capacity()
    pool.define()
    [arn] = run(pool)
    if wait_until_it_runs:
        pool.wait_online(1)
    pool.ecs.stop_task(cluster=pool.cluster, task=arn, reason="no job for it")
    [ended] = stopped(world, pool, [arn])
    assert (ended["stopCode"], ended["stoppedReason"]) == ("UserInitiated", "no job for it")
    assert pool.ecs.list_tasks(cluster=pool.cluster, startedBy=pool.name)["taskArns"] == []


def test_draining_an_instance_leaves_its_standalone_tasks_alone(world: World, pool: EcsPool) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html"""
    pool.make_capacity(max_size=2)
    pool.define()
    [arn] = run(pool)
    [runner] = pool.wait_online(1)
    job = pool.busy_job(runner["name"], seconds=1)
    arns = [instance["containerInstanceArn"] for instance in pool.instances()]
    pool.ecs.update_container_instances_state(cluster=pool.cluster, containerInstances=arns, status="DRAINING")
    world.wait_for("success", lambda: world.job(job)["state"] == "succeeded")
    assert statuses(pool, [arn]) == {"RUNNING"}


def test_run_task_with_the_same_client_token_starts_nothing_more(world: World, pool: EcsPool) -> None:
    pool.make_capacity()
    pool.define()
    first = run(pool, clientToken="a-1", count=2)
    assert run(pool, clientToken="a-1", count=2) == first
    for changes in ({"count": 3}, {"count": 2, "startedBy": "another"}):
        with client_error("ConflictException", first[0]):
            run(pool, clientToken="a-1", **changes)
    other = run(pool, clientToken="a-2", count=2)
    assert set(other).isdisjoint(first)
    # One that has stopped is returned as well: its token is good for as long as it is described.
    pool.ecs.stop_task(cluster=pool.cluster, task=first[0])
    assert run(pool, clientToken="a-1", count=2) == first
    assert stopped(world, pool, first[:1])
    assert len(pool.ecs.list_tasks(cluster=pool.cluster)["taskArns"]) == 3


def test_client_token_is_good_again_once_ecs_has_forgotten_its_tasks() -> None:
    with World.start(time_scale=0.3, stopped_task_kept=1) as world:
        world.prepare()
        pool = EcsPool(world)
        pool.make_capacity().define()
        [first] = run(pool, clientToken="a")
        pool.ecs.stop_task(cluster=pool.cluster, task=first)
        world.wait_for("a task that ECS has forgotten", lambda: not describe(pool, [first]))
        assert run(pool, clientToken="a") != [first]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 11}, "between 1 and 10"),
        ({"count": 0}, "between 1 and 10"),
        ({"clientToken": "t" * 65}, "clientToken"),
        ({"clientToken": "a token"}, "clientToken"),
        ({"startedBy": "s" * 129}, "startedBy"),
        ({"startedBy": "a pool"}, "startedBy"),
        ({"group": "service:web"}, "group"),
        ({"propagateTags": "SERVICE"}, "propagateTags"),
        ({"launchType": "EC2"}, "launch type"),
        ({"capacityProviderStrategy": [{"capacityProvider": "another", "weight": 1}]}, "not associated"),
        ({"capacityProviderStrategy": []}, "No Container Instances"),
    ],
    ids=str,
)
def test_run_task_rejects(pool: EcsPool, changes: dict[str, Any], words: str) -> None:
    pool.make_capacity()
    pool.define()
    with client_error("InvalidParameterException", words):
        pool.ecs.run_task(**request(pool, **changes))
    assert pool.ecs.list_tasks(cluster=pool.cluster)["taskArns"] == []


def test_run_task_propagates_tags_of_the_task_definition(pool: EcsPool) -> None:
    pool.make_capacity()
    definition = pool.define()
    tags = [POOL_TAG, {"key": "more", "value": "of it"}]
    pool.ecs.tag_resource(resourceArn=definition, tags=tags)
    own = {**POOL_TAG, "value": "its own"}
    [arn] = run(pool, propagateTags="TASK_DEFINITION", tags=[own])
    assert describe(pool, [arn])[0]["tags"] == [own, tags[1]]


def test_list_tasks_finds_standalone_tasks_by_started_by_or_family(pool: EcsPool) -> None:
    pool.make_capacity()
    pool.define()
    mine, other = run(pool), run(pool, startedBy="another")
    find = {"cluster": pool.cluster}
    assert pool.ecs.list_tasks(**find, startedBy=pool.name, desiredStatus="RUNNING")["taskArns"] == mine
    assert pool.ecs.list_tasks(**find, family=pool.name)["taskArns"] == mine + other
    assert pool.ecs.list_tasks(**find, serviceName=pool.name)["taskArns"] == []
    with client_error("InvalidParameterException", "startedBy"):
        pool.ecs.list_tasks(**find, startedBy=pool.name, family=pool.name)


@pytest.mark.parametrize("enabled", [True, False])
def test_update_task_protection_is_not_for_standalone_tasks(pool: EcsPool, enabled: bool) -> None:
    pool.make_capacity()
    pool.define()
    run(pool)
    pool.wait_online(1)
    arns = pool.ecs.list_tasks(cluster=pool.cluster, startedBy=pool.name)["taskArns"]
    (failure,) = pool.protect(describe(pool, arns), enabled)["failures"]
    assert (failure["arn"], failure["reason"]) == (arns[0], "TASK_NOT_VALID")
