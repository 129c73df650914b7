"""A stack before and after a deployment, as a plan reads it from CloudFormation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cfn.deploy.errors import DeployError
from cfn.deploy.intrinsics import Predicted, Unknown
from cfn.deploy.stack_state import DesiredStack, StackState
from deploy.fake_account import FakeAccount

TEMPLATE: dict[str, Any] = {
    "Parameters": {
        "OrgName": {"Type": "String"},
        "Image": {"Type": "String", "Default": "ubuntu-noble"},
        "Labels": {"Type": "CommaDelimitedList", "Default": "linux, docker"},
        "Ami": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": "/ami"},
        "Password": {"Type": "String", "Default": "****"},
    },
    "Resources": {
        "Template": {
            "Type": "AWS::EC2::LaunchTemplate",
            "Properties": {"LaunchTemplateData": {"ImageId": {"Ref": "Ami"}}},
        },
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": {"Ref": "OrgName"}}},
        "Runners": {
            "Type": "Custom::GitHubRunnerPool",
            "Properties": {
                "OrgName": {"Ref": "OrgName"},
                "Labels": {"Ref": "Labels"},
                "ExecutionRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "LaunchTemplate": {
                    "LaunchTemplateId": {"Ref": "Template"},
                    "Version": {"Fn::GetAtt": ["Template", "LatestVersionNumber"]},
                },
                "Secret": {"Ref": "Password"},
            },
        },
    },
}
RESOURCES = {"Template": "AWS::EC2::LaunchTemplate", "Role": "AWS::IAM::Role", "Runners": "Custom::GitHubRunnerPool"}


def ami(account: FakeAccount, value: str) -> None:
    account.returns("ssm", "get_parameter", {"Parameter": {"Value": value}}, Name="/ami")


def latest_version(account: FakeAccount, version: int) -> None:
    found = [{"LaunchTemplateId": "lt-1", "LatestVersionNumber": version}]
    account.returns("ec2", "describe_launch_templates", {"LaunchTemplates": found}, LaunchTemplateIds=["lt-1"])


def deployed(**parameters: str) -> tuple[FakeAccount, StackState]:
    """The stack with all its resources, from the same template. CloudFormation returns defaults as well."""
    account = FakeAccount()
    declared = {name: str(one.get("Default", "acme")) for name, one in TEMPLATE["Parameters"].items()}
    account.has_stack(parameters={**declared, **parameters})
    state = StackState(account, "111122223333", "runners")
    account.returns("cloudformation", "get_template", {"TemplateBody": json.dumps(TEMPLATE)})
    summaries = [
        {
            "LogicalResourceId": name,
            "PhysicalResourceId": "lt-1" if name == "Template" else name.lower(),
            "ResourceType": kind,
            "LastUpdatedTimestamp": "2026-01-01T00:00:00Z",
            "ResourceStatus": "CREATE_COMPLETE",
        }
        for name, kind in RESOURCES.items()
    ]
    account.returns("cloudformation", "list_stack_resources", {"StackResourceSummaries": summaries})
    return account, state


def test_new_stack_has_parameters_defaults_and_unknown_resources() -> None:
    account = FakeAccount()
    account.has_no_stack()
    state = StackState(account, "111122223333", "runners")
    ami(account, "ami-1")
    notes: list[str] = []
    properties = state.after(DesiredStack(TEMPLATE, {"OrgName": "acme"}, {}), notes).properties("Runners")
    assert properties == {
        "OrgName": "acme",
        "Labels": ["linux", "docker"],
        "ExecutionRoleArn": Unknown("Fn::GetAtt", "Role.Arn"),
        "LaunchTemplate": {
            "LaunchTemplateId": Unknown("Ref", "Template"),
            "Version": Unknown("Fn::GetAtt", "Template.LatestVersionNumber"),
        },
        "Secret": Unknown("Ref", "Password"),
    }
    assert notes == []
    assert state.before is None


def test_changed_launch_template_predicts_its_next_version() -> None:
    account, state = deployed()
    changed = json.loads(json.dumps(TEMPLATE))
    changed["Resources"]["Template"]["Properties"]["LaunchTemplateData"]["InstanceType"] = "m7i.large"
    for _ in ("after", "before"):
        ami(account, "ami-1")
    latest_version(account, 4)
    role = {
        "Arn": "arn:aws:iam::111122223333:role/ci",
        "Path": "/",
        "RoleName": "role",
        "RoleId": "A" * 16,
        "CreateDate": "2026-01-01T00:00:00Z",
    }
    account.returns("iam", "get_role", {"Role": role})
    notes: list[str] = []
    properties = state.after(DesiredStack(changed, {}, {}), notes).properties("Runners")
    version = properties["LaunchTemplate"]["Version"]
    assert properties["LaunchTemplate"] == {"LaunchTemplateId": "lt-1", "Version": "5"}
    assert isinstance(version, Predicted)
    assert properties["ExecutionRoleArn"] == "arn:aws:iam::111122223333:role/ci"
    assert notes == ["Template changes as well: its next version is assumed to be 5"]


def test_replaced_resource_of_a_change_set_is_unknown() -> None:
    account, state = deployed()
    for _ in ("after", "before"):
        ami(account, "ami-1")
    latest_version(account, 4)
    desired = DesiredStack(TEMPLATE, {}, {"Role": "True"})
    properties = state.after(desired, []).properties("Runners")
    assert properties["ExecutionRoleArn"] == Unknown("Fn::GetAtt", "Role.Arn")


def test_attribute_that_cannot_be_read_is_unknown() -> None:
    account, state = deployed()
    account.fails("iam", "get_role", "AccessDenied")
    assert state.get_att("Role", "Arn") == Unknown("Fn::GetAtt", "Role.Arn")


def test_parameter_with_no_echo_is_unknown() -> None:
    account, state = deployed()
    ami(account, "ami-1")
    assert state.before is not None
    assert state.before.parameters["Password"] == Unknown("Ref", "Password")
    assert state.before.parameters["OrgName"] == "acme"


def test_ssm_parameter_that_cannot_be_read_is_unknown() -> None:
    account = FakeAccount()
    account.has_no_stack()
    account.fails("ssm", "get_parameter", "ParameterNotFound")
    state = StackState(account, "111122223333", "runners")
    assert state.after(DesiredStack(TEMPLATE, {"OrgName": "acme"}, {}), []).parameters["Ami"] == Unknown("Ref", "Ami")


def test_stack_in_review_has_no_template() -> None:
    account = FakeAccount()
    account.has_stack(status="REVIEW_IN_PROGRESS")
    state = StackState(account, "111122223333", "runners")
    assert (state.before, state.resources) == (None, {})


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, 'PARAMETERS: no value for OrgName. Set PARAMETERS="OrgName=…".'),
        (
            {"OrgName": "acme", "Orgname": "x"},
            "PARAMETERS: the template has no parameter Orgname. It has Ami, Image, Labels, OrgName, Password.",
        ),
    ],
    ids=["missing", "unknown"],
)
def test_parameters_error_names_the_parameter(parameters: dict[str, str], expected: str) -> None:
    account = FakeAccount()
    account.has_no_stack()
    state = StackState(account, "111122223333", "runners")
    if "OrgName" not in parameters:
        ami(account, "ami-1")
    with pytest.raises(DeployError) as raised:
        state.after(DesiredStack(TEMPLATE, parameters, {}), [])
    assert str(raised.value) == expected


def test_change_set_has_template_parameters_and_replacements() -> None:
    account = FakeAccount()
    account.returns("cloudformation", "get_template", {"TemplateBody": json.dumps(TEMPLATE)})
    change = {"Action": "Modify", "LogicalResourceId": "Role", "Replacement": "True"}
    described = {
        "Parameters": [{"ParameterKey": "OrgName", "ParameterValue": "acme"}],
        "Changes": [
            {"Type": "Resource", "ResourceChange": change},
            {"Type": "Resource", "ResourceChange": {"Action": "Add", "LogicalResourceId": "New"}},
        ],
    }
    account.returns("cloudformation", "describe_change_set", described)
    desired = DesiredStack.of_change_set(account, "runners", "more")
    assert desired == DesiredStack(TEMPLATE, {"OrgName": "acme"}, {"Role": "True", "New": "False"})


def test_missing_change_set_is_named() -> None:
    account = FakeAccount()
    account.fails("cloudformation", "get_template", "ChangeSetNotFound", "ChangeSet [more] does not exist")
    with pytest.raises(DeployError, match=r"^CHANGE_SET: the stack runners has no change set more in eu-central-1\."):
        DesiredStack.of_change_set(account, "runners", "more")


def test_missing_template_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"^TEMPLATE: there is no file "):
        DesiredStack.of_file(tmp_path / "nowhere.yaml", {})
