"""`MaxRunners`: as many runners as jobs, from zero and back to zero."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from sandbox.scenario import DeployedWorld, Pool

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
