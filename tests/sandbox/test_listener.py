"""The listener of pools with `MaxRunners`: fifty of them in one invocation, handed over, killed, and two at once.

The pools have items in the function's table, scale sets and task definitions, and no stacks. Their tasks find no
instance, so that a task is one that was started and nothing else happens to it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.ecs_pool import IMAGE, EcsPool
from sandbox.function import FUNCTION_NAME
from sandbox.scale_set_client import Client, connect
from sandbox.scaling_items import LISTENER_KEY, ScaledPool, StateTable
from sandbox.world import Entry, World

N_POOLS = 50
N_POOLS_WITH_JOBS = 10
BUDGET_SECS = 4


class Listeners:
    """Pools with scale sets, and the function that serves them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.table = StateTable(world).create()
        self.client: Client = connect(world)
        capacity = EcsPool(world).make_capacity(max_size=0)
        self.cluster, self.capacity_provider = capacity.cluster, capacity.name
        self.pools: list[ScaledPool] = []

    def add(self, count: int) -> list[ScaledPool]:
        """Pools with a scale set and a task definition each; the list in the table has these and no others."""
        self.pools = [self._made(len(self.pools) + number) for number in range(count)]
        for pool in self.pools:
            self.table.write(pool.key, pool.record(self.world.github.removeprefix("http://")))
        self.table.list_pools(self.pools)
        return self.pools

    def _made(self, number: int) -> ScaledPool:
        name = f"ghr-many-Runners-{number:010x}"
        definition = self.world.client("ecs").register_task_definition(
            family=name,
            requiresCompatibilities=["EC2"],
            containerDefinitions=[{"name": "runner", "image": IMAGE, "memoryReservation": 500}],
        )
        revision = definition["taskDefinition"]["taskDefinitionArn"]
        return ScaledPool(name, self.client.made(name).id, self.cluster, self.capacity_provider, revision)

    def configure(self, **environment: str) -> None:
        """Changes variables of the function; its next invocation has them."""
        client = self.world.client("lambda")
        present = client.get_function_configuration(FunctionName=FUNCTION_NAME)["Environment"]["Variables"]
        client.update_function_configuration(
            FunctionName=FUNCTION_NAME, Environment={"Variables": {**present, **environment}}
        )

    def invoke(self) -> None:
        """`{"Listen": {}}`, as the tick and a listener before its end send it."""
        payload = json.dumps({"Listen": {}}).encode()
        self.world.client("lambda").invoke(FunctionName=FUNCTION_NAME, InvocationType="Event", Payload=payload)

    def invocations(self, what: str, after: int = 0) -> list[Entry]:
        """Those of listeners: `began`, `ended`, `killed`."""
        found = self.world.events("invocation", after)
        return [event for event in found if event["what"] == what and event["of"] == "Listen"]

    def scale_sets(self) -> dict[str, Entry]:
        """Those of the pools, by their names."""
        names = {pool.id for pool in self.pools}
        return {one["name"]: one for one in self.world.get("/scale-sets") if one["name"] in names}

    def sessions(self) -> dict[str, str]:
        return {name: one["session"]["id"] for name, one in self.scale_sets().items() if one["session"]}

    def tasks(self) -> Counter[str]:
        """How many have been started, by pool."""
        events = [event for event in self.world.events("task") if event["what"] == "PROVISIONING"]
        return Counter(str(event["definition"]).rsplit(":", 1)[0] for event in events)

    def stop(self) -> None:
        """Ends every listener: there is no pool any more."""
        self.table.list_pools([])
        self.table.expire_lease()

    @property
    def sequence(self) -> int:
        """The number of the newest event."""
        return max((event["seq"] for event in self.world.events()), default=0)


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    """In a world where a task waits for capacity, and a killed invocation for its retry, longer than a test takes."""
    settings: dict[str, Any] = {
        "time_scale": 0.3,
        "provisioning_limit": 600,
        "lambda_retry": 600,
        "session_silence": 600,
        "points_per_minute": 1_000_000,
        "hourly_requests": 1_000_000,
    }
    with World.start(tmp_path_factory.mktemp("listener"), **settings) as started:
        started.prepare()
        started.deploy_function(POLL_INTERVAL_SECS="5")
        yield Listeners(started)


def polled(listeners: Listeners) -> set[str]:
    return {name for name, one in listeners.scale_sets().items() if one["n_polls"]}


def test_listen_serves_fifty_pools_in_one_invocation(listeners: Listeners) -> None:
    """Each has a session and a poll, but for one whose session another client has, and one whose item is unreadable."""
    world, pools = listeners.world, listeners.add(N_POOLS)
    in_conflict, unreadable, *served = pools
    taken = listeners.client.call("POST", f"_apis/runtime/runnerscalesets/{in_conflict.scale_set}/sessions", {})
    assert taken.status == 200, taken
    listeners.table.write(unreadable.key, "of another version")
    with_jobs = served[:N_POOLS_WITH_JOBS]
    names = {pool.id for pool in served}
    listeners.invoke()
    world.wait_for("a poll of every set", lambda: polled(listeners) == names)
    assert set(listeners.sessions()) == names | {in_conflict.id}
    for pool in with_jobs:
        world.queue_job([pool.id])
    world.wait_for("tasks", lambda: listeners.tasks().total() >= N_POOLS_WITH_JOBS)
    expected = Counter(pool.id for pool in with_jobs)

    def are_acknowledged() -> bool:
        return all(not listeners.scale_sets()[pool.id]["messages"] for pool in with_jobs)

    world.wait_for("acknowledged messages", are_acknowledged)
    began = listeners.sequence
    listeners.invoke()
    world.wait_for("the end of a second listener", lambda: listeners.invocations("ended", began))
    assert listeners.tasks() == expected
    runs = [call for call in world.calls(service="ecs") if call["operation"] == "RunTask"]
    assert Counter(call["request"]["startedBy"] for call in runs) == expected
    assert len(listeners.invocations("began")) == 2
    assert polled(listeners) == names
    assert listeners.table.is_leased()
