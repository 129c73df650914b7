"""`make plan`: what a deployment would do to the pools of a stack, asked of the function and told for reviewers.

A change set shows nothing of a custom resource's inside. Here CloudFormation, and whatever else is needed to know a
pool's properties, is read; the function looks at AWS and GitHub and says what it would do. Nothing is written.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from .account import Account
from .errors import DeployError
from .intrinsics import Coming, Resolver, wire
from .stack_state import StackState, Wish
from .template import POOL

# As long as Lambda lets the function work. A second try would be a second look.
PATIENCE = Config(read_timeout=900, retries={"max_attempts": 0})
# May hold what is nobody's business; the function repeats these nowhere either.
NEVER_SHOWN = ("Environment", "Secrets", "AccessTokenParameter", "AppPrivateKeyParameter", "RunnerTokenParameter")
# How the pool is reached, and how long CloudFormation waits: neither changes the pool.
HOUSEKEEPING = ("ServiceToken", "ServiceTimeout")
WORDS = {
    "Create": "is created",
    "Update": "is updated in place",
    "Replacement": "is replaced",
    "Deletion": "is deleted",
    "Nothing": "stays as it is",
    "Unknown": "cannot be planned",
}
# The same of several, at the end.
COUNTED = {
    "Create": "to create",
    "Update": "to update in place",
    "Replacement": "to replace",
    "Deletion": "to delete",
    "Nothing": "to leave as it is",
    "Unknown": "that cannot be planned",
}
# What a runner does now, so that the eye finds those that have a job.
DOING = {"idle": "idle", "busy": "BUSY", "unknown": "perhaps busy"}


@dataclass
class PoolPlan:
    """What would become of one pool."""

    name: str
    told: dict[str, Any]
    differences: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def action(self) -> str:
        return str(self.told["Action"])

    @property
    def obstacles(self) -> list[str]:
        return list(self.told["Obstacles"])

    def show(self) -> None:
        pool = self.told.get("Pool")
        print(f"\n{self.name}{f' ({pool})' if pool else ''} {WORDS.get(self.action, self.action)}")
        retires = self.told["Retires"].items()
        leaving = [f"- {name}  {DOING.get(doing, doing)}" for name, doing in retires]
        parts = {
            "properties": self.differences,
            "what is done": self.told["Changes"],
            "runners that leave": leaving,
            "to know": [*self.notes, *self.told["Notes"]],
            "what stands in the way": [f"! {obstacle}" for obstacle in self.obstacles],
        }
        for heading, lines in parts.items():
            if lines:
                print("\n".join([f"  {heading}", *(f"    {line}" for line in lines)]))


def plan(account: Account) -> None:
    """Prints the plan; refuses at the end if the deployment would fail."""
    given = account.given
    if not given.stack or bool(given.template) == bool(given.change_set):
        raise DeployError(
            "Say which stack, whether it is there yet or not, and what is to be deployed: STACK=runners with "
            "TEMPLATE=cfn/pool.yaml, or with CHANGE_SET=name."
        )
    account_id = account.introduce()
    stack = StackState(account, account_id, given.stack)
    if given.change_set:
        wish = Wish.of_change_set(account, given.stack, given.change_set)
    else:
        wish = Wish.of_file(Path(given.template), dict(given.parameters))
    plans = plans_of(account, stack, wish)
    if not plans:
        raise DeployError(f"Neither the template nor the stack {given.stack} has a {POOL}.")
    if stack.status and not re.fullmatch(r"(CREATE|UPDATE|UPDATE_ROLLBACK|IMPORT)_COMPLETE", stack.status):
        print(f"The stack {stack.name} is {stack.status}.")
    for one in plans:
        one.show()
    summarize(plans)


def plans_of(account: Account, stack: StackState, wish: Wish) -> list[PoolPlan]:
    """A plan for each pool of the template, and for each that it has no more."""
    resolver_notes: list[str] = []
    after, before = stack.after(wish, resolver_notes), stack.before
    there = [name for name in (before.resources(POOL) if before else {}) if name in stack.resources]
    plans = []
    for name in after.resources(POOL):
        resolver_notes.clear()
        properties = after.properties(name)
        now = before.properties(name) if before and name in there else None
        event = {"Plan": wire(properties), "LogicalResourceId": name}
        event |= {"StackId": stack.id} if stack.id else {}
        event |= {"Before": wire(now)} if now is not None else {}
        event |= {"Coming": coming} if (coming := expected(properties)) else {}
        told = ask(account, properties.get("ServiceToken"), event)
        differences = compare(now, properties) if now is not None else []
        plans.append(PoolPlan(name, told, differences, list(resolver_notes)))
    for name in sorted(set(there) - after.resources(POOL).keys()):
        plans.append(deletion_of(account, stack, before, name))
    return plans


def expected(properties: dict[str, Any]) -> list[str]:
    """The places that hold what the deployment is expected to make."""
    template = properties.get("LaunchTemplate")
    is_coming = isinstance(template, dict) and isinstance(template.get("Version"), Coming)
    return ["LaunchTemplate.Version"] if is_coming else []


def deletion_of(account: Account, stack: StackState, before: Resolver | None, name: str) -> PoolPlan:
    properties = before.properties(name) if before else {}
    event = {"Plan": wire(properties), "LogicalResourceId": name, "StackId": stack.id, "RequestType": "Delete"}
    return PoolPlan(name, ask(account, properties.get("ServiceToken"), event), [])


def ask(account: Account, token: Any, event: dict[str, Any]) -> dict[str, Any]:
    """The function's answer: that of the function that the template names, where it does."""
    function = token if isinstance(token, str) and token else account.function
    client = account.client("lambda", config=PATIENCE)
    try:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
    except client.exceptions.ResourceNotFoundException:
        raise DeployError(
            f"There is no function {function}, and it makes the plan. `make deploy` makes it; another name of it is a "
            "parameter of the template, such as FunctionName."
        ) from None
    except ClientError as error:
        if "AccessDenied" in error.response["Error"]["Code"]:
            raise DeployError(f"A plan needs lambda:InvokeFunction on the function: {error}") from error
        raise
    told = json.loads(answer["Payload"].read() or b"null")
    if "FunctionError" in answer or not isinstance(told, dict) or "Obstacles" not in told.get("Plan", {}):
        raise DeployError(
            f"The function {function} gave no plan; is it of this version? `make deploy`. It said: {told}"
        )
    return dict(told["Plan"])


# The properties, side by side.


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    one, other = flat(before), flat(after)
    lines = []
    for place in sorted(one.keys() | other.keys(), key=lambda place: place.split(".")[0]):
        old, new = one.get(place), other.get(place)
        if old == new or place in HOUSEKEEPING:
            continue
        sign = "+" if old is None else "-" if new is None else "~"
        if place.split(".")[0] in NEVER_SHOWN:
            lines.append(f"{sign} {place} (not shown)")
        else:
            lines.append(f"{sign} {place}: {' -> '.join(text for text in (old, new) if text is not None)}")
    return lines


def flat(properties: dict[str, Any], path: str = "") -> dict[str, str]:
    """Each value as a text, by its place; tags by their keys."""
    found: dict[str, str] = {}
    for name, value in properties.items():
        if name == "Tags" and isinstance(value, list) and all(isinstance(tag, dict) for tag in value):
            value = {str(tag.get("Key")): tag.get("Value") for tag in value}
        if isinstance(value, dict):
            found |= flat(value, f"{path}{name}.")
        elif isinstance(value, list):
            found[path + name] = ", ".join(map(str, value))
        elif value is not None:
            found[path + name] = str(value)
    return found


def summarize(plans: list[PoolPlan]) -> None:
    count = Counter(COUNTED.get(one.action, one.action) for one in plans)
    told = "Pools: " + ", ".join(f"{n} {words}" for words, n in count.items())
    doing = Counter(state for one in plans for state in one.told["Retires"].values())
    leaving, working = doing.total(), doing.total() - doing["idle"]
    if leaving:
        told += f"; {leaving} {'runner leaves' if leaving == 1 else 'runners leave'}"
    if working:
        told += f", {working} of them busy or perhaps so"
    print(f"\n{told}. Nothing was written.", flush=True)
    failing = [one.name for one in plans if one.obstacles]
    if failing:
        raise DeployError(f"The deployment would fail: {', '.join(failing)}. See what stands in the way.")
