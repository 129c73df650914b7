"""Invocations while they run: each is written down, and its process can be killed in the middle of it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ministack.core import lambda_runtime

from .core import Core
from .handlers import Json

ANY_ATTEMPT = 1_000_000
"""Equal events count as attempts of one: a listener's is always the same."""


@dataclass
class Invocation:
    """One that has not ended."""

    worker: Any
    id: str
    attempt: int
    """Lambda hands an event to the function up to three times: which of them this is."""
    kind: str = ""
    """`Listen` of `{"Listen": {}}`, and the request type of an event of CloudFormation."""
    killed: bool = False

    def kill(self) -> bool:
        """SIGKILL to the process that serves it; False if it serves it no more, or does not yet."""
        process = self.worker._proc
        with self.worker._state_lock:
            if process is None or process.poll() is not None or self.worker._current_request_id != self.id:
                return False
            self.killed = True
            os.kill(process.pid, signal.SIGKILL)
        return True


class Invocations:
    """All that run. MiniStack serves each on a thread of its own."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._running: dict[str, Invocation] = {}
        self._attempts: Counter[str] = Counter()

    def install(self) -> None:
        """Wraps the process that serves a compiled function."""
        invoke = lambda_runtime.ProvidedWorker.invoke

        def watched(worker: Any, event: Json, request_id: str, **context: Any) -> Json:
            one = self._begin(worker, event, request_id)
            outcome = "failed"
            try:
                result: Json = invoke(worker, event, request_id, **context)
                outcome = "ended" if result["status"] == "ok" else "killed" if one.killed else "failed"
                return result
            finally:
                self._end(one, outcome)

        lambda_runtime.ProvidedWorker.invoke = watched

    def kill(self, given: Json) -> Json:
        """`{"attempts": 2}`: ends the newest invocation that is no later than its event's second attempt, if any.

        `{"kind": "Listen"}`: only one of this event.
        """
        for one in reversed(self._running.values()):
            is_meant = one.attempt <= int(given.get("attempts", 3)) and given.get("kind", one.kind) == one.kind
            if not one.killed and is_meant and one.kill():
                return {"killed": one.id, "attempt": one.attempt}
        return {"killed": None}

    def _begin(self, worker: Any, event: Json, request_id: str) -> Invocation:
        digest = hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()
        with self.core.lock:
            self._attempts[digest] += 1
            one = self._running[request_id] = Invocation(worker, request_id, self._attempts[digest], _kind(event))
        self._record_event(one, "began")
        return one

    def _end(self, one: Invocation, outcome: str) -> None:
        with self.core.lock:
            self._running.pop(one.id, None)
        self._record_event(one, outcome)

    def _record_event(self, one: Invocation, what: str) -> None:
        self.core.journal.event(
            "invocation", what, id=one.id, function=one.worker.func_name, attempt=one.attempt, of=one.kind
        )


def _kind(event: object) -> str:
    if not isinstance(event, dict):
        return ""
    return str(next(iter(event))) if len(event) == 1 else str(event.get("RequestType", ""))
