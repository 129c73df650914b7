"""How jobs come to scale sets, and what the sets hear of them.

The capacity that a set announces is the number of runners that it may have in all. A job that is queued while the
number is 0, or smaller than what the set has already, is never assigned to it:
https://github.com/rhobuild/runpool/blob/e7dd943/docs/adrs/2026-08-11-advertised-capacity.md
"""

from __future__ import annotations

import time
import uuid

from ...core import Core
from ...handlers import Json
from ..model import Job, Runner, Target
from ..server import GitHub
from .model import COUNTED_AS_ASSIGNED, Claim, Message, Phase, ScaleSet, Statistics

# https://github.com/actions/scaleset#autoscaling
MOST_ITEMS = 50
MOST_ASSIGNMENTS = 3
NEVER = "0001-01-01T00:00:00Z"
_RESULTS = {"succeeded": "succeeded", "cancelled": "canceled", "lost": "failed"}


class ScaleSetJobs:
    """Assigns jobs to sets and writes their messages. Callers hold the core's lock."""

    def __init__(self, core: Core, github: GitHub) -> None:
        self.core = core
        self.github = github

    def step(self, now: float) -> None:
        for target in self.github.targets.values():
            for scale_set in list(target.scale_sets.values()):
                self._expire(target, scale_set, now)
        for job in self.github.jobs.values():
            if job.state == "queued" and job.scale_set is None:
                self._offer(job)
        for target in self.github.targets.values():
            for scale_set in target.scale_sets.values():
                for claim in list(scale_set.claims.values()):
                    self._follow(scale_set, claim, now)
                self._assign_waiting(scale_set, self._runners(target, scale_set), now)
                self._announce(scale_set, self._runners(target, scale_set), now)

    def acquire(self, scale_set: ScaleSet, request_ids: list[int], now: float) -> list[int]:
        """The listener takes available jobs. Returns those that the set has."""
        acquired = []
        for claim in scale_set.claims.values():
            if claim.job.id in request_ids and claim.phase is Phase.AVAILABLE and claim.job.state == "queued":
                claim.acquired = True
                self._assign(scale_set, claim, now)
                acquired.append(claim.job.id)
        return acquired

    def delete(self, target: Target, scale_set: ScaleSet, how: str) -> None:
        """Its jobs go back into GitHub's queue, and its runners are deleted."""
        for claim in scale_set.claims.values():
            if claim.job.scale_set == scale_set.id:
                claim.job.scale_set = None
        for runner in self._runners(target, scale_set):
            self.github.remove(target, runner, "its scale set was deleted")
        del target.scale_sets[scale_set.id]
        self._record_event(scale_set, how)

    def _runners(self, target: Target, scale_set: ScaleSet) -> list[Runner]:
        return [runner for runner in target.runners.values() if runner.scale_set == scale_set.id]

    def _expire(self, target: Target, scale_set: ScaleSet, now: float) -> None:
        pace, session = self.core.pace, scale_set.session
        if session is not None and not session.is_alive(now, pace.session_silence):
            scale_set.end_session()
            self._record_event(scale_set, "session expired", session=session.id)
        idle_for = now - scale_set.last_contact
        if scale_set.session is None and idle_for >= pace.scale_set_kept and not scale_set.count(Phase.RUNNING):
            self.delete(target, scale_set, "deleted, since nobody polled for it")

    def _offer(self, job: Job) -> None:
        """To one set only, even if several have its labels. A set without a listener has no say in it yet."""
        for target in self.github.targets.values():
            for scale_set in target.scale_sets.values():
                claim = scale_set.claims.get(job.id)
                if claim is None and scale_set.takes(job) and scale_set.capacity is not None:
                    claim = self._claimed(scale_set, job, scale_set.capacity)
                if claim is not None and claim.phase is not Phase.EXCLUDED:
                    return

    def _claimed(self, scale_set: ScaleSet, job: Job, capacity: int) -> Claim:
        phase = Phase.WAITING
        if job.unannounced:
            phase = Phase.LAPSED
        elif capacity < max(1, scale_set.count(*COUNTED_AS_ASSIGNED)):
            phase = Phase.EXCLUDED
            self._record_event(scale_set, "job excluded", job=job.id, capacity=capacity)
        claim = scale_set.claims[job.id] = Claim(job, phase)
        return claim

    def _follow(self, scale_set: ScaleSet, claim: Claim, now: float) -> None:
        job = claim.job
        if claim.phase in (Phase.WAITING, Phase.EXCLUDED, Phase.AVAILABLE, Phase.LAPSED):
            if job.state != "queued":
                # Cancelled, or taken by a runner of no set.
                del scale_set.claims[job.id]
            return
        if claim.phase is Phase.ASSIGNED and job.started_at is not None:
            claim.phase = Phase.RUNNING
            scale_set.outbox.append(_item("JobStarted", claim, **_runner_of(job)))
        if claim.phase in (Phase.ASSIGNED, Phase.RUNNING) and job.ended_at is not None:
            claim.phase = Phase.ENDED
        if claim.phase is Phase.ENDED and now >= (job.ended_at or now) + self.core.faults.completion_lag:
            scale_set.outbox.append(_item("JobCompleted", claim, result=_RESULTS[job.state], **_runner_of(job)))
            del scale_set.claims[job.id]
        elif claim.phase is Phase.ASSIGNED and job.state == "queued":
            self._lapse(scale_set, claim, now)

    def _lapse(self, scale_set: ScaleSet, claim: Claim, now: float) -> None:
        if now < claim.assigned_at + self.core.pace.assignment_lapse:
            return
        scale_set.outbox.append(_item("JobCompleted", claim, result="canceled", **_runner_of(claim.job)))
        self._record_event(scale_set, "assignment lapsed", job=claim.job.id)
        claim.job.scale_set, claim.acquired = None, False
        claim.phase = Phase.WAITING if claim.n_assignments < MOST_ASSIGNMENTS else Phase.LAPSED

    def _assign_waiting(self, scale_set: ScaleSet, runners: list[Runner], now: float) -> None:
        n_idle = sum(_is_idle(runner) for runner in runners)
        for claim in scale_set.claims.values():
            taken = scale_set.count(*COUNTED_AS_ASSIGNED, Phase.AVAILABLE)
            unserved = sum(c.phase is Phase.ASSIGNED and c.job.state == "queued" for c in scale_set.claims.values())
            if claim.phase is Phase.LAPSED and n_idle > unserved:
                self._assign(scale_set, claim, now)
            elif claim.phase is Phase.WAITING and taken < (scale_set.capacity or 0):
                if self.core.faults.scale_set_jobs == "available":
                    claim.phase = Phase.AVAILABLE
                    scale_set.outbox.append(_item("JobAvailable", claim, acquireJobUrl=""))
                else:
                    self._assign(scale_set, claim, now)

    def _assign(self, scale_set: ScaleSet, claim: Claim, now: float) -> None:
        claim.phase, claim.assigned_at = Phase.ASSIGNED, now
        claim.n_assignments += 1
        claim.job.scale_set = scale_set.id
        scale_set.outbox.append(_item("JobAssigned", claim))
        self._record_event(scale_set, "job assigned", job=claim.job.id)

    def _announce(self, scale_set: ScaleSet, runners: list[Runner], now: float) -> None:
        """Messages for what has happened, and an empty one where only the runners have changed."""
        found = _statistics(scale_set, runners, now)
        if not scale_set.history or scale_set.history[-1][1] != found:
            scale_set.history.append((now, found))
        while scale_set.outbox:
            self._enqueue(scale_set, scale_set.outbox[:MOST_ITEMS], found)
            del scale_set.outbox[:MOST_ITEMS]
        is_read = all(message.delivered for message in scale_set.queue)
        if is_read and found.of_runners != scale_set.announced.of_runners:
            self._enqueue(scale_set, [], found)

    def _enqueue(self, scale_set: ScaleSet, items: list[Json], found: Statistics) -> None:
        scale_set.queue.append(Message(scale_set.next_message_id, items))
        scale_set.next_message_id += 1
        scale_set.announced = found

    def _record_event(self, scale_set: ScaleSet, what: str, **more: object) -> None:
        self.core.journal.event("scale set", what, scale_set=scale_set.name, **more)


def _is_idle(runner: Runner) -> bool:
    return runner.connected and runner.job is None


def _statistics(scale_set: ScaleSet, runners: list[Runner], now: float) -> Statistics:
    n_acquired = sum(claim.acquired and claim.phase is Phase.ASSIGNED for claim in scale_set.claims.values())
    return Statistics(
        totalAvailableJobs=scale_set.count(Phase.AVAILABLE),
        totalAcquiredJobs=n_acquired,
        totalAssignedJobs=scale_set.count(*COUNTED_AS_ASSIGNED),
        totalRunningJobs=scale_set.count(Phase.RUNNING, Phase.ENDED),
        totalRegisteredRunners=len(runners),
        totalBusyRunners=sum(runner.is_busy(now) for runner in runners),
        totalIdleRunners=sum(_is_idle(runner) for runner in runners),
    )


def _runner_of(job: Job) -> Json:
    return {"runnerId": job.runner_id or 0, "runnerName": job.runner or ""}


def _item(kind: str, claim: Claim, **more: object) -> Json:
    """What a message says of a job. A job that is assigned without being acquired has no number.

    https://github.com/rhobuild/runpool/blob/e7dd943/docs/adrs/2026-08-11-repository-cache-scope.md
    """
    job = claim.job
    numbered = claim.acquired or kind == "JobAvailable"
    return {
        "messageType": kind,
        "runnerRequestId": job.id if numbered else 0,
        "repositoryName": "app",
        "ownerName": "acme",
        "jobId": str(uuid.uuid5(uuid.NAMESPACE_OID, str(job.id))),
        "jobWorkflowRef": "acme/app/.github/workflows/build.yml@refs/heads/main",
        "jobDisplayName": f"build ({job.id})",
        "workflowRunId": job.id,
        "eventName": "push",
        "requestLabels": job.labels,
        "queueTime": _utc(job.queued_at),
        "scaleSetAssignTime": _utc(claim.assigned_at),
        "runnerAssignTime": _utc(job.started_at),
        "finishTime": _utc(job.ended_at),
        **more,
    }


def _utc(moment: float | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)) if moment else NEVER
