"""The dashboard and the alarms as CloudFormation makes them of cfn/operations.yaml, with the parameters' defaults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfn.deploy.intrinsics import Resolver
from cfn.deploy.template import parse

REPOSITORY = Path(__file__).resolve().parents[3]
TEMPLATE = REPOSITORY / "cfn/operations.yaml"
Properties = dict[str, Any]


@dataclass(frozen=True)
class Dashboard:
    """Its widgets name alarms by their logical ids."""

    widgets: list[Properties]
    alarms: dict[str, Properties]

    @classmethod
    def read(cls) -> Dashboard:
        template = parse(TEMPLATE.read_text(), TEMPLATE.name)
        defaults = {name: declared.get("Default", name) for name, declared in template["Parameters"].items()}
        resolver = Resolver(
            template,
            defaults,
            {"AWS::Region": "us-east-1"},
            physical_id=lambda name: name,
            attribute=lambda name, _: name,
            import_value=lambda name: name,
        )
        (name,) = resolver.resources("AWS::CloudWatch::Dashboard")
        body = json.loads(resolver.properties(name)["DashboardBody"])
        alarms = {alarm: resolver.properties(alarm) for alarm in resolver.resources("AWS::CloudWatch::Alarm")}
        return cls(body["widgets"], alarms)

    @property
    def words(self) -> Iterator[str]:
        """What a picture of it shows, whatever the metrics are: names of alarms, titles, labels."""
        yield from self.alarms
        for properties in (widget["properties"] for widget in self.widgets):
            options = [options for _, options in written_out(properties.get("metrics", []))]
            lines = properties.get("annotations", {}).get("horizontal", [])
            labelled = [*properties.get("yAxis", {}).values(), *lines, *options]
            yield from (one["label"] for one in labelled if "label" in one and "expression" not in one)
            if "title" in properties:
                yield properties["title"]


def written_out(metrics: list[list[Any]]) -> Iterator[tuple[list[str], Properties]]:
    """The metrics of a widget without CloudWatch's abbreviations, each with its options.

    `.` is what stood there in the line before, and `...` all that stood there up to what follows.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    before: list[str] = []
    for line in metrics:
        words = [word for word in line if isinstance(word, str)]
        if words[:1] == ["..."]:
            words = before[: len(before) + 1 - len(words)] + words[1:]
        words = [before[at] if word == "." else word for at, word in enumerate(words)]
        yield words, next((options for options in line if isinstance(options, dict)), {})
        before = words or before
