"""The response URL: pre-signed, strict about what is sent to it, and written down.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ..core import Core, consume_fault
from ..handlers import Json

PATH_PREFIX = "/cloudformation-custom-resource-response-"
LARGEST_BODY = 4096
EXPIRES = 7200
Scope = dict[str, Any]


@dataclass
class Ticket:
    """One request, and its response once that has come."""

    event: Json
    url: str
    sent_at: float = field(default_factory=time.time)
    responded: threading.Event = field(default_factory=threading.Event)
    response: Json | None = None
    body: bytes = b""
    """The response's bytes."""
    problem: str | None = None
    closed: bool = False


class ResponseBucket:
    """Signs response URLs and receives the responses."""

    def __init__(self, core: Core, gateway: str) -> None:
        self.core = core
        self.gateway = gateway
        self.tickets: dict[str, Ticket] = {}
        self.signatures: list[str] = []

    def open(self, event: Json) -> Ticket:
        """Adds a `ResponseURL` to the event."""
        region = self.core.settings.region
        key = quote(f"{event['StackId']}|{event['LogicalResourceId']}|{event['RequestId']}", safe="/")
        secret = self.core.settings.response_url_secret
        signature = hashlib.sha256(f"{secret}{event['RequestId']}".encode()).hexdigest()
        self.signatures.append(signature)
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        target = (
            f"{PATH_PREFIX}{region.replace('-', '')}/{key}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={moment}"
            f"&X-Amz-SignedHeaders=host&X-Amz-Expires={EXPIRES}"
            f"&X-Amz-Credential=SANDBOX%2F{moment[:8]}%2F{region}%2Fs3%2Faws4_request&X-Amz-Signature={signature}"
        )
        ticket = Ticket(event={**event, "ResponseURL": self.gateway + target}, url=target)
        self.tickets[target] = ticket
        return ticket

    def put(self, method: str, raw_target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """The status and body that S3 would return."""
        with self.core.lock:
            status, code = self._put(method, raw_target, headers, body)
        self.core.journal.event("response", "put", status=status, code=code, size=len(body))
        return status, f"<Error><Code>{code}</Code></Error>".encode() if code else b""

    def _put(self, method: str, raw_target: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        ticket = self.tickets.get(raw_target)
        if ticket is None or method != "PUT" or headers.get("content-type"):
            return 403, "SignatureDoesNotMatch"
        fault = self.core.faults.responses
        if fault and consume_fault(fault):
            return int(fault["status"]), "SlowDown"
        if "content-length" not in headers:
            return 411, "MissingContentLength"
        if ticket.closed or ticket.responded.is_set():
            is_same = ticket.responded.is_set() and body == ticket.body
            self.core.journal.event("response", "late", request_id=ticket.event["RequestId"], same=is_same)
            return 200, ""
        self._accept(ticket, body)
        return 200, ""

    def _accept(self, ticket: Ticket, body: bytes) -> None:
        try:
            response = json.loads(body)
        except ValueError:
            response = None
        if len(body) > LARGEST_BODY:
            ticket.problem = "Response object is too long."
        elif not isinstance(response, dict) or response.get("Status") not in ("SUCCESS", "FAILED"):
            ticket.problem = "Invalid response object: invalid status"
        elif any(response.get(name) != ticket.event[name] for name in ("StackId", "RequestId", "LogicalResourceId")):
            # CloudFormation takes no notice of it, and goes on waiting.
            self.core.journal.event("response", "not ours", request_id=ticket.event["RequestId"])
            return
        elif not response.get("PhysicalResourceId") and ticket.event["RequestType"] != "Delete":
            ticket.problem = "Invalid PhysicalResourceId"
        ticket.response, ticket.body = response if isinstance(response, dict) else {}, body
        self.core.journal.event(
            "response",
            str(ticket.response.get("Status")),
            request_type=ticket.event["RequestType"],
            logical_id=ticket.event["LogicalResourceId"],
            request_id=ticket.event["RequestId"],
            physical_id=ticket.response.get("PhysicalResourceId"),
            reason=ticket.response.get("Reason"),
            data=ticket.response.get("Data"),
            problem=ticket.problem,
            seconds=round(time.time() - ticket.sent_at, 2),
        )
        ticket.responded.set()


def middleware(bucket: ResponseBucket, app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Serves the response URLs, and everything else by MiniStack."""

    async def serve(scope: Scope, receive: Callable[[], Awaitable[Json]], send: Callable[..., Awaitable[None]]) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PATH_PREFIX):
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        target = scope["raw_path"].decode() + "?" + scope["query_string"].decode()
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        status, text = bucket.put(scope["method"], target, headers, body)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": text})

    return serve
