"""Everything wired together inside the serving process. Importing this imports MiniStack."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app as ministack
from ministack.core import lambda_runtime
from ministack.core.responses import request_scope
from ministack.services.cloudformation import custom_resource

from . import calls, ec2, functions, parameters, schedules, service_roles
from .authorization import Authorization
from .auto_scaling.api import AutoScalingApi
from .auto_scaling.groups import Groups
from .cloudformation import change_sets, resources, rollback
from .cloudformation.requests import Requests
from .cloudformation.responses import ResponseBucket, middleware
from .cloudformation.stack_status import StackStatuses
from .control import Control, decoded_query
from .core import Core
from .dynamodb import policies, tables
from .dynamodb.streams import StreamMappings
from .ecs.api import EcsApi
from .ecs.engine import Ecs
from .github.limits import Request
from .github.scale_sets.answers import BYTE_ORDER_MARK
from .github.scale_sets.connection import SERVICE_PATH
from .github.scale_sets.control import ScaleSetControl
from .github.scale_sets.service import ScaleSetService
from .github.server import GitHub
from .invocations import Invocations
from .job_generator import JobGenerator
from .jobs import Jobs
from .live_logs import LiveLogs
from .runners import Runners
from .settings import Settings

HOST = "127.0.0.1"
API_PATH = "/api/v3"
TESTS_USER_AGENT = "sandbox-tests"
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger("sandbox")


class SandboxServer:
    """The AWS, GitHub and control applications, and the heartbeat that moves them."""

    def __init__(self, settings: Settings, aws_port: int, github_port: int) -> None:
        self.core = Core(settings)
        groups = Groups(self.core)
        engine = Ecs(self.core, groups)
        self.groups = groups
        self.ecs = EcsApi(engine)
        self.github = GitHub(self.core)
        self.github.base_url = f"http://{HOST}:{github_port}{API_PATH}"
        self.jobs = Jobs(self.core, self.github)
        self.scale_sets = ScaleSetService(self.core, self.github, self.jobs.scale_sets)
        self.traffic = JobGenerator(self.core, self.github, self.jobs)
        endpoint = f"http://{HOST}:{aws_port}"
        self.runners = Runners(self.core, engine, self.github, self.jobs, endpoint)
        bucket = ResponseBucket(self.core, endpoint)
        requests = Requests(self.core, bucket)
        invocations = Invocations(self.core)
        stack_status = StackStatuses()
        self.control = Control(
            self.core,
            engine,
            self.github,
            self.jobs,
            self.traffic,
            invocations,
            stack_status,
            ScaleSetControl(self.core, self.github),
            lambda: list(bucket.signatures),
        )

        functions.install()
        invocations.install()
        LiveLogs().install()
        AutoScalingApi(self.core, groups).install()
        self.ecs.install()
        parameters.install()
        ec2.install()
        service_roles.install()
        policies.install()
        tables.install()
        StreamMappings(self.core).install()
        schedules.install(self.core)
        authorization = Authorization(engine, groups)
        authorization.install()
        calls.install(self.core, authorization, invocations)
        custom_resource.invoke_custom_resource = requests.invoke
        rollback.install(requests, self.ecs)
        resources.install()
        change_sets.install()
        stack_status.install()
        self.aws = middleware(bucket, ministack.app)

    def step(self, now: float) -> None:
        """One heartbeat of everything."""
        settings = self.core.settings
        with self.core.lock, request_scope(settings.account, settings.region):
            try:
                self.groups.step(now)
                self.ecs.step(now)
                self.runners.step(now)
                self.jobs.step(now)
                self.traffic.step(now)
            except Exception:
                log.exception("the world stumbled")
                self.core.journal.event("sandbox", "stumbled")

    def close(self) -> None:
        """Ends the functions' processes."""
        with contextlib.suppress(Exception):
            lambda_runtime.kill_workers([w for pool in lambda_runtime._workers.values() for w in pool])

    async def github_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = await _body(receive)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"]
        request = Request(
            scope["method"],
            path if path.startswith(SERVICE_PATH) else path.removeprefix(API_PATH) or "/",
            decoded_query(scope["query_string"]),
            headers,
            body,
            "client" if headers.get("user-agent", "").startswith(TESTS_USER_AGENT) else "function",
        )
        if path.startswith(SERVICE_PATH):
            answer = await self.scale_sets.handle(request, receive)
            if answer is not None:
                mark = BYTE_ORDER_MARK if self.core.faults.byte_order_marks else b""
                await _send_response(send, answer.status, answer.body, answer.headers, mark)
        elif path.startswith(API_PATH):
            response = self.github.handle(request)
            await _send_response(send, response.status, response.body, response.headers)
        else:
            await _send_response(send, 404, {"message": "Not Found", "documentation_url": "", "status": "404"}, {})

    async def control_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = await _body(receive)
        status, response = self.control.handle(
            scope["method"], scope["path"], decoded_query(scope["query_string"]), body
        )
        # People read it in a terminal.
        await _send_response(send, status, response, {}, end=b"\n")


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _send_response(
    send: Send, status: int, body: Any, headers: dict[str, str], mark: bytes = b"", end: bytes = b""
) -> None:
    content = b"" if body is None and status in (202, 204) else mark + json.dumps(body).encode() + end
    wire = [(name.encode(), value.encode()) for name, value in headers.items()]
    if content:
        wire.append((b"content-type", b"application/json; charset=utf-8"))
    await send({"type": "http.response.start", "status": status, "headers": wire})
    await send({"type": "http.response.body", "body": content})
