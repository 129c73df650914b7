"""What happened, in order: events of the world, calls to AWS and GitHub, and whole GitHub exchanges.

And, each once, what IAM checked for the function's calls.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from typing import Any

Entry = dict[str, Any]

# Enough for the longest test run; old entries fall out so that a world left running does not grow for ever.
KEPT_ENTRIES = 50_000


class Journal:
    """Three append-only logs with one sequence number, readable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sequence = itertools.count(1)
        self._events: deque[Entry] = deque(maxlen=KEPT_ENTRIES)
        self._calls: deque[Entry] = deque(maxlen=KEPT_ENTRIES)
        self._exchanges: deque[Entry] = deque(maxlen=KEPT_ENTRIES)
        self._checks: dict[str, Entry] = {}

    def event(self, kind: str, what: str, **details: Any) -> None:
        """`kind` is the sort of thing (task, runner, job, ...), `what` what became of it."""
        self._append(self._events, {"kind": kind, "what": what, **details})

    def call(self, *, service: str, operation: str, write: bool, caller: str, status: int, **details: Any) -> None:
        self._append(
            self._calls,
            {"service": service, "operation": operation, "write": write, "caller": caller, "status": status, **details},
        )

    def checked(self, check: Entry) -> None:
        """A check of IAM for a call of the function."""
        with self._lock:
            self._checks.setdefault(json.dumps(check, sort_keys=True), check)

    def exchange(self, entry: Entry) -> None:
        """A GitHub request and its response, without the credential."""
        self._append(self._exchanges, entry)

    def events(self, after: int = 0) -> list[Entry]:
        return self._after(self._events, after)

    def calls(self, after: int = 0) -> list[Entry]:
        return self._after(self._calls, after)

    def exchanges(self, after: int = 0) -> list[Entry]:
        return self._after(self._exchanges, after)

    def checks(self) -> list[Entry]:
        """Since the world began: forgetting calls does not forget these."""
        with self._lock:
            return list(self._checks.values())

    def forget_calls(self) -> None:
        with self._lock:
            self._calls.clear()

    def _append(self, log: deque[Entry], entry: Entry) -> None:
        with self._lock:
            log.append({"seq": next(self._sequence), "at": round(time.time(), 3), **entry})

    def _after(self, log: deque[Entry], after: int) -> list[Entry]:
        with self._lock:
            return [entry for entry in log if entry["seq"] > after]
