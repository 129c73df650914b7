"""`make deploy`, `make undeploy` and `make package`: the function behind Custom::GitHubRunnerPool, and its stack.

And `make plan`: what a deployment would do to its pools.
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
from .plan import plan
from .provider import deploy
from .undeploy import undeploy


def named_value(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text} is not of the form NAME=VALUE")
    return name, value


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["check", "deploy", "undeploy", "package", "how-to-upload", "plan"])
    parser.add_argument("--function-name", default="github-runner-pool")
    for name in ("region", "profile", "endpoint-url", "template", "stack", "change-set"):
        parser.add_argument(f"--{name}", type=lambda text: text or None)
    parser.add_argument("--binary", type=Path, default=Path("bootstrap"))
    parser.add_argument("--parameters", nargs="*", type=named_value, default=[])
    parser.add_argument("--settings", nargs="*", type=named_value, default=[])
    return parser.parse_args()


def run(given: argparse.Namespace) -> None:
    if given.command == "package":
        package(given.binary)
        return None
    if given.command == "how-to-upload":
        return how_to_upload(given.binary, given.function_name)
    account = Account.of(given)
    if given.command == "deploy":
        return deploy(account, given.binary)
    if given.command == "plan":
        return plan(account)
    account.introduce()
    if given.command == "undeploy":
        undeploy(account)
    return None


def main() -> None:
    """One sentence for whatever is wrong outside of this file."""
    try:
        run(arguments())
    except DeployError as error:
        sys.exit(str(error))
    except ProfileNotFound as error:
        sys.exit(f"{error}. `aws configure list-profiles` lists those that there are.")
    except (NoCredentialsError, PartialCredentialsError):
        sys.exit("There are no AWS credentials. Sign in (`aws sso login`, `aws configure`), or say PROFILE=NAME.")
    except EndpointConnectionError as error:
        sys.exit(f"{error} Is AWS_REGION a Region, and is there a network?")
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if re.search(
            r"Expired|InvalidClientToken|UnrecognizedClient|SignatureDoesNotMatch|TokenRefresh", f"{code}{error}"
        ):
            sys.exit(f"AWS does not take these credentials; sign in again: {error}")
        sys.exit(f"AWS error: {error}")


if __name__ == "__main__":
    main()
