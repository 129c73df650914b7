"""Just-in-time configurations: what is asked for, and the files that the listener is given.

https://docs.github.com/en/rest/actions/self-hosted-runners#create-configuration-for-a-just-in-time-runner-for-an-organization
https://github.com/actions/runner/blob/main/src/Runner.Listener/Runner.cs
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from typing import Any

from .limits import GitHubError
from .model import Runner, Target

SETTINGS = ".runner"
CREDENTIALS = ".credentials"
RSA_KEY = ".credentials_rsaparams"
LABELS_MAX = 100
NAME_MAX = 64
# .NET writes one in front of a file.
BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class JitRunner:
    """A request's body."""

    name: str
    group_id: int
    labels: list[str]
    work_folder: str

    def runner(self, runner_id: int) -> Runner:
        """The registration. Its labels are those that were asked for, and no others."""
        return Runner(
            id=runner_id,
            name=self.name,
            labels=self.labels,
            group_id=self.group_id,
            ephemeral=True,
            no_default_labels=True,
            just_in_time=True,
        )


def parsed(body: bytes, target: Target) -> JitRunner:
    """The request, or GitHub's 422."""
    try:
        given: dict[str, Any] = json.loads(body or b"{}")
    except ValueError as error:
        raise GitHubError(400, "Problems parsing JSON") from error
    name, group, labels = given.get("name"), given.get("runner_group_id"), given.get("labels") or []
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX:
        raise GitHubError(422, f"Invalid name: must be between 1 and {NAME_MAX} characters.")
    if not isinstance(group, int) or group not in target.groups:
        raise GitHubError(422, f"Invalid runner_group_id: no runner group {group}.")
    is_list = isinstance(labels, list) and 1 <= len(labels) <= LABELS_MAX
    if not is_list or not all(isinstance(label, str) and label.strip() for label in labels):
        raise GitHubError(422, f"Invalid labels: must be between 1 and {LABELS_MAX} names.")
    return JitRunner(name, group, labels, str(given.get("work_folder") or "_work"))


def configuration(runner: Runner, work_folder: str, url: str) -> tuple[str, list[str]]:
    """The whole, and the encoded files in it that are secret."""
    settings = {
        "agentId": runner.id,
        "agentName": runner.name,
        "poolId": runner.group_id,
        "serverUrl": url,
        "workFolder": work_folder,
        "ephemeral": True,
    }
    credentials = {"scheme": "OAuth", "data": {"clientId": secrets.token_hex(16), "authorizationUrl": url}}
    texts = {
        SETTINGS: BYTE_ORDER_MARK + json.dumps(settings),
        CREDENTIALS: json.dumps(credentials),
        RSA_KEY: json.dumps({"d": secrets.token_hex(32), "modulus": secrets.token_hex(32)}),
    }
    files = {name: _encoded(text) for name, text in texts.items()}
    return _encoded(json.dumps(files)), [files[CREDENTIALS], files[RSA_KEY]]


def agent_id(files: dict[str, str]) -> int:
    """The registration that the listener connects as, by the files in its folder."""
    if missing := {SETTINGS, CREDENTIALS, RSA_KEY} - files.keys():
        raise ValueError(f"no {', '.join(sorted(missing))}")
    settings = json.loads(base64.b64decode(files[SETTINGS]).decode().removeprefix(BYTE_ORDER_MARK))
    # The listener reads the names whatever their case.
    return int({name.lower(): value for name, value in settings.items()}["agentid"])


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
