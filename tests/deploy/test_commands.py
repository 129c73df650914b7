"""The commands as a user types them, and the one sentence with which each ends when something is wrong."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cfn.deploy import plan, undeploy
from cfn.deploy.binary import Code, package
from cfn.deploy.errors import DeployError
from deploy.fake_account import STACK_ID, FakeAccount

REPOSITORY = Path(__file__).parents[2]
ARM64 = b"\x7fELF" + bytes(14) + b"\xb7\x00" + bytes(400)


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m cfn.deploy` in an environment without an account."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true", **variables}
    return subprocess.run(
        [sys.executable, "-m", "cfn.deploy", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check"], "AWS_REGION: no Region is set."),
        (["check", "--region", "eu-central-1"], "AWS credentials: none found."),
        (["check", "--profile", "nobody"], "PROFILE: The config profile (nobody) could not be found."),
        (["check", "--function-name", "a_b"], "FUNCTION_NAME: a_b is not a valid name"),
        (["package", "--binary", "nowhere"], "BINARY: there is no file nowhere."),
        (["package", "--binary", "Makefile"], "BINARY: Makefile is not a Linux executable for arm64 or x86-64."),
        (["plan", "--region", "eu-central-1"], "STACK: a plan needs the stack"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_error_is_one_sentence_without_a_traceback(arguments: list[str], expected: str) -> None:
    run = command(*arguments)
    assert run.returncode == 1
    assert run.stderr.startswith(expected)
    assert len(run.stderr.splitlines()) == 1


def test_unreachable_endpoint_is_named() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_MAX_ATTEMPTS": "1"}
    run = command("check", "--region", "eu-central-1", "--endpoint-url", "http://127.0.0.1:9", **keys)
    assert run.returncode == 1
    assert run.stderr.startswith('AWS endpoint: Could not connect to the endpoint URL: "http://127.0.0.1:9/"')


def test_closed_pipe_ends_a_command_without_a_word(tmp_path: Path) -> None:
    """As in `make package | head` when `head` has ended."""
    binary = tmp_path / "bootstrap"
    binary.write_bytes(ARM64)
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-m", "cfn.deploy", "how-to-upload", "--binary", binary],
        cwd=REPOSITORY,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (1, "")


def test_parameters_must_have_the_form_name_value() -> None:
    run = command("deploy", "--parameters", "ClusterName")
    assert run.returncode == 2
    assert "ClusterName has not the form NAME=VALUE" in run.stderr


def test_package_is_reproducible_and_executable(tmp_path: Path) -> None:
    binary = tmp_path / "bootstrap"
    binary.write_bytes(ARM64)
    path, code = package(binary)
    assert (path, code.architecture) == (tmp_path / "bootstrap.zip", "arm64")
    assert path.read_bytes() == Code.of(binary).zip
    [entry] = zipfile.ZipFile(io.BytesIO(code.zip)).infolist()
    assert (entry.filename, entry.external_attr >> 16) == ("bootstrap", 0o755)


def test_how_to_upload_prints_commands_with_the_architecture(tmp_path: Path) -> None:
    (tmp_path / "bootstrap").write_bytes(ARM64)
    run = command("how-to-upload", "--binary", str(tmp_path / "bootstrap"), "--function-name", "second")
    assert run.returncode == 0
    assert "aws s3 cp " in run.stdout
    assert "--parameter-overrides FunctionName=second" in run.stdout
    assert "Architecture=arm64" in run.stdout


def test_plan_needs_either_a_template_or_a_change_set() -> None:
    for options in ({}, {"template": "cfn/pool.yaml", "change_set": "more"}):
        account = FakeAccount(**{"stack": "runners", "template": None, "change_set": None, **options})
        with pytest.raises(DeployError, match=r"^STACK: a plan needs the stack"):
            plan.plan(account)


def pool_of(account: FakeAccount, stack_id: str) -> None:
    """One pool in the account."""
    account.returns("ecs", "list_task_definition_families", {"families": ["ghr-ci-Runners-0a1b2c3d4e"]})
    tags = {"github-runner-pool:stack-id": stack_id, "github-runner-pool:logical-id": "Runners"}
    listed = [{"key": key, "value": value} for key, value in tags.items()]
    account.returns("ecs", "describe_task_definition", {"taskDefinition": {}, "tags": listed})


def test_undeploy_keeps_a_function_that_a_pool_needs() -> None:
    account = FakeAccount()
    account.has_stack()
    account.returns("lambda", "get_function_configuration", {"FunctionName": "github-runner-pool"})
    pool_of(account, STACK_ID)
    account.has_stack()
    with pytest.raises(DeployError) as raised:
        undeploy.undeploy(account)
    assert str(raised.value) == (
        "Function github-runner-pool: it is in use, and only it can drain and delete these pools.\n"
        "  Runners of the stack runners (ghr-ci-Runners-0a1b2c3d4e)\n"
        "Delete them from their stacks first."
    )


def account_with_function_and_pool() -> FakeAccount:
    """A function that undeploy finds, deletes and looks for again, and a pool whose stack comes next."""
    account = FakeAccount()
    account.has_no_stack()
    for _ in ("before", "after"):
        account.returns("lambda", "get_function_configuration", {"FunctionName": "github-runner-pool"})
    account.returns("lambda", "delete_function", {}, FunctionName="github-runner-pool")
    pool_of(account, STACK_ID)
    return account


def test_undeploy_ignores_a_pool_of_another_function(capsys: pytest.CaptureFixture[str]) -> None:
    account = account_with_function_and_pool()
    account.has_stack(parameters={"FunctionName": "second"})
    # The operations stack of the other function, which stays in use, as the credentials do.
    account.has_stack(parameters={"FunctionName": "second", "OnFailureQueueName": "queue"})
    undeploy.undeploy(account)
    assert capsys.readouterr().out == "deleted: function github-runner-pool with all its versions\n"


def test_undeploy_prints_an_orphaned_pool(capsys: pytest.CaptureFixture[str]) -> None:
    account = account_with_function_and_pool()
    account.has_no_stack()
    account.has_stack()
    account.fails("ssm", "describe_parameters", "AccessDeniedException")
    undeploy.undeploy(account)
    assert "not deleted: orphaned pool Runners of the stack runners" in capsys.readouterr().out


def test_undeploy_names_the_operations_stack_and_the_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    account = account_with_function_and_pool()
    account.has_no_stack()
    account.has_stack(parameters={"FunctionName": "github-runner-pool", "OnFailureQueueName": "queue"})
    account.returns("ssm", "describe_parameters", {"Parameters": [{"Name": "/github-runner-pool/token"}]})
    undeploy.undeploy(account)
    output = capsys.readouterr().out
    assert "not deleted: stack runners, its dashboard and alarms." in output
    assert "  aws cloudformation delete-stack --region eu-central-1 --stack-name runners\n" in output
    assert "not deleted: parameter /github-runner-pool/token, " in output
    assert "  aws ssm delete-parameter --region eu-central-1 --name /github-runner-pool/token\n" in output


def test_undeploy_of_nothing_names_function_and_region() -> None:
    account = FakeAccount()
    account.has_no_stack()
    account.fails("lambda", "get_function_configuration", "ResourceNotFoundException")
    with pytest.raises(DeployError, match=r"^FUNCTION_NAME: eu-central-1 has no function github-runner-pool"):
        undeploy.undeploy(account)
