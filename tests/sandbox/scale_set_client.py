"""A small client of GitHub's scale-set service, and a listener made with it, to try the local one without the product.

The calls are those of the reference client, https://github.com/actions/scaleset.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from sandbox.world import Entry, World

SETS = "_apis/runtime/runnerscalesets"
AGENTS = "_apis/distributedtask/pools/0/agents"
API_VERSION = "6.0-preview"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Answer:
    """A response of the service."""

    status: int
    body: Any
    marked: bool
    """Whether it began with a byte order mark."""
    headers: dict[str, str]

    @property
    def error(self) -> str:
        """The last part of the .NET type that it names."""
        return str(self.body.get("typeName", "")).split(",")[0].rsplit(".", 1)[-1]


@dataclass
class Client:
    """An administrator's connection."""

    world: World
    url: str
    token: str

    def call(self, method: str, path: str, body: Any = None, token: str | None = None, **query: Any) -> Answer:
        query = {"api-version": API_VERSION, **query}
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        return send(method, f"{self.url}{path}?{asked}", token or self.token, body)

    def create(self, name: str, *labels: str, group: int = 1, **more: Any) -> Answer:
        """With the labels, or without any."""
        given: Entry = {"name": name, "runnerGroupId": group, "RunnerSetting": {"disableUpdate": True}, **more}
        if labels:
            given["labels"] = [{"name": label, "type": "System"} for label in labels]
        return self.call("POST", SETS, given)

    def made(self, name: str, *labels: str) -> Listener:
        """A set that is created with its name and these labels, and its listener."""
        answer = self.create(name, name, *labels)
        assert answer.status == 200, answer
        return Listener(self, name, int(answer.body["id"]))


@dataclass
class Listener:
    """What polls for one set."""

    client: Client
    name: str
    id: int
    session: Entry = field(default_factory=dict)
    last_message_id: int = 0

    @property
    def path(self) -> str:
        return f"{SETS}/{self.id}"

    @property
    def world(self) -> World:
        return self.client.world

    def open(self, owner: str = "test") -> Answer:
        answer = self.client.call("POST", f"{self.path}/sessions", {"ownerName": owner})
        if answer.status == 200:
            self.session = answer.body
        return answer

    def renew(self) -> Answer:
        answer = self.client.call("PATCH", f"{self.path}/sessions/{self.session['sessionId']}")
        if answer.status == 200:
            self.session = answer.body
        return answer

    def close(self) -> Answer:
        return self.client.call("DELETE", f"{self.path}/sessions/{self.session['sessionId']}")

    def poll(self, capacity: int | None = 10, **headers: str) -> Answer:
        """One poll; it acknowledges nothing."""
        more = f"&lastMessageId={self.last_message_id}" if self.last_message_id else ""
        sent = {"accept": f"application/json; api-version={API_VERSION}", **headers}
        if capacity is not None:
            sent["x-scalesetmaxcapacity"] = str(capacity)
        url, token = f"{self.session['messageQueueUrl']}{more}", self.session["messageQueueAccessToken"]
        return send("GET", url, token, None, sent)

    def acknowledge(self, message_id: int) -> Answer:
        address, _, query = str(self.session["messageQueueUrl"]).partition("?")
        return send("DELETE", f"{address}/{message_id}?{query}", self.session["messageQueueAccessToken"])

    def take(self, capacity: int = 10) -> Entry | None:
        """The next message, acknowledged: its statistics, and its items under `items`."""
        answer = self.poll(capacity)
        if answer.status == 202:
            return None
        assert answer.status == 200, answer
        self.last_message_id = answer.body["messageId"]
        assert self.acknowledge(self.last_message_id).status == 204
        return {**answer.body, "items": json.loads(answer.body["body"] or "[]")}

    def until(self, kind: str, job: int | None = None, capacity: int = 10) -> tuple[Entry, Entry]:
        """Takes messages up to the one with such an item, of this job: the message and the item."""

        def found() -> tuple[Entry, Entry] | None:
            message = self.take(capacity) or {"items": []}
            items = [one for one in message["items"] if one["messageType"] == kind]
            items = [one for one in items if job is None or one["workflowRunId"] == job]
            return (message, items[0]) if items else None

        return self.world.wait_for(f"{kind} of job {job}", found)

    def acquire(self, request_ids: list[int], token: str | None = None) -> Answer:
        token = token or self.session["messageQueueAccessToken"]
        return self.client.call("POST", f"{self.path}/acquirejobs", request_ids, token)

    def generate(self, name: str, work_folder: str = "/_work") -> Answer:
        return self.client.call("POST", f"{self.path}/generatejitconfig", {"name": name, "workFolder": work_folder})

    def runner(self, name: str) -> int:
        """A runner of the set that is online, without a container around it: its id."""
        made = self.generate(name)
        assert made.status == 200, made
        self.world.post("/scale-sets/runners", name=name)
        return int(made.body["runner"]["id"])

    def state(self) -> Entry:
        """What GitHub keeps of the set."""
        return next(one for one in self.world.get("/scale-sets") if one["id"] == self.id)

    def phase(self, job: int) -> str | None:
        """What a job is to the set."""
        return self.state()["jobs"].get(str(job))


def exchange(world: World, registration_token: str, url: str | None = None) -> tuple[int, Any]:
    """Registration token for administrator's connection."""
    body = {"url": url or f"{world.github}/acme", "runner_event": "register"}
    headers = {"authorization": f"RemoteAuth {registration_token}"}
    return world.github_call("POST", "/actions/runner-registration", headers=headers, body=body)


def connect(world: World, target: str = "orgs/acme") -> Client:
    """By a registration token, as the reference client does."""
    status, made = world.github_call("POST", f"/{target}/actions/runners/registration-token")
    assert status == 201, made
    path = target.removeprefix("orgs/").removeprefix("repos/")
    status, answer = exchange(world, made["token"], f"{world.github}/{path}")
    assert status == 200, answer
    return Client(world, answer["url"], answer["token"])


def send(method: str, url: str, token: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """One request, and its response whatever the status."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"authorization": f"Bearer {token}", "user-agent": "sandbox-tests", **(headers or {})}
    if data is not None:
        sent["content-type"] = "application/json"
    request = urllib.request.Request(url, data, headers=sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return _answer(response.status, response.read(), response.headers)
    except urllib.error.HTTPError as error:
        return _answer(error.code, error.read(), error.headers)


def _answer(status: int, content: bytes, headers: Any) -> Answer:
    marked = content.startswith(BYTE_ORDER_MARK)
    text = content.removeprefix(BYTE_ORDER_MARK)
    return Answer(status, json.loads(text) if text else None, marked, {k.lower(): v for k, v in headers.items()})
