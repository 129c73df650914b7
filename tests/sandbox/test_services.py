"""Deployments, protection and the life of a service behave as AWS documents them."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.ecs_pool import ROLE, EcsPool, client_error
from sandbox.world import World


def running(pool: EcsPool) -> list[dict[str, Any]]:
    return [task for task in pool.tasks() if task["lastStatus"] == "RUNNING"]


def settled(world: World, pool: EcsPool, count: int) -> list[dict[str, Any]]:
    def steady() -> bool:
        service = pool.service
        primary = service["deployments"][0]
        return len(service["deployments"]) == 1 and primary["rolloutState"] == "COMPLETED"

    world.wait_for("a completed rollout", lambda: steady() and len(running(pool)) == count)
    return running(pool)


def test_protected_tasks_survive_a_smaller_desired_count(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(3)
    pool.wait_online(3)
    kept = pool.tasks()[0]
    response = pool.protect([kept])
    assert response["failures"] == []
    assert response["protectedTasks"][0]["protectionEnabled"]
    job = pool.busy_job(pool.runner_of(kept))
    pool.update(desiredCount=0)
    world.wait_for("one task left", lambda: [t["taskArn"] for t in pool.tasks()] == [kept["taskArn"]])
    world.wait_for("the complaint", lambda: "unable to scale in" in str(pool.service["events"]))
    assert world.job(job)["state"] == "running"
    pool.protect([kept], enabled=False)
    world.wait_for("no task left", lambda: not pool.tasks())
    assert world.job(job)["state"] == "lost"


def test_protected_tasks_survive_a_deployment(world: World, pool: EcsPool) -> None:
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


def test_update_task_protection_is_blocked_above_the_desired_count(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    task = pool.tasks()
    pool.protect(task)
    pool.update(desiredCount=0)
    assert pool.protect(task)["failures"][0]["reason"] == "DEPLOYMENT_BLOCKED"
    assert pool.protect(task, enabled=False)["failures"] == []
    world.wait_for("no task left", lambda: not pool.tasks())


def test_update_task_protection_reports_failures(pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    task = pool.tasks()[0]["taskArn"]
    absent = task[:-4] + "0000"
    response = pool.ecs.update_task_protection(cluster=pool.cluster, tasks=[absent], protectionEnabled=True)
    assert response["failures"][0]["reason"] == "MISSING"
    with client_error("InvalidParameterException"):
        pool.ecs.update_task_protection(cluster=pool.cluster, tasks=[task] * 11, protectionEnabled=True)
    with client_error("InvalidParameterException"):
        pool.ecs.update_task_protection(
            cluster=pool.cluster, tasks=[task], protectionEnabled=True, expiresInMinutes=2881
        )
    read = pool.ecs.get_task_protection(cluster=pool.cluster, tasks=[task])["protectedTasks"][0]
    assert not read["protectionEnabled"]


@pytest.mark.parametrize("enabled", [True, False])
def test_update_task_protection_fails_for_a_stopped_task(world: World, pool: EcsPool, enabled: bool) -> None:
    pool.make_capacity().make_service(1)
    runner = pool.wait_online(1)[0]
    task = pool.tasks()[0]
    world.github_call("DELETE", f"/orgs/acme/actions/runners/{runner['id']}")
    world.wait_for("its end", lambda: pool.tasks("STOPPED"))
    (failure,) = pool.protect([task], enabled)["failures"]
    assert (failure["arn"], failure["reason"]) == (task["taskArn"], "TASK_NOT_VALID")


def test_describe_tasks_reports_an_old_stopped_task_missing() -> None:
    with World.start(time_scale=0.3, stopped_task_kept=2) as world:
        world.prepare()
        pool = EcsPool(world)
        pool.make_capacity().make_service(1)
        pool.wait_online(1)
        task = pool.tasks()[0]
        pool.ecs.stop_task(cluster=pool.cluster, task=task["taskArn"])
        find = {"cluster": pool.cluster, "tasks": [task["taskArn"]]}
        world.wait_for("a task that ECS has forgotten", lambda: not pool.ecs.describe_tasks(**find)["tasks"])
        responses = [pool.ecs.describe_tasks(**find), pool.protect([task]), pool.protect([task], enabled=False)]
        assert [response["failures"][0]["reason"] for response in responses] == ["MISSING"] * 3
        with client_error("InvalidParameterException", "was not found"):
            pool.ecs.stop_task(cluster=pool.cluster, task=task["taskArn"])


def test_stop_task_deletes_tags(pool: EcsPool) -> None:
    tags = [{"key": "owner", "value": "me"}]
    pool.make_capacity().make_service(1, tags=tags, propagateTags="SERVICE")
    pool.wait_online(1)
    find = {"cluster": pool.cluster, "tasks": [pool.tasks()[0]["taskArn"]], "include": ["TAGS"]}
    assert pool.ecs.describe_tasks(**find)["tasks"][0]["tags"] == tags
    pool.ecs.stop_task(cluster=pool.cluster, task=find["tasks"][0])
    assert pool.ecs.describe_tasks(**find)["tasks"][0]["tags"] == []
    assert pool.ecs.list_tags_for_resource(resourceArn=find["tasks"][0])["tags"] == []


def test_stop_task_ignores_protection(world: World, pool: EcsPool) -> None:
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


def test_minimum_healthy_percent_holds_during_a_deployment(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(2)
    old = {t["taskArn"] for t in settled(world, pool, 2)}
    start = world.events()[-1]["seq"]
    pool.update(taskDefinition=pool.define(memory=600))
    new = settled(world, pool, 2)
    assert old.isdisjoint(t["taskArn"] for t in new)
    snapshot, least = len(old), 2
    for event in world.events("task", after=start):
        if event["service"] == pool.name:
            snapshot += {"RUNNING": 1, "STOPPING": -1}.get(event["what"], 0)
            least = min(least, snapshot)
    assert least == 2


def test_deployment_circuit_breaker_fails_on_an_image_that_cannot_be_pulled(world: World, pool: EcsPool) -> None:
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


def test_missing_secret_stops_the_task_before_it_starts(world: World, pool: EcsPool) -> None:
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


def test_missing_log_group_stops_the_task_before_it_starts(world: World, pool: EcsPool) -> None:
    group = f"/{pool.name}/runners"
    pool.make_capacity().make_service(1, pool.define(log_group=group))
    world.wait_for("the stop", lambda: pool.tasks("STOPPED"))
    stopped = pool.tasks("STOPPED")[0]
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("TaskFailedToStart", "Task failed to start")
    reason = stopped["containers"][0]["reason"]
    assert reason.startswith("CannotStartContainerError: ")
    assert "The specified log group does not exist" in reason
    world.client("logs").create_log_group(logGroupName=group)
    pool.update(taskDefinition=pool.define(log_group=group))
    pool.wait_online(1)


def test_deployment_configuration_100_100_is_rejected(pool: EcsPool) -> None:
    blocking = {"maximumPercent": 100, "minimumHealthyPercent": 100}
    words = "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments"
    pool.make_capacity()
    with client_error("InvalidParameterException", words):
        pool.make_service(1, deploymentConfiguration=blocking)
    pool.make_service(1)
    before = pool.service["deploymentConfiguration"]
    with client_error("InvalidParameterException", words):
        pool.update(deploymentConfiguration=blocking)
    with client_error("InvalidParameterException", words):
        # What is left out is 100 for the minimum of a service.
        pool.update(deploymentConfiguration={"maximumPercent": 100})
    assert pool.service["deploymentConfiguration"] == before
    for accepted in ({**blocking, "maximumPercent": 101}, {**blocking, "minimumHealthyPercent": 0}):
        pool.update(deploymentConfiguration=accepted)
        assert pool.service["deploymentConfiguration"] == accepted


def test_maximum_percent_is_rounded_down(world: World, pool: EcsPool) -> None:
    shape = {"maximumPercent": 101, "minimumHealthyPercent": 100}
    pool.make_capacity().make_service(2, deploymentConfiguration=shape)
    old = {task["taskArn"] for task in settled(world, pool, 2)}
    pool.update(taskDefinition=pool.define(memory=600))
    # By the time that another task runs, the scheduler has had several rounds.
    strategy = [{"capacityProvider": pool.name, "weight": 1}]
    standalone = {"cluster": pool.cluster, "taskDefinition": pool.define()}
    other = pool.ecs.run_task(**standalone, capacityProviderStrategy=strategy)["tasks"][0]["taskArn"]
    find = {"cluster": pool.cluster, "tasks": [other]}
    world.wait_for("the other task", lambda: pool.ecs.describe_tasks(**find)["tasks"][0]["lastStatus"] == "RUNNING")
    assert {task["taskArn"] for task in pool.tasks()} == old
    pool.update(deploymentConfiguration={**shape, "maximumPercent": 150})
    assert old.isdisjoint(task["taskArn"] for task in settled(world, pool, 2))


def test_deregister_task_definition_prevents_new_tasks(pool: EcsPool) -> None:
    pool.make_capacity()
    first, second = pool.define(), pool.define(memory=600)
    pool.ecs.deregister_task_definition(taskDefinition=second)
    with client_error("ClientException", "TaskDefinition is inactive"):
        pool.make_service(1, second)
    pool.make_service(1, first)
    with client_error("ClientException", "TaskDefinition is inactive"):
        pool.update(taskDefinition=second)
    strategy = [{"capacityProvider": pool.name, "weight": 1}]
    with client_error("InvalidParameterException", "TaskDefinition is inactive"):
        pool.ecs.run_task(cluster=pool.cluster, taskDefinition=second, capacityProviderStrategy=strategy)
    # A service that has one goes on with it.
    pool.ecs.deregister_task_definition(taskDefinition=first)
    pool.update(desiredCount=2)
    pool.wait_online(2)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"memory": 500, "memoryReservation": 500}, "must be greater than 'memoryReservation'"),
        ({"memory": 400, "memoryReservation": 500}, "must be greater than 'memoryReservation'"),
        ({}, "At least one of 'memory' or 'memoryReservation' must be specified."),
        ({"memory": 501, "memoryReservation": 500}, None),
        ({"memoryReservation": 500}, None),
    ],
)
def test_memory_must_exceed_memory_reservation(pool: EcsPool, limits: dict[str, int], words: str | None) -> None:
    container = {"name": "app", "image": "nginx", **limits}
    if words is None:
        pool.ecs.register_task_definition(family=pool.name, containerDefinitions=[container])
        return
    with client_error("ClientException", words):
        pool.ecs.register_task_definition(family=pool.name, containerDefinitions=[container])


def test_create_service_client_token_and_delete_service_order(world: World, pool: EcsPool) -> None:
    definition = pool.define()
    strategy = [{"capacityProvider": pool.name, "weight": 1}]
    same = {"cluster": pool.cluster, "serviceName": pool.name, "taskDefinition": definition, "desiredCount": 1}
    with client_error("InvalidParameterException", "not associated"):
        pool.ecs.create_service(**same, capacityProviderStrategy=strategy)
    pool.make_capacity()
    with client_error("InvalidParameterException", "weight"):
        pool.ecs.create_service(**same, capacityProviderStrategy=[{"capacityProvider": pool.name}])
    pool.ecs.create_service(**same, capacityProviderStrategy=strategy, clientToken="once")
    pool.ecs.create_service(**same, capacityProviderStrategy=strategy, clientToken="once")
    with client_error("InvalidParameterException", "not idempotent"):
        pool.ecs.create_service(**same, capacityProviderStrategy=strategy, clientToken="twice")
    assert pool.service["availabilityZoneRebalancing"] == "ENABLED"
    pool.wait_online(1)
    with client_error("InvalidParameterException", "scaled above 0"):
        pool.ecs.delete_service(cluster=pool.cluster, service=pool.name)
    pool.update(desiredCount=0)
    pool.ecs.delete_service(cluster=pool.cluster, service=pool.name)
    assert pool.service["status"] == "DRAINING"
    assert not pool.ecs.list_services(cluster=pool.cluster)["serviceArns"]
    with client_error("InvalidParameterException", "still Draining"):
        pool.ecs.create_service(**same, capacityProviderStrategy=strategy)
    world.wait_for("the end", lambda: pool.service["status"] == "INACTIVE")
    with client_error("ServiceNotActiveException"):
        pool.update(desiredCount=1)
    pool.ecs.create_service(**same, capacityProviderStrategy=strategy)
    pool.wait_online(1)


def test_draining_container_instance_moves_its_tasks(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    task = pool.tasks()[0]
    pool.ecs.update_container_instances_state(
        cluster=pool.cluster, containerInstances=[task["containerInstanceArn"]], status="DRAINING"
    )
    world.wait_for("the move", lambda: task["taskArn"] not in [t["taskArn"] for t in pool.tasks()])
    pool.wait_online(1)
    assert pool.tasks()[0]["containerInstanceArn"] != task["containerInstanceArn"]


def test_update_container_instances_state_needs_active_or_draining(pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    instance = {"cluster": pool.cluster, "containerInstances": [pool.tasks()[0]["containerInstanceArn"]]}
    for _ in range(2):
        assert pool.ecs.update_container_instances_state(**instance, status="DRAINING")["failures"] == []
    gone = {"cluster": pool.cluster, "containerInstance": instance["containerInstances"][0], "force": True}
    pool.ecs.deregister_container_instance(**gone)
    found = pool.ecs.describe_container_instances(**instance)["containerInstances"]
    assert [one["status"] for one in found] == ["INACTIVE"]
    with client_error("InvalidParameterException", "its state cannot be changed"):
        pool.ecs.update_container_instances_state(**instance, status="DRAINING")
    with client_error("InvalidParameterException", "not found"):
        pool.ecs.deregister_container_instance(**gone)


@pytest.mark.parametrize("force", [False, True])
def test_deregister_container_instance_with_tasks_needs_force(pool: EcsPool, force: bool) -> None:
    pool.make_capacity().make_service(1)
    pool.wait_online(1)
    instance = pool.tasks()[0]["containerInstanceArn"]
    ask = {"cluster": pool.cluster, "containerInstance": instance, "force": force}
    if force:
        pool.ecs.deregister_container_instance(**ask)
        assert instance not in [i["containerInstanceArn"] for i in pool.instances()]
    else:
        with client_error("InvalidParameterException", "running tasks"):
            pool.ecs.deregister_container_instance(**ask)


def test_delete_task_definitions_needs_deregistered_and_unused(world: World, pool: EcsPool) -> None:
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
