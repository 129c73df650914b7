"""How jobs come to scale sets in the local GitHub, what the sets hear of them, and GitHub's oddities.

The service without jobs is in test_scale_sets.py.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.demand_figures import demand_figures
from sandbox.ecs_pool import EcsPool
from sandbox.registrations import TABLE, Mailbox
from sandbox.scale_set_client import AGENTS, SETS, Client, Listener, connect
from sandbox.world import Entry, World

LAPSE_SECS = 300
WEEK_SECS = 7 * 24 * 3600
NOTHING = dict.fromkeys(
    (
        "totalAvailableJobs",
        "totalAcquiredJobs",
        "totalAssignedJobs",
        "totalRunningJobs",
        "totalRegisteredRunners",
        "totalBusyRunners",
        "totalIdleRunners",
    ),
    0,
)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which a poll without a message ends soon. Its sets are as patient as GitHub's, and are made older."""
    pace: dict[str, Any] = {
        "time_scale": 0.3,
        "message_wait": 0.5,
        "session_silence": 10_000,
        "queue_token_life": 10_000,
        "assignment_lapse": LAPSE_SECS / 0.3,
        "scale_set_kept": WEEK_SECS / 0.3,
    }
    with World.start(tmp_path_factory.mktemp("scale-set-jobs"), **pace) as started:
        started.prepare()
        yield started


@pytest.fixture(scope="module")
def client(world: World) -> Client:
    return connect(world)


@pytest.fixture
def listener(client: Client) -> Listener:
    """Of a set that has announced a capacity of 10."""
    made = client.made(f"jobs-{next(_numbers)}")
    assert made.open().status == 200
    assert made.poll().status == 202
    return made


def statistics(**counts: int) -> dict[str, int]:
    return {**NOTHING, **counts}


def assigned(listener: Listener) -> int:
    return int(listener.state()["statistics"]["totalAssignedJobs"])


def items(listener: Listener, members: tuple[str, ...], capacity: int = 10) -> list[Entry]:
    """These members of all items that there are, acknowledged."""
    found: list[Entry] = []
    while (message := listener.take(capacity)) is not None:
        found += [{name: item[name] for name in members if name in item} for item in message["items"]]
    return found


def kinds(listener: Listener) -> list[str]:
    return [item["messageType"] for item in items(listener, ("messageType",))]


def test_job_is_assigned_started_and_completed(world: World, listener: Listener) -> None:
    """https://github.com/actions/scaleset/blob/main/types.go"""
    job = world.queue_job([listener.name], seconds=2)
    message, item = listener.until("JobAssigned", job)
    # The job is assigned without being acquired, so it has no number to acquire it by.
    assert (item["runnerRequestId"], item["requestLabels"]) == (0, [listener.name])
    assert message["statistics"] == statistics(totalAssignedJobs=1)
    number = listener.runner(f"{listener.name}-runner")
    message, item = listener.until("JobStarted", job)
    assert (item["runnerId"], item["runnerName"]) == (number, f"{listener.name}-runner")
    running = {"totalAssignedJobs": 1, "totalRunningJobs": 1}
    assert message["statistics"] == statistics(**running, totalRegisteredRunners=1, totalBusyRunners=1)
    message, item = listener.until("JobCompleted", job)
    assert (item["result"], item["runnerId"]) == ("succeeded", number)
    assert world.job(job)["state"] == "succeeded"
    # The runner was for one job.
    world.wait_for("its end", lambda: listener.state()["runners"] == [])
    assert listener.client.call("GET", f"{SETS}/{listener.id}").body["statistics"] is None


def test_job_needs_all_of_its_labels_in_the_set(world: World, client: Client) -> None:
    listener = client.made(f"jobs-{next(_numbers)}", "gpu", "Large")
    listener.open()
    listener.poll()
    matching = world.queue_job(["LARGE", listener.name])
    other = world.queue_job(["gpu", listener.name, "windows"])
    listener.until("JobAssigned", matching)
    assert [listener.phase(job) for job in (matching, other)] == ["assigned", None]
    assert world.job(other)["scale_set"] is None


def test_runner_of_no_set_does_not_take_an_assigned_job(world: World, listener: Listener) -> None:
    job = world.queue_job([listener.name], seconds=0.3)
    listener.until("JobAssigned", job)
    other = listener.client.made(f"jobs-{next(_numbers)}")
    other.runner(f"{other.name}-runner")
    listener.runner(f"{listener.name}-runner")
    listener.until("JobCompleted", job)
    assert world.job(job)["runner"] == f"{listener.name}-runner"


def test_several_jobs_come_in_one_message_of_at_most_fifty(world: World, listener: Listener) -> None:
    jobs = [world.queue_job([listener.name]) for _ in range(60)]
    items: list[str] = []
    sizes: list[int] = []

    def all_assigned() -> bool:
        message = listener.take(capacity=100)
        if message is not None:
            sizes.append(len(message["items"]))
            items.extend(item["jobId"] for item in message["items"])
        return len(items) == len(jobs)

    world.wait_for("all assigned", all_assigned)
    assert len(set(items)) == len(jobs)
    assert max(sizes) <= 50


def test_message_without_items_when_a_runner_registers_connects_or_leaves(listener: Listener) -> None:
    name = f"{listener.name}-runner"

    def next_statistics() -> dict[str, int]:
        message = listener.world.wait_for("a message", listener.take)
        assert (message["body"], message["items"]) == ("", [])
        return dict(message["statistics"])

    number = listener.generate(name).body["runner"]["id"]
    assert next_statistics() == statistics(totalRegisteredRunners=1)
    listener.world.post("/scale-sets/runners", name=name)
    assert next_statistics() == statistics(totalRegisteredRunners=1, totalIdleRunners=1)
    listener.client.call("DELETE", f"_apis/distributedtask/pools/0/agents/{number}")
    assert next_statistics() == NOTHING


def test_any_idle_runner_of_the_set_takes_a_job_so_that_jobs_cross(world: World, listener: Listener) -> None:
    """The runner that was made for the second job is there first."""
    first = world.queue_job([listener.name], seconds=0.5)
    listener.until("JobAssigned", first)
    second = world.queue_job([listener.name], seconds=0.5)
    listener.until("JobAssigned", second)
    for_first = f"{listener.name}-for-first"
    listener.generate(for_first)
    listener.runner(f"{listener.name}-for-second")
    listener.until("JobStarted", first)
    world.post("/scale-sets/runners", name=for_first)
    listener.until("JobCompleted", second)
    assert world.job(first)["runner"] == f"{listener.name}-for-second"
    assert world.job(second)["runner"] == for_first


def test_of_several_idle_runners_the_oldest_takes_the_job(world: World, listener: Listener) -> None:
    for what in ("older", "younger"):
        listener.runner(f"{listener.name}-{what}")
    job = world.queue_job([listener.name], seconds=0.3)
    listener.until("JobCompleted", job)
    assert world.job(job)["runner"] == f"{listener.name}-older"


# Capacity.


def test_jobs_beyond_the_announced_capacity_wait(world: World, listener: Listener) -> None:
    listener.poll(capacity=2)
    jobs = [world.queue_job([listener.name], seconds=0.3) for _ in range(3)]
    listener.until("JobAssigned", jobs[1], capacity=2)
    assert [listener.phase(job) for job in jobs] == ["assigned", "assigned", "waiting"]
    listener.runner(f"{listener.name}-runner")
    listener.until("JobCompleted", jobs[0], capacity=2)
    world.wait_for("room", lambda: listener.phase(jobs[2]) == "assigned")


def test_larger_capacity_takes_waiting_jobs(world: World, listener: Listener) -> None:
    listener.poll(capacity=1)
    jobs = [world.queue_job([listener.name]) for _ in range(3)]
    world.wait_for("two that wait", lambda: [listener.phase(job) for job in jobs][1:] == ["waiting"] * 2)
    listener.until("JobAssigned", jobs[2], capacity=3)
    assert assigned(listener) == 3


def test_job_queued_while_no_capacity_is_announced_is_excluded_for_good(world: World, listener: Listener) -> None:
    """https://github.com/rhobuild/runpool/blob/e7dd943/docs/adrs/2026-08-11-advertised-capacity.md"""
    listener.poll(capacity=0)
    job = world.queue_job([listener.name], seconds=0.3)
    world.wait_for("the exclusion", lambda: listener.phase(job) == "excluded")
    listener.runner(f"{listener.name}-runner")
    assert kinds(listener) == []
    listener.close()
    listener.open()
    assert kinds(listener) == []
    assert world.job(job)["state"] == "queued"
    # One that is queued again, as another, is assigned.
    again = world.queue_job([listener.name], seconds=0.3)
    listener.until("JobCompleted", again)
    assert (world.job(again)["state"], world.job(job)["state"]) == ("succeeded", "queued")


def test_capacity_below_what_the_set_has_excludes_jobs(world: World, listener: Listener) -> None:
    """What a listener gets that announces how many more it could take."""
    early = [world.queue_job([listener.name]) for _ in range(3)]
    listener.until("JobAssigned", early[2])
    listener.poll(capacity=2)
    late = world.queue_job([listener.name])
    world.wait_for("the exclusion", lambda: listener.phase(late) == "excluded")
    assert kinds(listener) == []
    assert [listener.phase(job) for job in early] == ["assigned"] * 3


def test_jobs_wait_for_the_first_poll_of_a_session(world: World, client: Client) -> None:
    name = f"jobs-{next(_numbers)}"
    early = world.queue_job([name])
    listener = client.made(name)
    listener.open()
    late = world.queue_job([name])
    # By the time that another set has its job, this one's have been looked at.
    other = client.made(f"jobs-{next(_numbers)}")
    other.open()
    other.poll()
    other.until("JobAssigned", world.queue_job([other.name]))
    assert listener.state()["jobs"] == {}
    listener.until("JobAssigned", late)
    assert listener.phase(early) == "assigned"


# Acquisition.


def test_available_job_is_assigned_once_it_is_acquired(world: World, listener: Listener) -> None:
    """https://github.com/actions/scaleset/blob/main/listener/listener.go"""
    with world.faults(scale_set_jobs="available"):
        job = world.queue_job([listener.name], seconds=0.3)
        message, item = listener.until("JobAvailable", job)
    assert message["statistics"] == statistics(totalAvailableJobs=1)
    listener.runner(f"{listener.name}-runner")
    assert kinds(listener) == []
    number = item["runnerRequestId"]
    assert number > 0
    # The administrator's token is the wrong one.
    assert listener.acquire([number], token=listener.client.token).status == 401
    acquired = listener.acquire([number, number + 1])
    assert (acquired.status, acquired.body) == (200, {"count": 1, "value": [number]})
    _, item = listener.until("JobAssigned", job)
    assert item["runnerRequestId"] == number
    listener.until("JobCompleted", job)
    assert listener.acquire([number]).body == {"count": 0, "value": []}


# Ends.


def test_cancelled_jobs_are_completed(world: World, listener: Listener) -> None:
    """One that runs and one that waits for a runner."""
    running, waiting = (world.queue_job([listener.name], seconds=60) for _ in range(2))
    number = listener.runner(f"{listener.name}-runner")
    listener.until("JobStarted", running)
    for job in (waiting, running):
        world.post("/jobs/cancel", id=job)
        _, item = listener.until("JobCompleted", job)
        assert item["result"] == "canceled"
        assert item["runnerId"] == (number if job == running else 0)
        assert world.job(job)["state"] == "cancelled"
    assert assigned(listener) == 0


def test_completion_may_be_heard_of_late(world: World, listener: Listener) -> None:
    job = world.queue_job([listener.name], seconds=0.2)
    listener.runner(f"{listener.name}-runner")
    with world.faults(completion_lag=60):
        listener.until("JobStarted", job)
        world.wait_for("its end", lambda: world.job(job)["state"] == "succeeded")
        world.wait_for("the runner's end", lambda: listener.state()["runners"] == [])
        assert kinds(listener) == []
        running = {"totalAssignedJobs": 1, "totalRunningJobs": 1}
        assert listener.state()["statistics"] == statistics(**running)
    listener.until("JobCompleted", job)
    assert assigned(listener) == 0


def test_assignment_lapses_three_times_and_comes_again_for_an_idle_runner(world: World, listener: Listener) -> None:
    """https://github.com/actions/scaleset#job-reassignment and https://github.com/pytorch/ci-infra/issues/900"""
    job = world.queue_job([listener.name], seconds=0.3)
    lapsed = [{"messageType": "JobCompleted", "result": "canceled", "runnerId": 0, "runnerName": ""}]
    again: list[Entry] = [{"messageType": "JobAssigned"}]
    expected: list[Entry] = [*again]
    for n_lapses in (1, 2, 3):
        world.wait_for("the assignment", lambda: listener.phase(job) == "assigned")
        world.post("/scale-sets/age", name=listener.name, seconds=LAPSE_SECS)
        expected += lapsed + (again if n_lapses < 3 else [])
        world.wait_for("the lapse", lambda n=n_lapses: lapses(world, job) == n)
    assert items(listener, ("messageType", "result", "runnerId", "runnerName")) == expected
    # It is not counted any more, and no message is about it.
    assert (listener.phase(job), assigned(listener)) == ("lapsed", 0)
    listener.runner(f"{listener.name}-runner")
    listener.until("JobAssigned", job)
    listener.until("JobCompleted", job)
    assert world.job(job)["state"] == "succeeded"


def lapses(world: World, job: int) -> int:
    return sum(e["what"] == "assignment lapsed" and e["job"] == job for e in world.events("scale set"))


def test_statistics_may_lag(world: World, listener: Listener) -> None:
    with world.faults(statistics_lag=60):
        message, _ = listener.until("JobAssigned", world.queue_job([listener.name]))
        assert message["statistics"] == NOTHING
        listener.runner(f"{listener.name}-runner")
        message, _ = listener.until("JobStarted")
        assert message["statistics"] == NOTHING
    assert assigned(listener) == 1


def test_statistics_beside_an_assignment_may_be_zero(world: World, listener: Listener) -> None:
    """https://github.com/actions/actions-runner-controller/issues/3204"""
    with world.faults(scale_set_statistics="zero"):
        message, _ = listener.until("JobAssigned", world.queue_job([listener.name]))
        assert message["statistics"] == NOTHING
        listener.runner(f"{listener.name}-runner")
        message, _ = listener.until("JobStarted")
        assert message["statistics"]["totalAssignedJobs"] == 1


def test_unannounced_job_comes_when_a_runner_is_idle(world: World, listener: Listener) -> None:
    """https://github.com/pytorch/ci-infra/issues/900"""
    job = int(world.post("/jobs", labels=[listener.name], seconds=0.3, unannounced=True)["id"])
    world.wait_for("the set to have it", lambda: listener.phase(job) == "lapsed")
    assert kinds(listener) == []
    assert assigned(listener) == 0
    listener.runner(f"{listener.name}-runner")
    listener.until("JobAssigned", job)
    listener.until("JobCompleted", job)
    assert world.job(job)["state"] == "succeeded"


# The end of sets.


def test_set_is_not_deleted_while_a_job_runs_in_it(world: World, listener: Listener) -> None:
    """https://github.com/actions/actions-runner-controller/blob/master/docs/adrs/2022-10-27-runnerscaleset-lifetime.md"""
    job = world.queue_job([listener.name], seconds=60)
    listener.runner(f"{listener.name}-runner")
    listener.until("JobStarted", job)
    refused = listener.client.call("DELETE", listener.path)
    assert (refused.status, refused.error) == (400, "JobStillRunningException")
    world.post("/jobs/cancel", id=job)
    listener.until("JobCompleted", job)
    assert listener.client.call("DELETE", listener.path).status == 204


def test_assigned_jobs_of_a_deleted_set_go_to_the_next_one(world: World, listener: Listener) -> None:
    job = world.queue_job([listener.name], seconds=0.3)
    listener.until("JobAssigned", job)
    assert listener.client.call("DELETE", listener.path).status == 204
    assert (world.job(job)["state"], world.job(job)["scale_set"]) == ("queued", None)
    successor = listener.client.made(listener.name)
    successor.open()
    successor.until("JobAssigned", job)
    successor.runner(f"{listener.name}-runner")
    successor.until("JobCompleted", job)


def test_set_that_nobody_polls_for_a_week_is_deleted(world: World, listener: Listener) -> None:
    """https://github.com/actions/actions-runner-controller/issues/3935"""
    other = listener.client.made(f"jobs-{next(_numbers)}")
    job = world.queue_job([listener.name])
    listener.until("JobAssigned", job)
    listener.close()
    world.post("/scale-sets/age", name=listener.name, seconds=WEEK_SECS - 60)
    world.post("/scale-sets/age", name=other.name, seconds=WEEK_SECS)

    def names() -> list[str]:
        return [one["name"] for one in world.get("/scale-sets")]

    world.wait_for("the other's end", lambda: other.name not in names())
    assert listener.name in names()
    world.post("/scale-sets/age", name=listener.name, seconds=60)
    world.wait_for("its end", lambda: listener.name not in names())
    assert listener.open().status == 404
    assert world.job(job)["state"] == "queued"


# With containers.


@pytest.fixture(scope="module")
def mailbox(world: World) -> Iterator[Mailbox]:
    made = Mailbox(world)
    yield made
    made.delete()


def start(pool: EcsPool, mailbox: Mailbox, listener: Listener, name: str) -> str:
    """A standalone task whose container becomes this runner of the set: its ARN."""
    definition = pool.define_asking(TABLE, mailbox.runner_role)
    strategy = [{"capacityProvider": pool.name, "weight": 1}]
    asked = {"cluster": pool.cluster, "taskDefinition": definition, "capacityProviderStrategy": strategy}
    task = str(pool.ecs.run_task(**asked)["tasks"][0]["taskArn"])
    encoded = listener.generate(name, f"/_work/{name}").body["encodedJITConfig"]
    files = json.loads(base64.b64decode(encoded))
    mailbox.answer(mailbox.request(task), kind="jit", name=name, workdir=f"/_work/{name}", files=files)
    return task


def last_status(pool: EcsPool, task: str) -> str:
    return str(pool.ecs.describe_tasks(cluster=pool.cluster, tasks=[task])["tasks"][0]["lastStatus"])


def test_container_of_a_standalone_task_runs_one_job_of_the_set(
    world: World, pool: EcsPool, mailbox: Mailbox, listener: Listener
) -> None:
    pool.make_capacity()
    job = world.queue_job([listener.name], seconds=0.5)
    listener.until("JobAssigned", job)
    task = start(pool, mailbox, listener, f"{pool.name}-runner")
    _, item = listener.until("JobStarted", job)
    assert item["runnerName"] == f"{pool.name}-runner"
    listener.until("JobCompleted", job)
    world.wait_for("its end", lambda: last_status(pool, task) == "STOPPED")
    assert listener.state()["runners"] == []
    world.wait_for("an empty group", lambda: not pool.group["Instances"])


def test_runner_that_never_connects_takes_no_job(
    world: World, pool: EcsPool, mailbox: Mailbox, listener: Listener
) -> None:
    pool.make_capacity()
    with world.faults(runners="offline"):
        job = world.queue_job([listener.name], seconds=0.3)
        listener.until("JobAssigned", job)
        name = f"{pool.name}-runner"
        task = start(pool, mailbox, listener, name)
        world.wait_for("it to run", lambda: [e for e in world.events("runner") if e.get("runner") == name])
        assert last_status(pool, task) == "RUNNING"
        found = listener.state()["statistics"]
        assert found == statistics(totalAssignedJobs=1, totalRegisteredRunners=1)
    listener.until("JobCompleted", job)


def test_stopped_container_loses_the_job_of_the_set(
    world: World, pool: EcsPool, mailbox: Mailbox, listener: Listener
) -> None:
    pool.make_capacity()
    job = world.queue_job([listener.name], seconds=60)
    task = start(pool, mailbox, listener, f"{pool.name}-runner")
    listener.until("JobStarted", job)
    pool.ecs.stop_task(cluster=pool.cluster, task=task)
    _, item = listener.until("JobCompleted", job)
    assert (item["result"], world.job(job)["state"]) == ("failed", "lost")
    # Its registration is left behind, offline.
    assert listener.state()["runners"] == [f"{pool.name}-runner"]


@dataclass
class Scaler:
    """As simple as can be: as many tasks as assigned jobs, up to the capacity that it announces."""

    pool: EcsPool
    mailbox: Mailbox
    listener: Listener
    definition: str
    capacity: int
    files: dict[str, Any] = field(default_factory=dict[str, Any])
    """Those of each task's runner."""

    def tasks(self) -> list[str]:
        find = {"cluster": self.pool.cluster, "startedBy": self.pool.name}
        return list(self.pool.ecs.list_tasks(**find)["taskArns"])

    def step(self) -> None:
        message = self.listener.take(self.capacity)
        if message is not None:
            self._start(min(self.capacity, message["statistics"]["totalAssignedJobs"]) - len(self.tasks()))
        for task in self.tasks():
            request = self.mailbox.item(task)
            if request is not None and "answer" not in request:
                # One that asks once more at this moment is answered the next time.
                with contextlib.suppress(ClientError):
                    self.mailbox.answer(request, **self._answer(task))

    def retire(self) -> None:
        """Ends what no job needs. When a job's task is gone its end is in no message yet, so one too many may start."""
        for name in self.listener.state()["runners"]:
            [runner] = self.listener.client.call("GET", AGENTS, agentName=name).body["value"]
            assert self.listener.client.call("DELETE", f"{AGENTS}/{runner['id']}").status == 204
        for task in self.tasks():
            self.pool.ecs.stop_task(cluster=self.pool.cluster, task=task)

    def _start(self, missing: int) -> None:
        for first in range(0, missing, 10):
            self.pool.ecs.run_task(
                cluster=self.pool.cluster,
                taskDefinition=self.definition,
                capacityProviderStrategy=[{"capacityProvider": self.pool.name, "weight": 1}],
                startedBy=self.pool.name,
                count=min(10, missing - first),
            )

    def _answer(self, task: str) -> dict[str, Any]:
        name = f"{self.pool.name}-{task[-12:]}"
        if task not in self.files:
            encoded = self.listener.generate(name).body["encodedJITConfig"]
            self.files[task] = json.loads(base64.b64decode(encoded))
        return {"kind": "jit", "name": name, "workdir": "/_work", "files": self.files[task]}


def test_forty_jobs_from_zero_run_on_twenty_runners(
    world: World, pool: EcsPool, mailbox: Mailbox, listener: Listener
) -> None:
    pool.make_capacity()
    scaler = Scaler(pool, mailbox, listener, pool.define_asking(TABLE, mailbox.runner_role), 20)
    listener.poll(capacity=20)
    jobs = {world.queue_job([listener.name], seconds=1) for _ in range(40)}

    def all_over() -> bool:
        scaler.step()
        return jobs <= {job["id"] for job in world.jobs("succeeded")}

    world.wait_for("all jobs", all_over, timeout=120)
    scaler.retire()
    world.wait_for("no task and no instance", lambda: not scaler.tasks() and not pool.group["Instances"])
    assert pool.group["DesiredCapacity"] == 0
    figures = demand_figures(world, listener.name, pool.name, caller="client")
    assert (figures.jobs, figures.most_tasks) == (40, 20)
    assert 40 <= figures.tasks <= 60
    assert figures.calls["polls"] > 0
