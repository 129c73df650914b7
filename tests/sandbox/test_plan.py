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
class Reviewer:
    """Somebody who wants to know before anything is done, and a stack that may be there."""

    engineer: CliUser
    stack: Stack | None = None

    @property
    def world(self) -> World:
        return self.engineer.world

    def given(self, **more: str) -> str:
        """Parameters as `make` takes them."""
        return "PARAMETERS=" + " ".join(f"{name}={value}" for name, value in more.items())

    def first(self, **more: str) -> str:
        """Those without which cfn/pool.yaml cannot be deployed."""
        network = self.world.network()
        return self.given(OrgName="acme", GitHubUrl=self.world.github, ImageId=AMI, **network, **more)

    def plan(self, *variables: str, stack: str = NAME, template: Path = POOL, refused: bool = False) -> str:
        """What is printed, complaints last; and nothing was written, and nothing error."""
        self.world.reset_calls()
        shown = template.relative_to(REPOSITORY) if template.is_relative_to(REPOSITORY) else template
        named = [] if any(it.startswith("CHANGE_SET=") for it in variables) else [f"TEMPLATE={shown}"]
        told, complaint = self.engineer.both("plan", f"STACK={stack}", *named, *variables, refused=refused)
        # To invoke the function is the one thing that is no read by its name.
        assert set(self.engineer.writes()) <= {"Invoke"}
        assert self.world.calls(caller="function", writes=True) == []
        assert [call for call in self.world.calls() if call["status"] == 403] == []
        return told + complaint

    @property
    def pool_id(self) -> str:
        assert self.stack
        return self.stack.physical_id(LOGICAL_ID)

    def runners(self) -> dict[str, str]:
        """The names of the pool's runners, and what each does."""
        mine = [runner for runner in self.world.runners() if self.pool_id in runner["labels"]]
        return {runner["name"]: "BUSY" if runner["busy"] else "idle" for runner in mine}


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewer]:
    """A reviewer in an account with the function and without a pool."""
    with World.start(tmp_path_factory.mktemp("account"), time_scale=0.3, authorize="true") as world:
        world.prepare()
        world.client("ssm").put_parameter(Name=AMI, Value="ami-12345678", Type="String")
        world.deploy_provider(TEMPLATES / "provider.yaml")
        yield Reviewer(CliUser(world))


@pytest.fixture(scope="module")
def reviewer(nobody: Reviewer) -> Reviewer:
    """The same, beside a pool of two runners."""
    stack = nobody.engineer.pool(NAME, DesiredCount="2", ImageId=AMI)
    return Reviewer(nobody.engineer, stack)


def section(told: str, heading: str) -> list[str]:
    """The lines below a heading of the one pool."""
    below = told.split(f"  {heading}\n")[1] if f"  {heading}\n" in told else ""
    lines = []
    for line in below.splitlines():
        if not line.startswith("    "):
            break
        lines.append(line.strip())
    return lines


def test_before_the_first_deployment_everything_is_made(nobody: Reviewer) -> None:
    told = nobody.plan(nobody.first(), stack="unmade")
    assert f"\n{LOGICAL_ID} is created\n" in told
    assert [line[0] for line in section(told, "what is done")] == list("+++~+")
    assert "+ service with 2 runners" in told
    assert "+ Auto Scaling group: 0 to 4 instances from version 1 of launch template LaunchTemplate" in told
    assert "Known only after the deployment: Cluster (Cluster), ExecutionRoleArn (ExecutionRole.Arn), " in told
    assert "Not tried, since trying makes a registration token" in told
    assert section(told, "what stands in the way") == []
    assert told.strip().endswith("Pools: 1 to create. Nothing was written.")


def test_what_is_deployed_stays_as_it_is(reviewer: Reviewer) -> None:
    told = reviewer.plan()
    assert f"\n{LOGICAL_ID} ({reviewer.pool_id}) stays as it is\n" in told
    assert not any(section(told, heading) for heading in ("properties", "what is done", "runners that leave"))


def test_another_image_and_count_retire_runners_by_name_and_the_busy_one_is_marked(reviewer: Reviewer) -> None:
    world = reviewer.world
    job = world.queue_job([reviewer.pool_id], 8)
    world.wait_for("the job to run", lambda: world.job(job)["state"] == "running")
    # GitHub's list tells it a little later than the job's state does.
    world.wait_for("a busy runner", lambda: "BUSY" in reviewer.runners().values())
    told = reviewer.plan(reviewer.given(Image=OTHER_IMAGE, DesiredCount="3"))
    assert f"({reviewer.pool_id}) is updated in place" in told
    changed = ["~ DesiredCount: 2 -> 3", f"~ Image: myoung34/github-runner:ubuntu-noble -> {OTHER_IMAGE}"]
    assert section(told, "properties") == changed
    assert f"+ task definition: a new revision, with the image {OTHER_IMAGE}" in told
    assert "~ service: DesiredCount 2 -> 3" in told
    leaving = {name: doing for _, name, doing in map(str.split, section(told, "runners that leave"))}
    assert leaving == reviewer.runners()
    assert sorted(leaving.values()) == ["BUSY", "idle"]
    assert "Jobs are waited for, up to DrainTimeout (30 min); then a job that still runs is cut off" in told
    assert "2 runners leave, 1 of them busy or perhaps so" in told
    world.wait_for("the job's end", lambda: world.job(job)["state"] == "succeeded")


def test_fewer_runners_are_one_idle_one_less(reviewer: Reviewer) -> None:
    told = reviewer.plan(reviewer.given(DesiredCount="1"))
    assert section(told, "what is done") == ["~ service: DesiredCount 2 -> 1"]
    [leaving] = section(told, "runners that leave")
    assert leaving.endswith("idle")


def test_another_organization_is_another_pool(reviewer: Reviewer) -> None:
    told = reviewer.plan(reviewer.given(OrgName="globex"))
    [heading] = re.findall(rf"^{LOGICAL_ID} \((\S+)\) is replaced$", told, re.MULTILINE)
    assert heading != reviewer.pool_id
    assert section(told, "what is done")[-1] == (
        f"- pool {reviewer.pool_id}, deleted by CloudFormation once the new one is there; another one because of "
        "organization acme -> organization globex"
    )
    assert len(section(told, "runners that leave")) == 2


def test_another_launch_template_drains_the_instances(reviewer: Reviewer) -> None:
    told = reviewer.plan(reviewer.given(InstanceType="m7i.xlarge"))
    assert "LaunchTemplate changes as well: its next version is taken to be 2" in told
    assert "~ Auto Scaling group: launch template version 1 -> 2" in told
    assert re.search(r"- \d+ instances? of an older launch template, each as soon as it holds no task", told)


def test_a_change_set_is_planned_as_it_stands(reviewer: Reviewer) -> None:
    assert reviewer.stack
    client = reviewer.world.client("cloudformation")
    kept = [{"ParameterKey": name, "UsePreviousValue": True} for name in reviewer.stack.parameters if name != "Labels"]
    client.create_change_set(
        StackName=NAME,
        ChangeSetName="more-labels",
        TemplateBody=POOL.read_text(),
        Parameters=[*kept, {"ParameterKey": "Labels", "ParameterValue": "linux,docker"}],
        Capabilities=["CAPABILITY_IAM"],
    )
    told = reviewer.plan("CHANGE_SET=more-labels")
    assert section(told, "properties") == ["~ Labels: default -> linux, docker"]
    assert len(section(told, "runners that leave")) == 2
    assert "has no change set other" in reviewer.plan("CHANGE_SET=other", refused=True)


def test_a_pool_that_the_template_has_no_more_is_deleted(reviewer: Reviewer, tmp_path: Path) -> None:
    template = tmp_path / "empty.yaml"
    template.write_text("Resources:\n  Cluster:\n    Type: AWS::ECS::Cluster\n")
    told = reviewer.plan(template=template)
    assert f"\n{LOGICAL_ID} ({reviewer.pool_id}) is deleted\n" in told
    assert section(told, "what is done") == [f"- pool {reviewer.pool_id} with all that it is made of"]
    assert {line.split()[1] for line in section(told, "runners that leave")} == reviewer.runners().keys()


def test_mistakes_are_told_one_by_one_and_fail_the_plan(reviewer: Reviewer, tmp_path: Path) -> None:
    template = tmp_path / "mistaken.yaml"
    text = POOL.read_text().replace("      DesiredCount: !Ref DesiredCount", "      DesirdCount: many\n      Cpu: lots")
    template.write_text(text)
    told = reviewer.plan(template=template, refused=True)
    assert f"\n{LOGICAL_ID} cannot be planned\n" in told
    named = [line.split()[1] for line in section(told, "what stands in the way")]
    assert named == ["Cpu", "DesirdCount"]
    assert f"The deployment would fail: {LOGICAL_ID}." in told


def test_what_is_not_there_stands_in_the_way(reviewer: Reviewer) -> None:
    told = reviewer.plan(reviewer.given(RunnerGroup="nowhere"), refused=True)
    [obstacle] = section(told, "what stands in the way")
    assert "has no runner group named nowhere" in obstacle
    told = reviewer.plan(reviewer.given(AccessTokenParameter="/github-runner-pool/other"), refused=True)
    [obstacle] = section(told, "what stands in the way")
    assert "AccessTokenParameter /github-runner-pool/other: there is no such parameter" in obstacle
    # Without it GitHub cannot be asked, so tasks stand for the runners.
    assert all(line.endswith("perhaps busy") for line in section(told, "runners that leave"))


def test_a_mistake_of_capacity_stands_in_the_way(reviewer: Reviewer) -> None:
    told = reviewer.plan(reviewer.given(MemoryReservation="30000"), refused=True)
    [obstacle] = section(told, "what stands in the way")
    assert "MemoryReservation: 30000 MiB is more than an instance of m7i.large registers (7,700 MiB)" in obstacle
    told = reviewer.plan(reviewer.given(DesiredCount="40"), refused=True)
    [obstacle] = section(told, "what stands in the way")
    assert "MaxInstances: 4 instances have room for " in obstacle


def test_a_launch_template_that_does_not_exist_stands_in_the_way(reviewer: Reviewer, tmp_path: Path) -> None:
    template = tmp_path / "nowhere.yaml"
    own = re.compile(r"      LaunchTemplate:\n(        .*\n)+")
    text, n_places = own.subn('      LaunchTemplate: {LaunchTemplateName: nope, Version: "1"}\n', POOL.read_text())
    assert n_places == 1
    template.write_text(text)
    told = reviewer.plan(template=template, refused=True)
    [obstacle] = section(told, "what stands in the way")
    assert "LaunchTemplate: there is no launch template nope in this Region and account." in obstacle


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (["STACK="], "Say which stack"),
        (["TEMPLATE=nowhere.yaml"], "There is no file nowhere.yaml."),
        (["TEMPLATE=Makefile"], "Makefile is no"),
        (["PARAMETERS=Orgname=acme"], "The template has no parameter Orgname. It has "),
        (["STACK=unmade"], "Parameters without a value: OrgName, VpcId, Subnets. Say PARAMETERS="),
        (["TEMPLATE=cfn/provider.yaml", "STACK=unmade"], "has a Custom::GitHubRunnerPool"),
        (["PARAMETERS=FunctionName=other"], "There is no function arn:aws:lambda:"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_planned_is_said_in_a_sentence(reviewer: Reviewer, variables: list[str], told: str) -> None:
    refusal = reviewer.plan(*variables, refused=True)
    assert told in refusal
    assert "Traceback" not in refusal


def test_the_function_gives_the_same_plan_to_whoever_invokes_it(reviewer: Reviewer) -> None:
    asked = {"Plan": {"OrgName": "acme", "Cluster": "nowhere"}}
    answer = reviewer.world.client("lambda").invoke(
        FunctionName="github-runner-pool", Payload=json.dumps(asked).encode()
    )
    told = json.loads(answer["Payload"].read())["Plan"]
    assert told["Action"] == "Unknown"
    assert any(obstacle.startswith("LaunchTemplate is missing") for obstacle in told["Obstacles"])
