"""`config.sh`: how a container becomes a runner of the local GitHub, by itself or by the function's answer.

https://github.com/myoung34/docker-github-actions-runner
https://github.com/actions/runner/blob/main/src/Runner.Listener/Configuration/ConfigurationManager.cs
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from urllib.parse import urlsplit

import jwt

from .github import just_in_time
from .github.limits import Request
from .github.limits import now as _clock
from .github.model import Runner, target_of_url
from .github.server import GitHub
from .handlers import Json

DEFAULT_GROUP = "Default"
SUFFIX_LENGTH = 13
LONGEST_NAME = 64
SHORT_ID = 12


class RunnerConfigError(Exception):
    """The entrypoint's configuration fails; the text is what its log would say."""


@dataclass(frozen=True)
class Configuration:
    """The arguments of `config.sh`."""

    target: str
    token: str
    name: str
    labels: str
    group: str
    ephemeral: bool
    no_default_labels: bool


class Registrar:
    """Registers runners. Callers hold the core's lock."""

    def __init__(self, github: GitHub) -> None:
        self.github = github

    def by_environment(self, env: dict[str, str], runtime_id: str) -> Runner:
        """With a registration token that the image fetches itself."""
        self._check_host(env)
        return self._config_sh(
            Configuration(
                target=_target_of(env),
                token=self.registration_token(env),
                name=_name(env, runtime_id),
                labels=_labels(env),
                group=env.get("RUNNER_GROUP") or DEFAULT_GROUP,
                ephemeral=bool(env.get("EPHEMERAL")),
                no_default_labels=bool(env.get("NO_DEFAULT_LABELS")),
            )
        )

    def by_answer(self, answer: Json) -> Runner:
        """With what the function answered: the files of a just-in-time configuration, or a registration token."""
        if answer["kind"] == "token":
            url = urlsplit(answer["url"])
            if url.netloc != urlsplit(self.github.base_url).netloc:
                raise RunnerConfigError(f"curl: (6) Could not resolve host: {url.netloc}")
            return self._config_sh(
                Configuration(
                    target=target_of_url(url.path),
                    token=answer["token"],
                    name=answer["name"],
                    labels=answer["labels"],
                    group=answer.get("group") or DEFAULT_GROUP,
                    ephemeral=bool(answer["ephemeral"]),
                    no_default_labels=bool(answer["no_default_labels"]),
                )
            )
        found = self.github.runner(just_in_time.agent_id(answer["files"]))
        if found is None or found[1].name != answer["name"]:
            raise RunnerConfigError("Failed to create a session. The runner registration has been deleted.")
        return found[1]

    def registration_token(self, env: dict[str, str]) -> str:
        """What the credential in the environment is good for; empty if for nothing."""
        target_key = _target_of(env)
        app = [env.get(name) for name in ("APP_ID", "APP_PRIVATE_KEY")]
        if any(app) and (env.get("ACCESS_TOKEN") or env.get("RUNNER_TOKEN")):
            raise RunnerConfigError("ACCESS_TOKEN or RUNNER_TOKEN provided but are mutually exclusive with APP_ID")
        credential = env.get("ACCESS_TOKEN")
        if all(app):
            credential = self._installation_token(env, target_key)
        if not credential:
            return env.get("RUNNER_TOKEN") or ""
        response = self._call("POST", f"/{target_key}/actions/runners/registration-token", credential)
        return str(response.get("token") or "")

    def _config_sh(self, given: Configuration) -> Runner:
        """`config.sh --unattended --replace`."""
        key, expires_at = self.github.registration_tokens.get(given.token, ("", 0.0))
        if key != given.target.lower() or expires_at < _clock():
            raise RunnerConfigError("Invalid configuration provided for token. Terminating unattended configuration.")
        target = self.github.targets[key]
        # Whether a runner of an organization can join a group of its enterprise no page says. The harsher reading.
        own = [group for group in target.groups.values() if not group.inherited]
        group = next((g for g in own if g.name.lower() == given.group.lower()), None)
        if group is None:
            raise RunnerConfigError(f"Could not find any self-hosted runner group named '{given.group}'.")
        if len(given.name) > LONGEST_NAME:
            raise RunnerConfigError(f"The runner name '{given.name}' is longer than {LONGEST_NAME} characters.")
        for old in [r for r in target.runners.values() if r.name == given.name]:
            self.github.remove(target, old, "replaced")
        record = Runner(
            id=self.github.new_id(),
            name=given.name,
            labels=[label.strip() for label in given.labels.split(",") if label.strip()],
            group_id=group.id,
            ephemeral=given.ephemeral,
            no_default_labels=given.no_default_labels,
        )
        target.runners[record.id] = record
        return record

    def _check_host(self, env: dict[str, str]) -> None:
        host = _host(env.get("GITHUB_HOST") or "github.com")
        api_host = _host(env.get("GITHUB_API_HOST") or ("api.github.com" if host == "github.com" else host))
        path = env.get("GITHUB_API_PATH") or ("/" if host == "github.com" else "/api/v3")
        ours = urlsplit(self.github.base_url)
        known = {ours.netloc, ours.netloc.replace("127.0.0.1", "localhost")}
        if host not in known or api_host not in known:
            raise RunnerConfigError(f"curl: (6) Could not resolve host: {api_host}")
        if path.rstrip("/") != ours.path:
            raise RunnerConfigError(f"curl: (22) The requested URL returned error: 404 ({path})")

    def _installation_token(self, env: dict[str, str], target_key: str) -> str:
        login = env.get("APP_LOGIN") or ("" if target_key.startswith("enterprises/") else target_key.split("/")[1])
        key = env["APP_PRIVATE_KEY"].replace("\\n", "\n")
        issued = int(_clock())
        try:
            token = jwt.encode({"iat": issued - 60, "exp": issued + 540, "iss": env["APP_ID"]}, key, algorithm="RS256")
        except (ValueError, jwt.PyJWTError) as error:
            raise RunnerConfigError("Could not deserialize the App's private key") from error
        listed = self._call("GET", "/app/installations", token)
        found = [i["id"] for i in listed if i["account"].get("login") == login] if isinstance(listed, list) else []
        if not found:
            raise RunnerConfigError(f"No installation of the App for {login}")
        response = self._call("POST", f"/app/installations/{found[0]}/access_tokens", token)
        return str(response.get("token") or "")

    def _call(self, method: str, path: str, credential: str) -> dict:  # type: ignore[type-arg]
        headers = {"authorization": f"Bearer {credential}", "user-agent": "curl/8.5.0", "accept": "*/*"}
        response = self.github.handle(Request(method, path, {}, headers, b"", "runner"))
        return response.body if response.status < 300 and response.body is not None else {}


def _target_of(env: dict[str, str]) -> str:
    """Where the runner registers, by `RUNNER_SCOPE`."""
    scope = (env.get("RUNNER_SCOPE") or ("org" if env.get("ORG_RUNNER") == "true" else "repo")).lower()
    if scope.startswith("org"):
        return f"orgs/{env.get('ORG_NAME', '')}"
    if scope.startswith("ent"):
        return f"enterprises/{env.get('ENTERPRISE_NAME', '')}"
    return "repos/" + urlsplit(env.get("REPO_URL", "")).path.strip("/")


def _name(env: dict[str, str], runtime_id: str) -> str:
    if env.get("RUNNER_NAME"):
        return env["RUNNER_NAME"]
    prefix = env.get("RUNNER_NAME_PREFIX", "github-runner")
    if env.get("RANDOM_RUNNER_SUFFIX", "true") == "true":
        suffix = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(SUFFIX_LENGTH))
        return f"{prefix or 'github-runner'}-{suffix}"
    return f"{prefix}-{runtime_id[:SHORT_ID]}" if prefix else runtime_id[:SHORT_ID]


def _labels(env: dict[str, str]) -> str:
    return env.get("RUNNER_LABELS") or env.get("LABELS") or "default"


def _host(value: str) -> str:
    return value.split("://")[-1].rstrip("/")
