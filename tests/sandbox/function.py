"""Builds the function and deploys it, both with `cargo lambda`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.world import World

REPOSITORY = Path(__file__).resolve().parents[2]
FUNCTION_NAME = "github-runner-pool"
BINARY = "bootstrap"
ROLE_NAME = "github-runner-pool-sandbox"
TIMEOUT_SECONDS = 900
MEMORY_MIB = 256
# Fast enough for a world whose minutes are seconds.
DEFAULT_ENVIRONMENT = {"POLL_INTERVAL_SECS": "0.2", "LOG_LEVEL": "debug"}
CARGO_LAMBDA = Path(sys.executable).parent / "cargo-lambda"


def build() -> Path:
    """The development binary, by plain `cargo build`.

    `cargo lambda build` always passes `--target`, which compiles everything a second time, although there is a
    build already. `cargo lambda deploy --binary-path` takes the first one.
    """
    if given := os.environ.get("SANDBOX_FUNCTION_BINARY"):
        return Path(given)
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--bin", BINARY], cwd=REPOSITORY, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    return target / "debug" / BINARY


def deploy(world: World, binary: Path | None, role: str | None, environment: dict[str, str]) -> str:
    """Deploys or redeploys, and waits for nothing: the local Lambda is ready at once."""
    settings = {**DEFAULT_ENVIRONMENT, "AWS_ENDPOINT_URL": world.aws, **environment}
    # `cargo lambda deploy` writes its zip next to the binary, so each world has its own: another may deploy meanwhile.
    own_binary = shutil.copy(binary or build(), world.folder / BINARY)
    command = [
        str(CARGO_LAMBDA),
        "lambda",
        "deploy",
        FUNCTION_NAME,
        "--endpoint-url",
        world.aws,
        "--region",
        world.region,
        "--binary-path",
        str(own_binary),
        "--iam-role",
        role or _role(world),
        "--timeout",
        str(TIMEOUT_SECONDS),
        "--memory",
        str(MEMORY_MIB),
        "--output-format",
        "json",
        *(flag for name, value in settings.items() for flag in ("--env-var", f"{name}={value}")),
    ]
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": world.region}
    run = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **credentials}, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise RuntimeError(f"cargo lambda deploy failed:\n{run.stdout}\n{run.stderr}")
    return f"arn:aws:lambda:{world.region}:{world.account}:function:{FUNCTION_NAME}"


def deploy_script(world: World, script: Path, name: str = FUNCTION_NAME, **environment: str) -> str:
    """Deploys an executable script as a function, for the sandbox's own tests: no cargo needed."""
    bundle = world.folder / f"{name}.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        entry = zipfile.ZipInfo(BINARY)
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, f"#!{sys.executable}\n" + script.read_text())
    client = world.client("lambda")
    record: dict[str, Any] = client.create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler=BINARY,
        Role=_role(world),
        Code={"ZipFile": bundle.read_bytes()},
        Timeout=60,
        Environment={"Variables": environment},
    )
    return str(record["FunctionArn"])


def _role(world: World) -> str:
    """A role without permissions. The local AWS checks it only with SANDBOX_AUTHORIZE."""
    iam = world.client("iam")
    try:
        return str(iam.get_role(RoleName=ROLE_NAME)["Role"]["Arn"])
    except iam.exceptions.NoSuchEntityException:
        statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return str(iam.create_role(RoleName=ROLE_NAME, AssumeRolePolicyDocument=trust)["Role"]["Arn"])
