"""cfn/examples: a pool by AWS CDK, AWS SAM and Terraform, each checked by a tool that reads its language.

CDK synthesizes and SAM's transform runs without an account. Terraform is in no package registry, so its file is parsed
only, and what it names is compared with the template.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest

from cfn.deploy.template import parse
from gates.documents import REPOSITORY
from gates.lint import lint

EXAMPLES = REPOSITORY / "cfn/examples"
POOL = parse((REPOSITORY / "cfn/pool.yaml").read_text(), "pool.yaml")
WITHOUT_DEFAULT = {name for name, declared in POOL["Parameters"].items() if "Default" not in declared}
NODE_MODULES = sorted((REPOSITORY / ".tools").glob("aws-cdk-*/node_modules"))
LINES_MAX = 13


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples beside pool.yaml, as they are to be copied."""
    for path in (*EXAMPLES.iterdir(), REPOSITORY / "cfn/pool.yaml"):
        shutil.copy(path, tmp_path)
    return tmp_path


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    if not NODE_MODULES:
        pytest.fail("AWS CDK is not installed: run this by `make gates`")
    (folder / "node_modules").unlink(missing_ok=True)
    (folder / "node_modules").symlink_to(NODE_MODULES[-1])
    environment = {**os.environ, "CDK_OUTDIR": str(folder / "cdk.out")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def compiled(folder: Path) -> subprocess.CompletedProcess[str]:
    """The CDK app, checked by TypeScript."""
    options = ["--strict", "--target", "es2022", "--module", "commonjs", "--skipLibCheck"]
    return run(folder, "node_modules/.bin/tsc", *options, "cdk.ts")


def text(quoted: str) -> str:
    """Of what python-hcl2 keeps in its quotation marks."""
    return quoted.removeprefix('"').removesuffix('"')


def test_examples_are_those_three_and_short() -> None:
    paths = {path.name: path for path in EXAMPLES.iterdir()}
    assert paths.keys() == {"cdk.ts", "sam.yaml", "terraform.tf"}
    for name, path in paths.items():
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "//"))]
        assert len(lines) <= LINES_MAX, name


def test_cdk_example_synthesizes_pool_template_with_its_parameters(folder: Path) -> None:
    checked = compiled(folder)
    assert checked.returncode == 0, checked.stdout
    synthesized = run(folder, "node", "cdk.js")
    assert synthesized.returncode == 0, synthesized.stderr
    path = folder / "cdk.out/runners.template.json"
    template: dict[str, Any] = json.loads(path.read_text())
    assert template["Resources"].keys() == POOL["Resources"].keys()
    assert template["Resources"]["Runners"]["Properties"]["OrgName"] == "acme"
    assert template["Resources"]["Runners"]["Properties"]["DesiredCount"] == 4
    assert WITHOUT_DEFAULT & template["Parameters"].keys() == set()
    # A condition of pool.yaml about a parameter that the example gives a value.
    assert [finding for finding in lint(path) if ":W8003:" not in finding] == []


def test_cdk_example_is_checked_by_its_types(folder: Path) -> None:
    example = folder / "cdk.ts"
    example.write_text(example.read_text().replace("templateFile:", "template:"))
    assert "'template' does not exist" in compiled(folder).stdout


def test_sam_example_has_no_cfn_lint_findings(folder: Path) -> None:
    assert lint(folder / "sam.yaml") == []


def test_mistake_in_the_sam_example_is_found(folder: Path) -> None:
    example = (folder / "sam.yaml").read_text()
    mistakes = {"property.yaml": ("Location:", "Locaton:"), "parameter.yaml": ("OrgName:", "OrgNme:")}
    for name, (right, wrong) in mistakes.items():
        (folder / name).write_text(example.replace(right, wrong))
    findings = lint(*(folder / name for name in mistakes))
    assert {name for name in mistakes if any(finding.startswith(name) for finding in findings)} == mistakes.keys()


def test_terraform_example_names_parameters_and_outputs_of_the_template() -> None:
    parsed = hcl2.loads((EXAMPLES / "terraform.tf").read_text())
    [resource] = parsed["resource"]
    stack = resource['"aws_cloudformation_stack"']['"runners"']
    assert stack["template_body"] == '${file("${path.module}/pool.yaml")}'
    assert WITHOUT_DEFAULT <= stack["parameters"].keys() <= POOL["Parameters"].keys()
    assert [text(capability) for capability in stack["capabilities"]] == ["CAPABILITY_IAM"]
    [output] = parsed["output"]
    assert output['"runner_label"']["value"] == '${aws_cloudformation_stack.runners.outputs["RunnerLabel"]}'
    assert "RunnerLabel" in POOL["Outputs"]


def test_terraform_template_body_is_within_the_size_of_a_request() -> None:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    assert (REPOSITORY / "cfn/pool.yaml").stat().st_size <= 51_200


def test_mistake_in_the_terraform_example_is_found() -> None:
    example = (EXAMPLES / "terraform.tf").read_text()
    with pytest.raises(Exception, match="nexpected"):
        hcl2.loads(example.replace("timeouts {", "timeouts {{"))
