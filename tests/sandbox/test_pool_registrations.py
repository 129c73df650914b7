"""Pools with `RegisterBy: Function`: the function registers their runners, and a job finds no credential."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sandbox.ecs_pool import client_error
from sandbox.function import FUNCTION_NAME
from sandbox.scenario import DeployedWorld, Pool
from sandbox.world import ACCESS_TOKEN, TOKEN_PARAMETER, World

LOG_GROUP = "/ci/registered-runners"
REGISTRATIONS = f"{FUNCTION_NAME}-registrations"
STATE = f"{FUNCTION_NAME}-state"
TICK = {"key": {"S": "tick"}}
FEW_SECS = 30


@pytest.fixture(scope="module")
def log_group(deployed_world: DeployedWorld) -> str:
    deployed_world.world.client("logs").create_log_group(logGroupName=LOG_GROUP)
    return LOG_GROUP


@pytest.fixture(scope="module")
def pools(deployed_world: DeployedWorld, log_group: str) -> Iterator[dict[str, Pool]]:
    """One whose runners get registration tokens, and one whose runners get just-in-time configurations."""
    made = {
        "persistent": deployed_world.start("persistent", LogGroup=log_group),
        "justintime": deployed_world.start("justintime", LogGroup=log_group, Ephemeral=True),
    }
    for pool in made.values():
        pool.up()
    yield made
    for pool in made.values():
        pool.delete()
        assert pool.leftovers() == []


def lines(world: World, task_id: str) -> list[str]:
    """What a runner's container has printed."""
    logs = world.client("logs")
    streams = logs.describe_log_streams(logGroupName=LOG_GROUP)["logStreams"]
    return [
        event["message"]
        for stream in streams
        if stream["logStreamName"].endswith(f"/runner/{task_id}")
        for event in logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream["logStreamName"])["events"]
    ]


@contextmanager
def fault(world: World, **given: Any) -> Generator[None]:
    """A fault for as long as the block lasts, beside those that the world has."""
    before = world.get("/faults")
    world.post("/faults", **given)
    try:
        yield
    finally:
        world.post("/faults", **{name: before[name] for name in given})


def task_id(pool: Pool) -> str:
    return str(pool.tasks()[0]["taskArn"]).rsplit("/", 1)[-1]


def tick(world: World) -> None:
    """The minute rule's event when everything is due, through to the end of the invocation."""
    world.client("dynamodb").delete_item(TableName=STATE, Key=TICK)
    response = world.client("lambda").invoke(FunctionName=FUNCTION_NAME, Payload=b'{"Tick": {}}')
    assert "FunctionError" not in response, response["Payload"].read()


def items(world: World, table: str) -> list[dict[str, Any]]:
    return list(world.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"])


@pytest.mark.parametrize("name", ["persistent", "justintime"])
def test_a_job_finds_no_credential(deployed_world: DeployedWorld, pools: dict[str, Pool], name: str) -> None:
    """Where a job could look: its environment, the task definition, the task, the tables, and its task's role."""
    pool, world = pools[name], deployed_world.world
    secrets = {*world.secrets(), *deployed_world.planted, ACCESS_TOKEN}
    assert len(secrets) > 3
    definition, [task] = pool.task_definition, pool.tasks()
    container = definition["containerDefinitions"][0]
    assert container["secrets"] == []
    environment = {item["name"] for item in container["environment"]}
    assert not environment & {"ACCESS_TOKEN", "APP_ID", "APP_PRIVATE_KEY", "RUNNER_TOKEN"}
    places = {
        "task definition": definition,
        "task": task,
        "registrations table": items(world, REGISTRATIONS),
        "state table": items(world, STATE),
        "container's log": lines(world, task_id(pool)),
    }
    for place, found in places.items():
        text = json.dumps(found, default=str)
        assert [secret[:12] + "…" for secret in secrets if secret in text] == [], place
    arn = str(task["taskArn"])
    for attempt in attempts(world, arn):
        with client_error("AccessDeniedException"):
            attempt()


def attempts(world: World, task_arn: str) -> list[Callable[[], Any]]:
    """Calls that a job could make with its task's role."""
    ssm, dynamodb = world.task_client("ssm", task_arn), world.task_client("dynamodb", task_arn)
    return [
        lambda: ssm.get_parameter(Name=TOKEN_PARAMETER, WithDecryption=True),
        lambda: dynamodb.scan(TableName=REGISTRATIONS),
        lambda: dynamodb.scan(TableName=STATE),
        lambda: world.task_client("lambda", task_arn).invoke(FunctionName=FUNCTION_NAME, Payload=b"{}"),
        lambda: world.task_client("ecs", task_arn).describe_tasks(cluster="ci", tasks=[task_arn]),
    ]


@pytest.mark.parametrize("name", ["persistent", "justintime"])
def test_runner_name_ends_in_the_task_id_and_a_job_succeeds(pools: dict[str, Pool], name: str) -> None:
    pool = pools[name]
    runner = pool.world.wait_for("a runner", pool.online)[0]
    assert runner["name"].endswith(f"-{task_id(pool)[:12]}")
    assert runner["ephemeral"] is (name == "justintime")
    assert {"self-hosted", "Linux", "X64", "default", pool.id} == set(runner["labels"])
    assert pool.job_ends(pool.queue(0.3)) == "succeeded"
    pool.world.wait_for("a runner for the next job", pool.online)


def test_a_job_that_asks_again_gets_no_second_registration(
    deployed_world: DeployedWorld, pools: dict[str, Pool]
) -> None:
    pool, world = pools["persistent"], deployed_world.world
    before = pool.runners()
    arn = str(pool.tasks()[0]["taskArn"])
    dynamodb = world.task_client("dynamodb", arn)
    key = {"key": {"S": world.task_client("sts", arn).get_caller_identity()["UserId"]}}
    for asked, message in (
        (arn, "this task has had its registration, and a task gets one"),
        # A sibling that has not asked yet would be one like this.
        (arn.replace(task_id(pool), "0" * 32), "the request was made with the credentials of another task"),
    ):
        request = {**key, "format": {"N": "1"}, "task": {"S": asked}, "attempt": {"N": "7"}}
        dynamodb.put_item(TableName=REGISTRATIONS, Item=request)
        taken: dict[str, Any] = world.wait_for("the answer", lambda: take(dynamodb, key), FEW_SECS)
        answer = json.loads(taken["answer"]["S"])
        assert (answer["kind"], answer["retry"]) == ("refused", False)
        assert message in answer["message"]
    assert [runner["id"] for runner in pool.runners()] == [runner["id"] for runner in before]


def take(dynamodb: Any, key: dict[str, Any]) -> dict[str, Any] | None:
    """The answer, if it is there, by the call that the start script makes."""
    try:
        taken = dynamodb.delete_item(
            TableName=REGISTRATIONS,
            Key=key,
            ConditionExpression="attribute_exists(#answer)",
            ExpressionAttributeNames={"#answer": "answer"},
            ReturnValues="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return None
    return dict(taken["Attributes"])


def test_tick_removes_registrations_of_containers_that_ended_by_themselves(
    deployed_world: DeployedWorld, pools: dict[str, Pool]
) -> None:
    pool, world = pools["persistent"], deployed_world.world
    [lost] = pool.online()
    [task] = pool.tasks()
    world.client("ecs").stop_task(cluster=pool.cluster, task=task["taskArn"])
    world.wait_for("another runner", lambda: pool.runner_ids() - {lost["id"]})
    world.wait_for("the lost one offline", lambda: lost["id"] not in pool.runner_ids())
    assert lost["id"] in [runner["id"] for runner in pool.runners()]
    tick(world)
    assert [runner["id"] for runner in pool.runners()] == list(pool.runner_ids())
    # The next one is due in ten minutes.
    sequence = deployed_world.sequence
    response = world.client("lambda").invoke(FunctionName=FUNCTION_NAME, Payload=b'{"Tick": {}}')
    assert "FunctionError" not in response
    assert {call["operation"] for call in deployed_world.calls_since(sequence)} == {"GetItem"}


def test_refusal_of_github_is_in_the_log_of_the_container(
    deployed_world: DeployedWorld, pools: dict[str, Pool]
) -> None:
    """Running runners go on; a new one waits, says why, and comes online once GitHub lets it."""
    pool, world = pools["persistent"], deployed_world.world
    [old] = pool.online()
    broken = {"status": 403, "method": "POST", "path": "/registration-token", "message": "Sandbox fault"}
    with fault(world, github=broken):
        pool.begin_update(DesiredCount=2)
        new = world.wait_for(
            "the second task", lambda: [t for t in pool.tasks() if task_id_of(t)[:12] not in old["name"]]
        )
        printed = world.wait_for("its log", lambda: lines(world, task_id_of(new[0])), FEW_SECS)
        assert re.search("registration refused, asking again: .*Sandbox fault", printed[0]), printed
        assert old["id"] in pool.runner_ids()
    pool.stack.settled().expect("UPDATE_COMPLETE")
    assert len(pool.online()) == 2
    pool.update(DesiredCount=1)


def task_id_of(task: dict[str, Any]) -> str:
    return str(task["taskArn"]).rsplit("/", 1)[-1]


def test_server_without_just_in_time_configurations_gets_an_ephemeral_runner_by_token(
    deployed_world: DeployedWorld, pools: dict[str, Pool]
) -> None:
    pool, world = pools["justintime"], deployed_world.world
    with fault(world, just_in_time="absent"):
        [before] = world.wait_for("a runner", pool.online)
        assert pool.job_ends(pool.queue(0.3)) == "succeeded"
        [after] = world.wait_for("its successor", lambda: [r for r in pool.online() if r["id"] != before["id"]])
        assert after["ephemeral"]
        assert pool.job_ends(pool.queue(0.3)) == "succeeded"
    world.wait_for("a runner for the next job", pool.online)
