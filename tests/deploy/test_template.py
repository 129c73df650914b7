"""Templates as cfn/deploy reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cfn.deploy.errors import DeployError
from cfn.deploy.template import POOL, parse

TEMPLATES = sorted((Path(__file__).parents[2] / "cfn").glob("*.yaml"))
HEAD = "Resources: {R: {Type: T}}\n"


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("!Ref Cluster", {"Ref": "Cluster"}),
        ("!Condition IsOn", {"Condition": "IsOn"}),
        ("!GetAtt Role.Arn", {"Fn::GetAtt": ["Role", "Arn"]}),
        ("!GetAtt [Role, Arn]", {"Fn::GetAtt": ["Role", "Arn"]}),
        ("!Sub '${A}-b'", {"Fn::Sub": "${A}-b"}),
        ("!Join ['-', [a, !Ref B]]", {"Fn::Join": ["-", ["a", {"Ref": "B"}]]}),
        (
            "!If [IsOn, {a: !Ref A}, !Ref 'AWS::NoValue']",
            {"Fn::If": ["IsOn", {"a": {"Ref": "A"}}, {"Ref": "AWS::NoValue"}]},
        ),
        ("!Transform {Name: X}", {"Fn::Transform": {"Name": "X"}}),
        ("2012-10-17", "2012-10-17"),
        ("true", True),
    ],
)
def test_short_form_becomes_the_full_form(yaml: str, expected: object) -> None:
    assert parse(f"{HEAD}Value: {yaml}\n", "t.yaml")["Value"] == expected


def test_json_is_read_as_text_and_as_data() -> None:
    assert parse('{"Resources": {"R": {"Ref": "A"}}}', "t.json") == {"Resources": {"R": {"Ref": "A"}}}
    assert parse({"Resources": {"R": {}}}, "a template of CloudFormation") == {"Resources": {"R": {}}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Resources: {", "t.yaml: invalid YAML. Correct this: "),
        ("just a text", "t.yaml: not a CloudFormation template, for it has no Resources."),
        ("Resources: []", "t.yaml: not a CloudFormation template, for it has no Resources."),
        ("", "t.yaml: not a CloudFormation template, for it has no Resources."),
    ],
)
def test_error_names_the_file(body: str, expected: str) -> None:
    with pytest.raises(DeployError) as raised:
        parse(body, "t.yaml")
    assert str(raised.value).startswith(expected)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_repository_template_is_read(path: Path) -> None:
    kinds = [resource["Type"] for resource in parse(path.read_text(), path.name)["Resources"].values()]
    assert kinds
    assert (POOL in kinds) is (path.name not in ("provider.yaml", "operations.yaml", "schedule.yaml"))
