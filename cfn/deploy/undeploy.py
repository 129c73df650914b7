"""Removing the function and its stack, if no pool needs them any more."""

from __future__ import annotations

from dataclasses import dataclass

from .account import Account, parameters_of
from .errors import DeployError

# On everything of a pool; src/pool/identity.rs has them.
TAG_STACK_ID = "github-runner-pool:stack-id"
TAG_LOGICAL_ID = "github-runner-pool:logical-id"


@dataclass(frozen=True, order=True)
class Pool:
    """A pool that is there, and the template's resource that it belongs to."""

    name: str
    stack_id: str
    logical_id: str

    def __str__(self) -> str:
        return f"{self.logical_id} of the stack {self.stack_id.split('/')[1]} ({self.name})"


def pools(account: Account) -> list[Pool]:
    """Every pool of this account and Region: each has a task definition, whatever else it has."""
    ecs, found = account.client("ecs"), []
    pages = ecs.get_paginator("list_task_definition_families").paginate(familyPrefix="ghr-", status="ACTIVE")
    for family in (family for page in pages for family in page["families"]):
        listed = ecs.describe_task_definition(taskDefinition=family, include=["TAGS"]).get("tags", [])
        tags = {tag["key"]: tag.get("value", "") for tag in listed}
        if TAG_STACK_ID in tags:
            found.append(Pool(family, tags[TAG_STACK_ID], tags.get(TAG_LOGICAL_ID, "?")))
    return sorted(found)


def undeploy(account: Account) -> None:
    """Removes the stack and the function, if no pool needs them any more."""
    stack, function = account.stack(), account.found()
    if stack is None and function is None:
        raise DeployError(f"There is no function {account.function} in {account.region}, nor a stack of that name.")
    alive, orphans = [], []
    for pool in pools(account):
        owner = account.stack(pool.stack_id)
        # A pool does not tell its function. Every template of cfn/ has this parameter; without it, it may be ours.
        if owner and parameters_of(owner).get("FunctionName", account.function) != account.function:
            continue
        (alive if owner else orphans).append(pool)
    if alive:
        listed = "\n".join(f"  {pool}" for pool in alive)
        raise DeployError(
            f"The function {account.function} is needed: only it can drain and remove these pools.\n{listed}\n"
            "Delete them from their stacks first: without it those stacks cannot be deleted."
        )
    for pool in orphans:
        print(f"left alone: {pool}, which no stack has any more")
    if stack is not None:
        listed = account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack["StackId"])
        made = [resource for page in listed for resource in page["StackResourceSummaries"]]
        before = {event["EventId"] for event in account.events(stack["StackId"])}
        account.cloudformation.delete_stack(StackName=stack["StackId"])
        account.settled(stack["StackId"], "stack_delete_complete", before)
        print(f"removed: the stack {account.function}, and with it")
        for resource in made:
            print(f"  {resource['ResourceType']} {resource.get('PhysicalResourceId', '')}")
    if account.found() is not None:
        account.lambda_.delete_function(FunctionName=account.function)
        print(f"removed: the function {account.function} with all its versions")
