"""The service's calls: who may make them, which method answers, and polls that wait."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from ...core import Core
from ...handlers import Json
from ..limits import GitHubError, Request, Response, bearer
from ..model import Target
from ..server import GitHub
from .answers import SETS_PATH, ServiceError, no_such_set, runner_json, with_activity
from .connection import SERVICE_PATH, is_admin_token, tenant
from .jobs import ScaleSetJobs
from .model import ScaleSet
from .sessions import QUEUE_PATH, Poll, Sessions
from .sets import Sets

# How often a poll looks for a message. They are made with each heartbeat.
LOOK_SECS = 0.05
_TENANT = re.compile(rf"{SERVICE_PATH}(?P<tenant>[0-9a-f]+)(?P<path>/.*)")
_SET = rf"{SETS_PATH}/(?P<set>\d+)"
_SESSION = rf"{_SET}/sessions/(?P<session>[0-9a-f-]+)"
_AGENTS = "/_apis/distributedtask/pools/0/agents"
_MESSAGE = rf"{QUEUE_PATH}/(?P<message>\d+)"
_ACQUIRE = f"{_SET}/acquirejobs"
_BY_QUEUE_TOKEN = (QUEUE_PATH, _MESSAGE, _ACQUIRE)
Handler = Callable[["ScaleSetService", "Call"], Response | Poll]


class Call:
    """A request, once it is clear whom it is about."""

    def __init__(self, request: Request, target: Target, match: re.Match[str], url: str) -> None:
        self.request = request
        self.target = target
        self.match = match
        self.url = url

    @property
    def query(self) -> dict[str, str]:
        return self.request.query

    @property
    def body(self) -> Any:
        try:
            return json.loads(self.request.body or b"{}")
        except ValueError as error:
            raise ServiceError(400, "VssRequestContentTypeNotSupportedException", "The body is no JSON.") from error

    @property
    def fields(self) -> Json:
        body = self.body
        if not isinstance(body, dict):
            raise ServiceError(400, "ArgumentNullException", "Value cannot be null.")
        return body

    @property
    def scale_set(self) -> ScaleSet:
        found = self.target.scale_sets.get(int(self.match["set"]))
        if found is None:
            raise no_such_set(int(self.match["set"]))
        return found


class ScaleSetService:
    """All that is below `SERVICE_PATH`."""

    def __init__(self, core: Core, github: GitHub, jobs: ScaleSetJobs) -> None:
        self.core = core
        self.github = github
        self.sets = Sets(core, github, jobs)
        self.sessions = Sessions(core, github, jobs)

    async def handle(self, request: Request, disconnected: Callable[[], Awaitable[Any]]) -> Response | None:
        """The answer; `None` if the client has hung up meanwhile."""
        with self.core.lock:
            found = self._answered(lambda: self._route(request))
        response = await self._wait(found, disconnected) if isinstance(found, Poll) else found
        self._record(request, 0 if response is None else response.status)
        return None if response is None else with_activity(response)

    async def _wait(self, poll: Poll, disconnected: Callable[[], Awaitable[Any]]) -> Response | None:
        gone = asyncio.ensure_future(disconnected())
        try:
            while not gone.done():
                with self.core.lock:
                    found = self._answered(lambda: self.sessions.look(poll) or poll)
                if isinstance(found, Response):
                    return found
                await asyncio.wait({gone}, timeout=LOOK_SECS)
            return None
        finally:
            gone.cancel()
            with self.core.lock:
                self.sessions.end(poll)

    def _answered(self, handle: Callable[[], Response | Poll]) -> Response | Poll:
        try:
            return handle()
        except ServiceError as error:
            return Response(error.status, error.body, {})
        except GitHubError as error:
            return Response(error.status, {"message": str(error)}, error.headers)

    def _route(self, request: Request) -> Response | Poll:
        self.github.strike(request)
        found = _TENANT.fullmatch(request.path)
        target = next((t for t in self.github.targets.values() if found and tenant(t) == found["tenant"]), None)
        if found is None or target is None:
            raise ServiceError(404, "", "Not Found")
        url = self.github.scale_sets_url(target).removesuffix("/")
        for method, pattern, handler in ROUTES:
            if method == request.method and (match := re.fullmatch(pattern, found["path"])):
                if pattern not in _BY_QUEUE_TOKEN:
                    self._check(request, target)
                return handler(self, Call(request, target, match, url))
        raise ServiceError(404, "", "Not Found")

    def _check(self, request: Request, target: Target) -> None:
        if not is_admin_token(bearer(request), target):
            raise ServiceError(401, "", "The token is not valid.")
        if "api-version" not in request.query:
            raise ServiceError(
                400,
                "VssVersionNotSpecifiedException",
                f'No api-version was supplied for the "{request.method}" request. The version must be supplied '
                'either as part of the Accept header or as a query parameter (e.g. "?api-version=1.0").',
            )

    def _record(self, request: Request, status: int) -> None:
        found = _TENANT.fullmatch(request.path)
        self.core.journal.call(
            service="scale-sets",
            operation=f"{request.method} {found['path'] if found else request.path}",
            write=request.method != "GET",
            caller=request.caller,
            status=status,
            user_agent=request.headers.get("user-agent", ""),
        )

    # One method per route.

    def list_groups(self, call: Call) -> Response:
        return self.sets.groups(call.target, call.query.get("groupName"))

    def list_sets(self, call: Call) -> Response:
        return self.sets.list(call.target, call.query, call.url)

    def create_set(self, call: Call) -> Response:
        return self.sets.create(call.target, call.fields, call.url)

    def get_set(self, call: Call) -> Response:
        return self.sets.get(call.target, call.scale_set, call.url)

    def change_set(self, call: Call) -> Response:
        return self.sets.change(call.target, call.scale_set, call.fields, call.url)

    def delete_set(self, call: Call) -> Response:
        return self.sets.delete(call.target, call.scale_set)

    def generate_jit_config(self, call: Call) -> Response:
        return self.sets.generate_jit_config(call.target, call.scale_set, call.fields)

    def list_agents(self, call: Call) -> Response:
        return self.sets.agents(call.target, call.query.get("agentName"))

    def get_agent(self, call: Call) -> Response:
        return Response(200, runner_json(self.sets.agent(call.target, int(call.match["agent"]))), {})

    def delete_agent(self, call: Call) -> Response:
        return self.sets.delete_agent(call.target, int(call.match["agent"]))

    def open_session(self, call: Call) -> Response:
        return self.sessions.open(call.target, call.scale_set, call.fields, call.url)

    def renew_session(self, call: Call) -> Response:
        return self.sessions.renew(call.target, call.scale_set, call.match["session"], call.url)

    def close_session(self, call: Call) -> Response:
        return self.sessions.close(call.scale_set, call.match["session"])

    def acquire_jobs(self, call: Call) -> Response:
        return self.sessions.acquire_jobs(call.scale_set, call.request, call.body)

    def poll(self, call: Call) -> Poll:
        return self.sessions.begin(call.target, call.request)

    def acknowledge(self, call: Call) -> Response:
        return self.sessions.acknowledge(call.target, call.request, int(call.match["message"]))


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/_apis/runtime/runnergroups/?", ScaleSetService.list_groups),
    ("GET", SETS_PATH, ScaleSetService.list_sets),
    ("POST", SETS_PATH, ScaleSetService.create_set),
    ("GET", _SET, ScaleSetService.get_set),
    ("PATCH", _SET, ScaleSetService.change_set),
    ("DELETE", _SET, ScaleSetService.delete_set),
    ("POST", f"{_SET}/generatejitconfig", ScaleSetService.generate_jit_config),
    ("POST", f"{_SET}/sessions", ScaleSetService.open_session),
    ("PATCH", _SESSION, ScaleSetService.renew_session),
    ("DELETE", _SESSION, ScaleSetService.close_session),
    ("POST", _ACQUIRE, ScaleSetService.acquire_jobs),
    ("GET", _AGENTS, ScaleSetService.list_agents),
    ("GET", rf"{_AGENTS}/(?P<agent>\d+)", ScaleSetService.get_agent),
    ("DELETE", rf"{_AGENTS}/(?P<agent>\d+)", ScaleSetService.delete_agent),
    ("GET", QUEUE_PATH, ScaleSetService.poll),
    ("DELETE", _MESSAGE, ScaleSetService.acknowledge),
)
