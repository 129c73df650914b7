"""`python -m sandbox up` leaves a sandbox running, `down` ends it, `serve` runs one in the foreground."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cfn.deploy.output import end_quietly

from .engine.process import serve

if TYPE_CHECKING:
    from sandbox.world import World

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("SANDBOX_FOLDER") or REPOSITORY / ".sandbox")
# The first line's ports are what people expect of a local AWS.
USUAL_PORTS = {"port": 4566, "github_port": 4567, "control_port": 4568}
# For a user who waits: what AWS does in a minute, and how often the function looks.
MINUTE_SECS = 15
SETTINGS = "POLL_INTERVAL_SECS=0.5"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    foreground = commands.add_parser("serve", help="run in the foreground; prints the addresses as JSON")
    foreground.add_argument("--state-file", type=Path, default=FOLDER / "state.json")
    for name in USUAL_PORTS:
        foreground.add_argument(f"--{name.replace('_', '-')}", type=int, default=0, help="0 is any free port")
    background = commands.add_parser(
        "up", help="leave a prepared world running, on the usual ports where they are free"
    )
    background.add_argument("--deploy", action="store_true", help="build and deploy the function as well")
    commands.add_parser("down", help="end the world that `up` left running")
    given = parser.parse_args()
    if given.command == "serve":
        serve(given.state_file, given.port, given.github_port, given.control_port)
    elif given.command == "up":
        _up(given.deploy)
    else:
        _down()


def _up(is_deployed: bool) -> None:
    from sandbox.function import build
    from sandbox.shell import commands, write_environment
    from sandbox.world import World

    if _running():
        sys.exit("The sandbox runs already. End it with `make sandbox-down`.")
    binary = build() if is_deployed else None
    world = World.start(FOLDER, ports=USUAL_PORTS, minute=MINUTE_SECS)
    world.prepare()
    write_environment(world)
    if binary:
        _deploy(world, binary)
    print(commands(world))


def _deploy(world: World, binary: Path) -> None:
    """As `make deploy` does it, so that it finds nothing to change afterwards."""
    stripped = world.folder / "bootstrap"
    subprocess.run(["strip", "-o", stripped, binary], check=True)
    command = [sys.executable, "-m", "cfn.deploy", "deploy", "--binary", stripped, "--settings", SETTINGS]
    command += ["--region", world.region, "--endpoint-url", world.aws]
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    environment = {
        name: value for name, value in os.environ.items() if name not in ("AWS_PROFILE", "AWS_SESSION_TOKEN")
    }
    run = subprocess.run(command, cwd=REPOSITORY, env=environment | keys, capture_output=True, text=True, check=False)
    if run.returncode:
        world.stop()
        sys.exit(f"The function could not be deployed.\n{run.stdout}{run.stderr}")


def _down() -> None:
    from sandbox.world import World

    if not _running():
        print("The sandbox does not run.")
        return
    World.attach(FOLDER / "state.json").stop()
    print("The sandbox has ended.")


def _running() -> bool:
    """The file is there as long as the process is, unless that was killed."""
    from sandbox.world import World

    state = FOLDER / "state.json"
    if not state.exists():
        return False
    if World.attach(state).alive:
        return True
    state.unlink()
    return False


if __name__ == "__main__":
    end_quietly(main)
