"""The dashboard, the alarms, the inventory and the minute rule: deployed, fed by the function, gone without a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.function import FUNCTION_NAME
from sandbox.scenario import TEMPLATES, DeployedWorld, Pool
from sandbox.stacks import Stack

QUEUE = "on-failure-queue-of-the-provider"
TOPIC = "arn:aws:sns:us-east-1:000000000000:oncall"


@pytest.fixture(scope="module")
def operations(deployed_world: DeployedWorld) -> Iterator[Stack]:
    stack = deployed_world.world.create_stack(
        "operations", TEMPLATES / "operations.yaml", {"OnFailureQueueName": QUEUE, "TopicArn": TOPIC}
    )
    yield stack.expect("CREATE_COMPLETE")
    stack.delete()
    stack.settled().expect("DELETE_COMPLETE")
    assert alarms(deployed_world) == []
    assert deployed_world.world.client("cloudwatch").list_dashboards()["DashboardEntries"] == []


@pytest.fixture(scope="module")
def pool(deployed_world: DeployedWorld) -> Iterator[Pool]:
    pool = deployed_world.start("inventoried", DesiredCount=2).up()
    yield pool
    pool.stack.delete()
    pool.stack.settled().expect("DELETE_COMPLETE")


def alarms(deployed_world: DeployedWorld) -> list[dict[str, Any]]:
    found = deployed_world.world.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{FUNCTION_NAME}-")
    return list(found["MetricAlarms"])


def metric_lines(deployed_world: DeployedWorld) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in deployed_world.world.function_logs() if line.startswith("{")]
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


def inventory(deployed_world: DeployedWorld) -> dict[str, Any]:
    response = deployed_world.world.client("lambda").invoke(
        FunctionName=FUNCTION_NAME, Payload=json.dumps({"Inventory": {}})
    )
    assert "FunctionError" not in response
    return dict(json.loads(response["Payload"].read()))


def test_alarms_notify_the_topic_and_are_on_the_dashboard(deployed_world: DeployedWorld, operations: Stack) -> None:
    made = alarms(deployed_world)
    assert len(made) == 10
    assert all(alarm["AlarmActions"] == [TOPIC] for alarm in made)
    body = deployed_world.world.client("cloudwatch").get_dashboard(DashboardName=operations.outputs["DashboardName"])
    widgets = json.loads(body["DashboardBody"])["widgets"]
    shown = next(widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm")
    assert sorted(shown) == sorted(alarm["AlarmArn"] for alarm in made)


@pytest.mark.usefixtures("operations")
def test_alarms_watch_metrics_that_the_function_writes(deployed_world: DeployedWorld, pool: Pool) -> None:
    inventory(deployed_world)
    # The listener's log is written once it ends, as it does without a pool.
    scaled = deployed_world.start("scaled", DesiredCount=None, MaxRunners=1).up()
    scaled.stack.delete()
    scaled.stack.settled().expect("DELETE_COMPLETE")
    deployed_world.world.client("lambda").invoke(FunctionName=FUNCTION_NAME, Payload=json.dumps({"Tick": {}}))
    bad = pool.deployed_world.start("failed", RunnerGroup="no-such-group")
    bad.stack.settled()
    bad.stack.delete()
    bad.stack.settled().expect("DELETE_COMPLETE")
    found = deployed_world.world.wait_for(
        "metric lines of all kinds", lambda: watched_in(deployed_world) and written(metric_lines(deployed_world))
    )
    for alarm in alarms(deployed_world):
        if alarm["Namespace"] == "GitHubRunnerPool":
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
            if dimensions.get("RequestType") == "Delete":
                # No Delete failed here: its SUCCESS has the same shape.
                dimensions["Outcome"] = "SUCCESS"
            assert (alarm["MetricName"], tuple(sorted(dimensions.items()))) in found, alarm["AlarmName"]


def watched_in(deployed_world: DeployedWorld) -> bool:
    """Whether the log has reached the end of the Delete."""
    lines = metric_lines(deployed_world)
    is_written = all(any(name in line for line in lines) for name in ("Pools", "StartDelay", "ListenerMissing"))
    return is_written and any(line.get("RequestType") == "Delete" for line in lines)


def test_inventory_finds_the_pool_and_writes_nothing(deployed_world: DeployedWorld, pool: Pool) -> None:
    deployed_world.world.reset_calls()
    found = inventory(deployed_world)["Inventory"]
    assert found[pool.id] == {"TasksRunning": 2, "OldestRunnerDays": 0}
    assert deployed_world.world.calls(writes=True) == []
    assert deployed_world.world.calls(service="github") == []


def test_minute_rule_of_the_provider_sends_a_tick(deployed_world: DeployedWorld) -> None:
    events = deployed_world.world.client("events")
    (rule,) = [rule for rule in events.list_rules()["Rules"] if "ScheduleExpression" in rule]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert json.loads(target["Input"]) == {"Tick": {}}
    assert target["Arn"].endswith(f":function:{FUNCTION_NAME}")
