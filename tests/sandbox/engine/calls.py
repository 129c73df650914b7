"""Records every AWS call in MiniStack with what IAM checks for it, and injects errors."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from ministack import app as ministack
from ministack.core.responses import error_response_json, request_scope

from .authorization import Authorization
from .core import Core, consume_fault
from .handlers import Json
from .invocations import ANY_ATTEMPT, Invocations
from .task_sessions import is_of_a_task

_CREDENTIAL = re.compile(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/")
_ERROR_CODE = re.compile(rb'<Code>([^<]+)</Code>|"__type":\s*"(?:[^"#]*#)?([^"]+)"')
_READS = ("Describe", "List", "Get", "BatchGet", "Head", "Filter", "Lookup", "Query", "Scan")
# Services of the JSON protocols, for the form of an injected error.
_JSON_SERVICES = ("dynamodb", "ecs", "lambda", "logs", "ssm")
# Requests of these services are kept whole: they contain no secrets, and tests read them.
_KEPT_REQUESTS = ("ecs", "autoscaling")
# MiniStack runs functions with the account id as access key id, or with a session of their role.
_FUNCTION_KEY = re.compile(r"\d{12}|ASIA[0-9A-F]{16}")
Response = tuple[int, dict[str, str], bytes]


def install(core: Core, authorization: Authorization, invocations: Invocations) -> None:
    """Wraps MiniStack's dispatcher."""
    dispatch: Callable[..., Awaitable[Response]] = ministack._dispatch_service_request

    async def recorded(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str
    ) -> Response:
        key, service = _credential(headers)
        if service is None:
            return await dispatch(method, path, headers, body, query, request_id)
        operation, request = _operation(method, path, headers, body, query)
        caller = "task" if is_of_a_task(key) else "function" if _FUNCTION_KEY.fullmatch(key) else "client"
        if caller == "function":
            with core.lock, request_scope(core.settings.account, core.settings.region):
                checks = authorization.checks(service, operation, request or {}, *core.settings.place)
            for check in checks:
                core.journal.checked(check.to_json)
            if service == "dynamodb":
                # MiniStack's own checks go by the items of a transaction and the statements of PartiQL.
                checks = None
        else:
            checks = None
        fault = _fault(core, service, operation, request, caller)
        response = _error_response(service, fault) if fault and "kill" not in fault else None
        if response is None:
            with authorization.under(checks):
                response = await dispatch(method, path, headers, body, query, request_id)
        if fault and "kill" in fault:
            invocations.kill({"kind": fault["kill"], "attempts": ANY_ATTEMPT})
        status, _, text = response
        core.journal.call(
            service=service,
            operation=operation,
            write=not operation.startswith(_READS) and method != "GET",
            caller=caller,
            status=status,
            error=_error(text) if status >= 400 else None,
            user_agent=headers.get("user-agent", ""),
            request=request if service in _KEPT_REQUESTS else _item(request) if service == "dynamodb" else None,
        )
        return response

    ministack._dispatch_service_request = recorded


def _credential(headers: dict[str, str]) -> tuple[str, str | None]:
    found = _CREDENTIAL.search(headers.get("authorization", ""))
    return (found[1], found[2]) if found else ("", None)


def _operation(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> tuple[str, Json | None]:
    if target := headers.get("x-amz-target"):
        try:
            return target.rsplit(".", 1)[-1], json.loads(body or b"{}")
        except ValueError:
            return target.rsplit(".", 1)[-1], None
    if path.endswith("/invocations"):
        return "Invoke", {"FunctionName": unquote(path.removesuffix("/invocations").rsplit("/", 1)[-1])}
    form = parse_qs(body.decode("utf-8", errors="replace")) if b"Action=" in body else query
    if action := form.get("Action"):
        flat = {name: value[0] for name, value in form.items() if name not in ("Action", "Version")}
        return action[0], flat
    return f"{method} {path}", None


def _item(request: Json | None) -> Json:
    """The table and the key: an item may have what no journal should."""
    given = request or {}
    key = (given.get("Key") or given.get("Item") or {}).get("key") or {}
    return {"table": given.get("TableName"), "key": key.get("S")}


def _fault(core: Core, service: str, operation: str, request: Json | None, caller: str) -> Json | None:
    for fault in core.faults.aws:
        if (
            fault.get("service", service) == service
            and fault.get("operation", operation) == operation
            and fault.get("caller", "function") == caller
            and fault.get("about", "") in json.dumps(request)
            and consume_fault(fault)
        ):
            return fault
    return None


def _error_response(service: str, fault: Json) -> Response:
    code = fault.get("code", "ThrottlingException")
    message = fault.get("message", "Rate exceeded")
    status = int(fault.get("status", 400))
    if service in _JSON_SERVICES:
        return error_response_json(code, message, status)
    text = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    return status, {"Content-Type": "text/xml"}, text.encode()


def _error(text: Any) -> str | None:
    found = _ERROR_CODE.search(text) if isinstance(text, bytes) else None
    return (found[1] or found[2]).decode() if found else None
