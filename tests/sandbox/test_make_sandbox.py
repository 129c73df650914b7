"""`make sandbox` as a user has it: the commands that it prints work from the first to the last."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cli_user import environment
from sandbox.world import REPOSITORY, World

COLUMNS_MAX = 100
# Of `make`, below a sentence that says what is wrong.
MAKES_OWN_LINE = re.compile(r"^make.*Error", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the sandbox keeps its state; whatever is left running there is ended."""
    yield tmp_path
    if (tmp_path / "state.json").exists():
        World.attach(tmp_path / "state.json").stop()


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    pace = {"SANDBOX_FOLDER": str(folder), "SANDBOX_TIME_SCALE": "0.5"}
    return subprocess.run(command, cwd=REPOSITORY, env=environment(**pace), capture_output=True, text=True, check=False)


def test_printed_commands_create_plan_update_run_a_job_and_delete(folder: Path) -> None:
    made = run(folder, "make", "sandbox")
    assert made.returncode == 0, made.stderr
    assert [line for line in made.stdout.splitlines() if len(line) > COLUMNS_MAX] == []
    again = run(folder, "make", "sandbox")
    assert (again.returncode, MAKES_OWN_LINE.search(again.stderr)) == (1, None)
    assert again.stderr.startswith("The sandbox runs already.")

    lines = [line[2:] for line in made.stdout.splitlines() if line.startswith("  ")]
    typed, end = "\n".join(lines[:-1]), lines[-1]
    assert end == "make sandbox-down"
    session = run(folder, "bash", "-euo", "pipefail", "-c", typed)
    assert session.returncode == 0, session.stdout + session.stderr
    output = session.stdout
    assert "DesiredCount 2: 2 idle" in output
    assert "2 runners leave" in output
    assert "waiting for " in output
    assert "deleted: function github-runner-pool" in output
    wide = [line for line in output.splitlines() if len(line) > COLUMNS_MAX and " " in line.strip()]
    # Not those of the control endpoint and of the function's log.
    assert [line for line in wide if not line.startswith(('{"id"', "waiting for "))] == []

    world = World.attach(folder / "state.json")
    assert [job["state"] for job in world.jobs()] == ["succeeded"]
    assert world.client("cloudformation").describe_stacks()["Stacks"] == []
    for sentence in ("The sandbox has ended.", "The sandbox does not run."):
        down = run(folder, "make", "sandbox-down")
        assert (down.returncode, down.stdout) == (0, f"{sentence}\n"), down.stderr
        with pytest.raises(ProcessLookupError):
            os.kill(world.pid, 0)


def test_log_of_a_running_invocation_is_visible(folder: Path) -> None:
    """In a world of its own, whose function never answers before it has been seen."""
    script = folder / "function.py"
    script.write_text(SCRIPT)
    from sandbox.function import deploy_script

    with World.start(folder / "world") as world:
        deploy_script(world, script, "slow", PROCEED=str(folder / "proceed"))
        world.client("logs").create_log_group(logGroupName="/aws/lambda/slow")
        world.client("lambda").invoke(FunctionName="slow", InvocationType="Event", Payload=json.dumps({}))
        world.wait_for("the line", lambda: "at work" in world.function_logs("slow"))
        assert not any(line.startswith("END") for line in world.function_logs("slow"))
        (folder / "proceed").touch()
        world.wait_for("the end", lambda: any(line.startswith("REPORT") for line in world.function_logs("slow")))
        assert world.function_logs("slow").count("at work") == 1


SCRIPT = """
import json, os, time, urllib.request

api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
while True:
    with urllib.request.urlopen(f"{api}/next") as event:
        request_id = event.headers["Lambda-Runtime-Aws-Request-Id"]
    print("at work", flush=True)
    while not os.path.exists(os.environ["PROCEED"]):
        time.sleep(0.05)
    urllib.request.urlopen(f"{api}/{request_id}/response", b"{}")
"""
