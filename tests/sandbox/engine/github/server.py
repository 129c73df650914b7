"""The REST API: routes, permissions, pages."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from ..core import Core, consume_fault
from ..handlers import Json
from . import apps, just_in_time
from .limits import GitHubError, Request, Response, bearer, check_headers, count_primary, count_secondary
from .limits import now as clock
from .model import App, Job, Runner, RunnerGroup, Target, Token
from .scale_sets.connection import SERVICE_PATH, new_admin_token, target_of_registration, tenant

DEFAULT_PAGE = 30
LARGEST_PAGE = 100
REGISTRATION_LIFE = 3600
_TARGET = r"(?P<target>orgs/[^/]+|repos/[^/]+/[^/]+|enterprises/[^/]+)"
Handler = Callable[["GitHub", Request, re.Match[str]], Response]


class GitHub:
    """The state of the local GitHub. Callers hold the core's lock."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.base_url = ""
        self.targets: dict[str, Target] = {}
        self.tokens: dict[str, Token] = {}
        self.apps: dict[str, App] = {}
        self.registration_tokens: dict[str, tuple[str, float]] = {}
        self.jobs: dict[int, Job] = {}
        self.planted: set[str] = set()
        """Every credential there ever was, revoked ones too: none may show up in a log."""
        self.next_id = 1000

    # State, for tests and for the simulated runners.

    def target(self, key: str) -> Target:
        """Creates it on first mention: tests name what they need."""
        kind, _, name = key.partition("/")
        return self.targets.setdefault(key.lower(), Target(kind, name))

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def put_token(self, token: Token) -> None:
        self.tokens[token.value] = token
        self.planted.add(token.value)

    def runner(self, runner_id: int) -> tuple[Target, Runner] | None:
        for target in self.targets.values():
            if runner_id in target.runners:
                return target, target.runners[runner_id]
        return None

    def find_runner(self, name: str) -> tuple[Target, Runner] | None:
        for target in self.targets.values():
            for runner in target.runners.values():
                if runner.name == name:
                    return target, runner
        return None

    def new_registration_token(self, target: Target, life: float = REGISTRATION_LIFE) -> str:
        token = "A" + secrets.token_hex(14).upper()
        self.planted.add(token)
        self.registration_tokens[token] = (target.key.lower(), clock() + life)
        return token

    def new_admin_token(self, target: Target, life: float) -> str:
        token = new_admin_token(target, life)
        self.planted.add(token)
        return token

    def scale_sets_url(self, target: Target) -> str:
        place = urlsplit(self.base_url)
        return f"{place.scheme}://{place.netloc}{SERVICE_PATH}{tenant(target)}/"

    def remove(self, target: Target, runner: Runner, how: str) -> None:
        target.runners.pop(runner.id, None)
        self.core.journal.event("runner", how, runner=runner.name, target=target.key)

    # The API.

    def handle(self, request: Request) -> Response:
        """Handles a call, and records the exchange."""
        with self.core.lock:
            try:
                limits = self._admit(request)
                response = self._route(request)
                response = Response(response.status, response.body, {**limits, **response.headers})
            except GitHubError as error:
                response = Response(error.status, error.body, error.headers)
            self._record(request, response)
            return response

    def strike(self, request: Request) -> None:
        """The response that a test has forced on such a request, if any."""
        faults = self.core.faults.github
        for fault in [faults] if isinstance(faults, dict) else faults:
            if fault and _matches(fault, request) and consume_fault(fault):
                raise GitHubError(int(fault["status"]), fault.get("message", "Sandbox fault"), fault.get("headers"))

    def _admit(self, request: Request) -> dict[str, str]:
        self.strike(request)
        check_headers(request)
        value = bearer(request)
        if value is None or value.count(".") == 2:
            # No credential, or an App's JSON Web Token: the route decides.
            return {}
        token = self.tokens.get(value)
        if token is None or (token.expires_at is not None and token.expires_at < clock()):
            raise GitHubError(401, "Bad credentials")
        if request.path == "/rate_limit":
            return {}
        headers = count_primary(token, self.core.settings.hourly_requests, clock())
        try:
            count_secondary(token, request.method, self.core.settings.points_per_minute, clock())
        except GitHubError as error:
            self.core.journal.event("github", "throttled", method=request.method, path=request.path)
            error.headers.update(headers)
            raise
        return headers

    def _route(self, request: Request) -> Response:
        known = False
        for method, pattern, handler in ROUTES:
            if match := pattern.fullmatch(request.path):
                known = True
                if method == request.method:
                    return handler(self, request, match)
        raise GitHubError(405 if known else 404, "Method Not Allowed" if known else "Not Found")

    def _record(self, request: Request, response: Response) -> None:
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        if "authorization" in request.headers:
            headers["authorization"] = request.headers["authorization"].split(" ")[0] + " <redacted>"
        self.core.journal.call(
            service="github",
            operation=f"{request.method} {request.path}",
            write=request.method not in ("GET", "HEAD"),
            caller=request.caller,
            status=response.status,
            user_agent=request.headers.get("user-agent", ""),
        )
        self.core.journal.exchange(
            {
                "caller": request.caller,
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "headers": headers,
                "body": request.body.decode("utf-8", errors="replace"),
                "status": response.status,
                "response_headers": response.headers,
                "response_body": response.body,
            }
        )

    def _authorized(self, request: Request, target_key: str, level: str) -> Target:
        """The target, if the token may; 404 hides what a token has no part in, 403 says which right is missing."""
        value = bearer(request)
        if value is None:
            raise GitHubError(401, "Requires authentication")
        token = self.tokens.get(value)
        if token is None:
            raise GitHubError(401, "Bad credentials")
        key = target_key.lower()
        granted = {name.lower(): right for name, right in token.grants.items()}
        right = granted.get(key)
        if right is None and key.startswith("repos/"):
            # An organization's grant carries to its repositories only where a test says so.
            right = granted.get(f"repos/{key.split('/')[1]}/*")
        if key not in self.targets or right is None:
            raise GitHubError(404, "Not Found")
        if right == "none" or (level == "write" and right != "write"):
            noun = "integration" if token.kind == "installation" else "personal access token"
            permission = "administration" if key.startswith("repos/") else "organization_self_hosted_runners"
            raise GitHubError(
                403, f"Resource not accessible by {noun}", {"x-accepted-github-permissions": f"{permission}={level}"}
            )
        return self.targets[key]

    def _page(self, request: Request, items: list[Any], key: str) -> Response:
        size = max(1, min(int(request.query.get("per_page") or DEFAULT_PAGE), LARGEST_PAGE))
        page = max(1, int(request.query.get("page") or 1))
        last = max(1, -(-len(items) // size))
        links = []
        if page < last:
            links += [(page + 1, "next"), (last, "last")]
        if page > 1:
            links += [(page - 1, "prev"), (1, "first")]
        headers = {}
        if links:
            headers["link"] = ", ".join(
                f'<{self.base_url}{request.path}?{urlencode({**request.query, "page": number})}>; rel="{relation}"'
                for number, relation in links
            )
        return Response(200, {"total_count": len(items), key: items[(page - 1) * size : page * size]}, headers)

    def _to_json(self, runner: Runner) -> Json:
        return runner.to_json(clock(), self.core.faults.busy_lag, self.core.pace.offline_after)

    # One method per route.

    def list_runners(self, request: Request, match: re.Match[str]) -> Response:
        target = self._authorized(request, match["target"], "read")
        name = request.query.get("name")
        found = [r for r in target.runners.values() if not name or r.name == name]
        return self._page(request, [self._to_json(runner) for runner in found], "runners")

    def get_runner(self, request: Request, match: re.Match[str]) -> Response:
        target = self._authorized(request, match["target"], "read")
        runner = target.runners.get(int(match["id"]))
        if runner is None:
            raise GitHubError(404, "Not Found")
        return Response(200, self._to_json(runner), {})

    def delete_runner(self, request: Request, match: re.Match[str]) -> Response:
        target = self._authorized(request, match["target"], "write")
        runner = target.runners.get(int(match["id"]))
        if runner is None:
            raise GitHubError(404, "Not Found")
        if runner.is_reported_busy(clock(), self.core.faults.busy_lag):
            raise GitHubError(422, f'Runner "{runner.name}" is currently running a job and cannot be deleted.')
        self.remove(target, runner, "deleted by request")
        return Response(204, None, {})

    def registration_token(self, request: Request, match: re.Match[str]) -> Response:
        target = self._authorized(request, match["target"], "write")
        token = self.new_registration_token(target)
        return Response(201, {"token": token, "expires_at": apps.utc(clock() + REGISTRATION_LIFE)}, {})

    def runner_registration(self, request: Request, _: re.Match[str]) -> Response:
        """The way into the scale-set service."""
        key = target_of_registration(request, urlsplit(self.base_url).netloc, self.registration_tokens)
        token = self.new_admin_token(self.targets[key], self.core.pace.admin_token_life)
        return Response(200, {"url": self.scale_sets_url(self.targets[key]), "token": token}, {})

    def generate_jit_config(self, request: Request, match: re.Match[str]) -> Response:
        """A runner that is registered before it runs, for one job, and what its listener needs."""
        if self.core.faults.just_in_time == "absent":
            raise GitHubError(404, "Not Found")
        target = self._authorized(request, match["target"], "write")
        asked = just_in_time.parsed(request.body, target)
        if any(runner.name == asked.name for runner in target.runners.values()):
            raise GitHubError(409, f"Already exists - A runner with the name {asked.name} already exists.")
        runner = asked.runner(self.new_id())
        target.runners[runner.id] = runner
        encoded, secret_files = just_in_time.configuration(runner, asked.work_folder, self.base_url)
        self.planted.update({encoded, *secret_files})
        self.core.journal.event("runner", "configured just in time", runner=runner.name, target=target.key)
        return Response(201, {"runner": self._to_json(runner), "encoded_jit_config": encoded}, {})

    def list_groups(self, request: Request, match: re.Match[str]) -> Response:
        target = self._authorized(request, match["target"], "read")
        if target.kind == "repos":
            raise GitHubError(404, "Not Found")
        return self._page(request, [self._group_json(target, g) for g in target.groups.values()], "runner_groups")

    def get_group(self, request: Request, match: re.Match[str]) -> Response:
        target, group = self._group(request, match)
        return Response(200, self._group_json(target, group), {})

    def list_group_runners(self, request: Request, match: re.Match[str]) -> Response:
        target, group = self._group(request, match)
        found = [self._to_json(r) for r in target.runners.values() if r.group_id == group.id]
        return self._page(request, found, "runners")

    def rate_limit(self, request: Request, _: re.Match[str]) -> Response:
        token = self.tokens.get(bearer(request) or "")
        limit = self.core.settings.hourly_requests
        used = token.used if token else 0
        core = {"limit": limit, "used": used, "remaining": limit - used, "reset": int(clock()) + 3600}
        registration = {"limit": 10000, "used": 0, "remaining": 10000, "reset": int(clock()) + 3600}
        resources = {"core": core, "search": core, "actions_runner_registration": registration}
        body: Json = {"resources": resources, "rate": core}
        return Response(200, body, {})

    def get_app(self, request: Request, _: re.Match[str]) -> Response:
        return Response(200, apps.app_json(apps.app_of(self.apps, bearer(request), clock()), clock()), {})

    def get_installation(self, request: Request, match: re.Match[str]) -> Response:
        app = apps.app_of(self.apps, bearer(request), clock())
        return Response(200, apps.installation(app, match["target"], clock()), {})

    def list_installations(self, request: Request, _: re.Match[str]) -> Response:
        """A plain list, 30 of them unless `per_page` says otherwise.

        https://docs.github.com/en/rest/apps/apps#list-installations-for-the-authenticated-app
        """
        app = apps.app_of(self.apps, bearer(request), clock())
        found = [apps.installation_json(app, n, key.split("/")[1], clock()) for n, key in app.accounts.items()]
        page = self._page(request, found, "installations")
        return Response(200, page.body["installations"], page.headers)  # type: ignore[index, arg-type]

    def new_installation_token(self, request: Request, match: re.Match[str]) -> Response:
        app = apps.app_of(self.apps, bearer(request), clock())
        token = apps.new_token(app, int(match["id"]), clock())
        if request.body:
            wanted = (json.loads(request.body).get("permissions") or {}).items()
            if any(apps.permissions(token).get(name) not in (level, "write") for name, level in wanted):
                raise GitHubError(422, "The permissions requested are not granted to this installation.")
        self.put_token(token)
        body = {
            "token": token.value,
            "expires_at": apps.utc(token.expires_at or 0),
            "permissions": apps.permissions(token),
            "repository_selection": "all",
        }
        return Response(201, body, {})

    def revoke_token(self, request: Request, _: re.Match[str]) -> Response:
        self.tokens.pop(bearer(request) or "", None)
        return Response(204, None, {})

    def _group(self, request: Request, match: re.Match[str]) -> tuple[Target, RunnerGroup]:
        target = self._authorized(request, match["target"], "read")
        group = target.groups.get(int(match["id"]))
        if group is None or target.kind == "repos":
            raise GitHubError(404, "Not Found")
        return target, group

    def _group_json(self, target: Target, group: RunnerGroup) -> Json:
        url = f"{self.base_url}/{target.key}/actions/runner-groups/{group.id}"
        body: Json = {
            "id": group.id,
            "name": group.name,
            "visibility": "all",
            "default": group.id == 1,
            "runners_url": f"{url}/runners",
            "allows_public_repositories": False,
            "restricted_to_workflows": False,
            "selected_workflows": [],
            "workflow_restrictions_read_only": False,
        }
        if target.kind == "orgs":
            body["inherited"] = group.inherited
            body["selected_repositories_url"] = f"{url}/repositories"
        else:
            body["selected_organizations_url"] = f"{url}/organizations"
        return body


def _matches(fault: Json, request: Request) -> bool:
    return (
        fault.get("method", request.method) == request.method
        and fault.get("path", "") in request.path
        and fault.get("caller", request.caller) == request.caller
    )


def _routes(*rows: tuple[str, str, Handler]) -> list[tuple[str, re.Pattern[str], Handler]]:
    return [(method, re.compile(pattern), handler) for method, pattern, handler in rows]


ROUTES = _routes(
    ("GET", f"/{_TARGET}/actions/runners", GitHub.list_runners),
    ("GET", rf"/{_TARGET}/actions/runners/(?P<id>\d+)", GitHub.get_runner),
    ("DELETE", rf"/{_TARGET}/actions/runners/(?P<id>\d+)", GitHub.delete_runner),
    ("POST", f"/{_TARGET}/actions/runners/registration-token", GitHub.registration_token),
    ("POST", f"/{_TARGET}/actions/runners/remove-token", GitHub.registration_token),
    ("POST", f"/{_TARGET}/actions/runners/generate-jitconfig", GitHub.generate_jit_config),
    ("GET", f"/{_TARGET}/actions/runner-groups", GitHub.list_groups),
    ("GET", rf"/{_TARGET}/actions/runner-groups/(?P<id>\d+)", GitHub.get_group),
    ("GET", rf"/{_TARGET}/actions/runner-groups/(?P<id>\d+)/runners", GitHub.list_group_runners),
    ("POST", "/actions/runner-registration", GitHub.runner_registration),
    ("GET", "/rate_limit", GitHub.rate_limit),
    ("GET", "/app", GitHub.get_app),
    ("GET", "/app/installations", GitHub.list_installations),
    ("GET", f"/{_TARGET}/installation", GitHub.get_installation),
    ("GET", "/(?P<target>users/[^/]+)/installation", GitHub.get_installation),
    ("POST", r"/app/installations/(?P<id>\d+)/access_tokens", GitHub.new_installation_token),
    ("DELETE", "/installation/token", GitHub.revoke_token),
)
