"""What a job may do with its task's role: put and delete the item of its own task, and nothing else anywhere.

And who else may touch an item: the function, and no identity besides, however much its own policies allow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox.ecs_pool import EcsPool, client_error
from sandbox.function import deploy_script
from sandbox.registrations import FUNCTION, TABLE, Mailbox
from sandbox.scenario import TEMPLATES
from sandbox.template import Template
from sandbox.world import World

STATE = f"{FUNCTION}-state"
STREAM_FUNCTION = Path(__file__).parent / "stream_provider" / "function.py"
DENIED = "AccessDeniedException"
# Every operation on items, and what IAM is asked for. Scan has no key, and PartiQL is four actions.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
ITEM_ACTIONS = {
    f"dynamodb:{name}"
    for name in (
        *("BatchGetItem", "BatchWriteItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem", "UpdateItem"),
        *("Query", "Scan", "PartiQLDelete", "PartiQLInsert", "PartiQLSelect", "PartiQLUpdate"),
    )
}
SOMEBODY = "AROAEXAMPLE:0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which every call is checked against policies."""
    with World.start(tmp_path_factory.mktemp("permissions"), time_scale=0.3, authorize="true") as started:
        started.prepare()
        yield started


@pytest.fixture(scope="module")
def mailbox(world: World) -> Iterator[Mailbox]:
    made = Mailbox(world)
    yield made
    made.delete()


@dataclass
class Task:
    """What a job has of its task: a client with the task's credentials, and the task's key."""

    dynamodb: Any
    key: str
    arn: str


@pytest.fixture(scope="module")
def task(world: World, mailbox: Mailbox) -> Iterator[Task]:
    """A task with the provider's runner role."""
    pool = EcsPool(world)
    pool.make_capacity().make_service(1, pool.define_asking(TABLE, mailbox.runner_role))
    arn = str(world.wait_for("a running task", pool.tasks)[0]["taskArn"])
    key = mailbox.request(arn)["key"]["S"]
    yield Task(world.task_client("dynamodb", arn), key, arn)
    pool.tear_down()


def item(key: str, **more: str) -> dict[str, Any]:
    return {"key": {"S": key}, **{name: {"S": value} for name, value in more.items()}}


def of_role(world: World, name: str, *statements: dict[str, Any]) -> Any:
    """A DynamoDB client in a role of the account with these statements."""
    iam = world.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]["Arn"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]})
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy)
    given = world.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.client(
        "dynamodb",
        endpoint_url=world.aws,
        region_name=world.region,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def test_task_puts_and_deletes_the_item_of_its_own_key(task: Task) -> None:
    task.dynamodb.put_item(TableName=TABLE, Item=item(task.key, task=task.arn))
    with client_error("ConditionalCheckFailedException"):
        task.dynamodb.delete_item(
            TableName=TABLE, Key=item(task.key), ConditionExpression="attribute_exists(answer)", ReturnValues="ALL_OLD"
        )
    taken = task.dynamodb.delete_item(TableName=TABLE, Key=item(task.key), ReturnValues="ALL_OLD")
    assert taken["Attributes"] == item(task.key, task=task.arn)
    task.dynamodb.put_item(TableName=TABLE, Item=item(task.key, task=task.arn))


def statement(text: str) -> dict[str, Any]:
    return {"Statement": text}


OF_OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("put_item", {"Item": item(SOMEBODY)}),
    ("put_item", {"Item": item(SOMEBODY), "ReturnValues": "ALL_OLD"}),
    ("delete_item", {"Key": item(SOMEBODY), "ReturnValues": "ALL_OLD"}),
    ("update_item", {"Key": item(SOMEBODY)}),
    ("get_item", {"Key": item(SOMEBODY)}),
    ("scan", {}),
]


@pytest.mark.parametrize("table", [TABLE, STATE])
@pytest.mark.parametrize(("operation", "request_"), OF_OTHERS, ids=lambda value: str(value)[:40])
def test_task_is_denied_items_of_others(task: Task, operation: str, request_: dict[str, Any], table: str) -> None:
    with client_error(DENIED):
        getattr(task.dynamodb, operation)(TableName=table, **request_)


def test_task_is_denied_reads_of_its_own_item(task: Task) -> None:
    """Of its answer too: a second reader would leave no trace."""
    own = item(task.key)
    for attempt in (
        lambda: task.dynamodb.get_item(TableName=TABLE, Key=own),
        lambda: task.dynamodb.update_item(TableName=TABLE, Key=own),
        lambda: task.dynamodb.query(
            TableName=TABLE,
            KeyConditionExpression="#key = :key",
            ExpressionAttributeNames={"#key": "key"},
            ExpressionAttributeValues={":key": own["key"]},
        ),
        lambda: task.dynamodb.batch_get_item(RequestItems={TABLE: {"Keys": [own]}}),
        lambda: task.dynamodb.transact_get_items(TransactItems=[{"Get": {"TableName": TABLE, "Key": own}}]),
    ):
        with client_error(DENIED):
            attempt()


def test_task_is_denied_batches_transactions_and_partiql(task: Task) -> None:
    others = item(SOMEBODY)
    check = {"TableName": TABLE, "Key": item(task.key), "ConditionExpression": "attribute_exists(answer)"}
    for attempt in (
        lambda: task.dynamodb.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": item(task.key)}}]}),
        lambda: task.dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": TABLE, "Item": others}}]),
        lambda: task.dynamodb.transact_write_items(TransactItems=[{"ConditionCheck": check}]),
        lambda: task.dynamodb.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": TABLE, "Item": item(task.key)}},
                {"Delete": {"TableName": TABLE, "Key": others}},
            ]
        ),
        lambda: task.dynamodb.execute_statement(Statement=f'SELECT * FROM "{TABLE}" WHERE "key" = \'{task.key}\''),
        lambda: task.dynamodb.execute_statement(Statement=f'DELETE FROM "{TABLE}" WHERE "key" = \'{SOMEBODY}\''),
        lambda: task.dynamodb.execute_statement(Statement=f"INSERT INTO \"{TABLE}\" VALUE {{'key': '{SOMEBODY}'}}"),
        lambda: task.dynamodb.batch_execute_statement(Statements=[statement(f'SELECT * FROM "{TABLE}"')]),
        lambda: task.dynamodb.execute_transaction(TransactStatements=[statement(f'SELECT * FROM "{TABLE}"')]),
    ):
        with client_error(DENIED):
            attempt()


def test_task_is_denied_everything_else(world: World, task: Task) -> None:
    account = f"arn:aws:iam::{world.account}:role/github-runner-pool"
    for attempt in (
        lambda: task.dynamodb.describe_table(TableName=TABLE),
        lambda: task.dynamodb.list_tables(),
        lambda: task.dynamodb.delete_table(TableName=TABLE),
        lambda: task.dynamodb.put_resource_policy(ResourceArn=arn(world, TABLE), Policy="{}"),
        lambda: world.task_client("ssm", task.arn).get_parameter(Name="/github-runner-pool/token"),
        lambda: world.task_client("lambda", task.arn).invoke(FunctionName=FUNCTION, Payload=b"{}"),
        lambda: world.task_client("ecs", task.arn).list_clusters(),
        lambda: world.task_client("sts", task.arn).assume_role(RoleArn=account, RoleSessionName="0" * 32),
        lambda: world.task_client("iam", task.arn).list_roles(),
    ):
        with pytest.raises(ClientError) as denied:
            attempt()
        assert denied.value.response["Error"]["Code"] in (DENIED, "AccessDenied")


def test_role_with_the_policy_asks_for_its_own_task_only_under_the_session_name_of_ecs(
    world: World, mailbox: Mailbox, task: Task
) -> None:
    """Why nobody but ECS may assume such a role: the session's name is the key."""
    policy = world.client("iam").get_policy(PolicyArn=mailbox.stack.outputs["RunnerPolicyArn"])["Policy"]
    document = world.client("iam").get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])[
        "PolicyVersion"
    ]["Document"]
    [allowed] = document["Statement"]
    assert allowed["Condition"]["ForAllValues:StringEquals"] == {"dynamodb:LeadingKeys": ["${aws:userid}"]}
    trust = world.client("iam").get_role(RoleName=mailbox.runner_role.rsplit("/", 1)[-1])["Role"]
    [assumes] = trust["AssumeRolePolicyDocument"]["Statement"]
    assert assumes["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert assumes["Condition"] == {"StringEquals": {"aws:SourceAccount": world.account}}
    # A role elsewhere is denied by the table, whatever it may by itself.
    elsewhere = of_role(world, "elsewhere", {key: allowed[key] for key in ("Action", "Resource")})
    with client_error(DENIED, "with an explicit deny in a resource-based policy"):
        elsewhere.put_item(TableName=TABLE, Item=item(task.key))


@pytest.mark.parametrize("table", [TABLE, STATE])
def test_administrator_is_denied_items_and_may_manage_the_table(world: World, mailbox: Mailbox, table: str) -> None:
    assert table.startswith(FUNCTION), mailbox
    administrator = of_role(world, f"administrator-{table}", {"Action": "*", "Resource": "*"})
    key = item(SOMEBODY)
    for attempt in (
        *(lambda it=it: getattr(administrator, it[0])(TableName=table, **it[1]) for it in OF_OTHERS),
        lambda: administrator.batch_get_item(RequestItems={table: {"Keys": [key]}}),
        lambda: administrator.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": key}}]}),
        lambda: administrator.transact_get_items(TransactItems=[{"Get": {"TableName": table, "Key": key}}]),
        lambda: administrator.transact_write_items(TransactItems=[{"Delete": {"TableName": table, "Key": key}}]),
        lambda: administrator.execute_statement(Statement=f'SELECT * FROM "{table}"'),
        lambda: administrator.execute_statement(Statement=f'DELETE FROM "{table}" WHERE "key" = \'{SOMEBODY}\''),
    ):
        with client_error(DENIED, "with an explicit deny in a resource-based policy"):
            attempt()
    assert administrator.describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE"
    administrator.describe_time_to_live(TableName=table)
    administrator.update_table(TableName=table, DeletionProtectionEnabled=True)
    administrator.update_table(TableName=table, DeletionProtectionEnabled=False)
    policy = administrator.get_resource_policy(ResourceArn=arn(world, table))["Policy"]
    administrator.put_resource_policy(ResourceArn=arn(world, table), Policy=policy)


def test_table_policies_deny_every_operation_on_items_and_no_other() -> None:
    resources = Template.read(TEMPLATES / "provider.yaml").resources
    for table in ("StateTable", "RegistrationsTable"):
        statements = resources[table]["Properties"]["ResourcePolicy"]["PolicyDocument"]["Statement"]
        denied = [action for one in statements for action in one["Action"]]
        assert sorted(denied) == sorted(ITEM_ACTIONS), table
        assert {one["Effect"] for one in statements} == {"Deny"}


def test_function_role_reads_and_answers_registrations(world: World, mailbox: Mailbox) -> None:
    """The function's role, as Lambda assumes it."""
    name = mailbox.stack.physical_id("Role")
    function = as_lambda(world, name)
    world.client("dynamodb").put_item(TableName=TABLE, Item=item(SOMEBODY, task="made up"))
    assert function.get_item(TableName=TABLE, Key=item(SOMEBODY))["Item"] == item(SOMEBODY, task="made up")
    function.update_item(TableName=TABLE, Key=item(SOMEBODY))
    function.put_item(TableName=STATE, Item=item("made up"))
    for attempt in (
        lambda: function.delete_item(TableName=TABLE, Key=item(SOMEBODY)),
        lambda: function.put_item(TableName=TABLE, Item=item(SOMEBODY)),
        lambda: function.scan(TableName=TABLE),
        lambda: function.delete_item(TableName=STATE, Key=item("made up")),
    ):
        with client_error(DENIED, "no identity-based policy allows"):
            attempt()


def as_lambda(world: World, role: str) -> Any:
    """A client in the role of the function, which is trusted to Lambda: the account's root may stand for a service."""
    arn_of_role = world.client("iam").get_role(RoleName=role)["Role"]["Arn"]
    given = world.client("sts").assume_role(RoleArn=arn_of_role, RoleSessionName=FUNCTION)["Credentials"]
    return boto3.client(
        "dynamodb",
        endpoint_url=world.aws,
        region_name=world.region,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def test_event_source_mapping_needs_a_role_that_reads_the_stream(world: World, mailbox: Mailbox) -> None:
    """Lambda asks when it makes the mapping, so a provider's stack without one of these permissions fails."""
    assert mailbox.runner_role
    deploy_script(world, STREAM_FUNCTION, FUNCTION)
    stream = world.client("dynamodb").describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    mapping = {"FunctionName": FUNCTION, "EventSourceArn": stream, "StartingPosition": "TRIM_HORIZON"}
    body = {"Resources": {"Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping}}}
    stack = world.create_stack("mapping", json.dumps(body)).expect("ROLLBACK_COMPLETE")
    assert "Please ensure the role can perform the GetRecords, GetShardIterator" in stack.reasons("Mapping")[0]
    role = world.client("iam").get_role(RoleName=mailbox.stack.physical_id("Role"))["Role"]["Arn"]
    world.client("lambda").update_function_configuration(FunctionName=FUNCTION, Role=role)
    again = world.create_stack("mapping-again", json.dumps(body)).expect("CREATE_COMPLETE")
    for made in (stack, again):
        made.delete().settled().expect("DELETE_COMPLETE")
    world.client("lambda").delete_function(FunctionName=FUNCTION)


def arn(world: World, table: str) -> str:
    return f"arn:aws:dynamodb:{world.region}:{world.account}:table/{table}"


def test_keys_only_stream_has_no_answer(world: World, mailbox: Mailbox, task: Task) -> None:
    mailbox.answer(mailbox.request(task.arn), kind="refused", message="a secret of the answer", retry=True)
    streams = world.client("dynamodbstreams")
    found = world.client("dynamodb").describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    [shard] = streams.describe_stream(StreamArn=found)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(StreamArn=found, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    records = streams.get_records(ShardIterator=iterator)["Records"]
    assert {record["eventName"] for record in records} >= {"INSERT", "MODIFY"}
    assert not re.search("secret|NewImage|OldImage", json.dumps(records, default=str))
