"""What IAM checks for the function's calls: one row for each action and type of resource, with the condition keys.

A row is what `GET /checks` of the control endpoint shows of a call, with fixed names in place of random ones.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from sandbox.scenario import FOREIGN_ROLE
from sandbox.world import Entry

CHECKS: list[Entry] = json.loads(Path(__file__).with_suffix(".json").read_text())
Kind = tuple[str, str]


def kind(check: Entry) -> Kind:
    """The action, and the service and type of the resource: `ecs:service`."""
    resource = str(check["resource"])
    if resource == "*":
        return check["action"], resource
    *_, service, _, _, path = resource.split(":", 5)
    return check["action"], f"{service}:{re.split(r'[:/]', path)[0]}"


def unlisted(checks: list[Entry]) -> set[Kind]:
    """Kinds of checks that no row has. A scenario has the function pass a foreign role, which is denied."""
    return {kind(check) for check in checks if check["resource"] != FOREIGN_ROLE} - set(map(kind, CHECKS))


def unused(checks: list[Entry]) -> set[Kind]:
    """Kinds of rows that no check had."""
    return set(map(kind, CHECKS)) - set(map(kind, checks))
