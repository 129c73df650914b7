"""What is left of all pools in an account. Not of one pool by its name: that would overlook what has a wrong name.

Everything counts that is named `ghr-...` or carries one of the tags `github-runner-pool:...`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from sandbox.demo.screen import Screen, Tone
from sandbox.world import World

NAME_START = "ghr-"
TAG_START = "github-runner-pool:"
Entry = dict[str, Any]


def count_leaks(world: World, screen: Screen) -> bool:
    """Prints what is left; whether that is nothing."""
    screen.section(
        "Leak check",
        "Everything in this AWS that is named ghr-... or tagged github-runner-pool:..., with what hangs on it: groups, "
        "hooks, instances, capacity providers and their associations, services, tasks, active task definitions.",
    )
    counts: list[tuple[str, Callable[[World], list[str]]]] = [
        ("runners and scale sets left in GitHub", left_in_github),
        ("resources left in AWS", resources_left),
        (f"jobs lost, of {len(world.jobs())}", jobs_lost),
    ]
    clean = True
    for label, count in counts:
        found = count(world)
        screen.row(f"{label:<37}", str(len(found)), Tone.BAD if found else Tone.GOOD)
        for thing in found:
            screen.row(" " * 37, thing, Tone.BAD)
        clean = clean and not found
    return clean


def left_in_github(world: World) -> list[str]:
    """Runners and scale sets that GitHub still has, at every place where there could be some."""
    targets = world.get("/github")["targets"].values()
    runners = [f"runner {runner['name']}" for target in targets for runner in target["runners"]]
    return runners + [f"runner scale set {found['name']}" for found in world.get("/scale-sets")]


def jobs_lost(world: World) -> list[str]:
    return [f"job {job['id']}: {job['why_lost']}" for job in world.jobs("lost")]


def resources_left(world: World) -> list[str]:
    """Everything in AWS, in and outside of clusters."""
    ecs, scaling = world.client("ecs"), world.client("autoscaling")
    clusters = ecs.list_clusters()["clusterArns"]
    return [
        *_groups(scaling),
        *_providers(ecs),
        *_task_definitions(ecs),
        *(left for cluster in clusters for left in _in_cluster(ecs, cluster)),
    ]


def _is_pools(name: str, resource: Entry) -> bool:
    tags = resource.get("tags") or resource.get("Tags") or []
    keys = [str(tag.get("key") or tag.get("Key")) for tag in tags]
    return name.startswith(NAME_START) or any(key.startswith(TAG_START) for key in keys)


def _groups(scaling: Any) -> list[str]:
    left = []
    for group in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
        name = group["AutoScalingGroupName"]
        if not _is_pools(name, group):
            continue
        left.append(f"Auto Scaling group {name}")
        left += [f"instance {instance['InstanceId']} of {name}" for instance in group["Instances"]]
        hooks = scaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
        left += [f"lifecycle hook {hook['LifecycleHookName']} of {name}" for hook in hooks]
    return left


def _providers(ecs: Any) -> list[str]:
    return [
        f"capacity provider {provider['name']}"
        for provider in ecs.describe_capacity_providers(include=["TAGS"])["capacityProviders"]
        if provider["status"] != "INACTIVE" and _is_pools(provider["name"], provider)
    ]


def _task_definitions(ecs: Any) -> list[str]:
    """Only active ones: AWS keeps a deleted one for as long as a task of it is remembered."""
    arns = ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
    described = [ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"]) for arn in arns]
    return [
        f"task definition {entry['taskDefinition']['family']}:{entry['taskDefinition']['revision']}"
        for entry in described
        if _is_pools(entry["taskDefinition"]["family"], entry)
    ]


def _in_cluster(ecs: Any, arn: str) -> list[str]:
    name = arn.rsplit("/", 1)[-1]
    try:
        cluster = ecs.describe_clusters(clusters=[arn])["clusters"][0]
        services = ecs.list_services(cluster=arn)["serviceArns"]
        tasks = ecs.list_tasks(cluster=arn)["taskArns"]
        instances = ecs.list_container_instances(cluster=arn)["containerInstanceArns"]
    except ClientError as error:
        return [f"cluster {name}, which cannot be read: {error}"]
    associated = [provider for provider in cluster["capacityProviders"] if provider.startswith(NAME_START)]
    return [
        *(f"association of {name} with {provider}" for provider in associated),
        *(f"service {service.rsplit('/', 1)[-1]}" for service in services),
        *(f"task {task.rsplit('/', 1)[-1]} in {name}" for task in tasks),
        *(f"container instance {instance.rsplit('/', 1)[-1]} in {name}" for instance in instances),
    ]
