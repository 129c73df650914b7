"""`make plan`: what a deployment would do to the pools of a stack, without a write.

The local AWS checks what the function does against its role, as AWS does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.cli_user import CliUser
from sandbox.scenario import LOGICAL_ID, OTHER_IMAGE, TEMPLATES
from sandbox.stacks import Stack
from sandbox.world import REPOSITORY, World

POOL = TEMPLATES / "pool.yaml"
NAME = "runners"
AMI = "/sandbox/ami"


@dataclass
class Planner:
    """A user who plans the deployment of a stack, which may exist."""

    cli_user: CliUser
    stack: Stack | None = None

    @property
    def world(self) -> World:
        return self.cli_user.world

    def given(self, **more: str) -> str:
        """Parameters as `make` takes them."""
        return "PARAMETERS=" + " ".join(f"{name}={value}" for name, value in more.items())

    def first(self, **more: str) -> str:
        """Those without which cfn/pool.yaml cannot be deployed."""
        network = self.world.network()
        return self.given(OrgName="acme", GitHubUrl=self.world.github, ImageId=AMI, **network, **more)

    def plan(self, *variables: str, stack: str = NAME, template: Path = POOL, fails: bool = False) -> str:
        """The output and errors of `make plan`; it must write nothing, and no call may be denied."""
        self.world.reset_calls()
        shown = template.relative_to(REPOSITORY) if template.is_relative_to(REPOSITORY) else template
        named = [] if any(it.startswith("CHANGE_SET=") for it in variables) else [f"TEMPLATE={shown}"]
        output, errors = self.cli_user.make_streams("plan", f"STACK={stack}", *named, *variables, fails=fails)
        # To invoke the function is the one thing that is no read by its name.
        assert set(self.cli_user.writes()) <= {"Invoke"}
        assert self.world.calls(caller="function", writes=True) == []
        assert [call for call in self.world.calls() if call["status"] == 403] == []
        return output + errors

    @property
    def pool_id(self) -> str:
        assert self.stack
        return self.stack.physical_id(LOGICAL_ID)

    def runners(self) -> dict[str, str]:
        """The names of the pool's runners, and what each does."""
        mine = [runner for runner in self.world.runners() if self.pool_id in runner["labels"]]
        return {runner["name"]: "BUSY" if runner["busy"] else "idle" for runner in mine}


@pytest.fixture(scope="module")
def planner_without_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planner]:
    """A reviewer in an account with the function and without a pool."""
    with World.start(tmp_path_factory.mktemp("account"), time_scale=0.3, authorize="true") as world:
        world.prepare()
        world.client("ssm").put_parameter(Name=AMI, Value="ami-12345678", Type="String")
        world.deploy_provider(TEMPLATES / "provider.yaml")
        yield Planner(CliUser(world))


@pytest.fixture(scope="module")
def planner(planner_without_stack: Planner) -> Planner:
    """A stack with a pool of two runners."""
    stack = planner_without_stack.cli_user.pool(NAME, DesiredCount="2", ImageId=AMI)
    return Planner(planner_without_stack.cli_user, stack)


def section(output: str, heading: str) -> list[str]:
    """The lines below a heading of the one pool."""
    below = output.split(f"  {heading}\n")[1] if f"  {heading}\n" in output else ""
    lines: list[str] = []
    for line in below.splitlines():
        if not line.startswith("    "):
            break
        if line.startswith("     "):
            # The rest of a folded line.
            lines[-1] += " " + line.strip()
        else:
            lines.append(line.strip())
    return lines


def test_plan_before_the_first_deployment_creates_everything(planner_without_stack: Planner) -> None:
    output = planner_without_stack.plan(planner_without_stack.first(), stack="unmade")
    assert f"\n{LOGICAL_ID} is created\n" in output
    assert [line[0] for line in section(output, "changes")] == list("+++~+")
    assert "+ service with 2 runners" in output
    assert "+ Auto Scaling group: 1 to 4 instances from version 1 of launch template LaunchTemplate" in output
    assert section(output, "instances") == [
        "m7i.large: room for about 2 runners each, so 1 instance for DesiredCount 2",
        "at least 1 (MinInstances), at most 4 (MaxInstances)",
    ]
    notes = section(output, "notes")
    known = "Known only after the deployment: Cluster (Cluster), ExecutionRoleArn (ExecutionRole.Arn), "
    assert any(note.startswith(known) for note in notes), notes
    assert any(note.startswith("Not tried, since trying makes a registration token") for note in notes), notes
    assert section(output, "errors") == []
    assert output.strip().endswith("Pools: 1 to create.\nNothing was written.")


def test_plan_of_the_deployed_template_changes_nothing(planner: Planner) -> None:
    output = planner.plan()
    assert f"\n{LOGICAL_ID} ({planner.pool_id}) stays as it is\n" in output
    assert not any(section(output, heading) for heading in ("properties", "changes", "runners to retire"))


def test_plan_of_another_image_names_the_runners_that_leave_and_marks_busy_ones(planner: Planner) -> None:
    world = planner.world
    job = world.queue_job([planner.pool_id], 8)
    world.wait_for("the job to run", lambda: world.job(job)["state"] == "running")
    # GitHub's list shows it a little later than the job's state.
    world.wait_for("a busy runner", lambda: "BUSY" in planner.runners().values())
    output = planner.plan(planner.given(Image=OTHER_IMAGE, DesiredCount="3"))
    assert f"({planner.pool_id}) is updated in place" in output
    changed = ["~ DesiredCount: 2 -> 3", f"~ Image: myoung34/github-runner:ubuntu-noble -> {OTHER_IMAGE}"]
    assert section(output, "properties") == changed
    assert f"+ task definition: a new revision, with the image {OTHER_IMAGE}" in output
    assert "~ service: DesiredCount 2 -> 3" in output
    leaving = {name: doing for _, name, doing in map(str.split, section(output, "runners to retire"))}
    assert leaving == planner.runners()
    assert sorted(leaving.values()) == ["BUSY", "idle"]
    assert "Jobs are waited for, up to DrainTimeout (30 min); then a job that still runs is cut off" in output
    assert "2 runners leave, 1 of them busy or perhaps busy" in output
    world.wait_for("the job's end", lambda: world.job(job)["state"] == "succeeded")


def test_plan_of_a_smaller_desired_count_retires_one_runner(planner: Planner) -> None:
    output = planner.plan(planner.given(DesiredCount="1"))
    assert section(output, "changes") == ["~ service: DesiredCount 2 -> 1"]
    [leaving] = section(output, "runners to retire")
    assert leaving.endswith("idle")


def test_plan_of_another_org_name_replaces_the_pool(planner: Planner) -> None:
    output = planner.plan(planner.given(OrgName="globex"))
    [heading] = re.findall(rf"^{LOGICAL_ID} \((\S+)\) is replaced$", output, re.MULTILINE)
    assert heading != planner.pool_id
    assert section(output, "changes")[-1] == (
        f"- pool {planner.pool_id}, deleted by CloudFormation once the new one is there; another one because of "
        "organization acme -> organization globex"
    )
    assert len(section(output, "runners to retire")) == 2


def test_plan_of_another_launch_template_drains_instances(planner: Planner) -> None:
    output = planner.plan(planner.given(InstanceType="m7i.xlarge"))
    assert "LaunchTemplate changes as well: its next version is assumed to be 2" in output
    assert "~ Auto Scaling group: launch template version 1 -> 2" in output
    assert re.search(r"- \d+ instances? of an older launch template, each as soon as it holds no task", output)


def test_plan_of_a_change_set(planner: Planner) -> None:
    assert planner.stack
    client = planner.world.client("cloudformation")
    kept = [{"ParameterKey": name, "UsePreviousValue": True} for name in planner.stack.parameters if name != "Labels"]
    client.create_change_set(
        StackName=NAME,
        ChangeSetName="more-labels",
        TemplateBody=POOL.read_text(),
        Parameters=[*kept, {"ParameterKey": "Labels", "ParameterValue": "linux,docker"}],
        Capabilities=["CAPABILITY_IAM"],
    )
    output = planner.plan("CHANGE_SET=more-labels")
    assert section(output, "properties") == ["~ Labels: default -> linux, docker"]
    assert len(section(output, "runners to retire")) == 2
    assert "has no change set other" in planner.plan("CHANGE_SET=other", fails=True)


def test_plan_deletes_a_pool_that_left_the_template(planner: Planner, tmp_path: Path) -> None:
    template = tmp_path / "empty.yaml"
    template.write_text("Resources:\n  Cluster:\n    Type: AWS::ECS::Cluster\n")
    output = planner.plan(template=template)
    assert f"\n{LOGICAL_ID} ({planner.pool_id}) is deleted\n" in output
    assert section(output, "changes") == [f"- pool {planner.pool_id} with all that it is made of"]
    assert {line.split()[1] for line in section(output, "runners to retire")} == planner.runners().keys()


def test_plan_lists_every_invalid_property_and_fails(planner: Planner, tmp_path: Path) -> None:
    template = tmp_path / "mistaken.yaml"
    text = POOL.read_text().replace("      DesiredCount: !Ref DesiredCount", "      DesirdCount: many\n      Cpu: lots")
    template.write_text(text)
    output = planner.plan(template=template, fails=True)
    assert f"\n{LOGICAL_ID} cannot be planned\n" in output
    assert output.split(f"{LOGICAL_ID} cannot be planned\n")[1].startswith("  errors\n")
    named = [line.split()[1].rstrip(":") for line in section(output, "errors")]
    assert named == ["Cpu", "DesirdCount"]
    assert f"{LOGICAL_ID}: the deployment would fail." in output


def test_plan_names_missing_runner_group_and_parameter(planner: Planner) -> None:
    output = planner.plan(planner.given(RunnerGroup="nowhere"), fails=True)
    [obstacle] = section(output, "errors")
    assert "has no runner group named nowhere" in obstacle
    output = planner.plan(planner.given(AccessTokenParameter="/github-runner-pool/other"), fails=True)
    [obstacle] = section(output, "errors")
    assert "AccessTokenParameter /github-runner-pool/other: there is no such parameter" in obstacle
    # Without it GitHub cannot be read, so tasks are listed in place of runners.
    assert all(line.endswith("perhaps busy") for line in section(output, "runners to retire"))


def test_plan_names_memory_and_max_instances_that_cannot_fit(planner: Planner) -> None:
    output = planner.plan(planner.given(MemoryReservation="30000"), fails=True)
    [obstacle] = section(output, "errors")
    assert "MemoryReservation: 30000 MiB is more than an instance of m7i.large registers (7,700 MiB)" in obstacle
    output = planner.plan(planner.given(DesiredCount="40"), fails=True)
    [obstacle] = section(output, "errors")
    assert "MaxInstances: 4 instances have room for " in obstacle


def test_plan_names_a_missing_launch_template(planner: Planner, tmp_path: Path) -> None:
    template = tmp_path / "nowhere.yaml"
    own = re.compile(r"      LaunchTemplate:\n(        .*\n)+")
    text, n_places = own.subn('      LaunchTemplate: {LaunchTemplateName: nope, Version: "1"}\n', POOL.read_text())
    assert n_places == 1
    template.write_text(text)
    output = planner.plan(template=template, fails=True)
    [obstacle] = section(output, "errors")
    assert "LaunchTemplate: there is no launch template nope in this Region and account." in obstacle


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (["STACK="], "STACK: a plan needs the stack"),
        (["TEMPLATE=nowhere.yaml"], "TEMPLATE: there is no file nowhere.yaml."),
        (["TEMPLATE=Makefile"], "Makefile: "),
        (["PARAMETERS=Orgname=acme"], "PARAMETERS: the template has no parameter Orgname. It has "),
        (["STACK=unmade"], "PARAMETERS: no value for OrgName, VpcId, Subnets. Set PARAMETERS="),
        (["TEMPLATE=cfn/provider.yaml", "STACK=unmade"], "has a Custom::GitHubRunnerPool"),
        (["PARAMETERS=FunctionName=other"], "Function arn:aws:lambda:"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_plan_error_is_one_sentence(planner: Planner, variables: list[str], expected: str) -> None:
    error = planner.plan(*variables, fails=True)
    assert expected in error
    assert "Traceback" not in error
    assert "make: ***" not in error


def test_plan_event_can_be_invoked_directly(planner: Planner) -> None:
    asked = {"Plan": {"OrgName": "acme", "Cluster": "nowhere"}}
    response = planner.world.client("lambda").invoke(
        FunctionName="github-runner-pool", Payload=json.dumps(asked).encode()
    )
    plan = json.loads(response["Payload"].read())["Plan"]
    assert plan["Action"] == "Unknown"
    assert any(obstacle.startswith("LaunchTemplate: required") for obstacle in plan["Obstacles"])
