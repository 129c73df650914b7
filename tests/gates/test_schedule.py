"""cfn/schedule.yaml: what its schedules send to CloudFormation, and what its role may do."""

from __future__ import annotations

import re
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from cfn.deploy.template import parse
from gates.documents import REPOSITORY
from gates.schedules import SCHEDULE, inputs, resolver
from gates.test_reference import fits, listed, resource_types

ALL = {
    "StackName": "runners",
    "LaunchTemplateId": "lt-0a1b2c3d",
    "WorkingHoursBegin": "cron(0 7 ? * MON-FRI *)",
    "WorkingHoursCount": "6",
    "WorkingHoursEnd": "cron(0 19 ? * MON-FRI *)",
    "OtherHoursCount": "1",
}
POOL = parse((REPOSITORY / "cfn/pool.yaml").read_text(), "pool.yaml")
STATEMENTS = resolver(**ALL).properties("Role")["Policies"][0]["PolicyDocument"]["Statement"]
# Bound to nothing: IAM binds none of these to a resource.
UNBOUND = "Describe"


def changed(request: dict[str, Any]) -> dict[str, str]:
    """The parameters that a request sets."""
    return {one["ParameterKey"]: one["ParameterValue"] for one in request["Parameters"] if "ParameterValue" in one}


def test_schedule_calls_update_stack_as_its_api_takes_it() -> None:
    operation = botocore.session.get_session().get_service_model("cloudformation").operation_model("UpdateStack")
    assert inputs(**ALL).keys() == {"Refresh", "Begin", "End"}
    for name, request in inputs(**ALL).items():
        assert not ParamValidator().validate(request, operation.input_shape).has_errors(), name
        assert request["UsePreviousTemplate"] is True
        assert request["StackName"] == "runners"
        target = resolver(**ALL).properties(name)["Target"]
        assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:cloudformation:updateStack"


def test_schedule_keeps_every_other_parameter_of_the_pool_template() -> None:
    for name, request in inputs(**ALL).items():
        names = [one["ParameterKey"] for one in request["Parameters"]]
        assert sorted(names) == sorted(POOL["Parameters"]), name
        kept = {one["ParameterKey"] for one in request["Parameters"] if one.get("UsePreviousValue") is True}
        assert kept == POOL["Parameters"].keys() - changed(request).keys(), name


def test_schedule_sets_image_of_to_its_time_and_desired_count_to_the_hours_count() -> None:
    assert {name: changed(request) for name, request in inputs(**ALL).items()} == {
        "Refresh": {"ImageOf": "<aws.scheduler.scheduled-time>"},
        "Begin": {"DesiredCount": "6"},
        "End": {"DesiredCount": "1"},
    }


@pytest.mark.parametrize(
    ("left_out", "schedule"),
    [("RefreshSchedule", "Refresh"), ("WorkingHoursBegin", "Begin"), ("WorkingHoursEnd", "End")],
)
def test_schedule_without_an_expression_does_not_exist(left_out: str, schedule: str) -> None:
    assert inputs(**ALL).keys() - inputs(**{**ALL, left_out: ""}).keys() == {schedule}


def test_image_of_changes_the_task_of_the_pool_template() -> None:
    pool = POOL["Resources"]["Runners"]["Properties"]
    assert pool["Environment"]["Fn::If"] == ["HasImageOf", {"IMAGE_OF": {"Ref": "ImageOf"}}, {"Ref": "AWS::NoValue"}]
    # A digest never gets newer, and the schedule says nothing about it.
    assert "@" not in POOL["Parameters"]["Image"]["Default"]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda one: one["Sid"])
def test_schedule_role_action_is_bound_to_a_resource_that_it_supports(statement: dict[str, Any]) -> None:
    given = [re.sub(r"[0-9]{12}", "*", one) for one in listed(statement["Resource"])]
    for name in listed(statement["Action"]):
        kinds = resource_types(name)
        if given == ["*"]:
            assert statement["Sid"] == UNBOUND
            assert not kinds, f"{name} could be bound to {kinds}"
        else:
            assert any(fits(one, kind) for one in given for kind in kinds), f"{name} takes {kinds}"


def test_schedule_role_is_assumed_by_the_schedules_of_this_account_only() -> None:
    [trust] = resolver(**ALL).properties("Role")["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": "111122223333"}
    assert trust["Condition"]["ArnEquals"]["aws:SourceArn"].endswith(":schedule-group/default")


def test_schedule_template_updates_no_stack_but_the_named_one() -> None:
    [update] = [one for one in STATEMENTS if "cloudformation:UpdateStack" in listed(one["Action"])]
    assert update["Resource"] == "arn:aws:cloudformation:us-east-1:111122223333:stack/runners/*"
    assert "cloudformation:UpdateStack" not in [
        action for one in STATEMENTS if one is not update for action in listed(one["Action"])
    ]
    assert SCHEDULE["Resources"].keys() == {"Refresh", "Begin", "End", "Role"}
