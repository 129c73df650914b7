"""The credentials of a task: a session of its task role that is named after the task.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
https://github.com/aws/amazon-ecs-agent/issues/3498
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass

from ministack.core.iam_evaluator import EvalContext, evaluate_trust_policy
from ministack.services import iam, sts

from .core import hex_digits
from .ecs.model import Task
from .handlers import Json

SERVICE = "ecs-tasks.amazonaws.com"
LIFE_SECS = 6 * 3600
# A member of a session that only tasks have.
TASK = "TaskArn"


@dataclass(frozen=True)
class TaskCredentials:
    """What the container agent gives to a container."""

    access_key_id: str
    secret_access_key: str
    session_token: str


class NoTaskRoleError(Exception):
    """The task has no credentials, for this reason."""


def credentials(task: Task, region: str, account: str) -> TaskCredentials:
    """Assumes the task's role as ECS does. Callers hold the core's lock."""
    arn = task.definition.get("taskRoleArn")
    if not arn:
        raise NoTaskRoleError("Unable to locate credentials. The task definition has no task role.")
    name = str(arn).rsplit("/", 1)[-1]
    role: Json | None = iam._roles.get_scoped(account, None, name)
    if role is None or role["Arn"] != arn or not _may_assume(role, task, region, account):
        raise NoTaskRoleError(f"ECS was unable to assume the role '{arn}' that was provided for this task.")
    made = TaskCredentials(f"ASIA{hex_digits(16).upper()}", secrets.token_hex(20), secrets.token_hex(40))
    sts.register_session(
        made.access_key_id,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{task.id}",
            "UserId": f"{role['RoleId']}:{task.id}",
            "SecretAccessKey": made.secret_access_key,
            "SessionToken": made.session_token,
            "Expiration": time.time() + LIFE_SECS,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
            TASK: task.arn,
        },
    )
    return made


def is_of_a_task(access_key_id: str) -> bool:
    """Whether a call with this key is a task's."""
    return TASK in sts._sessions.get(access_key_id, {})


def _may_assume(role: Json, task: Task, region: str, account: str) -> bool:
    """Whether the role trusts ECS's tasks, with the condition keys that ECS sends."""
    # MiniStack's evaluation knows no service as a principal, so these statements name everybody instead.
    named = [{**one, "Principal": "*"} for one in _statements(role) if _names_tasks(one.get("Principal"))]
    source = f"arn:aws:ecs:{region}:{account}:task/{task.cluster}/{task.id}"
    context = EvalContext(
        principal_arn=SERVICE,
        principal_type="Service",
        principal_account=account,
        action="sts:AssumeRole",
        resource_arn=role["Arn"],
        region=region,
        service_context={"aws:sourceaccount": account, "aws:sourcearn": source},
    )
    return bool(evaluate_trust_policy({"Statement": named}, SERVICE, context))


def _statements(role: Json) -> list[Json]:
    document = role["AssumeRolePolicyDocument"]
    found = (json.loads(document) if isinstance(document, str) else document).get("Statement") or []
    return found if isinstance(found, list) else [found]


def _names_tasks(principal: object) -> bool:
    services = principal.get("Service") if isinstance(principal, dict) else None
    return SERVICE in ([services] if isinstance(services, str) else services or [])
