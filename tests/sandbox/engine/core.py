"""What every part of the sandbox shares: one lock, the settings, the journal and the faults that tests plant.

One lock for the whole world keeps it simple: every handler and every tick holds it, and none of them waits for anything
while it does.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

from .journal import Journal
from .settings import Durations, Settings


@dataclass
class Faults:
    """What is broken at the moment. Set through the control endpoint."""

    launches: str = "ok"
    """`fail`: Auto Scaling cannot launch instances."""
    launch_message: str = (
        "We currently do not have sufficient t3.large capacity in the Availability Zone you requested. "
        "Launching EC2 instance failed."
    )
    images: list[str] = field(default_factory=list)
    """Images that cannot be pulled; a task with one of them never reaches RUNNING."""
    agents: str = "ok"
    """`silent`: instances launch, but their agent never registers with the cluster."""
    busy_lag: float = 0.0
    """For how many seconds after a job began GitHub still says that its runner is idle, to DELETE as well."""
    jobs_of_deleted_runners: str = "cancelled"
    """What becomes of the job of a runner that GitHub deleted in its middle: the listener's next poll cancels it, or,
    with `live on`, it goes on to its end. Both are reported; the first is what the runner's source has."""
    refused_tasks: int = 0
    """How many tasks of the next RunTask ECS does not start: failures in a response with status 200."""
    runners: str = "ok"
    """`offline`: runners register and never connect. `crash`: the container exits before it registers."""
    just_in_time: str = "ok"
    """`absent`: a GitHub Enterprise Server that is too old for just-in-time configurations."""
    scale_set_jobs: str = "assigned"
    """`available`: jobs wait until a set's listener acquires them, as on a GitHub Enterprise Server."""
    scale_set_labels: str = "ok"
    """`dropped`: a GitHub Enterprise Server that keeps the name of a set as its only label."""
    scale_set_sessions: str = "ok"
    """`no queue`: they are opened without the address of a queue, as while GitHub's broker was in trouble."""
    scale_set_statistics: str = "ok"
    """`zero`: those of a message that assigns a job count nothing."""
    statistics_lag: float = 0.0
    """How many seconds a set's statistics are old."""
    completion_lag: float = 0.0
    """How many seconds after a job's end its set hears of it. Until then it counts as running."""
    byte_order_marks: bool = True
    """Whether the scale-set service begins its answers with one."""
    github: dict[str, Any] | list[dict[str, Any]] = field(default_factory=dict[str, Any])
    """`{"status": 503, "times": 2, "method": "DELETE", "path": "/runners"}`: a response forced on matching requests."""
    aws: list[dict[str, Any]] = field(default_factory=list)
    """`{"service": "ecs", "operation": "StopTask", "code": "ThrottlingException", "message": "...", "times": 2}`.
    With `"about": "name"`, only requests that contain the name fail. With `"kill": "Listen"` instead of a code, the
    call is made, and the newest invocation of this kind is killed before it has the answer."""
    provider_updates: list[dict[str, Any]] = field(default_factory=list)
    """`{"provider": "name", "times": 1, "reason": "..."}`: updates of it that end in UPDATE_FAILED."""
    responses: dict[str, Any] = field(default_factory=dict)
    """`{"status": 503, "times": 2}`: what the response URL returns for a PUT."""


@dataclass
class Core:
    """The shared things, handed to every part."""

    settings: Settings
    journal: Journal = field(default_factory=Journal)
    faults: Faults = field(default_factory=Faults)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def pace(self) -> Durations:
        return self.settings.durations


def hex_digits(count: int) -> str:
    """Random hexadecimal digits, as AWS and Docker name things."""
    return secrets.token_hex((count + 1) // 2)[:count]


def consume_fault(fault: dict[str, Any]) -> bool:
    """Whether a fault with a `times` counter strikes now. Without the counter it always does."""
    if "times" not in fault:
        return True
    if fault["times"] <= 0:
        return False
    fault["times"] -= 1
    return True
