"""What a rollback sends to custom resources: the Delete after a failed Create, and the end of a failed replacement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ministack.services.cloudformation import provisioners, stacks

from ..ecs.api import EcsApi
from ..handlers import AwsError, Json
from .requests import Requests, generated_id

Rollback = Callable[..., Awaitable[None]]


def install(requests: Requests, ecs: EcsApi) -> None:
    """Wraps MiniStack's rollback, and lets the deletion of a cluster fail."""
    original: Rollback = stacks._roll_back_operation

    async def roll_back(name: str, stack_id: str, stack: Json, operation: Json, reason_override: str = "") -> None:
        _add_failed(requests, stack_id, stack, operation)
        _add_cancelled(requests, name, stack_id, stack, operation)
        await original(name, stack_id, stack, operation, reason_override)

    stacks._roll_back_operation = roll_back
    provisioners._RESOURCE_HANDLERS["AWS::ECS::Cluster"]["delete"] = _cluster_deletion(ecs)


def _add_failed(requests: Requests, stack_id: str, stack: Json, operation: Json) -> None:
    """The resource that failed is cleaned up by the physical id in its FAILED response."""
    logical_id = operation.get("failed_logical_id")
    if logical_id is None:
        return
    physical_id = requests.failed.pop((stack_id, logical_id), None)
    if physical_id is None:
        return
    resources = stack.setdefault("_resources", {})
    update = operation.get("failed_update")
    definition = operation["template"]["Resources"][logical_id]
    if update is not None:
        if update[2] == physical_id:
            return
        # The stack now holds the new id: the Update that goes back names it, and its clean-up deletes it.
        old = dict(resources[logical_id])
        update[2] = physical_id
        operation["previous_stack"]["_resources"][logical_id] = old
        resources[logical_id] = {**old, "PhysicalResourceId": physical_id, "Properties": update[3]}
    else:
        resources[logical_id] = {
            "PhysicalResourceId": physical_id,
            "ResourceType": definition["Type"],
            "ResourceStatus": "CREATE_FAILED",
            "LogicalResourceId": logical_id,
            "Properties": _last_properties(requests, stack_id, logical_id),
            "Attributes": {},
        }
    operation["created"].append(logical_id)


def _add_cancelled(requests: Requests, name: str, stack_id: str, stack: Json, operation: Json) -> None:
    """Siblings that were being created are deleted at once, whether there is a response or not."""
    for logical_id, sent in requests.unfinished(stack_id):
        responded = sent.done.is_set()
        physical_id = None
        if responded:
            physical_id = sent.result[0] if sent.result else (sent.error.physical_id if sent.error else None)
        definition = operation["template"]["Resources"][logical_id]
        stack.setdefault("_resources", {})[logical_id] = {
            "PhysicalResourceId": physical_id or generated_id(stack_id, logical_id),
            "ResourceType": definition["Type"],
            "ResourceStatus": "CREATE_FAILED",
            "LogicalResourceId": logical_id,
            "Properties": sent.properties,
            "Attributes": {},
        }
        if not responded:
            stacks._add_event(
                stack_id, name, logical_id, definition["Type"], "CREATE_FAILED", "Resource creation cancelled"
            )
        operation["created"].append(logical_id)


def _last_properties(requests: Requests, stack_id: str, logical_id: str) -> Json:
    for ticket in reversed(list(requests.bucket.tickets.values())):
        if ticket.event["StackId"] == stack_id and ticket.event["LogicalResourceId"] == logical_id:
            return dict(ticket.event["ResourceProperties"])
    return {}


def _cluster_deletion(ecs: EcsApi) -> Callable[[str, Json], None]:
    def delete(physical_id: str, _: Json) -> None:
        with ecs.engine.core.lock:
            try:
                ecs.clusters.delete({"cluster": physical_id})
            except AwsError as error:
                if error.code != "ClusterNotFoundException":
                    raise

    return delete
