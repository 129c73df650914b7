"""What tests do to scale sets through the control endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ...core import Core
from ...handlers import Json
from ..model import Runner, Target
from ..server import GitHub
from .model import ScaleSet


class ScaleSetControl:
    """JSON in, JSON out. Callers hold the core's lock."""

    def __init__(self, core: Core, github: GitHub) -> None:
        self.core = core
        self.github = github
        self.routes: dict[tuple[str, str], Callable[[Json], Any]] = {
            ("GET", "/scale-sets"): self.show,
            ("POST", "/scale-sets/age"): self.age,
            ("POST", "/scale-sets/evict-session"): self.evict_session,
            ("POST", "/scale-sets/expire-queue-token"): self.expire_queue_token,
            ("POST", "/scale-sets/runners"): self.connect,
        }

    def show(self, _: Json) -> list[Json]:
        """Every set, with what its jobs are to it."""
        return [
            {
                "id": scale_set.id,
                "name": scale_set.name,
                "target": target.key,
                "runner_group_id": scale_set.group_id,
                "labels": scale_set.labels,
                "disable_update": scale_set.disable_update,
                "capacity": scale_set.capacity,
                "session": scale_set.session and {"id": scale_set.session.id, "owner": scale_set.session.owner},
                "n_polls": scale_set.session.n_polls if scale_set.session else 0,
                "messages": [message.id for message in scale_set.queue],
                "jobs": {str(claim.job.id): claim.phase for claim in scale_set.claims.values()},
                "statistics": asdict(scale_set.statistics_at(time.time())),
                "runners": [r.name for r in target.runners.values() if r.scale_set == scale_set.id],
            }
            for target, scale_set in self._all()
        ]

    def age(self, given: Json) -> Json:
        """`{"name": "...", "seconds": 300}`: as if so much time had passed for the set, its session and its jobs."""
        scale_set, seconds = self._named(given), float(given["seconds"])
        scale_set.last_contact -= seconds
        for claim in scale_set.claims.values():
            claim.assigned_at -= seconds
        if scale_set.session is not None:
            scale_set.session.last_seen -= seconds
            scale_set.session.tokens = {token: end - seconds for token, end in scale_set.session.tokens.items()}
        return {"name": scale_set.name}

    def evict_session(self, given: Json) -> Json:
        """`{"name": "..."}`: GitHub loses the set's session, without a word to its listener."""
        scale_set = self._named(given)
        scale_set.end_session()
        return {"name": scale_set.name}

    def expire_queue_token(self, given: Json) -> Json:
        """`{"name": "..."}`: the session stays, and needs another token."""
        scale_set = self._named(given)
        if scale_set.session is not None:
            scale_set.session.tokens.clear()
        return {"name": scale_set.name}

    def connect(self, given: Json) -> Json:
        """`{"name": "...", "connected": true}`: the listener of a set's runner, with no container around it."""
        runner = self._runner(given["name"])
        runner.by_hand, runner.connected = True, bool(given.get("connected", True))
        runner.disconnected_at = None if runner.connected else time.time()
        return {"id": runner.id, "connected": runner.connected}

    def _all(self) -> list[tuple[Target, ScaleSet]]:
        return [(target, one) for target in self.github.targets.values() for one in target.scale_sets.values()]

    def _named(self, given: Json) -> ScaleSet:
        found = [scale_set for _, scale_set in self._all() if scale_set.name == given["name"]]
        if not found:
            raise ValueError(f"no scale set {given['name']}")
        return found[0]

    def _runner(self, name: str) -> Runner:
        found = self.github.find_runner(name)
        if found is None or found[1].scale_set is None:
            raise ValueError(f"no runner {name} of a scale set")
        return found[1]
