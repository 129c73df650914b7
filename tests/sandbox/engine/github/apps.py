"""Signing in as a GitHub App: a JSON Web Token, an installation, an installation token.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import jwt

from ..handlers import Json
from .limits import GitHubError
from .model import App, Token

LONGEST_LIFE = 600
# Clocks differ: GitHub allows a little.
CLOCK_DRIFT = 60
TOKEN_LIFE = 3600
_BAD = "A JSON web token could not be decoded"


def app_of(apps: dict[str, App], token: str | None, now: float) -> App:
    """The App that signed this JSON Web Token."""
    if not token:
        raise GitHubError(401, _BAD)
    try:
        issuer = str(jwt.decode(token, options={"verify_signature": False}).get("iss"))
        app = apps.get(issuer)
        if app is None:
            raise GitHubError(404, "Integration not found")
        claims = jwt.decode(
            token, app.public_key, algorithms=["RS256"], options={"verify_iss": False, "require": ["iat", "exp"]}
        )
    except jwt.ExpiredSignatureError as error:
        raise GitHubError(
            401,
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at "
            "which the assertion expires",
        ) from error
    except jwt.PyJWTError as error:
        raise GitHubError(401, _BAD) from error
    if claims["exp"] > now + LONGEST_LIFE + CLOCK_DRIFT:
        raise GitHubError(401, "'Expiration time' claim ('exp') is too far in the future")
    if claims["iat"] > now + CLOCK_DRIFT:
        raise GitHubError(
            401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        )
    return app


def installation(app: App, target: str, now: float) -> Json:
    """The App's installation on this organization, repository, user or enterprise.

    GitHub accepts a name in any spelling, and returns the account's own:
    https://docs.github.com/en/rest/apps/apps#get-an-organization-installation-for-the-authenticated-app
    """
    kind, name = target.lower().split("/")[:2]
    # A repository is in the installation of its owner, an organization or a user.
    wanted = (f"orgs/{name}", f"users/{name}", target.lower()) if kind == "repos" else (target.lower(),)
    for number, key in app.accounts.items():
        owner = key.split("/")[1]
        if key.lower() in wanted:
            return installation_json(app, number, owner, now)
    raise GitHubError(404, "Not Found")


def new_token(app: App, number: int, now: float) -> Token:
    template = app.installations.get(number)
    if template is None:
        raise GitHubError(404, "Not Found")
    # Newer installation tokens are longer than 40 characters and carry the App's id.
    value = f"ghs_{app.id}_{secrets.token_hex(60)}"
    return Token(value=value, kind="installation", grants=dict(template.grants), expires_at=now + TOKEN_LIFE)


def installation_json(app: App, number: int, owner: str, now: float) -> Json:
    moment = utc(now)
    kind = {"enterprises": "Enterprise", "users": "User"}.get(app.accounts[number].split("/")[0], "Organization")
    return {
        "id": number,
        "account": enterprise_json(owner, moment) if kind == "Enterprise" else account_json(owner, kind),
        "access_tokens_url": f"https://github.example/api/v3/app/installations/{number}/access_tokens",
        "repositories_url": "https://github.example/api/v3/installation/repositories",
        "html_url": f"https://github.example/organizations/{owner}/settings/installations/{number}",
        "app_id": int(app.id),
        "client_id": f"Iv1.{app.id}",
        "target_id": 1,
        "target_type": kind,
        "permissions": permissions(app.installations[number]),
        "events": [],
        "created_at": moment,
        "updated_at": moment,
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "app_slug": f"app-{app.id}",
        "suspended_by": None,
        "suspended_at": None,
        "repository_selection": "all",
    }


def app_json(app: App, now: float) -> Json:
    return {
        "id": int(app.id),
        "slug": f"app-{app.id}",
        "client_id": f"Iv1.{app.id}",
        "node_id": "MDM6QXBw",
        "owner": account_json("acme", "Organization"),
        "name": f"App {app.id}",
        "description": "An App of the sandbox",
        "external_url": "https://github.example",
        "html_url": f"https://github.example/apps/app-{app.id}",
        "created_at": utc(now),
        "updated_at": utc(now),
        "permissions": {"metadata": "read"},
        "events": [],
        "installations_count": len(app.installations),
    }


def permissions(token: Token) -> dict[str, str]:
    found = {"metadata": "read"}
    for key, level in token.grants.items():
        found["administration" if key.startswith("repos/") else "organization_self_hosted_runners"] = level
    return found


def account_json(login: str, kind: str) -> Json:
    base = f"https://github.example/api/v3/users/{login}"
    paths = (
        "followers",
        "following",
        "gists",
        "starred",
        "subscriptions",
        "organizations",
        "repos",
        "events",
        "received_events",
    )
    return {
        "login": login,
        "id": 1,
        "node_id": "MDQ6VXNlcjE=",
        "avatar_url": "https://github.example/avatar.png",
        "gravatar_id": "",
        "url": base,
        "html_url": f"https://github.example/{login}",
        **{f"{path}_url": f"{base}/{path}" for path in paths},
        "type": kind,
        "site_admin": False,
    }


def enterprise_json(slug: str, moment: str) -> Json:
    return {
        "id": 1,
        "node_id": "MDEwOkVudGVycHJpc2Ux",
        "name": slug,
        "slug": slug,
        "html_url": f"https://github.example/enterprises/{slug}",
        "created_at": moment,
        "updated_at": moment,
        "avatar_url": "https://github.example/avatar.png",
    }


def utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
