"""RunTask: tasks of no service, which nothing replaces, and which only StopTask or their own end stops.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from ..handlers import AwsError, Json
from .engine import Ecs
from .model import Strategy, Task
from .services import check_strategy

MOST_PER_CALL = 10
MOST_TAGS = 50
# "Up to 128 letters (uppercase and lowercase), numbers, hyphens (-), forward slash (/), and underscores (_)".
_STARTED_BY = re.compile(r"[A-Za-z0-9/_-]{1,128}")
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
_CLIENT_TOKEN = re.compile(r"[!-~]{1,64}")
TOKEN_LIFE_SECS = 24 * 3600


@dataclass(frozen=True)
class _Run:
    """What a client token stands for."""

    request: Json
    tasks: list[Task]
    until: float


class StandaloneTasks:
    """RunTask on capacity providers."""

    def __init__(self, engine: Ecs) -> None:
        self.engine = engine
        self._runs: dict[tuple[str, str], _Run] = {}
        """By cluster and client token."""

    def run(self, data: Json) -> Json:
        cluster = self.engine.cluster(data.get("cluster"))
        definition = self.engine.active_definition(data.get("taskDefinition"), "InvalidParameterException")
        strategy = _checked_strategy(cluster, data)
        count = _checked_count(data)
        _check_overrides(definition, data)
        token = data.get("clientToken")
        if token is not None and not _CLIENT_TOKEN.fullmatch(token):
            raise AwsError("InvalidParameterException", "clientToken must have 1 to 64 characters from 33 to 126.")
        key = (cluster["clusterName"], token or "")
        tasks, n_refused = self._started_before(key, data), 0
        if tasks is None:
            faults = self.engine.core.faults
            n_refused, faults.refused_tasks = min(faults.refused_tasks, count), 0
            tasks = [self._start(cluster, definition, strategy, data) for _ in range(count - n_refused)]
            if token:
                self._runs[key] = _Run(data, tasks, time.time() + TOKEN_LIFE_SECS)
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
        failure = {"reason": "Capacity is unavailable at this time. Please try again later"}
        return {"tasks": [task.to_json(True) for task in tasks], "failures": [failure] * n_refused}

    def _started_before(self, key: tuple[str, str], data: Json) -> list[Task] | None:
        """A token is good for a day, or as long as its tasks are described if that is shorter."""
        run = self._runs.get(key)
        if run is None or time.time() >= run.until or not any(task.arn in self.engine.tasks for task in run.tasks):
            return None
        if run.request != data:
            arns = ", ".join(task.arn for task in run.tasks)
            raise AwsError(
                "ConflictException", f"The clientToken is already in use with a different RunTask request: {arns}"
            )
        return run.tasks

    def _start(self, cluster: Json, definition: Json, strategy: Strategy, data: Json) -> Task:
        tags = (
            self.engine.tags(definition["taskDefinitionArn"]) if data.get("propagateTags") == "TASK_DEFINITION" else []
        )
        given = data.get("tags") or []
        named = {tag["key"] for tag in given}
        constraints = data.get("placementConstraints") or []
        return self.engine.new_task(
            cluster,
            definition,
            data.get("group") or f"family:{definition['family']}",
            started_by=data.get("startedBy"),
            provider=max(strategy, key=lambda item: item.get("weight", 0))["capacityProvider"],
            distinct_instance=any(constraint["type"] == "distinctInstance" for constraint in constraints),
            tags=[*given, *(tag for tag in tags if tag["key"] not in named)],
        )


def _checked_strategy(cluster: Json, data: Json) -> Strategy:
    if data.get("launchType") and data.get("capacityProviderStrategy"):
        raise AwsError(
            "InvalidParameterException",
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        )
    strategy = data.get("capacityProviderStrategy") or cluster["defaultCapacityProviderStrategy"]
    if not strategy:
        # Tasks on instances of no provider are not modelled, so there is no such instance.
        raise AwsError("InvalidParameterException", "No Container Instances were found in your cluster.")
    check_strategy(cluster, strategy)
    return list(strategy)


def _checked_count(data: Json) -> int:
    count = int(data.get("count", 1))
    problem = None
    if not 1 <= count <= MOST_PER_CALL:
        problem = f"Count should be between 1 and {MOST_PER_CALL}."
    elif "startedBy" in data and not _STARTED_BY.fullmatch(data["startedBy"]):
        problem = "startedBy has up to 128 letters, numbers, hyphens, slashes and underscores."
    elif str(data.get("group") or "").startswith("service:"):
        problem = "The group of a task that is of no service cannot begin with service:."
    elif data.get("propagateTags") not in (None, "NONE", "TASK_DEFINITION"):
        problem = "propagateTags of RunTask can be TASK_DEFINITION or NONE."
    elif len(data.get("tags") or []) > MOST_TAGS:
        problem = f"Tags can have a maximum of {MOST_TAGS} items."
    if problem:
        raise AwsError("InvalidParameterException", problem)
    return count


def _check_overrides(definition: Json, data: Json) -> None:
    """What they change is not modelled."""
    containers = {container["name"] for container in definition["containerDefinitions"]}
    for override in (data.get("overrides") or {}).get("containerOverrides") or []:
        if override["name"] not in containers:
            raise AwsError(
                "InvalidParameterException",
                f"Override for container named {override['name']} is not a container in the TaskDefinition.",
            )
