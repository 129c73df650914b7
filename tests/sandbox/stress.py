"""The stress run: jobs without end, a stack that is updated and deleted meanwhile, invocations that are killed.

The traffic: as soon as a runner has no job, another one is on its way to it and begins after a pause of up to 3.5
seconds, for as long as the runner is there. A job takes 1 to 20 seconds at the sandbox's pace, which makes 0.3 to 6 of
ours. No runner is spared because it is about to leave: only GitHub's word, or the runner's end, keeps a job away. Now
and then GitHub calls the runners idle that work, and deletes them when asked; then only their logs keep them.

What lets a runner go in the end is that two of three pauses outlast the pool's `IdleConfirmation`, here one second. A
real queue that never leaves a gap of `IdleConfirmation`, a minute by default, holds long-lived runners until
`DrainTimeout`.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sandbox.chaos import Chaos
from sandbox.response_recorder import ResponseRecorder
from sandbox.scenario import IMAGE, OTHER_IMAGE, TEMPLATES, DeployedWorld, Pool
from sandbox.world import REPOSITORY, Entry, World

TIME_SCALE = 0.3
JOB_SECONDS = (1, 20)
PAUSE = (0.1, 3.5)
JOBS = 200
BUDGET_SECS = 5
# A kill in the middle of a registration costs its runner the minute after which the function takes such a claim over,
# or the time that its container waits for an answer (`registration_wait`). Neither is a failure of the pool.
ONLINE_TIMEOUT = 180
TIMEOUT = 240.0
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
FIGURES_FILE = TARGET / "stress.json"
LOG_FILE = TARGET / "stress.log"
DOCUMENTED_FIGURES_FILE = TARGET / "stress-figures.md"
THROTTLES = ("ThrottlingException", "Throttling", "TooManyRequestsException")
RUNNER_LOG_GROUP = "/ci/stress"
# One instance holds four runners, so that instances come and go as well.
PROPERTIES: dict[str, Any] = {
    "DesiredCount": 10,
    "MemoryReservation": 1900,
    "MaxInstances": 8,
    "OnlineTimeout": ONLINE_TIMEOUT,
    "Labels": ["stress"],
    "LogGroup": RUNNER_LOG_GROUP,
}
UPDATES: list[dict[str, Any]] = [
    {"Image": OTHER_IMAGE},
    {"DesiredCount": 14},
    {"DesiredCount": 8},
    {"Labels": ["stress", "late"]},
    {
        "launch_template": {"InstanceType": "m7i.large"},
        "Tags": [{"Key": "season", "Value": "autumn"}],
        "Image": IMAGE,
        "DesiredCount": 11,
    },
]


@dataclass(frozen=True)
class Figures:
    """What happened, in numbers."""

    jobs: int
    """Ran to their ends."""
    lost: int
    updates: int
    deletions: int
    kills: int
    """SIGKILLs to a process with an invocation under way."""
    continuations: int
    """Invocations that the function made of itself, to go on."""
    throttles: int
    responses: int
    seed: int
    seconds: int

    def __str__(self) -> str:
        return (
            f"{self.jobs} jobs ran to their ends and {self.lost} were lost, through {self.updates} updates, "
            f"{self.deletions} deletion, {self.kills} kills,\n"
            f"{self.continuations} continuations and {self.throttles} throttles, "
            f"with {self.responses} responses in {self.seconds} s (seed {self.seed})"
        )


@dataclass
class StressRun:
    """A finished run, with its world still there."""

    deployed_world: DeployedWorld
    pool: Pool
    figures: Figures
    log: str = field(repr=False)

    @property
    def world(self) -> World:
        return self.deployed_world.world


def run_stress(world: World, seed: int) -> StressRun:
    """Creates a stack, updates it five times and deletes it under load and faults."""
    TARGET.mkdir(parents=True, exist_ok=True)
    FIGURES_FILE.unlink(missing_ok=True)
    random = Random(seed)
    world.prepare()
    world.client("logs").create_log_group(logGroupName=RUNNER_LOG_GROUP)
    recorder = ResponseRecorder()
    token = world.deploy_provider(TEMPLATES / "provider.yaml", INVOCATION_BUDGET_SECS=str(BUDGET_SECS))
    deployed_world = DeployedWorld(world, token, recorder)
    began = time.monotonic()
    try:
        with Chaos(world, random):
            pool = deployed_world.start("stress", **PROPERTIES)
            pool.stack.settled(TIMEOUT).expect("CREATE_COMPLETE")
            seconds = [length * TIME_SCALE for length in JOB_SECONDS]
            world.post("/traffic", labels=[pool.id], seconds=seconds, pause=PAUSE, seed=random.random())
            for number, changes in enumerate(UPDATES):
                _wait_for_jobs(world, number * JOBS // len(UPDATES))
                pool.begin_update(**changes).settled(TIMEOUT).expect("UPDATE_COMPLETE")
            _wait_for_jobs(world, JOBS)
            pool.stack.delete().settled(TIMEOUT).expect("DELETE_COMPLETE")
        world.post("/traffic")
        figures = _figures(pool, seed, round(time.monotonic() - began))
    finally:
        recorder.close()
        log = "\n".join(deployed_world.log_lines())
        LOG_FILE.write_text(log)
    FIGURES_FILE.write_text(json.dumps(asdict(figures), indent=2) + "\n")
    return StressRun(deployed_world, pool, figures, log)


def _wait_for_jobs(world: World, count: int) -> None:
    """Spreads the requests over the jobs."""
    world.wait_for(f"{count} jobs", lambda: len(world.jobs("succeeded")) >= count, TIMEOUT)


def _figures(pool: Pool, seed: int, seconds: int) -> Figures:
    world, responded = pool.world, {response["request_id"]: response["request_type"] for response in pool.responses()}
    calls = world.calls(caller="function")
    return Figures(
        jobs=len(world.jobs("succeeded")),
        lost=len(world.jobs("lost")),
        updates=sum(kind == "Update" for kind in responded.values()),
        deletions=sum(kind == "Delete" for kind in responded.values()),
        kills=sum(event["what"] == "killed" for event in world.events("invocation")),
        continuations=sum(call["operation"] == "Invoke" and call["status"] == 202 for call in calls),
        throttles=sum(map(_is_throttle, calls)),
        responses=len(responded),
        seed=seed,
        seconds=seconds,
    )


def _is_throttle(call: Entry) -> bool:
    if call["service"] == "github":
        return call["status"] in (403, 429)
    return call["error"] in THROTTLES
