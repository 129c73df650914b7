"""The engine of the groups: capacity follows the desired count, one step at a time."""

from __future__ import annotations

from typing import Protocol

from ..core import Core, hex_digits
from . import warm_pools
from .model import HELD, IN_SERVICE, TERMINATING, WAITING, Activity, Group, Machine
from .templates import TemplateVersion, find

ALL_PROTECTED = "Could not scale to desired capacity because all remaining instances are protected from scale-in."


class Fleet(Protocol):
    """The listener for the lifecycle of machines, which is ECS."""

    def machine_in_service(self, machine: Machine) -> None: ...
    def machine_waiting(self, machine: Machine) -> None: ...
    def machine_terminated(self, machine: Machine) -> None: ...


class Groups:
    """All groups of the account. Callers hold the core's lock."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.by_name: dict[str, Group] = {}
        self.fleet: Fleet | None = None

    def step(self, now: float) -> None:
        for group in list(self.by_name.values()):
            for machine in list(group.machines):
                self._advance(group, machine, now)
            warm_pools.step(self.core, group, now)
            if group.status:
                self._finish_deletion(group, now)
            elif len(group.capacity) < group.desired:
                self._launch(group, now)
            elif len(group.capacity) > group.desired:
                self._scale_in(group, now)
            else:
                group.has_reported_all_protected = False

    def by_arn(self, arn: str) -> Group | None:
        return next((group for group in self.by_name.values() if group.arn == arn), None)

    def machine(self, ec2_id: str) -> Machine | None:
        return next((m for group in self.by_name.values() for m in group.machines if m.id == ec2_id), None)

    def delete(self, group: Group, force: bool, now: float) -> None:
        """With ForceDelete; the handler has checked a delete without it."""
        group.status = "Delete in progress"
        group.deleted_at = now
        group.hooks.clear()
        group.min_size = group.desired = 0
        if force:
            for machine in group.machines:
                machine.forced = True
                self._end(group, machine, now, "a forced deletion of the group")

    def complete_termination(self, group: Group, machine: Machine, now: float) -> None:
        """CompleteLifecycleAction: a termination goes on with CONTINUE and with ABANDON."""
        if machine.state == WAITING:
            machine.state, machine.due = TERMINATING, now + self.core.pace.instance_terminate
            self._record_event(group, machine)

    def complete_launch(self, machine: Machine, now: float) -> None:
        """CompleteLifecycleAction with CONTINUE: the machine joins the group."""
        if machine.state == HELD:
            machine.due = now

    def abandon_launches(self, group: Group, now: float) -> None:
        """DeleteLifecycleHook of a launch hook: outstanding actions are completed with ABANDON."""
        for machine in group.machines:
            if machine.state == HELD:
                machine.state, machine.due = TERMINATING, now + self.core.pace.instance_terminate
                self._record_event(group, machine)

    def _advance(self, group: Group, machine: Machine, now: float) -> None:
        if machine.state == WAITING:
            if now >= machine.wait_ends or not group.terminating_hooks():
                self.complete_termination(group, machine, now)
            elif self.fleet:
                self.fleet.machine_waiting(machine)
        elif machine.state == TERMINATING and now >= machine.due:
            group.machines.remove(machine)
            self._end_activity(group, machine, "Terminating")
            self.core.journal.event("machine", "terminated", machine=machine.id, group=group.name)
            if self.fleet:
                self.fleet.machine_terminated(machine)
        elif machine.state == "Pending" and now >= machine.due and group.launching_hooks():
            machine.state, machine.due = HELD, now + self.core.pace.launch_hook
            self._record_event(group, machine)
            warm_pools.announce(group, machine)
        elif machine.state in ("Pending", HELD) and now >= machine.due:
            machine.state = IN_SERVICE
            self._end_activity(group, machine, "Launching")
            self._record_event(group, machine)
            if self.fleet:
                self.fleet.machine_in_service(machine)

    def _launch(self, group: Group, now: float) -> None:
        if now < group.next_launch:
            return
        for _ in range(group.desired - len(group.capacity)):
            try:
                template = find(group.template_reference)
            except Exception as error:
                self._failed_launch(group, str(error), now)
                return
            if self.core.faults.launches == "fail":
                self._failed_launch(group, self.core.faults.launch_message, now)
                return
            self._start(group, template, now)

    def _start(self, group: Group, template: TemplateVersion, now: float) -> None:
        machine = warm_pools.take(group, now, self.core.pace.warm_start) or Machine(
            id="i-" + hex_digits(17),
            group=group.name,
            zone=group.zones[len(group.machines) % len(group.zones)],
            template=template,
            instance_type=(group.override_types or [template.instance_type])[0],
            protected=group.protect_new,
            due=now + self.core.pace.instance_launch,
        )
        group.machines.append(machine)
        group.activities.insert(
            0,
            Activity(
                group.name,
                f"Launching a new EC2 instance: {machine.id}",
                "an instance was started in response to a difference between desired and actual capacity.",
            ),
        )
        self._record_event(group, machine)

    def _failed_launch(self, group: Group, message: str, now: float) -> None:
        group.next_launch = now + self.core.pace.launch_retry
        activity = Activity(
            group.name,
            "Launching a new EC2 instance.  Status Reason: " + message,
            "an instance was started in response to a difference between desired and actual capacity.",
        )
        activity.end("Failed", message)
        group.activities.insert(0, activity)
        self.core.journal.event("group", "launch failed", group=group.name, reason=message)

    def _scale_in(self, group: Group, now: float) -> None:
        surplus = len(group.capacity) - group.desired
        victims = [m for m in group.machines if m.state == IN_SERVICE and not m.protected][:surplus]
        for machine in victims:
            self._end(group, machine, now, "a difference between desired and actual capacity, shrinking the capacity")
        if not victims and not group.has_reported_all_protected:
            group.has_reported_all_protected = True
            activity = Activity(group.name, ALL_PROTECTED, "a difference between desired and actual capacity")
            activity.end("Failed", ALL_PROTECTED)
            group.activities.insert(0, activity)
            self.core.journal.event("group", "all protected", group=group.name)

    def _end(self, group: Group, machine: Machine, now: float, cause: str) -> None:
        if machine.state == TERMINATING:
            return
        group.activities.insert(0, Activity(group.name, f"Terminating EC2 instance: {machine.id}", cause))
        hooks = group.terminating_hooks()
        if hooks and not machine.forced:
            machine.state = WAITING
            machine.wait_ends = now + min(int(hook["HeartbeatTimeout"]) for hook in hooks)
        else:
            machine.state, machine.due = TERMINATING, now + self.core.pace.instance_terminate
        self._record_event(group, machine)

    def _finish_deletion(self, group: Group, now: float) -> None:
        if not group.machines and now >= (group.deleted_at or 0) + self.core.pace.group_delete:
            del self.by_name[group.name]
            self.core.journal.event("group", "deleted", group=group.name)

    def _end_activity(self, group: Group, machine: Machine, verb: str) -> None:
        for activity in group.activities:
            if activity.ended_at is None and machine.id in activity.description and verb in activity.description:
                activity.end("Successful")

    def _record_event(self, group: Group, machine: Machine) -> None:
        self.core.journal.event(
            "machine", machine.state, machine=machine.id, group=group.name, version=machine.template.number
        )
