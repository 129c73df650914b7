"""The account and Region that the function is in, or is to be in, and what is there of it."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError, WaiterError

from .errors import DeployError

POLL_SECS = 2


@dataclass
class Account:
    """Where the function is, or is to be, and what it is called there."""

    session: boto3.Session
    given: argparse.Namespace

    @classmethod
    def of(cls, given: argparse.Namespace) -> Account:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", given.function_name):
            raise DeployError(
                f"FUNCTION_NAME={given.function_name} names the function and its stack: at most 64 letters, digits and "
                "hyphens, a letter first."
            )
        session = boto3.Session(profile_name=given.profile, region_name=given.region)
        if session.region_name is None:
            raise DeployError("There is no Region. Say which: AWS_REGION=eu-central-1.")
        return cls(session, given)

    def __post_init__(self) -> None:
        self.function = self.given.function_name
        self.region = self.session.region_name
        self.lambda_ = self.client("lambda")
        self.cloudformation = self.client("cloudformation")

    def client(self, service: str, **more: Any) -> Any:
        return self.session.client(service, endpoint_url=self.given.endpoint_url, **more)

    def introduce(self) -> str:
        """Says whose account this is, which also proves that there is a way in, and returns its id."""
        who = self.client("sts").get_caller_identity()
        print(f"{self.function} in account {who['Account']}, Region {self.region}, by {who['Arn']}")
        return str(who["Account"])

    @property
    def flags(self) -> list[str]:
        """The account, for `cargo lambda` and `aws` alike."""
        named = {"--region": self.region, "--profile": self.given.profile, "--endpoint-url": self.given.endpoint_url}
        return [flag for name, value in named.items() if value for flag in (name, value)]

    # The stack, which has the function's name.

    def stack(self, name: str | None = None) -> dict[str, Any] | None:
        """A stack by its name or id, as long as it is there; the function's own where none is given."""
        try:
            found = self.cloudformation.describe_stacks(StackName=name or self.function)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found

    def settled(self, stack_id: str, waiter: str, since: set[str]) -> None:
        """Waits for the end of what was begun, and says why where that is a bad one."""
        try:
            waiting = self.cloudformation.get_waiter(waiter)
            waiting.wait(StackName=stack_id, WaiterConfig={"Delay": POLL_SECS, "MaxAttempts": 900})
        except WaiterError as error:
            reasons = [
                f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}"
                for event in reversed(self.events(stack_id))
                if event["EventId"] not in since and event["ResourceStatus"].endswith("FAILED")
            ]
            told = "\n".join(reasons) or f"  {error}"
            raise DeployError(f"The stack {self.function} failed; the first line is the cause:\n{told}") from error

    def events(self, stack_id: str) -> list[dict[str, Any]]:
        """The newest first."""
        return self.cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]

    # The function.

    def found(self) -> dict[str, Any] | None:
        """Its configuration, if it is there."""
        try:
            return self.lambda_.get_function_configuration(FunctionName=self.function)
        except self.lambda_.exceptions.ResourceNotFoundException:
            return None

    def wait_until_ready(self) -> None:
        """Until Lambda takes changes of the function again."""
        for waiter in ("function_active_v2", "function_updated_v2"):
            self.lambda_.get_waiter(waiter).wait(FunctionName=self.function, WaiterConfig={"Delay": POLL_SECS})


def parameters_of(stack: dict[str, Any]) -> dict[str, str]:
    """A stack's parameters, as they are now."""
    return {item["ParameterKey"]: item["ParameterValue"] for item in stack.get("Parameters", [])}
