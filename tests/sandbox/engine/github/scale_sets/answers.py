"""Answers of the service: its JSON, and its errors, which say by a .NET type what they are."""

from __future__ import annotations

import uuid

from ...handlers import Json
from ..apps import utc
from ..limits import Response
from ..model import Runner, Target
from .model import ScaleSet

SETS_PATH = "/_apis/runtime/runnerscalesets"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_RUNTIME = "GitHub.Actions.Runtime.WebApi"
_AGENTS = "GitHub.DistributedTask.WebApi"
_SERVICES = "GitHub.Services.Common"


class ServiceError(Exception):
    """An error of the service.

    The reference client looks for `AgentExistsException` anywhere in the type; the runner's own sources have the whole:
    https://github.com/actions/runner/blob/main/src/Sdk/DTWebApi/WebApi/Exceptions.cs
    """

    def __init__(self, status: int, type_name: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"$id": "1", "innerException": None, "message": message}
        if type_name:
            space = _AGENTS if "Agent" in type_name or "Job" in type_name else _RUNTIME
            space = _SERVICES if type_name.startswith("Vss") else space
            self.body |= {
                "typeName": f"{space}.{type_name}, {space}",
                "typeKey": type_name,
                "errorCode": 0,
                "eventId": 3000,
            }


def ok(body: Json) -> Response:
    return Response(200, body, {})


def with_activity(response: Response) -> Response:
    """https://github.com/actions/scaleset/blob/main/common_client.go"""
    activity = str(uuid.uuid4())
    return Response(response.status, response.body, {**response.headers, "activityid": activity})


def listed(values: list[Json]) -> Response:
    return ok({"count": len(values), "value": values})


def no_such_set(number: int) -> ServiceError:
    """https://github.com/actions/actions-runner-controller/issues/3935"""
    return ServiceError(404, "RunnerScaleSetNotFoundException", f"No runner scale set found with identifier {number}.")


def set_json(target: Target, scale_set: ScaleSet, url: str) -> Json:
    """Without statistics: whether the service fills them in here is not known."""
    return {
        "id": scale_set.id,
        "name": scale_set.name,
        "runnerGroupId": scale_set.group_id,
        "runnerGroupName": target.groups[scale_set.group_id].name,
        "labels": [
            {"id": number, "name": label, "type": "System"} for number, label in enumerate(scale_set.labels, start=1)
        ],
        "runnerSetting": {"disableUpdate": scale_set.disable_update},
        "createdOn": utc(scale_set.created_at),
        "runnerJitConfigUrl": f"{url}{SETS_PATH}/{scale_set.id}/generatejitconfig",
        "statistics": None,
    }


def runner_json(runner: Runner) -> Json:
    """A runner of no set has no member that names one."""
    of_set = {} if runner.scale_set is None else {"runnerScaleSetId": runner.scale_set}
    return {"id": runner.id, "name": runner.name, **of_set}
