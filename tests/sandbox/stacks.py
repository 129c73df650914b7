"""Stacks of the local CloudFormation: create, update, delete, wait, and read why."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

DEFAULT_TIMEOUT = 180.0
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


@dataclass
class Stacks:
    """Makes stacks."""

    cloudformation: Any

    def create(self, name: str, template: str | Path, parameters: dict[str, str]) -> Stack:
        """Starts the creation."""
        response = self.cloudformation.create_stack(
            StackName=name, TemplateBody=_text(template), Parameters=_listed(parameters), Capabilities=_CAPABILITIES
        )
        return Stack(self.cloudformation, name, response["StackId"], template, dict(parameters))

    def get(self, name: str) -> Stack:
        """A stack that exists already, with the parameters it has now."""
        record = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        body = self.cloudformation.get_template(StackName=name)["TemplateBody"]
        parameters = {item["ParameterKey"]: item["ParameterValue"] for item in record.get("Parameters", [])}
        return Stack(self.cloudformation, name, record["StackId"], body, parameters)

    def exists(self, name: str) -> bool:
        """Whether there is one of this name."""
        listed = self.cloudformation.get_paginator("describe_stacks").paginate()
        return any(stack["StackName"] == name for page in listed for stack in page["Stacks"])


@dataclass
class Stack:
    """One stack. `update` and `delete` start; `settled` waits for the end, whatever it is."""

    cloudformation: Any
    name: str
    id: str
    template: str | Path
    parameters: dict[str, str]

    @property
    def status(self) -> str:
        try:
            return str(self._describe()["StackStatus"])
        except ClientError as error:
            if "does not exist" in str(error):
                return "DELETE_COMPLETE"
            raise

    @property
    def outputs(self) -> dict[str, str]:
        return {item["OutputKey"]: item["OutputValue"] for item in self._describe().get("Outputs", [])}

    def events(self) -> list[dict[str, Any]]:
        """Oldest first."""
        pages = self.cloudformation.get_paginator("describe_stack_events").paginate(StackName=self.id)
        return [event for page in pages for event in page["StackEvents"]][::-1]

    def reasons(self, logical_id: str | None = None) -> list[str]:
        """Reasons of failed resources, oldest first."""
        return [
            event.get("ResourceStatusReason", "")
            for event in self.events()
            if event["ResourceStatus"].endswith("FAILED") and logical_id in (None, event["LogicalResourceId"])
        ]

    def physical_id(self, logical_id: str) -> str:
        found = self.cloudformation.describe_stack_resource(StackName=self.id, LogicalResourceId=logical_id)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def update(self, template: str | Path | None = None, **parameters: str) -> Stack:
        """Starts an update with the given parameters changed. "No updates" counts as settled."""
        self.template = template or self.template
        self.parameters |= parameters
        try:
            self.cloudformation.update_stack(
                StackName=self.name,
                TemplateBody=_text(self.template),
                Parameters=_listed(self.parameters),
                Capabilities=_CAPABILITIES,
            )
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
        return self

    def delete(self) -> Stack:
        """Starts the deletion."""
        self.cloudformation.delete_stack(StackName=self.name)
        return self

    def settled(self, timeout: float = DEFAULT_TIMEOUT) -> Stack:
        """Waits until nothing is in progress."""
        deadline = time.monotonic() + timeout
        while "IN_PROGRESS" in self.status:
            if time.monotonic() > deadline:
                raise AssertionError(f"stack {self.name} is still {self.status} after {timeout} s")
            time.sleep(0.2)
        return self

    def expect(self, status: str) -> Stack:
        """Fails with the reasons when the stack ended otherwise."""
        if self.status != status:
            reasons = "\n".join(self.reasons())
            raise AssertionError(f"stack {self.name} is {self.status}, not {status}:\n{reasons}")
        return self

    def _describe(self) -> dict[str, Any]:
        return dict(self.cloudformation.describe_stacks(StackName=self.id)["Stacks"][0])


def _text(template: str | Path) -> str:
    return template.read_text() if isinstance(template, Path) else template


def _listed(parameters: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": str(value)} for key, value in parameters.items()]
