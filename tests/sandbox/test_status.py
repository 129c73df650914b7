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
