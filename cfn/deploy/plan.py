"""`make plan`: what a deployment would do to the pools of a stack, for reviewers.

A change set shows nothing inside a custom resource. This reads from CloudFormation what a pool's properties would be,
and has the function read AWS and GitHub and return what it would do. Nothing is written.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .account import Account
from .errors import DeployError
from .instances import instance_lines
from .intrinsics import Predicted, Resolver, to_json
from .invoke import invoke, no_answer
from .output import say
from .stack_state import DesiredStack, StackState
from .template import POOL

# May contain secrets. The function prints none of these either.
REDACTED = ("Environment", "Secrets", "AccessTokenParameter", "AppPrivateKeyParameter", "RunnerTokenParameter")
# The function and how long CloudFormation waits for it: neither changes the pool.
NOT_OF_THE_POOL = ("ServiceToken", "ServiceTimeout")
ACTION_TEXTS = {
    "Create": "is created",
    "Update": "is updated in place",
    "Replacement": "is replaced",
    "Deletion": "is deleted",
    "Nothing": "stays as it is",
    "Unknown": "cannot be planned",
}
# Of a pool that there is afterwards.
BUILDING_ACTIONS = ("Create", "Update", "Replacement")
SUMMARY_TEXTS = {
    "Create": "to create",
    "Update": "to update in place",
    "Replacement": "to replace",
    "Deletion": "to delete",
    "Nothing": "to leave as it is",
    "Unknown": "that cannot be planned",
}
# Capitals, so that the runners with a job stand out.
RUNNER_STATE_TEXTS = {"idle": "idle", "busy": "BUSY", "unknown": "perhaps busy"}


@dataclass
class PoolPlan:
    """What a deployment would do to one pool."""

    name: str
    answer: dict[str, Any]
    differences: list[str]
    notes: list[str] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)

    @property
    def action(self) -> str:
        return str(self.answer["Action"])

    @property
    def obstacles(self) -> list[str]:
        return list(self.answer["Obstacles"])

    def print_plan(self) -> None:
        pool = self.answer.get("Pool")
        say(f"\n{self.name}{f' ({pool})' if pool else ''} {ACTION_TEXTS.get(self.action, self.action)}")
        retires = self.answer["Retires"].items()
        leaving = [f"- {name}  {RUNNER_STATE_TEXTS.get(doing, doing)}" for name, doing in retires]
        # First what stands in the way: with it, nothing below happens.
        parts = {
            "errors": [f"! {obstacle}" for obstacle in self.obstacles],
            "properties": self.differences,
            "changes": self.answer["Changes"],
            "instances": self.instances if self.action in BUILDING_ACTIONS else [],
            "runners to retire": leaving,
            "notes": [*self.notes, *self.answer["Notes"]],
        }
        for heading, lines in parts.items():
            if lines:
                say("\n".join([f"  {heading}", *(f"    {line}" for line in lines)]))


def plan(account: Account) -> None:
    """Prints the plan, and raises at the end if the deployment would fail."""
    options = account.options
    if not options.stack or bool(options.template) == bool(options.change_set):
        raise DeployError(
            "STACK: a plan needs the stack, whether it exists or not, and either a template or a change set. Set "
            "STACK=runners with TEMPLATE=cfn/pool.yaml, or with CHANGE_SET=name."
        )
    account_id = account.print_identity()
    stack = StackState(account, account_id, options.stack)
    if options.change_set:
        desired = DesiredStack.of_change_set(account, options.stack, options.change_set)
    else:
        desired = DesiredStack.of_file(Path(options.template), dict(options.parameters))
    plans = plan_pools(account, stack, desired)
    if not plans:
        raise DeployError(
            f"TEMPLATE: neither the template nor the stack {options.stack} has a {POOL}. Name another one."
        )
    if stack.status and not re.fullmatch(r"(CREATE|UPDATE|UPDATE_ROLLBACK|IMPORT)_COMPLETE", stack.status):
        say(f"Stack {stack.name}: its status is {stack.status}.")
    for pool_plan in plans:
        pool_plan.print_plan()
    print_summary(plans)


def plan_pools(account: Account, stack: StackState, desired: DesiredStack) -> list[PoolPlan]:
    """A plan for each pool of the template, and for each that it no longer has."""
    resolver_notes: list[str] = []
    after, before = stack.after(desired, resolver_notes), stack.before
    there = [name for name in (before.resources(POOL) if before else {}) if name in stack.resources]
    plans = []
    for name in after.resources(POOL):
        resolver_notes.clear()
        properties = after.properties(name)
        now = before.properties(name) if before and name in there else None
        event = {"Plan": to_json(properties), "LogicalResourceId": name}
        event |= {"StackId": stack.id} if stack.id else {}
        event |= {"Before": to_json(now)} if now is not None else {}
        event |= {"Coming": coming} if (coming := predicted_places(properties)) else {}
        answer = invoke_plan(account, properties.get("ServiceToken"), event)
        differences = compare(now, properties) if now is not None else []
        instances = instance_lines(account, after, properties)
        plans.append(PoolPlan(name, answer, differences, list(resolver_notes), instances))
    for name in sorted(set(there) - after.resources(POOL).keys()):
        plans.append(plan_deletion(account, stack, before, name))
    return plans


def predicted_places(properties: dict[str, Any]) -> list[str]:
    """The paths of the properties whose values are predicted."""
    template = properties.get("LaunchTemplate")
    is_coming = isinstance(template, dict) and isinstance(template.get("Version"), Predicted)
    return ["LaunchTemplate.Version"] if is_coming else []


def plan_deletion(account: Account, stack: StackState, before: Resolver | None, name: str) -> PoolPlan:
    properties = before.properties(name) if before else {}
    event = {"Plan": to_json(properties), "LogicalResourceId": name, "StackId": stack.id, "RequestType": "Delete"}
    return PoolPlan(name, invoke_plan(account, properties.get("ServiceToken"), event), [])


def invoke_plan(account: Account, token: Any, event: dict[str, Any]) -> dict[str, Any]:
    """Invokes the function that the template names, or else the one of FUNCTION_NAME."""
    function = token if isinstance(token, str) and token else account.function
    answer = invoke(account, function, event, "a plan")
    if "Obstacles" not in answer.get("Plan", {}):
        raise no_answer(function, "a plan", answer)
    return dict(answer["Plan"])


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    old_values, new_values = flatten(before), flatten(after)
    lines = []
    for place in sorted(old_values.keys() | new_values.keys(), key=lambda place: place.split(".")[0]):
        old, new = old_values.get(place), new_values.get(place)
        if old == new or place in NOT_OF_THE_POOL:
            continue
        sign = "+" if old is None else "-" if new is None else "~"
        if place.split(".")[0] in REDACTED:
            lines.append(f"{sign} {place} (not shown)")
        else:
            lines.append(f"{sign} {place}: {' -> '.join(text for text in (old, new) if text is not None)}")
    return lines


def flatten(properties: dict[str, Any], path: str = "") -> dict[str, str]:
    """Each value as text, by its path; tags by their keys."""
    found: dict[str, str] = {}
    for name, value in properties.items():
        if name == "Tags" and isinstance(value, list) and all(isinstance(tag, dict) for tag in value):
            value = {str(tag.get("Key")): tag.get("Value") for tag in value}
        if isinstance(value, dict):
            found |= flatten(value, f"{path}{name}.")
        elif isinstance(value, list):
            found[path + name] = ", ".join(map(str, value))
        elif value is not None:
            found[path + name] = str(value)
    return found


def print_summary(plans: list[PoolPlan]) -> None:
    counts = Counter(SUMMARY_TEXTS.get(pool_plan.action, pool_plan.action) for pool_plan in plans)
    summary = "Pools: " + ", ".join(f"{count} {text}" for text, count in counts.items())
    states = Counter(state for pool_plan in plans for state in pool_plan.answer["Retires"].values())
    leaving, working = states.total(), states.total() - states["idle"]
    if leaving:
        summary += f"; {leaving} {'runner leaves' if leaving == 1 else 'runners leave'}"
    if working:
        summary += f", {working} of them busy or perhaps busy"
    say(f"\n{summary}.\nNothing was written.")
    failing = [pool_plan.name for pool_plan in plans if pool_plan.obstacles]
    if failing:
        raise DeployError(f"{', '.join(failing)}: the deployment would fail. Correct the errors above first.")
