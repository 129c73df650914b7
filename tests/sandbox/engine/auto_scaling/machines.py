"""How much room a machine has for tasks, by its instance type.

https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-types.html
"""

from __future__ import annotations

from dataclasses import dataclass

# What the operating system and the agent leave to tasks.
USABLE = 0.94
CPU_UNITS = 1024
_GIB_PER_VCPU = {"c": 2, "r": 8, "x": 16}
_USUAL_GIB_PER_VCPU = 4
# Burstable types do not follow the rule of the others.
_BURSTABLE = {"nano": (2, 0.5), "micro": (2, 1), "small": (2, 2), "medium": (2, 4), "large": (2, 8)}


@dataclass(frozen=True)
class Room:
    """What a container instance registers."""

    memory_mib: int
    cpu_units: int


def advertised(instance_type: str) -> Room:
    """What EC2 says of a type, which is more than an instance of it registers."""
    vcpus, gib = _size(instance_type)
    return Room(int(gib * 1024), vcpus * CPU_UNITS)


def room(instance_type: str) -> Room:
    """Of types that follow the usual naming; an unknown size counts as `large`."""
    vcpus, gib = _size(instance_type)
    return Room(int(gib * 1024 * USABLE), vcpus * CPU_UNITS)


def _size(instance_type: str) -> tuple[int, float]:
    """vCPUs and GiB."""
    family, _, size = instance_type.partition(".")
    if family.startswith("t") and size in _BURSTABLE:
        return _BURSTABLE[size]
    vcpus = _vcpus(size)
    return vcpus, vcpus * _GIB_PER_VCPU.get(family[:1], _USUAL_GIB_PER_VCPU)


def _vcpus(size: str) -> int:
    if size == "medium":
        return 1
    multiple = size.removesuffix("xlarge")
    if multiple == size:
        return 2
    return 4 * int(multiple or 1) if (multiple or "1").isdigit() else 2
