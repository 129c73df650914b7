"""The resources of ECS, and their JSON."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from ..handlers import Json

Strategy = list[dict[str, Any]]


@dataclass
class Task:
    """One task from PROVISIONING to STOPPED. Stopped ones stay visible."""

    id: str
    arn: str
    cluster: str
    cluster_arn: str
    definition: Json
    group: str
    started_by: str | None
    service: str | None = None
    provider: str | None = None
    created_at: float = field(default_factory=time.time)
    last_status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    instance: Instance | None = None
    due: float = 0.0
    """When the present status ends by itself."""
    pull_started_at: float | None = None
    started_at: float | None = None
    stopping_at: float | None = None
    stopped_at: float | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    exit_code: int | None = None
    container_reason: str | None = None
    runtime_id: str | None = None
    protected_until: float | None = None
    tags: list[Json] = field(default_factory=list)
    distinct_instance: bool = False
    counted: bool = False
    """Its deployment has taken note that it failed to start."""

    @property
    def live(self) -> bool:
        """Meant to run: what a service counts."""
        return self.desired_status == "RUNNING"

    @property
    def ended(self) -> bool:
        return self.last_status == "STOPPED"

    @property
    def memory(self) -> int:
        """What placement reserves: the soft limit where there is one."""
        if self.definition.get("memory"):
            return int(self.definition["memory"])
        containers = self.definition["containerDefinitions"]
        return sum(int(c.get("memoryReservation") or c.get("memory") or 0) for c in containers)

    @property
    def cpu(self) -> int:
        if self.definition.get("cpu"):
            return int(self.definition["cpu"])
        return sum(int(c.get("cpu") or 0) for c in self.definition["containerDefinitions"])

    @property
    def gpus(self) -> int:
        """https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-gpu.html"""
        needs = [need for c in self.definition["containerDefinitions"] for need in c.get("resourceRequirements") or []]
        return sum(int(need["value"]) for need in needs if need["type"] == "GPU")

    def protected(self, now: float) -> bool:
        return self.protected_until is not None and self.protected_until > now

    def to_json(self, include_tags: bool) -> Json:
        container = self.definition["containerDefinitions"][0]
        return {
            "taskArn": self.arn,
            "clusterArn": self.cluster_arn,
            "taskDefinitionArn": self.definition["taskDefinitionArn"],
            "containerInstanceArn": self.instance.arn if self.instance else None,
            "group": self.group,
            "startedBy": self.started_by,
            "launchType": "EC2",
            "capacityProviderName": self.provider,
            "lastStatus": self.last_status,
            "desiredStatus": self.desired_status,
            "healthStatus": "UNKNOWN",
            "cpu": str(self.cpu),
            "memory": str(self.memory),
            "connectivity": "CONNECTED" if self.started_at else None,
            "createdAt": self.created_at,
            "pullStartedAt": self.pull_started_at,
            "startedAt": self.started_at,
            "stoppingAt": self.stopping_at,
            "stoppedAt": self.stopped_at,
            "executionStoppedAt": self.stopped_at,
            "stopCode": self.stop_code,
            "stoppedReason": self.stopped_reason,
            "version": 1,
            "attachments": [],
            "overrides": {"containerOverrides": [], "inferenceAcceleratorOverrides": []},
            "tags": self.tags if include_tags else [],
            "containers": [
                {
                    "containerArn": self.arn.replace(":task/", ":container/") + "/1",
                    "taskArn": self.arn,
                    "name": container["name"],
                    "image": container["image"],
                    "runtimeId": self.runtime_id,
                    "lastStatus": self.last_status if self.last_status in ("RUNNING", "STOPPED") else "PENDING",
                    "exitCode": self.exit_code,
                    "reason": self.container_reason,
                    "networkBindings": [],
                    "networkInterfaces": [],
                    "healthStatus": "UNKNOWN",
                    "cpu": str(container.get("cpu") or 0),
                    "memory": str(container["memory"]) if container.get("memory") else None,
                    "memoryReservation": (
                        str(container["memoryReservation"]) if container.get("memoryReservation") else None
                    ),
                }
            ],
        }


@dataclass
class Instance:
    """A container instance: an agent on a machine that joined a cluster."""

    arn: str
    cluster: str
    ec2_id: str
    provider: str | None
    memory: int
    cpu: int
    zone: str
    instance_type: str
    gpus: int = 0
    registered_at: float = field(default_factory=time.time)
    status: str = "ACTIVE"
    agent_connected: bool = True

    def to_json(self, tasks: list[Task]) -> Json:
        """`tasks` are those placed here. The counts leave out a task whose desired status is STOPPED."""
        placed = [task for task in tasks if not task.ended]
        return {
            "containerInstanceArn": self.arn,
            "ec2InstanceId": self.ec2_id,
            "capacityProviderName": self.provider,
            "version": 1,
            "versionInfo": {"agentVersion": "1.106.1", "dockerVersion": "DockerVersion: 25.0.16"},
            "status": self.status,
            "agentConnected": self.agent_connected,
            "runningTasksCount": sum(t.live and t.last_status == "RUNNING" for t in placed),
            "pendingTasksCount": sum(t.live and t.last_status == "PENDING" for t in placed),
            "registeredAt": self.registered_at,
            "registeredResources": _resources(self.cpu, self.memory, self.gpus),
            "remainingResources": _resources(
                self.cpu - sum(t.cpu for t in placed),
                self.memory - sum(t.memory for t in placed),
                self.gpus - sum(t.gpus for t in placed),
            ),
            "attributes": [
                {"name": "ecs.availability-zone", "value": self.zone},
                {"name": "ecs.instance-type", "value": self.instance_type},
            ],
            "attachments": [],
            "tags": [],
        }


def _resources(cpu: int, memory: int, gpus: int) -> list[Json]:
    devices = [f"GPU-{number}" for number in range(gpus)]
    return [
        {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": memory},
        *([{"name": "GPU", "type": "STRINGSET", "stringSetValue": devices}] if devices else []),
    ]


@dataclass
class Deployment:
    """One rollout of a task definition."""

    definition_arn: str
    desired: int
    strategy: Strategy
    id: str = field(default_factory=lambda: f"ecs-svc/{secrets.randbelow(10**19):019d}")
    status: str = "PRIMARY"
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    failed_tasks: int = 0
    last_good: float = 0.0
    """When the newest of its tasks was started."""
    rollout_state: str = "IN_PROGRESS"
    rollout_reason: str = ""
    next_start: float = 0.0
    """No new task before this moment: tasks that fail to start are retried ever more slowly."""
    backoff: float = 0.0

    def to_json(self, tasks: list[Task]) -> Json:
        mine = [task for task in tasks if task.started_by == self.id and task.live]
        return {
            "id": self.id,
            "status": self.status,
            "taskDefinition": self.definition_arn,
            "desiredCount": self.desired,
            "pendingCount": sum(task.last_status == "PENDING" for task in mine),
            "runningCount": sum(task.last_status == "RUNNING" for task in mine),
            "failedTasks": self.failed_tasks,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "capacityProviderStrategy": self.strategy,
            "rolloutState": self.rollout_state,
            "rolloutStateReason": self.rollout_reason,
        }


@dataclass
class Service:
    """A service and its deployments, newest first."""

    arn: str
    name: str
    cluster: str
    cluster_arn: str
    definition_arn: str
    desired: int
    strategy: Strategy
    settings: Json
    """Settings that are returned as they were given."""
    request: Json
    """The CreateService request, for idempotency."""
    status: str = "ACTIVE"
    created_at: float = field(default_factory=time.time)
    deployments: list[Deployment] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    drained_at: float | None = None
    steady: bool = False
    last_event_at: dict[str, float] = field(default_factory=dict)

    @property
    def primary(self) -> Deployment:
        return self.deployments[0]

    def percent(self, name: str, default: int) -> int:
        return percent(self.settings, name, default)

    def to_json(self, tasks: list[Task], tags: list[Json] | None) -> Json:
        mine = [task for task in tasks if task.live]
        return {
            **self.settings,
            "serviceArn": self.arn,
            "serviceName": self.name,
            "clusterArn": self.cluster_arn,
            "status": self.status,
            "taskDefinition": self.definition_arn,
            "desiredCount": self.desired,
            "runningCount": sum(task.last_status == "RUNNING" for task in mine),
            "pendingCount": sum(task.last_status == "PENDING" for task in mine),
            "capacityProviderStrategy": self.strategy,
            "createdAt": self.created_at,
            "createdBy": "arn:aws:iam::000000000000:root",
            "deployments": [deployment.to_json(tasks) for deployment in self.deployments],
            "events": self.events[:100],
            "loadBalancers": [],
            "serviceRegistries": [],
            "tags": tags,
        }


def percent(settings: Json, name: str, default: int) -> int:
    """One of the two percentages of a service's deployment configuration."""
    value = (settings.get("deploymentConfiguration") or {}).get(name)
    return default if value is None else int(value)


@dataclass
class Provider:
    """A capacity provider on an Auto Scaling group."""

    name: str
    arn: str
    group_arn: str
    group: str
    settings: Json
    status: str = "ACTIVE"
    update_status: str = "CREATE_COMPLETE"
    update_reason: str | None = None
    due: float = 0.0
    idle_since: float | None = None
    next_evaluation: float = 0.0
    before: Json | None = None
    """Its settings before the update that is under way."""

    @property
    def managed_scaling(self) -> bool:
        return (self.settings.get("managedScaling") or {}).get("status") == "ENABLED"

    @property
    def managed_protection(self) -> bool:
        return self.settings.get("managedTerminationProtection") == "ENABLED"

    @property
    def managed_draining(self) -> bool:
        return self.settings.get("managedDraining") == "ENABLED"

    def to_json(self, tags: list[Json] | None) -> Json:
        return {
            "capacityProviderArn": self.arn,
            "name": self.name,
            "status": self.status,
            "updateStatus": self.update_status,
            "updateStatusReason": self.update_reason,
            "autoScalingGroupProvider": {"autoScalingGroupArn": self.group_arn, **self.settings},
            "tags": tags,
        }
