"""Service-linked roles by their real names, and a first cluster that fails for want of ECS's.

CreateCluster makes the role and assumes it at once; that IAM may not have it everywhere by then is always so here.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
https://github.com/aws/containers-roadmap/issues/2614
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import iam

from .handlers import Json, Response

ECS = "ecs.amazonaws.com"
# MiniStack makes a name of the service's.
NAMES = {ECS: "AWSServiceRoleForECS"}
Create = Callable[[str, Json, str], tuple[str, Json]]


def install() -> None:
    """Takes over CreateServiceLinkedRole."""
    original: Callable[[Json], Response] = iam._IAM_HANDLERS["CreateServiceLinkedRole"]

    def create(params: Json) -> Response:
        service = str(iam._p(params, "AWSServiceName"))
        name = NAMES.get(service)
        if name is None:
            return original(params)
        if name in iam._roles:
            message = f"Service role name {name} has been taken in this account, please try a different suffix."
            return iam._error(400, "InvalidInput", message, ns="iam")
        return _made(service, name, original(params))

    iam._IAM_HANDLERS["CreateServiceLinkedRole"] = create


def first_cluster(create: Create) -> Create:
    """A template's cluster in an account that never had one: it fails, and another try succeeds."""

    def run(logical_id: str, properties: Json, stack_name: str) -> tuple[str, Json]:
        if NAMES[ECS] not in iam._roles:
            iam._IAM_HANDLERS["CreateServiceLinkedRole"]({"AWSServiceName": [ECS]})
            raise ValueError(
                "Invalid request provided: CreateCluster Invalid Request: Unable to assume the service linked role. "
                "Please verify that the ECS service linked role exists."
            )
        return create(logical_id, properties, stack_name)

    return run


def _made(service: str, name: str, response: Any) -> Any:
    """The role that MiniStack has just made, under its real name."""
    wrong = f"AWSServiceRoleFor{service.split('.')[0].capitalize()}"
    role = iam._roles.pop(wrong)
    iam._roles[name] = {**role, "RoleName": name, "Arn": role["Arn"].replace(wrong, name)}
    status, headers, body = response
    return status, headers, body.replace(wrong.encode(), name.encode())
