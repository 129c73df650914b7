"""What `make plan` prints of the function's answer, and how it compares properties."""

from __future__ import annotations

from typing import Any

import pytest

from cfn.deploy.errors import DeployError
from cfn.deploy.intrinsics import Predicted, Unknown
from cfn.deploy.plan import PoolPlan, compare, flatten, predicted_places, print_summary

EMPTY: dict[str, Any] = {"Obstacles": [], "Changes": [], "Retires": {}, "Notes": []}


def pool_plan(name: str = "Runners", action: str = "Update", **answer: Any) -> PoolPlan:
    return PoolPlan(name, {**EMPTY, "Action": action, **answer}, [])


def test_flatten_names_each_value_by_its_path() -> None:
    properties = {
        "Labels": ["linux", "docker"],
        "LaunchTemplate": {"Version": "2", "LaunchTemplateId": Unknown("Ref", "LaunchTemplate")},
        "Tags": [{"Key": "team", "Value": "ci"}],
        "RunnerGroup": None,
    }
    assert flatten(properties) == {
        "Labels": "linux, docker",
        "LaunchTemplate.Version": "2",
        "LaunchTemplate.LaunchTemplateId": "(known after deployment: LaunchTemplate)",
        "Tags.team": "ci",
    }


def test_compare_marks_added_removed_and_changed_properties() -> None:
    before = {"Image": "a", "Labels": ["x"], "DesiredCount": "1"}
    after = {"Image": "b", "RunnerGroup": "g", "DesiredCount": "1"}
    assert compare(before, after) == ["~ Image: a -> b", "- Labels: x", "+ RunnerGroup: g"]


def test_compare_redacts_properties_that_may_contain_secrets() -> None:
    before = {"Environment": {"KEY": "old"}, "Secrets": {"A": "arn:1"}}
    after = {"Environment": {"KEY": "new"}, "AccessTokenParameter": "/token"}
    assert compare(before, after) == [
        "+ AccessTokenParameter (not shown)",
        "~ Environment.KEY (not shown)",
        "- Secrets.A (not shown)",
    ]


def test_compare_ignores_service_token_and_service_timeout() -> None:
    assert compare({"ServiceToken": "a", "ServiceTimeout": "1"}, {"ServiceToken": "b", "ServiceTimeout": "2"}) == []


def test_predicted_launch_template_version_is_reported_to_the_function() -> None:
    assert predicted_places({"LaunchTemplate": {"Version": Predicted("3")}}) == ["LaunchTemplate.Version"]
    assert predicted_places({"LaunchTemplate": {"Version": "3"}}) == []
    assert predicted_places({"CapacityProvider": "shared"}) == []


def test_pool_plan_prints_the_errors_first_and_only_sections_that_have_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pool_plan(
        Pool="ghr-ci-Runners-0a1b2c3d4e",
        Changes=["~ service: DesiredCount 2 -> 1"],
        Retires={"a": "idle", "b": "busy", "c": "unknown"},
        Obstacles=["Cluster: there is none. Create it"],
    ).print_plan()
    assert (
        capsys.readouterr().out
        == """
Runners (ghr-ci-Runners-0a1b2c3d4e) is updated in place
  errors
    ! Cluster: there is none. Create it
  changes
    ~ service: DesiredCount 2 -> 1
  runners to retire
    - a  idle
    - b  BUSY
    - c  perhaps busy
"""
    )


def test_summary_counts_pools_and_runners(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([pool_plan(Retires={"a": "idle", "b": "busy"}), pool_plan("Other"), pool_plan("New", "Create")])
    assert capsys.readouterr().out == (
        "\nPools: 2 to update in place, 1 to create; 2 runners leave, 1 of them busy or perhaps busy.\n"
        "Nothing was written.\n"
    )


def test_summary_fails_with_the_pools_that_have_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeployError, match=r"^A, B: the deployment would fail"):
        print_summary([pool_plan("A", Obstacles=["x"]), pool_plan("Good"), pool_plan("B", Obstacles=["y"])])
    assert "Nothing was written." in capsys.readouterr().out
