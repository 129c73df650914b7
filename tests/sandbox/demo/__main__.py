"""`make demo`: the whole life of a pool on a local AWS, shown as it happens.

The real binary is deployed with `cargo lambda deploy`, the stacks are those of `cfn/`. Exit status 0 means that every
stack ended as it should, and that at the end no runner, no resource and no lost job was left.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cfn.deploy.output import end_quietly
from sandbox.demo.leak_check import count_leaks
from sandbox.demo.messages import tail
from sandbox.demo.screen import Screen, Tone, counted, seconds
from sandbox.demo.timeline import Timeline
from sandbox.demo.wait_log import waits
from sandbox.function import build
from sandbox.stacks import Stack
from sandbox.world import PROVIDER_STACK, REPOSITORY, World

TEMPLATES = REPOSITORY / "cfn"
POOL_STACK = "runners"
JOBS_STACK = "jobs"
MAX_RUNNERS = 4
BURST = 6
POOL = "Runners"
LABEL = "default"
AMI_PARAMETER = "/demo/ami"
NEW_IMAGE = "myoung34/github-runner:ubuntu-jammy"
IDLE_CONFIRMATION = "4"
# A wait that is shorter is not worth a line.
SHORTEST_WAIT = 0.4
INTERRUPTED = 130
Entry = dict[str, Any]


class DemoError(Exception):
    """The product did not do what the demo promises."""


@dataclass
class Demo:
    """The parts, in order. Each explains what it will show, does it, and sums up."""

    world: World
    screen: Screen
    timeline: Timeline
    binary: Path
    stack: Stack | None = None
    jobs: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def run(self) -> None:
        self.provider()
        self.creation()
        self.work()
        self.update()
        self.nothing_to_do()
        self.deletion()
        self.jobs_from_zero()

    def provider(self) -> None:
        self.screen.section(
            "The function behind the resource type",
            "Once per account: cfn/provider.yaml makes the role and the log group, `cargo lambda deploy` brings the "
            "function, and the stack once more bounds how Lambda redelivers its events.",
        )
        self.timeline.stack_names.append(PROVIDER_STACK)
        template, environment = TEMPLATES / "provider.yaml", {"LOG_LEVEL": "info", "POLL_INTERVAL_SECS": "0.5"}
        self.timeline.show_during(lambda: self.world.deploy_provider(template, self.binary, None, **environment))

    def creation(self) -> None:
        self.screen.section(
            "A pool is created",
            "cfn/pool.yaml declares two runners. The stack is complete when both are online in GitHub, not when AWS "
            "says that something was started.",
        )
        given = {
            "OrgName": "acme",
            "GitHubUrl": self.world.github,
            "ImageId": AMI_PARAMETER,
            "IdleConfirmation": IDLE_CONFIRMATION,
            "OnlineTimeout": "120",
            "DrainTimeout": "300",
            **self.world.network(),
        }
        self.stack = self.world.stacks.create(POOL_STACK, TEMPLATES / "pool.yaml", given)
        self.timeline.stack_names.append(self.stack.id)
        self._settled("CREATE_COMPLETE")
        self._remark_waits()

    def work(self) -> None:
        self.screen.section(
            "Jobs arrive", f"Three jobs ask for the label `{LABEL}`, and there are two runners. One job is a long one."
        )
        self.queue("nightly-build", 30)
        self.queue("lint", 3)
        self.queue("unit-tests", 3)
        self.timeline.until("the short jobs", lambda: self._ended("lint", "unit-tests"))

    def update(self) -> None:
        self.screen.section(
            "An update, while a job runs",
            "The template now says another image and three runners. The new runners start before the old ones leave. "
            f"An old one goes when GitHub has called it idle for {IDLE_CONFIRMATION} s (a minute outside of this demo) "
            "and agrees to delete it. Until then it may still take a job; the one with the long job is waited for.",
        )
        old = {runner["name"] for runner in self.world.online_runners()}
        self._changed(Image=NEW_IMAGE, DesiredCount="3")
        self._meanwhile("new runners", lambda: len(self._online_beside(old)) == 3)
        self.queue("hotfix", 3)
        self._meanwhile("the other old runner's end", lambda: len(self.world.online_runners()) <= 4)
        self.queue("docs", 3)
        self._settled("UPDATE_COMPLETE")
        self._remark_waits()
        self._remark_long_job("nightly-build")
        left = [runner for runner in self.world.online_runners() if runner["name"] in old]
        new = counted(len(self._online_beside(old)), "new runner")
        self._found(f"Now {new} and {counted(len(left), 'old one')} are online.", good=not left)

    def nothing_to_do(self) -> None:
        self.screen.section(
            "An update that changes nothing",
            "Only a timeout of the template changes, so the pool is asked to update and finds everything as it should "
            "be. It reads once, and writes nothing.",
        )
        before = self.timeline.sequence
        self._changed(OnlineTimeout="110")
        self._settled("UPDATE_COMPLETE")
        calls = self.timeline.calls_since(before)
        writes = [call for call in calls if call["write"]]
        github = sum(call["service"] == "github" for call in calls)
        self.screen.gap()
        self._found(
            f"It cost {counted(len(calls) - github, 'call')} to AWS and {github} to GitHub, "
            f"with {counted(len(writes), 'write')} among them.",
            good=not writes,
        )

    def deletion(self) -> None:
        self.screen.section(
            "The stack is deleted, while a job runs",
            "The same care: idle runners go first, the busy one after its job. Then the pool takes down what it built. "
            "It responds when nothing is left.",
        )
        self.queue("last-release", 15)
        self.timeline.until("the job to run", lambda: self._job("last-release")["state"] == "running")
        self._pool_stack.delete()
        self._settled("DELETE_COMPLETE")
        self._remark_waits()
        self._remark_long_job("last-release")

    def jobs_from_zero(self) -> None:
        self.screen.section(
            "As many runners as jobs, from none",
            f"cfn/jobs.yaml declares a pool with at most {MAX_RUNNERS} runners, and at first there are none, and no "
            "instance. A listener reads GitHub's messages about its runner scale set, and starts a task for each job.",
        )
        given = {
            "OrgName": "acme",
            "GitHubUrl": self.world.github,
            "ImageId": AMI_PARAMETER,
            "MaxRunners": str(MAX_RUNNERS),
            "IdleConfirmation": IDLE_CONFIRMATION,
            "OnlineTimeout": "120",
            "DrainTimeout": "300",
            **self.world.network(),
        }
        self.stack = self.world.stacks.create(JOBS_STACK, TEMPLATES / "jobs.yaml", given)
        self.timeline.stack_names.append(self.stack.id)
        self._settled("CREATE_COMPLETE")
        burst = [f"job-{number}" for number in range(1, BURST + 1)]
        for name in burst:
            self.queue(name, 3)
        self.timeline.until("all jobs", lambda: self._ended(*burst), timeout=120)
        self.timeline.until("no runner and no instance", self._is_at_zero, timeout=120)
        succeeded = sum(self._job(name)["state"] == "succeeded" for name in burst)
        self._found(
            f"{succeeded} of {len(burst)} jobs succeeded, and the pool is at zero again.", good=succeeded == len(burst)
        )
        self._pool_stack.delete()
        self._settled("DELETE_COMPLETE")

    def _is_at_zero(self) -> bool:
        groups = self.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        return not self.world.online_runners() and not any(group["Instances"] for group in groups)

    # What the parts share.

    @property
    def _pool_stack(self) -> Stack:
        assert self.stack is not None
        return self.stack

    def queue(self, name: str, duration: float) -> None:
        self.jobs[name] = self.timeline.queue(name, LABEL, duration)

    def _job(self, name: str) -> Entry:
        return self.world.job(self.jobs[name])

    def _ended(self, *names: str) -> bool:
        return all(self._job(name)["state"] in ("succeeded", "lost") for name in names)

    def _online_beside(self, old: set[str]) -> list[Entry]:
        return [runner for runner in self.world.online_runners() if runner["name"] not in old]

    def _changed(self, **parameters: str) -> None:
        """Starts an update. The stack is in progress by the time that this returns."""
        self._pool_stack.update(**parameters)

    def _meanwhile(self, what: str, condition: Callable[[], bool]) -> None:
        """Waits for a moment of an update. If the end comes first, that has to be a good one."""
        self.timeline.until(what, lambda: condition() or "IN_PROGRESS" not in self._pool_stack.status, timeout=120)
        if not condition():
            self._settled("UPDATE_COMPLETE")

    def _found(self, text: str, good: bool) -> None:
        """A promise of the product, kept or not; the demo goes on either way."""
        self.screen.remark(text, Tone.PLAIN if good else Tone.BAD)
        if not good:
            self.problems.append(text)

    def _settled(self, expected: str) -> None:
        status = self.timeline.settle(self._pool_stack)
        if status != expected:
            raise DemoError(f"The stack {self._pool_stack.name} ended as {status}, and should have been {expected}.")

    def _remark_waits(self) -> None:
        """The last request, by the pool's own log."""
        response = [
            event for event in self.timeline.events if event["kind"] == "response" and event["what"] == "SUCCESS"
        ]
        long = [wait for wait in waits(self.world, response[-1]["request_id"]) if wait.seconds >= SHORTEST_WAIT]
        self.screen.gap()
        self.screen.remark("The pool's own log says for what it waited:")
        for wait in long:
            self.screen.row(f"{seconds(wait.seconds):>6}", wait.why, Tone.QUIET)

    def _remark_long_job(self, name: str) -> None:
        job = self._job(name)
        gone = [
            event["at"]
            for event in self.timeline.events
            if event["kind"] == "runner" and event["what"] == "deleted by request" and event["runner"] == job["runner"]
        ]
        if job["state"] != "succeeded" or not gone or gone[0] < job["ended_at"]:
            raise DemoError(f"The job {name} was not waited for: it is {job['state']} ({job['why_lost']}).")
        self.screen.remark(
            f"{name} succeeded at {self.screen.clock(job['ended_at'])}; "
            f"its runner {tail(job['runner'])} was deleted {seconds(gone[0] - job['ended_at'])} later."
        )


def prepared(world: World) -> World:
    """What people bring along: a token, a machine image."""
    world.prepare()
    world.client("ssm").put_parameter(Name=AMI_PARAMETER, Value="ami-12345678", Type="String")
    return world


def perform(world: World, screen: Screen, binary: Path) -> int:
    """The demo and its leak check; returns the exit status."""
    demo = Demo(world, screen, Timeline(prepared(world), screen), binary)
    try:
        demo.run()
    # What the sandbox's helpers raise when a stack or the deployment ends otherwise than wanted.
    except (DemoError, AssertionError, RuntimeError) as error:
        demo.timeline.show(everything=True)
        demo.problems.append(str(error))
        screen.gap()
        screen.remark(str(error), Tone.BAD)
        screen.remark("The demo ends here, so the pool may still be in place.")
    good = count_leaks(world, screen) and not demo.problems
    screen.gap()
    took = seconds(time.time() - screen.started)
    if good:
        screen.remark(f"All of it in {took}. Nothing was lost and nothing is left.", Tone.GOOD)
    else:
        (world.folder / "function.log").write_text("\n".join(world.function_logs()))
        screen.remark(f"Something went wrong. The logs are in {world.folder}.", Tone.BAD)
    return 0 if good else 1


def in_a_world(screen: Screen, binary: Path) -> int:
    """Starts a world and stops it, whatever happens. Its logs are kept after a failure."""
    screen.started = time.time()
    world = World.start(Path(tempfile.mkdtemp(prefix="runner-pool-demo-")))
    keep = False
    try:
        status = perform(world, screen, binary)
        keep = status != 0
        return status
    finally:
        if keep:
            world.stop()
        else:
            world.discard()


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A reason in a stack event may hold what the terminal cannot show.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    screen = Screen()
    try:
        binary = build()
    except subprocess.CalledProcessError as error:
        screen.remark(f"The function could not be built: {error}", Tone.BAD)
        return 1
    screen.title(
        "Custom::GitHubRunnerPool, from creation to deletion",
        "A local AWS with a CloudFormation engine, a local GitHub with runners and jobs, and the real function. "
        "Instances, images and GitHub are quicker here than in life; the order of things is the same.",
    )
    try:
        return in_a_world(screen, binary)
    except KeyboardInterrupt:
        screen.gap()
        screen.remark("Interrupted. The local AWS is stopped.", Tone.WARN)
        return INTERRUPTED


if __name__ == "__main__":
    end_quietly(main)
