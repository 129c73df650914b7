"""Follows a world while it lives: what CloudFormation, the pool, instances, runners and jobs do, as it happens.

Everything comes from the sandbox's journal and from the stacks' own events, so what is shown is what happened, and not
what the demo meant to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from sandbox.demo import messages as words
from sandbox.demo.screen import Line, Screen, Source, Tone, counted, seconds
from sandbox.function import FUNCTION_NAME
from sandbox.stacks import Stack
from sandbox.world import WaitTimeoutError, World

POLL_SECONDS = 0.2
PROGRESS_SECONDS = 5.0
POOL_TYPE = "Custom::GitHubRunnerPool"
Entry = dict[str, Any]
T = TypeVar("T")


@dataclass
class Timeline:
    """Reads on from where it was, and prints."""

    world: World
    screen: Screen
    event_sequence: int = 0
    call_sequence: int = 0
    stack_names: list[str] = field(default_factory=list)
    known_stack_events: set[str] = field(default_factory=set)
    runner_names: dict[int, str] = field(default_factory=dict)
    job_names: dict[int, str] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    progress_shown: dict[int, float] = field(default_factory=dict)
    events: list[Entry] = field(default_factory=list)
    calls: list[Entry] = field(default_factory=list)
    pending: list[Line] = field(default_factory=list)

    # What the demo does with it.

    def queue(self, name: str, label: str, duration: float) -> int:
        """Queues a job that goes by a name."""
        job = self.world.queue_job([label], duration)
        self.job_names[job] = name
        return job

    def settle(self, stack: Stack, timeout: float = 180) -> str:
        """Shows what happens until the stack is at rest; its status."""
        self.until(f"the end of {stack.name}", lambda: "IN_PROGRESS" not in stack.status, timeout)
        return stack.status

    def until(self, what: str, poll: Callable[[], T], timeout: float = 60) -> T:
        """Shows what happens until something is the case."""
        deadline = time.monotonic() + timeout
        while not (found := poll()):
            if time.monotonic() > deadline:
                raise WaitTimeoutError(f"{what}: not within {timeout:.0f} s")
            self.show()
            time.sleep(POLL_SECONDS)
        self.show(everything=True)
        return found

    def show_during(self, work: Callable[[], T]) -> T:
        """Shows what happens while something else is done."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            while not future.done():
                self.show()
                time.sleep(POLL_SECONDS)
            self.show(everything=True)
            return future.result()

    def calls_since(self, sequence: int) -> list[Entry]:
        """What the function has asked of AWS and GitHub."""
        return [entry for entry in self.calls if entry["seq"] > sequence]

    @property
    def sequence(self) -> int:
        """Now, in the journal's numbers."""
        return max(self.event_sequence, self.call_sequence)

    # Output.

    def show(self, everything: bool = False) -> None:
        """Prints what is new, in the order in which it happened.

        The sources are read one after the other. What happened in the meantime is kept for the next round, when all of
        them have it.
        """
        before = time.time()
        self._learn_runners()
        self.pending += [*self._stack_lines(), *self._call_lines(), *self._event_lines(), *self._progress_lines()]
        self.pending.sort(key=lambda line: line.at)
        while self.pending and (everything or self.pending[0].at < before):
            self.screen.line(self.pending.pop(0))

    def _learn_runners(self) -> None:
        for target in self.world.get("/github")["targets"].values():
            self.runner_names |= {runner["id"]: runner["name"] for runner in target["runners"]}

    def _call_lines(self) -> list[Line]:
        new = self.world.get("/calls", after=self.call_sequence)
        self.call_sequence = max([self.call_sequence, *(entry["seq"] for entry in new)])
        own = [entry for entry in new if entry["caller"] == "function"]
        self.calls += own
        deployed = [
            Line(entry["at"], Source.FUNCTION, FUNCTION_NAME, "deployed with `cargo lambda deploy`", Tone.GOOD)
            for entry in new
            if entry["service"] == "lambda" and entry["operation"].endswith("/functions") and entry["status"] == 201
        ]
        return deployed + [
            words.call(entry, self.runner_names)
            for entry in own
            if entry["write"] and entry["service"] != "logs" and not _is_quiet(entry)
        ]

    def _event_lines(self) -> list[Line]:
        new = self.world.events(after=self.event_sequence)
        self.event_sequence = max([self.event_sequence, *(entry["seq"] for entry in new)])
        self.events += new
        lines = [
            self._job_line(entry) if entry["kind"] == "job" else words.event(entry) for entry in map(self._dated, new)
        ]
        return [line for line in lines if line]

    def _dated(self, entry: Entry) -> Entry:
        """A runner's entries name its task only, not what the task was made from."""
        if entry["kind"] == "task":
            self.definitions[entry["task"]] = entry["definition"]
        return {**entry, "definition": self.definitions.get(entry.get("task") or "")}

    # Jobs.

    def _job_line(self, entry: Entry) -> Line:
        what, length = entry["what"], seconds(entry["seconds"]).replace(".0", "")
        runner = words.tail(entry["runner"] or "")
        text, tone = {
            "queued": (f"queued, will take {length}", Tone.QUIET),
            "running": (f"running on {runner}", Tone.PLAIN),
            "succeeded": (f"succeeded on {runner}", Tone.GOOD),
            "LOST": (f"LOST: {entry.get('why')}", Tone.BAD),
        }.get(what, (what, Tone.WARN))
        return Line(entry["at"], Source.JOB, self._job_name(entry["job"]), text, tone)

    def _job_name(self, job: int) -> str:
        return self.job_names.get(job, f"job {job}")

    def _progress_lines(self) -> list[Line]:
        """Every few seconds, for jobs that are long enough for one to wonder."""
        now = time.time()
        lines = []
        for job in self.world.jobs("running"):
            shown_at = self.progress_shown.setdefault(job["id"], job["started_at"])
            if now - shown_at < PROGRESS_SECONDS or job["seconds"] < 2 * PROGRESS_SECONDS:
                continue
            self.progress_shown[job["id"]] = shown_at + PROGRESS_SECONDS
            done = now - job["started_at"]
            if done > job["seconds"] - 1:
                continue
            text = f"{self.screen.bar(done / job['seconds'])} {done:.0f} of {job['seconds']:.0f} s"
            lines.append(Line(now, Source.JOB, self._job_name(job["id"]), text))
        return lines

    # Stacks.

    def _stack_lines(self) -> list[Line]:
        new = [event for name in self.stack_names for event in self._stack_events(name)]
        lines = []
        for (kind, status), events in groupby(filter(_is_shown, new), key=_kind_and_status):
            group = list(events)
            lines += _folded(status, group) if kind == "part" else [_stack_line(event) for event in group]
        return lines

    def _stack_events(self, name: str) -> list[Entry]:
        client = self.world.client("cloudformation")
        try:
            pages = client.get_paginator("describe_stack_events").paginate(StackName=name)
            events = [event for page in pages for event in page["StackEvents"]][::-1]
        except ClientError:
            return []
        new = [event for event in events if event["EventId"] not in self.known_stack_events]
        self.known_stack_events |= {event["EventId"] for event in new}
        return new


def _is_quiet(call: Entry) -> bool:
    """Whether it is one of the writes that a listener repeats."""
    return str((call.get("request") or {}).get("key", "")).startswith(words.QUIET_KEYS)


def _kind(event: Entry) -> str:
    if event["ResourceType"] == "AWS::CloudFormation::Stack":
        return "stack"
    return "pool" if event["ResourceType"] == POOL_TYPE else "part"


def _kind_and_status(event: Entry) -> tuple[str, str]:
    return _kind(event), event["ResourceStatus"]


def _is_shown(event: Entry) -> bool:
    """The local CloudFormation says of every resource that it was updated: those are left out, as are beginnings."""
    status = event["ResourceStatus"]
    return _kind(event) != "part" or status.endswith("FAILED") or status in ("CREATE_COMPLETE", "DELETE_COMPLETE")


def _stack_line(event: Entry) -> Line:
    status, reason = event["ResourceStatus"], event.get("ResourceStatusReason") or ""
    text = status
    if reason and status.endswith("FAILED"):
        text += f": {reason}"
    return Line(_at(event), Source.STACK, event["LogicalResourceId"], text, _tone(status))


def _folded(status: str, events: list[Entry]) -> list[Line]:
    """Resources other than the pool that end the same way at the same time share a line."""
    if len(events) < 2 or status.endswith("FAILED"):
        return [_stack_line(event) for event in events]
    names = ", ".join(event["LogicalResourceId"] for event in events)
    subject = counted(len(events), "resource")
    return [Line(_at(events[-1]), Source.STACK, subject, f"{status} {names}", _tone(status))]


def _at(event: Entry) -> float:
    """CloudFormation cuts milliseconds off where the journal rounds them: its events come after their causes."""
    return float(event["Timestamp"].timestamp()) + 0.002


def _tone(status: str) -> Tone:
    if "FAILED" in status or "ROLLBACK" in status:
        return Tone.BAD
    return Tone.GOOD if status.endswith("COMPLETE") else Tone.PLAIN
