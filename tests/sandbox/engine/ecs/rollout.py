"""What the service scheduler does in each round: start and stop tasks, complete or fail the deployment.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
"""

from __future__ import annotations

import math

from ministack.core.responses import new_uuid

from .engine import Ecs
from .model import Deployment, Service, Task

# The same complaint is not repeated more often than this.
EVENT_INTERVAL = 2.0
LONGEST_BACKOFF_FACTOR = 20
# "Minimum threshold <= 0.5 * desired count => maximum threshold", 3 and 200.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
LEAST_FAILURES, MOST_FAILURES = 3, 200


def step(engine: Ecs, now: float) -> None:
    for service in list(engine.services.values()):
        if service.status == "DRAINING":
            _drain(engine, service, now)
        elif service.status == "ACTIVE":
            _reconcile(engine, service, now)


def add_service_event(engine: Ecs, service: Service, message: str, now: float) -> None:
    """A service event, as DescribeServices shows it: newest first."""
    service.events.insert(0, {"id": new_uuid(), "createdAt": now, "message": f"(service {service.name}) {message}"})
    engine.core.journal.event("service", "event", service=service.name, message=message)


def begin(engine: Ecs, service: Service, now: float) -> None:
    """A new deployment becomes PRIMARY; the present one goes on as ACTIVE until its tasks are gone."""
    for deployment in service.deployments:
        deployment.status = "ACTIVE"
    service.deployments.insert(0, Deployment(service.definition_arn, service.desired, service.strategy))
    service.steady = False
    engine.core.journal.event(
        "deployment", "started", service=service.name, deployment=service.primary.id, definition=service.definition_arn
    )
    service.primary.updated_at = now


def _drain(engine: Ecs, service: Service, now: float) -> None:
    tasks = engine.tasks_of(service)
    for task in tasks:
        engine.stop_task(task, "ServiceSchedulerInitiated", f"Scaling activity initiated by ({service.name})", now)
    if any(task.live for task in tasks) or tasks:
        service.drained_at = None
        return
    service.drained_at = service.drained_at or now
    if now - service.drained_at >= engine.core.pace.service_drained:
        service.status = "INACTIVE"
        service.deployments.clear()
        engine.core.journal.event("service", "INACTIVE", service=service.name)


def _reconcile(engine: Ecs, service: Service, now: float) -> None:
    primary = service.primary
    tasks = engine.tasks_of(service)
    live = [task for task in tasks if task.live]
    wanted = [task for task in live if task.started_by == primary.id and not _on_draining(task)]
    leaving = [task for task in live if task not in wanted]

    _count_failures(engine, service, primary, now)
    _start_missing(engine, service, primary, live, wanted, now)
    _stop_surplus(engine, service, wanted, now)
    _stop_leaving(engine, service, live, leaving, now)
    _settle(engine, service, primary, now)


def _on_draining(task: Task) -> bool:
    return task.instance is not None and task.instance.status == "DRAINING"


def _healthy(engine: Ecs, task: Task, now: float) -> bool:
    return task.last_status == "RUNNING" and now - (task.started_at or now) >= engine.core.pace.health_delay


def _count_failures(engine: Ecs, service: Service, primary: Deployment, now: float) -> None:
    """Only tasks that never reached RUNNING count, and one that does forgives the earlier ones.

    One that found no capacity counts too: https://github.com/aws/containers-roadmap/issues/1273
    """
    mine = [task for task in engine.tasks.values() if task.started_by == primary.id]
    last_good = max((task.started_at or 0 for task in mine), default=0)
    if last_good > primary.last_good:
        primary.last_good, primary.failed_tasks = last_good, 0
    failed = [task for task in mine if task.stop_code == "TaskFailedToStart" and not task.counted]
    for task in failed:
        task.counted = True
    n_new = sum((task.stopped_at or 0) > primary.last_good for task in failed)
    if n_new:
        newest = max(failed, key=lambda task: task.stopped_at or 0)
        primary.backoff = min(
            max(primary.backoff * 2, engine.core.pace.restart_backoff),
            engine.core.pace.restart_backoff * LONGEST_BACKOFF_FACTOR,
        )
        primary.next_start = now + primary.backoff
        add_service_event(engine, service, f"was unable to start a task. Reason: {newest.stopped_reason}", now)
    primary.failed_tasks += n_new
    breaker = (service.settings.get("deploymentConfiguration") or {}).get("deploymentCircuitBreaker") or {}
    threshold = min(max(math.ceil(primary.desired * 0.5), LEAST_FAILURES), MOST_FAILURES)
    if breaker.get("enable") and primary.rollout_state == "IN_PROGRESS" and primary.failed_tasks >= threshold:
        primary.rollout_state = "FAILED"
        primary.rollout_reason = "ECS deployment circuit breaker: tasks failed to start."
        add_service_event(engine, service, f"(deployment {primary.id}) deployment failed: tasks failed to start.", now)


def _start_missing(
    engine: Ecs, service: Service, primary: Deployment, live: list[Task], wanted: list[Task], now: float
) -> None:
    if primary.rollout_state == "FAILED" or now < primary.next_start:
        return
    # "This value is rounded down": https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
    ceiling = math.floor(service.desired * service.percent("maximumPercent", 200) / 100)
    missing = min(service.desired - len(wanted), ceiling - len(live))
    if missing <= 0:
        return
    definition = engine.definition(primary.definition_arn)
    provider = max(primary.strategy, key=lambda item: item.get("weight", 0))["capacityProvider"]
    constraints = service.settings.get("placementConstraints") or []
    cluster = engine.cluster(service.cluster)
    started = [
        engine.new_task(
            cluster,
            definition,
            f"service:{service.name}",
            started_by=primary.id,
            service=service.name,
            provider=provider,
            distinct_instance=any(c["type"] == "distinctInstance" for c in constraints),
            tags=_propagated(engine, service, definition),
        )
        for _ in range(missing)
    ]
    service.steady = False
    listed = " ".join(f"(task {task.id})" for task in started)
    add_service_event(engine, service, f"has started {len(started)} tasks: {listed}.", now)


def _propagated(engine: Ecs, service: Service, definition: dict[str, str]) -> list[dict[str, str]]:
    source = {"SERVICE": service.arn, "TASK_DEFINITION": definition["taskDefinitionArn"]}.get(
        service.settings.get("propagateTags") or "NONE"
    )
    return engine.tags(source) if source else []


def _stop_surplus(engine: Ecs, service: Service, wanted: list[Task], now: float) -> None:
    """A desired count below what runs: protected tasks stay."""
    surplus = len(wanted) - service.desired
    if surplus <= 0:
        return
    open_to_stop = [task for task in wanted if not task.protected(now)]
    open_to_stop.sort(key=lambda task: (task.last_status == "RUNNING", task.created_at))
    _stop(engine, service, open_to_stop[:surplus], now)
    if len(open_to_stop) < surplus:
        _report_blocked_scale_in(engine, service, now)


def _stop_leaving(engine: Ecs, service: Service, live: list[Task], leaving: list[Task], now: float) -> None:
    """Tasks of older deployments, and those on draining instances, go as far as the minimum of healthy ones allows."""
    floor = math.ceil(service.desired * service.percent("minimumHealthyPercent", 100) / 100)
    spare = sum(_healthy(engine, task, now) for task in live) - floor
    stopping: list[Task] = []
    kept = False
    for task in sorted(leaving, key=lambda task: task.last_status == "RUNNING"):
        if task.protected(now) and not _on_draining(task):
            kept = True
        elif not _healthy(engine, task, now):
            stopping.append(task)
        elif spare > 0:
            spare -= 1
            stopping.append(task)
    _stop(engine, service, stopping, now)
    if kept:
        _report_blocked_scale_in(engine, service, now)


def _stop(engine: Ecs, service: Service, tasks: list[Task], now: float) -> None:
    if not tasks:
        return
    for task in tasks:
        engine.stop_task(
            task, "ServiceSchedulerInitiated", f"Scaling activity initiated by (deployment {task.started_by})", now
        )
    service.steady = False
    listed = " ".join(f"(task {task.id})" for task in tasks)
    add_service_event(engine, service, f"has stopped {len(tasks)} running tasks: {listed}.", now)


def _report_blocked_scale_in(engine: Ecs, service: Service, now: float) -> None:
    _add_service_event_at_intervals(
        engine,
        service,
        "was unable to scale in. Reason: The number of protected tasks are more than the desired count of tasks.",
        now,
    )


def _add_service_event_at_intervals(engine: Ecs, service: Service, message: str, now: float) -> None:
    if now - service.last_event_at.get(message, 0) >= EVENT_INTERVAL:
        service.last_event_at[message] = now
        add_service_event(engine, service, message, now)


def _settle(engine: Ecs, service: Service, primary: Deployment, now: float) -> None:
    """Completes the rollout when the new tasks are healthy and nothing of an older deployment is left."""
    tasks = engine.tasks_of(service)
    if any(task.last_status == "PROVISIONING" and now - task.created_at > EVENT_INTERVAL for task in tasks):
        _add_service_event_at_intervals(
            engine,
            service,
            "was unable to place a task because no container instance met all of its requirements.",
            now,
        )
    kept = {task.started_by for task in tasks}
    service.deployments = [d for d in service.deployments if d is primary or d.id in kept]
    running = [task for task in tasks if task.started_by == primary.id and task.live]
    if (
        len(service.deployments) > 1
        or len(running) != service.desired
        or len(running) != len(tasks)
        or not all(_healthy(engine, task, now) for task in running)
    ):
        service.steady = False
        return
    if primary.rollout_state == "IN_PROGRESS":
        primary.rollout_state = "COMPLETED"
        primary.rollout_reason = f"ECS deployment {primary.id} completed."
        primary.updated_at = now
        add_service_event(engine, service, f"(deployment {primary.id}) deployment completed.", now)
    if not service.steady:
        service.steady = True
        add_service_event(engine, service, "has reached a steady state.", now)
