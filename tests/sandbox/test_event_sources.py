"""What invokes the function besides CloudFormation: the registrations table's stream, and the minute rule.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.ecs_pool import client_error
from sandbox.function import deploy_script
from sandbox.scenario import TEMPLATES
from sandbox.stacks import Stack
from sandbox.state_table import table_template
from sandbox.world import World

SCRIPT = Path(__file__).parent / "stream_provider" / "function.py"
FUNCTION = "of-the-events"
TABLE = f"{FUNCTION}-registrations"
MINUTE_SECS = 0.6


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world whose minutes are shorter than a second."""
    with World.start(tmp_path_factory.mktemp("events"), time_scale=0.3, minute=MINUTE_SECS / 0.3) as started:
        started.prepare()
        yield started


@pytest.fixture(scope="module", autouse=True)
def provider(world: World) -> Iterator[Stack]:
    """The provider's stack around a function that is a script."""
    deploy_script(world, SCRIPT, FUNCTION)
    parameters = {"FunctionName": FUNCTION, "FunctionExists": "true"}
    stack = world.create_stack(FUNCTION, TEMPLATES / "provider.yaml", parameters).expect("CREATE_COMPLETE")
    yield stack
    stack.delete().settled().expect("DELETE_COMPLETE")


def put(world: World, *keys: str) -> None:
    for key in keys:
        world.client("dynamodb").put_item(TableName=TABLE, Item={"key": {"S": key}})


def invocations(world: World) -> list[dict[str, Any]]:
    """What the function printed. The local Lambda writes it when an invocation has ended."""
    return [json.loads(line) for line in world.function_logs(FUNCTION) if line.startswith("{")]


def batches(world: World, key: str) -> list[list[str]]:
    """The batches that this key was in, in no order: each invocation's log is a stream of its own."""
    return [one["keys"] for one in invocations(world) if key in one.get("keys", [])]


def wait_for_stream_event(world: World, what: str, after: int) -> None:
    world.wait_for(f"a batch {what}", lambda: any(one["what"] == what for one in world.events("stream", after)))


def now(world: World) -> int:
    """The journal's newest number."""
    return max((event["seq"] for event in world.events()), default=0)


def test_stream_record_of_a_put_has_the_key_alone(world: World) -> None:
    put(world, "plain-1")
    world.wait_for("the invocation", lambda: batches(world, "plain-1"))
    # An identical put changes nothing, and invokes nobody: the next record is that of another key.
    put(world, "plain-1", "plain-2")
    world.wait_for("the next invocation", lambda: batches(world, "plain-2"))
    assert batches(world, "plain-1") == [["plain-1"]]


def test_report_batch_item_failures_retries_from_the_failed_record_on(world: World) -> None:
    put(world, "ok-1", "fail2-1", "ok-2")
    world.wait_for("its third try", lambda: len(batches(world, "fail2-1")) == 3)
    # The first may have had others before it, which are not tried again.
    assert len([batch for batch in batches(world, "fail2-1") if batch[0] != "fail2-1"]) <= 1
    assert len(batches(world, "ok-1")) == 1


def test_maximum_retry_attempts_drops_a_record_and_goes_on(world: World) -> None:
    began = now(world)
    put(world, "poison-1")
    wait_for_stream_event(world, "dropped", began)
    assert len(batches(world, "poison-1")) == 1 + 3
    put(world, "after-1")
    world.wait_for("the next record", lambda: batches(world, "after-1"))


def test_bisect_batch_on_function_error_separates_a_record_that_crashes(world: World) -> None:
    """While a first record is tried again others gather behind it, so that the next batch has several."""
    began = now(world)
    put(world, "fail2-2", "good-1", "good-2", "crash-1", "good-3")
    wait_for_stream_event(world, "dropped", began)
    world.wait_for("all others", lambda: all(batches(world, f"good-{number}") for number in (1, 2, 3)))
    assert ["crash-1"] in batches(world, "crash-1")
    for number in (1, 2, 3):
        assert any("crash-1" not in batch for batch in batches(world, f"good-{number}")), number


def test_maximum_record_age_drops_a_record_that_is_tried_for_ever(world: World, provider: Stack) -> None:
    def limit(retries: int, age_secs: int) -> None:
        world.client("lambda").update_event_source_mapping(
            UUID=provider.physical_id("RegistrationsMapping"),
            MaximumRetryAttempts=retries,
            MaximumRecordAgeInSeconds=age_secs,
        )

    began = now(world)
    # AWS takes a minute at the least.
    limit(-1, 1)
    put(world, "poison-2")
    wait_for_stream_event(world, "dropped", began)
    limit(3, 600)
    assert [one["why"] for one in world.events("stream", began) if one["what"] == "dropped"] == ["too old"]


def test_minute_rule_sends_ticks(world: World) -> None:
    def ticks() -> list[dict[str, Any]]:
        return [one for one in invocations(world) if "event" in one]

    world.wait_for("two ticks", lambda: len(ticks()) >= 2)
    assert all(one == {"event": {"Tick": {}}} for one in ticks())


def test_kill_ends_only_invocations_of_the_named_event(world: World) -> None:
    deploy_script(world, SCRIPT, "waits")
    world.client("lambda").invoke(FunctionName="waits", InvocationType="Event", Payload=b'{"Wait": {}}')
    for attempt in (1, 2, 3):
        assert world.post("/kill", kind="Listen") == {"killed": None}
        killed = world.wait_for("it", lambda: (one := world.post("/kill", kind="Wait"))["killed"] and one)
        assert killed["attempt"] == attempt
    found = [event for event in world.events("invocation") if event["function"] == "waits"]
    assert {event["of"] for event in found} == {"Wait"}


def test_mapping_has_the_limits_of_the_template(world: World, provider: Stack) -> None:
    mapping = world.client("lambda").get_event_source_mapping(UUID=provider.physical_id("RegistrationsMapping"))
    table = world.client("dynamodb").describe_table(TableName=TABLE)["Table"]
    assert mapping["EventSourceArn"] == table["LatestStreamArn"]
    assert table["StreamSpecification"]["StreamViewType"] == "KEYS_ONLY"
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert (mapping["MaximumRetryAttempts"], mapping["MaximumRecordAgeInSeconds"]) == (3, 600)
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def policy(sid: str) -> dict[str, Any]:
    arn = "arn:aws:dynamodb:us-east-1:000000000000:table/made-up"
    statement = {"Sid": sid, "Effect": "Deny", "Principal": "*", "Action": "dynamodb:Scan", "Resource": arn}
    return {"PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}


def test_resource_policy_and_stream_specification_are_updated_in_place(world: World) -> None:
    def stored(arn: str) -> str:
        found = json.loads(world.client("dynamodb").get_resource_policy(ResourceArn=arn)["Policy"])
        return str(found["Statement"][0]["Sid"])

    arn = f"arn:aws:dynamodb:{world.region}:{world.account}:table/made-up"
    stack = world.create_stack("policies", table_template(ResourcePolicy=policy("First"))).expect("CREATE_COMPLETE")
    assert stored(arn) == "First"
    stream = {"StreamViewType": "KEYS_ONLY", "ResourcePolicy": policy("OfTheStream")}
    changed = table_template(ResourcePolicy=policy("Second"), StreamSpecification=stream)
    stack.update(changed).settled().expect("UPDATE_COMPLETE")
    table = world.client("dynamodb").describe_table(TableName="made-up")["Table"]
    assert (stored(arn), stored(table["LatestStreamArn"])) == ("Second", "OfTheStream")
    stack.update(table_template()).settled().expect("UPDATE_COMPLETE")
    with client_error("PolicyNotFoundException"):
        stored(arn)
    stack.delete().settled().expect("DELETE_COMPLETE")
