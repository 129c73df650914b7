"""Sessions of listeners, and the queue that they poll.

https://github.com/actions/scaleset/blob/main/session_client.go
https://github.com/actions/scaleset/pull/123
https://github.com/actions/actions-runner-controller/issues/4285
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from dataclasses import dataclass

from ...core import Core
from ...handlers import Json
from ..limits import Request, Response, bearer
from ..model import Target
from ..server import GitHub
from .answers import ServiceError, ok, set_json
from .jobs import ScaleSetJobs
from .model import ScaleSet, Session

CAPACITY = "x-scalesetmaxcapacity"
QUEUE_PATH = "/scalesets/message"


@dataclass
class Poll:
    """One that waits for a message."""

    target: Target
    scale_set: ScaleSet
    session: Session
    token: str
    last_message_id: int
    until: float


class Sessions:
    """Callers hold the core's lock."""

    def __init__(self, core: Core, github: GitHub, jobs: ScaleSetJobs) -> None:
        self.core = core
        self.github = github
        self.jobs = jobs

    def open(self, target: Target, scale_set: ScaleSet, given: Json, url: str) -> Response:
        now, owner = time.time(), str(given.get("ownerName") or "")
        present = scale_set.session
        if present is not None and present.is_alive(now, self.core.pace.session_silence):
            raise ServiceError(
                409,
                "RunnerScaleSetSessionConflictException",
                f"The runner scale set {scale_set.name} already has an active session for owner {present.owner}.",
            )
        scale_set.end_session()
        scale_set.session = Session(str(uuid.uuid4()), owner, now)
        scale_set.last_contact = now
        for message in scale_set.queue:
            message.delivered = False
        self.core.journal.event("scale set", "session opened", scale_set=scale_set.name, owner=owner)
        return self._answer(target, scale_set, scale_set.session, url, now)

    def renew(self, target: Target, scale_set: ScaleSet, session_id: str, url: str) -> Response:
        """Another token for the queue; those before it last as long as they did."""
        now, session = time.time(), self._present(scale_set, session_id)
        if session is None:
            raise ServiceError(
                404, "RunnerAdminException", "runner referenced a session ID that doesn't exist in redis"
            )
        session.last_seen = now
        return self._answer(target, scale_set, session, url, now)

    def close(self, scale_set: ScaleSet, session_id: str) -> Response:
        if self._present(scale_set, session_id) is None:
            raise ServiceError(
                400, "RunnerScaleSetSessionExpiredException", f"The session identifier {session_id} is not valid."
            )
        scale_set.end_session()
        self.core.journal.event("scale set", "session closed", scale_set=scale_set.name)
        return Response(204, None, {})

    def acquire_jobs(self, scale_set: ScaleSet, request: Request, request_ids: list[int]) -> Response:
        """With the token of the queue, not the administrator's."""
        now, session = time.time(), scale_set.session
        if session is None or not self._is_good(session, bearer(request), now):
            raise ServiceError(401, "", "The token of the queue has expired.")
        acquired = self.jobs.acquire(scale_set, request_ids, now)
        return Response(200, {"count": len(acquired), "value": acquired}, {})

    # The queue.

    def begin(self, target: Target, request: Request) -> Poll:
        scale_set, session = self._of_queue(target, request)
        if "api-version=" not in request.headers.get("accept", ""):
            raise ServiceError(400, "VssVersionNotSpecifiedException", "No api-version was supplied for the request.")
        try:
            capacity, last = int(request.headers.get(CAPACITY, "")), int(request.query.get("lastMessageId") or 0)
        except ValueError as error:
            raise ServiceError(400, "ArgumentException", "The capacity or the last message id is no number.") from error
        now = time.time()
        if capacity != scale_set.capacity:
            self.core.journal.event("scale set", "capacity", scale_set=scale_set.name, capacity=capacity)
        scale_set.capacity, scale_set.last_contact = capacity, now
        session.n_polls += 1
        if session.n_polls > 1:
            self.core.journal.event("scale set", "polled twice at a time", scale_set=scale_set.name)
        return Poll(target, scale_set, session, bearer(request) or "", last, now + self.core.pace.message_wait)

    def look(self, poll: Poll) -> Response | None:
        """The poll's answer, if it has one by now."""
        now = time.time()
        if poll.scale_set.session is not poll.session or poll.token not in poll.session.tokens:
            raise ServiceError(401, "", "The token of the queue has expired.")
        message = poll.scale_set.message_after(poll.last_message_id)
        if message is None:
            return Response(202, None, {}) if now >= poll.until else None
        message.delivered = True
        found = poll.scale_set.statistics_at(now - self.core.faults.statistics_lag).to_json()
        assigns = any(item["messageType"] == "JobAssigned" for item in message.items)
        if assigns and self.core.faults.scale_set_statistics == "zero":
            found = dict.fromkeys(found, 0)
        return Response(
            200,
            {
                "messageId": message.id,
                "messageType": "RunnerScaleSetJobMessages",
                "statistics": found,
                "body": _body(message.items),
            },
            {},
        )

    def end(self, poll: Poll) -> None:
        """It was answered, or its client has gone."""
        poll.session.n_polls -= 1
        poll.session.last_seen = poll.scale_set.last_contact = time.time()

    def acknowledge(self, target: Target, request: Request, message_id: int) -> Response:
        scale_set, session = self._of_queue(target, request)
        session.last_seen = time.time()
        scale_set.queue = [message for message in scale_set.queue if message.id != message_id]
        return Response(204, None, {})

    def _of_queue(self, target: Target, request: Request) -> tuple[ScaleSet, Session]:
        """By the session in the queue's address and the token; the same 401 for all that is wrong."""
        now, session_id = time.time(), request.query.get("sessionId")
        for scale_set in target.scale_sets.values():
            session = scale_set.session
            if session is not None and session.id == session_id and self._is_good(session, bearer(request), now):
                return scale_set, session
        raise ServiceError(401, "", "The token of the queue has expired.")

    def _present(self, scale_set: ScaleSet, session_id: str) -> Session | None:
        session = scale_set.session
        alive = session is not None and session.is_alive(time.time(), self.core.pace.session_silence)
        return session if session is not None and alive and session.id == session_id else None

    def _is_good(self, session: Session, token: str | None, now: float) -> bool:
        return session.is_alive(now, self.core.pace.session_silence) and now < session.tokens.get(token or "", 0.0)

    def _answer(self, target: Target, scale_set: ScaleSet, session: Session, url: str, now: float) -> Response:
        token = f"queue-{secrets.token_hex(24)}"
        session.tokens[token] = now + self.core.pace.queue_token_life
        self.github.planted.add(token)
        queue = f"{url}{QUEUE_PATH}?sessionId={session.id}"
        found = scale_set.statistics_at(now - self.core.faults.statistics_lag)
        return ok(
            {
                "sessionId": session.id,
                "ownerName": session.owner,
                "runnerScaleSet": set_json(target, scale_set, url),
                "messageQueueUrl": "" if self.core.faults.scale_set_sessions == "no queue" else queue,
                "messageQueueAccessToken": token,
                "statistics": found.to_json(),
            }
        )


def _body(items: list[Json]) -> str:
    """JSON within JSON, or nothing."""
    return json.dumps(items) if items else ""
