"""Clusters: the association with capacity providers, which is busy for a while, and what keeps a cluster alive."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import ecs

from ..auto_scaling.api import put_hook
from ..handlers import AwsError, Json
from .engine import Ecs

MOST_PROVIDERS = 20
DRAINING_HOOK = "ecs-managed-draining-termination-hook"
_BUSY = (
    "The specified cluster is in a busy state. Cluster attachments must be in UPDATE_COMPLETE or UPDATE_FAILED state "
    "before they can be updated. Wait and try again."
)


class Clusters:
    """PutClusterCapacityProviders, DescribeClusters, DeleteCluster."""

    def __init__(self, engine: Ecs, describe: Callable[[Json], Any], delete: Callable[[Json], Any]) -> None:
        """`describe` and `delete` are MiniStack's own."""
        self.engine = engine
        self._describe = describe
        self._delete = delete

    def describe(self, data: Json) -> Json:
        response = self._describe(data)
        for cluster in response["clusters"]:
            cluster.update(self._counts(cluster["clusterName"]))
        return response

    def put_providers(self, data: Json) -> Json:
        engine = self.engine
        cluster = engine.cluster(data.get("cluster"))
        name = cluster["clusterName"]
        names = [reference.rsplit("/", 1)[-1] for reference in data.get("capacityProviders") or []]
        strategy = data.get("defaultCapacityProviderStrategy") or []
        if engine.busy(name):
            raise AwsError("UpdateInProgressException", _BUSY)
        self._check(name, names, strategy)
        used = {task.provider for task in engine.tasks.values() if task.cluster == name and not task.ended}
        for service in engine.services.values():
            if service.cluster == name and service.status != "INACTIVE":
                used |= {item["capacityProvider"] for item in service.strategy}
        removed = set(cluster["capacityProviders"]) - set(names)
        if removed & used:
            raise AwsError("ResourceInUseException", "The specified capacity provider is in use and cannot be removed.")
        cluster["capacityProviders"] = names
        cluster["defaultCapacityProviderStrategy"] = strategy
        cluster["attachments"] = [
            {
                "id": new_uuid(),
                "type": kind,
                "status": "PRECREATED",
                "details": [{"name": "capacityProviderName", "value": provider.name}],
            }
            for provider in (engine.providers.get(item) for item in names)
            if provider is not None
            for kind, wanted in (
                ("as_policy", provider.managed_scaling),
                ("managed_draining", provider.managed_draining),
            )
            if wanted
        ]
        cluster["attachmentsStatus"] = "UPDATE_IN_PROGRESS"
        engine.busy_until[name] = time.time() + engine.core.pace.association_busy
        engine.core.journal.event("cluster", "providers", cluster=name, providers=names)
        return {"cluster": cluster}

    def delete(self, data: Json) -> Json:
        engine = self.engine
        name = engine.cluster(data.get("cluster"))["clusterName"]
        if engine.busy(name):
            raise AwsError("UpdateInProgressException", _BUSY)
        if any(instance.cluster == name for instance in engine.instances.values()):
            raise AwsError(
                "ClusterContainsContainerInstancesException",
                "The Cluster cannot be deleted while Container Instances are active or draining.",
            )
        if any(s.cluster == name and s.status != "INACTIVE" for s in engine.services.values()):
            raise AwsError(
                "ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active."
            )
        if any(task.cluster == name and not task.ended for task in engine.tasks.values()):
            raise AwsError("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
        return self._delete(data)

    def step(self, now: float) -> None:
        """Ends busy associations: attachments are there, and with them the hook of managed draining."""
        engine = self.engine
        for name in [name for name, until in engine.busy_until.items() if now >= until]:
            del engine.busy_until[name]
            cluster = ecs._clusters.get(name)
            if cluster is None:
                continue
            cluster["attachmentsStatus"] = "UPDATE_COMPLETE"
            for attachment in cluster["attachments"]:
                attachment["status"] = "CREATED"
            for provider in (engine.providers.get(item) for item in cluster["capacityProviders"]):
                group = engine.groups.by_name.get(provider.group) if provider else None
                if provider and group and provider.managed_draining and DRAINING_HOOK not in group.hooks:
                    put_hook(
                        group,
                        DRAINING_HOOK,
                        {
                            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
                            "DefaultResult": "CONTINUE",
                        },
                    )

    def _counts(self, name: str) -> Json:
        engine = self.engine
        tasks = [task for task in engine.tasks.values() if task.cluster == name and task.live]
        services = [service for service in engine.services.values() if service.cluster == name]
        return {
            "registeredContainerInstancesCount": sum(i.cluster == name for i in engine.instances.values()),
            "runningTasksCount": sum(task.last_status == "RUNNING" for task in tasks),
            "pendingTasksCount": sum(task.last_status == "PENDING" for task in tasks),
            "activeServicesCount": sum(service.status == "ACTIVE" for service in services),
        }

    def _check(self, cluster: str, names: list[str], strategy: list[Json]) -> None:
        if len(names) > MOST_PROVIDERS:
            raise AwsError(
                "InvalidParameterException", "The maximum number of capacity providers per cluster has been exceeded."
            )
        for name in names:
            if name in ("FARGATE", "FARGATE_SPOT"):
                continue
            provider = self.engine.providers.get(name)
            if provider is None:
                raise AwsError(
                    "InvalidParameterException",
                    f"The specified capacity provider '{name}' was not found. "
                    "Specify a valid capacity provider name or ARN and try again.",
                )
            if provider.status != "ACTIVE" or provider.update_status == "DELETE_IN_PROGRESS":
                # https://github.com/hashicorp/terraform-provider-aws/issues/45693
                raise AwsError(
                    "InvalidParameterException",
                    f"The specified capacity provider '{name}' is not in an ACTIVE state. "
                    "Specify a valid capacity provider and try again.",
                )
            elsewhere = [other for other in self.engine.clusters_with(name) if other != cluster]
            if provider.managed_scaling and elsewhere:
                raise AwsError(
                    "InvalidParameterException",
                    f"The capacity provider {name} is associated with cluster {elsewhere[0]}.",
                )
        for item in strategy:
            if item["capacityProvider"].rsplit("/", 1)[-1] not in names:
                raise AwsError(
                    "InvalidParameterException",
                    "The specified capacity provider strategy cannot contain a "
                    "capacity provider that is not associated with the cluster.",
                )
