"""The parts of a pool made with boto3, to try the sandbox's ECS without the product."""

from __future__ import annotations

import base64
import contextlib
import itertools
from typing import Any

from botocore.exceptions import ClientError

from sandbox.world import TOKEN_PARAMETER, World

IMAGE = "myoung34/github-runner:ubuntu-noble"
ROLE_NAME = "execution"
ROLE = f"arn:aws:iam::000000000000:role/{ROLE_NAME}"
_numbers = itertools.count(1)


class EcsPool:
    """A cluster with a group, a provider and, once asked for, a service."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ecs = world.client("ecs")
        self.auto_scaling = world.client("autoscaling")
        self.name = f"testpool{next(_numbers)}"
        self.label = f"label-{self.name}"
        self.cluster = f"cluster-{self.name}"
        self.ecs.create_cluster(clusterName=self.cluster)
        self.template = self.make_template(self.cluster)
        with contextlib.suppress(ClientError):
            world.client("iam").create_role(RoleName=ROLE_NAME, AssumeRolePolicyDocument="{}")

    def make_template(self, cluster: str, name: str | None = None) -> str:
        script = f"#!/bin/bash\necho ECS_CLUSTER={cluster} >> /etc/ecs/ecs.config\n"
        made = self.world.client("ec2").create_launch_template(
            LaunchTemplateName=name or self.name,
            LaunchTemplateData={
                "ImageId": "ami-12345678",
                "InstanceType": "t3.large",
                "UserData": base64.b64encode(script.encode()).decode(),
            },
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def make_group(self, template: str | None = None, max_size: int = 4) -> str:
        self.auto_scaling.create_auto_scaling_group(
            AutoScalingGroupName=self.name,
            MinSize=0,
            MaxSize=max_size,
            NewInstancesProtectedFromScaleIn=True,
            VPCZoneIdentifier="subnet-1,subnet-2",
            LaunchTemplate={"LaunchTemplateId": template or self.template, "Version": "1"},
            Tags=[{"Key": "owner", "Value": "a&b", "PropagateAtLaunch": True}],
        )
        return str(self.group["AutoScalingGroupARN"])

    def make_capacity(self, template: str | None = None, max_size: int = 4) -> EcsPool:
        """Group, provider and association."""
        self.ecs.create_capacity_provider(
            name=self.name,
            autoScalingGroupProvider={
                "autoScalingGroupArn": self.make_group(template, max_size),
                "managedScaling": {"status": "ENABLED", "targetCapacity": 100},
                "managedTerminationProtection": "ENABLED",
                "managedDraining": "ENABLED",
            },
        )
        self.wait_active()
        self.associate([self.name])
        self.wait_associated()
        return self

    def wait_active(self) -> None:
        self.world.wait_for("an ACTIVE provider", lambda: self.provider["status"] == "ACTIVE")

    def associate(self, names: list[str]) -> None:
        self.ecs.put_cluster_capacity_providers(
            cluster=self.cluster, capacityProviders=names, defaultCapacityProviderStrategy=[]
        )

    def wait_associated(self) -> None:
        def complete() -> bool:
            found = self.ecs.describe_clusters(clusters=[self.cluster], include=["ATTACHMENTS"])["clusters"][0]
            return bool(found.get("attachmentsStatus") == "UPDATE_COMPLETE")

        self.world.wait_for("the association", complete)

    def define(self, image: str = IMAGE, memory: int = 500, log_group: str | None = None, **environment: str) -> str:
        """A task definition as the product would write it."""
        host = self.world.github.removeprefix("http://")
        plain = {
            "RUNNER_SCOPE": "org",
            "ORG_NAME": "acme",
            "GITHUB_HOST": host,
            "GITHUB_API_HOST": host,
            "GITHUB_API_PATH": "/api/v3",
            "RUNNER_NAME_PREFIX": self.name,
            "RANDOM_RUNNER_SUFFIX": "false",
            "LABELS": self.label,
            **environment,
        }
        secrets = [{"name": "ACCESS_TOKEN", "valueFrom": TOKEN_PARAMETER}]
        return self._register(image, memory, log_group, plain, {"secrets": secrets}, {"executionRoleArn": ROLE})

    def define_asking(self, table: str, role: str | None, log_group: str | None = None, **environment: str) -> str:
        """A task definition whose container asks the function for its registration, through this table."""
        plain = {"REGISTRATIONS_TABLE": table, "RUNNER_SCOPE": "org", "ORG_NAME": "acme", **environment}
        start = {"entryPoint": ["/usr/bin/dumb-init", "--", "/bin/bash", "-c"], "command": ["true", "start-runner"]}
        return self._register(IMAGE, 500, log_group, plain, start, {"taskRoleArn": role} if role else {})

    def _register(
        self,
        image: str,
        memory: int,
        log_group: str | None,
        environment: dict[str, str],
        of_container: dict[str, Any],
        of_task: dict[str, Any],
    ) -> str:
        made = self.ecs.register_task_definition(
            family=self.name,
            requiresCompatibilities=["EC2"],
            networkMode="bridge",
            containerDefinitions=[
                {
                    "name": "runner",
                    "image": image,
                    "memoryReservation": memory,
                    "stopTimeout": 120,
                    "environment": [{"name": name, "value": value} for name, value in environment.items()],
                    **of_container,
                    **_logs(log_group),
                }
            ],
            **of_task,
        )
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def make_service(self, count: int, definition: str | None = None, **more: Any) -> EcsPool:
        self.ecs.create_service(
            cluster=self.cluster,
            serviceName=self.name,
            taskDefinition=definition or self.define(),
            desiredCount=count,
            capacityProviderStrategy=[{"capacityProvider": self.name, "weight": 1}],
            **{
                "availabilityZoneRebalancing": "DISABLED",
                "deploymentConfiguration": {
                    "maximumPercent": 200,
                    "minimumHealthyPercent": 100,
                    "deploymentCircuitBreaker": {"enable": True, "rollback": False},
                },
                **more,
            },
        )
        return self

    def update(self, **changes: Any) -> None:
        self.ecs.update_service(cluster=self.cluster, service=self.name, **changes)

    # What is there.

    @property
    def group(self) -> dict[str, Any]:
        found = self.auto_scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])
        return dict(found["AutoScalingGroups"][0])

    @property
    def service(self) -> dict[str, Any]:
        return dict(self.ecs.describe_services(cluster=self.cluster, services=[self.name])["services"][0])

    @property
    def provider(self) -> dict[str, Any]:
        return dict(self.ecs.describe_capacity_providers(capacityProviders=[self.name])["capacityProviders"][0])

    def tasks(self, desired: str = "RUNNING") -> list[dict[str, Any]]:
        arns = self.ecs.list_tasks(cluster=self.cluster, serviceName=self.name, desiredStatus=desired)["taskArns"]
        return list(self.ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"]) if arns else []

    def instances(self) -> list[dict[str, Any]]:
        arns = self.ecs.list_container_instances(cluster=self.cluster)["containerInstanceArns"]
        if not arns:
            return []
        found = self.ecs.describe_container_instances(cluster=self.cluster, containerInstances=arns)
        return list(found["containerInstances"])

    def online(self) -> list[dict[str, Any]]:
        return [runner for runner in self.world.online_runners() if self.label in runner["labels"]]

    def wait_online(self, count: int) -> list[dict[str, Any]]:
        def online() -> list[dict[str, Any]] | None:
            found = self.online()
            return found if len(found) == count else None

        return self.world.wait_for(f"{count} runners online", online)

    def protect(self, tasks: list[dict[str, Any]], enabled: bool = True) -> dict[str, Any]:
        arns = [task["taskArn"] for task in tasks]
        more = {"expiresInMinutes": 60} if enabled else {}
        return dict(
            self.ecs.update_task_protection(cluster=self.cluster, tasks=arns, protectionEnabled=enabled, **more)
        )

    def runner_of(self, task: dict[str, Any]) -> str:
        return f"{self.name}-{task['containers'][0]['runtimeId'][:12]}"

    def busy_job(self, runner: str, seconds: float = 60) -> int:
        """A job that runs on this runner by the time this returns."""
        job = self.world.queue_job([self.label], seconds, runner)
        self.world.wait_for("the job to run", lambda: self.world.job(job)["state"] == "running")
        return job

    def tear_down(self) -> None:
        """By force: nothing here is worth a wait."""
        with contextlib.suppress(ClientError):
            self.ecs.delete_service(cluster=self.cluster, service=self.name, force=True)
        with contextlib.suppress(ClientError):
            self.auto_scaling.delete_auto_scaling_group(AutoScalingGroupName=self.name, ForceDelete=True)


def _logs(group: str | None) -> dict[str, Any]:
    options = {"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "runner"}
    return {"logConfiguration": {"logDriver": "awslogs", "options": options}} if group else {}


def client_error(code: str, text: str = "") -> contextlib.AbstractContextManager[None]:
    """The block must raise this error."""

    @contextlib.contextmanager
    def check() -> Any:
        try:
            yield
        except ClientError as error:
            found = error.response["Error"]
            assert found["Code"] == code, found
            assert text in found["Message"], found
        else:
            raise AssertionError(f"{code} was not raised")

    return check()
