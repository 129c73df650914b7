"""Where a container's output goes: a log group that must be there before the container starts.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html
"""

from __future__ import annotations

import time

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch_logs

from ..handlers import Json
from .model import Task


def missing_log_group(container: Json) -> bool:
    """Whether the `awslogs` driver has a group to write to that does not exist, and that it may not make itself."""
    configuration = container.get("logConfiguration") or {}
    options = configuration.get("options") or {}
    if configuration.get("logDriver") != "awslogs" or options.get("awslogs-create-group") == "true":
        return False
    group = options.get("awslogs-group") or ""
    region = options.get("awslogs-region") or get_region()
    return cloudwatch_logs._log_groups.get_scoped(get_account_id(), region, group) is None


def stream_of(task: Task) -> tuple[str, str] | None:
    """Group and name of the stream of a task's first container, as the `awslogs` driver names it."""
    container = task.definition["containerDefinitions"][0]
    configuration = container.get("logConfiguration") or {}
    options = configuration.get("options") or {}
    prefix, group = options.get("awslogs-stream-prefix"), options.get("awslogs-group")
    if configuration.get("logDriver") != "awslogs" or not prefix or not group:
        return None
    return group, f"{prefix}/{container['name']}/{task.id}"


def open_stream(task: Task) -> None:
    """Docker makes the stream before the container starts."""
    if stream := stream_of(task):
        cloudwatch_logs._create_log_stream({"logGroupName": stream[0], "logStreamName": stream[1]})


def write(task: Task, line: str) -> None:
    """A group that is gone meanwhile swallows it, as Docker drops a batch that it cannot send."""
    if stream := stream_of(task):
        event = {"timestamp": int(time.time() * 1000), "message": line}
        cloudwatch_logs._put_log_events({"logGroupName": stream[0], "logStreamName": stream[1], "logEvents": [event]})
