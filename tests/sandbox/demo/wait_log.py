"""What the pool has waited for, from the function's log: the part of a request without calls."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sandbox.world import World

LOG_TIMEOUT = 5.0
Entry = dict[str, Any]


@dataclass(frozen=True)
class Wait:
    """A reason to wait, and for how long it applied."""

    why: str
    seconds: float


def waits(world: World, request_id: str) -> list[Wait]:
    """Every reason of one request, in order."""
    lines = _lines(world, request_id)
    return [
        Wait(line["message"].removeprefix("waiting for "), (_at(after) - _at(line)).total_seconds())
        for line, after in pairwise(lines)
        if line.get("step") == "wait"
    ]


def _lines(world: World, request_id: str) -> list[Entry]:
    """The request's lines. The last one is written just after the response."""
    deadline = time.monotonic() + LOG_TIMEOUT
    while True:
        lines = [line for line in map(_decoded, world.function_logs()) if _request_of(line) == request_id]
        if any(line.get("step") == "respond" for line in lines) or time.monotonic() > deadline:
            return [line for line in lines if line["level"] != "DEBUG"]
        time.sleep(0.2)


def _decoded(line: str) -> Entry:
    """Lambda's own START, END and REPORT are no JSON."""
    try:
        decoded = json.loads(line)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _request_of(line: Entry) -> str | None:
    return line.get("request_id")


def _at(line: Entry) -> datetime:
    return datetime.fromisoformat(line["timestamp"])
