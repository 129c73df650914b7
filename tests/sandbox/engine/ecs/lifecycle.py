"""How a placed task goes on: image pulled, running, stopped. Placement itself is in `placement`."""

from __future__ import annotations

from ..core import hex_digits
from .engine import Ecs
from .logs import missing_log_group
from .model import Task
from .secrets import MissingSecretError, check_repository_credentials, environment

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
_PULL_FAILED = (
    "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: not found"
)
_SECRETS_FAILED = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: {why}"
)

_LOG_GROUP_MISSING = (
    "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create "
    "Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
)


def step(engine: Ecs, now: float) -> None:
    for task in list(engine.tasks.values()):
        if task.last_status == "PENDING" and now >= task.due:
            _start(engine, task, now)
        elif task.last_status == "STOPPING" and now >= task.due and not task.ended:
            # The container's end is reported by what runs in it; a container without a simulation ends here.
            engine.container_exited(task.arn, 0 if task.exit_code is None else task.exit_code)


def _start(engine: Ecs, task: Task, now: float) -> None:
    container = task.definition["containerDefinitions"][0]
    try:
        check_repository_credentials(container)
        environment(task.definition)
    except MissingSecretError as missing:
        fail(engine, task, _SECRETS_FAILED.format(why=missing), None, now)
        return
    if container["image"] in engine.core.faults.images:
        reason = _PULL_FAILED.format(image=container["image"])
        fail(engine, task, reason, reason, now)
        return
    if missing_log_group(container):
        fail(engine, task, "Task failed to start", _LOG_GROUP_MISSING, now)
        return
    task.last_status = "RUNNING"
    task.started_at = now
    task.runtime_id = hex_digits(64)
    engine.record_task_event(task, "RUNNING")
    if engine.containers:
        engine.containers.start(task)


def fail(engine: Ecs, task: Task, reason: str, container_reason: str | None, now: float) -> None:
    """Ends a task that never ran."""
    task.stop_code = "TaskFailedToStart"
    task.stopped_reason = reason
    task.container_reason = container_reason
    engine.end_task(task, now)
