"""The requests of cfn/schedule.yaml, sent as EventBridge Scheduler sends them, to a stack of cfn/pool.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gates.schedules import inputs
from sandbox.scenario import TEMPLATES, DeployedWorld
from sandbox.stacks import Stack

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"


@pytest.fixture(scope="module")
def stack(deployed_world: DeployedWorld) -> Iterator[Stack]:
    made = deployed_world.start_template(
        "scheduled", TEMPLATES / "pool.yaml", DesiredCount="1", IdleConfirmation="1", SessionManager="true"
    )
    yield made.settled().expect("CREATE_COMPLETE")
    made.delete().settled().expect("DELETE_COMPLETE")


def send(stack: Stack, schedule: str, at: str, **parameters: str) -> Stack:
    """What a schedule sends at a time. EventBridge Scheduler replaces the attribute in the whole input."""
    given = {"WorkingHoursBegin": "rate(1 day)", "LaunchTemplateId": stack.outputs["LaunchTemplateId"], **parameters}
    request = inputs(StackName=stack.name, **given)[schedule]
    for one in request["Parameters"]:
        one.update({name: value.replace(SCHEDULED_TIME, at) for name, value in one.items() if isinstance(value, str)})
    stack.cloudformation.update_stack(**request)
    return stack.settled().expect("UPDATE_COMPLETE")


def parameters_of(stack: Stack) -> dict[str, str]:
    [record] = stack.cloudformation.describe_stacks(StackName=stack.name)["Stacks"]
    return {one["ParameterKey"]: one["ParameterValue"] for one in record["Parameters"]}


def environment_of(deployed_world: DeployedWorld, stack: Stack) -> dict[str, str]:
    ecs = deployed_world.world.client("ecs")
    definition: dict[str, Any] = ecs.describe_task_definition(taskDefinition=stack.outputs["TaskDefinitionArn"])
    [container] = definition["taskDefinition"]["containerDefinitions"]
    return {one["name"]: one["value"] for one in container["environment"]}


def test_refresh_schedule_replaces_the_runners_and_keeps_every_parameter(
    deployed_world: DeployedWorld, stack: Stack
) -> None:
    before, old = parameters_of(stack), deployed_world.world.online_runners()
    assert "IMAGE_OF" not in environment_of(deployed_world, stack)
    send(stack, "Refresh", "2026-11-29T03:00:00Z")
    assert parameters_of(stack) == {**before, "ImageOf": "2026-11-29T03:00:00Z"}
    assert environment_of(deployed_world, stack)["IMAGE_OF"] == "2026-11-29T03:00:00Z"
    prefix = stack.outputs["RunnerNamePrefix"]
    of_the_pool = [
        {runner["name"] for runner in runners if runner["name"].startswith(prefix)}
        for runners in (old, deployed_world.world.online_runners())
    ]
    assert [len(names) for names in of_the_pool] == [1, 1]
    assert of_the_pool[0] != of_the_pool[1]


def test_working_hours_schedule_changes_desired_count_and_no_task(stack: Stack) -> None:
    before, revision = parameters_of(stack), stack.outputs["TaskDefinitionArn"]
    send(stack, "Begin", "2026-11-30T07:00:00Z", WorkingHoursCount="2")
    assert parameters_of(stack) == {**before, "DesiredCount": "2"}
    assert (stack.outputs["DesiredCount"], stack.outputs["TaskDefinitionArn"]) == ("2", revision)


def test_session_manager_gives_the_instance_role_no_parameter(deployed_world: DeployedWorld, stack: Stack) -> None:
    iam, role = deployed_world.world.client("iam"), stack.physical_id("InstanceRole")
    policy = iam.get_role_policy(RoleName=role, PolicyName="session-manager")["PolicyDocument"]
    actions = {action for one in policy["Statement"] for action in one["Action"]}
    assert "ssmmessages:OpenDataChannel" in actions
    assert not [action for action in actions if action.startswith("ssm:Get")]
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [one["PolicyName"] for one in attached] == ["AmazonEC2ContainerServiceforEC2Role"]
