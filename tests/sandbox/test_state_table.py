"""The state table of cfn/provider.yaml: what CloudFormation makes of it, and that DynamoDB lets one of two writers win.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.ecs_pool import client_error
from sandbox.scenario import TEMPLATES
from sandbox.state_table import live_records, table_template
from sandbox.world import World

FUNCTION = "of-the-table"
TABLE = f"{FUNCTION}-state"
KEY = "ci/0a1b2c3d/Runners"
DAY_SECS = 86_400
TIME_TO_LIVE = {"AttributeName": "ttl", "Enabled": True}


@pytest.fixture
def table(world: World) -> Iterator[str]:
    stack = world.create_stack(FUNCTION, TEMPLATES / "provider.yaml", {"FunctionName": FUNCTION})
    yield stack.expect("CREATE_COMPLETE").physical_id("StateTable")
    stack.delete().settled().expect("DELETE_COMPLETE")


def item(version: int, key: str = KEY, **more: str) -> dict[str, Any]:
    """As the function stores it; `more` are numbers."""
    numbers = {name: {"N": number} for name, number in more.items()}
    return {"key": {"S": key}, "version": {"N": str(version)}, "record": {"S": "{}"}, **numbers}


def replace(world: World, version: int) -> None:
    """Writes the next version over this one, or the first version over none."""
    over: dict[str, Any] = {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": {"N": str(version)}},
    }
    none = {"ConditionExpression": "attribute_not_exists(#key)", "ExpressionAttributeNames": {"#key": "key"}}
    world.client("dynamodb").put_item(
        TableName=TABLE,
        Item=item(version + 1),
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
        **(over if version else none),
    )


def test_provider_stack_has_a_table_named_after_the_function_with_ttl(world: World, table: str) -> None:
    dynamodb = world.client("dynamodb")
    assert table == TABLE
    found = dynamodb.describe_table(TableName=table)["Table"]
    assert found["KeySchema"] == [{"AttributeName": "key", "KeyType": "HASH"}]
    assert found["AttributeDefinitions"] == [{"AttributeName": "key", "AttributeType": "S"}]
    assert found["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    time_to_live = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert time_to_live == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}


def test_delete_of_the_provider_stack_deletes_a_table_with_items(world: World) -> None:
    stack = world.create_stack(FUNCTION, TEMPLATES / "provider.yaml", {"FunctionName": FUNCTION})
    stack.expect("CREATE_COMPLETE")
    world.client("dynamodb").put_item(TableName=TABLE, Item=item(1))
    stack.delete().settled().expect("DELETE_COMPLETE")
    with client_error("ResourceNotFoundException"):
        world.client("dynamodb").describe_table(TableName=TABLE)


def test_put_item_lets_one_of_two_writers_of_a_version_win(world: World, table: str) -> None:
    assert table == TABLE
    replace(world, 0)
    replace(world, 1)
    for stale in (0, 1):
        with pytest.raises(ClientError) as refused:
            replace(world, stale)
        assert refused.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
        # What the other writer has written, without a second read.
        assert refused.value.response["Item"] == item(2)  # type: ignore[typeddict-item]
    replace(world, 2)


def test_live_records_are_those_without_ttl(world: World, table: str) -> None:
    tomorrow = str(int(time.time()) + DAY_SECS)
    for stored in (item(3), item(4, "ci/0a1b2c3d/Deleted", ttl=tomorrow)):
        world.client("dynamodb").put_item(TableName=table, Item=stored)
    assert live_records(world, FUNCTION) == {KEY: "{}"}


def test_table_name_that_is_taken_fails_the_stack(world: World) -> None:
    first = world.create_stack("first", table_template()).expect("CREATE_COMPLETE")
    second = world.create_stack("second", table_template()).expect("ROLLBACK_COMPLETE")
    assert "'made-up' already exists" in second.reasons("Table")[0]
    # The rollback leaves it to its owner.
    assert world.client("dynamodb").describe_table(TableName="made-up")["Table"]["TableStatus"] == "ACTIVE"
    for stack in (second, first):
        stack.delete().settled().expect("DELETE_COMPLETE")


def test_time_to_live_specification_is_updated_in_place(world: World) -> None:
    def status() -> str:
        found = world.client("dynamodb").describe_time_to_live(TableName="made-up")
        return str(found["TimeToLiveDescription"]["TimeToLiveStatus"])

    stack = world.create_stack("ttl", table_template()).expect("CREATE_COMPLETE")
    assert status() == "DISABLED"
    stack.update(table_template(TimeToLiveSpecification=TIME_TO_LIVE)).settled().expect("UPDATE_COMPLETE")
    assert status() == "ENABLED"
    stack.delete().settled().expect("DELETE_COMPLETE")
    # A table of the same name begins without it.
    again = world.create_stack("ttl-again", table_template()).expect("CREATE_COMPLETE")
    assert status() == "DISABLED"
    again.delete().settled().expect("DELETE_COMPLETE")
