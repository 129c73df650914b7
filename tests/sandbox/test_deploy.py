"""`make deploy` and what comes after it: a pool, a job, `make undeploy`. And the way by CloudFormation alone.

The local AWS checks what the function does against its role, as AWS does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cli_user import CliUser
from sandbox.function import FUNCTION_NAME, build
from sandbox.scenario import LOGICAL_ID, TEMPLATES, leftovers
from sandbox.world import REPOSITORY, World

ECS_ROLE = "AWSServiceRoleForECS"
QUICK = "SETTINGS=POLL_INTERVAL_SECS=0.2 LOG_LEVEL=debug"
BUCKET = "code"


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The development binary without its debug information, which would be packed again and again."""
    stripped = tmp_path_factory.mktemp("binary") / "bootstrap"
    subprocess.run(["strip", "-o", stripped, build()], check=True)
    return stripped


@pytest.fixture(scope="module")
def engineer(tmp_path_factory: pytest.TempPathFactory, binary: Path) -> Iterator[CliUser]:
    """In an account in which nothing is but a token. It never had an ECS cluster."""
    with World.start(tmp_path_factory.mktemp("account"), time_scale=0.3, authorize="true") as world:
        world.prepare()
        world.client("iam").delete_service_linked_role(RoleName=ECS_ROLE)
        yield CliUser(world, binary)


@pytest.fixture
def deployed(engineer: CliUser) -> Iterator[str]:
    """What `make deploy` said; whatever a test has deployed is gone after it."""
    yield engineer.deploy(QUICK)
    if engineer.world.stacks.exists(FUNCTION_NAME):
        engineer.make("undeploy")


def test_from_an_empty_account_to_a_job_and_back(engineer: CliUser) -> None:
    world = engineer.world
    told = engineer.deploy(QUICK)
    token = f"arn:aws:lambda:{world.region}:{world.account}:function:{FUNCTION_NAME}"
    assert f"ServiceToken: {token}\n" in told
    assert "--template-file cfn/pool.yaml" in told
    assert f"role {ECS_ROLE}: made" in told

    stack = engineer.pool("runners")
    pool_id = stack.physical_id(LOGICAL_ID)
    job = world.queue_job([pool_id], 1)
    world.wait_for("the job's end", lambda: world.job(job)["state"] == "succeeded")

    world.reset_calls()
    refusal = engineer.make("undeploy", refused=True)
    assert f"{LOGICAL_ID} of the stack runners ({pool_id})" in refusal
    assert engineer.writes() == []

    stack.delete().settled().expect("DELETE_COMPLETE")
    assert leftovers(world, pool_id) == []
    removed = engineer.make("undeploy")
    for thing in ("the stack github-runner-pool", "AWS::IAM::Role ", "AWS::SQS::Queue ", "the function "):
        assert thing in removed, removed
    assert not world.stacks.exists(FUNCTION_NAME)
    assert FUNCTION_NAME in engineer.make("undeploy", refused=True)


def test_a_function_has_its_settings_and_its_retries_and_may_go_on_by_itself(engineer: CliUser, deployed: str) -> None:
    assert "function github-runner-pool: creating" in deployed
    client, stack = engineer.world.client("lambda"), engineer.world.stacks.get(FUNCTION_NAME)
    found = client.get_function_configuration(FunctionName=FUNCTION_NAME)
    assert (found["Timeout"], found["MemorySize"], found["Runtime"]) == (900, 128, "provided.al2023")
    assert found["Role"] == stack.outputs["RoleArn"]
    assert client.get_function_recursion_config(FunctionName=FUNCTION_NAME)["RecursiveLoop"] == "Allow"
    retries = client.get_function_event_invoke_config(FunctionName=FUNCTION_NAME, Qualifier="$LATEST")
    assert (retries["MaximumRetryAttempts"], retries["MaximumEventAgeInSeconds"]) == (2, 3600)
    queue = retries["DestinationConfig"]["OnFailure"]["Destination"]
    mappings = client.list_event_source_mappings(FunctionName=FUNCTION_NAME)["EventSourceMappings"]
    assert [mapping["EventSourceArn"] for mapping in mappings] == [queue]


def test_a_second_deployment_writes_nothing(engineer: CliUser, deployed: str) -> None:
    engineer.world.reset_calls()
    again = engineer.deploy(QUICK)
    assert engineer.writes() == []
    assert "Nothing has changed" in again
    assert "Nothing has changed" not in deployed
    # And says the same in the end.
    assert again[again.index("ServiceToken") :] == deployed[deployed.index("ServiceToken") :]


def test_settings_and_parameters_stay_until_others_are_given(engineer: CliUser, deployed: str) -> None:
    assert deployed
    engineer.deploy("SETTINGS=LOG_LEVEL=warn", "PARAMETERS=LogRetentionDays=7")
    engineer.world.reset_calls()
    engineer.deploy()
    assert engineer.writes() == []
    assert engineer.variables() == {"LOG_LEVEL": "warn"}
    [group] = engineer.world.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]
    assert group["retentionInDays"] == 7


def test_what_somebody_changed_by_hand_is_put_right(engineer: CliUser, deployed: str) -> None:
    assert deployed
    client = engineer.world.client("lambda")
    role = client.get_function_configuration(FunctionName=FUNCTION_NAME)["Role"]
    client.update_function_configuration(FunctionName=FUNCTION_NAME, Role=f"{role}-other", Timeout=30)
    client.put_function_recursion_config(FunctionName=FUNCTION_NAME, RecursiveLoop="Terminate")
    told = engineer.deploy()
    assert "function github-runner-pool: updating role, timeout\n" in told
    found = client.get_function_configuration(FunctionName=FUNCTION_NAME)
    assert (found["Role"], found["Timeout"]) == (role, 900)
    assert client.get_function_recursion_config(FunctionName=FUNCTION_NAME)["RecursiveLoop"] == "Allow"


def test_a_function_that_was_deleted_comes_back_with_the_same_arn(engineer: CliUser, deployed: str) -> None:
    engineer.world.client("lambda").delete_function(FunctionName=FUNCTION_NAME)
    again = engineer.deploy(QUICK)
    assert again[again.index("ServiceToken") :] == deployed[deployed.index("ServiceToken") :]
    found = engineer.world.client("lambda").list_event_source_mappings(FunctionName=FUNCTION_NAME)
    assert len(found["EventSourceMappings"]) == 1


def test_another_name_is_another_function_and_minds_its_own_pools(engineer: CliUser, deployed: str) -> None:
    assert deployed
    engineer.deploy(QUICK, "FUNCTION_NAME=second")
    stack = engineer.pool("of-the-second", "second")
    assert LOGICAL_ID in engineer.make("undeploy", "FUNCTION_NAME=second", refused=True)
    engineer.make("undeploy")
    stack.delete().settled().expect("DELETE_COMPLETE")
    engineer.make("undeploy", "FUNCTION_NAME=second")
    assert engineer.world.client("lambda").list_functions()["Functions"] == []


def test_a_pool_whose_stack_is_gone_holds_nothing_up(engineer: CliUser, deployed: str) -> None:
    assert deployed
    gone = f"arn:aws:cloudformation:{engineer.world.region}:{engineer.world.account}:stack/gone/0-0"
    tags = {"github-runner-pool:stack-id": gone, "github-runner-pool:logical-id": "Lost"}
    definition = engineer.world.client("ecs").register_task_definition(
        family="ghr-gone-Lost-0123456789",
        containerDefinitions=[{"name": "runner", "image": "none", "memory": 8}],
        tags=[{"key": key, "value": value} for key, value in tags.items()],
    )
    told = engineer.make("undeploy")
    assert "left alone: Lost of the stack gone (ghr-gone-Lost-0123456789), which no stack has any more" in told
    assert "removed: the function" in told
    arn = definition["taskDefinition"]["taskDefinitionArn"]
    engineer.world.client("ecs").deregister_task_definition(taskDefinition=arn)


def test_a_stack_that_fails_says_why_and_leaves_nothing_that_the_next_one_trips_over(engineer: CliUser) -> None:
    logs = engineer.world.client("logs")
    logs.create_log_group(logGroupName=f"/aws/lambda/{FUNCTION_NAME}")
    refusal = engineer.deploy(refused=True)
    assert "the first line is the cause:\n  LogGroup: " in refusal
    assert "already exists" in refusal
    assert not engineer.world.stacks.exists(FUNCTION_NAME)
    logs.delete_log_group(logGroupName=f"/aws/lambda/{FUNCTION_NAME}")
    engineer.deploy()
    engineer.make("undeploy")


def test_a_role_that_lambda_has_not_heard_of_yet_is_waited_for(engineer: CliUser) -> None:
    late = {
        "service": "lambda",
        "operation": "POST /2015-03-31/functions",
        "caller": "client",
        "code": "InvalidParameterValueException",
        "message": "The role defined for the function cannot be assumed by Lambda.",
        "times": 1,
    }
    with engineer.world.faults(aws=[late]):
        told = engineer.deploy()
    assert told.count("once more") == 1
    engineer.make("undeploy")
    with engineer.world.faults(aws=[{**late, "message": "The runtime is not to Lambda's liking."}]):
        assert "The runtime is not to Lambda's liking." in engineer.deploy(refused=True)
    # What was begun is taken up again.
    assert "creating, for x86_64" in engineer.deploy()
    engineer.make("undeploy")


def error(operation: str) -> dict[str, str]:
    """What IAM answers to somebody who may deploy functions, and nothing in IAM by himself."""
    refusal = {"code": "AccessDenied", "message": f"not authorized to perform: iam:{operation}"}
    return {"service": "iam", "operation": operation, "caller": "client", **refusal}


def test_create_service_linked_role_denied_is_a_warning_with_the_command_for_an_administrator(
    engineer: CliUser,
) -> None:
    iam = engineer.world.client("iam")
    iam.delete_service_linked_role(RoleName=ECS_ROLE)
    with engineer.world.faults(aws=[error("CreateServiceLinkedRole")]):
        told = engineer.deploy(QUICK)
    assert f"warning: ECS's role {ECS_ROLE} is not there, and could not be made: " in told
    assert "not authorized to perform: iam:CreateServiceLinkedRole" in told
    [service] = re.findall(r"^  aws iam create-service-linked-role --aws-service-name (\S+)$", told, re.MULTILINE)
    assert "ServiceToken: " in told
    # What the command does, and then there is nothing more to say of it.
    iam.create_service_linked_role(AWSServiceName=service)
    assert "Nothing has changed" in engineer.deploy(QUICK)
    engineer.make("undeploy")


def test_an_ecs_role_that_may_not_be_looked_up_is_made_or_found_to_be_taken(engineer: CliUser) -> None:
    iam = engineer.world.client("iam")
    with engineer.world.faults(aws=[error("GetRole")]):
        assert ECS_ROLE not in engineer.deploy(QUICK)
        iam.delete_service_linked_role(RoleName=ECS_ROLE)
        assert f"role {ECS_ROLE}: made" in engineer.deploy(QUICK)
    with engineer.world.faults(aws=[error("GetRole"), error("CreateServiceLinkedRole")]):
        assert f"warning: ECS's role {ECS_ROLE} could not be looked up, and could not be made" in engineer.deploy(QUICK)
    engineer.make("undeploy")


def test_a_binary_gives_the_same_small_zip_whenever_it_was_built(binary: Path, tmp_path: Path) -> None:
    later = Path(shutil.copy(binary, tmp_path / "bootstrap"))
    os.utime(later, (0, binary.stat().st_mtime + 3600))
    pack("package", binary)
    pack("package", later)
    code = binary.with_suffix(".zip").read_bytes()
    assert code == later.with_suffix(".zip").read_bytes()
    assert len(code) < binary.stat().st_size / 2


def pack(command: str, binary: Path) -> str:
    """What `make package` does once the function is built."""
    call = [sys.executable, "-m", "cfn.deploy", command, "--binary", binary]
    return subprocess.run(call, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


def test_cloudformation_alone_deploys_the_zip_of_a_bucket(engineer: CliUser) -> None:
    world = engineer.world
    packed = pack("how-to-upload", engineer.binary)
    [(source, key)] = re.findall(r"aws s3 cp (\S+) s3://BUCKET/(\S+)", packed)
    parameters = dict(re.findall(r"(\w+)=(\S+)", packed.split("--parameter-overrides")[1]))
    s3 = world.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=key, Body=Path(source).read_bytes())
    stack = world.create_stack(FUNCTION_NAME, TEMPLATES / "provider.yaml", {**parameters, "CodeBucket": BUCKET})
    stack.expect("CREATE_COMPLETE")

    answer = world.client("lambda").invoke(FunctionName=FUNCTION_NAME, Payload=json.dumps({"Plan": {}}).encode())
    assert "FunctionError" not in answer
    assert "OrgName is missing" in answer["Payload"].read().decode()
    retries = world.client("lambda").get_function_event_invoke_config(FunctionName=FUNCTION_NAME, Qualifier="$LATEST")
    assert retries["MaximumRetryAttempts"] == 2
    recursion = world.client("lambda").get_function_recursion_config(FunctionName=FUNCTION_NAME)
    assert recursion["RecursiveLoop"] == "Allow"

    assert f"comes from the bucket {BUCKET}" in engineer.deploy(refused=True)
    engineer.make("undeploy")
    assert world.client("lambda").list_functions()["Functions"] == []


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (["AWS_REGION="], "There is no Region. Say which: AWS_REGION="),
        (["PROFILE=nobody"], "The config profile (nobody) could not be found"),
        (["ENDPOINT_URL=http://127.0.0.1:9"], "Could not connect to the endpoint URL"),
        (["FUNCTION_NAME=a_b"], "FUNCTION_NAME=a_b names the function and its stack"),
        (["BINARY=Makefile"], "Makefile is no Linux executable for arm64 or x86-64"),
        (["BINARY=nowhere"], "There is no file nowhere."),
        (["PARAMETERS=CodeBucket=b"], "CodeBucket is for CloudFormation alone"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_in_a_sentence(engineer: CliUser, variables: list[str], told: str) -> None:
    refusal = engineer.deploy(*variables, refused=True)
    assert told in refusal
    assert "Traceback" not in refusal
    assert not engineer.world.stacks.exists(FUNCTION_NAME)
