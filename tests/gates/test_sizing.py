"""cfn/sizing.md: its tables are those of cfn/deploy/costs.py, and its template fragments fit into cfn/pool.yaml."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cfn.deploy import costs
from cfn.deploy.template import parse
from gates.documents import REPOSITORY
from gates.lint import lint
from gates.test_schema import schema_errors

POOL = (REPOSITORY / "cfn/pool.yaml").read_text()
DOCUMENT = costs.DOCUMENT.read_text()
# Each block of YAML by the heading above it.
FRAGMENTS = {
    section.partition("\n")[0]: block
    for section in DOCUMENT.split("\n## ")[1:]
    for block in re.findall(r"^```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
}
# What people search the documents for.
QUESTIONS = [
    "1 to 500 runners",
    "Runners per instance",
    "Warm instances",
    "GPU",
    "arm64",
    "Private ECR",
    "Docker Hub",
    "Proxies",
    "IPv6",
    "GovCloud",
    "China",
    "Session Manager",
    "Job hooks",
    "Fresh images",
    "count by the clock",
    "Application Auto Scaling",
    "CDK",
    "SAM",
    "Terraform",
]


def default(parameter: str) -> Any:
    return parse(POOL, "pool.yaml")["Parameters"][parameter]["Default"]


def merged(below: Any, above: Any) -> Any:
    """Maps one into the other; anything else is replaced, an intrinsic function too."""
    is_function = isinstance(above, dict) and any(name == "Ref" or name.startswith("Fn::") for name in above)
    if isinstance(below, dict) and isinstance(above, dict) and not is_function:
        return {**below, **{name: merged(below.get(name), value) for name, value in above.items()}}
    return above


def in_pool_template(fragment: str) -> dict[str, Any]:
    """pool.yaml with a fragment in it."""
    above = parse(fragment, "a fragment")
    above["Resources"] = {name: dict(resource) for name, resource in above["Resources"].items()}
    whole = merged(parse(POOL, "pool.yaml"), above)
    assert isinstance(whole, dict)
    return whole


def test_make_costs_has_written_the_tables_of_the_document() -> None:
    assert [found["name"] for found in costs.PLACE.finditer(DOCUMENT)] == list(costs.TABLES)
    assert costs.written(DOCUMENT) == DOCUMENT, "run `make costs`"


def test_make_costs_replaces_only_its_tables() -> None:
    stale = re.sub(r"\$[0-9,]+\.[0-9]+", "$0", DOCUMENT)
    assert stale != DOCUMENT
    assert costs.written(stale) == DOCUMENT


def test_cost_assumptions_are_the_defaults_of_the_templates() -> None:
    assert (costs.M7I_LARGE.name, costs.RESERVATION_MIB) == (default("InstanceType"), default("MemoryReservation"))
    assert costs.M7I_LARGE.disk_gb == default("VolumeSize")
    assert costs.M7I_LARGE.runners() == default("DesiredCount")
    operations = parse((REPOSITORY / "cfn/operations.yaml").read_text(), "operations.yaml")["Resources"].values()
    assert [one["Type"] for one in operations].count("AWS::CloudWatch::Alarm") == costs.ALARMS
    provider = (REPOSITORY / "cfn/provider.yaml").read_text()
    assert f"MemorySize: {round(costs.FUNCTION_GB * 1024)}\n" in provider
    assert "ScheduleExpression: rate(1 minute)\n" in provider
    scaling = (REPOSITORY / "src/pool/model/scaling.rs").read_text()
    assert f"LEASE_RENEWAL: Duration = Duration::from_secs({costs.LEASE_RENEWAL_SECS})" in scaling


def test_runners_per_instance_follow_the_formula_of_the_document() -> None:
    assert f"floor({costs.MEMORY_LEFT} x MiB of the type / MemoryReservation)" in DOCUMENT
    assert [costs.InstanceType("x", 2, gib, 1.0).runners(3500) for gib in (4, 8, 16, 64)] == [1, 2, 4, 17]
    assert costs.InstanceType("x", 48, 192, 1.0, gpus=4).runners(3500) == 4


@pytest.mark.parametrize("document", [REPOSITORY / "README.md", REPOSITORY / "cfn/README.md"], ids=str)
def test_costs_of_the_function_are_those_of_the_table(document: Path) -> None:
    limits = [f"under ${math.ceil(amount)}" for amount in (costs.idle_month(), costs.idle_month_with_jobs())]
    text = " ".join(document.read_text().split())
    assert re.search(rf"costs {re.escape(limits[0])} a month, (and )?with `MaxRunners` {re.escape(limits[1])}\b", text)


def test_document_has_a_fragment_for_each_special_case() -> None:
    assert list(FRAGMENTS) == ["Warm instances", "GPU", "Private ECR", "Docker Hub", "Proxies", "Job hooks"]


def test_fragments_in_the_pool_template_have_no_cfn_lint_findings(tmp_path: Path) -> None:
    paths: list[Path] = []
    for name, fragment in FRAGMENTS.items():
        paths.append(tmp_path / f"{name.replace(' ', '-')}.json")
        paths[-1].write_text(json.dumps(in_pool_template(fragment)))
    # A parameter of pool.yaml that a fragment replaces by a value is not used any more.
    assert [finding for finding in lint(*paths) if ":W2001:" not in finding] == []


@pytest.mark.parametrize("name", FRAGMENTS)
def test_fragment_in_the_pool_template_has_no_schema_errors(name: str) -> None:
    whole = in_pool_template(FRAGMENTS[name])
    assert whole["Resources"]["Runners"] != parse(POOL, "pool.yaml")["Resources"]["Runners"]
    assert schema_errors(whole) == []


def test_mistake_in_a_fragment_is_found(tmp_path: Path) -> None:
    mistaken = tmp_path / "mistaken.json"
    wrong = FRAGMENTS["Docker Hub"].replace("UpstreamRegistryUrl:", "UpstreamUrl:")
    mistaken.write_text(json.dumps(in_pool_template(wrong)))
    assert any("UpstreamUrl" in finding for finding in lint(mistaken))
    assert schema_errors(in_pool_template(FRAGMENTS["GPU"].replace("Gpus: 1", "Gpus: -1"))) != []


def test_fragment_with_a_policy_of_its_own_makes_the_pool_depend_on_it() -> None:
    for name, fragment in FRAGMENTS.items():
        resources = parse(fragment, name)["Resources"]
        policies = {key for key, one in resources.items() if one["Type"] == "AWS::IAM::RolePolicy"}
        depends = resources["Runners"].get("DependsOn", [])
        assert policies <= set([depends] if isinstance(depends, str) else depends), name


def test_every_hook_and_proxy_variable_of_the_document_is_plain_text() -> None:
    for name in ("Proxies", "Job hooks"):
        variables = yaml.safe_load(FRAGMENTS[name])["Resources"]["Runners"]["Properties"]["Environment"]
        assert variables
        assert all(isinstance(value, str) for value in variables.values())


@pytest.mark.parametrize("word", QUESTIONS)
def test_question_is_answered_under_one_heading_of_the_documents(word: str) -> None:
    headings = [
        heading
        for path in (*(REPOSITORY / "cfn").glob("*.md"), REPOSITORY / "README.md")
        for heading in re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
        if re.search(rf"\b{word}\b", heading)
    ]
    assert len(headings) == 1, headings
