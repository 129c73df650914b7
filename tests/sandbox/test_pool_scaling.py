"""`MaxRunners`: as many runners as jobs, from zero and back to zero."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from sandbox.scenario import BROKEN_IMAGE, OTHER_IMAGE, DeployedWorld, Pool

MAX_RUNNERS = 20
JOBS = 40


@pytest.fixture(scope="module")
def scaled(deployed_world: DeployedWorld) -> Pool:
    return deployed_world.start(
        "scaled", DesiredCount=None, MaxRunners=MAX_RUNNERS, MaxInstances=10, MemoryReservation=3000
    ).up()


def scale_set(pool: Pool) -> dict[str, Any]:
    return next(dict(found) for found in pool.world.get("/scale-sets") if found["name"] == pool.id)


def live_tasks(pool: Pool) -> list[str]:
    client = pool.world.client("ecs")
    return list(client.list_tasks(cluster=pool.cluster, family=pool.id)["taskArns"])


def test_create_has_a_session_and_no_runner_and_no_instance(scaled: Pool) -> None:
    assert scale_set(scaled)["session"] is not None
    assert live_tasks(scaled) == []
    assert scaled.group["Instances"] == []
    outputs = scaled.outputs
    assert (outputs["ServiceName"], outputs["ServiceArn"], outputs["DesiredCount"]) == ("", "", "0")


def test_a_burst_of_jobs_gets_max_runners_and_the_pool_is_at_zero_again(scaled: Pool) -> None:
    world = scaled.world
    sequence = scaled.deployed_world.sequence
    jobs = [scaled.queue(2) for _ in range(JOBS)]
    assert {scaled.job_ends(job, 180) for job in jobs} == {"succeeded"}
    assert scale_set(scaled)["capacity"] == MAX_RUNNERS
    world.wait_for("no task", lambda: not live_tasks(scaled), 180)
    world.wait_for("no instance", lambda: not scaled.group["Instances"], 120)
    events = [event for event in world.events("job") if event["job"] in jobs]
    at = {(event["job"], event["what"]): event["at"] for event in events}
    waits = sorted(at[job, "running"] - at[job, "queued"] for job in jobs)
    calls = scaled.deployed_world.calls_since(sequence)
    print(f"queued to running: median {median(waits):.1f} s, worst {waits[-1]:.1f} s; {len(calls) / JOBS:.1f} calls a job")


def test_delete_leaves_no_scale_set_and_no_session(scaled: Pool) -> None:
    name = scaled.id
    scaled.delete()
    assert [found for found in scaled.world.get("/scale-sets") if found["name"] == name] == []
    assert scaled.leftovers() == []


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


def test_rollback_of_an_image_that_cannot_be_pulled_keeps_the_job_and_the_scale_set(
    neighbours: dict[str, Pool],
) -> None:
    pool = neighbours["kept"]
    set_id, job = scale_set(pool)["id"], pool.run(10)
    pool.begin_update(Image=BROKEN_IMAGE).settled().expect("UPDATE_ROLLBACK_COMPLETE")
    reason = pool.stack.reasons("Runners")[-1]
    assert "Image: myoung34/github-runner:not-to-be-pulled failed, 3 tasks stopped" in reason, reason
    assert pool.job_ends(job) == "succeeded"
    assert scale_set(pool)["id"] == set_id
    assert pool.job_ends(pool.queue(1)) == "succeeded"


def test_changed_labels_replace_the_pool_and_its_scale_set(neighbours: dict[str, Pool]) -> None:
    pool = neighbours["none"]
    before, job = pool.id, pool.run(6)
    pool.update(Labels=["gpu"])
    assert pool.id != before
    assert pool.job_ends(job) == "succeeded"
    names = {found["name"] for found in pool.world.get("/scale-sets")}
    assert pool.id in names
    assert before not in names
    assert pool.world.client("ecs").list_tasks(cluster=pool.cluster, family=before)["taskArns"] == []


def test_delete_drains_a_running_job_and_leaves_the_neighbours(neighbours: dict[str, Pool]) -> None:
    kept, none = neighbours["kept"], neighbours["none"]
    job = kept.run(6)
    for pool in (kept, none):
        pool.delete()
        assert pool.leftovers() == []
    assert kept.world.job(job)["state"] == "succeeded"
    assert len(neighbours["fixed"].online()) == 2
    neighbours["fixed"].delete()
