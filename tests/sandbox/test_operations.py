"""The dashboard, the alarms and the survey: deployed, fed by the function, gone without a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.function import FUNCTION_NAME
from sandbox.scenario import TEMPLATES, Pool, Stage
from sandbox.stacks import Stack

QUEUE = "given-up-queue-of-the-provider"
TOPIC = "arn:aws:sns:us-east-1:000000000000:oncall"


@pytest.fixture(scope="module")
def operations(stage: Stage) -> Iterator[Stack]:
    stack = stage.world.create_stack(
        "operations", TEMPLATES / "operations.yaml", {"GivenUpQueueName": QUEUE, "TopicArn": TOPIC}
    )
    yield stack.expect("CREATE_COMPLETE")
    stack.delete()
    stack.settled().expect("DELETE_COMPLETE")
    assert alarms(stage) == []
    assert stage.world.client("cloudwatch").list_dashboards()["DashboardEntries"] == []
    assert stage.world.client("events").list_rules()["Rules"] == []


@pytest.fixture(scope="module")
def pool(stage: Stage) -> Iterator[Pool]:
    pool = stage.start("surveyed", DesiredCount=2).up()
    yield pool
    pool.stack.delete()
    pool.stack.settled().expect("DELETE_COMPLETE")


def alarms(stage: Stage) -> list[dict[str, Any]]:
    found = stage.world.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{FUNCTION_NAME}-")
    return list(found["MetricAlarms"])


def metric_lines(stage: Stage) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stage.world.function_logs() if line.startswith("{")]
    return [line for line in lines if "_aws" in line]


def written(lines: list[dict[str, Any]]) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Every metric that these lines carry, with its dimensions and their values, as CloudWatch reads them."""
    found = set()
    for line in lines:
        for directive in line["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == "GitHubRunnerPool"
            for metric in directive["Metrics"]:
                for names in directive["Dimensions"]:
                    found.add((metric["Name"], tuple(sorted((name, line[name]) for name in names))))
    return found


def survey(stage: Stage) -> dict[str, Any]:
    answer = stage.world.client("lambda").invoke(FunctionName=FUNCTION_NAME, Payload=json.dumps({"Survey": {}}))
    assert "FunctionError" not in answer
    return dict(json.loads(answer["Payload"].read()))


def test_every_alarm_tells_the_topic_and_is_on_the_dashboard(stage: Stage, operations: Stack) -> None:
    made = alarms(stage)
    assert len(made) == 8
    assert all(alarm["AlarmActions"] == [TOPIC] for alarm in made)
    body = stage.world.client("cloudwatch").get_dashboard(DashboardName=operations.outputs["DashboardName"])
    widgets = json.loads(body["DashboardBody"])["widgets"]
    shown = next(widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm")
    assert sorted(shown) == sorted(alarm["AlarmArn"] for alarm in made)


@pytest.mark.usefixtures("operations")
def test_the_alarms_of_ours_watch_what_the_function_writes(stage: Stage, pool: Pool) -> None:
    survey(stage)
    bad = pool.stage.start("failed", RunnerGroup="no-such-group")
    bad.stack.settled()
    bad.stack.delete()
    bad.stack.settled().expect("DELETE_COMPLETE")
    found = stage.world.wait_for(
        "metric lines of all kinds", lambda: watched_in(stage) and written(metric_lines(stage))
    )
    for alarm in alarms(stage):
        if alarm["Namespace"] == "GitHubRunnerPool":
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
            if dimensions.get("RequestType") == "Delete":
                # No Delete failed here: its SUCCESS has the same shape.
                dimensions["Outcome"] = "SUCCESS"
            assert (alarm["MetricName"], tuple(sorted(dimensions.items()))) in found, alarm["AlarmName"]


def watched_in(stage: Stage) -> bool:
    """Whether the log has reached the end of the Delete: a stream is written when its invocation ends."""
    lines = metric_lines(stage)
    return any(line.get("RequestType") == "Delete" for line in lines) and any("Pools" in line for line in lines)


def test_a_survey_finds_the_pool_with_its_runners_and_writes_nothing(stage: Stage, pool: Pool) -> None:
    stage.world.reset_calls()
    found = survey(stage)["Survey"]
    assert found[pool.id] == {"TasksRunning": 2, "OldestRunnerDays": 0}
    assert stage.world.calls(writes=True) == []
    assert stage.world.calls(service="github") == []


@pytest.mark.usefixtures("operations")
def test_the_rule_asks_for_a_survey(stage: Stage) -> None:
    events = stage.world.client("events")
    (rule,) = events.list_rules()["Rules"]
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert json.loads(target["Input"]) == {"Survey": {}}
    assert target["Arn"].endswith(f":function:{FUNCTION_NAME}")
