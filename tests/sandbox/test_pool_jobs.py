"""No job dies, unless the template's own time for draining has passed and the template says so."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from sandbox.scenario import LOGICAL_ID, OTHER_IMAGE, DeployedWorld, Pool

DRAIN_SECONDS = 3
RUNNER_LOG_GROUP = "/ci/runners"


@pytest.fixture(scope="module")
def pools(deployed_world: DeployedWorld) -> dict[str, Pool]:
    deployed_world.world.client("logs").create_log_group(logGroupName=RUNNER_LOG_GROUP)
    made = {
        "patient": deployed_world.start("patient", DesiredCount=2),
        "cancel": deployed_world.start("cancel", DrainTimeout=DRAIN_SECONDS, OnDrainTimeout="Cancel"),
        "fail": deployed_world.start("fail", DrainTimeout=DRAIN_SECONDS, OnDrainTimeout="Fail"),
        "logged": deployed_world.start("logged", LogGroup=RUNNER_LOG_GROUP),
        "unlogged": deployed_world.start("unlogged"),
    }
    return {name: pool.up() for name, pool in made.items()}


def job_events(pool: Pool, job: int) -> list[str]:
    return [event["what"] for event in pool.world.events("job") if event["job"] == job]


def test_image_update_waits_for_a_running_job(pools: dict[str, Pool]) -> None:
    pool = pools["patient"]
    busy = pool.online()[0]
    job = pool.run(5, busy["name"])
    pool.update(Image=OTHER_IMAGE)
    assert pool.world.job(job)["state"] == "succeeded"
    assert job_events(pool, job) == ["queued", "running", "succeeded"]
    assert pool.world.job(job)["runner"] == busy["name"]
    assert busy["id"] not in {runner["id"] for runner in pool.runners()}
    assert len(pool.online()) == 2


def test_jobs_that_begin_during_retirement_succeed(pools: dict[str, Pool]) -> None:
    pool = pools["patient"]
    world, old = pool.world, pool.runner_ids()
    stack = pool.begin_update(Labels=["late"])
    jobs = [pool.queue(seconds) for seconds in (1.5, 2.5)]
    world.wait_for("new runners", lambda: pool.runner_ids() - old)
    jobs += [pool.queue(1) for _ in range(4)]
    world.wait_for("an old runner to leave", lambda: old - {runner["id"] for runner in pool.runners()})
    jobs += [pool.queue(1) for _ in range(4)]
    stack.settled().expect("UPDATE_COMPLETE")
    assert [pool.job_ends(job) for job in jobs] == ["succeeded"] * len(jobs)
    assert not old & pool.runner_ids()
    assert len(pool.online()) == 2


def test_smaller_desired_count_waits_for_jobs_when_every_runner_is_busy(pools: dict[str, Pool]) -> None:
    pool = pools["patient"]
    first, second = (pool.run(seconds, runner["name"]) for seconds, runner in zip((3, 7), pool.online(), strict=True))
    longer = pool.online()[1]["id"]
    pool.update(DesiredCount=1)
    assert pool.world.job(first)["state"] == "succeeded"
    assert pool.runner_ids() == {longer}
    assert pool.job_ends(second) == "succeeded"
    assert pool.runner_ids() == {longer}


def test_idle_confirmation_covers_githubs_busy_lag(pools: dict[str, Pool]) -> None:
    pool = pools["patient"]
    # Shorter than the confirmation window, which is there for this.
    pool.world.post("/faults", busy_lag=0.6)
    job = pool.run(5)
    assert not any(runner["busy"] for runner in pool.runners())
    pool.delete()
    pool.world.post("/faults", busy_lag=0)
    assert pool.world.job(job)["state"] == "succeeded"
    assert job_events(pool, job) == ["queued", "running", "succeeded"]
    assert pool.leftovers() == []
    assert pool.responses()[-1]["reason"] is None


def test_on_drain_timeout_cancel_stops_a_job_only_after_drain_timeout_and_says_so(
    pools: dict[str, Pool],
) -> None:
    pool = pools["cancel"]
    job = pool.run(300)
    pool.delete()
    asked = [event["at"] for event in pool.world.events("request") if event["stack_id"] == pool.stack.id][-1]
    lost = next(event for event in pool.world.events("job") if event["job"] == job and event["what"] == "LOST")
    assert lost["at"] - asked >= DRAIN_SECONDS
    response = pool.responses()[-1]
    print(response["reason"])
    assert response["what"] == "SUCCESS"
    expected = (
        r"1 tasks? (was|were) stopped with a job that may have been running, because DrainTimeout \(3 s\) had passed"
    )
    assert re.search(expected, response["reason"] or "")
    assert pool.leftovers() == []


def test_on_drain_timeout_fail_responds_failed_and_keeps_the_job(pools: dict[str, Pool]) -> None:
    pool = pools["fail"]
    job = pool.run(9)
    busy = pool.online()[0]
    pool.stack.delete().settled().expect("DELETE_FAILED")
    assert pool.world.job(job)["state"] == "running"
    reason = pool.stack.reasons(LOGICAL_ID)[-1]
    print(reason)
    assert re.search(r"1 runner still has a running job \(github-runner-\S+\) after DrainTimeout \(3 s\)", reason)
    assert "OnDrainTimeout is Fail" in reason
    assert [runner["id"] for runner in pool.online()] == [busy["id"]]
    assert pool.job_ends(job) == "succeeded"
    pool.delete()
    assert pool.leftovers() == []


@pytest.fixture
def github_says_idle(deployed_world: DeployedWorld) -> Iterator[DeployedWorld]:
    """GitHub calls every runner idle for the whole of its job, and deletes it when asked."""
    deployed_world.world.post("/faults", busy_lag=3600)
    yield deployed_world
    deployed_world.world.post("/faults", busy_lag=0, jobs_of_deleted_runners="cancelled")


@pytest.mark.usefixtures("github_says_idle")
def test_log_group_keeps_a_job_whose_runner_github_calls_idle(pools: dict[str, Pool]) -> None:
    pool = pools["logged"]
    job = pool.run(8)
    assert not any(runner["busy"] for runner in pool.runners())
    pool.delete()
    assert pool.world.job(job)["state"] == "succeeded"
    assert job_events(pool, job) == ["queued", "running", "succeeded"]
    assert pool.leftovers() == []


def test_job_without_log_group_on_a_deleted_runner_runs_to_its_end(
    pools: dict[str, Pool], github_says_idle: DeployedWorld
) -> None:
    pool = pools["unlogged"]
    github_says_idle.world.post("/faults", jobs_of_deleted_runners="live on")
    job = pool.run(8)
    pool.delete()
    assert pool.world.job(job)["state"] == "succeeded"
    assert pool.leftovers() == []
