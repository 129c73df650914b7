"""CloudFormation's intrinsic functions as a plan evaluates them.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

from typing import Any

import pytest

from cfn.deploy.errors import DeployError
from cfn.deploy.intrinsics import Predicted, Resolver, Unknown, to_json

PARAMETERS = {"OrgName": "acme", "Subnets": ["subnet-1", "subnet-2"], "Size": "4"}
PSEUDO_PARAMETERS = {"AWS::Region": "eu-central-1", "AWS::StackName": "runners"}
CLUSTER_UNKNOWN = Unknown("Ref", "Cluster")


def resolver(**sections: Any) -> Resolver:
    """A stack in which `Role` exists and `Cluster` does not yet."""
    template = {"Resources": {"Role": {"Type": "AWS::IAM::Role"}, "Cluster": {"Type": "AWS::ECS::Cluster"}}, **sections}
    return Resolver(
        template,
        PARAMETERS,
        PSEUDO_PARAMETERS,
        physical_id=lambda name: "runners-role-1" if name == "Role" else Unknown("Ref", name),
        attribute=lambda name, attribute: (
            f"arn:role/{attribute}" if name == "Role" else Unknown("Fn::GetAtt", f"{name}.{attribute}")
        ),
        import_value=lambda name: {"network-vpc": "vpc-1"}.get(name, Unknown("Fn::ImportValue", name)),
    )


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"Ref": "OrgName"}, "acme"),
        ({"Ref": "Subnets"}, ["subnet-1", "subnet-2"]),
        ({"Ref": "AWS::Region"}, "eu-central-1"),
        ({"Ref": "Role"}, "runners-role-1"),
        ({"Ref": "Cluster"}, CLUSTER_UNKNOWN),
        ({"Fn::GetAtt": ["Role", "Arn"]}, "arn:role/Arn"),
        ({"Fn::GetAtt": "Role.Arn"}, "arn:role/Arn"),
        ({"Fn::GetAtt": ["Cluster", "Arn"]}, Unknown("Fn::GetAtt", "Cluster.Arn")),
        ({"Fn::Join": ["-", ["a", {"Ref": "OrgName"}]]}, "a-acme"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Cluster"}]]}, CLUSTER_UNKNOWN),
        ({"Fn::Split": [",", "a,b"]}, ["a", "b"]),
        ({"Fn::Select": [1, {"Ref": "Subnets"}]}, "subnet-2"),
        ({"Fn::Select": ["0", {"Fn::Split": ["-", "x-y"]}]}, "x"),
        ({"Fn::Base64": "#!/bin/sh"}, "IyEvYmluL3No"),
        ({"Fn::ImportValue": "network-vpc"}, "vpc-1"),
        ({"Fn::ImportValue": {"Fn::Sub": "${OrgName}-vpc"}}, Unknown("Fn::ImportValue", "acme-vpc")),
        ({"Fn::GetAZs": ""}, Unknown("Ref", "Fn::GetAZs")),
        ("{{resolve:ssm:/ami}}", Unknown("Ref", "{{resolve:ssm:/ami}}")),
    ],
    ids=str,
)
def test_function(node: Any, expected: Any) -> None:
    assert resolver().value(node) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("${OrgName} in ${AWS::Region}", "acme in eu-central-1"),
        ("${Subnets}", "subnet-1,subnet-2"),
        ("${Role} ${Role.Arn}", "runners-role-1 arn:role/Arn"),
        ("${!Literal} ${ OrgName }", "${Literal} acme"),
        (["${Name}-${OrgName}", {"Name": {"Ref": "AWS::StackName"}}], "runners-acme"),
        ("${OrgName} on ${Cluster}", CLUSTER_UNKNOWN),
        ("{{resolve:ssm:/${OrgName}}}", Unknown("Ref", "{{resolve:ssm:/acme}}")),
    ],
    ids=str,
)
def test_sub(arguments: Any, expected: Any) -> None:
    assert resolver().value({"Fn::Sub": arguments}) == expected


def test_find_in_map_resolves_its_keys() -> None:
    mappings = {"ByRegion": {"eu-central-1": {"Ami": "ami-1"}}}
    node = {"Fn::FindInMap": ["ByRegion", {"Ref": "AWS::Region"}, "Ami"]}
    assert resolver(Mappings=mappings).value(node) == "ami-1"


def test_scalars_become_strings_at_any_depth() -> None:
    assert resolver().value({"A": True, "B": [4, 0.5], "C": {"D": False}}) == {
        "A": "true",
        "B": ["4", "0.5"],
        "C": {"D": "false"},
    }


def test_no_value_removes_properties_and_list_items() -> None:
    no_value = {"Ref": "AWS::NoValue"}
    assert resolver().value({"A": no_value, "B": ["x", no_value], "C": "y"}) == {"B": ["x"], "C": "y"}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Fn::Equals": [{"Ref": "OrgName"}, "acme"]}, True),
        ({"Fn::Equals": [{"Ref": "Size"}, 4]}, True),
        ({"Fn::Equals": [{"Ref": "OrgName"}, ""]}, False),
        ({"Fn::Not": [{"Condition": "IsAcme"}]}, False),
        ({"Fn::And": [{"Condition": "IsAcme"}, {"Fn::Equals": ["a", "b"]}]}, False),
        ({"Fn::Or": [{"Condition": "IsAcme"}, {"Fn::Equals": ["a", "b"]}]}, True),
        ("IsAcme", True),
    ],
    ids=str,
)
def test_condition(condition: Any, expected: bool) -> None:
    conditions = {"IsAcme": {"Fn::Equals": [{"Ref": "OrgName"}, "acme"]}}
    assert resolver(Conditions=conditions).evaluate_condition(condition) is expected


def test_if_evaluates_only_the_chosen_branch() -> None:
    conditions = {"Never": {"Fn::Equals": ["a", "b"]}}
    node = {"Fn::If": ["Never", {"Ref": "NoSuchParameter"}, "chosen"]}
    assert resolver(Conditions=conditions).value(node) == "chosen"


def test_resources_leave_out_those_with_a_false_condition() -> None:
    resources = {
        "Always": {"Type": "T"},
        "Never": {"Type": "T", "Condition": "IsOff"},
        "Other": {"Type": "U"},
    }
    stack = resolver(Resources=resources, Conditions={"IsOff": {"Fn::Equals": ["a", "b"]}})
    assert list(stack.resources("T")) == ["Always"]
    assert list(stack.resources()) == ["Always", "Other"]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"Ref": "Orgname"}, "Ref Orgname: the template has no parameter or resource of that name."),
        ({"Fn::GetAtt": ["Nope", "Arn"]}, "Fn::GetAtt Nope.Arn: the template has no resource Nope."),
        ({"Fn::Sub": "${Nope.Arn}"}, "Fn::GetAtt Nope.Arn: the template has no resource Nope."),
        (
            {"Fn::Select": [9, {"Ref": "Subnets"}]},
            "Fn::Select: [9, {'Ref': 'Subnets'}] cannot be evaluated (IndexError",
        ),
        ({"Fn::Select": ["first", {"Ref": "Subnets"}]}, "cannot be evaluated (ValueError"),
        ({"Fn::FindInMap": ["Nope", "a", "b"]}, "Fn::FindInMap: ['Nope', 'a', 'b'] cannot be evaluated (KeyError"),
        ({"Fn::If": ["Nope", "a", "b"]}, "Condition Nope: the template does not define it."),
    ],
    ids=str,
)
def test_error_names_the_function_and_what_to_do(node: Any, expected: str) -> None:
    with pytest.raises(DeployError) as raised:
        resolver().value(node)
    assert expected in str(raised.value)
    assert str(raised.value).endswith("Correct the template.")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (
            {"Fn::Equals": [{"Ref": "Cluster"}, "a"]},
            "Fn::Equals: a condition compares Cluster, whose value is not known",
        ),
        ({"Fn::Contains": [["a"], "a"]}, "Fn::Contains: a plan cannot evaluate this function in a condition."),
    ],
    ids=["Fn::Equals of an unknown value", "Fn::Contains"],
)
def test_condition_that_cannot_be_evaluated(condition: Any, expected: str) -> None:
    with pytest.raises(DeployError, match=expected):
        resolver().evaluate_condition(condition)


def test_to_json_keeps_unknown_values_as_intrinsic_functions() -> None:
    value = {
        "Cluster": CLUSTER_UNKNOWN,
        "ExecutionRoleArn": Unknown("Fn::GetAtt", "Role.Arn"),
        "Subnets": [Unknown("Fn::ImportValue", "subnet")],
        "Version": Predicted("2"),
    }
    assert to_json(value) == {
        "Cluster": {"Ref": "Cluster"},
        "ExecutionRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
        "Subnets": [{"Fn::ImportValue": "subnet"}],
        "Version": "2",
    }
