"""What GitHub keeps of a scale set: its session, its queue, and the jobs that it knows."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from ...handlers import Json
from ..model import Job

# Of the order that https://github.com/actions/actions-runner-controller/issues/3204 shows. The numbers go on over
# sessions.
FIRST_MESSAGE_ID = 100_000_001
KEPT_STATISTICS = 500


class Phase(StrEnum):
    """What a job is to a set."""

    WAITING = "waiting"
    """The set has as many jobs as it may have."""
    EXCLUDED = "excluded"
    """It was queued while the set announced less than it needs, and never comes to this set."""
    AVAILABLE = "available"
    """The set's listener may acquire it."""
    ASSIGNED = "assigned"
    RUNNING = "running"
    ENDED = "ended"
    """The set has not heard of its end yet."""
    LAPSED = "lapsed"
    """Its assignments have lapsed: it is assigned again when a runner of the set is idle."""


COUNTED_AS_ASSIGNED = (Phase.ASSIGNED, Phase.RUNNING, Phase.ENDED)


@dataclass
class Claim:
    """A job, and how far it has come with a set."""

    job: Job
    phase: Phase
    assigned_at: float = 0.0
    n_assignments: int = 0
    acquired: bool = False


@dataclass(frozen=True)
class Statistics:
    """By the names of the wire."""

    totalAvailableJobs: int = 0
    totalAcquiredJobs: int = 0
    totalAssignedJobs: int = 0
    totalRunningJobs: int = 0
    totalRegisteredRunners: int = 0
    totalBusyRunners: int = 0
    totalIdleRunners: int = 0

    @property
    def of_runners(self) -> tuple[int, int, int]:
        return self.totalRegisteredRunners, self.totalBusyRunners, self.totalIdleRunners

    def to_json(self) -> Json:
        return asdict(self)


@dataclass
class Message:
    """One of a queue, until it is acknowledged."""

    id: int
    items: list[Json]
    delivered: bool = False


@dataclass
class Session:
    """What a listener polls with."""

    id: str
    owner: str
    last_seen: float
    tokens: dict[str, float] = field(default_factory=dict)
    """Those of its queue, each with its end."""
    n_polls: int = 0
    """Those that are open."""

    def is_alive(self, now: float, silence: float) -> bool:
        return self.n_polls > 0 or now < self.last_seen + silence


@dataclass
class ScaleSet:
    """A runner scale set."""

    id: int
    name: str
    group_id: int
    labels: list[str]
    disable_update: bool
    created_at: float
    last_contact: float
    capacity: int | None = None
    """What the present session has announced."""
    session: Session | None = None
    claims: dict[int, Claim] = field(default_factory=dict)
    """By the job's id."""
    outbox: list[Json] = field(default_factory=list)
    """What has happened to jobs since the last message."""
    queue: list[Message] = field(default_factory=list)
    next_message_id: int = FIRST_MESSAGE_ID
    announced: Statistics = field(default_factory=Statistics)
    """As they were when the last message was made."""
    history: deque[tuple[float, Statistics]] = field(default_factory=lambda: deque(maxlen=KEPT_STATISTICS))

    def takes(self, job: Job) -> bool:
        """Whether all that the job's `runs-on` names are labels of the set."""
        return bool(job.labels) and {label.lower() for label in job.labels} <= {label.lower() for label in self.labels}

    def count(self, *phases: Phase) -> int:
        return sum(claim.phase in phases for claim in self.claims.values())

    def statistics_at(self, moment: float) -> Statistics:
        """The newest that are not younger than this; none at all before the first."""
        return next((found for at, found in reversed(self.history) if at <= moment), Statistics())

    def message_after(self, message_id: int) -> Message | None:
        return next((message for message in self.queue if message.id > message_id), None)

    def end_session(self) -> None:
        self.session = self.capacity = None
