"""Who may call, how often: credentials, headers that GitHub asks for, and both rate limits.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..handlers import Json
from .model import Token

HOUR = 3600
MINUTE = 60
API_VERSIONS = ("2022-11-28", "2026-03-10")
_DOCS = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Request:
    """A call below the API's base path. Header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    caller: str
    """`runner` for a simulated container, `client` for a test's own call, `function` for all others."""


@dataclass(frozen=True)
class Response:
    status: int
    body: Json | None
    headers: dict[str, str]


class GitHubError(Exception):
    """An error response of GitHub."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None, docs: str = _DOCS) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body = {"message": message, "documentation_url": docs, "status": str(status)}


def check_headers(request: Request) -> None:
    if not request.headers.get("user-agent"):
        raise GitHubError(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent "
            "header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required)."
            " Check https://developer.github.com for other possible causes.",
        )
    version = request.headers.get("x-github-api-version")
    if version and version not in API_VERSIONS:
        raise GitHubError(410, f"The requested API version, {version}, is not supported.")


def bearer(request: Request) -> str | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() in ("bearer", "token") and value else None


def count_primary(token: Token, limit: int, now: float) -> dict[str, str]:
    """One request against the hourly budget. Returns the headers of every response."""
    if now - token.window_started >= HOUR:
        token.window_started, token.used = now, 0
    exhausted = token.used >= limit
    token.used += not exhausted
    headers = {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(limit - token.used),
        "x-ratelimit-used": str(token.used),
        "x-ratelimit-reset": str(int(token.window_started + HOUR)),
        "x-ratelimit-resource": "core",
    }
    if exhausted:
        raise GitHubError(403, "API rate limit exceeded for user ID 1.", headers)
    return headers


def count_secondary(token: Token, method: str, points_per_minute: int, now: float) -> None:
    """GET costs 1 point, everything else 5; rejected calls cost as well."""
    token.points = [(at, cost) for at, cost in token.points if now - at < MINUTE]
    cost = 1 if method in ("GET", "HEAD", "OPTIONS") else 5
    spent = sum(item[1] for item in token.points)
    token.points.append((now, cost))
    if spent + cost > points_per_minute:
        oldest = token.points[0][0]
        raise GitHubError(
            403,
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            {"retry-after": str(max(1, int(oldest + MINUTE - now) + 1))},
        )


def now() -> float:
    return time.time()
