"""Launch templates as Auto Scaling reads them: which version, and which cluster its user data joins."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2

from ..handlers import AwsError, Json

# The agent joins this one when its configuration names none.
DEFAULT_CLUSTER = "default"
_ECS_CLUSTER = re.compile(r"""ECS_CLUSTER\s*=\s*["']?([A-Za-z0-9_:/-]+)""")


@dataclass(frozen=True)
class TemplateVersion:
    """One version of a launch template, as a machine is launched from it."""

    id: str
    name: str
    number: str
    instance_type: str
    cluster: str
    image: str
    profile: str
    """The name or ARN of the instance profile; empty without one."""
    tagged: tuple[str, ...]
    """The kinds of resources that are given tags at their launch."""


def find(reference: Json) -> TemplateVersion:
    """The version that `{LaunchTemplateId or LaunchTemplateName, Version}` means now; without one it is `$Default`."""
    template_id, name = reference.get("LaunchTemplateId"), reference.get("LaunchTemplateName")
    records = [
        record
        for record in ec2._launch_templates.values()
        if record["LaunchTemplateId"] == template_id or (not template_id and record["LaunchTemplateName"] == name)
    ]
    if not records:
        raise AwsError(
            "ValidationError",
            "You must use a valid fully-formed launch template. The specified launch template, with template "
            f"{'ID ' + template_id if template_id else f'name {name}'}, does not exist.",
        )
    record = records[0]
    wanted = str(reference.get("Version") or "$Default")
    number = {"$Default": record["DefaultVersionNumber"], "$Latest": record["LatestVersionNumber"]}.get(wanted, wanted)
    for version in record["Versions"]:
        if str(version["VersionNumber"]) == str(number):
            data = version["LaunchTemplateData"]
            profile = data.get("IamInstanceProfile") or {}
            return TemplateVersion(
                id=record["LaunchTemplateId"],
                name=record["LaunchTemplateName"],
                number=str(number),
                instance_type=data.get("InstanceType") or "t3.large",
                cluster=_joined_cluster(data.get("UserData") or ""),
                image=data.get("ImageId") or "",
                profile=profile.get("Arn") or profile.get("Name") or "",
                tagged=tuple(item["ResourceType"] for item in data.get("TagSpecifications") or []),
            )
    raise AwsError(
        "ValidationError",
        "You must use a valid fully-formed launch template. The specified launch template version "
        f"{wanted} does not exist for launch template {record['LaunchTemplateId']}.",
    )


def _joined_cluster(user_data: str) -> str:
    try:
        script = base64.b64decode(user_data, validate=True).decode("utf-8", errors="replace")
    except (binascii.Error, ValueError):
        script = ""
    named = _ECS_CLUSTER.findall(script)
    return _cluster_name(named[-1]) if named else DEFAULT_CLUSTER


def _cluster_name(reference: str) -> str:
    """The agent hands what it was given to RegisterContainerInstance: "The short name or full ARN of the cluster".

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterContainerInstance.html
    One in another Region or account is none of ours, and stays what it is: no cluster has such a name.
    """
    place = f"arn:aws:ecs:{get_region()}:{get_account_id()}:cluster/"
    return reference.removeprefix(place)
