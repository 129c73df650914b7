"""What the schedules of cfn/schedule.yaml send, as CloudFormation would fill it in."""

from __future__ import annotations

import json
from typing import Any

from cfn.deploy.intrinsics import Resolver, Unknown
from cfn.deploy.template import parse
from gates.documents import REPOSITORY

PSEUDO_PARAMETERS = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "111122223333",
    "AWS::StackName": "schedule",
}
SCHEDULE = parse((REPOSITORY / "cfn/schedule.yaml").read_text(), "schedule.yaml")


def resolver(**parameters: str) -> Resolver:
    """The template with values for its parameters, which are defaults otherwise."""
    given: dict[str, Any] = {
        name: parameters.get(name, declared.get("Default")) for name, declared in SCHEDULE["Parameters"].items()
    }
    for name, declared in SCHEDULE["Parameters"].items():
        if declared["Type"] == "CommaDelimitedList":
            given[name] = str(given[name]).split(",")
    return Resolver(
        SCHEDULE,
        given,
        PSEUDO_PARAMETERS,
        lambda name: Unknown("Ref", name),
        lambda name, attribute: Unknown("Fn::GetAtt", f"{name}.{attribute}"),
        lambda name: Unknown("Fn::ImportValue", name),
    )


def inputs(**parameters: str) -> dict[str, dict[str, Any]]:
    """The request of each schedule that there is, by its logical id."""
    resolved = resolver(**parameters)
    names = resolved.resources("AWS::Scheduler::Schedule")
    return {name: json.loads(resolved.properties(name)["Target"]["Input"]) for name in names}
