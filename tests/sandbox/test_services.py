"""Deployments, protection and the life of a service behave as AWS documents them."""

from __future__ import annotations

from typing import Any

import pytest

from pool_by_hand import ROLE, PoolByHand, refused
from world import World


def running(pool: PoolByHand) -> list[dict[str, Any]]:
    return [task for task in pool.tasks() if task["lastStatus"] == "RUNNING"]


def settled(world: World, pool: PoolByHand, count: int) -> list[dict[str, Any]]:
    def steady() -> bool:
        service = pool.service
        primary = service["deployments"][0]
        return len(service["deployments"]) == 1 and primary["rolloutState"] == "COMPLETED"

    world.wait_for("a completed rollout", lambda: steady() and len(running(pool)) == count)
    return running(pool)


def test_protected_tasks_survive_a_smaller_count(world: World, pool: PoolByHand) -> None:
    pool.make_capacity().make_service(3)
    pool.wait_online(3)
    kept = pool.tasks()[0]
    answer = pool.protect([kept])
    assert answer["failures"] == []
    assert answer["protectedTasks"][0]["protectionEnabled"]
    job = pool.busy_job(pool.runner_of(kept))
    pool.update(desiredCount=0)
    world.wait_for("one task left", lambda: [t["taskArn"] for t in pool.tasks()] == [kept["taskArn"]])
    world.wait_for("the complaint", lambda: "unable to scale in" in str(pool.service["events"]))
    assert world.job(job)["state"] == "running"
    pool.protect([kept], enabled=False)
    world.wait_for("no task left", lambda: not pool.tasks())
    assert world.job(job)["state"] == "lost"


def test_protected_tasks_survive_a_deployment(world: World, pool: PoolByHand) -> None:
    pool.make_capacity().make_service(2)
    pool.wait_online(2)
    old = pool.tasks()
    pool.protect(old)
    pool.update(taskDefinition=pool.define("myoung34/github-runner:debian-trixie"))
    world.wait_for("old and new side by side", lambda: len(running(pool)) == 4)
    service = pool.service
    assert [d["status"] for d in service["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert service["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    new = [t for t in pool.tasks() if t["startedBy"] == service["deployments"][0]["id"]]
    assert {f["reason"] for f in pool.protect(new)["failures"]} == {"DEPLOYMENT_BLOCKED"}
    pool.protect(old, enabled=False)
    left = settled(world, pool, 2)
    assert {t["taskArn"] for t in left} == {t["taskArn"] for t in new}


def test_after_the_count_is_zero_protection_can_only_be_lifted(world: World, pool: PoolByHand) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    task = pool.tasks()
    pool.protect(task)
    pool.update(desiredCount=0)
    assert pool.protect(task)["failures"][0]["reason"] == "DEPLOYMENT_BLOCKED"
    assert pool.protect(task, enabled=False)["failures"] == []
    world.wait_for("no task left", lambda: not pool.tasks())


def test_protection_reports_what_it_cannot_do(pool: PoolByHand) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    task = pool.tasks()[0]["taskArn"]
    absent = task[:-4] + "0000"
    answer = pool.ecs.update_task_protection(cluster=pool.cluster, tasks=[absent], protectionEnabled=True)
    assert answer["failures"][0]["reason"] == "MISSING"
    with refused("InvalidParameterException"):
        pool.ecs.update_task_protection(cluster=pool.cluster, tasks=[task] * 11, protectionEnabled=True)
    with refused("InvalidParameterException"):
        pool.ecs.update_task_protection(
            cluster=pool.cluster, tasks=[task], protectionEnabled=True, expiresInMinutes=2881
        )
    read = pool.ecs.get_task_protection(cluster=pool.cluster, tasks=[task])["protectedTasks"][0]
    assert not read["protectionEnabled"]


def test_stopping_a_task_honours_no_protection_and_loses_its_job(world: World, pool: PoolByHand) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    task = pool.tasks()[0]
    pool.protect([task])
    job = pool.busy_job(pool.runner_of(task))
    pool.ecs.stop_task(cluster=pool.cluster, task=task["taskArn"], reason="test")
    assert world.job(job)["state"] == "lost"
    assert [t["taskArn"] for t in pool.tasks("STOPPED")] == [task["taskArn"]]
    world.wait_for("the end", lambda: pool.tasks("STOPPED")[0]["lastStatus"] == "STOPPED")
    ended = pool.tasks("STOPPED")[0]
    assert (ended["stopCode"], ended["containers"][0]["exitCode"]) == ("UserInitiated", 1)
    assert pool.wait_online(1)[0]["name"] != pool.runner_of(task)


def test_an_unprotected_rollout_never_falls_below_its_minimum(world: World, pool: PoolByHand) -> None:
    pool.make_capacity().make_service(2)
    old = {t["taskArn"] for t in settled(world, pool, 2)}
    start = world.events()[-1]["seq"]
    pool.update(taskDefinition=pool.define(memory=600))
    new = settled(world, pool, 2)
    assert old.isdisjoint(t["taskArn"] for t in new)
    alive, least = len(old), 2
    for event in world.events("task", after=start):
        if event["service"] == pool.name:
            alive += {"RUNNING": 1, "STOPPING": -1}.get(event["what"], 0)
            least = min(least, alive)
    assert least == 2


def test_the_circuit_breaker_gives_up_on_an_image_that_cannot_be_pulled(world: World, pool: PoolByHand) -> None:
    image = f"registry.invalid/{pool.name}/github-runner:none"
    with world.faults(images=[image]):
        pool.make_capacity().make_service(1, pool.define(image))
        world.wait_for("the failure", lambda: pool.service["deployments"][0]["rolloutState"] == "FAILED")
    service = pool.service
    assert service["deployments"][0]["failedTasks"] >= 3
    assert "CannotPullContainerError" in str(service["events"])
    stopped = pool.tasks("STOPPED")[0]
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert "CannotPullContainerError" in stopped["stoppedReason"]


def test_a_missing_secret_stops_the_task_before_it_starts(world: World, pool: PoolByHand) -> None:
    pool.make_capacity()
    made = pool.ecs.register_task_definition(
        family=pool.name,
        executionRoleArn=ROLE,
        containerDefinitions=[
            {
                "name": "runner",
                "image": "myoung34/github-runner:latest",
                "memory": 400,
                "secrets": [{"name": "ACCESS_TOKEN", "valueFrom": "/no/such/parameter"}],
            }
        ],
    )
    pool.make_service(1, made["taskDefinition"]["taskDefinitionArn"])
    world.wait_for("the stop", lambda: pool.tasks("STOPPED"))
    assert "ResourceInitializationError" in pool.tasks("STOPPED")[0]["stoppedReason"]


def test_a_service_goes_in_order(world: World, pool: PoolByHand) -> None:
    definition = pool.define()
    strategy = [{"capacityProvider": pool.name, "weight": 1}]
    same = {"cluster": pool.cluster, "serviceName": pool.name, "taskDefinition": definition, "desiredCount": 1}
    with refused("InvalidParameterException", "not associated"):
        pool.ecs.create_service(**same, capacityProviderStrategy=strategy)
    pool.make_capacity()
    with refused("InvalidParameterException", "weight"):
        pool.ecs.create_service(**same, capacityProviderStrategy=[{"capacityProvider": pool.name}])
    pool.ecs.create_service(**same, capacityProviderStrategy=strategy, clientToken="once")
    pool.ecs.create_service(**same, capacityProviderStrategy=strategy, clientToken="once")
    with refused("InvalidParameterException", "not idempotent"):
        pool.ecs.create_service(**same, capacityProviderStrategy=strategy, clientToken="twice")
    assert pool.service["availabilityZoneRebalancing"] == "ENABLED"
    pool.wait_online(1)
    with refused("InvalidParameterException", "scaled above 0"):
        pool.ecs.delete_service(cluster=pool.cluster, service=pool.name)
    pool.update(desiredCount=0)
    pool.ecs.delete_service(cluster=pool.cluster, service=pool.name)
    assert pool.service["status"] == "DRAINING"
    assert not pool.ecs.list_services(cluster=pool.cluster)["serviceArns"]
    with refused("InvalidParameterException", "still Draining"):
        pool.ecs.create_service(**same, capacityProviderStrategy=strategy)
    world.wait_for("the end", lambda: pool.service["status"] == "INACTIVE")
    with refused("ServiceNotActiveException"):
        pool.update(desiredCount=1)
    pool.ecs.create_service(**same, capacityProviderStrategy=strategy)
    pool.wait_online(1)


def test_draining_an_instance_moves_its_tasks(world: World, pool: PoolByHand) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    task = pool.tasks()[0]
    pool.ecs.update_container_instances_state(
        cluster=pool.cluster, containerInstances=[task["containerInstanceArn"]], status="DRAINING"
    )
    world.wait_for("the move", lambda: task["taskArn"] not in [t["taskArn"] for t in pool.tasks()])
    pool.wait_online(1)
    assert pool.tasks()[0]["containerInstanceArn"] != task["containerInstanceArn"]


@pytest.mark.parametrize("force", [False, True])
def test_deregistering_a_held_instance_needs_force(pool: PoolByHand, force: bool) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    instance = pool.tasks()[0]["containerInstanceArn"]
    ask = {"cluster": pool.cluster, "containerInstance": instance, "force": force}
    if force:
        pool.ecs.deregister_container_instance(**ask)
        assert instance not in [i["containerInstanceArn"] for i in pool.instances()]
    else:
        with refused("InvalidParameterException", "running tasks"):
            pool.ecs.deregister_container_instance(**ask)


def test_definitions_are_listed_by_their_whole_family_and_deleted_when_unused(world: World, pool: PoolByHand) -> None:
    first = pool.define()
    pool.ecs.register_task_definition(
        family=f"{pool.name}-x", containerDefinitions=[{"name": "a", "image": "b", "memory": 64}]
    )
    assert pool.ecs.list_task_definitions(familyPrefix=pool.name)["taskDefinitionArns"] == [first]
    assert pool.ecs.delete_task_definitions(taskDefinitions=[first])["failures"]
    pool.ecs.deregister_task_definition(taskDefinition=first)
    assert not pool.ecs.delete_task_definitions(taskDefinitions=[first])["failures"]
    find = pool.ecs.list_task_definitions
    states = ("ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS")
    world.wait_for(
        "the deletion",
        lambda: not any(find(familyPrefix=pool.name, status=state)["taskDefinitionArns"] for state in states),
    )
