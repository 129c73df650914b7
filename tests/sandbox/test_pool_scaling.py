"""`MaxRunners` beside other pools: a creation, and updates under load."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.scenario import OTHER_IMAGE, DeployedWorld, Pool


def scale_set(pool: Pool) -> dict[str, Any]:
    return next(dict(found) for found in pool.world.get("/scale-sets") if found["name"] == pool.id)


def live_tasks(pool: Pool) -> list[str]:
    client = pool.world.client("ecs")
    return list(client.list_tasks(cluster=pool.cluster, family=pool.id)["taskArns"])


@pytest.fixture(scope="module")
def neighbours(deployed_world: DeployedWorld) -> dict[str, Pool]:
    """A fixed pool and two with as many runners as jobs, in one cluster."""
    fixed = deployed_world.start("fixed", DesiredCount=2).up()
    scaled = {
        name: deployed_world.start(
            name, DesiredCount=None, MaxRunners=4, MinRunners=minimum, Cluster=fixed.cluster, OnlineTimeout=30
        )
        for name, minimum in (("kept", 1), ("none", 0))
    }
    return {"fixed": fixed, **{name: pool.up() for name, pool in scaled.items()}}


def revisions(pool: Pool) -> set[str]:
    tasks = live_tasks(pool)
    if not tasks:
        return set()
    found = pool.world.client("ecs").describe_tasks(cluster=pool.cluster, tasks=tasks)["tasks"]
    return {task["taskDefinitionArn"] for task in found}


def test_min_runners_are_online_when_create_succeeds(neighbours: dict[str, Pool]) -> None:
    assert neighbours["kept"].outputs["DesiredCount"] == "1"
    assert neighbours["kept"].outputs["OnlineRunners"] == "1"
    assert len(live_tasks(neighbours["kept"])) == 1
    assert len(neighbours["fixed"].online()) == 2


def test_update_under_load_lets_every_job_end_on_its_runner(neighbours: dict[str, Pool]) -> None:
    pools = [neighbours["kept"], neighbours["none"]]
    running = {pool.id: pool.run(8) for pool in pools}
    before = {pool.id: pool.outputs["TaskDefinitionArn"] for pool in pools}
    stacks = [pool.begin_update(Image=OTHER_IMAGE, MaxRunners=6) for pool in pools]
    queued = {pool.id: [pool.queue(1) for _ in range(3)] for pool in pools}
    for stack in stacks:
        stack.settled().expect("UPDATE_COMPLETE")
    for pool in pools:
        assert pool.job_ends(running[pool.id]) == "succeeded"
        assert {pool.job_ends(job) for job in queued[pool.id]} == {"succeeded"}
        assert scale_set(pool)["capacity"] == 6
        newest = pool.outputs["TaskDefinitionArn"]
        assert newest != before[pool.id]
        pool.world.wait_for("only the new revision", lambda: revisions(pool) <= {newest}, 120)  # noqa: B023
    assert len(neighbours["fixed"].online()) == 2
