"""The function's table: which request works on a resource, and what it was responded.

The Delete of a pool leaves a record with a time to live, for events that Lambda delivers late. It is a tombstone and
counts as none.
"""

from __future__ import annotations

import json
from typing import Any

from sandbox.function import FUNCTION_NAME
from sandbox.world import World


def live_records(world: World, function: str = FUNCTION_NAME) -> dict[str, str]:
    """The records that have no time to live, by their keys: those of resources that have a pool."""
    pages = world.client("dynamodb").get_paginator("scan").paginate(TableName=f"{function}-state", ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    return {item["key"]["S"]: item["record"]["S"] for item in items if "ttl" not in item}


def table_template(**properties: Any) -> str:
    """A stack with one table of the same shape."""
    given: dict[str, Any] = {
        "TableName": "made-up",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
        **properties,
    }
    return json.dumps({"Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": given}}})
