"""The schema for editors: valid templates pass, and what an editor can find to be wrong is an error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from gates.documents import REPOSITORY, tracked_files, without_tags

# A block of YAML in a document, without what stands around it.
YAML = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SCHEMA = json.loads((REPOSITORY / "cfn/properties.schema.json").read_text())
TEMPLATES = sorted((REPOSITORY / "cfn").glob("*.yaml"))
# Their properties are wrong on purpose, or not those of a whole pool.
WRONG = ("create-seven-problems", "delete-")
EVENTS = [path for path in sorted((REPOSITORY / "events").glob("*.json")) if not path.stem.startswith(WRONG)]
PLAIN = {
    "ServiceToken": "arn:aws:lambda:eu-central-1:111122223333:function:github-runner-pool",
    "OrgName": "acme",
    "AccessTokenParameter": "/github-runner-pool/token",
    "Cluster": "ci",
    "CapacityProvider": "ci",
}
LAUNCH_TEMPLATE = {"LaunchTemplateId": "lt-0a1b2c3d", "Version": 3}


def schema_errors(template: Any) -> list[str]:
    """What an editor would underline: the place, what is wrong, and what is asked for instead."""
    errors = Draft7Validator(SCHEMA).iter_errors(template)
    return [f"{error.json_path}: {error.message}; {json.dumps(error.validator_value)}" for error in errors]


def schema_errors_of(**properties: Any) -> list[str]:
    """The same for one pool; `None` takes a property out."""
    given = {name: value for name, value in {**PLAIN, **properties}.items() if value is not None}
    return schema_errors({"Resources": {"Runners": {"Type": "Custom::GitHubRunnerPool", "Properties": given}}})


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_repository_template_has_no_schema_errors(path: Path) -> None:
    assert schema_errors(without_tags(path.read_text())) == []


def pools_of_documents() -> list[Any]:
    """The resources of every block of YAML that has a whole pool, which an excerpt and the syntax do not have."""
    found: list[Any] = []
    for path in tracked_files("*.md"):
        for block in YAML.findall(path.read_text()):
            if "ServiceToken: !" in block:
                template = without_tags(block)
                found.append(pytest.param(template.get("Resources", template), id=path.name))
    return found


@pytest.mark.parametrize("resources", pools_of_documents())
def test_pool_in_a_document_has_no_schema_errors(resources: dict[str, Any]) -> None:
    assert schema_errors({"Resources": resources}) == []


def test_resource_reference_has_an_example() -> None:
    assert "resource-reference.md" in [pool.id for pool in pools_of_documents()]


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_properties_as_cloudformation_sends_them_have_no_schema_errors(path: Path) -> None:
    properties = json.loads(path.read_text()).get("ResourceProperties") or PLAIN
    assert (
        schema_errors({"Resources": {"Runners": {"Type": "Custom::GitHubRunnerPool", "Properties": properties}}}) == []
    )


@pytest.mark.parametrize(
    "value", ["Count", "${Count}", {"Ref": "Count"}, {"Fn::If": ["A", 1, 2]}, ["Big", "4", "2"], "4", 4]
)
def test_schema_accepts_a_number_as_number_string_or_intrinsic_function(value: Any) -> None:
    assert schema_errors_of(DesiredCount=value) == []


def test_schema_allows_a_property_chosen_by_a_condition() -> None:
    chosen, left_out = ["OfAnOrg", "acme", "AWS::NoValue"], {"Fn::If": ["OfAnOrg", {"Ref": "AWS::NoValue"}, "x"]}
    assert schema_errors_of(OrgName=chosen, RepoUrl=left_out) == []


@pytest.mark.parametrize(
    ("place", "properties"),
    [
        ("OrgNme", {"OrgNme": "acme"}),
        ("DesiredCount", {"DesiredCount": -1}),
        ("MemoryReservation", {"MemoryReservation": 3.5}),
        ("StopTimeout", {"StopTimeout": 172_801}),
        ("OnDemandPercentageAboveBaseCapacity", {"OnDemandPercentageAboveBaseCapacity": "70 %"}),
        ("Ephemeral", {"Ephemeral": "yes"}),
        ("OnDrainTimeout", {"OnDrainTimeout": 7}),
        ("Cluster", {"Cluster": None}),
        ("ServiceToken", {"ServiceToken": None}),
        ("OrgName", {"OrgName": None}),
        ("RepoUrl", {"RepoUrl": "https://github.com/acme/app"}),
        ("AccessTokenParameter", {"AccessTokenParameter": None}),
        ("AppPrivateKeyParameter", {"AccessTokenParameter": None, "AppId": 4711}),
        ("AppId", {"AppId": 4711, "AppPrivateKeyParameter": "/key"}),
        ("CapacityProvider", {"CapacityProvider": None}),
        ("Subnets", {"CapacityProvider": None, "LaunchTemplate": LAUNCH_TEMPLATE}),
        ("LaunchTemplate", {"CapacityProvider": None, "LaunchTemplate": {"LaunchTemplateId": "lt-1"}, "Subnets": "x"}),
        ("LaunchTemplate", {"LaunchTemplate": LAUNCH_TEMPLATE, "Subnets": "subnet-0a1b2c3d"}),
        ("MaxRunners", {"MaxRunners": 20, "DesiredCount": 2}),
        ("MaxRunners", {"MinRunners": 1}),
        ("MaxRunners", {"RunnerScaleSetName": "large"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_schema_error_is_found(place: str, properties: dict[str, Any]) -> None:
    (error,) = schema_errors_of(**properties)
    assert place in error
