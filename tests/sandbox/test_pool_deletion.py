"""Delete: whatever the event says or fails to say, it ends, and only what is the pool's goes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.ecs_pool import EcsPool
from sandbox.scenario import EVENTS, LOGICAL_ID, Pool, Properties, SentRequest, Stage, leftovers
from sandbox.world import TOKEN_PARAMETER

# Without properties a Delete is as patient as a pool is by default: an idle runner is one that was idle for a minute.
DEFAULT_PATIENCE = 100
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
def bare(stage: Stage) -> Iterator[list[tuple[Pool, SentRequest]]]:
    """Two pools whose Delete says nothing of use. It takes a minute, in which the other tests go on."""
    pools = [stage.start("bare"), stage.start("garbled", DesiredCount=2)]
    events = [
        delete_event(pools[0].up()),
        delete_event(pools[1].up(), ResourceProperties=sample("delete-wrong-types")["ResourceProperties"]),
    ]
    yield [(pool, stage.send(event)) for pool, event in zip(pools, events, strict=True)]
    for pool in pools:
        pool.delete()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_delete_of_what_is_not_there_succeeds_every_time(stage: Stage, name: str) -> None:
    event = sample(name)
    for _ in range(2):
        answer = stage.invoke(event)
        assert answer["Status"] == "SUCCESS", answer
        assert answer["PhysicalResourceId"] == event["PhysicalResourceId"]
        assert answer["StackId"] == event["StackId"]


@pytest.mark.parametrize("physical_id", ["", "ghr-was-not-created", "ghr-other-Runners-0123456789", None])
def test_a_delete_with_an_id_that_is_none_of_ours_succeeds(stage: Stage, physical_id: str | None) -> None:
    event = {**sample("delete-without-properties"), "PhysicalResourceId": physical_id}
    if physical_id is None:
        del event["PhysicalResourceId"]
    answer = stage.invoke(event)
    assert answer["Status"] == "SUCCESS", answer


def test_a_delete_of_another_stacks_pool_leaves_it_alone(stage: Stage) -> None:
    pool = stage.start("mine").up()
    before = pool.runner_ids()
    answer = stage.invoke({**sample("delete-without-properties"), "PhysicalResourceId": pool.id})
    assert answer["Status"] == "SUCCESS", answer
    assert pool.runner_ids() == before
    assert pool.service["desiredCount"] == 1
    pool.delete()
    assert pool.leftovers() == []


def test_a_delete_that_is_delivered_twice_has_one_answer(stage: Stage) -> None:
    pool = stage.start("twice").up()
    letter = stage.send(delete_event(pool, ResourceProperties=pool.sent_properties()))
    letter.deliver()
    assert letter.answer(60)["Status"] == "SUCCESS"
    assert leftovers(stage.world, pool.id) == []
    letter.deliver("RequestResponse")
    assert letter.answer(0)["Status"] == "SUCCESS"
    pool.delete()


def test_of_two_deletes_at_once_the_newer_one_does_the_work(stage: Stage) -> None:
    pool = stage.start("double").up()
    event = delete_event(pool, ResourceProperties=pool.sent_properties())
    older, newer = stage.send(event, signed_ago=60), stage.send(event)
    assert newer.answer(60)["Status"] == "SUCCESS"
    assert leftovers(stage.world, pool.id) == []
    older.is_taken_over()
    pool.delete()


def test_foreign_runners_survive_however_similar_they_are(stage: Stage) -> None:
    world = stage.world
    pool = stage.start("neighbour").up()
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


def test_foreign_resources_of_nearly_the_same_name_survive(stage: Stage) -> None:
    world, hand = stage.world, EcsPool(stage.world)
    pool = stage.start("similar", Cluster=hand.cluster).up()
    pool_id = pool.id
    other = pool_id[:-1] + ("0" if pool_id[-1] != "0" else "1")
    ecs, scaling = world.client("ecs"), world.client("autoscaling")
    for name in (f"{pool_id}-2", other):
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=0,
            MaxSize=1,
            VPCZoneIdentifier="subnet-1",
            LaunchTemplate={"LaunchTemplateId": hand.template, "Version": "1"},
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
    hand.associate([pool_id, f"{pool_id}-2", other])
    hand.wait_associated()
    strategy = [{"capacityProvider": other, "weight": 1}]
    for name in (f"{pool_id}-2", other):
        ecs.create_service(
            cluster=hand.cluster,
            serviceName=name,
            taskDefinition=name,
            desiredCount=1,
            capacityProviderStrategy=strategy,
        )
    running = world.wait_for("the foreign services", lambda: _running(ecs, hand.cluster, [f"{pool_id}-2", other]))

    pool.delete()
    assert pool.leftovers() == []
    assert _running(ecs, hand.cluster, [f"{pool_id}-2", other]) == running
    for name in (f"{pool_id}-2", other):
        left = leftovers(world, name)
        for kind in ("group", "provider", "association", "service", "task definition", "task"):
            assert any(thing.startswith(kind) for thing in left), (kind, left)
    hand.tear_down()


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


def test_a_group_of_the_pools_own_name_that_is_not_its_own_is_left_alone(stage: Stage) -> None:
    world, hand = stage.world, EcsPool(stage.world)
    origin = {
        "StackId": f"arn:aws:cloudformation:{world.region}:{world.account}:stack/namesake/{uuid.uuid4()}",
        "LogicalResourceId": LOGICAL_ID,
    }
    properties = {
        **{key: str(value) for key, value in stage.usual.items()},
        "Cluster": "not-made-yet",
        "ExecutionRoleArn": f"arn:aws:iam::{world.account}:role/github-runner-pool/execution",
        "LaunchTemplate": {"LaunchTemplateId": hand.template, "Version": "1"},
        "AccessTokenParameter": TOKEN_PARAMETER,
    }
    create = {"RequestType": "Create", "ResourceProperties": properties, **origin}
    pool_id = stage.invoke(create)["PhysicalResourceId"]
    assert pool_id.startswith("ghr-namesake-Runners-")
    world.client("ecs").create_cluster(clusterName="not-made-yet")
    scaling = world.client("autoscaling")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=pool_id,
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier="subnet-1",
        LaunchTemplate={"LaunchTemplateId": hand.template, "Version": "1"},
    )
    answer = stage.invoke(create)
    assert answer["Status"] == "FAILED"
    assert answer["PhysicalResourceId"] == pool_id
    assert f"An Auto Scaling group named {pool_id} exists already" in answer["Reason"]
    delete = {"RequestType": "Delete", "PhysicalResourceId": pool_id, "ResourceProperties": properties, **origin}
    assert stage.invoke(delete)["Status"] == "SUCCESS"
    assert leftovers(world, pool_id) == [f"group {pool_id}"]
    scaling.delete_auto_scaling_group(AutoScalingGroupName=pool_id, ForceDelete=True)
    hand.tear_down()


def test_a_pool_whose_cluster_and_group_were_removed_by_hand_is_still_deleted(stage: Stage) -> None:
    world, hand = stage.world, EcsPool(stage.world)
    pool = stage.start("torn", Cluster=hand.cluster).up()
    pool_id = pool.id
    ecs, scaling = world.client("ecs"), world.client("autoscaling")
    ecs.delete_service(cluster=hand.cluster, service=pool_id, force=True)
    scaling.delete_auto_scaling_group(AutoScalingGroupName=pool_id, ForceDelete=True)
    world.wait_for(
        "the group to be gone",
        lambda: not scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[pool_id])["AutoScalingGroups"],
    )
    pool.delete()
    assert pool.leftovers() == []
    hand.tear_down()


def test_a_token_that_was_revoked_does_not_hold_up_a_deletion(stage: Stage) -> None:
    world, token = stage.world, "ghp_SandboxPlantedSoonRevoked0123456789ab"
    world.put_token(token, {"orgs/acme": "write"})
    world.put_parameter("/github-runner-pool/revoked", token)
    pool = stage.start("revoked", AccessTokenParameter="/github-runner-pool/revoked", DrainTimeout=2).up()
    world.revoke_token(token)
    pool_id = pool.id
    pool.delete()
    answer = pool.answers()[-1]
    assert answer["what"] == "SUCCESS"
    assert "GitHub may still list the runners …-" in answer["reason"]
    assert f"(label {pool_id})" in answer["reason"]
    assert [thing for thing in pool.leftovers() if not thing.startswith("runner ")] == []


def test_a_delete_without_usable_properties_removes_the_whole_pool(bare: list[tuple[Pool, SentRequest]]) -> None:
    for pool, letter in bare:
        answer = letter.answer(DEFAULT_PATIENCE)
        assert answer["Status"] == "SUCCESS", answer
        assert leftovers(pool.world, pool.id) == []
        with pytest.raises((ClientError, IndexError)):
            print(pool.group)
