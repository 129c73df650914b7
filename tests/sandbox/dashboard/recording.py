"""What CloudWatch would have of a run: metrics, and the lines of the function's log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.world import World

Line = dict[str, Any]
# Minutes since the beginning, and a value.
Sample = tuple[float, float]
Samples = list[Sample]


@dataclass(frozen=True)
class Metric:
    """As CloudWatch tells them apart."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Recording:
    """A run, in minutes since its beginning."""

    minutes: int
    lines: list[Line]
    """Of the function's log, and one of Lambda's counts for each invocation. Each has its `minute`."""
    metrics: dict[Metric, Samples]

    @classmethod
    def of(cls, world: World, began: float, minute_secs: float, minutes: int) -> Recording:
        """What the function wrote, and what Lambda counts of its invocations."""

        def minute_of(at: float) -> float:
            return round((at - began) / minute_secs, 3)

        decoded = [json.loads(line) for line in world.function_logs() if line.startswith("{")]
        lines = [{**line, "minute": minute_of(_written_at(line))} for line in decoded]
        ends = [event for event in world.events("invocation") if event["what"] != "began"]
        lines += [{**_counts(event), "minute": minute_of(event["at"])} for event in ends]
        during = (line for line in lines if 0 <= line["minute"] <= minutes)
        return cls.from_json({"minutes": minutes, "lines": sorted(during, key=lambda line: line["minute"])})

    @classmethod
    def from_json(cls, recorded: dict[str, Any]) -> Recording:
        metrics: dict[Metric, Samples] = {}
        for line in recorded["lines"]:
            for metric, value in _metrics_of(line):
                metrics.setdefault(metric, []).append((line["minute"], value))
        return cls(recorded["minutes"], recorded["lines"], metrics)

    @property
    def to_json(self) -> dict[str, Any]:
        return {"minutes": self.minutes, "lines": self.lines}

    def samples(self, metric: Metric) -> Samples:
        return self.metrics.get(metric, [])

    def search(self, expression: str) -> list[tuple[Metric, str, float]]:
        """The metrics that `SEARCH('{NAMESPACE,DIMENSION,…} MetricName="NAME" …', 'STATISTIC', PERIOD)` finds."""
        found = re.fullmatch(r"SEARCH\('\{([^}]+)\} (.+)', '(\w+)', (\d+)\)", expression)
        if not found:
            raise ValueError(f"{expression}: not a search that this understands")
        namespace, *names = found[1].split(",")
        terms = dict(re.findall(r'(\w+)="([^"]*)"', found[2]))
        name = terms.pop("MetricName")
        metrics = [
            metric
            for metric in self.metrics
            if (metric.namespace, metric.name) == (namespace, name)
            and {key for key, _ in metric.dimensions} == set(names)
            and terms.items() <= metric.dimensions
        ]
        return [(metric, found[3], int(found[4])) for metric in sorted(metrics, key=lambda it: sorted(it.dimensions))]


def by_period(samples: Samples, statistic: str, period_secs: float) -> Samples:
    """One sample for each period that has any."""
    minutes = period_secs / 60
    periods: dict[int, list[float]] = {}
    for minute, value in samples:
        periods.setdefault(int(minute // minutes), []).append(value)
    return [(number * minutes, statistic_of(values, statistic)) for number, values in sorted(periods.items())]


def statistic_of(values: list[float], statistic: str) -> float:
    if percentile := re.fullmatch(r"p(\d+)", statistic):
        return sorted(values)[min(len(values) - 1, len(values) * int(percentile[1]) // 100)]
    return {"Sum": sum, "Maximum": max, "Minimum": min}[statistic](values)


def _metrics_of(line: Line) -> Iterator[tuple[Metric, float]]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html"""
    for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
        for declared in directive["Metrics"]:
            for names in directive["Dimensions"]:
                dimensions = frozenset((name, str(line[name])) for name in names)
                yield Metric(directive["Namespace"], declared["Name"], dimensions), float(line[declared["Name"]])


def _counts(end: dict[str, Any]) -> Line:
    """What Lambda counts when an invocation ends, in the format in which the function writes its metrics."""
    counts = {"Invocations": 1, "Errors": int(end["what"] != "ended"), "Throttles": 0}
    metrics = [{"Name": name} for name in counts]
    directive = {"Namespace": "AWS/Lambda", "Dimensions": [["FunctionName"]], "Metrics": metrics}
    return {"FunctionName": end["function"], "_aws": {"CloudWatchMetrics": [directive]}, **counts}


def _written_at(line: Line) -> float:
    if "_aws" in line:
        return float(line["_aws"]["Timestamp"]) / 1000
    return datetime.fromisoformat(line["timestamp"]).timestamp()
