"""Pools with `MaxRunners`: as many runners as jobs, from zero and back to zero."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.demand_figures import Spread, demand_figures, spread
from sandbox.response_recorder import ResponseRecorder
from sandbox.scenario import TEMPLATES, DeployedWorld, Pool
from sandbox.world import Entry, World

N_JOBS = 40
MAX_RUNNERS = 20
JOB_SECS = 2.0
FEW_MINUTES_SECS = 240
BUSY_SECS = 60
LOG_GROUP = "/ci/jobs-from-zero"


@pytest.fixture(scope="module")
def demand_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedWorld]:
    """A world of its own, since a listener calls GitHub as long as there is a pool. Its minutes take six seconds."""
    world_settings: dict[str, Any] = {
        "time_scale": 0.3,
        "authorize": "true",
        "minute": 20,
        "points_per_minute": 1_000_000,
        "hourly_requests": 1_000_000,
    }
    with World.start(tmp_path_factory.mktemp("demand"), **world_settings) as started:
        started.prepare()
        started.client("logs").create_log_group(logGroupName=LOG_GROUP)
        recorder = ResponseRecorder()
        yield DeployedWorld(started, started.deploy_provider(TEMPLATES / "provider.yaml"), recorder)
        recorder.close()


@pytest.fixture(scope="module")
def pool(demand_world: DeployedWorld) -> Iterator[Pool]:
    """A stack with such a pool; its deletion leaves nothing."""
    made = demand_world.start("demand", DesiredCount=None, MaxRunners=MAX_RUNNERS, LogGroup=LOG_GROUP).up()
    yield made
    made.delete()
    assert made.leftovers() == []


def tasks(pool: Pool) -> list[str]:
    """Those that have not stopped: standalone ones, so the service's filter finds none."""
    return list(pool.world.client("ecs").list_tasks(cluster=pool.cluster, family=pool.id)["taskArns"])


def scale_set(pool: Pool) -> Entry:
    """The pool's set, by the pool's label."""
    [found] = [one for one in pool.world.get("/scale-sets") if pool.id in one["labels"]]
    return dict(found)


def is_at_zero(pool: Pool) -> bool:
    group = pool.group
    return (
        not tasks(pool) and not group["Instances"] and group["DesiredCapacity"] == 0 and not scale_set(pool)["runners"]
    )


def states(pool: Pool, jobs: set[int]) -> Counter[str]:
    return Counter(job["state"] for job in pool.world.jobs() if job["id"] in jobs)


def wait_for_success(pool: Pool, jobs: set[int]) -> None:
    pool.world.wait_for(
        "the end of all jobs",
        lambda: not set(states(pool, jobs)) & {"queued", "dispatched", "running"},
        FEW_MINUTES_SECS,
    )
    assert states(pool, jobs) == {"succeeded": len(jobs)}


def test_forty_jobs_from_zero_succeed_on_max_runners(pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    world, deployed = pool.world, pool.deployed_world
    assert is_at_zero(pool)
    world.wait_for("the listener", lambda: scale_set(pool)["capacity"] == MAX_RUNNERS)
    assert (pool.outputs["ServiceName"], pool.outputs["OnlineRunners"]) == ("", "0")
    began = deployed.sequence
    jobs = {pool.queue(JOB_SECS) for _ in range(N_JOBS)}
    wait_for_success(pool, jobs)
    world.wait_for("no runner and no instance", lambda: is_at_zero(pool), FEW_MINUTES_SECS)
    figures = demand_figures(world, scale_set(pool)["name"], pool.id, began)
    with capsys.disabled():
        print(f"\n{figures}")
    assert figures.jobs == N_JOBS
    assert figures.most_tasks == MAX_RUNNERS
    assert N_JOBS <= figures.tasks <= N_JOBS + MAX_RUNNERS
    assert [
        e for e in world.events("scale set", began) if e["what"] in ("job excluded", "polled twice at a time")
    ] == []


def test_listener_killed_in_every_second_of_a_busy_minute_loses_no_job(
    pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL to whatever invocation listens. What it left half done, its successor ends once the lease has run out."""
    world, began = pool.world, pool.deployed_world.sequence
    jobs: set[int] = set()
    kills, until = 0, time.monotonic() + BUSY_SECS
    next_kill = time.monotonic()

    def is_over() -> bool:
        nonlocal kills, next_kill
        if time.monotonic() >= next_kill:
            jobs.add(pool.queue(JOB_SECS))
            kills += world.post("/kill", kind="Listen", attempts=1_000_000)["killed"] is not None
            next_kill += 1
        return time.monotonic() >= until

    world.wait_for("the end of the busy time", is_over, BUSY_SECS + 10)
    wait_for_success(pool, jobs)
    world.wait_for("no runner and no instance", lambda: is_at_zero(pool), FEW_MINUTES_SECS)
    figures = demand_figures(world, scale_set(pool)["name"], pool.id, began)
    with capsys.disabled():
        print(f"\n{len(jobs)} seconds, {kills} kills\n{figures}\nwithout a listener: {blind_secs(world, began)}")
    assert kills > 0
    assert figures.jobs == len(jobs)
    assert figures.most_tasks <= MAX_RUNNERS
    starts = Counter(event["job"] for event in world.events("job", began) if event["what"] == "running")
    assert starts == dict.fromkeys(jobs, 1)
    events = world.events("scale set", began)
    assert [event for event in events if event["what"] in ("job excluded", "deleted by request")] == []


def blind_secs(world: World, after: int) -> Spread:
    """From the kill of a listener until another one has the lease."""
    kills = [
        event for event in world.events("invocation", after) if (event["what"], event["of"]) == ("killed", "Listen")
    ]
    calls = [call for call in world.get("/calls", after=after) if call["operation"] == "PutItem"]
    leases = [call["at"] for call in calls if call["request"]["key"] == "listener" and call["status"] == 200]
    nexts = [(min((at for at in leases if at > kill["at"]), default=None), kill["at"]) for kill in kills]
    # The first kill before each lease is the listener's; the others are of invocations that find a lease, and end.
    first = {lease: killed_at for lease, killed_at in reversed(nexts) if lease is not None}
    return spread([lease - killed_at for lease, killed_at in first.items()])
