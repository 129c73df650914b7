"""The instances of a planned pool: their types, how many runners fit one, and how many there would be.

An estimate by cfn/sizing.md's formula, since only an instance that has joined the cluster says what it really offers.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from botocore.exceptions import ClientError

from .account import Account
from .costs import MEMORY_LEFT
from .intrinsics import Resolver, Unknown

# The properties that decide how many instances there are, with their defaults.
DEFAULTS = {
    "DesiredCount": "1",
    "MemoryReservation": "500",
    "Cpu": "0",
    "Gpus": "0",
    "MinInstances": "0",
    "MaxInstances": "4",
}
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
CPU_UNITS = 1024


def instance_lines(account: Account, after: Resolver, properties: dict[str, Any]) -> list[str]:
    """A line for each type, and one for their number. None where the pool uses instances of another."""
    if not isinstance(properties.get("LaunchTemplate"), dict):
        return []
    given = {name: properties.get(name, default) for name, default in DEFAULTS.items()}
    needs = {name: int(value) for name, value in given.items() if isinstance(value, str) and value.isdecimal()}
    types = instance_types(account, after, properties)
    if needs.keys() != DEFAULTS.keys() or not types:
        return types
    lines = [type_line(account, name, needs, properties) for name in types]
    return [*lines, f"at least {needs['MinInstances']} (MinInstances), at most {needs['MaxInstances']} (MaxInstances)"]


def instance_types(account: Account, after: Resolver, properties: dict[str, Any]) -> list[str]:
    """Those of InstanceTypes, else that of the launch template; none where they are not known."""
    listed = properties.get("InstanceTypes")
    if isinstance(listed, list) and listed:
        return [str(name) for name in listed]
    template = properties["LaunchTemplate"]
    data = data_in_template(after, template) or data_in_account(account, template)
    kind = data.get("InstanceType")
    return [kind] if isinstance(kind, str) else []


def data_in_template(after: Resolver, template: dict[str, Any]) -> dict[str, Any]:
    """What the same template declares."""
    named = template.get("LaunchTemplateId")
    for name in after.resources("AWS::EC2::LaunchTemplate"):
        is_new = isinstance(named, Unknown) and named.of == name
        if named is not None and (is_new or named == after.physical_id(name)):
            return dict(after.properties(name).get("LaunchTemplateData") or {})
    return {}


def data_in_account(account: Account, template: dict[str, Any]) -> dict[str, Any]:
    """What a launch template of another stack has; nothing if it cannot be read."""
    named = {name: template[name] for name in ("LaunchTemplateId", "LaunchTemplateName") if name in template}
    version = template.get("Version", "$Default")
    if not all(isinstance(value, str) for value in (version, *named.values())) or not named:
        return {}
    try:
        found = account.client("ec2").describe_launch_template_versions(Versions=[version], **named)
    except ClientError:
        return {}
    return next((item.get("LaunchTemplateData", {}) for item in found["LaunchTemplateVersions"]), {})


def type_line(account: Account, name: str, needs: dict[str, int], properties: dict[str, Any]) -> str:
    """How many runners fit, and how many instances that makes."""
    try:
        [size] = account.client("ec2").describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
    except (ClientError, ValueError):
        return name
    fit = runners_per_instance(size, needs)
    if str(properties.get("DistinctInstances")).lower() == "true":
        fit = min(fit, 1)
    if fit == 0:
        return f"{name}: no room for a runner"
    count = ceil(needs["DesiredCount"] / fit)
    room, instances = counted(fit, "runner"), counted(count, "instance")
    return f"{name}: room for about {room} each, so {instances} for DesiredCount {needs['DesiredCount']}"


def runners_per_instance(size: dict[str, Any], needs: dict[str, int]) -> int:
    """By memory, and by vCPUs and GPUs where runners reserve them."""
    fits = [int(size["MemoryInfo"]["SizeInMiB"] * MEMORY_LEFT) // max(1, needs["MemoryReservation"])]
    if needs["Cpu"]:
        fits.append(size["VCpuInfo"]["DefaultVCpus"] * CPU_UNITS // needs["Cpu"])
    if needs["Gpus"]:
        gpus = size.get("GpuInfo", {}).get("Gpus", [])
        fits.append(sum(gpu["Count"] for gpu in gpus) // needs["Gpus"])
    return min(fits)


def counted(count: int, thing: str) -> str:
    return f"{count} {thing}" + ("" if count == 1 else "s")
