"""Brings the parts of a pool into the state of a conformance vector, makes its calls, and observes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.conformance_scale_sets import ScaleSetDriver
from sandbox.ecs_pool import EcsPool
from sandbox.world import World

LEVELS = ("empty", "group", "provider", "associated", "service")
PERCENTAGES = ("maximumPercent", "minimumHealthyPercent")
UNKNOWN_TASK = "0123456789abcdef0123456789abcdef"
JOB_SECONDS = 600
LAUNCH_HOOK = "launch"


class Driver:
    """A pool in the state of a vector. A method of the API has its name in snake case."""

    def __init__(self, world: World, pool: EcsPool, state: dict[str, Any]) -> None:
        self.world, self.pool = world, pool
        self.definition = ""
        self.tasks: list[dict[str, Any]] = []
        self.runner = 0
        self.just_in_time = 0
        self.scale_sets = ScaleSetDriver(world, pool.name)
        world.post(
            "/faults",
            refused_tasks=state.get("refused_tasks", 0),
            scale_set_jobs="available" if state.get("jobs_are_acquired") else "assigned",
        )
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

    def method(self, call: str) -> Callable[..., Any]:
        """Of this driver, or of the one for scale sets."""
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in call).lstrip("_")
        return getattr(self if hasattr(self, snake) else self.scale_sets, snake)

    # Calls.

    def create_auto_scaling_group(self) -> None:
        self.pool.make_group()

    def update_auto_scaling_group(self, spot: bool = False) -> None:
        changes: dict[str, Any] = {"MaxSize": 2}
        if spot:
            template = {"LaunchTemplateId": self.pool.template, "Version": "1"}
            changes["MixedInstancesPolicy"] = {
                "LaunchTemplate": {"LaunchTemplateSpecification": template},
                "InstancesDistribution": {"OnDemandBaseCapacity": 0, "OnDemandPercentageAboveBaseCapacity": 0},
            }
        self.pool.auto_scaling.update_auto_scaling_group(AutoScalingGroupName=self.pool.name, **changes)

    def delete_auto_scaling_group(self, **parameters: Any) -> None:
        self.pool.auto_scaling.delete_auto_scaling_group(AutoScalingGroupName=self.pool.name, **parameters)

    def put_warm_pool(self, size: int = 1) -> None:
        self.pool.auto_scaling.put_warm_pool(
            AutoScalingGroupName=self.pool.name, MinSize=size, MaxGroupPreparedCapacity=size, PoolState="Stopped"
        )

    def delete_warm_pool(self) -> None:
        self.pool.auto_scaling.delete_warm_pool(AutoScalingGroupName=self.pool.name, ForceDelete=True)

    def put_lifecycle_hook(self) -> None:
        self.pool.auto_scaling.put_lifecycle_hook(
            LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING", HeartbeatTimeout=600, **self._launch_hook()
        )

    def delete_lifecycle_hook(self) -> None:
        self.pool.auto_scaling.delete_lifecycle_hook(**self._launch_hook())

    def complete_lifecycle_action(self) -> None:
        self.pool.auto_scaling.complete_lifecycle_action(
            InstanceId=self.pool.group["Instances"][0]["InstanceId"],
            LifecycleActionResult="CONTINUE",
            **self._launch_hook(),
        )

    def _launch_hook(self) -> dict[str, str]:
        return {"AutoScalingGroupName": self.pool.name, "LifecycleHookName": LAUNCH_HOOK}

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

    def run_task(self, **parameters: Any) -> dict[str, Any]:
        """The tasks, by their places among all that were started, and the reasons of the failures."""
        self.definition = self.definition or self.pool.define()
        if parameters.pop("taskDefinition", None) == "inactive":
            self.pool.ecs.deregister_task_definition(taskDefinition=self.definition)
        self.pool.ecs.tag_resource(resourceArn=self.definition, tags=_tags({"owner": "conformance"}))
        tags = parameters.pop("tags", {f"tag{number}": "" for number in range(parameters.pop("n_tags", 0))})
        request = {
            "cluster": self.pool.cluster,
            "taskDefinition": self.definition,
            "capacityProviderStrategy": [{"capacityProvider": self.pool.name, "weight": 1}],
            "startedBy": self.pool.name,
            "tags": _tags(tags),
            **{name: _long(value) for name, value in parameters.items()},
        }
        response = self.pool.ecs.run_task(**request)
        known = [task["taskArn"] for task in self.tasks]
        self.tasks += [task for task in response["tasks"] if task["taskArn"] not in known]
        arns = [task["taskArn"] for task in self.tasks]
        places = sorted(arns.index(task["taskArn"]) for task in response["tasks"])
        return {"tasks": places, "failures": [failure["reason"] for failure in response["failures"]]}

    def update_task_protection(self, **parameters: Any) -> dict[str, Any]:
        """The reasons of the failures."""
        chosen = {"first": self.tasks[:1], "all": self.tasks, "unknown": [{"taskArn": UNKNOWN_TASK}]}
        response = self.pool.protect(chosen[parameters["tasks"]], parameters["protectionEnabled"])
        return {"failures": [failure["reason"] for failure in response["failures"]]}

    def stop_task(self, **_: Any) -> None:
        self.pool.ecs.stop_task(cluster=self.pool.cluster, task=self.tasks[0]["taskArn"])

    def generate_jit_config(self, **changes: Any) -> dict[str, int]:
        """GitHub's status."""
        labels = [f"label{number}" for number in range(changes.pop("n_labels", 1))]
        request = {"name": self.pool.name, "runner_group_id": 1, "labels": labels, **changes}
        status, body = self.world.github_call("POST", "/orgs/acme/actions/runners/generate-jitconfig", body=request)
        if status == 201:
            self.just_in_time = body["runner"]["id"]
        return {"status": status}

    def delete_runner(self, runner: str) -> dict[str, int]:
        """GitHub's status."""
        number = {"first": self.runner, "just_in_time": self.just_in_time}[runner]
        return {"status": self.world.github_call("DELETE", f"/orgs/acme/actions/runners/{number}")[0]}

    # Observations.

    def observe(self, name: str) -> Any:
        observation: Callable[[], Any] | None = getattr(self, f"_observe_{name}", None)
        return observation() if observation else self.scale_sets.observe(name)

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

    def _observe_last_task_has_tags(self) -> bool:
        arn = self.tasks[-1]["taskArn"]
        [task] = self.pool.ecs.describe_tasks(cluster=self.pool.cluster, tasks=[arn], include=["TAGS"])["tasks"]
        return bool(task.get("tags"))

    def _observe_standalone_tasks(self) -> int:
        found = self.pool.ecs.list_tasks(cluster=self.pool.cluster, family=self.pool.name, desiredStatus="RUNNING")
        return len(found["taskArns"])

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

    def _observe_warm_instances(self) -> int:
        described = self.pool.auto_scaling.describe_warm_pool(AutoScalingGroupName=self.pool.name)
        return sum(instance["LifecycleState"] == "Warmed:Stopped" for instance in described["Instances"])

    def _observe_launch_hook_exists(self) -> bool:
        described = self.pool.auto_scaling.describe_lifecycle_hooks(AutoScalingGroupName=self.pool.name)
        return LAUNCH_HOOK in {hook["LifecycleHookName"] for hook in described["LifecycleHooks"]}

    def _observe_first_instance(self) -> str | None:
        instances = self.pool.group["Instances"]
        return str(instances[0]["LifecycleState"]) if instances else None

    def _observe_container_instances_remain(self) -> bool:
        return bool(self.pool.instances())

    def _observe_connected_container_instances(self) -> int:
        return sum(instance["agentConnected"] for instance in self.pool.instances())

    def _observe_runner_exists(self) -> bool:
        return self.runner in {runner["id"] for runner in self.world.runners()}

    def _observe_just_in_time_runner(self) -> str | None:
        status, body = self.world.github_call("GET", f"/orgs/acme/actions/runners/{self.just_in_time}")
        return str(body["status"]) if status == 200 else None


def _with_percentages(parameters: dict[str, Any]) -> dict[str, Any]:
    """`maximumPercent` and `minimumHealthyPercent` are members of the deployment configuration."""
    percentages = {name: parameters.pop(name) for name in PERCENTAGES if name in parameters}
    return {**parameters, **({"deploymentConfiguration": percentages} if percentages else {})}


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _long(value: Any) -> Any:
    """`{"characters": 65}` is a text of that length."""
    return "x" * value["characters"] if isinstance(value, dict) and "characters" in value else value
