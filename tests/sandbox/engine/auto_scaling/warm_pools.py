"""Warm pools: stopped machines of a group, and the launch hook that gives them time to be set up.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-warm-pools.html
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from ministack.services import eventbridge

from ..core import Core, hex_digits
from ..handlers import AwsError, Json, element
from .model import COOLING, WARM, WARMING, Group, Machine, WarmPool
from .templates import find

MOST_READ_PER_CALL = 50
NO_SPOT = "You cannot have a warm pool for an Auto Scaling group with Spot Instances."


def put(group: Group, given: Json) -> None:
    """PutWarmPool: what is left out keeps its last value."""
    if group.may_start_spot:
        raise AwsError("ValidationError", NO_SPOT)
    pool = group.warm_pool
    if pool and pool.is_leaving:
        raise AwsError("ResourceContention", f"The warm pool of {group.name} is being deleted.")
    if pool is None:
        pool = group.warm_pool = WarmPool(0, -1, "Stopped", False)
    pool.min_size = int(given.get("MinSize", pool.min_size))
    pool.max_prepared = int(given.get("MaxGroupPreparedCapacity", pool.max_prepared))
    pool.state = given.get("PoolState", pool.state)
    reuse: Any = given.get("InstanceReusePolicy") or {}
    pool.reuses = reuse.get("ReuseOnScaleIn", str(pool.reuses).lower()) == "true"


def delete(group: Group, now: float, terminates_in: float) -> None:
    """DeleteWarmPool."""
    pool = group.warm_pool
    if pool is None:
        raise AwsError("ValidationError", f"No warm pool found for the Auto Scaling group {group.name}.")
    pool.is_leaving = True
    for machine in pool.machines:
        machine.state, machine.due = COOLING, now + terminates_in


def describe(group: Group, given: Json) -> str:
    """DescribeWarmPool; of a group without one there is nothing to say."""
    pool = group.warm_pool
    if pool is None:
        return element("Instances", [])
    start = int(given.get("NextToken") or 0)
    end = start + min(int(given.get("MaxRecords") or MOST_READ_PER_CALL), MOST_READ_PER_CALL)
    machines = [machine.to_json() for machine in pool.machines[start:end]]
    token = element("NextToken", str(end)) if end < len(pool.machines) else ""
    return element("WarmPoolConfiguration", pool.to_json()) + element("Instances", machines) + token


def take(group: Group, now: float, starts_in: float) -> Machine | None:
    """A stopped machine leaves for the group."""
    pool = group.warm_pool
    warm = next((m for m in pool.machines if m.state == WARM), None) if pool and not pool.is_leaving else None
    if pool is None or warm is None:
        return None
    pool.machines.remove(warm)
    warm.state, warm.due, warm.is_warm, warm.protected = "Pending", now + starts_in, True, group.protect_new
    return warm


def step(core: Core, group: Group, now: float) -> None:
    """Keeps the warm pool at its size, stops what is set up, and forgets what has ended."""
    pool = group.warm_pool
    if pool is None:
        return
    for machine in list(pool.machines):
        if machine.state == COOLING and now >= machine.due:
            pool.machines.remove(machine)
            core.journal.event("machine", "terminated", machine=machine.id, group=group.name)
        elif machine.state == WARMING and now >= machine.due:
            machine.state = WARM
            _record(core, group, machine)
    if pool.is_leaving:
        if not pool.machines:
            group.warm_pool = None
            core.journal.event("group", "warm pool deleted", group=group.name)
        return
    prepared = pool.max_prepared if pool.max_prepared >= 0 else group.max_size
    size = max(pool.min_size, prepared - group.desired)
    while len(pool.machines) < size:
        template = find(group.template_reference)
        machine = Machine(
            id="i-" + hex_digits(17),
            group=group.name,
            zone=group.zones[len(pool.machines) % len(group.zones)],
            template=template,
            instance_type=(group.override_types or [template.instance_type])[0],
            protected=group.protect_new,
            # Without a launch hook Auto Scaling stops it at once.
            due=now + (core.pace.launch_hook if group.launching_hooks() else 0),
            state=WARMING,
        )
        pool.machines.append(machine)
        _record(core, group, machine)


def announce(group: Group, machine: Machine) -> None:
    """The event of a launch hook that holds back a machine which joins its group.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pools-eventbridge-events.html
    """
    for hook in group.launching_hooks():
        detail = {
            "LifecycleActionToken": str(uuid.uuid4()),
            "AutoScalingGroupName": group.name,
            "LifecycleHookName": hook["LifecycleHookName"],
            "EC2InstanceId": machine.id,
            "LifecycleTransition": hook["LifecycleTransition"],
            "Origin": "WarmPool" if machine.is_warm else "EC2",
            "Destination": "AutoScalingGroup",
        }
        entry = {
            "Source": "aws.autoscaling",
            "DetailType": "EC2 Instance-launch Lifecycle Action",
            "Detail": json.dumps(detail),
            "Resources": [group.arn],
        }
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _record(core: Core, group: Group, machine: Machine) -> None:
    core.journal.event("machine", machine.state, machine=machine.id, group=group.name, version=machine.template.number)
