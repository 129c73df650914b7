"""`make deploy`, a pool, a job, `make undeploy`, and the deployment by CloudFormation only.

The local AWS checks what the function does against its role, as AWS does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from cfn.deploy.binary import Code
from cfn.deploy.release import CHECKSUMS, own_version, zip_name
from deploy.release_server import Answer, release_server
from sandbox.cli_user import CliUser
from sandbox.function import FUNCTION_NAME, build
from sandbox.leftovers import leftovers
from sandbox.scenario import LOGICAL_ID, TEMPLATES
from sandbox.world import REPOSITORY, TOKEN_PARAMETER, World

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
def cli_user(tmp_path_factory: pytest.TempPathFactory, binary: Path) -> Iterator[CliUser]:
    """In an account in which nothing is but a token. It never had an ECS cluster."""
    with World.start(tmp_path_factory.mktemp("account"), time_scale=0.3, authorize="true") as world:
        world.prepare()
        world.client("iam").delete_service_linked_role(RoleName=ECS_ROLE)
        yield CliUser(world, binary)


@pytest.fixture
def deployed(cli_user: CliUser) -> Iterator[str]:
    """What `make deploy` said; whatever a test has deployed is gone after it."""
    yield cli_user.deploy(QUICK)
    if cli_user.world.stacks.exists(FUNCTION_NAME):
        cli_user.make("undeploy")


def test_deploy_pool_job_and_undeploy_in_an_empty_account(cli_user: CliUser) -> None:
    world = cli_user.world
    output = cli_user.deploy(QUICK)
    token = f"arn:aws:lambda:{world.region}:{world.account}:function:{FUNCTION_NAME}"
    assert f"ServiceToken: {token}\n" in output
    assert "--template-file cfn/pool.yaml" in output
    assert f"role {ECS_ROLE}: created" in output

    stack = cli_user.pool("runners")
    pool_id = stack.physical_id(LOGICAL_ID)
    job = world.queue_job([pool_id], 1)
    world.wait_for("the job's end", lambda: world.job(job)["state"] == "succeeded")

    world.reset_calls()
    error = cli_user.make("undeploy", fails=True)
    assert f"{LOGICAL_ID} of the stack runners ({pool_id})" in error
    assert cli_user.writes() == []

    stack.delete().settled().expect("DELETE_COMPLETE")
    assert leftovers(world, pool_id) == []
    removed = cli_user.make("undeploy")
    for thing in (
        "stack github-runner-pool",
        "AWS::IAM::Role",
        "AWS::SQS::Queue",
        "AWS::DynamoDB::Table",
        "deleted: function ",
    ):
        assert thing in removed, removed
    assert not world.stacks.exists(FUNCTION_NAME)
    assert world.client("dynamodb").list_tables()["TableNames"] == []
    assert FUNCTION_NAME in cli_user.make("undeploy", fails=True)


def test_deploy_sets_timeout_memory_retries_and_recursive_loop(cli_user: CliUser, deployed: str) -> None:
    assert "function github-runner-pool: creating" in deployed
    client, stack = cli_user.world.client("lambda"), cli_user.world.stacks.get(FUNCTION_NAME)
    found = client.get_function_configuration(FunctionName=FUNCTION_NAME)
    assert (found["Timeout"], found["MemorySize"], found["Runtime"]) == (900, 128, "provided.al2023")
    assert found["Role"] == stack.outputs["RoleArn"]
    assert client.get_function_recursion_config(FunctionName=FUNCTION_NAME)["RecursiveLoop"] == "Allow"
    retries = client.get_function_event_invoke_config(FunctionName=FUNCTION_NAME, Qualifier="$LATEST")
    assert (retries["MaximumRetryAttempts"], retries["MaximumEventAgeInSeconds"]) == (2, 3600)
    queue = retries["DestinationConfig"]["OnFailure"]["Destination"]
    mappings = client.list_event_source_mappings(FunctionName=FUNCTION_NAME)["EventSourceMappings"]
    table = cli_user.world.client("dynamodb").describe_table(TableName=f"{FUNCTION_NAME}-registrations")["Table"]
    assert {mapping["EventSourceArn"] for mapping in mappings} == {queue, table["LatestStreamArn"]}


def test_second_deploy_writes_nothing(cli_user: CliUser, deployed: str) -> None:
    cli_user.world.reset_calls()
    again = cli_user.deploy(QUICK)
    assert cli_user.writes() == []
    assert "No changes" in again
    assert "No changes" not in deployed
    # And says the same in the end.
    assert again[again.index("ServiceToken") :] == deployed[deployed.index("ServiceToken") :]


def test_deploy_keeps_settings_and_parameters_until_others_are_given(cli_user: CliUser, deployed: str) -> None:
    assert deployed
    cli_user.deploy("SETTINGS=LOG_LEVEL=warn", "PARAMETERS=LogRetentionDays=7")
    cli_user.world.reset_calls()
    cli_user.deploy()
    assert cli_user.writes() == []
    role = cli_user.world.stacks.get(FUNCTION_NAME).outputs["RunnerRoleArn"]
    assert cli_user.variables() == {"LOG_LEVEL": "warn", "RUNNER_ROLE_ARN": role}
    [group] = cli_user.world.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]
    assert group["retentionInDays"] == 7


def test_deploy_restores_role_and_timeout_changed_by_hand(cli_user: CliUser, deployed: str) -> None:
    assert deployed
    client = cli_user.world.client("lambda")
    role = client.get_function_configuration(FunctionName=FUNCTION_NAME)["Role"]
    client.update_function_configuration(FunctionName=FUNCTION_NAME, Role=f"{role}-other", Timeout=30)
    client.put_function_recursion_config(FunctionName=FUNCTION_NAME, RecursiveLoop="Terminate")
    output = cli_user.deploy()
    assert "function github-runner-pool: updating role, timeout\n" in output
    found = client.get_function_configuration(FunctionName=FUNCTION_NAME)
    assert (found["Role"], found["Timeout"]) == (role, 900)
    assert client.get_function_recursion_config(FunctionName=FUNCTION_NAME)["RecursiveLoop"] == "Allow"


def test_deploy_recreates_a_deleted_function_with_the_same_arn(cli_user: CliUser, deployed: str) -> None:
    cli_user.world.client("lambda").delete_function(FunctionName=FUNCTION_NAME)
    again = cli_user.deploy(QUICK)
    assert again[again.index("ServiceToken") :] == deployed[deployed.index("ServiceToken") :]
    found = cli_user.world.client("lambda").list_event_source_mappings(FunctionName=FUNCTION_NAME)
    assert len(found["EventSourceMappings"]) == 2


def test_function_name_separates_functions_and_their_pools(cli_user: CliUser, deployed: str) -> None:
    assert deployed
    cli_user.deploy(QUICK, "FUNCTION_NAME=second")
    stack = cli_user.pool("of-the-second", "second")
    assert LOGICAL_ID in cli_user.make("undeploy", "FUNCTION_NAME=second", fails=True)
    cli_user.make("undeploy")
    stack.delete().settled().expect("DELETE_COMPLETE")
    cli_user.make("undeploy", "FUNCTION_NAME=second")
    assert cli_user.world.client("lambda").list_functions()["Functions"] == []


def test_undeploy_ignores_an_orphaned_pool(cli_user: CliUser, deployed: str) -> None:
    assert deployed
    gone = f"arn:aws:cloudformation:{cli_user.world.region}:{cli_user.world.account}:stack/gone/0-0"
    tags = {"github-runner-pool:stack-id": gone, "github-runner-pool:logical-id": "Lost"}
    definition = cli_user.world.client("ecs").register_task_definition(
        family="ghr-gone-Lost-0123456789",
        containerDefinitions=[{"name": "runner", "image": "none", "memory": 8}],
        tags=[{"key": key, "value": value} for key, value in tags.items()],
    )
    output = cli_user.make("undeploy")
    orphaned = "not deleted: orphaned pool Lost of the stack gone (ghr-gone-Lost-0123456789), whose stack is gone"
    assert orphaned in " ".join(output.split())
    assert "deleted: function" in output
    arn = definition["taskDefinition"]["taskDefinitionArn"]
    cli_user.world.client("ecs").deregister_task_definition(taskDefinition=arn)


def test_deploy_quotes_a_failed_stack_and_can_be_retried(cli_user: CliUser) -> None:
    logs = cli_user.world.client("logs")
    logs.create_log_group(logGroupName=f"/aws/lambda/{FUNCTION_NAME}")
    error = cli_user.deploy(fails=True)
    assert "Correct the cause, the first line, and try again.\n  LogGroup: " in error
    assert "already exists" in error
    assert not cli_user.world.stacks.exists(FUNCTION_NAME)
    logs.delete_log_group(logGroupName=f"/aws/lambda/{FUNCTION_NAME}")
    cli_user.deploy()
    cli_user.make("undeploy")


def test_deploy_waits_for_a_role_that_lambda_cannot_assume_yet(cli_user: CliUser) -> None:
    late = {
        "service": "lambda",
        "operation": "POST /2015-03-31/functions",
        "caller": "client",
        "code": "InvalidParameterValueException",
        "message": "The role defined for the function cannot be assumed by Lambda.",
        "times": 1,
    }
    with cli_user.world.faults(aws=[late]):
        output = cli_user.deploy()
    assert output.count("trying again") == 1
    cli_user.make("undeploy")
    with cli_user.world.faults(aws=[{**late, "message": "The runtime is not to Lambda's liking."}]):
        assert "The runtime is not to Lambda's liking." in cli_user.deploy(fails=True)
    # What was begun is taken up again.
    assert "creating, for x86_64" in cli_user.deploy()
    cli_user.make("undeploy")


def access_denied(operation: str) -> dict[str, str]:
    """IAM's error for a user who may deploy functions but not call IAM."""
    error = {"code": "AccessDenied", "message": f"not authorized to perform: iam:{operation}"}
    return {"service": "iam", "operation": operation, "caller": "client", **error}


def test_create_service_linked_role_denied_is_a_warning_with_the_command(
    cli_user: CliUser,
) -> None:
    iam = cli_user.world.client("iam")
    iam.delete_service_linked_role(RoleName=ECS_ROLE)
    with cli_user.world.faults(aws=[access_denied("CreateServiceLinkedRole")]):
        output = cli_user.deploy(QUICK)
    words = " ".join(output.split())
    assert f"warning: service-linked role {ECS_ROLE} does not exist and could not be created: " in words
    assert "not authorized to perform: iam:CreateServiceLinkedRole" in words
    [service] = re.findall(r"^  aws iam create-service-linked-role --aws-service-name (\S+)$", output, re.MULTILINE)
    assert "ServiceToken: " in output
    # What the command does, and then there is nothing more to say of it.
    iam.create_service_linked_role(AWSServiceName=service)
    assert "No changes" in cli_user.deploy(QUICK)
    cli_user.make("undeploy")


def test_get_role_denied_still_creates_the_service_linked_role(cli_user: CliUser) -> None:
    iam = cli_user.world.client("iam")
    with cli_user.world.faults(aws=[access_denied("GetRole")]):
        assert ECS_ROLE not in cli_user.deploy(QUICK)
        iam.delete_service_linked_role(RoleName=ECS_ROLE)
        assert f"role {ECS_ROLE}: created" in cli_user.deploy(QUICK)
    with cli_user.world.faults(aws=[access_denied("GetRole"), access_denied("CreateServiceLinkedRole")]):
        output = cli_user.deploy(QUICK)
    assert f"service-linked role {ECS_ROLE} could not be looked up and could not be created" in " ".join(output.split())
    cli_user.make("undeploy")


def test_package_is_reproducible(binary: Path, tmp_path: Path) -> None:
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


def test_code_bucket_deploys_with_cloudformation_only(cli_user: CliUser) -> None:
    world = cli_user.world
    packed = pack("how-to-upload", cli_user.binary)
    [(source, key)] = re.findall(r"aws s3 cp (\S+) s3://BUCKET/(\S+)", packed)
    parameters = dict(re.findall(r"(\w+)=(\S+)", packed.split("--parameter-overrides")[1]))
    s3 = world.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=key, Body=Path(source).read_bytes())
    stack = world.create_stack(FUNCTION_NAME, TEMPLATES / "provider.yaml", {**parameters, "CodeBucket": BUCKET})
    stack.expect("CREATE_COMPLETE")

    response = world.client("lambda").invoke(FunctionName=FUNCTION_NAME, Payload=json.dumps({"Plan": {}}).encode())
    assert "FunctionError" not in response
    assert "OrgName: required" in response["Payload"].read().decode()
    retries = world.client("lambda").get_function_event_invoke_config(FunctionName=FUNCTION_NAME, Qualifier="$LATEST")
    assert retries["MaximumRetryAttempts"] == 2
    recursion = world.client("lambda").get_function_recursion_config(FunctionName=FUNCTION_NAME)
    assert recursion["RecursiveLoop"] == "Allow"

    assert f"comes from the bucket {BUCKET}" in cli_user.deploy(fails=True)
    cli_user.make("undeploy")
    assert world.client("lambda").list_functions()["Functions"] == []


def test_release_is_downloaded_from_releases_url_and_deployed(cli_user: CliUser) -> None:
    code, version = Code.of(cli_user.binary), own_version()
    name = zip_name(version, "x86-64")
    with release_server() as server:
        checksums = f"{sha256(code.zip).hexdigest()}  {name}\n".encode()
        server.files[f"/v{version}/{CHECKSUMS}"] = Answer(checksums)
        release = ("ARCH=x86-64", f"RELEASES_URL={server.url}")
        # Not what the checksums are of: nothing is deployed.
        server.files[f"/v{version}/{name}"] = Answer(code.zip[:-1] + b"x")
        assert f"RELEASE: {name} has the SHA-256 " in cli_user.make("deploy", *release, fails=True)
        assert not cli_user.world.stacks.exists(FUNCTION_NAME)
        server.files[f"/v{version}/{name}"] = Answer(code.zip)
        output = cli_user.make("deploy", *release)
    assert f"code: release {version} for x86-64, the version of this checkout" in output
    found = cli_user.world.client("lambda").get_function_configuration(FunctionName=FUNCTION_NAME)
    assert found["CodeSha256"] == b64encode(code.sha256).decode()
    cli_user.make("undeploy")


def test_zip_is_deployed_and_updated_without_cargo(
    cli_user: CliUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cargo, called = tmp_path / "cargo", tmp_path / "called"
    cargo.write_text(f"#!/bin/sh\ntouch {called}\nexit 1\n")
    cargo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    other = tmp_path / "bootstrap"
    other.write_bytes(cli_user.binary.read_bytes() + b"x")
    for binary, change in ((cli_user.binary, "creating, for "), (other, "updating code")):
        code, path = Code.of(binary), tmp_path / "release.zip"
        path.write_bytes(code.zip)
        assert f"function {FUNCTION_NAME}: {change}" in cli_user.make("deploy", f"ZIP={path}")
        found = cli_user.world.client("lambda").get_function_configuration(FunctionName=FUNCTION_NAME)
        assert found["CodeSha256"] == b64encode(code.sha256).decode()
        assert (found["Timeout"], found["MemorySize"]) == (900, 128)
        assert (found["Runtime"], found["Handler"], found["Architectures"]) == (
            "provided.al2023",
            "bootstrap",
            [code.architecture],
        )
    assert "No changes" in cli_user.make("deploy", f"ZIP={tmp_path / 'release.zip'}")
    assert not called.exists()
    cli_user.make("undeploy")


def test_undeploy_names_the_operations_stack_and_the_token(cli_user: CliUser, deployed: str) -> None:
    assert deployed
    queue = cli_user.world.stacks.get(FUNCTION_NAME).outputs["OnFailureQueueName"]
    name = f"{FUNCTION_NAME}-operations"
    operations = cli_user.world.create_stack(name, TEMPLATES / "operations.yaml", {"OnFailureQueueName": queue})
    operations.expect("CREATE_COMPLETE")
    output = cli_user.make("undeploy")
    assert f"not deleted: stack {name}, its dashboard and alarms." in output
    assert f"not deleted: parameter {TOKEN_PARAMETER}, " in output
    operations.delete().settled().expect("DELETE_COMPLETE")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (["AWS_REGION="], "AWS_REGION: no Region is set. Set it here, AWS_REGION="),
        (["PROFILE=nobody"], "The config profile (nobody) could not be found"),
        (["ENDPOINT_URL=http://127.0.0.1:9"], "Could not connect to the endpoint URL"),
        (["FUNCTION_NAME=a_b"], "FUNCTION_NAME: a_b is not a valid name of a function and its stack."),
        (["BINARY=Makefile"], "BINARY: Makefile is not a Linux executable for arm64 or x86-64."),
        (["BINARY=nowhere"], "BINARY: there is no file nowhere."),
        (["PARAMETERS=CodeBucket=b"], "CodeBucket: `make deploy` does not deploy from a bucket"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_deploy_error_is_one_sentence(cli_user: CliUser, variables: list[str], expected: str) -> None:
    error = cli_user.deploy(*variables, fails=True)
    assert expected in error
    assert "Traceback" not in error
    assert "make: ***" not in error
    assert not cli_user.world.stacks.exists(FUNCTION_NAME)
