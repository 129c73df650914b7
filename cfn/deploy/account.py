"""The account and Region of the function, its stack and its configuration."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError, WaiterError

from .errors import DeployError
from .output import say

POLL_SECS = 2


@dataclass
class Account:
    """An account and Region, with the name that function and stack have there."""

    session: boto3.Session
    options: argparse.Namespace

    @classmethod
    def of(cls, options: argparse.Namespace) -> Account:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", options.function_name):
            raise DeployError(
                f"FUNCTION_NAME: {options.function_name} is not a valid name of a function and its stack. Use at most "
                "64 letters, digits and hyphens, and begin with a letter."
            )
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
        if session.region_name is None:
            raise DeployError("AWS_REGION: no Region is set. Set it here, AWS_REGION=eu-central-1, or in the profile.")
        return cls(session, options)

    def __post_init__(self) -> None:
        self.function = self.options.function_name
        self.region = self.session.region_name
        self.lambda_ = self.client("lambda")
        self.cloudformation = self.client("cloudformation")

    def client(self, service: str, **more: Any) -> Any:
        return self.session.client(service, endpoint_url=self.options.endpoint_url, **more)

    def print_identity(self) -> str:
        """Prints the account and the caller, which also checks the credentials, and returns the account's id."""
        who = self.client("sts").get_caller_identity()
        say(f"{self.function} in account {who['Account']}, Region {self.region}, by {who['Arn']}")
        return str(who["Account"])

    @property
    def flags(self) -> list[str]:
        """The options that `cargo lambda` and `aws` share."""
        named = {
            "--region": self.region,
            "--profile": self.options.profile,
            "--endpoint-url": self.options.endpoint_url,
        }
        return [flag for name, value in named.items() if value for flag in (name, value)]

    # The stack, which has the function's name.

    def stack(self, name: str | None = None) -> dict[str, Any] | None:
        """A stack by its name or id, unless it is deleted; without one, the function's own."""
        try:
            found = self.cloudformation.describe_stacks(StackName=name or self.function)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found

    def wait_for_stack(self, stack_id: str, waiter: str, since: set[str]) -> None:
        """Waits for the end of the stack operation, and raises the reasons of a failed one."""
        try:
            waiting = self.cloudformation.get_waiter(waiter)
            waiting.wait(StackName=stack_id, WaiterConfig={"Delay": POLL_SECS, "MaxAttempts": 900})
        except WaiterError as error:
            reasons = [
                f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}"
                for event in reversed(self.events(stack_id))
                if event["EventId"] not in since and event["ResourceStatus"].endswith("FAILED")
            ]
            listed = "\n".join(reasons) or f"  {error}"
            raise DeployError(
                f"Stack {self.function}: the operation failed. Correct the cause, the first line, and try again.\n"
                f"{listed}"
            ) from error

    def events(self, stack_id: str) -> list[dict[str, Any]]:
        """Newest first."""
        return self.cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]

    # The function.

    def function_configuration(self) -> dict[str, Any] | None:
        """`None` if the function does not exist."""
        try:
            return self.lambda_.get_function_configuration(FunctionName=self.function)
        except self.lambda_.exceptions.ResourceNotFoundException:
            return None

    def wait_until_ready(self) -> None:
        """Waits until Lambda accepts changes of the function again."""
        for waiter in ("function_active_v2", "function_updated_v2"):
            self.lambda_.get_waiter(waiter).wait(FunctionName=self.function, WaiterConfig={"Delay": POLL_SECS})


def parameters_of(stack: dict[str, Any]) -> dict[str, str]:
    """A stack's current parameters."""
    return {item["ParameterKey"]: item["ParameterValue"] for item in stack.get("Parameters", [])}
