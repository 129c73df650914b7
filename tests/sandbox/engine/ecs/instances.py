"""Container instances: list, describe, drain, deregister.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterContainerInstance.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from ..handlers import AwsError, Json
from .engine import Ecs
from .model import Instance

MOST_CHANGED_PER_CALL = 10
MOST_READ_PER_CALL = 100
_FILTER = re.compile(r"\s*(?P<field>\w+)\s*(?P<op>==|in)\s*(?P<value>\[.*\]|\S+)\s*")
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html
_FIELDS: dict[str, Callable[[Instance], str]] = {
    "ec2InstanceId": lambda instance: instance.ec2_id,
    "agentConnected": lambda instance: str(instance.agent_connected).lower(),
}


class Instances:
    """ListContainerInstances and its neighbours."""

    def __init__(self, engine: Ecs) -> None:
        self.engine = engine

    def list(self, data: Json) -> Json:
        cluster = self.engine.cluster(data.get("cluster"))["clusterName"]
        matches = _filter(data.get("filter"))
        arns = [
            instance.arn
            for instance in self.engine.instances.values()
            if instance.cluster == cluster
            and (not data.get("status") or instance.status == data["status"])
            and matches(instance)
        ]
        start = int(data.get("nextToken") or 0)
        end = start + int(data.get("maxResults") or 100)
        return {"containerInstanceArns": arns[start:end], "nextToken": str(end) if end < len(arns) else None}

    def describe(self, data: Json) -> Json:
        references = data.get("containerInstances") or []
        if not references or len(references) > MOST_READ_PER_CALL:
            raise AwsError(
                "InvalidParameterException", f"Container instances must have between 1 and {MOST_READ_PER_CALL} items."
            )
        found, failures = self._each(data.get("cluster"), references)
        return {"containerInstances": [i.to_json(self.engine.tasks_on(i)) for i in found], "failures": failures}

    def set_state(self, data: Json) -> Json:
        references = data.get("containerInstances") or []
        if len(references) > MOST_CHANGED_PER_CALL:
            raise AwsError(
                "InvalidParameterException", f"Container instances cannot have more than {MOST_CHANGED_PER_CALL} items."
            )
        if data.get("status") not in ("ACTIVE", "DRAINING"):
            raise AwsError("InvalidParameterException", "Container instance status should be one of [ACTIVE,DRAINING]")
        found, failures = self._each(data.get("cluster"), references)
        for instance in found:
            # "A container instance can't be changed to DRAINING until it has reached an ACTIVE status. If the instance
            # is in any other status, an error will be received." Which error, no page says.
            # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html
            if instance.status not in ("ACTIVE", "DRAINING"):
                raise AwsError(
                    "InvalidParameterException",
                    f"The container instance {instance.arn} is {instance.status}: its state cannot be changed.",
                )
        for instance in found:
            if instance.status != data["status"]:
                instance.status = data["status"]
                self.engine.record_instance_event(instance, instance.status)
        return {"containerInstances": [i.to_json(self.engine.tasks_on(i)) for i in found], "failures": failures}

    def deregister(self, data: Json) -> Json:
        found, _ = self._each(data.get("cluster"), [data.get("containerInstance") or ""])
        if not found or found[0].status == "INACTIVE":
            raise AwsError("InvalidParameterException", "Referenced container instance not found.")
        instance = found[0]
        tasks = self.engine.tasks_on(instance)
        if tasks and not data.get("force"):
            raise AwsError("InvalidParameterException", "Found running tasks on the instance.")
        now = time.time()
        for task in tasks:
            # The container goes on without its task until the machine ends; what it did is lost then.
            task.stop_code = "UserInitiated"
            task.stopped_reason = "Container instance deregistered forcefully by user"
            if self.engine.containers:
                self.engine.containers.kill(task, now)
            self.engine.end_task(task, now)
        response = {**instance.to_json([]), "status": "INACTIVE"}
        self.engine.forget_instance(instance)
        return {"containerInstance": response}

    def step(self, now: float) -> None:
        """Forgets the INACTIVE ones."""
        gone = [arn for arn, (_, until) in self.engine.inactive_instances.items() if now >= until]
        for arn in gone:
            del self.engine.inactive_instances[arn]

    def _each(self, cluster: str | None, references: list[str]) -> tuple[list[Instance], list[Json]]:
        name = self.engine.cluster(cluster)["clusterName"]
        found, failures = [], []
        for reference in references:
            arn = self.engine.arn(f"container-instance/{name}/{reference.rsplit('/', 1)[-1]}")
            inactive, _ = self.engine.inactive_instances.get(arn, (None, 0.0))
            instance = self.engine.instances.get(arn) or inactive
            if instance is None:
                failures.append({"arn": arn, "reason": "MISSING"})
            else:
                found.append(instance)
        return found, failures


def _filter(expression: str | None) -> Callable[[Instance], bool]:
    if not expression:
        return lambda _: True
    parsed = _FILTER.fullmatch(expression)
    if not parsed or parsed["field"] not in _FIELDS:
        raise AwsError("InvalidParameterException", f"The sandbox does not know this filter: {expression}")
    field = _FIELDS[parsed["field"]]
    values = {value.strip() for value in parsed["value"].strip("[]").split(",")}
    return lambda instance: field(instance) in values
