"""The listener of pools with `MaxRunners`: fifty of them in one invocation, handed over, killed, and two at once.

The pools have items in the function's table, scale sets and task definitions, and no stacks. Their tasks find no
instance, so that a task is one that was started and nothing else happens to it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.ecs_pool import IMAGE, EcsPool
from sandbox.function import FUNCTION_NAME
from sandbox.scale_set_client import Client, connect
from sandbox.scaling_items import ScaledPool, StateTable
from sandbox.world import Entry, World

N_POOLS = 50
N_POOLS_WITH_JOBS = 10
BUDGET_SECS = 4
ANY_ATTEMPT = 1_000_000
N_KILLS = 60


class Listeners:
    """Pools with scale sets, and the function that serves them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.table = StateTable(world).create()
        self.client: Client = connect(world)
        capacity = EcsPool(world).make_capacity(max_size=0)
        self.cluster, self.capacity_provider = capacity.cluster, capacity.name
        self.pools: list[ScaledPool] = []
        self.n_made = 0

    def add(self, count: int, max_runners: int = 4) -> list[ScaledPool]:
        """Pools with a scale set and a task definition each; the list in the table has these and no others."""
        self.pools = [self._made(max_runners) for _ in range(count)]
        for pool in self.pools:
            self.table.write(pool.key, pool.record(self.world.github.removeprefix("http://")))
        self.table.list_pools(self.pools)
        return self.pools

    def _made(self, max_runners: int) -> ScaledPool:
        self.n_made += 1
        name = f"ghr-many-Runners-{self.n_made:010x}"
        definition = self.world.client("ecs").register_task_definition(
            family=name,
            requiresCompatibilities=["EC2"],
            containerDefinitions=[{"name": "runner", "image": IMAGE, "memoryReservation": 500}],
        )
        revision = definition["taskDefinition"]["taskDefinitionArn"]
        return ScaledPool(name, self.client.made(name).id, self.cluster, self.capacity_provider, revision, max_runners)

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
        """Ends every listener, and leaves the next one no pool."""
        self.table.list_pools([])
        self.kill()

    def kill(self) -> None:
        """Ends every listener by SIGKILL, and its lease."""

        def are_killed() -> bool:
            self.world.post("/kill", kind="Listen", attempts=ANY_ATTEMPT)
            return not self.n_running

        self.world.wait_for("the end of the listeners", are_killed)
        self.table.expire_lease()

    @property
    def n_running(self) -> int:
        ends = ("ended", "killed", "failed")
        return len(self.invocations("began")) - sum(len(self.invocations(what)) for what in ends)

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
        "assignment_lapse": 3000,
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


@pytest.fixture
def pair(listeners: Listeners) -> Iterator[list[ScaledPool]]:
    """Two pools, after the end of every listener of others."""
    listeners.stop()
    listeners.world.reset_calls()
    listeners.configure(POLL_INTERVAL_SECS="0.5", INVOCATION_BUDGET_SECS="840")
    yield listeners.add(2)
    listeners.stop()


def serve(listeners: Listeners, pools: list[ScaledPool]) -> dict[str, str]:
    """Starts a listener, which polls for each of them: the sessions."""
    listeners.invoke()
    names = {pool.id for pool in pools}
    listeners.world.wait_for("a poll of every set", lambda: polled(listeners) == names)
    return listeners.sessions()


def test_hand_over_goes_on_with_the_sessions_and_loses_no_job(
    listeners: Listeners, pair: list[ScaledPool], capsys: pytest.CaptureFixture[str]
) -> None:
    world, before = listeners.world, listeners.sequence
    listeners.configure(INVOCATION_BUDGET_SECS=str(BUDGET_SECS))
    sessions = serve(listeners, pair)
    jobs: list[int] = []

    def is_handed_over_twice() -> bool:
        n_hand_overs = len(listeners.invocations("began", before)) - 1
        if len(jobs) <= n_hand_overs:
            jobs.append(world.queue_job([pair[0].id]))
        return n_hand_overs >= 2

    world.wait_for("two hand-overs", is_handed_over_twice)
    world.wait_for("their ends", lambda: len(listeners.invocations("ended", before)) >= 2)
    ended = [event["at"] for event in listeners.invocations("ended", before)]
    began = [event["at"] for event in listeners.invocations("began", before)]
    gaps = [next_began - end for end, next_began in zip(ended, began[1:], strict=False)]
    with capsys.disabled():
        print(f"\nfrom an invocation's end to the next one's start: {', '.join(f'{gap:.2f}' for gap in gaps)} s")
    assert max(gaps) < 1
    world.wait_for("a task for each job", lambda: listeners.tasks()[pair[0].id] >= len(jobs))
    world.wait_for("acknowledged messages", lambda: not listeners.scale_sets()[pair[0].id]["messages"])
    assert listeners.tasks()[pair[0].id] == len(jobs)
    assert listeners.sessions() == sessions
    opened = [event for event in world.events("scale set", before) if event["what"] == "session opened"]
    assert len(opened) == len(pair)
    assert [call for call in world.calls() if call["status"] == 409] == []


@pytest.mark.parametrize("operation", ["RunTask", "PutItem"])
def test_listener_killed_before_its_acknowledgement_starts_no_second_task(
    listeners: Listeners, pair: list[ScaledPool], operation: str
) -> None:
    """SIGKILL when the tasks are started and not written down, or when the start is written down and not made."""
    world, pool, began = listeners.world, pair[0], listeners.sequence
    sessions = serve(listeners, pair)
    about = pool.key if operation == "PutItem" else pool.id
    with world.faults(aws=[{"operation": operation, "about": about, "kill": "Listen", "times": 1}]):
        world.queue_job([pool.id])
        world.wait_for("the end of the listener", lambda: listeners.invocations("killed", began))
    assert listeners.scale_sets()[pool.id]["messages"]
    assert listeners.table.record(pool.key)["progress"]["pending_start"]
    assert listeners.tasks()[pool.id] == (1 if operation == "RunTask" else 0)
    listeners.table.expire_lease()
    assert serve(listeners, pair) == sessions
    world.wait_for("acknowledged messages", lambda: not listeners.scale_sets()[pool.id]["messages"])
    assert listeners.tasks()[pool.id] == 1
    runs = [call for call in world.calls(service="ecs") if call["operation"] == "RunTask"]
    assert len({call["request"]["clientToken"] for call in runs}) == 1
    assert len(runs) == (2 if operation == "RunTask" else 1)


@pytest.mark.usefixtures("pair")
def test_listener_killed_in_every_second_of_a_busy_minute_starts_one_task_for_each_job(
    listeners: Listeners, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL to a listener at work, each time a sixtieth of a second later after a job was queued.

    The next one begins at once, as if the lease had run out.
    """
    world = listeners.world
    [pool] = listeners.add(1, max_runners=N_KILLS)
    # One that is killed before it has written its session down keeps the others out until GitHub lets go of it.
    sessions = serve(listeners, [pool])
    listeners.kill()
    at_kill: Counter[str] = Counter()
    for number in range(N_KILLS):
        listeners.invoke()
        world.wait_for("the next listener", listeners.table.is_leased)
        before = listeners.tasks()[pool.id]
        world.queue_job([pool.id])
        kill_at = time.monotonic() + number / N_KILLS
        world.wait_for("the time of the kill", lambda: time.monotonic() >= kill_at)  # noqa: B023
        listeners.kill()
        progress = listeners.table.record(pool.key)["progress"]
        message = "left" if listeners.scale_sets()[pool.id]["messages"] else "gone"
        start = "pending" if progress["pending_start"] else "none"
        at_kill[f"message {message}, start {start}, {listeners.tasks()[pool.id] - before} new tasks"] += 1
    with capsys.disabled():
        print(f"\n{N_KILLS} kills of a listener at work: {dict(at_kill)}")
    assert serve(listeners, [pool]) == sessions
    world.wait_for("a task for each job", lambda: listeners.tasks()[pool.id] >= N_KILLS)
    world.wait_for("acknowledged messages", lambda: not listeners.scale_sets()[pool.id]["messages"])
    assert listeners.tasks()[pool.id] == N_KILLS


def test_of_two_listeners_one_goes_on_and_no_task_is_started_twice(
    listeners: Listeners, pair: list[ScaledPool]
) -> None:
    """The lease is taken from the first, which learns of it when it renews it, and at its next write before that."""
    world, began = listeners.world, listeners.sequence
    sessions = serve(listeners, pair)
    listeners.table.expire_lease()
    listeners.invoke()

    def polled_by_both() -> set[str]:
        events = world.events("scale set", began)
        return {event["scale_set"] for event in events if event["what"] == "polled twice at a time"}

    world.wait_for("polls of both listeners", lambda: polled_by_both() == {pool.id for pool in pair})
    for pool in pair:
        for _ in range(2):
            world.queue_job([pool.id])
    world.wait_for("the end of one", lambda: listeners.invocations("ended", began))
    world.wait_for("a task for each job", lambda: sum(listeners.tasks()[pool.id] for pool in pair) >= 4)
    assert [listeners.tasks()[pool.id] for pool in pair] == [2, 2]
    assert listeners.sessions() == sessions
    # Lambda may deliver the event of a listener again that another test has killed: it ends as well.
    world.wait_for("one listener at work", lambda: listeners.n_running == 1)
    assert listeners.table.is_leased()
