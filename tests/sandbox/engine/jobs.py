"""Workflow jobs find idle runners, run, succeed or are lost. A lost job is what the product must never cause."""

from __future__ import annotations

from .core import Core
from .github.model import Job, Runner
from .github.scale_sets.jobs import ScaleSetJobs
from .github.server import GitHub


class Jobs:
    """Dispatches jobs to connected runners. Callers hold the core's lock."""

    def __init__(self, core: Core, github: GitHub) -> None:
        self.core = core
        self.github = github
        self.scale_sets = ScaleSetJobs(core, github)

    def queue(
        self, labels: list[str], seconds: float, runner: str | None, now: float, unannounced: bool = False
    ) -> Job:
        job = Job(self.github.new_id(), labels, seconds, runner, queued_at=now, unannounced=unannounced)
        self.github.jobs[job.id] = job
        self._record_event(job, "queued")
        return job

    def cancel(self, job: Job, now: float) -> None:
        """A user cancels it. A runner that has it ends as after any other job."""
        job.cancelled = True
        if job.state == "queued":
            job.state, job.ended_at = "cancelled", now
            self._record_event(job, "cancelled")
        else:
            job.seconds = 0

    def step(self, now: float) -> None:
        self.scale_sets.step(now)
        for job in self.github.jobs.values():
            if job.state == "queued" and (runner := self._idle_runner(job)):
                self.dispatch(job, runner, now)
        for target in self.github.targets.values():
            for runner in target.runners.values():
                job = runner.job
                if job and job.state == "dispatched" and runner.is_busy(now):
                    job.state, job.started_at = "running", now
                    self._record_event(job, "running")
                    self.core.journal.event("runner", "busy", runner=runner.name, job=job.id)
            for runner in [one for one in target.runners.values() if one.by_hand and self.due(one, now)]:
                self.succeed(runner, now)
                self.github.remove(target, runner, "deregistered after its job")

    def dispatch(self, job: Job, runner: Runner, now: float) -> None:
        """Not yet acquired: until then GitHub calls the runner idle."""
        runner.job = job
        runner.acquired_at = now + self.core.pace.job_pickup
        job.runner, job.runner_id = runner.name, runner.id
        job.state = "dispatched"

    def due(self, runner: Runner, now: float) -> bool:
        """Whether the runner's job has run its time."""
        job = runner.job
        return job is not None and job.started_at is not None and now >= job.started_at + job.seconds

    def succeed(self, runner: Runner, now: float) -> None:
        job = runner.job
        if job is None:
            return
        job.state, job.ended_at = "cancelled" if job.cancelled else "succeeded", now
        runner.job = runner.acquired_at = None
        self._record_event(job, job.state)
        self.core.journal.event("runner", "idle", runner=runner.name)

    def lose(self, runner: Runner, why: str, now: float) -> None:
        """The runner's end takes its job along. One that was not acquired yet goes back into the queue."""
        job = runner.job
        if job is None:
            return
        runner.job = runner.acquired_at = None
        if job.state == "dispatched":
            job.state, job.runner, job.runner_id = "queued", None, None
            self._record_event(job, "requeued")
            return
        job.state, job.ended_at, job.why_lost = "lost", now, why
        self._record_event(job, "LOST", why=why)

    def _idle_runner(self, job: Job) -> Runner | None:
        """Of a scale set, the one that was registered first, whichever job it was made for."""
        wanted = {label.lower() for label in job.labels}
        for target in self.github.targets.values():
            for runner in target.runners.values():
                if (
                    runner.connected
                    and runner.job is None
                    and runner.scale_set == job.scale_set
                    and job.wanted_runner in (None, runner.name)
                    and (job.scale_set is not None or wanted <= {label.lower() for label in runner.all_labels})
                ):
                    return runner
        return None

    def _record_event(self, job: Job, what: str, **more: str) -> None:
        self.core.journal.event("job", what, job=job.id, runner=job.runner, seconds=job.seconds, **more)
