"""Sends a custom resource's requests the way CloudFormation does: asynchronously, through Lambda's retries.

Siblings that depend on nothing unfinished go out together, although MiniStack provisions one resource after the other:
the first one to be provisioned sends the requests of all, and each of the others finds its response already there.
"""

from __future__ import annotations

import contextvars
import copy
import threading
import time
from dataclasses import dataclass, field

from ministack.core.responses import new_uuid
from ministack.services import cloudformation, lambda_svc
from ministack.services.cloudformation import custom_resource, engine

from ..core import Core, hex_digits
from ..handlers import Json
from .responses import ResponseBucket, Ticket

DEFAULT_TIMEOUT = 3600
Key = tuple[str, str, str]
"""Stack id, logical id, request type."""


class CustomResourceError(RuntimeError):
    """The response was FAILED or invalid, or there was none. Has the physical id that it named."""

    def __init__(self, reason: str, physical_id: str | None) -> None:
        super().__init__(reason)
        self.physical_id = physical_id


@dataclass
class SentRequest:
    """A request on its way, and what came of it."""

    ticket: Ticket
    properties: Json
    done: threading.Event = field(default_factory=threading.Event)
    result: tuple[str, Json] | None = None
    error: CustomResourceError | None = None

    def wait(self) -> tuple[str, Json]:
        self.done.wait()
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


class Requests:
    """Replaces MiniStack's `invoke_custom_resource`."""

    def __init__(self, core: Core, bucket: ResponseBucket) -> None:
        self.core = core
        self.bucket = bucket
        self.ahead: dict[Key, SentRequest] = {}
        self.failed: dict[tuple[str, str], str] = {}
        """Stack id and logical id to the physical id of the last FAILED response."""

    def invoke(
        self,
        request_type: str,
        logical_id: str,
        props: Json,
        stack_name: str,
        stack_id: str,
        resource_type: str,
        physical_id: str | None = None,
        old_props: Json | None = None,
    ) -> tuple[str, Json]:
        """Blocks until the response is there. MiniStack calls this on a thread of its own."""
        if request_type == "Create":
            self._create_siblings(logical_id, stack_name, stack_id)
        elif request_type == "Delete":
            self._delete_siblings(logical_id, stack_name, stack_id)
        sent = self.ahead.pop((stack_id, logical_id, request_type), None)
        if sent is None:
            sent = self._send(request_type, logical_id, props, stack_id, resource_type, physical_id, old_props)
        try:
            return sent.wait()
        except CustomResourceError as failed:
            if failed.physical_id:
                self.failed[(stack_id, logical_id)] = failed.physical_id
            raise

    def unfinished(self, stack_id: str) -> list[tuple[str, SentRequest]]:
        """Creates that were sent early and never provisioned, since a sibling failed."""
        keys = [key for key in self.ahead if key[0] == stack_id and key[2] == "Create"]
        return [(key[1], self.ahead.pop(key)) for key in keys]

    def _send(
        self,
        request_type: str,
        logical_id: str,
        props: Json,
        stack_id: str,
        resource_type: str,
        physical_id: str | None,
        old_props: Json | None,
    ) -> SentRequest:
        event: Json = {
            "RequestType": request_type,
            "ServiceToken": props.get("ServiceToken", ""),
            "StackId": stack_id,
            "RequestId": new_uuid(),
            "LogicalResourceId": logical_id,
            "ResourceType": resource_type,
            "ResourceProperties": custom_resource._normalise_resource_properties(props),
        }
        if physical_id is not None:
            event["PhysicalResourceId"] = physical_id
        if old_props is not None:
            event["OldResourceProperties"] = custom_resource._normalise_resource_properties(old_props)
        ticket = self.bucket.open(event)
        self.core.journal.event(
            "request",
            request_type,
            logical_id=logical_id,
            physical_id=physical_id,
            stack_id=stack_id,
            request_id=event["RequestId"],
        )
        sent = SentRequest(ticket, props)
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run, sent), daemon=True).start()
        return sent

    def _run(self, sent: SentRequest) -> None:
        try:
            sent.result = self._deliver(sent)
        except CustomResourceError as error:
            sent.error = error
        except Exception as error:
            sent.error = CustomResourceError(str(error), None)
        finally:
            sent.ticket.closed = True
            sent.done.set()

    def _deliver(self, sent: SentRequest) -> tuple[str, Json]:
        ticket, event = sent.ticket, sent.ticket.event
        record, config, _ = lambda_svc._get_func_record_for_ref(event["ServiceToken"])
        if record is None or config is None:
            raise CustomResourceError(f"Lambda function {event['ServiceToken']} does not exist", None)
        lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(record, config), event)
        started = time.time()
        if not ticket.responded.wait(_timeout(sent.properties)):
            self.core.journal.event("response", "none", request_id=event["RequestId"], waited=time.time() - started)
            raise CustomResourceError(
                "CloudFormation did not receive a response from your Custom Resource. Please check your logs "
                f"for requestId [{event['RequestId']}].",
                event.get("PhysicalResourceId"),
            )
        response: Json = ticket.response or {}
        named = response.get("PhysicalResourceId") or event.get("PhysicalResourceId")
        if ticket.problem:
            raise CustomResourceError(ticket.problem, named)
        if response["Status"] == "FAILED":
            raise CustomResourceError(
                "Received response status [FAILED] from custom resource. Message returned: "
                f"{response.get('Reason')} (RequestId: {event['RequestId']})",
                named,
            )
        return named or event["RequestId"], response.get("Data") or {}

    def _create_siblings(self, logical_id: str, stack_name: str, stack_id: str) -> None:
        stack = cloudformation._stacks.get(stack_name) or {}
        if stack.get("StackStatus") != "CREATE_IN_PROGRESS" or stack.get("StackId") != stack_id:
            return
        template, parameters = stack["_template"], stack["_resolved_params"]
        conditions = engine._evaluate_conditions(template, parameters)
        definitions = template.get("Resources", {})
        for name, definition in definitions.items():
            key = (stack_id, name, "Create")
            if (
                name == logical_id
                or key in self.ahead
                or name in stack["_resources"]
                or not definition.get("Type", "").startswith("Custom::")
                or not conditions.get(definition.get("Condition"), True)
                or not _dependencies(definition, definitions, conditions) <= set(stack["_resources"])
            ):
                continue
            raw = copy.deepcopy(definition.get("Properties", {}))
            resolved = engine._resolve_refs(
                raw, stack["_resources"], parameters, conditions, template.get("Mappings", {}), stack_name, stack_id
            )
            properties = {k: v for k, v in resolved.items() if v is not engine._NO_VALUE}
            self.ahead[key] = self._send("Create", name, properties, stack_id, definition["Type"], None, None)

    def _delete_siblings(self, logical_id: str, stack_name: str, stack_id: str) -> None:
        stack = cloudformation._stacks.get(stack_name) or {}
        if stack.get("StackStatus") != "DELETE_IN_PROGRESS" or stack.get("StackId") != stack_id:
            return
        definitions = (stack.get("_template") or {}).get("Resources", {})
        conditions = stack.get("_conditions") or {}
        left = stack["_resources"]
        for name, record in list(left.items()):
            key = (stack_id, name, "Delete")
            if name == logical_id or key in self.ahead or not record["ResourceType"].startswith("Custom::"):
                continue
            needed = any(
                name in _dependencies(definitions[other], definitions, conditions)
                for other in left
                if other in definitions and other != name
            )
            if needed or definitions.get(name, {}).get("DeletionPolicy", "Delete") != "Delete":
                continue
            self.ahead[key] = self._send(
                "Delete",
                name,
                record["Properties"],
                stack_id,
                record["ResourceType"],
                record["PhysicalResourceId"],
                None,
            )


def generated_id(stack_id: str, logical_id: str) -> str:
    """The physical id that CloudFormation generates for the Delete of a Create without a response."""
    return f"{stack_id.split('/')[1]}-{logical_id}-{hex_digits(12).upper()}"


def _dependencies(definition: Json, definitions: Json, conditions: Json) -> set[str]:
    names: set[str] = set(engine._extract_deps(definition, set(definitions)))
    return {name for name in names if conditions.get(definitions[name].get("Condition"), True)}


def _timeout(properties: Json) -> float:
    try:
        return float(properties.get("ServiceTimeout") or DEFAULT_TIMEOUT)
    except (TypeError, ValueError):
        return DEFAULT_TIMEOUT
