"""A resource whose requests a test sends itself, in any order, without a CloudFormation engine."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from sandbox.ecs_pool import EcsPool
from sandbox.leftovers import leftovers
from sandbox.scenario import LOGICAL_ID, ROLE_PATH, DeployedWorld, Properties, SentRequest, as_strings

# Longer than any of these requests takes on a busy machine.
RESPONSE_TIMEOUT_SECS = 120.0


@dataclass(frozen=True)
class PoolSnapshot:
    """What must not change of a pool that no request names."""

    runners: frozenset[int]
    tasks: frozenset[str]
    parts: tuple[Any, ...]
    """What its service, group and provider are, and which revision the service works towards."""


@dataclass
class ScriptedResource:
    """One resource of a stack that exists only in its events."""

    deployed_world: DeployedWorld
    name: str
    ecs_pool: EcsPool = field(init=False)
    stack_id: str = field(init=False)
    role: str = field(init=False)

    def __post_init__(self) -> None:
        world = self.deployed_world.world
        self.ecs_pool = EcsPool(world)
        self.name = f"{self.name}-{self.ecs_pool.name}"
        self.stack_id = f"arn:aws:cloudformation:{world.region}:{world.account}:stack/{self.name}/{uuid.uuid4()}"
        made = world.client("iam").create_role(RoleName=self.name, Path=ROLE_PATH, AssumeRolePolicyDocument="{}")
        self.role = made["Role"]["Arn"]

    def properties(self, **changes: Any) -> Properties:
        """As CloudFormation sends them."""
        given = {
            **self.deployed_world.default_properties,
            "ExecutionRoleArn": self.role,
            "Cluster": self.ecs_pool.cluster,
            "LaunchTemplate": {"LaunchTemplateId": self.ecs_pool.template, "Version": "1"},
            **changes,
        }
        return dict(as_strings(given))

    # Requests.

    def send(self, request: str, new: Properties, signed_ago: int = 0, folder: str = "", **more: Any) -> SentRequest:
        """Sends the function a request. `more` is `PhysicalResourceId`, `OldResourceProperties`."""
        event = {
            "RequestType": request,
            "StackId": self.stack_id,
            "LogicalResourceId": LOGICAL_ID,
            "ResourceProperties": new,
            **more,
        }
        return self.deployed_world.send(event, signed_ago=signed_ago, folder=folder)

    def create(self, new: Properties) -> str:
        """A Create that succeeds; the physical id."""
        return _succeeded(self.send("Create", new).response(RESPONSE_TIMEOUT_SECS))

    def update(self, physical_id: str, new: Properties, old: Properties) -> Properties:
        sent = self.send("Update", new, PhysicalResourceId=physical_id, OldResourceProperties=old)
        return sent.response(RESPONSE_TIMEOUT_SECS)

    def delete(self, physical_id: str, properties: Properties) -> Properties:
        """A Delete that succeeds with the same physical id."""
        response = self.send("Delete", properties, PhysicalResourceId=physical_id).response(RESPONSE_TIMEOUT_SECS)
        assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", physical_id), response
        return response

    def stack_is(self, status: str | None) -> None:
        """What DescribeStacks says of the stack from now on; without a status it does not exist."""
        self.deployed_world.world.post("/stacks", stack_id=self.stack_id, status=status)

    # What is there.

    def snapshot(self, pool_id: str) -> PoolSnapshot:
        """A pool as it is now."""
        world = self.deployed_world.world
        ecs, scaling = world.client("ecs"), world.client("autoscaling")
        (service,) = ecs.describe_services(cluster=self.ecs_pool.cluster, services=[pool_id])["services"]
        (provider,) = ecs.describe_capacity_providers(capacityProviders=[pool_id])["capacityProviders"]
        (group,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[pool_id])["AutoScalingGroups"]
        tasks = ecs.list_tasks(cluster=self.ecs_pool.cluster, serviceName=pool_id, desiredStatus="RUNNING")["taskArns"]
        parts = (
            *(service[key] for key in ("serviceArn", "createdAt", "status", "desiredCount", "taskDefinition")),
            *(provider[key] for key in ("capacityProviderArn", "status")),
            *(group.get(key) for key in ("AutoScalingGroupARN", "CreatedTime", "Status", "MinSize", "MaxSize")),
        )
        return PoolSnapshot(frozenset(self.online(pool_id)), frozenset(tasks), parts)

    def online(self, pool_id: str, target: str = "orgs/acme") -> set[int]:
        return {
            runner["id"] for runner in self.deployed_world.world.online_runners(target) if pool_id in runner["labels"]
        }

    def group_of(self, except_for: str = "") -> str:
        """The physical id of the resource's pool, as soon as its group exists; not `except_for`."""

        def names() -> list[str]:
            listed = self.deployed_world.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
            found = [group["AutoScalingGroupName"] for group in listed]
            return [name for name in found if name.startswith(f"ghr-{self.name}-") and name != except_for]

        return str(self.deployed_world.world.wait_for("a group", names, 60)[0])

    def left(self, *pool_ids: str) -> list[str]:
        return [thing for pool_id in pool_ids for thing in leftovers(self.deployed_world.world, pool_id)]


def _succeeded(response: Properties) -> str:
    assert response["Status"] == "SUCCESS", response
    return str(response["PhysicalResourceId"])
