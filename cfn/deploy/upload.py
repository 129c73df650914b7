"""Creates or updates the function with its code: by `cargo lambda deploy` where there is Rust, else by Lambda's API.

`cargo lambda deploy` asks cargo for the package of the folder, even where it is given a zip. A zip needs no Rust.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError

from .account import POLL_SECS, Account
from .binary import Code
from .errors import DeployError
from .output import say

REPOSITORY = Path(__file__).parents[2]
CARGO_LAMBDA = Path(sys.executable).with_name("cargo-lambda")
# The same as in provider.yaml, which says why.
TIMEOUT_SECS = 900
MEMORY_MIB = 128
RUNTIME = "provided.al2023"
# How long IAM may take to propagate a new role to Lambda.
ROLE_PROPAGATION_SECS = 90


@dataclass(frozen=True)
class Upload:
    """The function as it is to be. Of an existing one, role and settings stay."""

    code: Code
    role: str
    settings: dict[str, str]
    exists: bool


def upload(account: Account, wanted: Upload) -> None:
    """Creates the function, or updates its code, timeout and memory."""
    by_cargo = is_built_here(account) and shutil.which("cargo") is not None
    name, attempt = ("cargo lambda deploy", cargo_lambda_deploy) if by_cargo else ("Lambda", call_lambda)
    deadline = time.monotonic() + ROLE_PROPAGATION_SECS
    while error := attempt(account, wanted):
        if "cannot be assumed" not in error or time.monotonic() > deadline:
            raise DeployError(f"{name}: failed. Correct the cause and try again. {error}")
        say("  Lambda cannot assume the new role yet: trying again")
        time.sleep(POLL_SECS)
    account.wait_until_ready()


def is_built_here(account: Account) -> bool:
    return bool(account.options.build or account.options.binary)


def cargo_lambda_deploy(account: Account, wanted: Upload) -> str:
    """The error, or an empty text."""
    with tempfile.TemporaryDirectory() as folder:
        # It deploys a zip unchanged if there is no binary in its folder.
        path = Path(folder, "bootstrap", "bootstrap.zip")
        path.parent.mkdir()
        path.write_bytes(wanted.code.zip)
        command: list[str | Path] = [CARGO_LAMBDA, "lambda", "deploy", account.function, "--binary-name", "bootstrap"]
        command += ["--lambda-dir", folder, "--iam-role", wanted.role, *account.flags, "--output-format", "json"]
        command += ["--timeout", str(TIMEOUT_SECS), "--memory", str(MEMORY_MIB)]
        command += [flag for name, value in wanted.settings.items() for flag in ("--env-var", f"{name}={value}")]
        return run_and_return_error(command)


def run_and_return_error(command: list[str | Path]) -> str:
    """The output of a failed command, without the frame that it draws around it; empty if the command succeeds."""
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    output = " ".join(re.sub(r"[^ -~]+", " ", run.stderr or run.stdout).split())
    return (output or f"exit status {run.returncode}") if run.returncode else ""


def call_lambda(account: Account, wanted: Upload) -> str:
    """The error, or an empty text."""
    client, function = account.lambda_, account.function
    size = {"Timeout": TIMEOUT_SECS, "MemorySize": MEMORY_MIB}
    try:
        if wanted.exists:
            client.update_function_configuration(FunctionName=function, **size)
            account.wait_until_ready()
            client.update_function_code(FunctionName=function, ZipFile=wanted.code.zip)
        else:
            client.create_function(
                FunctionName=function,
                Runtime=RUNTIME,
                Handler="bootstrap",
                Role=wanted.role,
                Code={"ZipFile": wanted.code.zip},
                Architectures=[wanted.code.architecture],
                Environment={"Variables": wanted.settings},
                **size,
            )
    except ClientError as error:
        return str(error)
    return ""
