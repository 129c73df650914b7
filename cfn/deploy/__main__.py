"""`make deploy`, `make undeploy`, `make package`: the function behind Custom::GitHubRunnerPool, and its stack.

`make plan`: what a deployment would do to the pools of a stack. `make status`: what runs.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from .account import Account
from .binary import how_to_upload, package
from .errors import DeployError
from .output import end_quietly
from .plan import plan
from .provider import deploy
from .source import check_source
from .status import status
from .undeploy import undeploy


def named_value(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text} has not the form NAME=VALUE")
    return name, value


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m cfn.deploy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "command", choices=["check", "deploy", "undeploy", "package", "how-to-upload", "plan", "status"]
    )
    parser.add_argument("--function-name", default="github-runner-pool")
    for name in ("region", "profile", "endpoint-url", "template", "stack", "change-set"):
        parser.add_argument(f"--{name}", type=lambda text: text or None)
    # Where the code comes from; without any of these four it is the release of this checkout's version.
    for name in ("zip", "binary", "build"):
        parser.add_argument(f"--{name}", type=lambda text: Path(text) if text else None)
    for name in ("release", "architecture", "releases-url"):
        parser.add_argument(f"--{name}", type=lambda text: text or None)
    parser.add_argument("--parameters", nargs="*", type=named_value, default=[])
    parser.add_argument("--settings", nargs="*", type=named_value, default=[])
    # Empty for no, as `make` passes it.
    parser.add_argument("--json", type=lambda text: text or None)
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    binary = options.binary or Path("bootstrap")
    if options.command == "package":
        package(binary)
        return None
    if options.command == "how-to-upload":
        return how_to_upload(binary, options.function_name)
    check_source(options)
    account = Account.of(options)
    if options.command == "deploy":
        return deploy(account)
    if options.command == "plan":
        return plan(account)
    if options.command == "status":
        return status(account)
    account.print_identity()
    if options.command == "undeploy":
        undeploy(account)
    return None


def main() -> None:
    """Ends with one sentence, and no traceback, whatever is wrong with the account or the request."""
    try:
        run(arguments())
    except DeployError as error:
        sys.exit(str(error))
    except ProfileNotFound as error:
        sys.exit(f"PROFILE: {error}. `aws configure list-profiles` lists the profiles.")
    except (NoCredentialsError, PartialCredentialsError):
        sys.exit("AWS credentials: none found. Sign in (`aws sso login`, `aws configure`), or set PROFILE=NAME.")
    except EndpointConnectionError as error:
        sys.exit(f"AWS endpoint: {error} Check AWS_REGION, ENDPOINT_URL and the network.")
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if re.search(
            r"Expired|InvalidClientToken|UnrecognizedClient|SignatureDoesNotMatch|TokenRefresh", f"{code}{error}"
        ):
            sys.exit(f"AWS credentials: rejected. Sign in again. {error}")
        sys.exit(f"AWS error: {error}")


if __name__ == "__main__":
    end_quietly(main)
