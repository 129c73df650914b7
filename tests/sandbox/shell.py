"""What a user of `make sandbox` types: an environment in which the local AWS is AWS, and commands for a pool's life."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from sandbox.aws_cli import quick_waiters
from sandbox.function import FUNCTION_NAME
from sandbox.world import REPOSITORY, World

BIN = Path(sys.executable).parent
NAME = "env.sh"


def write_environment(world: World) -> Path:
    """Writes a file for `source`. An account of the user's own must not be reached by mistake."""
    values = {
        "AWS_ENDPOINT_URL": world.aws,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": world.region,
        # AWS CLI 1, the one of the package registry, reads this one.
        "AWS_DEFAULT_REGION": world.region,
        "AWS_DATA_PATH": str(quick_waiters(world.folder)),
        "AWS_PAGER": "",
        # For `make`.
        "ENDPOINT_URL": world.aws,
        "GITHUB_URL": world.github,
        "CONTROL_URL": world.control,
    }
    path = world.folder / NAME
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    path.write_text("\n".join(["unset AWS_PROFILE AWS_SESSION_TOKEN", f'export PATH="{BIN}:$PATH"', *lines, ""]))
    return path


def commands(world: World) -> str:
    """Commands to type in the repository's folder, in their order."""
    path = world.folder / NAME
    shown = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
    network = world.network()
    return f"""A local AWS is at {world.aws}, GitHub at {world.github}.
These commands work as they do in an account, from the first to the last:

  source {shown}

  # Create a pool of two runners, and show it.
  aws cloudformation deploy --stack-name runners --template-file cfn/pool.yaml \\
    --capabilities CAPABILITY_IAM --parameter-overrides OrgName=acme \\
    GitHubUrl=$GITHUB_URL IdleConfirmation=4 \\
    VpcId={network["VpcId"]} Subnets={network["Subnets"]}
  make status STACK=runners

  # Run a job of 20 seconds, plan an update, and update while the job runs.
  curl -s $CONTROL_URL/jobs -d '{{"labels": ["default"], "seconds": 20}}'
  make plan STACK=runners TEMPLATE=cfn/pool.yaml PARAMETERS=Labels=default,linux
  aws cloudformation deploy --stack-name runners --template-file cfn/pool.yaml \\
    --capabilities CAPABILITY_IAM --parameter-overrides Labels=default,linux

  # Deploy the function again, after a change of its code.
  cargo build --locked --bin bootstrap && make deploy BINARY=target/debug/bootstrap

  # Delete the pool, see for what the function waits, and delete the function as well.
  aws cloudformation delete-stack --stack-name runners
  aws logs filter-log-events --log-group-name /aws/lambda/{FUNCTION_NAME} \\
    --query 'events[].message' --output text | grep -o 'waiting for [^"]*'
  aws cloudformation wait stack-delete-complete --stack-name runners
  make undeploy

  # End the local AWS.
  make sandbox-down"""
