"""The registrations table of a provider's stack, with a test in the place of the function: it answers by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sandbox.scenario import TEMPLATES
from sandbox.stacks import Stack
from sandbox.world import Entry, World

FUNCTION = "of-the-registrations"
TABLE = f"{FUNCTION}-registrations"


@dataclass
class Mailbox:
    """Reads requests and writes answers, as the function does. The test's own credentials are the account's."""

    world: World
    stack: Stack = field(init=False)

    def __post_init__(self) -> None:
        self.stack = self.world.create_stack(FUNCTION, TEMPLATES / "provider.yaml", {"FunctionName": FUNCTION})
        self.stack.expect("CREATE_COMPLETE")

    @property
    def runner_role(self) -> str:
        return self.stack.outputs["RunnerRoleArn"]

    def item(self, task_arn: str) -> Entry | None:
        """What is in the table for a task."""
        items = self.world.client("dynamodb").scan(TableName=TABLE, ConsistentRead=True)["Items"]
        return next((item for item in items if item["task"]["S"] == task_arn), None)

    def request(self, task_arn: str, attempt: int = 1) -> Entry:
        """The task's request, once it is there, with this attempt at least."""

        def asked() -> Entry | None:
            item = self.item(task_arn)
            return item if item and "answer" not in item and int(item["attempt"]["N"]) >= attempt else None

        return self.world.wait_for(f"request {attempt} of {task_arn}", asked)

    def answer(self, request: Entry, **answer: Any) -> None:
        self.world.client("dynamodb").update_item(
            TableName=TABLE,
            Key={"key": request["key"]},
            UpdateExpression="SET #answer = :answer",
            ConditionExpression="attribute_exists(#key) AND #attempt = :attempt AND attribute_not_exists(#answer)",
            ExpressionAttributeNames={"#answer": "answer", "#key": "key", "#attempt": "attempt"},
            ExpressionAttributeValues={":answer": {"S": json.dumps(answer)}, ":attempt": request["attempt"]},
        )

    def delete(self) -> None:
        self.stack.delete().settled().expect("DELETE_COMPLETE")
