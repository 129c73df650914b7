"""Puts our operations into MiniStack's table, and makes the whole thing tick."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import ecs

from ..handlers import AwsError, Json, json_handler
from . import lifecycle, placement, rollout
from .clusters import Clusters
from .engine import Ecs
from .instances import Instances
from .providers import Providers
from .services import Services
from .standalone import StandaloneTasks
from .tasks import Tasks


class EcsApi:
    """The operations we take over. What is not named here stays MiniStack's."""

    def __init__(self, engine: Ecs) -> None:
        self.engine = engine
        self.clusters = Clusters(engine, _plain(ecs._describe_clusters), _plain(ecs._delete_cluster))
        self.providers = Providers(engine)
        self.services = Services(engine)
        self.tasks = Tasks(engine)
        self.standalone = StandaloneTasks(engine)
        self.instances = Instances(engine)

    def install(self) -> None:
        operations: dict[str, Callable[[Json], Json]] = {
            "DescribeClusters": self.clusters.describe,
            "DeleteCluster": self.clusters.delete,
            "PutClusterCapacityProviders": self.clusters.put_providers,
            "CreateCapacityProvider": self.providers.create,
            "UpdateCapacityProvider": self.providers.update,
            "DeleteCapacityProvider": self.providers.delete,
            "DescribeCapacityProviders": self.providers.describe,
            "CreateService": self.services.create,
            "UpdateService": self.services.update,
            "DeleteService": self.services.delete,
            "DescribeServices": self.services.describe,
            "ListServices": self.services.list,
            "ListServiceDeployments": self.services.deployments,
            "RunTask": self.standalone.run,
            "StopTask": self.tasks.stop,
            "DescribeTasks": self.tasks.describe,
            "ListTasks": self.tasks.list,
            "UpdateTaskProtection": self.tasks.protect,
            "GetTaskProtection": self.tasks.protection,
            "ListContainerInstances": self.instances.list,
            "DescribeContainerInstances": self.instances.describe,
            "UpdateContainerInstancesState": self.instances.set_state,
            "DeregisterContainerInstance": self.instances.deregister,
            "RegisterTaskDefinition": self.register_definition,
            "ListTaskDefinitions": self.list_definitions,
            "DeleteTaskDefinitions": self.delete_definitions,
        }
        for name, operation in operations.items():
            ecs._ACTION_MAP[name] = json_handler(self.engine.core, operation)

    def register_definition(self, data: Json) -> Json:
        """MiniStack keeps only the members that it knows; ECS returns all that it was given."""
        for container in data.get("containerDefinitions") or []:
            _check_memory(container, data)
        response = _plain(self._register)(data)
        definition = response["taskDefinition"]
        record = ecs._task_defs[f"{definition['family']}:{definition['revision']}"]
        for key in ("executionRoleArn", "taskRoleArn", "pidMode", "ipcMode"):
            record[key] = record.get(key) or None
        return {**response, "taskDefinition": record}

    def list_definitions(self, data: Json) -> Json:
        """`familyPrefix` is the full name of a family, in spite of its name."""
        found = [
            record
            for record in ecs._task_defs.values()
            if record["status"] == (data.get("status") or "ACTIVE")
            and data.get("familyPrefix") in (None, record["family"])
        ]
        found.sort(key=lambda r: (r["family"], r["revision"]), reverse=data.get("sort") == "DESC")
        start = int(data.get("nextToken") or 0)
        end = start + int(data.get("maxResults") or 100)
        return {
            "taskDefinitionArns": [record["taskDefinitionArn"] for record in found[start:end]],
            "nextToken": str(end) if end < len(found) else None,
        }

    def delete_definitions(self, data: Json) -> Json:
        """Deregistered ones only; they stay DELETE_IN_PROGRESS until nothing refers to them."""
        deleted, failures = [], []
        for reference in data.get("taskDefinitions") or []:
            record = ecs._task_defs.get(ecs._resolve_td_key(reference))
            if record is None:
                failures.append({"arn": reference, "reason": "MISSING"})
            elif record["status"] == "ACTIVE":
                failures.append(
                    {
                        "arn": reference,
                        "reason": "The specified task definition is still in ACTIVE status. "
                        "Please deregister the target and try again.",
                    }
                )
            else:
                record["status"] = "DELETE_IN_PROGRESS"
                deleted.append(record)
        return {"taskDefinitions": deleted, "failures": failures}

    def step(self, now: float) -> None:
        """One heartbeat."""
        self.clusters.step(now)
        self.providers.step(now)
        self.engine.register_agents(now)
        self.instances.step(now)
        lifecycle.step(self.engine, now)
        rollout.step(self.engine, now)
        placement.step(self.engine, now)
        self.engine.forget_tasks(now)
        self._forget_deleted_definitions()

    _register = staticmethod(ecs._register_task_definition)

    def _forget_deleted_definitions(self) -> None:
        used = {task.definition["taskDefinitionArn"] for task in self.engine.tasks.values() if not task.ended}
        used |= {s.definition_arn for s in self.engine.services.values() if s.status != "INACTIVE"}
        for key, record in list(ecs._task_defs.items()):
            if record["status"] == "DELETE_IN_PROGRESS" and record["taskDefinitionArn"] not in used:
                del ecs._task_defs[key]


def _plain(handler: Callable[[Json], Any]) -> Callable[[Json], Json]:
    """A MiniStack handler as an operation of ours: it returns the body or raises the error."""

    def run(data: Json) -> Json:
        status, _, body = handler(data)
        response = json.loads(body)
        if status >= 400:
            raise AwsError(response["__type"], response.get("message", ""), status)
        return response

    return run


def _check_memory(container: Json, definition: Json) -> None:
    """The two limits of a container: "If you specify both, memory must be greater than memoryReservation."

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
    """
    hard, soft = (int(container.get(name) or 0) for name in ("memory", "memoryReservation"))
    problem = None
    if not hard and not soft and not definition.get("memory"):
        problem = "At least one of 'memory' or 'memoryReservation' must be specified."
    elif hard and soft and hard <= soft:
        problem = "'memory' must be greater than 'memoryReservation'."
    if problem:
        raise AwsError("ClientException", f"Invalid setting for container '{container.get('name')}'. {problem}")
