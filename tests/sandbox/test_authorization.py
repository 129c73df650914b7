"""What IAM checks for a call, and what a policy with conditions decides.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from sandbox.ecs_pool import EcsPool, client_error
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
