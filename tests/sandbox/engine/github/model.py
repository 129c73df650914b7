"""What GitHub keeps: targets with runner groups and runners, credentials, jobs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..handlers import Json

if TYPE_CHECKING:
    from .scale_sets.model import ScaleSet

DEFAULT_GROUP = 1
READ_ONLY_LABELS = {"self-hosted", "linux", "x64", "arm64"}


@dataclass
class Job:
    """A workflow job that waits for a runner with all its labels."""

    id: int
    labels: list[str]
    seconds: float
    wanted_runner: str | None
    state: str = "queued"
    """queued, dispatched, running, succeeded, cancelled or lost."""
    runner: str | None = None
    runner_id: int | None = None
    scale_set: int | None = None
    """The set that it is assigned to: no other runner takes it."""
    unannounced: bool = False
    """No set hears of it until one of its runners is idle."""
    cancelled: bool = False
    queued_at: float = field(default_factory=time.time)
    started_at: float | None = None
    ended_at: float | None = None
    why_lost: str | None = None

    def to_json(self) -> Json:
        return dict(vars(self))


@dataclass
class Runner:
    """A registration. `connected` says whether its listener runs."""

    id: int
    name: str
    labels: list[str]
    group_id: int
    ephemeral: bool
    no_default_labels: bool = False
    scale_set: int | None = None
    """The id of the set that it belongs to. Such a runner has no labels: jobs come to it through the set."""
    by_hand: bool = False
    """A test connects it; no container does."""
    just_in_time: bool = False
    """Made by a call of the API, before there is a listener: what it runs on is unknown until it connects."""
    connected: bool = False
    disconnected_at: float | None = None
    job: Job | None = None
    acquired_at: float | None = None
    """When the job was taken: from then on the runner is really busy."""
    lease_until: float = 0.0
    forced_busy: bool = False
    """A foreign runner that a test declared busy."""
    forced_online: bool = False

    @property
    def all_labels(self) -> list[str]:
        return ([] if self.no_default_labels else ["self-hosted", "Linux", "X64"]) + self.labels

    @property
    def has_connected(self) -> bool:
        return self.connected or self.disconnected_at is not None

    def is_busy(self, now: float) -> bool:
        return self.job is not None and self.acquired_at is not None and now >= self.acquired_at

    def is_reported_busy(self, now: float, lag: float) -> bool:
        """What the API says, which may come after the fact."""
        acquired = self.is_busy(now) and now >= (self.acquired_at or now) + lag
        return self.forced_busy or acquired or now < self.lease_until

    def online(self, now: float, offline_after: float) -> bool:
        if self.forced_online or self.connected:
            return True
        return self.disconnected_at is not None and now < self.disconnected_at + offline_after

    def to_json(self, now: float, lag: float, offline_after: float) -> Json:
        return {
            "id": self.id,
            "name": self.name,
            "os": "Linux" if self.has_connected or not self.just_in_time else "unknown",
            "status": "online" if self.online(now, offline_after) else "offline",
            "busy": self.is_reported_busy(now, lag),
            "ephemeral": self.ephemeral,
            "runner_group_id": self.group_id,
            "version": "2.336.0" if self.has_connected else None,
            "labels": [
                {
                    "id": index + 1,
                    "name": label,
                    "type": "read-only" if label.lower() in READ_ONLY_LABELS else "custom",
                }
                for index, label in enumerate(self.all_labels)
            ],
        }


@dataclass
class RunnerGroup:
    id: int
    name: str
    inherited: bool = False
    """Of the organization's enterprise, which lets the organization use it."""


@dataclass
class Target:
    """An organization, a repository or an enterprise."""

    kind: str
    """orgs, repos or enterprises: the first part of its paths."""
    name: str
    groups: dict[int, RunnerGroup] = field(default_factory=lambda: {1: RunnerGroup(DEFAULT_GROUP, "Default")})
    runners: dict[int, Runner] = field(default_factory=dict)
    scale_sets: dict[int, ScaleSet] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.name}"


def target_of_url(path: str) -> str:
    """The key of https://HOST/ORG, https://HOST/OWNER/REPO or https://HOST/enterprises/NAME, by the URL's path."""
    parts = path.strip("/").split("/")
    if parts[0] == "enterprises":
        return "/".join(parts)
    return f"orgs/{parts[0]}" if len(parts) == 1 else f"repos/{'/'.join(parts)}"


@dataclass
class Token:
    """A credential and what it may do: target key to `read` or `write`."""

    value: str
    kind: str
    """classic, fine-grained or installation."""
    grants: dict[str, str]
    expires_at: float | None = None
    used: int = 0
    window_started: float = 0.0
    points: list[tuple[float, int]] = field(default_factory=list)


@dataclass
class App:
    """A GitHub App: its public key and where it is installed."""

    id: str
    public_key: str
    installations: dict[int, Token] = field(default_factory=dict)
    """Installation id to a token that holds its grants; the value of that token is never used."""
    accounts: dict[int, str] = field(default_factory=dict)
    """Installation id to the target's key."""
