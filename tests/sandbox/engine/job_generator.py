"""Generates jobs without end: each idle runner gets another one after a pause."""

from __future__ import annotations

import random

from .core import Core
from .github.model import Runner
from .github.server import GitHub
from .handlers import Json
from .jobs import Jobs

Range = tuple[float, float]


class JobGenerator:
    """A long queue of jobs for the runners that have all of some labels. Callers hold the core's lock."""

    def __init__(self, core: Core, github: GitHub, jobs: Jobs) -> None:
        self.core = core
        self.github = github
        self.jobs = jobs
        self.labels: list[str] = []
        self.seconds: Range = (1, 20)
        self.pause: Range = (0, 5)
        self._random = random.Random()
        self._due: dict[int, float] = {}
        """By an idle runner's id, when its next job comes."""

    def set(self, given: Json) -> Json:
        """`{"labels": [...], "seconds": [1, 20], "pause": [0, 5], "seed": 7}`; without labels it stops."""
        self.labels = list(given.get("labels") or [])
        self.seconds = _range(given.get("seconds") or self.seconds)
        self.pause = _range(given.get("pause") or self.pause)
        self._random = random.Random(given.get("seed"))
        self._due = {}
        return {"labels": self.labels, "seconds": self.seconds, "pause": self.pause}

    def step(self, now: float) -> None:
        if not self.labels:
            return
        before, self._due = self._due, {}
        for runner in self._idle():
            due = before.get(runner.id) or now + self._random.uniform(*self.pause)
            if now < due:
                self._due[runner.id] = due
            else:
                job = self.jobs.queue(self.labels, self._random.uniform(*self.seconds), None, now)
                self.jobs.dispatch(job, runner, now)

    def _idle(self) -> list[Runner]:
        wanted = {label.lower() for label in self.labels}
        return [
            runner
            for target in self.github.targets.values()
            for runner in target.runners.values()
            if runner.connected and runner.job is None and wanted <= {label.lower() for label in runner.all_labels}
        ]


def _range(given: list[float] | Range) -> Range:
    least, most = (float(value) for value in given)
    return least, most
