"""`{"Status": {}}` and `make status` show what runs, and write nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from sandbox.function import FUNCTION_NAME
from sandbox.scenario import DeployedWorld
from sandbox.world import REPOSITORY

COLUMNS_MAX = 100


def ask(world: DeployedWorld, stack: str) -> list[dict[str, Any]]:
    response = world.world.client("lambda").invoke(
        FunctionName=FUNCTION_NAME, Payload=json.dumps({"Status": {"Stack": stack}})
    )
    return json.load(response["Payload"])["Status"]["Pools"]


def make_status(world: DeployedWorld, stack: str) -> str:
    """What `make status` runs."""
    where = ["--region", world.world.region, "--endpoint-url", world.world.aws, "--stack", stack]
    command = [sys.executable, "-m", "cfn.deploy", "status", "--function-name", FUNCTION_NAME, *where]
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    run = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **credentials}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_status_shows_idle_and_busy_runners_and_writes_nothing(deployed_world: DeployedWorld) -> None:
    world = deployed_world.world
    pool = deployed_world.start("shown", DesiredCount=2).up()
    job = pool.run(8)
    world.reset_calls()
    (shown,) = ask(deployed_world, pool.stack.name)
    assert world.calls(writes=True) == []
    assert sorted(runner["State"] for runner in shown["Runners"]) == ["busy", "idle"], shown
    assert shown["LastResponse"]["Status"] == "SUCCESS"

    table = make_status(deployed_world, pool.stack.name)
    assert "DesiredCount 2: 1 BUSY, 1 idle" in table
    assert max(len(line) for line in table.splitlines()) <= COLUMNS_MAX

    assert pool.job_ends(job) == "succeeded"
    pool.delete()
    assert ask(deployed_world, pool.stack.name) == []


def test_status_of_max_runners_shows_jobs_runners_and_the_listener(deployed_world: DeployedWorld) -> None:
    world = deployed_world.world
    pool = deployed_world.start("listened", DesiredCount=None, MaxRunners=3, MinRunners=1).up()
    job = pool.run(20)

    def states() -> list[str]:
        (shown,) = ask(deployed_world, pool.stack.name)
        return sorted(runner["State"] for runner in shown["Runners"])

    # One has the job, and one is kept in addition.
    world.wait_for("a busy and an idle runner", lambda: states() == ["busy", "idle"], 30)
    world.reset_calls()
    (shown,) = ask(deployed_world, pool.stack.name)
    assert shown["Errors"] == []
    scaling = shown["JobScaling"]
    assert (scaling["ScaleSet"], scaling["HasListener"]) == (pool.id, True)
    listener = scaling["Listener"]
    assert (listener["Mode"], listener["MinRunners"], listener["MaxRunners"]) == ("Active", 1, 3)
    assert (listener["AssignedJobs"], listener["Target"], listener["HasSession"]) == (1, 2, True)
    assert listener["LastMessage"] > 0

    table = make_status(deployed_world, pool.stack.name)
    assert "  as many runners as jobs, 1 to 3: 1 BUSY, 1 idle\n" in table
    assert f"  scale set {pool.id}, jobs: 1 assigned, " in table
    assert pool.job_ends(job) == "succeeded"
    pool.delete()
