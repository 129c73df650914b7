"""The calls to GitHub's scale-set service in a conformance vector, by the names of the reference client.

https://github.com/actions/scaleset
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

from sandbox.scale_set_client import AGENTS, SETS, Answer, Client, Listener, connect
from sandbox.world import World

JOB_SECONDS = 600
# Beyond the life of every session.
SILENCE_SECS = 10_000


class ScaleSetDriver:
    """One scale set, and its listener. A method of the client has its name in snake case."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.job = 0
        self.message = 0
        self.runner = 0
        self.available: list[int] = []

    @cached_property
    def client(self) -> Client:
        return connect(self.world)

    @cached_property
    def listener(self) -> Listener:
        return Listener(self.client, self.name, 0)

    # Calls.

    def create_runner_scale_set(self) -> dict[str, int]:
        answer = self.client.create(self.name, self.name)
        if answer.status == 200:
            self.listener.id = answer.body["id"]
        return _status(answer)

    def get_runner_scale_set(self) -> dict[str, int]:
        return {"count": self.client.call("GET", SETS, runnerGroupId=1, name=self.name).body["count"]}

    def delete_runner_scale_set(self) -> dict[str, int]:
        return _status(self.client.call("DELETE", self.listener.path))

    def create_message_session(self) -> dict[str, int]:
        return _status(self.listener.open())

    def refresh_message_session(self) -> dict[str, int]:
        return _status(self.listener.renew())

    def delete_message_session(self) -> dict[str, int]:
        return _status(self.listener.close())

    def get_message(self, capacity: int = 10) -> dict[str, int]:
        return _status(self._poll(capacity))

    def _poll(self, capacity: int = 10) -> Answer:
        answer = self.listener.poll(capacity)
        if answer.status == 200:
            self.message = answer.body["messageId"]
            items = json.loads(answer.body["body"] or "[]")
            self.available += [item["runnerRequestId"] for item in items if item["messageType"] == "JobAvailable"]
        return answer

    def delete_message(self, message: int | str) -> dict[str, int]:
        return _status(self.listener.acknowledge(self.message if message == "last" else int(message)))

    def acquire_jobs(self, jobs: list[str]) -> dict[str, int]:
        numbers = {"available": self.available[-1:], "unknown": [1]}
        answer = self.listener.acquire([number for job in jobs for number in numbers[job]])
        return {**_status(answer), **({"acquired": len(answer.body["value"])} if answer.status == 200 else {})}

    def generate_jit_runner_config(self) -> dict[str, int]:
        answer = self.listener.generate(f"{self.name}-runner")
        if answer.status == 200:
            self.runner = answer.body["runner"]["id"]
        return _status(answer)

    def get_runner_by_name(self) -> dict[str, int]:
        return {"count": self.client.call("GET", AGENTS, agentName=f"{self.name}-runner").body["count"]}

    def remove_runner(self) -> dict[str, int]:
        return _status(self.client.call("DELETE", f"{AGENTS}/{self.runner}"))

    # What others do.

    def connect_runner(self) -> None:
        self.world.post("/scale-sets/runners", name=f"{self.name}-runner")

    def queue_job(self) -> None:
        self.job = self.world.queue_job([self.name], JOB_SECONDS)

    def elapse(self, what: str) -> None:
        """Lets a session or its queue's token expire."""
        if what == "message_session":
            self.world.post("/scale-sets/age", name=self.name, seconds=SILENCE_SECS)
        else:
            self.world.post("/scale-sets/expire-queue-token", name=self.name)

    # Observations.

    def observe(self, name: str) -> Any:
        observation: Callable[[], Any] = getattr(self, f"_observe_{name}")
        return observation()

    def _observe_message(self) -> list[str] | None:
        answer = self._poll()
        return [item["messageType"] for item in json.loads(answer.body["body"])] if answer.status == 200 else None

    def _observe_job(self) -> str | None:
        return self.listener.phase(self.job)

    def _observe_assigned_jobs(self) -> int:
        return int(self.listener.state()["statistics"]["totalAssignedJobs"])


def _status(answer: Answer) -> dict[str, int]:
    return {"status": answer.status}
