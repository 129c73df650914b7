"""The items of the state table about pools with `MaxRunners`, as src/pool/model/scaling.rs writes them.

With these, a test has many such pools without a stack for each.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from sandbox.function import FUNCTION_NAME
from sandbox.world import TOKEN_PARAMETER, Entry, World

FORMAT = 1
LISTENER_KEY = "listener"
SCALED_POOLS_KEY = "scaled-pools"
NO_JOBS = dict.fromkeys(
    ("available", "acquired", "assigned", "running", "registered_runners", "busy_runners", "idle_runners"), 0
)


@dataclass(frozen=True)
class ScaledPool:
    """One that has an item, a scale set of its own name, and no stack."""

    id: str
    scale_set: int
    cluster: str
    capacity_provider: str
    task_definition: str
    max_runners: int = 4

    @property
    def key(self) -> str:
        return f"scaling#{self.id}"

    def record(self, authority: str) -> Entry:
        """As a request writes it that no listener has read yet; `authority` is the GitHub server's."""
        metadata = {
            "cluster": self.cluster,
            "github": {"host": {"authority": authority, "scheme": "HttpOnLoopback"}, "scope": {"Organization": "acme"}},
            "github_credential": {"AccessToken": TOKEN_PARAMETER},
            "matcher": {"label": self.id, "pool_hash": self.id.rsplit("-", 1)[1], "fixed_names": []},
            "registration": None,
            "external_capacity_provider": self.capacity_provider,
            "scale_set": {"name": self.id, "group": None, "labels": [self.id], "disable_auto_update": True},
        }
        goal = {
            "request_id": "made-up",
            "mode": "Active",
            "scale_set": self.scale_set,
            "metadata": metadata,
            "min_runners": 0,
            "max_runners": self.max_runners,
            "task_definition": self.task_definition,
            "capacity_provider": self.capacity_provider,
            "distinct_instances": False,
            "tags": {"github-runner-pool:id": self.id},
            "wait_policy": {
                "online_timeout": _duration(900),
                "idle_confirmation": _duration(60),
                "drain_timeout": _duration(1800),
                "on_drain_timeout": "Cancel",
                "on_deregister_failure": "Warn",
            },
        }
        progress = {
            "session": None,
            "last_message_id": 0,
            "statistics": NO_JOBS,
            "since": int(time.time() * 1000),
            "n_starts": 0,
            "pending_start": None,
            "recent_tasks": {},
        }
        return {"format": FORMAT, "goal": goal, "progress": progress}


def _duration(seconds: int) -> Entry:
    return {"secs": seconds, "nanos": 0}


class StateTable:
    """The function's table, made without the provider's stack."""

    def __init__(self, world: World, name: str = f"{FUNCTION_NAME}-state") -> None:
        self.client: Any = world.client("dynamodb")
        self.name = name

    def create(self) -> StateTable:
        self.client.create_table(
            TableName=self.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        )
        return self

    def write(self, key: str, record: Entry | str) -> None:
        """Over whatever is there, as another writer that had read it would."""
        text = record if isinstance(record, str) else json.dumps(record)
        version = self.version(key) + 1
        item = {"key": {"S": key}, "version": {"N": str(version)}, "record": {"S": text}}
        self.client.put_item(TableName=self.name, Item=item)

    def version(self, key: str) -> int:
        item = self._item(key)
        return int(item["version"]["N"]) if item else 0

    def record(self, key: str) -> Entry:
        return dict(json.loads(self._item(key)["record"]["S"]))

    def list_pools(self, pools: list[ScaledPool]) -> None:
        self.write(SCALED_POOLS_KEY, {"pools": [pool.id for pool in pools]})

    def expire_lease(self) -> None:
        """As if its listener had not renewed it for long: the next one begins at once."""
        self.write(LISTENER_KEY, {"expires_at": None})

    def is_leased(self) -> bool:
        """Whether a listener is at work."""
        item = self._item(LISTENER_KEY)
        expires_at = json.loads(item["record"]["S"])["expires_at"] if item else None
        return expires_at is not None and expires_at > time.time() * 1000

    def _item(self, key: str) -> Entry:
        found = self.client.get_item(TableName=self.name, Key={"key": {"S": key}}, ConsistentRead=True)
        return dict(found.get("Item") or {})
