"""The Auto Scaling operations, in place of MiniStack's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services import autoscaling

from ..core import Core
from ..handlers import AwsError, Json, element, query_handler
from . import warm_pools
from .groups import Groups
from .model import HELD, WAITING, Group, Machine
from .templates import find

# The most ids in one call: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html
MOST_INSTANCES_PER_CALL = 50
_INTEGERS = ("DefaultCooldown", "HealthCheckGracePeriod", "MaxInstanceLifetime", "DefaultInstanceWarmup")
_TEXTS = ("VPCZoneIdentifier", "HealthCheckType", "PlacementGroup", "ServiceLinkedRoleARN", "DesiredCapacityType")


class AutoScalingApi:
    """One method per operation; each returns the inside of its result element."""

    def __init__(self, core: Core, groups: Groups) -> None:
        self.core = core
        self.groups = groups

    def install(self) -> None:
        """Takes the operations over in MiniStack's table."""
        operations: dict[str, Callable[[Json], str]] = {
            "CreateAutoScalingGroup": self.create,
            "DescribeAutoScalingGroups": self.describe,
            "UpdateAutoScalingGroup": self.update,
            "DeleteAutoScalingGroup": self.delete,
            "SetDesiredCapacity": self.set_desired,
            "SetInstanceProtection": self.set_protection,
            "TerminateInstanceInAutoScalingGroup": self.terminate_instance,
            "DescribeAutoScalingInstances": self.describe_instances,
            "DescribeScalingActivities": self.describe_activities,
            "PutLifecycleHook": self.put_hook,
            "DescribeLifecycleHooks": self.describe_hooks,
            "DeleteLifecycleHook": self.delete_hook,
            "CompleteLifecycleAction": self.complete_action,
            "PutWarmPool": self.put_warm_pool,
            "DescribeWarmPool": self.describe_warm_pool,
            "DeleteWarmPool": self.delete_warm_pool,
            "CreateOrUpdateTags": self.put_tags,
            "DescribeTags": self.describe_tags,
            "DeleteTags": self.delete_tags,
        }
        for name, operation in operations.items():
            autoscaling._ACTION_MAP[name] = query_handler(self.core, _nested(operation), name)

    def create(self, given: Json) -> str:
        name = given.get("AutoScalingGroupName") or ""
        if not name:
            raise AwsError("ValidationError", "AutoScalingGroupName is required")
        if name in self.groups.by_name:
            raise AwsError(
                "AlreadyExists",
                f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
            )
        if "MinSize" not in given or "MaxSize" not in given:
            raise AwsError("ValidationError", "MinSize and MaxSize are required")
        group = Group(
            name=name,
            arn=f"arn:aws:autoscaling:{get_region()}:{get_account_id()}:autoScalingGroup:{new_uuid()}"
            f":autoScalingGroupName/{name}",
            settings={
                "DefaultCooldown": 300,
                "HealthCheckType": "EC2",
                "HealthCheckGracePeriod": 0,
                "TerminationPolicies": ["Default"],
            },
            min_size=int(given["MinSize"]),
            max_size=int(given["MaxSize"]),
            desired=int(given.get("DesiredCapacity") or given["MinSize"]),
            protect_new=given.get("NewInstancesProtectedFromScaleIn") == "true",
            zones=_list(given, "AvailabilityZones") or [get_region() + request for request in "ab"],
        )
        self._settle(group, given)
        if not group.template_reference:
            raise AwsError(
                "ValidationError",
                "Valid requests must contain either LaunchTemplate, "
                "LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.",
            )
        self._check_sizes(group)
        for tag in _list(given, "Tags"):
            self._put_tag(group, tag)
        self.groups.by_name[name] = group
        self.core.journal.event("group", "created", group=name, desired=group.desired)
        return ""

    def describe(self, given: Json) -> str:
        names = _list(given, "AutoScalingGroupNames")
        found = [g for g in self.groups.by_name.values() if not names or g.name in names]
        return element("AutoScalingGroups", [group.to_json() for group in found])

    def update(self, given: Json) -> str:
        group = self._changeable(given)
        new = replace(group, settings=dict(group.settings))
        for field_name, key in (("min_size", "MinSize"), ("max_size", "MaxSize"), ("desired", "DesiredCapacity")):
            if key in given:
                setattr(new, field_name, int(given[key]))
        if "DesiredCapacity" not in given:
            # A bound that moves past the desired capacity takes it along.
            new.desired = max(new.min_size, min(new.max_size, new.desired))
        if "NewInstancesProtectedFromScaleIn" in given:
            new.protect_new = given["NewInstancesProtectedFromScaleIn"] == "true"
        self._settle(new, given)
        self._check_sizes(new)
        if new.warm_pool and new.may_start_spot:
            raise AwsError("ValidationError", warm_pools.NO_SPOT)
        vars(group).update(vars(new))
        return ""

    def delete(self, given: Json) -> str:
        group = self._group(given)
        force = given.get("ForceDelete") == "true"
        if group.machines and not force:
            raise AwsError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or "
                "pending Spot instance request(s) still in the group.",
            )
        if group.warm_pool:
            # The page has ForceDelete delete the warm pool as well. The harsher reading.
            raise AwsError(
                "ScalingActivityInProgress",
                "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
            )
        if not group.status:
            self.groups.delete(group, force, time.time())
        return ""

    def set_desired(self, given: Json) -> str:
        group = self._changeable(given)
        wanted = int(given.get("DesiredCapacity") or 0)
        if not group.min_size <= wanted <= group.max_size:
            raise AwsError(
                "ValidationError",
                f"New SetDesiredCapacity value {wanted} is outside the limits: min "
                f"{group.min_size}, max {group.max_size} of the group",
            )
        group.desired = wanted
        return ""

    def set_protection(self, given: Json) -> str:
        group = self._group(given)
        ids = _list(given, "InstanceIds")
        if len(ids) > MOST_INSTANCES_PER_CALL:
            raise AwsError("ValidationError", f"At most {MOST_INSTANCES_PER_CALL} instance ids are allowed.")
        machines = {machine.id: machine for machine in group.machines}
        for ec2_id in ids:
            if ec2_id not in machines:
                raise AwsError(
                    "ValidationError", f"The instance {ec2_id} is not part of Auto Scaling group {group.name}."
                )
            if machines[ec2_id].state != "InService":
                raise AwsError("ValidationError", f"The instance {ec2_id} is not in InService.")
        for ec2_id in ids:
            machines[ec2_id].protected = given.get("ProtectedFromScaleIn") == "true"
        return ""

    def terminate_instance(self, given: Json) -> str:
        machine = self.groups.machine(given.get("InstanceId") or "")
        if machine is None:
            raise AwsError(
                "ValidationError",
                f"Instance Id not found - No managed instance found for instance ID {given.get('InstanceId')}",
            )
        group = self.groups.by_name[machine.group]
        if given.get("ShouldDecrementDesiredCapacity") == "true":
            group.desired = max(group.min_size, group.desired - 1)
        self.groups._end(group, machine, time.time(), "a user request")
        return element("Activity", group.activities[0].to_json())

    def describe_instances(self, given: Json) -> str:
        wanted = _list(given, "InstanceIds")
        machines = [m for g in self.groups.by_name.values() for m in g.machines if not wanted or m.id in wanted]
        return element("AutoScalingInstances", [{**m.to_json(), "AutoScalingGroupName": m.group} for m in machines])

    def describe_activities(self, given: Json) -> str:
        group = self._group(given)
        most = int(given.get("MaxRecords") or 100)
        return element("Activities", [activity.to_json() for activity in group.activities[:most]])

    def put_hook(self, given: Json) -> str:
        group = self._group(given)
        put_hook(group, given["LifecycleHookName"], given)
        return ""

    def describe_hooks(self, given: Json) -> str:
        group = self._group(given)
        names = _list(given, "LifecycleHookNames")
        return element("LifecycleHooks", [h for n, h in group.hooks.items() if not names or n in names])

    def delete_hook(self, given: Json) -> str:
        """Completes outstanding actions: with CONTINUE for terminating instances, with ABANDON for launching ones."""
        group = self._group(given)
        hook = group.hooks.pop(given.get("LifecycleHookName") or "", None)
        if hook is None:
            raise AwsError("ValidationError", "No Lifecycle Hook found: " + str(given.get("LifecycleHookName")))
        if hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_LAUNCHING":
            self.groups.abandon_launches(group, time.time())
            return ""
        for machine in group.machines:
            self.groups.complete_termination(group, machine, time.time())
        return ""

    def complete_action(self, given: Json) -> str:
        group = self._group(given)
        machine = self._waiting(group, given.get("InstanceId") or "")
        self.groups.complete_launch(machine, time.time())
        self.groups.complete_termination(group, machine, time.time())
        return ""

    def put_warm_pool(self, given: Json) -> str:
        warm_pools.put(self._changeable(given), given)
        return ""

    def describe_warm_pool(self, given: Json) -> str:
        return warm_pools.describe(self._group(given), given)

    def delete_warm_pool(self, given: Json) -> str:
        warm_pools.delete(self._changeable(given), time.time(), self.core.pace.instance_terminate)
        return ""

    def put_tags(self, given: Json) -> str:
        for tag in _list(given, "Tags"):
            self._put_tag(self._group({"AutoScalingGroupName": tag.get("ResourceId")}), tag)
        return ""

    def describe_tags(self, given: Json) -> str:
        wanted = {
            value
            for f in _list(given, "Filters")
            if f.get("Name") == "auto-scaling-group"
            for value in _list(f, "Values")
        }
        groups = [g for g in self.groups.by_name.values() if not wanted or g.name in wanted]
        return element("Tags", [tag for group in groups for tag in group.tags.values()])

    def delete_tags(self, given: Json) -> str:
        for tag in _list(given, "Tags"):
            group = self._group({"AutoScalingGroupName": tag.get("ResourceId")})
            group.tags.pop(tag.get("Key"), None)
        return ""

    def _group(self, given: Json) -> Group:
        name = given.get("AutoScalingGroupName") or ""
        group = self.groups.by_name.get(name)
        if group is None:
            raise AwsError("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        return group

    def _changeable(self, given: Json) -> Group:
        group = self._group(given)
        if group.status:
            raise AwsError("ScalingActivityInProgress", f"AutoScalingGroup {group.name} is being deleted")
        return group

    @staticmethod
    def _waiting(group: Group, ec2_id: str) -> Machine:
        for machine in group.machines:
            if machine.id == ec2_id and machine.state in (WAITING, HELD):
                return machine
        raise AwsError("ValidationError", f"No active Lifecycle Action found with instance ID {ec2_id}")

    @staticmethod
    def _settle(group: Group, given: Json) -> None:
        """Takes over what was given, and sees that the launch template exists."""
        for key in _TEXTS:
            if given.get(key):
                group.settings[key] = given[key]
        for key in _INTEGERS:
            if given.get(key):
                group.settings[key] = int(given[key])
        if given.get("TerminationPolicies"):
            group.settings["TerminationPolicies"] = _list(given, "TerminationPolicies")
        if given.get("CapacityRebalance"):
            group.settings["CapacityRebalance"] = given["CapacityRebalance"] == "true"
        if given.get("LaunchTemplate"):
            group.settings.pop("MixedInstancesPolicy", None)
            group.settings["LaunchTemplate"] = _reference(given["LaunchTemplate"])
        if given.get("MixedInstancesPolicy"):
            policy = _unwrapped(given["MixedInstancesPolicy"])
            templates = policy["LaunchTemplate"]
            templates["LaunchTemplateSpecification"] = _reference(templates["LaunchTemplateSpecification"])
            if not templates.get("Overrides"):
                # The query protocol's form of an empty list is a name without a value. Whether that takes the overrides
                # off is nowhere written. The harsher reading: it says as little as a name that is left out, and that
                # keeps them. Only a plain launch template in the policy's place takes them away.
                # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html
                templates["Overrides"] = _overrides(group)
            group.settings.pop("LaunchTemplate", None)
            group.settings["MixedInstancesPolicy"] = policy

    @staticmethod
    def _check_sizes(group: Group) -> None:
        if group.min_size > group.max_size:
            raise AwsError(
                "ValidationError",
                f"Max bound, {group.max_size}, must be greater than or equal to min bound, {group.min_size}",
            )
        if not group.min_size <= group.desired <= group.max_size:
            raise AwsError(
                "ValidationError",
                f"Desired capacity:{group.desired} must be between the specified min "
                f"size:{group.min_size} and max size:{group.max_size}",
            )

    @staticmethod
    def _put_tag(group: Group, tag: Json) -> None:
        group.tags[tag["Key"]] = {
            "Key": tag["Key"],
            "Value": tag.get("Value", ""),
            "ResourceId": group.name,
            "ResourceType": "auto-scaling-group",
            "PropagateAtLaunch": tag.get("PropagateAtLaunch") == "true",
        }


def put_hook(group: Group, name: str, given: Json) -> None:
    """Adds or replaces a lifecycle hook."""
    group.hooks[name] = {
        "LifecycleHookName": name,
        "AutoScalingGroupName": group.name,
        "LifecycleTransition": given["LifecycleTransition"],
        "HeartbeatTimeout": int(given.get("HeartbeatTimeout") or 3600),
        "GlobalTimeout": 172800,
        "DefaultResult": given.get("DefaultResult") or "ABANDON",
    }


def _overrides(group: Group) -> list[Json]:
    """Those that the group has now."""
    policy = group.settings.get("MixedInstancesPolicy") or {}
    return list((policy.get("LaunchTemplate") or {}).get("Overrides") or [])


def _reference(given: Json) -> Json:
    """A launch template by id and name, as a group describes it. The version stays as it was given."""
    version = find(given)
    return {
        "LaunchTemplateId": version.id,
        "LaunchTemplateName": version.name,
        "Version": given.get("Version") or "$Default",
    }


def _nested(operation: Callable[[Json], str]) -> Callable[[Json], str]:
    """`Tags.member.1.Key=a` becomes `{"Tags": [{"Key": "a"}]}` before the operation sees it."""

    def run(params: Json) -> str:
        tree: Json = {}
        for dotted, value in params.items():
            node = tree
            *path, last = dotted.split(".")
            for step in path:
                node = node.setdefault(step, {})
            node[last] = value[0] if isinstance(value, list) else value
        return operation(tree)

    return run


def _list(given: Json, key: str) -> list[Any]:
    node = given.get(key) or {}
    if isinstance(node, list):
        return node
    members = node.get("member") or {}
    return [members[index] for index in sorted(members, key=int)]


def _unwrapped(node: Any) -> Any:
    if isinstance(node, dict):
        if set(node) == {"member"}:
            return [_unwrapped(item) for item in _list({"it": node}, "it")]
        return {key: _unwrapped(value) for key, value in node.items()}
    return node
