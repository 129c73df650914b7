"""Sets and their runners: what is created, found, changed and deleted."""

from __future__ import annotations

import time

from ...core import Core
from ...handlers import Json
from .. import just_in_time
from ..limits import Response
from ..model import Runner, RunnerGroup, Target
from ..server import GitHub
from .answers import ServiceError, listed, ok, runner_json, set_json
from .jobs import ScaleSetJobs
from .model import Phase, ScaleSet

LONGEST_NAME = 64


class Sets:
    """Callers hold the core's lock."""

    def __init__(self, core: Core, github: GitHub, jobs: ScaleSetJobs) -> None:
        self.core = core
        self.github = github
        self.jobs = jobs

    def groups(self, target: Target, name: str | None) -> Response:
        found = [group for group in target.groups.values() if name is None or group.name.lower() == name.lower()]
        return listed([_group_json(target, group) for group in found])

    def list(self, target: Target, query: dict[str, str], url: str) -> Response:
        group, name = query.get("runnerGroupId"), query.get("name")
        found = [
            scale_set
            for scale_set in target.scale_sets.values()
            if (not group or str(scale_set.group_id) == group) and (not name or scale_set.name.lower() == name.lower())
        ]
        return listed([set_json(target, scale_set, url) for scale_set in found])

    def get(self, target: Target, scale_set: ScaleSet, url: str) -> Response:
        return ok(set_json(target, scale_set, url))

    def create(self, target: Target, given: Json, url: str) -> Response:
        name, group = given.get("name"), given.get("runnerGroupId")
        labels = [label.get("name") for label in given.get("labels") or []]
        if not isinstance(name, str) or not name or not all(isinstance(one, str) and one.strip() for one in labels):
            raise ServiceError(400, "ArgumentException", "The name and each label must not be empty.")
        self._check(target, name, group, None)
        if not labels or self.core.faults.scale_set_labels == "dropped":
            labels = [name]
        now = time.time()
        disable_update = bool(_setting(given).get("disableUpdate"))
        made = ScaleSet(self.github.new_id(), name, int(group or 0), labels, disable_update, now, now)
        target.scale_sets[made.id] = made
        self.core.journal.event("scale set", "created", scale_set=name, labels=labels, target=target.key)
        return ok(set_json(target, made, url))

    def change(self, target: Target, scale_set: ScaleSet, given: Json, url: str) -> Response:
        """All but the labels, which stay as they are without a word.

        https://github.com/actions/actions-runner-controller/issues/4424
        """
        name, group = given.get("name") or scale_set.name, given.get("runnerGroupId") or scale_set.group_id
        self._check(target, name, group, scale_set)
        scale_set.name, scale_set.group_id = name, group
        scale_set.disable_update = bool(_setting(given).get("disableUpdate", scale_set.disable_update))
        return ok(set_json(target, scale_set, url))

    def delete(self, target: Target, scale_set: ScaleSet) -> Response:
        """https://github.com/actions/actions-runner-controller/blob/master/docs/adrs/2022-10-27-runnerscaleset-lifetime.md"""
        if any(c.phase is Phase.RUNNING or c.job.state == "dispatched" for c in scale_set.claims.values()):
            raise ServiceError(400, "JobStillRunningException", f"A job is running in the scale set {scale_set.name}.")
        scale_set.end_session()
        self.jobs.delete(target, scale_set, "deleted by request")
        return Response(204, None, {})

    def generate_jit_config(self, target: Target, scale_set: ScaleSet, given: Json) -> Response:
        name = given.get("name")
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
            raise ServiceError(400, "ArgumentException", f"The name must have 1 to {LONGEST_NAME} characters.")
        if any(runner.name == name for runner in target.runners.values()):
            raise ServiceError(409, "TaskAgentExistsException", f"The agent {name} already exists.")
        runner = Runner(
            id=self.github.new_id(),
            name=name,
            labels=[],
            group_id=scale_set.group_id,
            ephemeral=True,
            no_default_labels=True,
            just_in_time=True,
            scale_set=scale_set.id,
        )
        target.runners[runner.id] = runner
        folder = str(given.get("workFolder") or "_work")
        encoded, secret_files = just_in_time.configuration(runner, folder, self.github.base_url)
        self.github.planted.update({encoded, *secret_files})
        self.core.journal.event(
            "runner", "configured just in time", runner=name, target=target.key, scale_set=scale_set.name
        )
        return ok({"runner": runner_json(runner), "encodedJITConfig": encoded})

    def agents(self, target: Target, name: str | None) -> Response:
        return listed([runner_json(one) for one in target.runners.values() if not name or one.name == name])

    def agent(self, target: Target, number: int) -> Runner:
        runner = target.runners.get(number)
        if runner is None:
            raise ServiceError(404, "TaskAgentNotFoundException", f"No agent found with identifier {number}.")
        return runner

    def delete_agent(self, target: Target, number: int) -> Response:
        runner = self.agent(target, number)
        if runner.is_reported_busy(time.time(), self.core.faults.busy_lag):
            raise ServiceError(400, "JobStillRunningException", f"The agent {runner.name} is running a job.")
        self.github.remove(target, runner, "deleted by request")
        return Response(204, None, {})

    def _check(self, target: Target, name: str, group: object, own: ScaleSet | None) -> None:
        """https://docs.github.com/en/actions/how-tos/manage-runners/use-actions-runner-controller/use-arc-in-a-workflow"""
        if not isinstance(group, int) or group not in target.groups:
            raise ServiceError(404, "RunnerGroupNotFoundException", f"No runner group found with identifier {group}.")
        same = [one for one in target.scale_sets.values() if one.name.lower() == name.lower() and one.group_id == group]
        if same and same[0] is not own:
            raise ServiceError(400, "RunnerScaleSetExistsException", f"A runner scale set {name} already exists.")


def _setting(given: Json) -> Json:
    """The reference client writes the member with a capital."""
    return given.get("RunnerSetting") or given.get("runnerSetting") or {}


def _group_json(target: Target, group: RunnerGroup) -> Json:
    n_runners = sum(runner.group_id == group.id for runner in target.runners.values())
    return {"id": group.id, "name": group.name, "size": n_runners, "isDefaultGroup": group.id == 1}
