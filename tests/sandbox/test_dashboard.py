"""The dashboard's picture: what a widget, a query and an alarm make of a recording, and what is drawn of it."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.dashboard.definition import Dashboard, written_out
from sandbox.dashboard.log_query import run_query
from sandbox.dashboard.picture import picture
from sandbox.dashboard.recording import Recording, by_period
from sandbox.dashboard.series import alarm_state, series

DASHBOARD = Dashboard.read()
FUNCTION = "github-runner-pool"


def emf(minute: float, *dimensions: str, **fields: Any) -> dict[str, Any]:
    """A line with metrics, as the function writes it. Names in capitals that are no dimensions are metrics."""
    line = {"minute": minute, "FunctionName": FUNCTION, **fields}
    names = ["FunctionName", *dimensions]
    metrics = [{"Name": name} for name in fields if name not in names]
    directive = {"Namespace": "GitHubRunnerPool", "Dimensions": [["FunctionName"], names], "Metrics": metrics}
    return {**line, "_aws": {"CloudWatchMetrics": [directive]}}


def recording(*lines: dict[str, Any]) -> Recording:
    return Recording.from_json({"minutes": 180, "lines": list(lines)})


def widget(title: str) -> dict[str, Any]:
    return next(one["properties"] for one in DASHBOARD.widgets if one["properties"].get("title") == title)


def test_a_period_has_one_sample_by_its_statistic() -> None:
    samples = [(1.0, 2.0), (4.9, 3.0), (5.0, 7.0), (6.0, 1.0), (9.0, 4.0)]
    assert by_period(samples, "Sum", 300) == [(0, 5), (5, 12)]
    assert by_period(samples, "p50", 300) == [(0, 3), (5, 4)]


def test_abbreviations_of_a_widget_are_written_out() -> None:
    metrics = [["N", "A", "Type", "x", {"label": "one"}], ["...", "y"], [".", "B", ".", ".", {"label": "three"}]]
    assert list(written_out(metrics)) == [
        (["N", "A", "Type", "x"], {"label": "one"}),
        (["N", "A", "Type", "y"], {}),
        (["N", "B", "Type", "y"], {"label": "three"}),
    ]


def test_a_widget_has_the_metrics_with_its_dimensions_and_those_that_it_searches() -> None:
    found = recording(
        emf(1, "RequestType", "Outcome", RequestType="Update", Outcome="FAILED", Requests=1),
        *(emf(at, "Pool", Pool=pool, JobsAssigned=at) for at, pool in ((1, "a"), (2, "b"), (3, "a"))),
    )
    requests = {one.label: one.samples for one in series(widget("Requests"), found)}
    assert requests.pop("Update FAILED") == [(0, 1)]
    assert len(requests) == 5
    assert not any(requests.values())
    assigned = series(widget("Jobs assigned, by pool"), found)
    assert [(one.label, one.samples) for one in assigned] == [("a", [(1, 1), (3, 3)]), ("b", [(2, 2)])]


def test_a_query_filters_groups_and_sorts() -> None:
    lines = [
        {"step": "inventory", "physical_id": "a", "oldest_runner_days": 1, "tasks_running": 2},
        {"step": "inventory", "physical_id": "b", "oldest_runner_days": 5, "tasks_running": 1},
        {"step": "inventory", "physical_id": "a", "oldest_runner_days": 3, "tasks_running": 4},
        {"step": "inventory", "physical_id": "none", "oldest_runner_days": None, "tasks_running": 0},
        {"step": "apply"},
    ]
    assert run_query(widget("Pools by age")["query"], lines) == [
        {"physical_id": "b", "days": 5, "runners": 1},
        {"physical_id": "a", "days": 3, "runners": 4},
    ]
    with pytest.raises(ValueError, match="parse"):
        run_query("SOURCE 'x' | parse @message", lines)


@pytest.mark.parametrize(
    ("alarm", "line", "state"),
    [
        ("FailedRequest", emf(179, "Outcome", Outcome="FAILED", Requests=1), "ALARM"),
        ("FailedRequest", emf(170, "Outcome", Outcome="FAILED", Requests=1), "OK"),
        ("ListenerMissing", emf(10, ListenerMissing=0), "ALARM"),
        ("OldRunners", emf(10, Pools=0), "INSUFFICIENT_DATA"),
    ],
)
def test_an_alarm_has_a_state_by_its_definition(alarm: str, line: dict[str, Any], state: str) -> None:
    assert alarm_state(DASHBOARD.alarms[alarm], recording(line)) == state


def test_a_picture_without_data_has_every_word_of_the_definition() -> None:
    drawn = picture(DASHBOARD, recording())
    assert [word for word in DASHBOARD.words if f">{word}<" not in drawn] == []
    assert drawn.count("No data available.") > 10
