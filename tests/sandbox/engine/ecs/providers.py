"""Capacity providers: what creation checks, and deletion, whose failure comes later.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProvider.html
"""

from __future__ import annotations

import re
import time

from ..core import consume_fault
from ..handlers import AwsError, Json
from .engine import Ecs
from .model import Provider

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_RESERVED = ("aws", "ecs", "fargate")
_BUSY = ("UpdateInProgressException", "The specified capacity provider is in a busy state. Wait and try again.")
_MISSING = "The specified capacity provider does not exist. Specify a valid name or ARN and try again."
# An INACTIVE provider is still described for a while.
INACTIVE_VISIBLE = 5.0


class Providers:
    """Create, Update, Delete, Describe."""

    def __init__(self, engine: Ecs) -> None:
        self.engine = engine

    def create(self, data: Json) -> Json:
        engine = self.engine
        name = data.get("name") or ""
        if not _NAME.fullmatch(name) or name.lower().startswith(_RESERVED):
            raise AwsError(
                "ClientException",
                "The specified capacity provider name is invalid. Up to 255 characters "
                "are allowed, including letters (upper and lowercase), numbers, underscores, and hyphens. "
                "The name cannot be prefixed with aws, ecs, or fargate.",
            )
        old = engine.providers.get(name)
        if old is not None and old.status != "INACTIVE":
            raise AwsError(
                "ClientException",
                "The specified capacity provider already exists. To change the "
                "configuration of an existing capacity provider, update the capacity provider.",
            )
        given = dict(data.get("autoScalingGroupProvider") or {})
        group_arn = given.pop("autoScalingGroupArn", "")
        group = engine.groups.by_arn(group_arn) or engine.groups.by_name.get(group_arn)
        if group is None or group.status:
            raise AwsError(
                "ClientException",
                "The specified Auto Scaling group ARN is invalid. Specify a valid Auto "
                "Scaling group ARN and try again.",
            )
        if any(p.group == group.name and p.status != "INACTIVE" for p in engine.providers.values()):
            raise AwsError(
                "ClientException",
                "The specified Auto Scaling group ARN is already being used by another "
                "capacity provider. Specify a unique Auto Scaling group ARN and try again.",
            )
        settings = _complete(given)
        self._check(settings, group.protect_new)
        provider = Provider(name, engine.arn(f"capacity-provider/{name}"), group.arn, group.name, settings)
        # "Capacity provider is still in a PROVISIONING state": https://github.com/pulumi/pulumi-aws/issues/6061
        provider.status, provider.update_status = "PROVISIONING", "CREATE_IN_PROGRESS"
        provider.due = time.time() + engine.core.pace.provider_create
        engine.providers[name] = provider
        engine.put_tags(provider.arn, data.get("tags"))
        group.tags["AmazonECSManaged"] = {
            "Key": "AmazonECSManaged",
            "Value": "",
            "ResourceId": group.name,
            "ResourceType": "auto-scaling-group",
            "PropagateAtLaunch": True,
        }
        engine.core.journal.event("provider", "created", provider=name)
        return {"capacityProvider": provider.to_json(data.get("tags"))}

    def update(self, data: Json) -> Json:
        provider = self._existing(data.get("name"))
        if provider.update_status.endswith("_IN_PROGRESS"):
            raise AwsError(*_BUSY)
        given = data.get("autoScalingGroupProvider") or {}
        merged = {**provider.settings, **given}
        merged["managedScaling"] = {**provider.settings["managedScaling"], **(given.get("managedScaling") or {})}
        group = self.engine.groups.by_name.get(provider.group)
        self._check(merged, bool(group and group.protect_new))
        provider.before, provider.settings = provider.settings, merged
        provider.update_status, provider.update_reason = "UPDATE_IN_PROGRESS", None
        provider.due = time.time() + self.engine.core.pace.provider_update
        return {"capacityProvider": provider.to_json(None)}

    def delete(self, data: Json) -> Json:
        provider = self._existing(data.get("capacityProvider"))
        # Of the errors of https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCapacityProvider.html
        if provider.update_status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
            raise AwsError(*_BUSY)
        if provider.update_status != "DELETE_IN_PROGRESS":
            provider.update_status = "DELETE_IN_PROGRESS"
            provider.update_reason = None
            provider.due = time.time() + self.engine.core.pace.provider_update
        return {"capacityProvider": provider.to_json(None)}

    def describe(self, data: Json) -> Json:
        names = [reference.rsplit("/", 1)[-1] for reference in data.get("capacityProviders") or []]
        tagged = "TAGS" in (data.get("include") or [])
        found = [p for p in self.engine.providers.values() if not names or p.name in names]
        fargate = [name for name in ("FARGATE", "FARGATE_SPOT") if not names or name in names]
        known = {p.name for p in found} | set(fargate)
        return {
            "capacityProviders": [
                {
                    "name": name,
                    "capacityProviderArn": self.engine.arn(f"capacity-provider/{name}"),
                    "status": "ACTIVE",
                    "tags": [],
                }
                for name in fargate
            ]
            + [p.to_json(self.engine.tags(p.arn) if tagged else []) for p in found],
            "failures": [
                {"arn": self.engine.arn(f"capacity-provider/{name}"), "reason": "MISSING"}
                for name in names
                if name not in known
            ],
        }

    def step(self, now: float) -> None:
        for provider in [p for p in self.engine.providers.values() if p.due and now >= p.due]:
            provider.due = 0
            if provider.status == "INACTIVE":
                del self.engine.providers[provider.name]
            elif provider.update_status == "CREATE_IN_PROGRESS":
                provider.status, provider.update_status = "ACTIVE", "CREATE_COMPLETE"
                self.engine.core.journal.event("provider", "ACTIVE", provider=provider.name)
            elif provider.update_status == "UPDATE_IN_PROGRESS":
                self._finish_update(provider)
            elif provider.update_status == "DELETE_IN_PROGRESS":
                self._finish_deletion(provider, now)

    def _finish_update(self, provider: Provider) -> None:
        """A failed one leaves the provider ACTIVE and as it was, until the next one goes well.

        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProvider.html
        """
        fault = next((f for f in self.engine.core.faults.provider_updates if f.get("provider") == provider.name), None)
        if fault is not None and consume_fault(fault):
            provider.settings = provider.before or provider.settings
            provider.update_status = "UPDATE_FAILED"
            provider.update_reason = fault.get("reason", "The scaling plan of the capacity provider was not updated.")
        else:
            provider.update_status = "UPDATE_COMPLETE"
        provider.before = None
        self.engine.core.journal.event("provider", provider.update_status, provider=provider.name)

    def _finish_deletion(self, provider: Provider, now: float) -> None:
        clusters = self.engine.clusters_with(provider.name)
        if clusters:
            provider.update_status = "DELETE_FAILED"
            provider.update_reason = (
                "The capacity provider cannot be deleted because it is associated with cluster: "
                f"{', '.join(clusters)}. Remove the capacity provider from the cluster and try again."
            )
        else:
            provider.status = "INACTIVE"
            provider.update_status = "DELETE_COMPLETE"
            provider.due = now + INACTIVE_VISIBLE
        self.engine.core.journal.event("provider", provider.update_status, provider=provider.name)

    def _existing(self, reference: str | None) -> Provider:
        provider = self.engine.provider(reference)
        if provider is None or provider.status == "INACTIVE":
            raise AwsError("ClientException", _MISSING)
        return provider

    @staticmethod
    def _check(settings: Json, group_protects: bool) -> None:
        if settings["managedTerminationProtection"] != "ENABLED":
            return
        problem = None
        if settings["managedScaling"].get("status") != "ENABLED":
            problem = "the capacity provider must have managed scaling enabled"
        elif not group_protects:
            problem = "the Auto Scaling group must have instance protection from scale in enabled"
        if problem:
            raise AwsError(
                "ClientException",
                "The managed termination protection setting for the capacity provider is "
                "invalid. To enable managed termination protection for a capacity provider, "
                f"{problem}.",
            )


def _complete(given: Json) -> Json:
    scaling = {
        "status": "DISABLED",
        "targetCapacity": 100,
        "minimumScalingStepSize": 1,
        "maximumScalingStepSize": 10000,
        "instanceWarmupPeriod": 300,
    }
    return {
        **given,
        "managedScaling": {**scaling, **(given.get("managedScaling") or {})},
        "managedTerminationProtection": given.get("managedTerminationProtection") or "DISABLED",
        "managedDraining": given.get("managedDraining") or "ENABLED",
    }
