"""A pool that cannot be made: one Reason that says why, and nothing left after the rollback."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from sandbox.ecs_pool import EcsPool
from sandbox.scenario import BROKEN_IMAGE, EVENTS, LOG_GROUP, LOGICAL_ID, PLANTED_SIGNATURE, DeployedWorld, Pool
from sandbox.world import TOKEN_PARAMETER

BAD_TOKEN = "ghp_SandboxPlantedRevokedToken012345678901"
POWERLESS_TOKEN = "github_pat_SandboxPlantedPowerlessToken0123"


@pytest.fixture(scope="module")
def failing_pools(deployed_world: DeployedWorld) -> Iterator[dict[str, Pool]]:
    """All of them at the same time: most fail within a second, and those that wait for runners do it together."""
    world = deployed_world.world
    world.put_parameter("/github-runner-pool/bad", BAD_TOKEN)
    world.put_token(POWERLESS_TOKEN, {"orgs/acme": "read"})
    world.put_parameter("/github-runner-pool/powerless", POWERLESS_TOKEN)
    elsewhere = EcsPool(world)
    world.post("/faults", launches="fail")
    no_capacity = deployed_world.start("nocapacity", OnlineTimeout=5)
    yield {
        "no capacity": _launches_failed(no_capacity),
        "bad token": deployed_world.start("badtoken", AccessTokenParameter="/github-runner-pool/bad"),
        "powerless token": deployed_world.start("powerless", AccessTokenParameter="/github-runner-pool/powerless"),
        "unknown organization": deployed_world.start("unknown", OrgName="nowhere"),
        "no group": deployed_world.start("nogroup", RunnerGroup="gold"),
        "no parameter": deployed_world.start("noparameter", AccessTokenParameter="/github-runner-pool/nothing"),
        "no cluster": deployed_world.start("nocluster", Cluster="nowhere"),
        "broken image": deployed_world.start("brokenimage", Image=BROKEN_IMAGE),
        "other cluster": deployed_world.start(
            "othercluster",
            OnlineTimeout=6,
            LaunchTemplate={"LaunchTemplateId": elsewhere.template, "Version": "1"},
        ),
    }
    elsewhere.tear_down()


def _launches_failed(pool: Pool) -> Pool:
    """The fault is everybody's, so it lasts only until this one has met it."""
    pool.stack.settled()
    pool.world.post("/faults", launches="ok")
    return pool


def failed(pool: Pool) -> str:
    """The Reason, once the stack is rolled back and nothing is left."""
    reason = pool.failure_reason()
    print(reason)
    assert pool.requests() == ["Create", "Delete"]
    assert pool.responses()[1]["what"] == "SUCCESS"
    assert pool.responses()[0]["physical_id"] == pool.responses()[1]["physical_id"]
    assert pool.leftovers() == []
    assert f"(log: {LOG_GROUP}/" in reason
    assert "http" not in reason.replace(pool.world.github, "")
    return reason


def test_access_token_rejected_by_github_is_named(failing_pools: dict[str, Pool]) -> None:
    reason = failed(failing_pools["bad token"])
    assert "AccessTokenParameter /github-runner-pool/bad" in reason
    assert "has expired, was revoked, or was mistyped" in reason
    assert "401" in reason
    assert BAD_TOKEN not in reason


def test_access_token_without_permission_names_the_missing_permission(failing_pools: dict[str, Pool]) -> None:
    reason = failed(failing_pools["powerless token"])
    assert "AccessTokenParameter /github-runner-pool/powerless" in reason
    assert "may not administer the runners" in reason
    assert "403" in reason
    assert "organization_self_hosted_runners" in reason or "Self-hosted runners" in reason


def test_org_name_invisible_to_the_token_is_named(failing_pools: dict[str, Pool]) -> None:
    reason = failed(failing_pools["unknown organization"])
    assert "nowhere" in reason
    assert "OrgName" in reason
    assert "404" in reason


def test_missing_runner_group_is_named(failing_pools: dict[str, Pool]) -> None:
    reason = failed(failing_pools["no group"])
    assert "RunnerGroup" in reason
    assert "no runner group named gold" in reason


def test_missing_access_token_parameter_is_named(failing_pools: dict[str, Pool]) -> None:
    reason = failed(failing_pools["no parameter"])
    assert "AccessTokenParameter /github-runner-pool/nothing" in reason
    assert "there is no such parameter" in reason


def test_missing_cluster_is_named(failing_pools: dict[str, Pool]) -> None:
    reason = failed(failing_pools["no cluster"])
    assert "Cluster: there is no active ECS cluster nowhere" in reason


@pytest.mark.parametrize(
    "name",
    ["bad token", "powerless token", "unknown organization", "no group", "no parameter", "no cluster"],
)
def test_failed_preflight_check_builds_nothing(failing_pools: dict[str, Pool], name: str) -> None:
    pool = failing_pools[name]
    pool.stack.settled()
    pool_id = pool.responses()[0]["physical_id"]
    about = [
        call
        for call in pool.world.calls(writes=True)
        if call["service"] in ("ecs", "autoscaling") and pool_id in json.dumps(call.get("request"))
    ]
    assert about == []


def test_failed_launch_quotes_the_scaling_activity(failing_pools: dict[str, Pool]) -> None:
    reason = failed(failing_pools["no capacity"])
    assert "0 of 1 runners came online within OnlineTimeout (5 s)" in reason
    assert "We currently do not have sufficient t3.large capacity" in reason


def test_image_that_cannot_be_pulled_quotes_ecs(failing_pools: dict[str, Pool]) -> None:
    reason = failed(failing_pools["broken image"])
    assert "circuit breaker" in reason
    assert "CannotPullContainerError" in reason
    assert BROKEN_IMAGE in reason


def test_instances_registered_with_another_cluster_are_named(failing_pools: dict[str, Pool]) -> None:
    reason = failed(failing_pools["other cluster"])
    assert "instances that are not registered with the cluster: i-" in reason
    assert "must write ECS_CLUSTER=othercluster" in reason
    # Known from the user data before an instance was started, and logged then.
    assert re.search(r"Warnings: LaunchTemplate: its user data has the instances join the cluster \S+, and not", reason)


def test_all_invalid_properties_are_in_one_failure_reason(deployed_world: DeployedWorld) -> None:
    sample = json.loads((EVENTS / "create-seven-problems.json").read_text())["ResourceProperties"]
    sample.pop("ServiceToken")
    pool = deployed_world.start("seven", **sample)
    reason = failed(pool)
    for path in (
        "AccessTokenParameter",
        "LaunchTemplate.Version",
        "DesiredCount",
        "Ephemeral",
        "RunnerLabels",
        "DrainTimeout",
        "Tags[1].Key",
    ):
        assert path in reason
    assert sample["AccessTokenParameter"] not in reason
    assert pool.responses()[0]["physical_id"] == "ghr-was-not-created"


def test_create_event_without_properties_gets_a_response(deployed_world: DeployedWorld) -> None:
    response = deployed_world.invoke(
        {
            "RequestType": "Create",
            "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/empty/00000000-0000-4000-8000-000000000000",
            "LogicalResourceId": LOGICAL_ID,
        }
    )
    assert response["Status"] == "FAILED"
    for name in ("OrgName", "AccessTokenParameter", "Cluster", "LaunchTemplate", "Subnets"):
        assert name in response["Reason"]
    assert PLANTED_SIGNATURE not in json.dumps(response)
    assert TOKEN_PARAMETER not in response["Reason"]


def test_missing_state_table(deployed_world: DeployedWorld) -> None:
    """Without its lock record a request changes nothing."""
    fault = {"service": "dynamodb", "operation": "GetItem", "about": "stateless", "times": 1}
    error = {"code": "ResourceNotFoundException", "message": "Requested resource not found"}
    deployed_world.world.post("/faults", aws=[{**fault, **error}])
    reason = failed(deployed_world.start("stateless"))
    assert "Amazon DynamoDB GetItem failed (ResourceNotFoundException): Requested resource not found." in reason
