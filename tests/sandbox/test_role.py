"""The role of cfn/provider.yaml against the calls of the function: it allows all of them, and nothing else.

`iam_checks.json` lists what IAM checks for these calls. The scenarios run in this role, and conftest.py fails a run in
which the function makes a call of another kind.
"""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.iam_checks import CHECKS
from sandbox.policy import CHARACTERS_MAX, Piece, Policies
from sandbox.scenario import FOREIGN_ROLE, OWN_KEY, ROLE_PATH, TEMPLATES
from sandbox.world import PROVIDER_STACK, World

LAMBDA_DESTINATIONS = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html"
LAMBDA_QUEUES = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"
LAMBDA_STREAMS = "https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html"
LAMBDA_LOGS = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html"
LAMBDA_VERSIONS = "https://docs.aws.amazon.com/lambda/latest/dg/access-control-resources.html"

# What no call of the function needs: who does it in the function's name, and where AWS documents it. The local AWS
# checks none of these but those of the stream, when the mapping is made.
ON_ITS_BEHALF = {
    "logs:CreateLogStream": ("Lambda, for the function's log", LAMBDA_LOGS),
    "logs:PutLogEvents": ("Lambda, for the function's log", LAMBDA_LOGS),
    "sqs:SendMessage": ("Lambda, for an event that it gave up", LAMBDA_DESTINATIONS),
    "sqs:ReceiveMessage": ("Lambda, which has the queue invoke the function", LAMBDA_QUEUES),
    "sqs:DeleteMessage": ("Lambda, which has the queue invoke the function", LAMBDA_QUEUES),
    "dynamodb:DescribeStream": ("Lambda, which has the table's stream invoke the function", LAMBDA_STREAMS),
    "dynamodb:GetRecords": ("Lambda, which has the table's stream invoke the function", LAMBDA_STREAMS),
    "dynamodb:GetShardIterator": ("Lambda, which has the table's stream invoke the function", LAMBDA_STREAMS),
    "dynamodb:ListStreams": ("Lambda, which has the table's stream invoke the function", LAMBDA_STREAMS),
    "sqs:GetQueueAttributes": ("Lambda, which has the queue invoke the function", LAMBDA_QUEUES),
}
# Resources of which the function's calls use another one of the same statement.
OTHER_FORMS = {
    ":function:github-runner-pool:*": ("the continuation of a function with an alias or a version", LAMBDA_VERSIONS),
}
REGION, ACCOUNT = "us-east-1", "000000000000"
OWN_ID = "ghr-ci-Runners-0a1b2c3d4e"
OWN = {"aws:ResourceTag/github-runner-pool:id": OWN_ID}
MADE = {"aws:RequestTag/github-runner-pool:id": OWN_ID}
IN_THE_CLUSTER = {"ecs:cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/ci"}
LAUNCHED = {"ec2:LaunchTemplate": f"arn:aws:ec2:{REGION}:{ACCOUNT}:launch-template/lt-0a1b2c3d"}


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role{name}"


def group(name: str) -> str:
    return arn("autoscaling", f"autoScalingGroup:0a1b2c3d:autoScalingGroupName/{name}")


def policies_of_a_provider(world: World, name: str, **parameters: str) -> Policies:
    stack = world.create_stack(name, TEMPLATES / "provider.yaml", parameters).expect("CREATE_COMPLETE")
    return Policies.of_role(world, stack.physical_id("Role"))


@pytest.fixture(scope="module")
def policies(world: World) -> Policies:
    return policies_of_a_provider(world, PROVIDER_STACK, CredentialKeyArn=OWN_KEY)


@pytest.fixture(scope="module")
def policies_of_one_cluster(world: World) -> Policies:
    """The policies of a role with `ClusterName`, which restricts the function to that cluster."""
    return policies_of_a_provider(world, "of-one-cluster", FunctionName="of-one-cluster", ClusterName="ci")


def test_role_allows_every_call_of_the_function(policies: Policies) -> None:
    assert policies.denied(CHECKS) == []


def test_role_has_no_action_or_resource_that_no_call_needs(policies: Policies) -> None:
    """For each action and each resource of each statement there is a call that is denied without it."""
    surplus = [
        str(piece)
        for piece in policies.pieces()
        if not explained(policies, piece) and policies.needing(piece, CHECKS) == []
    ]
    assert surplus == []


def test_role_actions_of_lambda_itself_are_needed_by_no_call(policies: Policies) -> None:
    pieces = [piece for piece in policies.pieces() if explained(policies, piece)]
    assert {piece.text for piece in pieces} >= set(ON_ITS_BEHALF)
    for piece in pieces:
        assert policies.needing(piece, CHECKS) == [], f"{piece} is needed by a call: take it out of the table"


def explained(policies: Policies, piece: Piece) -> bool:
    """Whether a table has it; a resource also if the table has every action of its statement."""
    if piece.kind == "Action":
        return piece.text in ON_ITS_BEHALF
    return policies.actions(piece) <= set(ON_ITS_BEHALF) or piece.text.endswith(tuple(OTHER_FORMS))


def test_role_policies_fit_the_iam_size_quota(policies: Policies) -> None:
    # The sandbox's Region and stack have short names.
    assert policies.n_characters < CHARACTERS_MAX - 1_000


ALLOWED: list[tuple[str, str, dict[str, str]]] = [
    ("ecs:UpdateService", arn("ecs", f"service/ci/{OWN_ID}"), OWN),
    # StopTask deletes a task's tags, and the function may come upon a task right after it was stopped.
    ("ecs:StopTask", arn("ecs", "task/ci/0a1b2c3d"), {}),
    ("ecs:UpdateTaskProtection", arn("ecs", "task/ci/0a1b2c3d"), {}),
    ("ecs:RunTask", arn("ecs", f"task-definition/{OWN_ID}:1"), {**MADE, **IN_THE_CLUSTER}),
    ("autoscaling:DeleteAutoScalingGroup", group(OWN_ID), OWN),
    ("autoscaling:PutWarmPool", group(OWN_ID), OWN),
    ("ec2:RunInstances", arn("ec2", "instance/*"), LAUNCHED),
    ("iam:PassRole", role(f"{ROLE_PATH}execution"), {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
    ("lambda:InvokeFunction", arn("lambda", "function:github-runner-pool:live"), {}),
    ("ssm:GetParameter", arn("ssm", "parameter/github-runner-pool/token"), {}),
    ("dynamodb:PutItem", arn("dynamodb", "table/github-runner-pool-state"), {}),
    ("dynamodb:UpdateItem", arn("dynamodb", "table/github-runner-pool-registrations"), {}),
    ("logs:GetLogEvents", arn("logs", f"log-group:/ci/runners:log-stream:{OWN_ID}/runner/0a1b2c3d"), {}),
]
# The function makes none of these calls, and they would be denied.
REJECTED: list[tuple[str, str, dict[str, str]]] = [
    # Operations that the function has no use for.
    ("ecs:StartTask", arn("ecs", f"task-definition/{OWN_ID}:1"), MADE),
    ("ecs:DeleteCluster", arn("ecs", "cluster/ci"), {}),
    ("ecs:ExecuteCommand", arn("ecs", "task/ci/0a1b2c3d"), OWN),
    ("autoscaling:TerminateInstanceInAutoScalingGroup", group(OWN_ID), OWN),
    ("ec2:TerminateInstances", arn("ec2", "instance/i-0a1b2c3d"), {}),
    ("iam:CreateRole", role(f"{ROLE_PATH}more"), {}),
    # Foreign resources, by their names.
    ("ecs:UpdateService", arn("ecs", "service/ci/web"), OWN),
    ("ecs:DeleteCapacityProvider", arn("ecs", "capacity-provider/web"), OWN),
    ("autoscaling:DeleteAutoScalingGroup", group("web"), OWN),
    ("autoscaling:CompleteLifecycleAction", group("web"), OWN),
    ("ecs:RegisterTaskDefinition", arn("ecs", "task-definition/web:*"), MADE),
    ("ecs:RunTask", arn("ecs", "task-definition/web:1"), {**MADE, **IN_THE_CLUSTER}),
    # Foreign resources, by their tags.
    ("ecs:UpdateService", arn("ecs", f"service/ci/{OWN_ID}"), {}),
    ("autoscaling:UpdateAutoScalingGroup", group(OWN_ID), {}),
    ("autoscaling:DeleteWarmPool", group(OWN_ID), {}),
    # Made without the tag, or made one's own by a tag.
    ("ecs:CreateService", arn("ecs", f"service/ci/{OWN_ID}"), {}),
    ("ecs:RunTask", arn("ecs", f"task-definition/{OWN_ID}:1"), IN_THE_CLUSTER),
    ("autoscaling:CreateAutoScalingGroup", group(OWN_ID), {}),
    ("ecs:TagResource", arn("ecs", "task/ci/0a1b2c3d"), MADE),
    ("ecs:TagResource", arn("ecs", f"service/ci/{OWN_ID}"), MADE),
    ("ec2:CreateTags", arn("ec2", "instance/i-0a1b2c3d"), {}),
    # Without the launch template, whose choices are its owner's.
    ("ec2:RunInstances", arn("ec2", "instance/*"), {}),
    # Foreign roles and functions, or roles for foreign services.
    ("iam:PassRole", FOREIGN_ROLE, {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
    ("iam:PassRole", role(f"{ROLE_PATH}execution"), {"iam:PassedToService": "lambda.amazonaws.com"}),
    ("iam:CreateServiceLinkedRole", role("/aws-service-role/x.amazonaws.com/X"), {}),
    ("lambda:InvokeFunction", arn("lambda", "function:github-runner-pool-2"), {}),
    # Logs that are no runner's, and whatever else can be done with one.
    ("logs:GetLogEvents", arn("logs", "log-group:/aws/lambda/web:log-stream:2026/11/01/[$LATEST]0a1b2c3d"), {}),
    ("logs:DeleteLogStream", arn("logs", f"log-group:/ci/runners:log-stream:{OWN_ID}/runner/0a1b2c3d"), {}),
    # Foreign parameters and secrets, and credentials that only their owner writes.
    ("ssm:GetParameter", arn("ssm", "parameter/database/password"), {}),
    ("ssm:GetParameter", arn("ssm", "parameter/github-runner-pool-2/token"), {}),
    ("ssm:PutParameter", arn("ssm", "parameter/github-runner-pool/token"), {}),
    # Foreign tables, those of other functions, and what a record is never subject to.
    ("dynamodb:GetItem", arn("dynamodb", "table/orders"), {}),
    ("dynamodb:PutItem", arn("dynamodb", "table/github-runner-pool-2-state"), {}),
    ("dynamodb:Scan", arn("dynamodb", "table/github-runner-pool-state"), {}),
    ("dynamodb:DeleteItem", arn("dynamodb", "table/github-runner-pool-state"), {}),
    # What only tasks do in the registrations table, and streams of other tables.
    ("dynamodb:PutItem", arn("dynamodb", "table/github-runner-pool-registrations"), {}),
    ("dynamodb:DeleteItem", arn("dynamodb", "table/github-runner-pool-registrations"), {}),
    ("dynamodb:UpdateItem", arn("dynamodb", "table/github-runner-pool-2-registrations"), {}),
    ("dynamodb:GetRecords", arn("dynamodb", "table/orders/stream/2026-11-01T00:00:00.000"), {}),
    ("dynamodb:DeleteTable", arn("dynamodb", "table/github-runner-pool-state"), {}),
    ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:database-0a1b2c"), {}),
    ("kms:Decrypt", arn("kms", "key/0a1b2c3d"), {"kms:ViaService": "s3.us-east-1.amazonaws.com"}),
]


@pytest.mark.parametrize(("action", "resource", "keys"), ALLOWED, ids=lambda value: str(value)[-40:])
def test_role_allows(policies: Policies, action: str, resource: str, keys: dict[str, str]) -> None:
    assert policies.allow({"action": action, "resource": resource, "keys": keys})


@pytest.mark.parametrize(("action", "resource", "keys"), REJECTED, ids=lambda value: str(value)[-40:])
def test_role_denies(policies: Policies, action: str, resource: str, keys: dict[str, str]) -> None:
    more: dict[str, Any] = {"action": action, "resource": resource, "keys": keys, "operation": "made up"}
    assert len(policies.denied([more])) == 1


@pytest.mark.parametrize("action", ["DescribeTasks", "GetTaskProtection", "StopTask", "UpdateTaskProtection"])
def test_cluster_name_parameter_restricts_task_actions(policies_of_one_cluster: Policies, action: str) -> None:
    def check(cluster: str) -> dict[str, Any]:
        return {"action": f"ecs:{action}", "resource": arn("ecs", f"task/{cluster}/0a1b2c3d"), "keys": OWN}

    assert policies_of_one_cluster.allow(check("ci"))
    assert [policies_of_one_cluster.allow(check(other)) for other in ("web", "ci-2")] == [False, False]


def test_cluster_name_parameter_restricts_run_task(policies_of_one_cluster: Policies) -> None:
    def check(cluster: str) -> dict[str, Any]:
        keys = {**MADE, "ecs:cluster": arn("ecs", f"cluster/{cluster}")}
        return {"action": "ecs:RunTask", "resource": arn("ecs", f"task-definition/{OWN_ID}:1"), "keys": keys}

    assert policies_of_one_cluster.allow(check("ci"))
    assert [policies_of_one_cluster.allow(check(other)) for other in ("web", "ci-2")] == [False, False]
