"""What a widget or an alarm makes of a recording."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.dashboard.definition import Properties, written_out
from sandbox.dashboard.recording import Metric, Recording, Samples, by_period, statistic_of

# CloudWatch's own colours, in its order.
PALETTE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
}
OF_A_SEARCH = "${PROP('Dim.Pool')}"


@dataclass(frozen=True)
class Series:
    """A line, or a bar, or a number of a widget."""

    label: str
    colour: str
    samples: Samples
    is_right: bool


def series(properties: Properties, recording: Recording) -> list[Series]:
    """Those of a metric widget."""
    return [
        Series(label, options.get("color", PALETTE[number % len(PALETTE)]), samples, options.get("yAxis") == "right")
        for number, (label, options, samples) in enumerate(_found(properties, recording))
    ]


def _found(properties: Properties, recording: Recording) -> Iterator[tuple[str, Properties, Samples]]:
    for words, options in written_out(properties["metrics"]):
        if "expression" in options:
            for metric, statistic, period in recording.search(options["expression"]):
                label = options["label"].replace(OF_A_SEARCH, dict(metric.dimensions)["Pool"])
                yield label, options, by_period(recording.samples(metric), statistic, period)
            continue
        namespace, name, *pairs = words
        samples = recording.samples(Metric(namespace, name, frozenset(zip(pairs[::2], pairs[1::2], strict=True))))
        period = recording.minutes * 60 if properties.get("setPeriodToTimeRange") else properties["period"]
        statistic = options["stat"] if "stat" in options else properties["stat"]
        yield options.get("label", name), options, by_period(samples, statistic, period)


def alarm_state(alarm: dict[str, Any], recording: Recording) -> str:
    """At the end of the recording.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
    """
    dimensions = frozenset((pair["Name"], pair["Value"]) for pair in alarm["Dimensions"])
    samples = recording.samples(Metric(alarm["Namespace"], alarm["MetricName"], dimensions))
    minutes, count = int(alarm["Period"]) / 60, int(alarm["EvaluationPeriods"])
    exceeds, threshold = COMPARISONS[alarm["ComparisonOperator"]], float(alarm["Threshold"])
    breaches: list[bool] = []
    for end in (recording.minutes - number * minutes for number in range(count)):
        values = [value for minute, value in samples if end - minutes <= minute < end]
        if values:
            breaches.append(exceeds(statistic_of(values, alarm["Statistic"]), threshold))
        elif alarm["TreatMissingData"] != "missing":
            breaches.append(alarm["TreatMissingData"] == "breaching")
    if not breaches:
        return "INSUFFICIENT_DATA"
    return "ALARM" if sum(breaches) >= int(alarm.get("DatapointsToAlarm", count)) else "OK"
