"""The administrator's way into the service: a registration token is exchanged for its address and a token.

https://github.com/actions/scaleset/blob/main/client.go
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from urllib.parse import urlsplit

import jwt

from ...handlers import Json
from ..limits import GitHubError, Request
from ..model import Target, target_of_url

SERVICE_PATH = "/_services/pipelines/"
_ALGORITHM = "HS256"
_KEY = secrets.token_bytes(32)


def tenant(target: Target) -> str:
    """What stands for the target in the service's addresses."""
    return hashlib.sha256(target.key.lower().encode()).hexdigest()[:24]


def new_admin_token(target: Target, life: float) -> str:
    now = time.time()
    return jwt.encode(
        {"iat": int(now), "exp": int(now + life), "tenant": tenant(target), "jti": secrets.token_hex(8)},
        _KEY,
        _ALGORITHM,
    )


def is_admin_token(token: str | None, target: Target) -> bool:
    try:
        claims = jwt.decode(token or "", _KEY, [_ALGORITHM])
    except jwt.PyJWTError:
        return False
    return bool(claims.get("tenant") == tenant(target))


def target_of_registration(request: Request, host: str, tokens: dict[str, tuple[str, float]]) -> str:
    """The key of the target that a registration token and the URL in the body are good for, or GitHub's error."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key, expires_at = tokens.get(token, ("", 0.0))
    if scheme != "RemoteAuth" or expires_at < time.time():
        raise GitHubError(401, "Bad credentials")
    try:
        given: Json = json.loads(request.body)
        url = urlsplit(str(given["url"]))
    except (ValueError, KeyError, TypeError) as error:
        raise GitHubError(400, "Problems parsing JSON") from error
    if given.get("runner_event") != "register":
        raise GitHubError(422, "Invalid runner_event")
    if url.netloc != host or target_of_url(url.path).lower() != key:
        raise GitHubError(404, "Not Found")
    return key
