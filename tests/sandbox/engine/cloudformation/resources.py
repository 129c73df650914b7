"""Where AWS is stricter with a template's own resources than MiniStack, or has a property that MiniStack has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch_logs, lambda_svc
from ministack.services.cloudformation import provisioners

from ..handlers import Json
from ..service_roles import first_cluster

Create = Callable[[str, Json, str], tuple[str, Json]]


def install() -> None:
    """Wraps MiniStack's provisioners."""
    for kind, wrap in (
        ("AWS::Logs::LogGroup", _log_group),
        ("AWS::Lambda::Function", _function),
        ("AWS::ECS::Cluster", first_cluster),
    ):
        handler: dict[str, Any] = provisioners._RESOURCE_HANDLERS[kind]
        handler["create"] = wrap(handler["create"])


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
