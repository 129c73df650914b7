"""`AWS::DynamoDB::Table` with the properties that MiniStack leaves out: time to live, and the policies.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import dynamodb
from ministack.services.cloudformation import provisioners

from ..handlers import Json

KIND = "AWS::DynamoDB::Table"
Create = Callable[[str, Json, str], tuple[str, Json]]


def install() -> None:
    """Wraps MiniStack's provisioner."""
    handler: dict[str, Any] = provisioners._RESOURCE_HANDLERS[KIND]
    handler["create"] = _creation(handler["create"])
    handler["update"] = _update(handler["update"])
    handler["delete"] = _deletion(handler["delete"])


def _creation(create: Create) -> Create:
    """A name that is taken fails the resource."""

    def run(logical_id: str, properties: Json, stack_name: str) -> tuple[str, Json]:
        name = properties.get("TableName")
        if name in dynamodb._tables:
            raise ValueError(f"Resource of type '{KIND}' with identifier '{name}' already exists.")
        created = create(logical_id, properties, stack_name)
        _complete(created[0], properties)
        return created

    return run


def _update(update: Callable[..., tuple[str, Json]]) -> Callable[..., tuple[str, Json]]:
    def run(physical_id: str, old: Json, new: Json, *rest: Any, **more: Any) -> tuple[str, Json]:
        updated = update(physical_id, old, new, *rest, **more)
        _complete(updated[0], new)
        return updated

    return run


def _deletion(delete: Callable[[str, Json], None]) -> Callable[[str, Json], None]:
    def run(physical_id: str, properties: Json) -> None:
        table: Json = dynamodb._tables.get(physical_id) or {}
        delete(physical_id, properties)
        dynamodb._ttl_settings.pop(physical_id, None)
        for arn in (table.get("TableArn"), table.get("LatestStreamArn")):
            dynamodb._resource_policies.pop(arn, None)

    return run


def _complete(name: str, properties: Json) -> None:
    table = dynamodb._tables[name]
    _set_time_to_live(name, properties.get("TimeToLiveSpecification"))
    _set_policy(table["TableArn"], properties.get("ResourcePolicy"))
    if stream := table.get("LatestStreamArn"):
        _set_policy(stream, (properties.get("StreamSpecification") or {}).get("ResourcePolicy"))


def _set_time_to_live(table: str, specification: Json | None) -> None:
    if specification is None:
        dynamodb._ttl_settings.pop(table, None)
        return
    enabled = str(specification["Enabled"]).lower() == "true"
    asked = {"TableName": table, "TimeToLiveSpecification": {**specification, "Enabled": enabled}}
    status, _, body = dynamodb._update_ttl(asked)
    if status >= 400:
        raise ValueError(f"{KIND}: {body!r}")


def _set_policy(arn: str, policy: Json | None) -> None:
    if policy is None:
        dynamodb._resource_policies.pop(arn, None)
        return
    document = policy["PolicyDocument"]
    text = document if isinstance(document, str) else json.dumps(document)
    dynamodb._resource_policies[arn] = {"Policy": text, "RevisionId": new_uuid()}
