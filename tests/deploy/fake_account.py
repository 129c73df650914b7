"""An account whose AWS clients return what a test tells them, and reject what the API does not have."""

from __future__ import annotations

import argparse
from typing import Any

from botocore.stub import Stubber

from cfn.deploy.account import Account

STACK_ID = "arn:aws:cloudformation:eu-central-1:111122223333:stack/runners/0a1b2c3d"


class FakeAccount(Account):
    """Its clients are botocore's own with stubbed responses: parameters and responses are checked against the API."""

    def __init__(self, **options: Any) -> None:
        self.stubs: dict[str, Stubber] = {}
        defaults = {"function_name": "github-runner-pool", "region": "eu-central-1", "profile": None}
        given = {**defaults, "endpoint_url": "http://127.0.0.1:9", "parameters": [], "settings": [], **options}
        made = Account.of(argparse.Namespace(**given))
        super().__init__(made.session, made.options)

    def client(self, service: str, **more: Any) -> Any:
        if service not in self.stubs:
            client = self.session.client(
                service,
                endpoint_url=self.options.endpoint_url,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                **more,
            )
            self.stubs[service] = Stubber(client)
            self.stubs[service].activate()
        return self.stubs[service].client

    def returns(self, service: str, operation: str, response: dict[str, Any], **parameters: Any) -> None:
        """The next call of the service is this one, with these parameters where any are given."""
        self.client(service)
        self.stubs[service].add_response(operation, response, parameters or None)

    def fails(self, service: str, operation: str, code: str, message: str = "") -> None:
        """The next call of the service is this one, and fails."""
        self.client(service)
        self.stubs[service].add_client_error(operation, code, message)

    def has_stack(self, status: str = "UPDATE_COMPLETE", parameters: dict[str, str] | None = None) -> None:
        listed = [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()]
        stack = {
            "StackName": "runners",
            "StackId": STACK_ID,
            "StackStatus": status,
            "CreationTime": "2026-01-01T00:00:00Z",
            "Parameters": listed,
        }
        self.returns("cloudformation", "describe_stacks", {"Stacks": [stack]})

    def has_no_stack(self) -> None:
        self.fails("cloudformation", "describe_stacks", "ValidationError", "Stack with id runners does not exist")
