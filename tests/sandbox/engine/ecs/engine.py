"""The state of ECS and its heartbeat. The other modules of this package have the rules, and work on this state."""

from __future__ import annotations

import time
from typing import Any, Protocol

from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services import ecs

from ..auto_scaling.groups import Groups
from ..auto_scaling.machines import room
from ..auto_scaling.model import IN_SERVICE, Machine
from ..core import Core
from ..handlers import AwsError, Json
from .model import Instance, Provider, Service, Task


class Containers(Protocol):
    """What runs inside tasks: the simulated runners."""

    def start(self, task: Task) -> None: ...
    def terminate(self, task: Task, now: float) -> None: ...
    def kill(self, task: Task, now: float) -> None: ...


class Ecs:
    """Services, tasks, container instances and capacity providers. Clusters and definitions stay MiniStack's."""

    def __init__(self, core: Core, groups: Groups) -> None:
        self.core = core
        self.groups = groups
        self.containers: Containers | None = None
        self.tasks: dict[str, Task] = {}
        self.services: dict[tuple[str, str], Service] = {}
        self.instances: dict[str, Instance] = {}
        self.inactive_instances: dict[str, tuple[Instance, float]] = {}
        """Deregistered ones that can still be described, each with the moment from which it cannot."""
        self.providers: dict[str, Provider] = {}
        self.busy_until: dict[str, float] = {}
        self.agents_due: dict[str, float] = {}
        """EC2 id to the moment its agent registers."""
        groups.fleet = self

    # What things are called.

    def arn(self, resource: str) -> str:
        return f"arn:aws:ecs:{get_region()}:{get_account_id()}:{resource}"

    def cluster(self, reference: str | None) -> Json:
        """The cluster by name or ARN."""
        record = ecs._clusters.get(ecs._resolve_cluster_name(reference or "default"))
        if record is None or record["status"] == "INACTIVE":
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return record

    def service(self, cluster: str, reference: str | None) -> Service | None:
        return self.services.get((cluster, (reference or "").rsplit("/", 1)[-1]))

    def definition(self, reference: str | None) -> Json:
        record = ecs._task_defs.get(ecs._resolve_td_key(reference or ""))
        if record is None:
            raise AwsError("ClientException", f"Unable to find task definition: {reference}")
        return record

    def active_definition(self, reference: str | None, code: str = "ClientException") -> Json:
        """One that tasks may be started from: neither deregistered nor being deleted.

        The rule: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterTaskDefinition.html
        The words: https://github.com/Cloud-CV/EvalAI/pull/5167 and, of RunTask with its other code,
        https://github.com/DefangLabs/defang/pull/775
        """
        record = self.definition(reference)
        if record["status"] != "ACTIVE":
            raise AwsError(code, "TaskDefinition is inactive")
        return record

    def provider(self, reference: str | None) -> Provider | None:
        return self.providers.get((reference or "").rsplit("/", 1)[-1])

    def provider_of_group(self, group: str) -> Provider | None:
        return next((p for p in self.providers.values() if p.group == group and p.status == "ACTIVE"), None)

    def clusters_with(self, provider: str) -> list[str]:
        return [name for name, record in ecs._clusters.items() if provider in record["capacityProviders"]]

    def tags(self, arn: str) -> list[Json]:
        return list(ecs._tags.get(arn) or [])

    def put_tags(self, arn: str, tags: list[Json] | None) -> None:
        """Every resource has an entry, so that MiniStack's TagResource finds it."""
        ecs._tags[arn] = list(tags or [])

    # Who holds what.

    def tasks_of(self, service: Service) -> list[Task]:
        """All that have not stopped, whatever their desired status."""
        return [
            task
            for task in self.tasks.values()
            if task.service == service.name and task.cluster == service.cluster and not task.ended
        ]

    def tasks_on(self, instance: Instance) -> list[Task]:
        return [task for task in self.tasks.values() if task.instance is instance and not task.ended]

    def protected_count(self, service: Service, now: float) -> int:
        return sum(task.protected(now) and task.live for task in self.tasks_of(service))

    def busy(self, cluster: str) -> bool:
        return time.time() < self.busy_until.get(cluster, 0)

    # Tasks come and go.

    def new_task(self, cluster: Json, definition: Json, group: str, **more: Any) -> Task:
        task_id = new_uuid().replace("-", "")
        task = Task(
            id=task_id,
            arn=self.arn(f"task/{cluster['clusterName']}/{task_id}"),
            cluster=cluster["clusterName"],
            cluster_arn=cluster["clusterArn"],
            definition=definition,
            group=group,
            **more,
        )
        self.tasks[task.arn] = task
        self.put_tags(task.arn, task.tags)
        self.record_task_event(task, "PROVISIONING")
        return task

    def stop_task(self, task: Task, code: str, reason: str, now: float) -> None:
        """Sets the desired status STOPPED. The container gets SIGTERM; a task that has not started stops at once."""
        if not task.live:
            return
        task.desired_status = "STOPPED"
        task.stop_code = code
        task.stopped_reason = reason
        task.stopping_at = now
        if task.last_status == "RUNNING":
            task.last_status = "STOPPING"
            task.due = now + self.core.pace.stop_grace
            self.record_task_event(task, "STOPPING")
            if self.containers:
                self.containers.terminate(task, now)
        else:
            self.end_task(task, now)

    def end_task(self, task: Task, now: float) -> None:
        task.desired_status = task.last_status = "STOPPED"
        task.stopping_at = task.stopping_at or now
        task.stopped_at = now
        task.protected_until = None
        self.record_task_event(task, "STOPPED")

    def forget_tasks(self, now: float) -> None:
        """DescribeTasks returns a stopped task for an hour, and MISSING after that.

        https://repost.aws/knowledge-center/ecs-task-stopped
        """
        for task in list(self.tasks.values()):
            if task.ended and now >= (task.stopped_at or now) + self.core.pace.stopped_task_kept:
                del self.tasks[task.arn]
                ecs._tags.pop(task.arn, None)

    def drop_tags(self, task: Task) -> None:
        """StopTask: "Any tags associated with the task will be deleted."

        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
        """
        task.tags = []
        self.put_tags(task.arn, None)

    def container_exited(self, arn: str, exit_code: int) -> None:
        """The runtime reports the end of a task's container."""
        task = self.tasks.get(arn)
        if task is None or task.ended:
            return
        task.exit_code = exit_code
        if task.live:
            task.stop_code = "EssentialContainerExited"
            task.stopped_reason = "Essential container in task exited"
        self.end_task(task, time.time())

    def record_task_event(self, task: Task, what: str) -> None:
        self.core.journal.event(
            "task",
            what,
            task=task.id,
            service=task.service,
            definition=task.definition["taskDefinitionArn"].rsplit("/", 1)[-1],
            reason=task.stopped_reason,
            exit_code=task.exit_code,
        )

    # Machines come and go.

    def machine_in_service(self, machine: Machine) -> None:
        if self.core.faults.agents != "silent":
            self.agents_due[machine.id] = time.time() + self.core.pace.agent_start

    def machine_waiting(self, machine: Machine) -> None:
        """Managed draining: the instance drains, and ECS lets the termination go on when it holds nothing."""
        provider = self.provider_of_group(machine.group)
        if provider is None or not provider.managed_draining or not self.clusters_with(provider.name):
            return
        instance = self.instance_of(machine.id)
        if instance is not None and instance.status == "ACTIVE":
            instance.status = "DRAINING"
            self.record_instance_event(instance, "DRAINING")
        if instance is None or not self.tasks_on(instance):
            self.groups.complete_termination(self.groups.by_name[machine.group], machine, time.time())

    def machine_terminated(self, machine: Machine) -> None:
        """A connected agent signs off; after a forced deletion of the group the registration is left behind.

        "Stopped container instances or instances with disconnected agents aren't automatically deregistered when
        terminated": https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterContainerInstance.html
        """
        self.agents_due.pop(machine.id, None)
        instance = self.instance_of(machine.id)
        if instance is None:
            return
        now = time.time()
        for task in self.tasks_on(instance):
            if self.containers:
                self.containers.kill(task, now)
            task.stop_code = "TerminationNotice"
            task.stopped_reason = f"Host EC2 (instance {machine.id}) terminated."
            self.end_task(task, now)
        instance.agent_connected = False
        if machine.forced:
            self.record_instance_event(instance, "disconnected")
        else:
            self.forget_instance(instance)

    def register_agents(self, now: float) -> None:
        for ec2_id in [ec2_id for ec2_id, due in self.agents_due.items() if now >= due]:
            del self.agents_due[ec2_id]
            machine = self.groups.machine(ec2_id)
            if machine is None or machine.state != IN_SERVICE:
                continue
            name = machine.template.cluster
            if name not in ecs._clusters:
                self.core.journal.event("instance", "cannot register", machine=ec2_id, cluster=name)
                continue
            provider = self.provider_of_group(machine.group)
            size = room(machine.instance_type)
            associated = provider is not None and name in self.clusters_with(provider.name)
            instance = Instance(
                arn=self.arn(f"container-instance/{name}/{new_uuid().replace('-', '')}"),
                cluster=name,
                ec2_id=ec2_id,
                provider=provider.name if provider and associated else None,
                memory=size.memory_mib,
                cpu=size.cpu_units,
                zone=machine.zone,
                instance_type=machine.instance_type,
                gpus=size.gpus,
            )
            self.instances[instance.arn] = instance
            self.record_instance_event(instance, "ACTIVE")

    def instance_of(self, ec2_id: str) -> Instance | None:
        return next((i for i in self.instances.values() if i.ec2_id == ec2_id), None)

    def forget_instance(self, instance: Instance) -> None:
        """INACTIVE, and described a while longer: "may remain discoverable in your account for a limited time".

        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterContainerInstance.html
        """
        self.instances.pop(instance.arn, None)
        instance.status, instance.agent_connected = "INACTIVE", False
        until = time.time() + self.core.pace.inactive_instance_kept
        self.inactive_instances[instance.arn] = (instance, until)
        self.record_instance_event(instance, "deregistered")

    def record_instance_event(self, instance: Instance, what: str) -> None:
        self.core.journal.event("instance", what, machine=instance.ec2_id, cluster=instance.cluster)
