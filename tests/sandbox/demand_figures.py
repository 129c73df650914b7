"""What a burst of jobs cost and how long it took, from the journal: assignment, task, running job, calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median

from sandbox.world import Entry, World


@dataclass(frozen=True)
class Spread:
    """Seconds."""

    middle: float
    worst: float

    def __str__(self) -> str:
        return f"median {self.middle:.1f} s, worst {self.worst:.1f} s"


@dataclass(frozen=True)
class DemandFigures:
    """A burst in numbers."""

    jobs: int
    """Ran to their ends."""
    tasks: int
    most_tasks: int
    """At a time."""
    to_task: Spread
    """From an assignment to the task that it brought about: the oldest of one to the oldest of the other."""
    to_running: Spread
    """From a job's assignment to its start on a runner."""
    calls: dict[str, float]
    """Those of the function, for each job, by service. Polls of the queue are counted apart."""

    def __str__(self) -> str:
        calls = ", ".join(f"{service} {number:.1f}" for service, number in sorted(self.calls.items()))
        return "\n".join(
            (
                f"{self.jobs} jobs on {self.tasks} tasks, {self.most_tasks} at a time",
                f"assignment to RunTask: {self.to_task}",
                f"assignment to running job: {self.to_running}",
                f"calls for each job: {calls}",
            )
        )


def demand_figures(
    world: World, scale_set: str, family: str, after: int = 0, caller: str = "function"
) -> DemandFigures:
    """Of the set's jobs and the family's tasks since a number of the journal."""
    events = world.get("/events", after=after)
    assigned: dict[int, float] = {}
    for event in events:
        if (event["kind"], event["what"]) == ("scale set", "job assigned") and event["scale_set"] == scale_set:
            assigned.setdefault(event["job"], event["at"])
    of_jobs = [event for event in events if event["kind"] == "job" and event["job"] in assigned]
    running = {event["job"]: event["at"] for event in of_jobs if event["what"] == "running"}
    of_tasks = [e for e in events if e["kind"] == "task" and str(e["definition"]).rsplit(":", 1)[0] == family]
    started = [event["at"] for event in of_tasks if event["what"] == "PROVISIONING"]
    n_jobs = sum(event["what"] == "succeeded" for event in of_jobs)
    pairs = zip(sorted(assigned.values()), sorted(started), strict=False)
    return DemandFigures(
        jobs=n_jobs,
        tasks=len(started),
        most_tasks=_most_at_a_time(of_tasks),
        to_task=spread([max(0.0, task - assignment) for assignment, task in pairs]),
        to_running=spread([running[job] - at for job, at in assigned.items() if job in running]),
        calls=_calls(world.get("/calls", after=after), caller, n_jobs),
    )


def _most_at_a_time(of_tasks: list[Entry]) -> int:
    present, most = 0, 0
    for event in of_tasks:
        present += {"PROVISIONING": 1, "STOPPED": -1}.get(event["what"], 0)
        most = max(most, present)
    return most


def _calls(calls: list[Entry], caller: str, n_jobs: int) -> dict[str, float]:
    counts = Counter(
        "polls" if call["operation"] == "GET /scalesets/message" else str(call["service"])
        for call in calls
        if call["caller"] == caller
    )
    return {service: count / max(1, n_jobs) for service, count in counts.items()}


def spread(seconds: list[float]) -> Spread:
    return Spread(median(seconds), max(seconds)) if seconds else Spread(0.0, 0.0)
