"""A user at the command line, with an account: `make` as the README documents it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.function import FUNCTION_NAME
from sandbox.scenario import TEMPLATES
from sandbox.stacks import Stack
from sandbox.world import REPOSITORY, World

# What `make` passes on to a `make` inside, and what would lead to another account.
NOT_INHERITED = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass
class CliUser:
    """`binary` is what `make deploy` deploys."""

    world: World
    binary: Path = Path("nowhere")

    def make(self, target: str, *variables: str, fails: bool = False) -> str:
        """The output of `make`, or its errors where it `fails`."""
        output, error = self.make_streams(target, *variables, fails=fails)
        return error if fails else output

    def make_streams(self, target: str, *variables: str, fails: bool = False) -> tuple[str, str]:
        """Standard output and standard error of `make`."""
        run = subprocess.run(
            ["make", target, f"AWS_REGION={self.world.region}", f"ENDPOINT_URL={self.world.aws}", *variables],
            cwd=REPOSITORY,
            env=environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_MAX_ATTEMPTS="1"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode != 0) is fails, run.stdout + run.stderr
        return run.stdout, run.stderr

    def deploy(self, *variables: str, fails: bool = False) -> str:
        return self.make("deploy", f"BINARY={self.binary}", *variables, fails=fails)

    def pool(self, name: str, function: str = FUNCTION_NAME, **more: str) -> Stack:
        """The quick start's template, with shorter timeouts."""
        given = {"OrgName": "acme", "GitHubUrl": self.world.github, **self.world.network()}
        given |= {"FunctionName": function, "DesiredCount": "1", "IdleConfirmation": "1", **more}
        return self.world.create_stack(name, TEMPLATES / "pool.yaml", given).expect("CREATE_COMPLETE")

    def writes(self) -> list[str]:
        """Writes since the last `reset_calls`, without the function's own."""
        return [call["operation"] for call in self.world.calls(caller="client", writes=True)]

    def variables(self, function: str = FUNCTION_NAME) -> dict[str, str]:
        found = self.world.client("lambda").get_function_configuration(FunctionName=function)
        return dict(found.get("Environment", {}).get("Variables", {}))


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED} | more
