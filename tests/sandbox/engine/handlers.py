"""Handlers inside MiniStack: they return a dict or text, or raise `AwsError`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, json_response, new_uuid

from .core import Core

Json = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]


class AwsError(Exception):
    """An error of AWS, with the code that clients match."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def json_handler(core: Core, operation: Callable[[Json], Json]) -> Callable[[Json], Response]:
    """Wraps an operation of a JSON service (ECS) for MiniStack's table of actions."""

    def handle(data: Json) -> Response:
        with core.lock:
            try:
                return json_response(to_json(operation(data)))
            except AwsError as error:
                return error_response_json(error.code, error.message, error.status)

    return handle


def query_handler(core: Core, operation: Callable[[Json], str], name: str) -> Callable[[Json], Response]:
    """Wraps an operation of a query service (Auto Scaling) for MiniStack's table of actions."""
    namespace = "http://autoscaling.amazonaws.com/doc/2011-01-01/"

    def handle(params: Json) -> Response:
        with core.lock:
            try:
                result = f"<{name}Result>{operation(params)}</{name}Result>"
                status, root = 200, f"{name}Response"
                body = f"{result}<ResponseMetadata><RequestId>{new_uuid()}</RequestId></ResponseMetadata>"
            except AwsError as error:
                status, root = error.status, "ErrorResponse"
                body = (
                    f"<Error><Type>Sender</Type>{element('Code', error.code)}{element('Message', error.message)}"
                    f"</Error><RequestId>{new_uuid()}</RequestId>"
                )
        return status, {"Content-Type": "text/xml"}, f'<{root} xmlns="{namespace}">{body}</{root}>'.encode()

    return handle


def to_json(value: Any) -> Any:
    """Leaves out what has no value: AWS omits a member instead of sending null."""
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    return value


def element(name: str, value: Any) -> str:
    """A member of a query response; empty for None."""
    if value is None:
        return ""
    return f"<{name}>{_xml(value)}</{name}>"


def _xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(element(key, item) for key, item in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{_xml(item)}</member>" for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
