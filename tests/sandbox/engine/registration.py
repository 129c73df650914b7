"""How a container gets its registration: it asks through the registrations table, and takes the answer away.

The start script of the task definition does this with the AWS CLI. Here it is done in this process, over HTTP with the
task's own signed credentials, so that IAM decides about every call. No call is made while the core's lock is held.
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from dataclasses import dataclass
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .handlers import Json
from .settings import Durations
from .task_sessions import TaskCredentials

FORMAT = "1"
ARCHITECTURE = "x86_64"
ITEM_LIFE_SECS = 3600
NOT_YET = "ConditionalCheckFailedException"
_USER_ID = re.compile(r"<UserId>([^<]+)</UserId>")
# Each attribute through a placeholder: `key` and `ttl` are reserved words.
_ANSWER = {"#answer": "answer"}


@dataclass(frozen=True)
class Place:
    """Where the local AWS is, and at what pace the container asks."""

    endpoint: str
    region: str
    pace: Durations


class RefusedError(Exception):
    """The container ends; the text is the last line of its log."""


class CallError(Exception):
    """AWS's error, with its code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Registration(threading.Thread):
    """One container's way to its registration. What it finds is read with `lines`, `answer` and `failure`."""

    def __init__(self, place: Place, credentials: TaskCredentials, table: str, task_arn: str) -> None:
        super().__init__(name=f"registration of {task_arn.rsplit('/', 1)[-1]}", daemon=True)
        self.lines: deque[str] = deque()
        """What it prints into the container's log."""
        self.answer: Json | None = None
        self.failure: str | None = None
        self._place = place
        self._credentials = credentials
        self._table = table
        self._task_arn = task_arn
        self._ended = threading.Event()
        self._until = time.time() + place.pace.registration_wait

    def stop(self) -> None:
        """The container has ended."""
        self._ended.set()

    def run(self) -> None:
        try:
            self.answer = self._registered()
        except RefusedError as problem:
            self.failure = str(problem)

    def _registered(self) -> Json | None:
        """What the function answers; `None` if the container ends meanwhile."""
        attempt, why = 0, "no answer"
        while not self._ended.is_set():
            if time.time() >= self._until:
                raise RefusedError(f"no registration in time: {why}")
            attempt += 1
            try:
                answer = self._ask(self._key(), attempt)
            except (CallError, OSError) as problem:
                answer = {"kind": "refused", "message": str(problem), "retry": True}
            if answer is None:
                continue
            if answer.get("kind") != "refused":
                return answer
            why = str(answer.get("message"))
            if not answer.get("retry"):
                raise RefusedError(why)
            self.lines.append(f"registration refused, asking again: {why}")
            self._ended.wait(self._place.pace.registration_retry)
        return None

    def _ask(self, key: str, attempt: int) -> Json | None:
        """One request, and its answer if that comes before the next request is due."""
        self._put(key, attempt)
        until = min(self._until, time.time() + self._place.pace.registration_retry)
        while not self._ended.wait(self._place.pace.registration_poll) and time.time() < until:
            if (answer := self._take(key)) is not None:
                return answer
        return None

    def _key(self) -> str:
        text = self._call("sts", b"Action=GetCallerIdentity&Version=2011-06-15", "application/x-www-form-urlencoded")
        found = _USER_ID.search(text)
        if found is None:
            raise RefusedError("GetCallerIdentity has no user id")
        return found[1]

    def _put(self, key: str, attempt: int) -> None:
        item = {
            "key": {"S": key},
            "format": {"N": FORMAT},
            "task": {"S": self._task_arn},
            "attempt": {"N": str(attempt)},
            "architecture": {"S": ARCHITECTURE},
            "ttl": {"N": str(int(time.time()) + ITEM_LIFE_SECS)},
        }
        try:
            self._dynamodb(
                "PutItem",
                Item=item,
                ConditionExpression="attribute_not_exists(#answer)",
                ExpressionAttributeNames=_ANSWER,
            )
        except CallError as error:
            # An answer is there already.
            if error.code != NOT_YET:
                raise

    def _take(self, key: str) -> Json | None:
        try:
            taken = self._dynamodb(
                "DeleteItem",
                Key={"key": {"S": key}},
                ConditionExpression="attribute_exists(#answer)",
                ExpressionAttributeNames=_ANSWER,
                ReturnValues="ALL_OLD",
            )
        except CallError as error:
            if error.code != NOT_YET:
                raise
            return None
        return dict(json.loads(taken["Attributes"]["answer"]["S"]))

    def _dynamodb(self, operation: str, **request: Any) -> Json:
        body = json.dumps({"TableName": self._table, **request}).encode()
        target = {"X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        return dict(json.loads(self._call("dynamodb", body, "application/x-amz-json-1.0", target) or "{}"))

    def _call(self, service: str, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> str:
        given = self._credentials
        signer = SigV4Auth(
            Credentials(given.access_key_id, given.secret_access_key, given.session_token), service, self._place.region
        )
        signed = AWSRequest(
            "POST", self._place.endpoint + "/", {"Content-Type": content_type, **(headers or {})}, data=body
        )
        signer.add_auth(signed)
        request = urllib.request.Request(self._place.endpoint + "/", body, dict(signed.headers.items()))
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            raise _call_error(error.read().decode(errors="replace"), error.code) from error


def _call_error(text: str, status: int) -> CallError:
    try:
        body = json.loads(text)
    except ValueError:
        return CallError(str(status), text)
    code = str(body.get("__type") or status).rsplit("#", 1)[-1]
    return CallError(code, str(body.get("message") or body.get("Message") or ""))
