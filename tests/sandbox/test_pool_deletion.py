"""Delete: whatever the event says or fails to say, it ends, and only what is the pool's goes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.ecs_pool import EcsPool
from sandbox.leftovers import leftovers
from sandbox.scenario import EVENTS, LOGICAL_ID, DeployedWorld, Pool, Properties, SentRequest
from sandbox.world import TOKEN_PARAMETER

# Without properties a Delete is as patient as a pool is by default: an idle runner is one that was idle for a minute.
RESPONSE_TIMEOUT_SECS = 100
SAMPLES = [
    "delete",
    "delete-foreign-id",
    "delete-null-properties",
    "delete-string-properties",
    "delete-without-properties",
    "delete-wrong-types",
]


def sample(name: str) -> Properties:
    event = json.loads((EVENTS / f"{name}.json").read_text())
    return {key: value for key, value in event.items() if key not in ("ResponseURL", "RequestId")}


def delete_event(pool: Pool, **more: Any) -> Properties:
    return {
        "RequestType": "Delete",
        "StackId": pool.stack.id,
        "LogicalResourceId": LOGICAL_ID,
        "PhysicalResourceId": pool.id,
        **more,
    }


@pytest.fixture(scope="module", autouse=True)
def bare(deployed_world: DeployedWorld) -> Iterator[list[tuple[Pool, SentRequest]]]:
    """Two pools whose Delete says nothing of use. It takes a minute, in which the other tests go on."""
    pools = [deployed_world.start("bare"), deployed_world.start("garbled", DesiredCount=2)]
    events = [
        delete_event(pools[0].up()),
        delete_event(pools[1].up(), ResourceProperties=sample("delete-wrong-types")["ResourceProperties"]),
    ]
    yield [(pool, deployed_world.send(event)) for pool, event in zip(pools, events, strict=True)]
    for pool in pools:
        pool.delete()


@pytest.mark.parametrize("name", SAMPLES)
def test_delete_of_an_absent_pool_succeeds_every_time(deployed_world: DeployedWorld, name: str) -> None:
    event = sample(name)
    for _ in range(2):
        response = deployed_world.invoke(event)
        assert response["Status"] == "SUCCESS", response
        assert response["PhysicalResourceId"] == event["PhysicalResourceId"]
        assert response["StackId"] == event["StackId"]


@pytest.mark.parametrize("physical_id", ["", "ghr-was-not-created", "ghr-other-Runners-0123456789", None])
def test_delete_with_a_foreign_physical_id_succeeds(deployed_world: DeployedWorld, physical_id: str | None) -> None:
    event = {**sample("delete-without-properties"), "PhysicalResourceId": physical_id}
    if physical_id is None:
        del event["PhysicalResourceId"]
    response = deployed_world.invoke(event)
    assert response["Status"] == "SUCCESS", response


def test_delete_from_another_stack_leaves_the_pool_untouched(deployed_world: DeployedWorld) -> None:
    pool = deployed_world.start("mine").up()
    before = pool.runner_ids()
    response = deployed_world.invoke({**sample("delete-without-properties"), "PhysicalResourceId": pool.id})
    assert response["Status"] == "SUCCESS", response
    assert pool.runner_ids() == before
    assert pool.service["desiredCount"] == 1
    pool.delete()
    assert pool.leftovers() == []


def test_delete_delivered_twice_has_one_response(deployed_world: DeployedWorld) -> None:
    pool = deployed_world.start("twice").up()
    request = deployed_world.send(delete_event(pool, ResourceProperties=pool.sent_properties()))
    request.deliver()
    assert request.response(60)["Status"] == "SUCCESS"
    assert leftovers(deployed_world.world, pool.id) == []
    request.deliver("RequestResponse")
    assert request.response(0)["Status"] == "SUCCESS"
    pool.delete()


def test_newer_delete_supersedes_the_older_one(deployed_world: DeployedWorld) -> None:
    pool = deployed_world.start("double").up()
    event = delete_event(pool, ResourceProperties=pool.sent_properties())
    older, newer = deployed_world.send(event, signed_ago=60), deployed_world.send(event)
    assert newer.response(60)["Status"] == "SUCCESS"
    assert leftovers(deployed_world.world, pool.id) == []
    older.expect_superseded()
    pool.delete()


def test_delete_leaves_foreign_runners_with_similar_names_and_labels(deployed_world: DeployedWorld) -> None:
    world = deployed_world.world
    pool = deployed_world.start("neighbour").up()
    prefix = pool.outputs["RunnerNamePrefix"]
    ours = pool.online()[0]["name"]
    foreign = {
        f"{prefix}-x": ["default"],
        f"{prefix}-0123456789ab": ["default"],
        f"{ours}0": [pool.id],
        "github-runner-x": [pool.id],
        "somebody-elses": ["default", pool.id],
        f"{prefix}-xyzxyzxyzxyz": [pool.id],
    }
    for name, labels in foreign.items():
        world.post("/github/runners", target="orgs/acme", name=name, labels=labels, online=name != "github-runner-x")
    pool.update(DesiredCount=2)
    assert pool.outputs["OnlineRunners"] == "2"
    pool_id = pool.id
    pool.delete()
    left = {runner["name"] for runner in world.runners()}
    assert set(foreign) <= left
    labelled = {name for name, labels in foreign.items() if pool_id in labels}
    assert set(pool.leftovers()) == {f"runner {name} of {pool_id}" for name in labelled}
    for name in foreign:
        world._request("DELETE", "/github/runners", {"name": name})


def test_delete_leaves_foreign_resources_with_similar_names(deployed_world: DeployedWorld) -> None:
    world, ecs_pool = deployed_world.world, EcsPool(deployed_world.world)
    pool = deployed_world.start("similar", Cluster=ecs_pool.cluster).up()
    pool_id = pool.id
    other = pool_id[:-1] + ("0" if pool_id[-1] != "0" else "1")
    ecs, scaling = world.client("ecs"), world.client("autoscaling")
    for name in (f"{pool_id}-2", other):
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=0,
            MaxSize=1,
            VPCZoneIdentifier="subnet-1",
            LaunchTemplate={"LaunchTemplateId": ecs_pool.template, "Version": "1"},
        )
        group = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
        ecs.create_capacity_provider(
            name=name,
            autoScalingGroupProvider={
                "autoScalingGroupArn": group["AutoScalingGroupARN"],
                "managedScaling": {"status": "ENABLED"},
            },
        )
        ecs.register_task_definition(
            family=name, containerDefinitions=[{"name": "app", "image": "nginx", "memoryReservation": 100}]
        )

    def active() -> bool:
        found = ecs.describe_capacity_providers(capacityProviders=[f"{pool_id}-2", other])["capacityProviders"]
        return all(provider["status"] == "ACTIVE" for provider in found)

    world.wait_for("the foreign providers", active)
    ecs_pool.associate([pool_id, f"{pool_id}-2", other])
    ecs_pool.wait_associated()
    strategy = [{"capacityProvider": other, "weight": 1}]
    for name in (f"{pool_id}-2", other):
        ecs.create_service(
            cluster=ecs_pool.cluster,
            serviceName=name,
            taskDefinition=name,
            desiredCount=1,
            capacityProviderStrategy=strategy,
        )
    running = world.wait_for("the foreign services", lambda: _running(ecs, ecs_pool.cluster, [f"{pool_id}-2", other]))

    pool.delete()
    assert pool.leftovers() == []
    assert _running(ecs, ecs_pool.cluster, [f"{pool_id}-2", other]) == running
    for name in (f"{pool_id}-2", other):
        left = leftovers(world, name)
        for kind in ("group", "provider", "association", "service", "task definition", "task"):
            assert any(thing.startswith(kind) for thing in left), (kind, left)
    ecs_pool.tear_down()


def _running(ecs: Any, cluster: str, names: list[str]) -> list[str]:
    """Tasks of these services, once each has one that runs."""
    found = [
        arn
        for name in names
        for arn in ecs.list_tasks(cluster=cluster, serviceName=name, desiredStatus="RUNNING")["taskArns"]
    ]
    described = ecs.describe_tasks(cluster=cluster, tasks=found)["tasks"] if found else []
    is_up = len(described) == len(names) and all(task["lastStatus"] == "RUNNING" for task in described)
    return sorted(found) if is_up else []


def test_auto_scaling_group_of_the_same_name_without_our_tags_is_never_changed(deployed_world: DeployedWorld) -> None:
    world, ecs_pool = deployed_world.world, EcsPool(deployed_world.world)
    origin = {
        "StackId": f"arn:aws:cloudformation:{world.region}:{world.account}:stack/namesake/{uuid.uuid4()}",
        "LogicalResourceId": LOGICAL_ID,
    }
    properties = {
        **{key: str(value) for key, value in deployed_world.default_properties.items()},
        "Cluster": "not-made-yet",
        "ExecutionRoleArn": f"arn:aws:iam::{world.account}:role/github-runner-pool/execution",
        "LaunchTemplate": {"LaunchTemplateId": ecs_pool.template, "Version": "1"},
        "AccessTokenParameter": TOKEN_PARAMETER,
    }
    create = {"RequestType": "Create", "ResourceProperties": properties, **origin}
    pool_id = deployed_world.invoke(create)["PhysicalResourceId"]
    assert pool_id.startswith("ghr-namesake-Runners-")
    world.client("ecs").create_cluster(clusterName="not-made-yet")
    scaling = world.client("autoscaling")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=pool_id,
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier="subnet-1",
        LaunchTemplate={"LaunchTemplateId": ecs_pool.template, "Version": "1"},
    )
    response = deployed_world.invoke(create)
    assert response["Status"] == "FAILED"
    assert response["PhysicalResourceId"] == pool_id
    assert f"An Auto Scaling group named {pool_id} exists already" in response["Reason"]
    delete = {"RequestType": "Delete", "PhysicalResourceId": pool_id, "ResourceProperties": properties, **origin}
    assert deployed_world.invoke(delete)["Status"] == "SUCCESS"
    assert leftovers(world, pool_id) == [f"group {pool_id}"]
    scaling.delete_auto_scaling_group(AutoScalingGroupName=pool_id, ForceDelete=True)
    ecs_pool.tear_down()


def test_delete_succeeds_after_cluster_and_group_were_removed_by_hand(deployed_world: DeployedWorld) -> None:
    world, ecs_pool = deployed_world.world, EcsPool(deployed_world.world)
    pool = deployed_world.start("torn", Cluster=ecs_pool.cluster).up()
    pool_id = pool.id
    ecs, scaling = world.client("ecs"), world.client("autoscaling")
    ecs.delete_service(cluster=ecs_pool.cluster, service=pool_id, force=True)
    scaling.delete_auto_scaling_group(AutoScalingGroupName=pool_id, ForceDelete=True)
    world.wait_for(
        "the group to be gone",
        lambda: not scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[pool_id])["AutoScalingGroups"],
    )
    pool.delete()
    assert pool.leftovers() == []
    ecs_pool.tear_down()


def test_on_deregister_failure_warn_deletes_with_a_revoked_token(deployed_world: DeployedWorld) -> None:
    world, token = deployed_world.world, "ghp_SandboxPlantedSoonRevoked0123456789ab"
    world.put_token(token, {"orgs/acme": "write"})
    world.put_parameter("/github-runner-pool/revoked", token)
    pool = deployed_world.start("revoked", AccessTokenParameter="/github-runner-pool/revoked", DrainTimeout=2).up()
    world.revoke_token(token)
    pool_id = pool.id
    pool.delete()
    response = pool.responses()[-1]
    assert response["what"] == "SUCCESS"
    assert "GitHub may still list the runners …-" in response["reason"]
    assert f"(label {pool_id})" in response["reason"]
    assert [thing for thing in pool.leftovers() if not thing.startswith("runner ")] == []


def test_delete_without_valid_properties_removes_the_whole_pool(bare: list[tuple[Pool, SentRequest]]) -> None:
    for pool, request in bare:
        response = request.response(RESPONSE_TIMEOUT_SECS)
        assert response["Status"] == "SUCCESS", response
        assert leftovers(pool.world, pool.id) == []
        with pytest.raises((ClientError, IndexError)):
            print(pool.group)
