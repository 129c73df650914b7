"""What IAM checks for a call: each action, on each resource, with the condition keys that policies go by.

The Service Authorization Reference says which action is checked on which resource and which keys it takes:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
An operation that is not in the tables here is checked on no resource, so that a policy with a resource denies it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any

from ministack.core import iam_actions, iam_evaluator

from .auto_scaling.groups import Groups
from .downstream_authz import AuthzRequest, requests_of_group, requests_of_parameter, requests_of_service
from .ecs.engine import Ecs
from .handlers import AwsError, Json, Response
from .parameters import parameter_arn

ANY = "*"
_PROVIDERS = (
    "CreateCapacityProvider",
    "UpdateCapacityProvider",
    "DeleteCapacityProvider",
    "DescribeCapacityProviders",
)
_CLUSTERS = (
    "DescribeClusters",
    "PutClusterCapacityProviders",
    "ListContainerInstances",
    "DeregisterContainerInstance",
    "DeleteCluster",
    "UpdateCluster",
)
_INSTANCES = ("DescribeContainerInstances", "UpdateContainerInstancesState")
_SERVICES = ("CreateService", "UpdateService", "DeleteService", "DescribeServices", "ListServiceDeployments")
_TASKS = ("DescribeTasks", "StopTask", "GetTaskProtection", "UpdateTaskProtection")
_TAGS = ("TagResource", "UntagResource", "ListTagsForResource")
_TAGGED_GROUPS = ("CreateOrUpdateTags", "DeleteTags")

_under_way: ContextVar[list[Check] | None] = ContextVar("checks_under_way", default=None)
_denied: ContextVar[Check | None] = ContextVar("denied_check", default=None)


@dataclass(frozen=True)
class Check:
    """One question to IAM."""

    action: str
    resource: str
    keys: dict[str, str] = field(default_factory=dict)
    operation: str = ""
    """The call that it is asked for."""
    asked_by: str = ""
    """The service that asks it on the way, with the call's own credentials; empty for the call itself."""

    @property
    def to_json(self) -> Json:
        return asdict(self)


class Authorization:
    """Knows what is there, and so which tags a resource has that a call names."""

    def __init__(self, engine: Ecs, groups: Groups) -> None:
        self.engine = engine
        self.groups = groups

    def install(self) -> None:
        """Has MiniStack evaluate policies for these checks instead of its own."""
        original: Callable[..., Any] = iam_evaluator.enforce
        original_response: Callable[..., Any] = iam_actions.access_denied_response

        def enforce(access_key: str, action: str, service: str, region: str, *rest: Any, **more: Any) -> Any:
            checks = _under_way.get()
            if checks is None:
                return original(access_key, action, service, region, *rest, **more)
            for check in checks:
                requested = {"resource_arn": check.resource, "service_context": check.keys}
                if (error := original(access_key, check.action, service, region, **requested)) is not None:
                    _denied.set(check)
                    return error
            return None

        def access_denied(service: str, action: str, *rest: Any, **more: Any) -> Any:
            """AWS names the action that was denied, which need not be the operation's own."""
            check = _denied.get()
            if check is not None:
                action, more["resource_arn"] = check.action, check.resource
            if service == "dynamodb" and not more.get("error_code"):
                return _denied_by_dynamodb(action, str(rest[0]), more)
            return original_response(service, action, *rest, **more)

        iam_evaluator.enforce = enforce
        iam_actions.access_denied_response = access_denied

    @contextmanager
    def under(self, checks: list[Check] | None) -> Generator[None]:
        """While a call is handled. Without checks MiniStack makes its own."""
        under_way, denied = _under_way.set(checks), _denied.set(None)
        try:
            yield
        finally:
            _under_way.reset(under_way)
            _denied.reset(denied)

    def checks(self, service: str, operation: str, request: Json, region: str, account: str) -> list[Check]:
        """The call's own first, then those on the way to what it asks for."""
        place = f"arn:aws:{service}:{region}:{account}:"
        own: list[AuthzRequest] = []
        more: list[AuthzRequest] = []
        if service == "ecs":
            own = self._ecs(operation, request, place)
            more = requests_of_service(operation, self._roles_of(operation, request), account)
            if operation == "CreateCapacityProvider":
                group = (request.get("autoScalingGroupProvider") or {}).get("autoScalingGroupArn") or ""
                # ECS marks the group as its own with the caller's permissions.
                # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html
                marked = {**self._group_tags(_last(group)), "aws:RequestTag/AmazonECSManaged": ""}
                more.append(("Amazon ECS", "autoscaling:CreateOrUpdateTags", group, marked))
        elif service == "autoscaling":
            own = self._auto_scaling(operation, request, place)
            more = requests_of_group(operation, request, region, account)
        elif service == "ssm":
            own = [("", f"ssm:{operation}", parameter_arn(str(request.get("Name") or ""), region, account), {})]
            more = requests_of_parameter(operation, request, region, account)
        elif service == "lambda" and operation == "Invoke":
            name = str(request.get("FunctionName") or "")
            arn = name if name.startswith("arn:") else f"{place}function:{name}"
            own = [("", "lambda:InvokeFunction", arn, {})]
        elif service == "logs" and operation == "GetLogEvents":
            group, stream = request.get("logGroupName"), request.get("logStreamName")
            own = [("", "logs:GetLogEvents", f"{place}log-group:{group}:log-stream:{stream}", {})]
        elif service == "dynamodb":
            # A call may name the table's ARN itself.
            table = str(request.get("TableName") or "")
            arn = table if not table or table.startswith("arn:") else f"{place}table/{table}"
            own = [("", f"dynamodb:{operation}", arn or ANY, {})]
        elif service == "cloudformation":
            own = [("", f"cloudformation:{operation}", _stack_arn(str(request.get("StackName") or ""), place), {})]
        else:
            own = [("", f"{service}:{operation}", ANY, {})]
        requested = f"{service} {operation}"
        return [Check(action, resource, keys, requested, who) for who, action, resource, keys in (*own, *more)]

    def _ecs(self, operation: str, request: Json, place: str) -> list[AuthzRequest]:
        cluster = _last(request.get("cluster") or "default")
        in_a_cluster = "cluster" in request or operation in (*_SERVICES, *_TASKS, *_INSTANCES, "RunTask")
        keys = {"ecs:cluster": f"{place}cluster/{cluster}"} if in_a_cluster else {}
        keys |= {f"aws:RequestTag/{tag['key']}": tag.get("value", "") for tag in request.get("tags") or []}
        resources = _ecs_resources(operation, request, cluster)
        arns = [name if name in (ANY, "") or name.startswith("arn:") else place + name for name in resources]
        own: list[AuthzRequest] = [("", f"ecs:{operation}", arn, {**keys, **self._ecs_tags(arn)}) for arn in arns]
        if request.get("tags") and operation not in _TAGS:
            # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html
            creating = {**keys, "ecs:CreateAction": operation}
            # RunTask names a task definition, and tags tasks.
            tagged = [f"{place}task/{cluster}/*"] if operation == "RunTask" else arns
            own += [("Amazon ECS", "ecs:TagResource", arn, creating) for arn in tagged]
        return own

    def _roles_of(self, operation: str, request: Json) -> list[str]:
        """The roles that a task definition gives to tasks, by the call that names the definition."""
        definition: Json = request if operation == "RegisterTaskDefinition" else {}
        if operation == "RunTask":
            with suppress(AwsError):
                definition = self.engine.definition(request.get("taskDefinition"))
        return [definition[name] for name in ("executionRoleArn", "taskRoleArn") if definition.get(name)]

    def _ecs_tags(self, arn: str) -> dict[str, str]:
        return {f"aws:ResourceTag/{tag['key']}": tag.get("value", "") for tag in self.engine.tags(arn)}

    def _auto_scaling(self, operation: str, request: Json, place: str) -> list[AuthzRequest]:
        action = f"autoscaling:{operation}"
        if operation.startswith("Describe"):
            return [("", action, ANY, {})]
        name = request.get("Tags.member.1.ResourceId" if operation in _TAGGED_GROUPS else "AutoScalingGroupName") or ""
        group = self.groups.by_name.get(name)
        arn = group.arn if group else f"{place}autoScalingGroup:new:autoScalingGroupName/{name}"
        keys = {**_requested_tags(request), **self._group_tags(name)}
        own: list[AuthzRequest] = [("", action, arn, keys)]
        if operation == "CreateAutoScalingGroup" and _requested_tags(request):
            # https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tags-with-iam.html
            own.append(("Auto Scaling", "autoscaling:CreateOrUpdateTags", arn, keys))
        return own

    def _group_tags(self, name: str) -> dict[str, str]:
        group = self.groups.by_name.get(name)
        tags = {tag["Key"]: tag.get("Value", "") for tag in group.tags.values()} if group else {}
        owners = ("aws", "autoscaling")
        return {f"{owner}:ResourceTag/{key}": value for key, value in tags.items() for owner in owners}


def _denied_by_dynamodb(action: str, principal: str, details: Json) -> Response:
    """The status is 400, and the message names the table; MiniStack has 403 and no table.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
    """
    explicit = bool(details.get("explicit_deny"))
    message = iam_actions.identity_denial_message(action, principal, str(details["resource_arn"]), explicit)
    if explicit and details.get("resource_policy_arn"):
        message = message.replace("an identity-based policy", "a resource-based policy")
    error = {"__type": "com.amazon.coral.service#AccessDeniedException", "Message": message}
    return 400, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(error).encode()


def _ecs_resources(operation: str, request: Json, cluster: str) -> list[str]:
    """The resources that a call names, below the account."""
    if operation in _PROVIDERS:
        return [f"capacity-provider/{_last(name)}" for name in _named(request, "name", "capacityProvider")]
    if operation == "DescribeClusters":
        return [f"cluster/{_last(name)}" for name in request.get("clusters") or ["default"]]
    if operation in _CLUSTERS:
        return [f"cluster/{cluster}"]
    if operation in _SERVICES:
        return [f"service/{cluster}/{_last(name)}" for name in _named(request, "serviceName", "service")]
    if operation in _TASKS:
        return [f"task/{cluster}/{_last(name)}" for name in _named(request, "task")]
    if operation in _INSTANCES:
        return [f"container-instance/{cluster}/{_last(name)}" for name in _named(request, "containerInstance")]
    if operation == "RunTask":
        return [f"task-definition/{_last(str(request.get('taskDefinition') or ANY))}"]
    if operation == "RegisterTaskDefinition":
        return [f"task-definition/{request.get('family')}:*"]
    if operation == "DeleteTaskDefinitions":
        return [f"task-definition/{_last(name)}" for name in _named(request, "taskDefinition")]
    return [str(request.get("resourceArn") or ANY)]


def _stack_arn(reference: str, place: str) -> str:
    """DescribeStacks without a name is asked for all: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html"""
    if not reference or reference.startswith("arn:"):
        return reference or ANY
    return f"{place}stack/{reference}/*"


def _named(request: Json, *names: str) -> list[str]:
    """The values of one of the names, or of its plural as a list; none of them means all."""
    for name in names:
        if value := request.get(name) or request.get(f"{name}s"):
            return [str(item) for item in value] if isinstance(value, list) else [str(value)]
    return [ANY]


def _requested_tags(request: Json) -> dict[str, str]:
    numbers = [name.split(".")[2] for name in request if name.startswith("Tags.member.") and name.endswith(".Key")]
    keys = [(request[f"Tags.member.{n}.Key"], request.get(f"Tags.member.{n}.Value") or "") for n in numbers]
    return {f"aws:RequestTag/{key}": value for key, value in keys}


def _last(reference: str) -> str:
    return reference.rsplit("/", 1)[-1]
