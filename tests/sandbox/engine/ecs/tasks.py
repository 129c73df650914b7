"""Task operations: describe, list, stop, and scale-in protection.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html
"""

from __future__ import annotations

import time

from ..handlers import AwsError, Json
from .engine import Ecs
from .model import Task

MOST_PROTECTED_PER_CALL = 10
MOST_READ_PER_CALL = 100
DEFAULT_EXPIRY_MINUTES = 120
LONGEST_EXPIRY_MINUTES = 2880


class Tasks:
    """StopTask, DescribeTasks, ListTasks, Get and UpdateTaskProtection."""

    def __init__(self, engine: Ecs) -> None:
        self.engine = engine

    def stop(self, data: Json) -> Json:
        cluster = self.engine.cluster(data.get("cluster"))["clusterName"]
        task = self._find(cluster, data.get("task") or "")
        if task is None:
            raise AwsError("InvalidParameterException", "The referenced task was not found.")
        instance = task.instance
        if instance is None or instance.agent_connected:
            self.engine.stop_task(task, "UserInitiated", data.get("reason") or "Task stopped by user", time.time())
        else:
            # The agent stops the container when it is connected again.
            task.desired_status = "STOPPED"
        self.engine.drop_tags(task)
        return {"task": task.to_json(False)}

    def describe(self, data: Json) -> Json:
        cluster = self.engine.cluster(data.get("cluster"))["clusterName"]
        references = data.get("tasks") or []
        if not references or len(references) > MOST_READ_PER_CALL:
            raise AwsError("InvalidParameterException", f"Tasks must have between 1 and {MOST_READ_PER_CALL} items.")
        tagged = "TAGS" in (data.get("include") or [])
        found, failures = [], []
        for reference in references:
            task = self._find(cluster, reference)
            if task is None:
                failures.append(self._missing(cluster, reference))
            else:
                found.append(task.to_json(tagged))
        return {"tasks": found, "failures": failures}

    def list(self, data: Json) -> Json:
        """RUNNING ones by default: a task that is stopping is listed as STOPPED.

        "When you specify startedBy as the filter, it must be the only filter that you use." The desired status, which
        has a default, is none: Airflow's operator names both.
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
        https://github.com/apache/airflow/blob/main/providers/amazon/src/airflow/providers/amazon/aws/operators/ecs.py
        """
        cluster = self.engine.cluster(data.get("cluster"))["clusterName"]
        if data.get("startedBy") and any(data.get(name) for name in ("family", "serviceName", "containerInstance")):
            raise AwsError("InvalidParameterException", "startedBy cannot be combined with another filter.")
        wanted = data.get("desiredStatus") or "RUNNING"
        arns = [
            task.arn
            for task in self.engine.tasks.values()
            if task.cluster == cluster
            and task.desired_status == wanted
            and (not data.get("serviceName") or task.service == data["serviceName"].rsplit("/", 1)[-1])
            and (not data.get("family") or task.definition["family"] == data["family"])
            and (not data.get("startedBy") or task.started_by == data["startedBy"])
            and (
                not data.get("containerInstance")
                or (task.instance and task.instance.arn.endswith(data["containerInstance"].rsplit("/", 1)[-1]))
            )
        ]
        start = int(data.get("nextToken") or 0)
        end = start + int(data.get("maxResults") or 100)
        return {"taskArns": arns[start:end], "nextToken": str(end) if end < len(arns) else None}

    def protect(self, data: Json) -> Json:
        cluster = self.engine.cluster(data.get("cluster"))["clusterName"]
        references = data.get("tasks") or []
        if not references:
            raise AwsError("InvalidParameterException", "Tasks cannot be empty.")
        if len(references) > MOST_PROTECTED_PER_CALL:
            raise AwsError("InvalidParameterException", f"Tasks cannot have more than {MOST_PROTECTED_PER_CALL} items.")
        if data.get("protectionEnabled") is None:
            raise AwsError("InvalidParameterException", "protectionEnabled cannot be null.")
        minutes = data.get("expiresInMinutes")
        if minutes is not None and not 1 <= int(minutes) <= LONGEST_EXPIRY_MINUTES:
            raise AwsError(
                "InvalidParameterException", f"expiresInMinutes must be between 1 and {LONGEST_EXPIRY_MINUTES}."
            )
        now = time.time()
        until = now + 60 * int(minutes or DEFAULT_EXPIRY_MINUTES) if data["protectionEnabled"] else None
        done, failures = [], []
        for reference in references:
            task = self._find(cluster, reference)
            failure = self._protection_failure(cluster, reference, task, until is not None, now)
            if failure or task is None:
                failures.append(failure)
                continue
            task.protected_until = until
            done.append(_protection(task, now))
            self.engine.record_task_event(task, "protected" if until else "unprotected")
        return {"protectedTasks": done, "failures": failures}

    def protection(self, data: Json) -> Json:
        cluster = self.engine.cluster(data.get("cluster"))["clusterName"]
        references = data.get("tasks") or []
        if len(references) > MOST_READ_PER_CALL:
            raise AwsError("InvalidParameterException", f"Tasks cannot have more than {MOST_READ_PER_CALL} items.")
        now = time.time()
        if not references:
            tasks = [t for t in self.engine.tasks.values() if t.cluster == cluster and t.service and t.live]
            return {"protectedTasks": [_protection(task, now) for task in tasks], "failures": []}
        done, failures = [], []
        for reference in references:
            task = self._find(cluster, reference)
            failure = self._protection_failure(cluster, reference, task, False, now)
            if failure or task is None:
                failures.append(failure)
            else:
                done.append(_protection(task, now))
        return {"protectedTasks": done, "failures": failures}

    def _protection_failure(
        self, cluster: str, reference: str, task: Task | None, enabling: bool, now: float
    ) -> Json | None:
        if task is None:
            return self._missing(cluster, reference)
        service = self.engine.services.get((task.cluster, task.service or ""))
        if service is None or task.ended:
            # Of a task that has ended no page says what it gets, protection on or off. As one that is of no service any
            # more is the harsher reading of
            # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
            return {
                "arn": task.arn,
                "reason": "TASK_NOT_VALID",
                "detail": "The specified task isn't part of an active Amazon ECS service.",
            }
        others = self.engine.protected_count(service, now) - task.protected(now)
        if enabling and others + 1 > service.desired:
            return {
                "arn": task.arn,
                "reason": "DEPLOYMENT_BLOCKED",
                "detail": "One or more protected tasks are preventing the service deployment from reaching a "
                "steady state.",
            }
        return None

    def _find(self, cluster: str, reference: str) -> Task | None:
        task = self.engine.tasks.get(self.engine.arn(f"task/{cluster}/{reference.rsplit('/', 1)[-1]}"))
        return task if task is not None and (not reference.startswith("arn:") or task.arn == reference) else None

    def _missing(self, cluster: str, reference: str) -> Json:
        arn = reference if reference.startswith("arn:") else self.engine.arn(f"task/{cluster}/{reference}")
        return {"arn": arn, "reason": "MISSING"}


def _protection(task: Task, now: float) -> Json:
    protected = task.protected(now)
    return {
        "taskArn": task.arn,
        "protectionEnabled": protected,
        "expirationDate": task.protected_until if protected else None,
    }
