"""Groups, their machines and their scaling activities."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ministack.core.responses import new_uuid

from ..handlers import Json
from .templates import TemplateVersion

# https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html
LAUNCHING = "Pending"
IN_SERVICE = "InService"
WAITING = "Terminating:Wait"
TERMINATING = "Terminating"
# Held back by a launch hook.
HELD = "Pending:Wait"
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
WARMING = "Warmed:Pending:Wait"
WARM = "Warmed:Stopped"
COOLING = "Warmed:Terminating"


def timestamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass
class Machine:
    """An EC2 instance of a group."""

    id: str
    group: str
    zone: str
    template: TemplateVersion
    instance_type: str
    protected: bool
    due: float
    state: str = LAUNCHING
    forced: bool = False
    """Terminated by ForceDelete, so that its agent did not deregister it."""
    wait_ends: float = 0.0
    is_warm: bool = False
    """It was in the warm pool before."""

    @property
    def counts(self) -> bool:
        """Part of the group's capacity."""
        return self.state in (LAUNCHING, HELD, IN_SERVICE)

    def to_json(self) -> Json:
        return {
            "InstanceId": self.id,
            "InstanceType": self.instance_type,
            "AvailabilityZone": self.zone,
            "LifecycleState": self.state,
            "HealthStatus": "Healthy",
            "LaunchTemplate": {
                "LaunchTemplateId": self.template.id,
                "LaunchTemplateName": self.template.name,
                "Version": self.template.number,
            },
            "ProtectedFromScaleIn": self.protected,
        }


@dataclass
class Activity:
    """A scaling activity. Successful, Failed and Cancelled ones are over."""

    group: str
    description: str
    cause: str
    status: str = "InProgress"
    message: str | None = None
    id: str = field(default_factory=new_uuid)
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None

    def end(self, status: str, message: str | None = None) -> None:
        self.status, self.message, self.ended_at = status, message, time.time()

    def to_json(self) -> Json:
        return {
            "ActivityId": self.id,
            "AutoScalingGroupName": self.group,
            "Description": self.description,
            "Cause": self.cause,
            "StartTime": timestamp(self.started_at),
            "EndTime": timestamp(self.ended_at) if self.ended_at else None,
            "StatusCode": self.status,
            "StatusMessage": self.message,
            "Progress": 100 if self.ended_at else 50,
        }


@dataclass
class WarmPool:
    """A group's warm pool. Its machines are none of the group's."""

    min_size: int
    max_prepared: int
    state: str
    reuses: bool
    machines: list[Machine] = field(default_factory=list)
    is_leaving: bool = False

    def to_json(self) -> Json:
        return {
            "MaxGroupPreparedCapacity": self.max_prepared if self.max_prepared >= 0 else None,
            "MinSize": self.min_size,
            "PoolState": self.state,
            "Status": "PendingDelete" if self.is_leaving else None,
            "InstanceReusePolicy": {"ReuseOnScaleIn": self.reuses},
        }


@dataclass
class Group:
    """An Auto Scaling group. `settings` is returned as it was given."""

    name: str
    arn: str
    settings: Json
    min_size: int
    max_size: int
    desired: int
    protect_new: bool
    zones: list[str]
    created_at: float = field(default_factory=time.time)
    status: str | None = None
    machines: list[Machine] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    """Newest first."""
    hooks: dict[str, Json] = field(default_factory=dict)
    tags: dict[str, Json] = field(default_factory=dict)
    warm_pool: WarmPool | None = None
    next_launch: float = 0.0
    deleted_at: float | None = None
    has_reported_all_protected: bool = False

    @property
    def template_reference(self) -> Json:
        """The launch template, from the group or its mixed instances policy."""
        if template := self.settings.get("LaunchTemplate"):
            return template
        policy = self.settings.get("MixedInstancesPolicy") or {}
        return (policy.get("LaunchTemplate") or {}).get("LaunchTemplateSpecification") or {}

    @property
    def override_types(self) -> list[str]:
        policy = self.settings.get("MixedInstancesPolicy") or {}
        overrides = (policy.get("LaunchTemplate") or {}).get("Overrides") or []
        return [item["InstanceType"] for item in overrides if item.get("InstanceType")]

    @property
    def capacity(self) -> list[Machine]:
        return [machine for machine in self.machines if machine.counts]

    @property
    def may_start_spot(self) -> bool:
        policy = self.settings.get("MixedInstancesPolicy") or {}
        distribution = policy.get("InstancesDistribution") or {}
        return int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100)) < 100

    def terminating_hooks(self) -> list[Json]:
        return self._hooks("autoscaling:EC2_INSTANCE_TERMINATING")

    def launching_hooks(self) -> list[Json]:
        return self._hooks("autoscaling:EC2_INSTANCE_LAUNCHING")

    def _hooks(self, transition: str) -> list[Json]:
        return [hook for hook in self.hooks.values() if hook["LifecycleTransition"] == transition]

    def to_json(self) -> Json:
        return {
            "AutoScalingGroupName": self.name,
            "AutoScalingGroupARN": self.arn,
            **self.settings,
            "MinSize": self.min_size,
            "MaxSize": self.max_size,
            "DesiredCapacity": self.desired,
            "AvailabilityZones": self.zones,
            "NewInstancesProtectedFromScaleIn": self.protect_new,
            "CreatedTime": timestamp(self.created_at),
            "Status": self.status,
            "Instances": [machine.to_json() for machine in self.machines],
            "Tags": list(self.tags.values()),
            "WarmPoolConfiguration": self.warm_pool.to_json() if self.warm_pool else None,
            "WarmPoolSize": len(self.warm_pool.machines) if self.warm_pool else 0,
        }
