"""`python -m sandbox.dashboard`: three hours of pools in a world whose minutes are short; prints the recording as JSON.

Jobs run in a pool with `DesiredCount`, which is updated four times, and in two with `MaxRunners`. Two of the updates
meet running jobs, one fails, and a person stops a task.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cfn.deploy.output import end_quietly
from sandbox.dashboard.recording import Recording
from sandbox.function import FUNCTION_NAME, build
from sandbox.stacks import Stack
from sandbox.world import REPOSITORY, World

TEMPLATES = REPOSITORY / "cfn"
AMI_PARAMETER = "/dashboard/ami"
MINUTE_SECS = 1.5
MINUTES = 180
# A listener writes its metrics when its invocation begins and then once a minute, which is not shortened here.
SETTINGS = {"LOG_LEVEL": "info", "POLL_INTERVAL_SECS": "0.5", "INVOCATION_BUDGET_SECS": "3"}
# As on AWS: the function's two minutes, in which a task may not be listed yet, are not shortened either.
STOPPED_TASK_KEPT_SECS = 3600
OTHER_IMAGE = "myoung34/github-runner:ubuntu-jammy"
FIXED, BUILDS, TESTS = "runners", "builds", "tests"


class Script:
    """What happens to the pools, by the minute."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stacks: dict[str, Stack] = {}
        self.began = time.time()

    def run(self) -> None:
        self.create(FIXED, "pool.yaml", DesiredCount="3")
        self.create(BUILDS, "jobs.yaml", MaxRunners="6")
        self.create(TESTS, "jobs.yaml", MaxRunners="4", MinRunners="1")
        for stack in self.stacks.values():
            stack.settled().expect("CREATE_COMPLETE")
        actions: list[tuple[int, Callable[[], object]]] = [
            *((minute, self.inventory) for minute in (55, 115, 175)),
            *((minute, lambda n=n: self.queue(BUILDS, n, 12)) for minute, n in ((20, 3), (55, 8), (90, 5), (140, 7))),
            *((minute, lambda n=n: self.queue(TESTS, n, 5)) for minute, n in ((30, 4), (62, 2), (105, 9), (150, 3))),
            *((minute, lambda: self.queue(FIXED, 2, 8)) for minute in range(18, 170, 14)),
            (33, lambda: self.update(Image=OTHER_IMAGE)),
            (70, self.stop_a_task),
            (76, lambda: self.update(DesiredCount="4")),
            (80, lambda: self.create("trial", "pool.yaml", DesiredCount="1")),
            (100, lambda: self.update(RunnerGroup="no-such-group")),
            (112, lambda: self.stacks["trial"].delete()),
            (124, lambda: self.queue(FIXED, 4, 40)),
            (127, lambda: self.update(Image="myoung34/github-runner:ubuntu-noble", DrainTimeout="10", RunnerGroup="")),
            (MINUTES, lambda: None),
        ]
        for minute, act in sorted(actions, key=lambda action: action[0]):
            time.sleep(max(0.0, self.began + minute * MINUTE_SECS - time.time()))
            act()

    def create(self, name: str, template: str, **parameters: str) -> None:
        given = {"OrgName": "acme", "GitHubUrl": self.world.github, "ImageId": AMI_PARAMETER, "Labels": name}
        given |= {"IdleConfirmation": "4", "OnlineTimeout": "120", "DrainTimeout": "300", **self.world.network()}
        self.stacks[name] = self.world.stacks.create(name, TEMPLATES / template, given | parameters)

    def update(self, **parameters: str) -> None:
        self.stacks[FIXED].settled()
        self.stacks[FIXED].update(**parameters)

    def queue(self, label: str, count: int, minutes: int) -> None:
        for _ in range(count):
            self.world.queue_job([label], minutes * MINUTE_SECS)

    def stop_a_task(self) -> None:
        """As a person may do it; the runner's registration is left over."""
        ecs, cluster = self.world.client("ecs"), self.stacks[FIXED].physical_id("Cluster")
        ecs.stop_task(cluster=cluster, task=ecs.list_tasks(cluster=cluster)["taskArns"][0])

    def inventory(self) -> None:
        """As the minute rule has it made once an hour."""
        self.world.client("lambda").invoke(FunctionName=FUNCTION_NAME, Payload=json.dumps({"Inventory": {}}))


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="runner-pool-dashboard-"))
    world = World.start(folder, minute=MINUTE_SECS, stopped_task_kept=STOPPED_TASK_KEPT_SECS)
    try:
        world.prepare()
        world.client("ssm").put_parameter(Name=AMI_PARAMETER, Value="ami-12345678", Type="String")
        world.deploy_provider(TEMPLATES / "provider.yaml", build(), None, **SETTINGS)
        script = Script(world)
        script.run()
        recording = Recording.of(world, script.began, MINUTE_SECS, MINUTES)
    finally:
        world.discard()
    json.dump(recording.to_json, sys.stdout)


if __name__ == "__main__":
    end_quietly(main)
