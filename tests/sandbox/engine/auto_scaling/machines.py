"""How much room a machine has for tasks, by its instance type.

https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-types.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# What the operating system and the agent leave to tasks.
USABLE = 0.94
CPU_UNITS = 1024
_GIB_PER_VCPU = {"c": 2, "r": 8, "x": 16}
_USUAL_GIB_PER_VCPU = 4
# Burstable types do not follow the rule of the others.
_BURSTABLE = {"nano": (2, 0.5), "micro": (2, 1), "small": (2, 2), "medium": (2, 4), "large": (2, 8)}
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html
_GPUS = {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}


@dataclass(frozen=True)
class Room:
    """What a container instance registers."""

    memory_mib: int
    cpu_units: int
    gpus: int = 0


def advertised(instance_type: str) -> Room:
    """What EC2 says of a type, which is more than an instance of it registers."""
    vcpus, gib = _size(instance_type)
    return Room(int(gib * 1024), vcpus * CPU_UNITS, _gpus(instance_type))


def room(instance_type: str) -> Room:
    """Of types that follow the usual naming; an unknown size counts as `large`."""
    vcpus, gib = _size(instance_type)
    return Room(int(gib * 1024 * USABLE), vcpus * CPU_UNITS, _gpus(instance_type))


def _gpus(instance_type: str) -> int:
    """Of the families G and P, as most of their sizes have."""
    family, _, size = instance_type.partition(".")
    if not re.fullmatch(r"[gp]\d.*", family):
        return 0
    return _GPUS.get(size, 1)


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
