"""What the image `myoung34/github-runner` does inside a task, without a container.

The image's entrypoint reads its environment, fetches a registration token, configures the runner with `--replace`,
runs the listener and deregisters when it ends: https://github.com/myoung34/docker-github-actions-runner
"""

from __future__ import annotations

import secrets
import string
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import jwt

from .core import Core
from .ecs import logs
from .ecs.engine import Ecs
from .ecs.model import Task
from .ecs.secrets import MissingSecretError, environment
from .github.limits import Request
from .github.limits import now as _clock
from .github.model import Job, Runner
from .github.server import GitHub
from .jobs import Jobs

IMAGE_MARK = "github-runner"
SUFFIX_LENGTH = 13
LONGEST_NAME = 64
SHORT_ID = 12


class RunnerConfigError(Exception):
    """The entrypoint's configuration fails; the text is what its log would say."""


@dataclass
class Container:
    """One running copy of the image."""

    task: Task
    env: dict[str, str]
    phase: str = "configuring"
    due: float = 0.0
    runner_id: int | None = None
    record: Runner | None = None
    gone_since: float | None = None
    job: Job | None = None
    """The job that the listener has said to run."""
    log: list[str] = field(default_factory=list)


class Runners:
    """All containers. Implements what ECS expects of a container runtime; callers hold the core's lock."""

    def __init__(self, core: Core, ecs: Ecs, github: GitHub, jobs: Jobs) -> None:
        self.core = core
        self.ecs = ecs
        self.github = github
        self.jobs = jobs
        self.containers: dict[str, Container] = {}
        ecs.containers = self

    def start(self, task: Task) -> None:
        if IMAGE_MARK not in task.definition["containerDefinitions"][0]["image"]:
            return
        try:
            env = environment(task.definition)
        except MissingSecretError:
            env = {}
        due = (task.started_at or 0) + self.core.pace.runner_configure
        self.containers[task.arn] = Container(task, env, due=due)
        logs.open_stream(task)

    def terminate(self, task: Task, now: float) -> None:
        """SIGTERM reaches listener and job at once: the job is cancelled, then the entrypoint deregisters."""
        container = self.containers.pop(task.arn, None)
        if container is None:
            return
        task.exit_code = 1
        if container.record is None:
            return
        self._lose_job(container, f"its task was stopped: {task.stopped_reason}", now)
        container.record.connected = False
        container.record.disconnected_at = now
        if self._deregisters(container):
            self._remove(container, "deregistered on SIGTERM")

    def kill(self, task: Task, now: float) -> None:
        """The machine is gone: the runner stays registered, and GitHub marks it offline late."""
        container = self.containers.pop(task.arn, None)
        record = container.record if container else None
        if record is None or container is None:
            return
        if record.is_busy(now):
            record.lease_until = now + self.core.pace.job_lease
        self._lose_job(container, f"its machine ended: {task.stopped_reason}", now)
        record.connected = False
        record.disconnected_at = now
        self.core.journal.event("runner", "left behind", runner=record.name)

    def step(self, now: float) -> None:
        for container in list(self.containers.values()):
            if container.phase == "configuring" and now >= container.due:
                self._configure(container, now)
            elif container.phase == "connecting" and now >= container.due:
                self._connect(container, now)
            elif container.phase == "listening":
                self._listen(container, now)

    def _configure(self, container: Container, now: float) -> None:
        try:
            if self.core.faults.runners == "crash":
                raise RunnerConfigError("a fault of the sandbox")
            self._register(container)
        except RunnerConfigError as problem:
            container.log.append(str(problem))
            self.core.journal.event("runner", "cannot configure", task=container.task.id, reason=str(problem))
            self._exit(container, 1)
            return
        container.phase, container.due = "connecting", now + self.core.pace.runner_connect

    def _connect(self, container: Container, now: float) -> None:
        record = self._registration(container)
        if record is None:
            # "The runner registration has been deleted from the server, please re-configure."
            self._end(container, 1)
        elif self.core.faults.runners != "offline":
            record.connected, container.phase = True, "listening"
            self._print(container, "Listening for Jobs")
            self.core.journal.event("runner", "online", runner=record.name, task=container.task.id)
        else:
            container.due = now + self.core.pace.runner_connect

    def _listen(self, container: Container, now: float) -> None:
        record = container.record
        if record is None:
            return
        self._follow(container, record)
        if self._registration(container) is None:
            container.gone_since = container.gone_since or now
            runs = record.job is not None and record.job.state == "running"
            if runs and self.core.faults.jobs_of_deleted_runners == "live on":
                if self.jobs.due(record, now):
                    self.jobs.succeed(record, now)
                    self._follow(container, record)
            elif now - container.gone_since >= self.core.pace.runner_poll:
                self._lose_job(container, "its registration was deleted", now)
                self._follow(container, record)
                self._end(container, 0)
        elif self.jobs.due(record, now):
            self.jobs.succeed(record, now)
            self._follow(container, record)
            if record.ephemeral:
                record.connected = False
                self._remove(container, "deregistered after its job")
                self._end(container, 0)

    def _follow(self, container: Container, record: Runner) -> None:
        """The listener says which job it runs, and how it ended.

        https://github.com/actions/runner/blob/main/src/Runner.Listener/JobDispatcher.cs
        """
        running = record.job if record.job is not None and record.job.state == "running" else None
        if container.job is not None and container.job is not running:
            result = "Succeeded" if container.job.state == "succeeded" else "Canceled"
            self._print(container, f"Job build ({container.job.id}) completed with result: {result}")
        if running is not None and container.job is not running:
            self._print(container, f"Running job: build ({running.id})")
        container.job = running

    def _print(self, container: Container, words: str) -> None:
        logs.write(container.task, f"{time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())}: {words}")

    def _register(self, container: Container) -> None:
        """`config.sh --unattended --replace`."""
        env = container.env
        self._check_host(env)
        target_key = _target_of(env)
        token = self._registration_token(env, target_key)
        key, expires_at = self.github.registration_tokens.get(token, ("", 0.0))
        if key != target_key.lower() or expires_at < (container.task.started_at or 0):
            raise RunnerConfigError("Invalid configuration provided for token. Terminating unattended configuration.")
        target = self.github.targets[key]
        group_name = env.get("RUNNER_GROUP") or "Default"
        # Whether a runner of an organization can join a group of its enterprise no page says. The harsher reading.
        own = [group for group in target.groups.values() if not group.inherited]
        group = next((g for g in own if g.name.lower() == group_name.lower()), None)
        if group is None:
            raise RunnerConfigError(f"Could not find any self-hosted runner group named '{group_name}'.")
        name = _name(env, container.task.runtime_id or "")
        if len(name) > LONGEST_NAME:
            raise RunnerConfigError(f"The runner name '{name}' is longer than {LONGEST_NAME} characters.")
        labels = [label.strip() for label in _labels(env).split(",") if label.strip()]
        for old in [r for r in target.runners.values() if r.name == name]:
            self.github.remove(target, old, "replaced")
        record = Runner(
            id=self.github.new_id(),
            name=name,
            labels=labels,
            group_id=group.id,
            ephemeral=bool(env.get("EPHEMERAL")),
            no_default_labels=bool(env.get("NO_DEFAULT_LABELS")),
        )
        target.runners[record.id] = record
        container.runner_id, container.record = record.id, record
        self.core.journal.event(
            "runner", "registered", runner=name, target=target.key, labels=record.all_labels, task=container.task.id
        )

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

    def _registration_token(self, env: dict[str, str], target_key: str) -> str:
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

    def _deregisters(self, container: Container) -> bool:
        """The exit trap: one more registration token, then `config.sh remove`."""
        env = container.env
        if env.get("DISABLE_AUTOMATIC_DEREGISTRATION", "false") != "false" or env.get("UNSET_CONFIG_VARS") == "true":
            return False
        try:
            return bool(self._registration_token(env, _target_of(env)))
        except RunnerConfigError:
            return False

    def _end(self, container: Container, exit_code: int) -> None:
        if self._deregisters(container):
            self._remove(container, "deregistered on exit")
        self._exit(container, exit_code)

    def _exit(self, container: Container, exit_code: int) -> None:
        self.containers.pop(container.task.arn, None)
        if container.record is not None:
            container.record.connected = False
            container.record.disconnected_at = _clock()
        self.core.journal.event(
            "runner",
            "exited",
            runner=container.record.name if container.record else None,
            task=container.task.id,
            exit_code=exit_code,
        )
        self.ecs.container_exited(container.task.arn, exit_code)

    def _registration(self, container: Container) -> Runner | None:
        found = self.github.runner(container.runner_id or 0)
        return found[1] if found else None

    def _remove(self, container: Container, how: str) -> None:
        found = self.github.runner(container.runner_id or 0)
        if found:
            self.github.remove(*found, how)

    def _lose_job(self, container: Container, why: str, now: float) -> None:
        if container.record is not None:
            self.jobs.lose(container.record, why, now)


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
