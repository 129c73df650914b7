"""What the image `myoung34/github-runner` does inside a task, without a container.

The image's entrypoint reads its environment, fetches a registration token, configures the runner with `--replace`,
runs the listener and deregisters when it ends: https://github.com/myoung34/docker-github-actions-runner
A task definition with an entry point of its own and REGISTRATIONS_TABLE has the container ask the function for its
registration first. Then there is no credential in it, and it does not deregister.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .config_sh import Registrar, RunnerConfigError
from .core import Core
from .ecs import logs
from .ecs.engine import Ecs
from .ecs.model import Task
from .ecs.secrets import MissingSecretError, environment
from .github.limits import now as _clock
from .github.model import Job, Runner
from .github.server import GitHub
from .jobs import Jobs
from .registration import Place, Registration
from .task_sessions import NoTaskRoleError, credentials

IMAGE_MARK = "github-runner"
# The variable that names the registrations table.
TABLE = "REGISTRATIONS_TABLE"


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
    registration: Registration | None = None
    """What asks the function for its registration."""


class Runners:
    """All containers. Implements what ECS expects of a container runtime; callers hold the core's lock."""

    def __init__(self, core: Core, ecs: Ecs, github: GitHub, jobs: Jobs, endpoint: str) -> None:
        self.core = core
        self.endpoint = endpoint
        self.ecs = ecs
        self.github = github
        self.jobs = jobs
        self.registrar = Registrar(github)
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
        container = self._forget(task.arn)
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
        container = self._forget(task.arn)
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
            elif container.phase == "registering":
                self._follow_registration(container, now)
            elif container.phase == "connecting" and now >= container.due:
                self._connect(container, now)
            elif container.phase == "listening":
                self._listen(container, now)

    def _configure(self, container: Container, now: float) -> None:
        try:
            if self.core.faults.runners == "crash":
                raise RunnerConfigError("a fault of the sandbox")
            if _asks_the_function(container):
                container.registration = self._registration_of(container)
                container.registration.start()
                container.phase = "registering"
                return
            runner = self.registrar.by_environment(container.env, container.task.runtime_id or "")
        except RunnerConfigError as problem:
            self._fail(container, problem)
            return
        self._registered(container, runner, now)

    def _registered(self, container: Container, runner: Runner, now: float) -> None:
        container.runner_id, container.record = runner.id, runner
        container.phase, container.due = "connecting", now + self.core.pace.runner_connect
        self.core.journal.event(
            "runner", "registered", runner=runner.name, labels=runner.all_labels, task=container.task.id
        )

    def _fail(self, container: Container, problem: RunnerConfigError) -> None:
        container.log.append(str(problem))
        self._print(container, str(problem))
        self.core.journal.event("runner", "cannot configure", task=container.task.id, reason=str(problem))
        self._exit(container, 1)

    def _registration_of(self, container: Container) -> Registration:
        """A thread that asks with the task's credentials."""
        settings = self.core.settings
        try:
            given = credentials(container.task, *settings.place)
        except NoTaskRoleError as error:
            raise RunnerConfigError(str(error)) from error
        place = Place(self.endpoint, settings.region, settings.durations)
        return Registration(place, given, container.env[TABLE], container.task.arn)

    def _follow_registration(self, container: Container, now: float) -> None:
        registration = container.registration
        if registration is None:
            return
        while registration.lines:
            line = registration.lines.popleft()
            self._print(container, line)
            self.core.journal.event("runner", "not registered", task=container.task.id, reason=line)
        try:
            if registration.failure is not None:
                raise RunnerConfigError(registration.failure)
            if registration.answer is None:
                return
            runner = self.registrar.by_answer(registration.answer)
        except RunnerConfigError as problem:
            self._fail(container, problem)
            return
        self._registered(container, runner, now)

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

    def _deregisters(self, container: Container) -> bool:
        """The exit trap: one more registration token, then `config.sh remove`."""
        env = container.env
        if _asks_the_function(container):
            return False
        if env.get("DISABLE_AUTOMATIC_DEREGISTRATION", "false") != "false" or env.get("UNSET_CONFIG_VARS") == "true":
            return False
        try:
            return bool(self.registrar.registration_token(env))
        except RunnerConfigError:
            return False

    def _end(self, container: Container, exit_code: int) -> None:
        if self._deregisters(container):
            self._remove(container, "deregistered on exit")
        self._exit(container, exit_code)

    def _forget(self, task_arn: str) -> Container | None:
        container = self.containers.pop(task_arn, None)
        if container is not None and container.registration is not None:
            container.registration.stop()
        return container

    def _exit(self, container: Container, exit_code: int) -> None:
        self._forget(container.task.arn)
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


def _asks_the_function(container: Container) -> bool:
    """Whether the task definition starts something in front of the image's entry point."""
    definition = container.task.definition["containerDefinitions"][0]
    return bool(container.env.get(TABLE)) and bool(definition.get("entryPoint"))
