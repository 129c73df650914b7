"""Chaos for the stress test, at random moments: kills, throttling by AWS and GitHub, and a wrong `busy`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any

from sandbox.world import World

Range = tuple[float, float]

# Between two of a kind, in seconds.
KILLS: Range = (1.5, 6)
AWS_THROTTLES: Range = (3, 8)
GITHUB_THROTTLES: Range = (12, 24)
WRONG_BUSY: Range = (6, 12)
# How long GitHub calls working runners idle, and deletes them.
WRONG_BUSY_SECONDS = 3
TICK = 0.1
# Lambda tries three times. A kill in the last try is for the on-failure queue, which has tests of its own.
ATTEMPTS_KILLED = 2
# How often in a row an operation is throttled, with weights. The SDK tries five times; the function has to retry more.
THROTTLE_WEIGHTS = {1: 6, 2: 4, 3: 2, 6: 1}
OPERATIONS_AT_ONCE = 2
# One time in so many the function's invocation of itself is throttled as well.
SELF_INVOKE_EVERY = 2
OPERATIONS = [
    ("ecs", "DescribeServices"),
    ("ecs", "DescribeTasks"),
    ("ecs", "ListTasks"),
    ("ecs", "DescribeTaskDefinition"),
    ("ecs", "DescribeCapacityProviders"),
    ("ecs", "DescribeClusters"),
    ("ecs", "GetTaskProtection"),
    ("ecs", "UpdateTaskProtection"),
    ("ecs", "UpdateService"),
    ("ecs", "RegisterTaskDefinition"),
    ("ecs", "StopTask"),
    ("ecs", "DeleteService"),
    ("ecs", "PutClusterCapacityProviders"),
    ("autoscaling", "DescribeAutoScalingGroups"),
    ("autoscaling", "UpdateAutoScalingGroup"),
    ("autoscaling", "CreateOrUpdateTags"),
    ("autoscaling", "DeleteAutoScalingGroup"),
    ("ssm", "GetParameter"),
    ("ssm", "PutParameter"),
    ("logs", "GetLogEvents"),
]
THROTTLE_CODES = {
    "ecs": "ThrottlingException",
    "ssm": "ThrottlingException",
    "logs": "ThrottlingException",
    "autoscaling": "Throttling",
}
SELF_INVOKE = {
    "service": "lambda",
    "operation": "Invoke",
    "code": "TooManyRequestsException",
    "message": "Rate Exceeded.",
    "status": 429,
}
SECONDARY_LIMIT = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


class Chaos:
    """Injects faults until the end of the `with` block."""

    def __init__(self, world: World, random: Random) -> None:
        self.world = world
        self.random = random
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._inject, daemon=True)
        self._due = {
            self._kill: KILLS,
            self._throttle_aws: AWS_THROTTLES,
            self._throttle_github: GITHUB_THROTTLES,
            self._report_idle: WRONG_BUSY,
        }
        self._wrong_busy_until = 0.0

    def __enter__(self) -> Chaos:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.world.post("/faults", aws=[], github={}, busy_lag=0, jobs_of_deleted_runners="cancelled")

    def _inject(self) -> None:
        def after(pauses: Range) -> float:
            return time.monotonic() + self.random.uniform(*pauses)

        due: dict[Callable[[], bool], float] = {inject: after(pauses) for inject, pauses in self._due.items()}
        while not self._over.wait(TICK):
            if 0 < self._wrong_busy_until <= time.monotonic():
                self._wrong_busy_until = 0.0
                self.world.post("/faults", busy_lag=0)
            for inject, pauses in self._due.items():
                if time.monotonic() >= due[inject] and inject():
                    due[inject] = after(pauses)

    def _kill(self) -> bool:
        """Whether an invocation was killed; if not, the next one is."""
        return self.world.post("/kill", attempts=ATTEMPTS_KILLED)["killed"] is not None

    def _throttle_aws(self) -> bool:
        faults: list[dict[str, Any]] = [
            {"service": service, "operation": operation, "code": THROTTLE_CODES[service], "times": self._times()}
            for service, operation in self.random.sample(OPERATIONS, OPERATIONS_AT_ONCE)
        ]
        if self.random.randrange(SELF_INVOKE_EVERY) == 0:
            faults.append({**SELF_INVOKE, "times": self._times()})
        self.world.post("/faults", aws=faults)
        return True

    def _throttle_github(self) -> bool:
        status = self.random.choice((403, 429))
        headers = {"retry-after": str(self.random.randint(1, 2))}
        fault = {"status": status, "message": SECONDARY_LIMIT, "headers": headers, "caller": "function", "times": 1}
        self.world.post("/faults", github=fault)
        return True

    def _report_idle(self) -> bool:
        """A job that began a moment before the deletion is in no log yet, and lives on: nothing else could save it."""
        self._wrong_busy_until = time.monotonic() + WRONG_BUSY_SECONDS
        self.world.post("/faults", busy_lag=3600, jobs_of_deleted_runners="live on")
        return True

    def _times(self) -> int:
        return self.random.choices(list(THROTTLE_WEIGHTS), list(THROTTLE_WEIGHTS.values()))[0]
