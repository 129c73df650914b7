"""What `make status` prints of the function's answer, for people and for machines."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.response import StreamingBody

from cfn.deploy.errors import DeployError
from cfn.deploy.release import own_version
from cfn.deploy.status import WIDTH_MAX, age, folded, lines, status, table
from deploy.fake_account import FakeAccount

REQUEST = {
    "RequestType": "Update",
    "RequestId": "5f2a0000-0000-0000-0000-0000000000aa",
    "Since": "2026-11-26T12:00:00.000Z",
    "AgeSecs": 754,
    "Continuations": 1,
}
RESPONSE = {"RequestType": "Create", "RequestId": "r", "Status": "SUCCESS", "Reason": None, "IsDelivered": True}
TASK = "20f7158f727a40f8a1b2c3d4e5f60718"


def runner(state: str = "idle", **given: Any) -> dict[str, Any]:
    row = {
        "State": state,
        "Name": "github-runner-ed433d71c7-20f7158f727a",
        "Version": "2.330.0",
        "Task": TASK,
        "Revision": 7,
        "TaskPhase": "Running",
        "StartedAt": "2026-11-26T10:00:00.000Z",
        "AgeSecs": 7980,
        "Instance": "i-0a1b2c3d4e5f60718",
    }
    return {**row, **given}


def instance(**given: Any) -> dict[str, Any]:
    row = {
        "Id": "i-0a1b2c3d4e5f60718",
        "InstanceType": "m7i.large",
        "LifecycleState": "InService",
        "LaunchTemplateVersion": 3,
        "IsConnected": True,
        "IsActive": True,
        "Tasks": 2,
    }
    return {**row, **given}


def pool(**given: Any) -> dict[str, Any]:
    entry = {
        "Pool": "ghr-runners-Runners-ed433d71c7",
        "StackId": "arn:aws:cloudformation:eu-central-1:111122223333:stack/runners/0a1b2c3d",
        "LogicalId": "Runners",
        "Cluster": "ci",
        "Revision": 7,
        "Image": "myoung34/github-runner:ubuntu-noble",
        "DesiredCount": 2,
        "Runners": [],
        "Instances": [],
        "Request": None,
        "LastResponse": RESPONSE,
        "Errors": [],
    }
    return {**entry, **given}


ROWS = [
    runner("busy", Revision=6, AgeSecs=200_000),
    runner(Name="github-runner-ed433d71c7-4b49e16e9730", AgeSecs=75),
    runner("unregistered", Name=None, Version=None, TaskPhase="Starting", AgeSecs=None, Instance=None),
]


def account_that_answers(answer: Any, **options: Any) -> FakeAccount:
    account = FakeAccount(**{"stack": None, "json": None, **options})
    body = json.dumps(answer).encode()
    payload = StreamingBody(io.BytesIO(body), len(body))
    event: dict[str, Any] = {"Status": {"Stack": options["stack"]} if options.get("stack") else {}}
    account.returns(
        "lambda",
        "invoke",
        {"Payload": payload, "StatusCode": 200},
        FunctionName="github-runner-pool",
        Payload=json.dumps(event).encode(),
    )
    return account


def answer(*pools: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {"Status": {"Version": own_version(), "Pools": list(pools), "Errors": [], **given}}


def printed(capsys: pytest.CaptureFixture[str], *pools: dict[str, Any], **options: Any) -> str:
    status(account_that_answers(answer(*pools), **options))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"LastResponse": None}, "  no request at work"),
        ({}, "  last Create: SUCCESS"),
        (
            {"LastResponse": {**RESPONSE, "Status": "FAILED", "Reason": "no", "IsDelivered": False}},
            "  last Create: FAILED, which CloudFormation did not accept: no",
        ),
        ({"DesiredCount": None, "Runners": []}, "  no service: no runners"),
        ({"StackId": None, "LogicalId": None}, "? of the stack ? (ghr-runners-Runners-ed433d71c7)"),
        ({"Instances": [instance(IsConnected=False)]}, "InService, agent disconnected"),
        ({"Instances": [instance(IsActive=False)]}, "InService, draining"),
        (
            {"Instances": [instance(IsConnected=None, IsActive=None, Tasks=None, InstanceType=None)]},
            "i-0a1b2c3d4e5f60718  -     InService, not in the cluster  -      version 3",
        ),
        (
            {
                "Instances": [
                    instance(
                        LifecycleState="Warmed:Stopped", IsConnected=None, IsActive=None, Tasks=None, InstanceType=None
                    )
                ]
            },
            "i-0a1b2c3d4e5f60718  -     Warmed:Stopped  -      version 3",
        ),
        ({"Runners": [runner("offline", Task=None, TaskPhase=None, AgeSecs=None)]}, "offline, no task"),
    ],
)
def test_status_says_what_is_unusual(given: dict[str, Any], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert expected in printed(capsys, pool(**given))


LISTENER = {
    "Mode": "Active",
    "MinRunners": 0,
    "MaxRunners": 20,
    "Target": 3,
    "AssignedJobs": 3,
    "RunningJobs": 2,
    "IdleRunners": 0,
    "HasSession": True,
    "LastMessage": 42,
}


@pytest.mark.parametrize(
    ("listener", "has_listener", "expected"),
    [
        (LISTENER, True, "  scale set ci-large, jobs: 3 assigned, 2 running; listener at work, last message 42\n"),
        ({**LISTENER, "Mode": "Paused"}, True, "; listener at work (paused), last message 42\n"),
        ({**LISTENER, "HasSession": False}, False, "; NO LISTENER, no session at GitHub\n"),
        (None, False, "  scale set ci-large: not set up yet; NO LISTENER\n"),
    ],
)
def test_status_of_max_runners_shows_jobs_and_listener(
    listener: dict[str, Any] | None, has_listener: bool, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scaling = {"ScaleSet": "ci-large", "HasListener": has_listener, "Listener": listener}
    shown = printed(capsys, pool(DesiredCount=None, JobScaling=scaling, Runners=[runner("busy"), runner("busy")]))
    assert expected in shown
    assert f"  as many runners as jobs{', 0 to 20' if listener else ''}: 2 BUSY\n" in shown


def test_status_lines_fit_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    name = "x" * 36 + "-ed433d71c7-20f7158f727a"
    reason = "GitHub token: it may not administer runners. " * 8
    response = {**RESPONSE, "Status": "FAILED", "Reason": reason}
    shown = printed(capsys, pool(Runners=[runner(Name=name), runner("busy")], LastResponse=response))
    assert max(map(len, shown.splitlines())) <= WIDTH_MAX
    assert name in shown
    assert " ".join(reason.split()) in " ".join(shown.split())


def test_status_json_is_the_answer_of_the_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(capsys, pool(), json="1")) == answer(pool())["Status"]


def test_status_without_pools_says_so_or_names_the_stack(capsys: pytest.CaptureFixture[str]) -> None:
    assert "There are no pools." in printed(capsys)
    with pytest.raises(DeployError, match=r"^STACK: eu-central-1 has no pool of a stack gone\."):
        status(account_that_answers(answer(), stack="gone"))


def test_status_fails_with_what_could_not_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    error = "GitHub GET /orgs/acme/actions/runners failed (401): Bad credentials"
    with pytest.raises(DeployError, match=r"^Status: not everything could be read. Correct this first: GitHub GET"):
        status(account_that_answers(answer(pool(Errors=[error]))))
    assert f"  ! {error}\n" in capsys.readouterr().out


@pytest.mark.parametrize("returned", [None, {"errorMessage": "x"}, {"Status": {}}])
def test_status_of_an_older_function_is_an_error(returned: Any) -> None:
    with pytest.raises(
        DeployError, match=r"^Function github-runner-pool: it did not return a status\. Run `make deploy`"
    ):
        status(account_that_answers(returned))


def test_status_without_a_function_says_so() -> None:
    account = FakeAccount(stack=None, json=None)
    account.fails("lambda", "invoke", "ResourceNotFoundException")
    with pytest.raises(
        DeployError, match=r"^Function github-runner-pool: it does not exist, and a status comes from it"
    ):
        status(account)
    account.fails("lambda", "invoke", "AccessDeniedException")
    with pytest.raises(DeployError, match=r"^Function github-runner-pool: a status needs lambda:InvokeFunction on it"):
        status(account)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_documented_log_filter_prints_waits_as_sentences() -> None:
    document = (Path(__file__).parents[2] / "cfn/README.md").read_text()
    [jq] = re.findall(r"^  jq -Rr --unbuffered '(.*)'$", document, re.MULTILINE)
    line = {
        "level": "INFO",
        "logical_id": "Runners",
        "message": "waiting for 1 of 2 runners to come online",
        "request_id": "r-1",
        "step": "wait",
        "timestamp": "2026-11-01T12:00:00.250Z",
    }
    tailed = f"2026-11-01T12:00:00 {json.dumps(line)}\n"
    run = subprocess.run(["jq", "-Rr", jq], input=tailed, capture_output=True, text=True, check=True)
    assert run.stdout == "12:00:00 Runners: waiting for 1 of 2 runners to come online\n"


def test_documented_status_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    document = (Path(__file__).parents[2] / "cfn/README.md").read_text()
    shown = document.split("## Status")[1].split("```text\n")[1].split("```")[0]
    entry = pool(Runners=ROWS, Instances=[instance()], Request=REQUEST)
    account = FakeAccount()
    assert shown == "\n".join(lines(answer(entry)["Status"], account, "runners")) + "\n"
    status(account_that_answers(answer(entry), stack="runners"))
    assert capsys.readouterr().out == shown


def test_ages_have_one_unit() -> None:
    assert [age(secs) for secs in (0, 119, 120, 7199, 7200, 172_800)] == [
        "0 s",
        "119 s",
        "2 min",
        "119 min",
        "2 h",
        "2 d",
    ]


def test_table_is_one_line_per_row_where_it_fits() -> None:
    assert table(["A", "B"], [["long", "1"]]) == ["    A     B", "    long  1"]
    assert table(["A"], []) == []


def test_folded_breaks_between_words_only() -> None:
    assert folded("short") == ["short"]
    assert folded("  " + "a" * 200) == ["  " + "a" * 200]
    first, second = folded("  " + "word " * 30)
    assert first == ("  " + "word " * 30)[: len(first)]
    assert second.startswith("    word ")
    assert f"{first} {second.lstrip()}" == "  " + "word " * 30
