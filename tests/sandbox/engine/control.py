"""The control endpoint for tests and the demo. README.md has the list of requests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any
from urllib.parse import parse_qs, unquote

from .cloudformation.stack_status import StackStatuses
from .core import Core, Faults
from .ecs.engine import Ecs
from .github.model import App, Runner, RunnerGroup, Token
from .github.scale_sets.control import ScaleSetControl
from .github.server import REGISTRATION_LIFE, GitHub
from .handlers import Json
from .invocations import Invocations
from .job_generator import JobGenerator
from .jobs import Jobs
from .task_sessions import credentials


class NotFoundError(Exception):
    """The request names something that is not there."""


class Control:
    """JSON in, JSON out. One method per path."""

    def __init__(
        self,
        core: Core,
        ecs: Ecs,
        github: GitHub,
        jobs: Jobs,
        traffic: JobGenerator,
        invocations: Invocations,
        stack_status: StackStatuses,
        scale_sets: ScaleSetControl,
        signatures: Callable[[], list[str]],
    ) -> None:
        self.core = core
        self.ecs = ecs
        self.github = github
        self.jobs = jobs
        self.signatures = signatures
        self.routes: dict[tuple[str, str], Callable[[Json], Any]] = {
            ("GET", "/events"): lambda q: core.journal.events(int(q.get("after", 0))),
            ("GET", "/calls"): lambda q: core.journal.calls(int(q.get("after", 0))),
            ("GET", "/checks"): lambda _: core.journal.checks(),
            ("GET", "/exchanges"): lambda q: core.journal.exchanges(int(q.get("after", 0))),
            ("POST", "/reset-calls"): lambda _: core.journal.forget_calls(),
            ("GET", "/faults"): lambda _: asdict(core.faults),
            ("POST", "/faults"): self.set_faults,
            ("DELETE", "/faults"): self.clear_faults,
            ("GET", "/jobs"): lambda _: [job.to_json() for job in github.jobs.values()],
            ("POST", "/jobs"): self.queue_job,
            ("POST", "/jobs/cancel"): self.cancel_job,
            ("POST", "/traffic"): traffic.set,
            ("POST", "/kill"): invocations.kill,
            ("POST", "/stacks"): stack_status.set,
            ("GET", "/github"): self.show_github,
            ("POST", "/github/targets"): self.add_target,
            ("POST", "/github/tokens"): self.put_token,
            ("DELETE", "/github/tokens"): self.revoke_token,
            ("POST", "/github/apps"): self.put_app,
            ("POST", "/github/registration-tokens"): self.new_registration_token,
            ("POST", "/github/runner-groups"): self.add_group,
            ("POST", "/github/runners"): self.add_runner,
            ("DELETE", "/github/runners"): self.remove_runner,
            ("POST", "/task-credentials"): self.task_credentials,
            ("POST", "/github/admin-tokens"): self.new_admin_token,
            ("GET", "/secrets"): self.secrets,
            **scale_sets.routes,
        }

    def handle(self, method: str, path: str, query: Json, body: bytes) -> tuple[int, Any]:
        operation = self.routes.get((method, path))
        if operation is None:
            return 404, {"error": f"no {method} {path}", "paths": sorted(f"{m} {p}" for m, p in self.routes)}
        try:
            given = {**query, **(json.loads(body) if body else {})}
            with self.core.lock:
                return 200, operation(given)
        except NotFoundError as problem:
            return 404, {"error": str(problem)}
        except (KeyError, TypeError, ValueError) as problem:
            return 400, {"error": f"{type(problem).__name__}: {problem}"}

    def set_faults(self, given: Json) -> Json:
        """Only what is named changes."""
        names = {field.name for field in fields(Faults)}
        if unknown := set(given) - names:
            raise ValueError(f"unknown faults {sorted(unknown)}, known are {sorted(names)}")
        for name, value in given.items():
            setattr(self.core.faults, name, value)
        self.core.journal.event("faults", "set", faults=given)
        return asdict(self.core.faults)

    def clear_faults(self, _: Json) -> Json:
        self.core.faults = Faults()
        return asdict(self.core.faults)

    def queue_job(self, given: Json) -> Json:
        labels = given.get("labels") or []
        seconds, unannounced = float(given.get("seconds", 5)), bool(given.get("unannounced", False))
        return self.jobs.queue(labels, seconds, given.get("runner"), time.time(), unannounced).to_json()

    def cancel_job(self, given: Json) -> Json:
        """`{"id": 1007}`."""
        job = self.github.jobs.get(int(given["id"]))
        if job is None:
            raise NotFoundError(f"no job {given['id']}")
        self.jobs.cancel(job, time.time())
        return job.to_json()

    def show_github(self, _: Json) -> Json:
        now, pace = time.time(), self.core.pace
        return {
            "url": self.github.base_url.removesuffix("/api/v3"),
            "targets": {
                target.key: {
                    "runner_groups": [asdict(group) for group in target.groups.values()],
                    "runners": [
                        {
                            **runner.to_json(now, self.core.faults.busy_lag, pace.offline_after),
                            "labels": runner.all_labels,
                            "job": runner.job.id if runner.job else None,
                            "scale_set": runner.scale_set,
                        }
                        for runner in target.runners.values()
                    ],
                }
                for target in self.github.targets.values()
            },
        }

    def add_target(self, given: Json) -> Json:
        """`{"target": "orgs/acme"}`, `repos/acme/app` or `enterprises/acme`."""
        return {"target": self.github.target(given["target"]).key}

    def put_token(self, given: Json) -> Json:
        """`{"token": "...", "kind": "fine-grained", "grants": {"orgs/acme": "write"}}`, replacing what it could do."""
        for key in given.get("grants") or {}:
            if not key.endswith("/*"):
                self.github.target(key)
        token = Token(given["token"], given.get("kind", "fine-grained"), given.get("grants") or {})
        self.github.put_token(token)
        return {"grants": token.grants}

    def revoke_token(self, given: Json) -> Json:
        return {"revoked": self.github.tokens.pop(given["token"], None) is not None}

    def put_app(self, given: Json) -> Json:
        """`{"id": "7", "public_key": PEM, "installations": [{"id": 1, "target": "orgs/acme", "level": "write"}]}`."""
        app = App(str(given["id"]), given["public_key"])
        for item in given.get("installations") or []:
            number, key = int(item["id"]), item["target"]
            self.github.target(key)
            app.installations[number] = Token("", "installation", {key: item.get("level", "write")})
            app.accounts[number] = key
        self.github.apps[app.id] = app
        return {"id": app.id}

    def new_registration_token(self, given: Json) -> Json:
        """`{"target": "orgs/acme", "life": 0}`: one that is good for so many seconds, an hour unless said otherwise."""
        life = float(given.get("life", REGISTRATION_LIFE))
        return {"token": self.github.new_registration_token(self.github.target(given["target"]), life)}

    def new_admin_token(self, given: Json) -> Json:
        """`{"target": "orgs/acme", "life": 60}`: the address of the scale-set service, and a token for it."""
        target = self.github.target(given["target"])
        return {
            "url": self.github.scale_sets_url(target),
            "token": self.github.new_admin_token(target, float(given.get("life", self.core.pace.admin_token_life))),
        }

    def add_group(self, given: Json) -> Json:
        """`{"target": "orgs/acme", "name": "...", "inherited": true}`."""
        target = self.github.target(given["target"])
        group = RunnerGroup(max(target.groups) + 1, given["name"], bool(given.get("inherited", False)))
        target.groups[group.id] = group
        return asdict(group)

    def add_runner(self, given: Json) -> Json:
        """A runner that is none of ours: `{"target", "name", "labels", "online", "busy", "group_id"}`."""
        target = self.github.target(given["target"])
        runner = Runner(
            id=self.github.new_id(),
            name=given["name"],
            labels=list(given.get("labels") or []),
            group_id=int(given.get("group_id", 1)),
            ephemeral=bool(given.get("ephemeral", False)),
            no_default_labels=bool(given.get("no_default_labels", False)),
            forced_busy=bool(given.get("busy", False)),
            forced_online=bool(given.get("online", True)),
        )
        target.runners[runner.id] = runner
        return {"id": runner.id, "name": runner.name}

    def remove_runner(self, given: Json) -> Json:
        """Deletes a registration, busy or not."""
        found = self.github.find_runner(given["name"])
        if found is None:
            raise NotFoundError(f"no runner {given['name']}")
        self.github.remove(*found, "removed by hand")
        return {"removed": given["name"]}

    def task_credentials(self, given: Json) -> Json:
        """`{"task": ARN}`: another session of its role, which its containers might have as well."""
        task = self.ecs.tasks.get(given["task"])
        if task is None:
            raise NotFoundError(f"no task {given['task']}")
        return asdict(credentials(task, *self.core.settings.place))

    def secrets(self, _: Json) -> Json:
        """What must never appear in a log or a response."""
        return {
            "tokens": sorted(self.github.planted),
            "signatures": self.signatures(),
        }


def decoded_query(query_string: bytes) -> Json:
    return {unquote(name): values[-1] for name, values in parse_qs(query_string.decode()).items()}
