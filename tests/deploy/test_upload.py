"""Which of the two ways the function is uploaded, and what becomes of Lambda's errors."""

from __future__ import annotations

from typing import Any

import pytest

from cfn.deploy import upload
from cfn.deploy.binary import Code
from cfn.deploy.errors import DeployError
from deploy.fake_account import FakeAccount

FUNCTION = "github-runner-pool"
ROLE = "arn:aws:iam::111122223333:role/github-runner-pool-Role"
CODE = Code(b"a zip", "arm64")


def new_function() -> upload.Upload:
    return upload.Upload(CODE, ROLE, {"RUNNER_ROLE_ARN": f"{ROLE}-runners"}, exists=False)


def is_ready(account: FakeAccount) -> None:
    """As the two waiters ask."""
    state = {"FunctionName": FUNCTION, "State": "Active", "LastUpdateStatus": "Successful"}
    for _ in range(2):
        account.returns("lambda", "get_function", {"Configuration": state})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "POLL_SECS", 0)


@pytest.mark.parametrize(
    ("options", "cargo", "expected"),
    [
        ({"binary": "bootstrap"}, "/usr/bin/cargo", "cargo"),
        ({"build": "bootstrap"}, "/usr/bin/cargo", "cargo"),
        ({"binary": "bootstrap"}, None, "lambda"),
        ({}, "/usr/bin/cargo", "lambda"),
    ],
)
def test_cargo_lambda_deploys_what_is_built_here_where_there_is_cargo(
    options: dict[str, Any], cargo: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[str] = []
    monkeypatch.setattr(upload.shutil, "which", lambda _: cargo)
    monkeypatch.setattr(upload, "cargo_lambda_deploy", lambda *_: ways.append("cargo"))
    monkeypatch.setattr(upload, "call_lambda", lambda *_: ways.append("lambda"))
    account = account_with(**options)
    is_ready(account)
    upload.upload(account, new_function())
    assert ways == [expected]


def test_function_is_created_once_lambda_can_assume_the_role(capsys: pytest.CaptureFixture[str]) -> None:
    account = account_with()
    late = "The role defined for the function cannot be assumed by Lambda."
    account.fails("lambda", "create_function", "InvalidParameterValueException", late)
    account.returns(
        "lambda",
        "create_function",
        {},
        FunctionName=FUNCTION,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role=ROLE,
        Code={"ZipFile": CODE.zip},
        Architectures=["arm64"],
        Environment={"Variables": {"RUNNER_ROLE_ARN": f"{ROLE}-runners"}},
        Timeout=900,
        MemorySize=128,
    )
    is_ready(account)
    upload.upload(account, new_function())
    assert capsys.readouterr().out == "  Lambda cannot assume the new role yet: trying again\n"


def test_another_error_of_lambda_is_quoted() -> None:
    account = account_with()
    account.fails("lambda", "create_function", "CodeStorageExceededException", "Code storage limit exceeded.")
    with pytest.raises(DeployError, match=r"^Lambda: failed\. Correct the cause .* Code storage limit exceeded\.$"):
        upload.upload(account, new_function())


def account_with(**options: Any) -> FakeAccount:
    return FakeAccount(**{"build": None, "binary": None, **options})
