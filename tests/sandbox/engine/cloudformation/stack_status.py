"""DescribeStacks with a status that a test sets, for real stacks and for made-up ones.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import handlers

from ..auto_scaling.model import timestamp
from ..handlers import Json, element

_STATUS = re.compile(rb"<StackStatus>[^<]*</StackStatus>")
Response = tuple[int, dict[str, str], bytes]


class StackStatuses:
    """Statuses by stack id, which take the place of the engine's own."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}

    def set(self, given: Json) -> Json:
        """`{"stack_id": ARN, "status": "DELETE_IN_PROGRESS"}`; without a status the engine's own is returned again."""
        self.statuses.pop(given["stack_id"], None)
        if given.get("status"):
            self.statuses[given["stack_id"]] = given["status"]
        return dict(self.statuses)

    def install(self) -> None:
        """Wraps MiniStack's handler."""
        original: Callable[[Json], Response] = handlers._ACTION_HANDLERS["DescribeStacks"]

        def describe(params: Json) -> Response:
            named = handlers._p(params, "StackName")
            status = self.statuses.get(named)
            response = original(params)
            if status is None:
                return response
            code, headers, body = response
            if code == 200:
                return code, headers, _STATUS.sub(f"<StackStatus>{status}</StackStatus>".encode(), body)
            return handlers._xml(200, "DescribeStacksResponse", _result(named, status))

        handlers._ACTION_HANDLERS["DescribeStacks"] = describe


def _result(stack_id: str, status: str) -> str:
    stack: dict[str, Any] = {
        "StackId": stack_id,
        "StackName": stack_id.split("/")[1],
        "CreationTime": timestamp(time.time()),
        "StackStatus": status,
    }
    return element("DescribeStacksResult", {"Stacks": [stack]})
