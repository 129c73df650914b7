"""Invalid capacity and EC2 names are in the failure reason's first sentence, before anything is built."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from sandbox.scenario import BROKEN_IMAGE, LOGICAL_ID, OTHER_IMAGE, DeployedWorld, Entry, Pool, Properties

# Shorter than the default, and still long enough to notice a check that waits.
ONLINE_TIMEOUT = 300
# From the request to its response. Most of it is the local AWS's own time.
AT_ONCE = 20.0
NOT_THERE = "lt-0123456789abcdef0"


@dataclass
class Mistake:
    """Properties that cannot work, and how the reason for that begins."""

    properties: Properties
    reason: str
    launch_template: Properties | None = None


# An instance of t3.large has 8 GiB here, of which it registers 7,700 MiB.
MISTAKES = {
    "memory": Mistake(
        {"MemoryReservation": 30000},
        "MemoryReservation: 30000 MiB is more than an instance of t3.large has (8,192 MiB). Lower it, or take a larger",
    ),
    "cpu": Mistake({"Cpu": 4096}, "Cpu: 4096 units with 500 MiB of memory are more than an instance of t3.large has"),
    "gpus": Mistake(
        {"Gpus": 1}, "Gpus: 1 is more than an instance of t3.large has (0). Take an InstanceType with GPUs"
    ),
    "count": Mistake(
        {"MemoryReservation": 3500, "DesiredCount": 3, "MaxInstances": 1},
        "MaxInstances: 1 instance has room for 2 of the 3 runners: 2 with 3500 MiB each",
    ),
    "type": Mistake(
        {}, "LaunchTemplate: EC2 offers no x99.large in this Region", launch_template={"InstanceType": "x99.large"}
    ),
    "types": Mistake({"InstanceTypes": ["m7i.lagre"]}, "InstanceTypes: EC2 offers no m7i.lagre in this Region"),
    "subnets": Mistake({"Subnets": ["subnet-0123456789abcdef0"]}, "Subnets: there is no subnet-0123456789abcdef0"),
    "image id": Mistake({}, "LaunchTemplate: version 1 of lt-", launch_template={"ImageId": None}),
    "template": Mistake(
        {"LaunchTemplate": {"LaunchTemplateName": "nope", "Version": "1"}},
        "LaunchTemplate: there is no launch template nope in this Region and account.",
    ),
    "template id": Mistake(
        {"LaunchTemplate": {"LaunchTemplateId": NOT_THERE, "Version": "1"}},
        f"LaunchTemplate: there is no launch template {NOT_THERE} in this Region and account.",
    ),
}


@pytest.fixture(scope="module")
def invalid_pools(deployed_world: DeployedWorld) -> dict[str, Pool]:
    """All of them at the same time."""
    return {
        name: deployed_world.start(
            f"mistake{name.replace(' ', '')}",
            it.launch_template,
            OnlineTimeout=ONLINE_TIMEOUT,
            **it.properties,
        )
        for name, it in MISTAKES.items()
    }


def took(pool: Pool, kind: str) -> float:
    """Seconds from the newest request of this kind to its response."""
    asked = [e for e in pool.world.events("request") if e["stack_id"] == pool.stack.id and e["what"] == kind][-1]
    responded = next(e for e in pool.responses() if e["request_id"] == asked["request_id"])
    return float(responded["at"]) - float(asked["at"])


def writes_about(pool: Pool, pool_id: str, after: int = 0) -> list[Entry]:
    return [
        call
        for call in pool.world.calls(writes=True)
        if call["seq"] > after and call["service"] in ("ecs", "autoscaling") and pool_id in str(call.get("request"))
    ]


@pytest.mark.parametrize("name", list(MISTAKES))
def test_invalid_capacity_is_named_by_property_before_anything_is_built(
    invalid_pools: dict[str, Pool], name: str
) -> None:
    pool = invalid_pools[name]
    reason = pool.failure_reason()
    seconds = took(pool, "Create")
    print(f"{name}: after {seconds:.1f} s: {reason}")
    assert f"Message returned: {MISTAKES[name].reason}" in reason
    assert seconds < AT_ONCE
    assert writes_about(pool, pool.responses()[0]["physical_id"]) == []
    assert pool.leftovers() == []


@pytest.fixture(scope="module")
def small(deployed_world: DeployedWorld) -> Pool:
    """Two runners, which fill the one instance that there may be."""
    return deployed_world.start(
        "small", MemoryReservation=3500, DesiredCount=2, MaxInstances=1, OnlineTimeout=ONLINE_TIMEOUT
    ).up()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (
            {"MemoryReservation": 30000},
            "MemoryReservation: 30000 MiB is more than an instance of t3.large registers (7,700 MiB).",
        ),
        ({"Image": OTHER_IMAGE}, "MaxInstances: 1 instance has no room for a new runner in addition to the 2 there"),
        ({"DesiredCount": 3}, "MaxInstances: 1 instance has room for 2 of the 3 runners"),
    ],
    ids=["memory", "no room", "count"],
)
def test_invalid_capacity_update_fails_at_once_and_rolls_back_without_touching_runners(
    small: Pool, changes: Properties, wanted: str
) -> None:
    before, kept = small.runner_ids(), dict(small.properties)
    began = time.monotonic()
    small.begin_update(**changes).settled().expect("UPDATE_ROLLBACK_COMPLETE")
    seconds, small.properties = time.monotonic() - began, kept
    reason = next(text for text in small.stack.reasons(LOGICAL_ID) if f"Message returned: {wanted}" in text)
    print(f"after {seconds:.1f} s, rollback included: {reason}")
    assert "The 2 old runners still accept jobs." in reason
    assert seconds < 2 * AT_ONCE
    assert small.runner_ids() == before


def test_max_instances_raised_in_the_same_update_is_enough(small: Pool) -> None:
    small.update(Image=OTHER_IMAGE, DesiredCount=1)
    assert len(small.online()) == 1
    small.delete()
    assert small.leftovers() == []


def test_failure_reason_ignores_tasks_stopped_before_the_update(deployed_world: DeployedWorld) -> None:
    """Runners that the pool retired a moment ago end with exit code 0, and say nothing about the next failure."""
    pool = deployed_world.start("retired", DesiredCount=2).up()
    pool.update(Image=OTHER_IMAGE)
    pool.begin_update(Image=BROKEN_IMAGE).settled().expect("UPDATE_ROLLBACK_COMPLETE")
    reason = next(text for text in pool.stack.reasons(LOGICAL_ID) if "came online" in text)
    print(reason)
    assert f"Message returned: Image: {BROKEN_IMAGE} failed, " in reason
    assert "CannotPullContainerError" in reason
    assert "exit code 0" not in reason
    assert "0 of 2 runners came online. The 2 old runners still accept jobs." in reason
    pool.delete()
    assert pool.leftovers() == []
