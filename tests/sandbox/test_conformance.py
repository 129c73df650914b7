"""The sandbox's ECS, Auto Scaling and GitHub against the vectors of tests/conformance, as the simulation's are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.ecs_pool import EcsPool
from sandbox.world import World

FOLDER = Path(__file__).resolve().parents[1] / "conformance"
VECTORS: list[dict[str, Any]] = [
    vector for file in sorted(FOLDER.glob("*.json")) for vector in json.loads(file.read_text())
]
MODELLED = [vector for vector in VECTORS if "sandbox" not in vector.get("not_modelled", {})]
LEVELS = ("empty", "group", "provider", "associated", "service")
PERCENTAGES = ("maximumPercent", "minimumHealthyPercent")
UNKNOWN_TASK = "0123456789abcdef0123456789abcdef"
JOB_SECONDS = 600


class Driver:
    """Brings a pool's parts into a vector's state, makes its calls, and observes."""

    def __init__(self, world: World, pool: EcsPool, state: dict[str, Any]) -> None:
        self.world, self.pool = world, pool
        self.definition = ""
        self.tasks: list[dict[str, Any]] = []
        self.runner = 0
        level = LEVELS.index(state["level"])
        if level >= LEVELS.index("group"):
            pool.make_group()
        if level >= LEVELS.index("provider"):
            self.create_capacity_provider()
            pool.wait_active()
        if level >= LEVELS.index("associated"):
            pool.associate([pool.name])
            pool.wait_associated()
        if level >= LEVELS.index("service"):
            self._start_service(state["desired_count"])
        if state.get("job"):
            pool.busy_job(pool.runner_of(self.tasks[0]), JOB_SECONDS)

    def _start_service(self, count: int) -> None:
        self.create_service(desiredCount=count)
        self.pool.wait_online(count)
        self.tasks = sorted(self.pool.tasks(), key=lambda task: str(task["taskArn"]))
        name = self.pool.runner_of(self.tasks[0])
        self.runner = next(runner["id"] for runner in self.pool.online() if runner["name"] == name)

    # Calls.

    def create_auto_scaling_group(self) -> None:
        self.pool.make_group()

    def update_auto_scaling_group(self) -> None:
        self.pool.auto_scaling.update_auto_scaling_group(AutoScalingGroupName=self.pool.name, MaxSize=2)

    def delete_auto_scaling_group(self, **parameters: Any) -> None:
        self.pool.auto_scaling.delete_auto_scaling_group(AutoScalingGroupName=self.pool.name, **parameters)

    def put_warm_pool(self) -> None:
        self.pool.auto_scaling.put_warm_pool(
            AutoScalingGroupName=self.pool.name, MinSize=1, MaxGroupPreparedCapacity=1, PoolState="Stopped"
        )

    def delete_warm_pool(self) -> None:
        self.pool.auto_scaling.delete_warm_pool(AutoScalingGroupName=self.pool.name, ForceDelete=True)

    def create_capacity_provider(self) -> None:
        groups = self.pool.auto_scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.pool.name])
        arns = [group["AutoScalingGroupARN"] for group in groups["AutoScalingGroups"]]
        self.pool.ecs.create_capacity_provider(
            name=self.pool.name,
            autoScalingGroupProvider={
                "autoScalingGroupArn": arns[0] if arns else "arn:aws:autoscaling:us-east-1:000000000000:no-such-group",
                "managedScaling": {"status": "ENABLED", "targetCapacity": 100},
                "managedTerminationProtection": "ENABLED",
                "managedDraining": "ENABLED",
            },
        )

    def update_capacity_provider(self) -> None:
        scaling = {"status": "ENABLED", "targetCapacity": 90}
        self.pool.ecs.update_capacity_provider(
            name=self.pool.name, autoScalingGroupProvider={"managedScaling": scaling}
        )

    def delete_capacity_provider(self) -> None:
        self.pool.ecs.delete_capacity_provider(capacityProvider=self.pool.name)

    def put_cluster_capacity_providers(self, **parameters: Any) -> None:
        self.pool.associate([self.pool.name for _ in parameters["capacityProviders"]])

    def create_service(self, **parameters: Any) -> None:
        self.definition = self.definition or self.pool.define()
        count = parameters.pop("desiredCount")
        tags = [{"key": "owner", "value": "conformance"}]
        more = _with_percentages(parameters)
        self.pool.make_service(count, self.definition, tags=tags, propagateTags="SERVICE", **more)

    def update_service(self, **parameters: Any) -> None:
        if parameters.get("taskDefinition") == "new":
            self.definition = parameters["taskDefinition"] = self.pool.define(EXTRA="1")
        self.pool.update(**_with_percentages(parameters))

    def delete_service(self) -> None:
        self.pool.ecs.delete_service(cluster=self.pool.cluster, service=self.pool.name)

    def update_task_protection(self, **parameters: Any) -> list[str]:
        """The reasons of the failures."""
        chosen = {"first": self.tasks[:1], "all": self.tasks, "unknown": [{"taskArn": UNKNOWN_TASK}]}
        response = self.pool.protect(chosen[parameters["tasks"]], parameters["protectionEnabled"])
        return [failure["reason"] for failure in response["failures"]]

    def stop_task(self, **_: Any) -> None:
        self.pool.ecs.stop_task(cluster=self.pool.cluster, task=self.tasks[0]["taskArn"])

    def delete_runner(self, **_: Any) -> int:
        """GitHub's status."""
        return self.world.github_call("DELETE", f"/orgs/acme/actions/runners/{self.runner}")[0]

    # Observations.

    def observe(self, name: str) -> Any:
        return getattr(self, f"_observe_{name}")()

    def _running(self) -> list[dict[str, Any]]:
        return [task for task in self.pool.tasks() if task["lastStatus"] == "RUNNING"]

    def _observe_running_tasks(self) -> int:
        return len(self._running())

    def _observe_running_tasks_of_newest_revision(self) -> int:
        return sum(task["taskDefinitionArn"] == self.definition for task in self._running())

    def _observe_protected_running_tasks(self) -> int:
        arns = [task["taskArn"] for task in self._running()]
        found = self.pool.ecs.get_task_protection(cluster=self.pool.cluster, tasks=arns)["protectedTasks"]
        return sum(task["protectionEnabled"] for task in found)

    def _first_task(self) -> dict[str, Any]:
        arn = self.tasks[0]["taskArn"]
        [task] = self.pool.ecs.describe_tasks(cluster=self.pool.cluster, tasks=[arn], include=["TAGS"])["tasks"]
        return dict(task)

    def _observe_first_task(self) -> str:
        return str(self._first_task()["lastStatus"])

    def _observe_first_task_has_tags(self) -> bool:
        return bool(self._first_task().get("tags"))

    def _observe_service(self) -> str | None:
        found = self.pool.ecs.describe_services(cluster=self.pool.cluster, services=[self.pool.name])["services"]
        return found[0]["status"] if found else None

    def _observe_desired_count(self) -> int:
        return int(self.pool.service["desiredCount"])

    def _observe_capacity_provider(self) -> str | None:
        listed = self.pool.ecs.describe_capacity_providers(capacityProviders=[self.pool.name])["capacityProviders"]
        if not listed or listed[0]["status"] == "INACTIVE":
            return None
        update = str(listed[0].get("updateStatus"))
        return update if update.endswith("FAILED") else "IN_PROGRESS" if "PROGRESS" in update else listed[0]["status"]

    def _observe_associated(self) -> bool:
        [cluster] = self.pool.ecs.describe_clusters(clusters=[self.pool.cluster])["clusters"]
        return self.pool.name in cluster["capacityProviders"]

    def _observe_group_exists(self) -> bool:
        found = self.pool.auto_scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.pool.name])
        return bool(found["AutoScalingGroups"])

    def _observe_warm_pool_exists(self) -> bool:
        return "WarmPoolConfiguration" in self.pool.group

    def _observe_container_instances_remain(self) -> bool:
        return bool(self.pool.instances())

    def _observe_connected_container_instances(self) -> int:
        return sum(instance["agentConnected"] for instance in self.pool.instances())

    def _observe_runner_exists(self) -> bool:
        return self.runner in {runner["id"] for runner in self.world.runners()}


def _with_percentages(parameters: dict[str, Any]) -> dict[str, Any]:
    """`maximumPercent` and `minimumHealthyPercent` are members of the deployment configuration."""
    percentages = {name: parameters.pop(name) for name in PERCENTAGES if name in parameters}
    return {**parameters, **({"deploymentConfiguration": percentages} if percentages else {})}


def _method(driver: Driver, call: str) -> Callable[..., Any]:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in call).lstrip("_")
    return getattr(driver, snake)


def _take(world: World, driver: Driver, step: dict[str, Any]) -> None:
    if "call" in step:
        method, parameters, expected = _method(driver, step["call"]), dict(step.get("with", {})), step["expect"]
        if isinstance(expected, dict) and "error" in expected:
            with pytest.raises(ClientError) as raised:
                method(**parameters)
            error = raised.value.response["Error"]
            assert error["Code"] == expected["error"], error
            assert expected["message"] in error["Message"], error
            return
        result = method(**parameters)
        if expected != "ok":
            assert result == next(iter(expected.values())), step
        return
    for name, value in step.get("now", {}).items():
        assert driver.observe(name) == value, name
    for name, value in step.get("eventually", {}).items():
        world.wait_for(
            f"{name} {value}", lambda name=name, value=value: (driver.observe(name) == value) or None, timeout=60
        )


@pytest.mark.parametrize("vector", MODELLED, ids=lambda vector: vector["name"])
def test_conformance(world: World, pool: EcsPool, vector: dict[str, Any]) -> None:
    driver = Driver(world, pool, vector["state"])
    for step in vector["steps"]:
        _take(world, driver, step)


def test_every_vector_has_a_source_and_a_name_of_its_own() -> None:
    names = [vector["name"] for vector in VECTORS]
    assert len(names) == len(set(names)) >= 12
    for vector in VECTORS:
        assert vector["source"]
        assert all(
            url.startswith(("https://docs.aws.amazon.com/", "https://docs.github.com/")) for url in vector["source"]
        )
