"""Where tasks go, and how managed scaling makes room for them.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-scaling-behavior.html
"""

from __future__ import annotations

from ..auto_scaling.machines import Room, room
from ..auto_scaling.model import IN_SERVICE, Group
from ..auto_scaling.templates import find
from ..handlers import AwsError
from . import lifecycle
from .engine import Ecs
from .model import Instance, Provider, Task

# With no instance at all, ECS scales out to two.
FIRST_SCALE_OUT = 2


def step(engine: Ecs, now: float) -> None:
    for task in [task for task in engine.tasks.values() if task.last_status == "PROVISIONING"]:
        instance = _room_for(engine, task)
        if instance is not None:
            task.instance = instance
            task.last_status = "PENDING"
            task.pull_started_at = now
            task.due = now + engine.core.pace.image_pull
            engine.record_task_event(task, "PENDING")
        elif now - task.created_at >= engine.core.pace.provisioning_limit:
            lifecycle.fail(engine, task, f"TaskFailedToStart: {_why_not(engine, task)}", None, now)
    for provider in engine.providers.values():
        if now >= provider.next_evaluation:
            provider.next_evaluation = now + engine.core.pace.scaling_evaluation
            group = engine.groups.by_name.get(provider.group)
            if group and provider.managed_scaling and not group.status and engine.clusters_with(provider.name):
                _scale(engine, provider, group, now)


def _why_not(engine: Ecs, task: Task) -> str:
    """The stopped reason of a task that waited for capacity for too long.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
    """
    registered = _registered(engine, task)
    active = [instance for instance in registered if instance.status == "ACTIVE"]
    connected = [instance for instance in active if instance.agent_connected]
    if not registered:
        return "EMPTY CAPACITY PROVIDER"
    if not active:
        return "NO ACTIVE INSTANCES"
    if not connected:
        return "AGENT"
    if all(_used(engine, instance)[0] + task.memory > instance.memory for instance in connected):
        return "RESOURCE:MEMORY"
    if all(_used(engine, instance)[1] + task.cpu > instance.cpu for instance in connected):
        return "RESOURCE:CPU"
    if all(_used(engine, instance)[2] + task.gpus > instance.gpus for instance in connected):
        return "RESOURCE:GPU"
    return "MemberOf placement constraint unsatisfied"


def _registered(engine: Ecs, task: Task) -> list[Instance]:
    return [i for i in engine.instances.values() if i.cluster == task.cluster and i.provider == task.provider]


def _room_for(engine: Ecs, task: Task) -> Instance | None:
    fitting = [
        instance
        for instance in _registered(engine, task)
        if instance.status == "ACTIVE" and instance.agent_connected and _fits(engine, task, instance)
    ]
    return min(fitting, key=lambda instance: len(engine.tasks_on(instance)), default=None)


def _fits(engine: Ecs, task: Task, instance: Instance) -> bool:
    if task.distinct_instance and any(other.group == task.group for other in engine.tasks_on(instance)):
        return False
    memory, cpu, gpus = _used(engine, instance)
    return (
        memory + task.memory <= instance.memory and cpu + task.cpu <= instance.cpu and gpus + task.gpus <= instance.gpus
    )


def _used(engine: Ecs, instance: Instance) -> tuple[int, int, int]:
    """Memory, CPU and GPUs that the instance's tasks have reserved."""
    tasks = engine.tasks_on(instance)
    return sum(task.memory for task in tasks), sum(task.cpu for task in tasks), sum(task.gpus for task in tasks)


def _scale(engine: Ecs, provider: Provider, group: Group, now: float) -> None:
    """Only the desired capacity moves, between the group's bounds, which are never touched."""
    waiting = [
        task
        for task in engine.tasks.values()
        if task.last_status == "PROVISIONING" and task.provider == provider.name and task.live
    ]
    holding = [instance for instance in _instances(engine, provider) if engine.tasks_on(instance)]
    # Machines that were asked for and hold nothing yet will take some of the waiting tasks.
    idle = len(group.capacity) - len(holding)
    needed = len(holding) + _machines_for(waiting, _smallest(group))
    if needed and not group.capacity:
        needed = max(needed, FIRST_SCALE_OUT)
    wanted = max(group.min_size, min(group.max_size, needed))
    if wanted > group.desired:
        group.desired = wanted
        provider.idle_since = None
        engine.core.journal.event("group", "scaled out", group=group.name, desired=wanted)
    elif wanted < group.desired and idle > 0:
        _scale_in(engine, provider, group, wanted, now)
    else:
        provider.idle_since = None


def _scale_in(engine: Ecs, provider: Provider, group: Group, wanted: int, now: float) -> None:
    provider.idle_since = provider.idle_since or now
    if now - provider.idle_since < engine.core.pace.scale_in_after:
        return
    occupied = {instance.ec2_id for instance in _instances(engine, provider) if engine.tasks_on(instance)}
    idle = [machine for machine in group.machines if machine.state == IN_SERVICE and machine.id not in occupied]
    # A draining machine is of no more use: it goes first.
    draining = {i.ec2_id for i in engine.instances.values() if i.status == "DRAINING"}
    idle.sort(key=lambda machine: machine.id not in draining)
    leaving = idle[: group.desired - wanted]
    if provider.managed_protection:
        for machine in leaving:
            machine.protected = False
    if leaving:
        group.desired -= len(leaving)
        provider.idle_since = None
        engine.core.journal.event("group", "scaled in", group=group.name, desired=group.desired)


def _instances(engine: Ecs, provider: Provider) -> list[Instance]:
    return [instance for instance in engine.instances.values() if instance.provider == provider.name]


def _smallest(group: Group) -> Room:
    """A task that does not fit the smallest of the group's types is not counted."""
    try:
        types = group.override_types or [find(group.template_reference).instance_type]
    except AwsError:
        return Room(0, 0)
    return min((room(name) for name in types), key=lambda size: size.memory_mib)


def _machines_for(tasks: list[Task], size: Room) -> int:
    """How many fresh machines hold these tasks, filled one after the other."""
    free: list[tuple[Room, set[str]]] = []
    for task in tasks:
        for index, (left, groups) in enumerate(free):
            if _holds(left, task) and not (task.distinct_instance and task.group in groups):
                free[index] = (_without(left, task), groups | {task.group})
                break
        else:
            if _holds(size, task):
                free.append((_without(size, task), {task.group}))
    return len(free)


def _holds(room: Room, task: Task) -> bool:
    return task.memory <= room.memory_mib and task.cpu <= room.cpu_units and task.gpus <= room.gpus


def _without(room: Room, task: Task) -> Room:
    return Room(room.memory_mib - task.memory, room.cpu_units - task.cpu, room.gpus - task.gpus)
