"""Deletes the function and its stack, unless a pool needs them."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import ClientError

from .account import Account, parameters_of
from .errors import DeployError
from .output import say

# The ownership tags that every resource of a pool has.
TAG_STACK_ID = "github-runner-pool:stack-id"
TAG_LOGICAL_ID = "github-runner-pool:logical-id"
# Where the credentials of the documents' examples are.
CREDENTIAL_PATH = "/github-runner-pool/"


@dataclass(frozen=True, order=True)
class Pool:
    """A pool, and the template's resource that it belongs to."""

    name: str
    stack_id: str
    logical_id: str

    def __str__(self) -> str:
        return f"{self.logical_id} of the stack {self.stack_id.split('/')[1]} ({self.name})"


def pools(account: Account) -> list[Pool]:
    """Every pool of this account and Region. Each has at least a task definition."""
    ecs, found = account.client("ecs"), []
    pages = ecs.get_paginator("list_task_definition_families").paginate(familyPrefix="ghr-", status="ACTIVE")
    for family in (family for page in pages for family in page["families"]):
        listed = ecs.describe_task_definition(taskDefinition=family, include=["TAGS"]).get("tags", [])
        tags = {tag["key"]: tag.get("value", "") for tag in listed}
        if TAG_STACK_ID in tags:
            found.append(Pool(family, tags[TAG_STACK_ID], tags.get(TAG_LOGICAL_ID, "?")))
    return sorted(found)


def undeploy(account: Account) -> None:
    """Deletes the stack and the function, unless a pool needs them."""
    stack, function = account.stack(), account.function_configuration()
    if stack is None and function is None:
        raise DeployError(
            f"FUNCTION_NAME: {account.region} has no function {account.function} and no stack of that name. Check the "
            "name and AWS_REGION."
        )
    in_use, orphaned, of_others = [], [], False
    for pool in pools(account):
        owner = account.stack(pool.stack_id)
        # A pool does not name its function. The templates of cfn/ have this parameter; a stack without it may be ours.
        if owner and parameters_of(owner).get("FunctionName", account.function) != account.function:
            of_others = True
            continue
        (in_use if owner else orphaned).append(pool)
    if in_use:
        listed = "\n".join(f"  {pool}" for pool in in_use)
        raise DeployError(
            f"Function {account.function}: it is in use, and only it can drain and delete these pools.\n{listed}\n"
            "Delete them from their stacks first."
        )
    for pool in orphaned:
        say(f"not deleted: orphaned pool {pool}, whose stack is gone")
    if stack is not None:
        listed = account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack["StackId"])
        made = [resource for page in listed for resource in page["StackResourceSummaries"]]
        before = {event["EventId"] for event in account.events(stack["StackId"])}
        account.cloudformation.delete_stack(StackName=stack["StackId"])
        account.wait_for_stack(stack["StackId"], "stack_delete_complete", before)
        say(f"deleted: stack {account.function} with")
        for resource in made:
            say(f"  {resource['ResourceType']} {resource.get('PhysicalResourceId', '')}")
    if account.function_configuration() is not None:
        account.lambda_.delete_function(FunctionName=account.function)
        say(f"deleted: function {account.function} with all its versions")
    name_leftovers(account, [] if of_others else credentials(account))


def name_leftovers(account: Account, parameters: list[str]) -> None:
    """Prints what was made for the function outside of its stack, and how to delete it."""
    region = f"--region {account.region}"
    for stack in operations_stacks(account):
        say(
            f"not deleted: stack {stack}, its dashboard and alarms. Delete it with\n"
            f"  aws cloudformation delete-stack {region} --stack-name {stack}"
        )
    for name in parameters:
        say(
            f"not deleted: parameter {name}, a credential of pools. Delete it with\n"
            f"  aws ssm delete-parameter {region} --name {name}"
        )


def operations_stacks(account: Account) -> list[str]:
    """The stacks of operations.yaml for this function: no other template has both parameters."""
    pages = account.cloudformation.get_paginator("describe_stacks").paginate()
    found = []
    for stack in (stack for page in pages for stack in page["Stacks"]):
        parameters = parameters_of(stack)
        if "OnFailureQueueName" in parameters and parameters.get("FunctionName") == account.function:
            found.append(stack["StackName"])
    return sorted(found)


def credentials(account: Account) -> list[str]:
    """The names of the parameters below the default prefix. None if they may not be listed: they are only named."""
    of_prefix = {"Key": "Path", "Option": "Recursive", "Values": [CREDENTIAL_PATH]}
    try:
        pages = account.client("ssm").get_paginator("describe_parameters").paginate(ParameterFilters=[of_prefix])
        return sorted(parameter["Name"] for page in pages for parameter in page["Parameters"])
    except ClientError:
        return []
