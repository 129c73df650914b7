"""What is left of a pool in AWS and GitHub."""

from __future__ import annotations

from typing import Any

from sandbox.world import World


def leftovers(world: World, pool_id: str) -> list[str]:
    """What is left of a pool in all clusters and targets."""
    ecs, scaling = world.client("ecs"), world.client("autoscaling")
    left = [
        f"runner {runner['name']}"
        for target in world.get("/github")["targets"].values()
        for runner in target["runners"]
        if pool_id in runner["labels"]
    ]
    sets = [one for one in world.get("/scale-sets") if pool_id in (one["name"], *one["labels"])]
    left += [f"scale set {one['name']}" for one in sets]
    left += [f"runner {name} of scale set {one['name']}" for one in sets for name in one["runners"]]
    groups = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[pool_id])["AutoScalingGroups"]
    left += [f"group {group['AutoScalingGroupName']}" for group in groups]
    if groups:
        hooks = scaling.describe_lifecycle_hooks(AutoScalingGroupName=pool_id)["LifecycleHooks"]
        left += [f"hook {hook['LifecycleHookName']}" for hook in hooks]
    providers = ecs.describe_capacity_providers()["capacityProviders"]
    left += [f"provider {p['name']}" for p in providers if p["name"] == pool_id and p["status"] != "INACTIVE"]
    definitions = ecs.list_task_definitions(familyPrefix=pool_id, status="ACTIVE")["taskDefinitionArns"]
    left += [f"task definition {arn}" for arn in definitions if arn.split("/")[1].rsplit(":", 1)[0] == pool_id]
    for cluster in ecs.list_clusters()["clusterArns"]:
        left += _left_in(ecs, cluster, pool_id)
    return left


def _left_in(ecs: Any, cluster: str, pool_id: str) -> list[str]:
    left = []
    described = ecs.describe_clusters(clusters=[cluster])["clusters"]
    if not described:
        # Deleted since it was listed, by another stack that goes at the same time.
        return []
    if pool_id in described[0]["capacityProviders"]:
        left.append(f"association with {cluster}")
    services = ecs.describe_services(cluster=cluster, services=[pool_id])["services"]
    left += [f"service {s['serviceName']} {s['status']}" for s in services if s["status"] != "INACTIVE"]
    tasks = ecs.list_tasks(cluster=cluster, family=pool_id)["taskArns"]
    left += [f"task {arn}" for arn in tasks]
    instances = ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]
    if instances:
        found = ecs.describe_container_instances(cluster=cluster, containerInstances=instances)["containerInstances"]
        mine = [instance for instance in found if instance.get("capacityProviderName") == pool_id]
        left += [f"container instance {instance['ec2InstanceId']}" for instance in mine]
    return left
