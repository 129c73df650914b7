"""Which resource an ECS or Auto Scaling call is checked on, when MiniStack evaluates IAM policies.

The Service Authorization Reference has the tables:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html
Of a call that names several resources the first one is checked; all that the product names at once are of one kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions

from .answers import Wire

ANY = "*"
_TAGGED_GROUPS = ("CreateOrUpdateTags", "DeleteTags")
_CLUSTER_OPERATIONS = ("PutClusterCapacityProviders", "ListContainerInstances", "DeleteCluster", "UpdateCluster")
_INSTANCES = ("DescribeContainerInstances", "UpdateContainerInstancesState", "DeregisterContainerInstance")
_SERVICES = ("CreateService", "UpdateService", "DeleteService", "DescribeServices", "ListServiceDeployments")
_TASKS = ("DescribeTasks", "StopTask", "GetTaskProtection", "UpdateTaskProtection")
_PROVIDERS = (
    "CreateCapacityProvider",
    "UpdateCapacityProvider",
    "DeleteCapacityProvider",
    "DescribeCapacityProviders",
)


def install() -> None:
    """Replaces MiniStack's rough answer for these two services."""
    original: Callable[..., str] = iam_actions.extract_resource_arn

    def resource(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: Wire,
        region: str,
        account: str,
    ) -> str:
        if service == "ecs" and "x-amz-target" in headers:
            operation = headers["x-amz-target"].rsplit(".", 1)[-1]
            return _ecs(operation, json.loads(body or b"{}"), f"arn:aws:ecs:{region}:{account}:")
        if service == "autoscaling":
            return _auto_scaling(query, f"arn:aws:autoscaling:{region}:{account}:")
        return original(service, method, path, headers, body, query, region, account)

    iam_actions.extract_resource_arn = resource


def _ecs(operation: str, data: Wire, prefix: str) -> str:
    cluster = _last(data.get("cluster") or "default")
    if operation in _PROVIDERS:
        return f"{prefix}capacity-provider/{_last(_first(data, 'name', 'capacityProvider', 'capacityProviders'))}"
    if operation in _CLUSTER_OPERATIONS:
        return f"{prefix}cluster/{cluster}"
    if operation == "DescribeClusters":
        return f"{prefix}cluster/{_last(_first(data, 'clusters'))}"
    if operation in _SERVICES:
        return f"{prefix}service/{cluster}/{_last(_first(data, 'serviceName', 'service', 'services'))}"
    if operation in _TASKS:
        return f"{prefix}task/{cluster}/{_last(_first(data, 'task', 'tasks'))}"
    if operation in _INSTANCES:
        return f"{prefix}container-instance/{cluster}/{_last(_first(data, 'containerInstance', 'containerInstances'))}"
    if operation == "RegisterTaskDefinition":
        return f"{prefix}task-definition/{data.get('family')}:*"
    if operation == "DeleteTaskDefinitions":
        return f"{prefix}task-definition/{_last(_first(data, 'taskDefinitions'))}"
    return str(data.get("resourceArn") or ANY)


def _auto_scaling(query: Wire, prefix: str) -> str:
    action = _value(query, "Action")
    if action.startswith("Describe"):
        return ANY
    name = _value(query, "Tags.member.1.ResourceId" if action in _TAGGED_GROUPS else "AutoScalingGroupName")
    return f"{prefix}autoScalingGroup:*:autoScalingGroupName/{name}"


def _first(data: Wire, *names: str) -> str:
    for name in names:
        if value := data.get(name):
            return str(value[0] if isinstance(value, list) else value)
    return ANY


def _last(reference: str) -> str:
    return reference.rsplit("/", 1)[-1]


def _value(query: Wire, name: str) -> str:
    value: Any = query.get(name) or ""
    return str(value[0] if isinstance(value, list) else value)
