"""What MiniStack's EC2 lacks: instance types with the sizes that machines here have, found by a filter.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html
"""

from __future__ import annotations

import re
from typing import Any

from ministack.services import ec2

from .auto_scaling.machines import CPU_UNITS, advertised

# Of the types that are named as EC2 names its own, those of which there are any.
_NAMED = re.compile(r"[a-z]{1,4}\d[a-z0-9-]*\.(nano|micro|small|medium|large|\d*xlarge|metal)")
_NOWHERE = "x99"


def install() -> None:
    ec2._ACTION_MAP["DescribeInstanceTypes"] = _describe_instance_types


def _describe_instance_types(given: dict[str, Any]) -> Any:
    named = ec2._parse_member_list(given, "InstanceType")
    filters = ec2._parse_filters(given)
    wanted = named or filters.get("instance-type") or []
    unknown = [name for name in wanted if not _exists(name)]
    if named and unknown:
        listed = ", ".join(unknown)
        return ec2._error("InvalidInstanceType", f"The following supplied instance types do not exist: [{listed}]", 400)
    items = "".join(_item(name) for name in wanted if _exists(name))
    return ec2._xml(200, "DescribeInstanceTypesResponse", f"<instanceTypeSet>{items}</instanceTypeSet>")


def _exists(name: str) -> bool:
    return bool(_NAMED.fullmatch(name)) and not name.startswith(_NOWHERE)


def _item(name: str) -> str:
    size = advertised(name)
    gpus = (
        f"<gpuInfo><gpus><item><manufacturer>NVIDIA</manufacturer><count>{size.gpus}</count>"
        "<memoryInfo><sizeInMiB>22888</sizeInMiB></memoryInfo></item></gpus></gpuInfo>"
        if size.gpus
        else ""
    )
    return (
        f"<item><instanceType>{name}</instanceType>"
        f"<vCpuInfo><defaultVCpus>{size.cpu_units // CPU_UNITS}</defaultVCpus></vCpuInfo>{gpus}"
        f"<memoryInfo><sizeInMiB>{size.memory_mib}</sizeInMiB></memoryInfo></item>"
    )
