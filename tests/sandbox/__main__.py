"""`python -m sandbox up` leaves a world running, `down` ends it, `serve` runs one in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .engine.process import serve

FOLDER = Path(__file__).resolve().parents[2] / ".sandbox"
# The first line's ports are what people expect of a local AWS.
USUAL_PORTS = {"port": 4566, "github_port": 4567, "control_port": 4568}


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


def _up(deploy: bool) -> None:
    from sandbox.world import TOKEN_PARAMETER, World

    if _running():
        sys.exit("A world is running already: `python -m sandbox down` ends it.")
    world = World.start(FOLDER, ports=USUAL_PORTS)
    world.prepare()
    token = f"arn:aws:lambda:{world.region}:{world.account}:function:github-runner-pool"
    if deploy:
        token = world.deploy_function()
    print(f"""
A local AWS with CloudFormation is at {world.aws}, GitHub at {world.github}, the control endpoint at {world.control}.

  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION={world.region}
  aws --endpoint-url {world.aws} cloudformation describe-stacks
  aws --endpoint-url {world.aws} ecs list-clusters
  aws --endpoint-url {world.aws} logs tail /aws/lambda/github-runner-pool
  curl -s {world.control}/github
  curl -s {world.control}/jobs -d '{{"labels": ["default"], "seconds": 20}}'
  curl -s {world.control}/events

In a template: GitHubUrl {world.github}, OrgName acme, AccessTokenParameter {TOKEN_PARAMETER},
ServiceToken {token}""")


def _down() -> None:
    from sandbox.world import World

    if not _running():
        sys.exit("No world is running.")
    World.attach(FOLDER / "state.json").stop()


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
    main()
