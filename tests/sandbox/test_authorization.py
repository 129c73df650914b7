"""What IAM checks for a call, and what a policy with conditions decides.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from sandbox.ecs_pool import ROLE, EcsPool, client_error
from sandbox.world import World

Statement = dict[str, Any]
TAG = "github-runner-pool:id"
STACK = "arn:aws:cloudformation:us-east-1:000000000000:stack/made-up/0a1b2c3d-1111-2222-3333-444455556666"
TASK_ACTIONS = ["ecs:StopTask", "ecs:UpdateTaskProtection"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which every call is checked against policies."""
    with World.start(tmp_path_factory.mktemp("authorization"), time_scale=0.3, authorize="true") as started:
        started.prepare()
        yield started


@pytest.fixture
def pool(world: World) -> Iterator[EcsPool]:
    made = EcsPool(world)
    yield made
    made.tear_down()


def client(world: World, service: str, name: str, *statements: Statement) -> Any:
    """A client in a role with these statements only."""
    iam = world.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]})
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy)
    given = world.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.client(
        service,
        endpoint_url=world.aws,
        region_name=world.region,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def in_cluster(name: str) -> Statement:
    condition = {"ArnLike": {"ecs:cluster": f"arn:aws:ecs:*:*:cluster/{name}"}}
    return {"Action": TASK_ACTIONS, "Resource": "*", "Condition": condition}


def test_ecs_cluster_condition_key_restricts_task_actions(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    task = pool.tasks()[0]["taskArn"]
    elsewhere = client(world, "ecs", "elsewhere", in_cluster("another"))
    for call, more in (("stop_task", {"task": task}), ("update_task_protection", {"tasks": [task]})):
        asked = {"cluster": pool.cluster, **more, **({"protectionEnabled": False} if "tasks" in more else {})}
        with client_error("AccessDeniedException", "not authorized"):
            getattr(elsewhere, call)(**asked)
    here = client(world, "ecs", "here", in_cluster(pool.cluster))
    find = {"cluster": pool.cluster, "tasks": [task]}
    assert here.update_task_protection(**find, protectionEnabled=True)["failures"] == []
    here.stop_task(cluster=pool.cluster, task=task)
    # It has no tags any more, and is in its cluster all the same.
    here.stop_task(cluster=pool.cluster, task=task)


def test_stop_task_removes_the_resource_tag_condition_key(world: World, pool: EcsPool) -> None:
    tags = [{"key": TAG, "value": "ghr-mine"}]
    pool.make_capacity().make_service(1, tags=tags, propagateTags="SERVICE")
    pool.wait_online(1)
    task = pool.tasks()[0]["taskArn"]
    condition = {"StringLike": {f"aws:ResourceTag/{TAG}": "ghr-*"}}
    tagged = client(world, "ecs", "tagged", {"Action": TASK_ACTIONS, "Resource": "*", "Condition": condition})
    tagged.stop_task(cluster=pool.cluster, task=task)
    with client_error("AccessDeniedException", "ecs:StopTask"):
        tagged.stop_task(cluster=pool.cluster, task=task)
    with client_error("AccessDeniedException", "ecs:UpdateTaskProtection"):
        tagged.update_task_protection(cluster=pool.cluster, tasks=[task], protectionEnabled=False)


def test_run_task_needs_its_task_definition_the_tag_and_the_roles(world: World, pool: EcsPool) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html"""
    pool.make_capacity()
    definition = pool.define()
    cluster = {"ArnEquals": {"ecs:cluster": f"arn:aws:ecs:{world.region}:{world.account}:cluster/{pool.cluster}"}}
    runs = {"Action": "ecs:RunTask", "Resource": f"{definition.rsplit(':', 1)[0]}:*", "Condition": cluster}
    tasks = f"arn:aws:ecs:{world.region}:{world.account}:task/{pool.cluster}/*"
    creates = {"StringEquals": {"ecs:CreateAction": "RunTask", f"aws:RequestTag/{TAG}": "ghr-mine"}}
    tags = {"Action": "ecs:TagResource", "Resource": tasks, "Condition": creates}
    passed = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    passes = {"Action": "iam:PassRole", "Resource": ROLE, "Condition": passed}
    strategy = [{"capacityProvider": pool.name, "weight": 1}]
    asked = {"cluster": pool.cluster, "taskDefinition": definition, "capacityProviderStrategy": strategy}
    tagged = {**asked, "tags": [{"key": TAG, "value": "ghr-mine"}]}
    client(world, "ecs", "runs", runs, passes).run_task(**asked)
    for name, statements, missing in (
        ("untagged", (runs, passes), "ecs:TagResource"),
        ("passes-not", (runs, tags), "iam:PassRole"),
        ("runs-not", (tags, passes), "ecs:RunTask"),
        ("elsewhere-only", ({**runs, "Resource": f"{definition}0"}, tags, passes), "ecs:RunTask"),
    ):
        with client_error("AccessDeniedException", missing):
            client(world, "ecs", name, *statements).run_task(**tagged)
    [made] = client(world, "ecs", "runs-tagged", runs, tags, passes).run_task(**tagged)["tasks"]
    assert made["tags"] == tagged["tags"]


@pytest.mark.parametrize("name", ["/ci/token", "ci-token"])
def test_get_parameter_authorizes_name_arn_and_version_alike(world: World, name: str) -> None:
    world.put_parameter(name, "secret")
    arn = f"arn:aws:ssm:{world.region}:{world.account}:parameter/{name.removeprefix('/')}"
    role = "reader" + name.replace("/", "-")
    reader = client(world, "ssm", role, {"Action": "ssm:GetParameter", "Resource": arn})
    for reference in (name, arn, f"{name}:1", f"{arn}:1"):
        found = reader.get_parameter(Name=reference, WithDecryption=True)["Parameter"]
        assert found["Value"] == "secret"
    other = client(world, "ssm", f"{role}-other", {"Action": "ssm:GetParameter", "Resource": f"{arn}-other"})
    for reference in (name, arn):
        with client_error("AccessDeniedException", arn):
            other.get_parameter(Name=reference)


def test_get_parameter_by_arn_needs_kms_decrypt(world: World) -> None:
    key = f"arn:aws:kms:{world.region}:{world.account}:key/0a1b2c3d-1111-2222-3333-444455556666"
    ssm = world.client("ssm")
    ssm.put_parameter(Name="/ci/own-key", Value="secret", Type="SecureString", KeyId=key)
    arn = ssm.get_parameter(Name="/ci/own-key")["Parameter"]["ARN"]
    keyless = client(world, "ssm", "keyless", {"Action": "ssm:GetParameter", "Resource": arn})
    for reference in ("/ci/own-key", arn):
        with client_error("AccessDeniedException", "kms:Decrypt"):
            keyless.get_parameter(Name=reference, WithDecryption=True)


@pytest.fixture
def tables(world: World) -> Iterator[tuple[str, str]]:
    """The names of two tables."""
    dynamodb, names = world.client("dynamodb"), ("own-state", "other-state")
    for name in names:
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        )
    yield names
    for name in names:
        dynamodb.delete_table(TableName=name)


def test_dynamodb_authorizes_a_table_by_name_and_arn_alike(world: World, tables: tuple[str, str]) -> None:
    own, other = (f"arn:aws:dynamodb:{world.region}:{world.account}:table/{name}" for name in tables)
    allowed = {"Action": ["dynamodb:GetItem", "dynamodb:PutItem"], "Resource": own}
    state = client(world, "dynamodb", "state", allowed)
    key = {"key": {"S": "ci/0a1b2c3d/Runners"}}
    for reference in (tables[0], own):
        state.put_item(TableName=reference, Item=key)
        assert state.get_item(TableName=reference, Key=key, ConsistentRead=True)["Item"] == key
    for reference in (tables[1], other):
        with client_error("AccessDeniedException", other):
            state.put_item(TableName=reference, Item=key)
        with client_error("AccessDeniedException", "dynamodb:GetItem"):
            state.get_item(TableName=reference, Key=key)
    for denied in (lambda: state.scan(TableName=own), lambda: state.delete_item(TableName=own, Key=key)):
        with client_error("AccessDeniedException", own):
            denied()


def test_dynamodb_calls_are_journaled_as_reads_and_writes_and_can_fail(world: World, tables: tuple[str, str]) -> None:
    arn = f"arn:aws:dynamodb:{world.region}:{world.account}:table/{tables[0]}"
    state = client(world, "dynamodb", "journaled", {"Action": "dynamodb:*", "Resource": arn})
    key = {"key": {"S": "ci/0a1b2c3d/Runners"}}
    world.reset_calls()
    fault = {"service": "dynamodb", "operation": "PutItem", "code": "ThrottlingException", "times": 1}
    with world.faults(aws=[fault]):
        # The client tries again.
        state.put_item(TableName=tables[0], Item=key)
    state.get_item(TableName=tables[0], Key=key)
    state.scan(TableName=tables[0])
    calls = world.calls(service="dynamodb")
    assert [(call["operation"], call["write"], call["error"]) for call in calls] == [
        ("PutItem", True, "ThrottlingException"),
        ("PutItem", True, None),
        ("GetItem", False, None),
        ("Scan", False, None),
    ]
    asked = {(check["action"], check["resource"]) for check in world.checks()}
    assert asked >= {("dynamodb:PutItem", arn), ("dynamodb:GetItem", arn)}


def test_describe_stacks_by_arn_returns_the_status_set_by_a_test(world: World) -> None:
    statement = {"Action": "cloudformation:DescribeStacks", "Resource": f"{STACK.rsplit('/', 1)[0]}/*"}
    allowed = client(world, "cloudformation", "describes", statement)
    with client_error("ValidationError", "does not exist"):
        allowed.describe_stacks(StackName=STACK)
    for status in ("UPDATE_ROLLBACK_FAILED", "DELETE_IN_PROGRESS"):
        world.post("/stacks", stack_id=STACK, status=status)
        (found,) = allowed.describe_stacks(StackName=STACK)["Stacks"]
        assert (found["StackId"], found["StackName"], found["StackStatus"]) == (STACK, "made-up", status)
    denied_client = client(world, "cloudformation", "describes-not", {**statement, "Resource": "arn:aws:x:::stack/y"})
    for given in ({"StackName": STACK}, {"StackName": "made-up"}, {}):
        with client_error("AccessDenied", "cloudformation:DescribeStacks"):
            denied_client.describe_stacks(**given)
    world.post("/stacks", stack_id=STACK, status=None)
    with client_error("ValidationError", "does not exist"):
        allowed.describe_stacks(StackName=STACK)


def test_describe_stacks_status_can_be_overridden_and_restored(world: World) -> None:
    body = json.dumps({"Resources": {"Cluster": {"Type": "AWS::ECS::Cluster"}}})
    stack = world.create_stack("real", body).expect("CREATE_COMPLETE")
    world.post("/stacks", stack_id=stack.id, status="DELETE_IN_PROGRESS")
    assert stack.status == "DELETE_IN_PROGRESS"
    world.post("/stacks", stack_id=stack.id, status=None)
    assert stack.status == "CREATE_COMPLETE"
    stack.delete().settled()
    found = world.client("cloudformation").describe_stacks(StackName=stack.id)["Stacks"]
    assert [one["StackStatus"] for one in found] == ["DELETE_COMPLETE"]
