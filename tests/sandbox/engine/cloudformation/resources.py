"""Where AWS is stricter with a template's own resources than MiniStack, or has a property that MiniStack has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch_logs, dynamodb, lambda_svc
from ministack.services.cloudformation import provisioners

from ..handlers import Json
from ..service_roles import first_cluster

Create = Callable[[str, Json, str], tuple[str, Json]]
TABLE = "AWS::DynamoDB::Table"


def install() -> None:
    """Wraps MiniStack's provisioners."""
    for kind, wrap in (
        ("AWS::Logs::LogGroup", _log_group),
        ("AWS::Lambda::Function", _function),
        ("AWS::ECS::Cluster", first_cluster),
        (TABLE, _table),
    ):
        handler: dict[str, Any] = provisioners._RESOURCE_HANDLERS[kind]
        handler["create"] = wrap(handler["create"])
    tables: dict[str, Any] = provisioners._RESOURCE_HANDLERS[TABLE]
    tables["update"] = _table_update(tables["update"])
    tables["delete"] = _table_deletion(tables["delete"])


def _log_group(create: Create) -> Create:
    """A name that is taken fails the resource."""

    def run(logical_id: str, properties: Json, stack_name: str) -> tuple[str, Json]:
        name = properties.get("LogGroupName")
        if name in cloudwatch_logs._log_groups:
            raise ValueError(f"Resource of type 'AWS::Logs::LogGroup' with identifier '{name}' already exists.")
        return create(logical_id, properties, stack_name)

    return run


def _function(create: Create) -> Create:
    """Code that is not in its bucket fails the resource, and RecursiveLoop is kept."""

    def run(logical_id: str, properties: Json, stack_name: str) -> tuple[str, Json]:
        name, attributes = create(logical_id, properties, stack_name)
        function = lambda_svc._functions[name]
        if function["code_zip"] is None and "S3Bucket" in properties.get("Code", {}):
            del lambda_svc._functions[name]
            raise ValueError("Error occurred while GetObject. S3 Error Code: NoSuchKey.")
        if loop := properties.get("RecursiveLoop"):
            function["recursive_loop"] = loop
        return name, attributes

    return run


def _table(create: Create) -> Create:
    """A name that is taken fails the resource, and TimeToLiveSpecification is kept."""

    def run(logical_id: str, properties: Json, stack_name: str) -> tuple[str, Json]:
        name = properties.get("TableName")
        if name in dynamodb._tables:
            raise ValueError(f"Resource of type '{TABLE}' with identifier '{name}' already exists.")
        created = create(logical_id, properties, stack_name)
        _set_time_to_live(created[0], properties)
        return created

    return run


def _table_update(update: Callable[..., tuple[str, Json]]) -> Callable[..., tuple[str, Json]]:
    def run(physical_id: str, old: Json, new: Json, *rest: Any, **more: Any) -> tuple[str, Json]:
        updated = update(physical_id, old, new, *rest, **more)
        _set_time_to_live(updated[0], new)
        return updated

    return run


def _table_deletion(delete: Callable[[str, Json], None]) -> Callable[[str, Json], None]:
    def run(physical_id: str, properties: Json) -> None:
        delete(physical_id, properties)
        dynamodb._ttl_settings.pop(physical_id, None)

    return run


def _set_time_to_live(table: str, properties: Json) -> None:
    specification = properties.get("TimeToLiveSpecification")
    if specification is None:
        dynamodb._ttl_settings.pop(table, None)
        return
    enabled = str(specification["Enabled"]).lower() == "true"
    asked = {"TableName": table, "TimeToLiveSpecification": {**specification, "Enabled": enabled}}
    status, _, body = dynamodb._update_ttl(asked)
    if status >= 400:
        raise ValueError(f"{TABLE}: {body!r}")
