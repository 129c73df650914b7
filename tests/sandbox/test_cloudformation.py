"""The engine treats custom resources as CloudFormation does, beyond what MiniStack itself does."""

from __future__ import annotations

import itertools
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from sandbox.function import deploy_script
from sandbox.stacks import Stack
from sandbox.world import World

PROVIDER = Path(__file__).parent / "echo_provider" / "provider.py"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def token(world: World) -> str:
    return deploy_script(world, PROVIDER, "echo-provider")


def template(token: str, **resources: dict[str, Any]) -> str:
    return json.dumps(
        {
            "Resources": {
                name: {
                    "Type": "Custom::StandIn",
                    "Properties": {"ServiceToken": token, **properties},
                    **({"DependsOn": properties.pop("DependsOn")} if "DependsOn" in properties else {}),
                }
                for name, properties in resources.items()
            }
        }
    )


def start(world: World, body: str) -> Stack:
    return world.stacks.create(f"stack{next(_numbers)}", body, {})


def requests(world: World, stack: Stack) -> list[tuple[str, str, str | None]]:
    """What the provider was asked, in order: request, logical id, physical id."""
    return [
        (event["what"], event["logical_id"], event["physical_id"])
        for event in world.events("request")
        if event["stack_id"] == stack.id
    ]


def test_custom_resource_scalars_are_strings_and_get_att_returns_data(world: World, token: str) -> None:
    stack = start(world, template(token, A={"Id": "a-1", "Size": 4, "Deep": {"Flag": True}})).settled()
    stack.expect("CREATE_COMPLETE")
    assert stack.physical_id("A") == "a-1"
    assert [e["data"] for e in world.events("response") if e["what"] == "SUCCESS"][-1] == {"Size": "4"}
    stack.delete().settled().expect("DELETE_COMPLETE")
    assert requests(world, stack) == [("Create", "A", None), ("Delete", "A", "a-1")]


def test_failed_create_is_deleted_by_the_physical_id_in_its_response(world: World, token: str) -> None:
    stack = start(world, template(token, A={"Id": "half-made", "Response": "FAILED"})).settled()
    stack.expect("ROLLBACK_COMPLETE")
    assert requests(world, stack) == [("Create", "A", None), ("Delete", "A", "half-made")]
    assert "as requested" in stack.reasons("A")[0]


def test_independent_resources_are_created_and_deleted_concurrently(world: World, token: str) -> None:
    slow = {"Seconds": 1.5}
    stack = start(world, template(token, A=dict(slow), B=dict(slow), C=dict(slow)))
    began = time.monotonic()
    stack.settled().expect("CREATE_COMPLETE")
    stack.delete().settled().expect("DELETE_COMPLETE")
    assert time.monotonic() - began < 6
    assert [what for what, _, _ in requests(world, stack)] == ["Create"] * 3 + ["Delete"] * 3


def test_failed_resource_cancels_creates_in_progress(world: World, token: str) -> None:
    body = template(token, A={"Response": "FAILED", "Id": "a"}, B={"Seconds": 4, "Id": "b"})
    stack = start(world, body).settled()
    stack.expect("ROLLBACK_COMPLETE")
    asked = requests(world, stack)
    assert sorted(asked[:2]) == [("Create", "A", None), ("Create", "B", None)]
    deletes = {logical_id: physical_id for what, logical_id, physical_id in asked[2:] if what == "Delete"}
    assert deletes["A"] == "a"
    assert deletes["B"]
    assert deletes["B"] != "b"


def test_depends_on_orders_creation(world: World, token: str) -> None:
    stack = start(world, template(token, A={"Seconds": 0.3}, B={"DependsOn": "A"})).settled()
    stack.expect("CREATE_COMPLETE").delete().settled()
    assert [entry[:2] for entry in requests(world, stack)] == [
        ("Create", "A"),
        ("Create", "B"),
        ("Delete", "B"),
        ("Delete", "A"),
    ]


def test_new_physical_id_on_update_is_a_replacement(world: World, token: str) -> None:
    stack = start(world, template(token, A={"Id": "one"})).settled()
    stack.update(template(token, A={"Id": "two"})).settled().expect("UPDATE_COMPLETE")
    assert requests(world, stack)[1:] == [("Update", "A", "one"), ("Delete", "A", "one")]
    assert stack.physical_id("A") == "two"


def test_failed_update_is_rolled_back_by_an_update(world: World, token: str) -> None:
    stack = start(world, template(token, A={"Id": "same"})).settled()
    stack.update(template(token, A={"Id": "same", "OnUpdate": "FAILED"})).settled().expect("UPDATE_ROLLBACK_COMPLETE")
    assert requests(world, stack)[1:] == [("Update", "A", "same"), ("Update", "A", "same")]


def test_failed_replacement_is_deleted_after_the_rollback(world: World, token: str) -> None:
    stack = start(world, template(token, A={"Id": "old"})).settled()
    stack.update(template(token, A={"Id": "new", "OnUpdate": "FAILED"})).settled().expect("UPDATE_ROLLBACK_COMPLETE")
    assert requests(world, stack)[1:] == [("Update", "A", "old"), ("Update", "A", "new"), ("Delete", "A", "new")]
    assert stack.physical_id("A") == "old"
    stack.delete().settled().expect("DELETE_COMPLETE")
    assert requests(world, stack)[-1] == ("Delete", "A", "old")


def test_service_timeout_ends_a_request_without_a_response(world: World, token: str) -> None:
    stack = start(world, template(token, A={"Response": "nothing", "ServiceTimeout": 1})).settled()
    stack.expect("ROLLBACK_COMPLETE")
    assert "did not receive a response" in stack.reasons("A")[0]


def test_lambda_retries_a_crashed_asynchronous_invocation(world: World, token: str) -> None:
    stack = start(world, template(token, A={"Crash": 2})).settled()
    stack.expect("CREATE_COMPLETE")
    assert len(requests(world, stack)) == 1


def test_response_url_rejects_a_request_that_was_not_signed(world: World, token: str) -> None:
    stack = start(world, template(token, A={"Seconds": 2}))
    signature = world.wait_for("a signature", lambda: world.get("/secrets")["signatures"])[-1]
    world.wait_for("the request", lambda: requests(world, stack))
    path = "/cloudformation-custom-resource-response-useast1/elsewhere?X-Amz-Signature=" + signature
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(world.aws + path, b"{}", method="PUT"))
    stack.settled().expect("CREATE_COMPLETE")


def test_response_url_can_be_retried_after_503(world: World, token: str) -> None:
    with world.faults(responses={"status": 503, "times": 1}):
        stack = start(world, template(token, A={"ServiceTimeout": 20})).settled()
    stack.expect("CREATE_COMPLETE")
    assert [e["status"] for e in world.events("response") if e["what"] == "put"][-2:] == [503, 200]


def test_change_set_lists_a_resource_added_by_a_parameter(world: World) -> None:
    body = {
        "Parameters": {"More": {"Type": "String", "Default": "no"}},
        "Conditions": {"More": {"Fn::Equals": [{"Ref": "More"}, "yes"]}},
        "Resources": {
            "A": {"Type": "AWS::ECS::Cluster"},
            "B": {"Type": "AWS::ECS::Cluster", "Condition": "More"},
        },
    }
    stack = start(world, json.dumps(body)).settled().expect("CREATE_COMPLETE")
    client = world.client("cloudformation")
    made = client.create_change_set(
        StackName=stack.id,
        ChangeSetName="more",
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "More", "ParameterValue": "yes"}],
    )
    changes = client.describe_change_set(ChangeSetName=made["Id"])["Changes"]
    found = [(one["ResourceChange"]["Action"], one["ResourceChange"]["LogicalResourceId"]) for one in changes]
    assert found == [("Add", "B")]


def test_function_logs_and_calls_can_be_read(world: World, token: str) -> None:
    start(world, template(token, A={})).settled()
    lines = world.wait_for("logs", lambda: world.function_logs("echo-provider"))
    assert any('"request": "Create"' in line for line in lines)
    assert any(call["operation"] == "CreateStack" for call in world.calls(caller="client", writes=True))
