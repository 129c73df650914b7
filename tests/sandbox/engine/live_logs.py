"""A function's log while an invocation runs. MiniStack alone writes it when the invocation ends.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import cloudwatch_logs, lambda_svc


@dataclass
class LiveStream:
    """The stream of one invocation, and the lines that it has so far."""

    stream: dict[str, Any]
    lines: list[str] = field(default_factory=list[str])

    def append(self, lines: list[str]) -> None:
        now_ms = int(time.time() * 1000)
        events = [{"timestamp": now_ms, "message": line, "ingestionTime": now_ms} for line in lines]
        cloudwatch_logs._append_log_events(self.stream, events)
        self.lines += lines


class LiveLogs:
    """The streams of the invocations that run, by their request ids."""

    def __init__(self) -> None:
        self._streams: dict[str, LiveStream] = {}

    def install(self) -> None:
        """Wraps the reader of a process's output, and what writes the log at the end."""
        pump, emit = lambda_runtime.ProvidedWorker._pump_output, lambda_svc._emit_lambda_logs

        def pumped(worker: Any, output: Any, log_queue: Any) -> None:
            pump(worker, _Output(self, worker, output), log_queue)

        def emitted(
            function: dict[str, Any], request_id: str, text: str, error: bool, duration_ms: int, **more: Any
        ) -> None:
            live = self._streams.pop(request_id, None)
            if live is None:
                emit(function, request_id, text, error, duration_ms, **more)
                return
            # What came before the invocation, such as the lines of the initialization.
            rest = Counter(text.splitlines()) - Counter(live.lines)
            report = f"REPORT RequestId: {request_id}\tDuration: {duration_ms} ms\tBilled Duration: {duration_ms} ms"
            live.append([*rest.elements(), f"END RequestId: {request_id}", report])

        lambda_runtime.ProvidedWorker._pump_output = pumped
        lambda_svc._emit_lambda_logs = emitted

    def line(self, worker: Any, line: str) -> None:
        """Adds a line to the log of the invocation that the process works on, if its group exists."""
        request_id: str | None = worker._current_request_id
        if request_id is None:
            return
        # The invocation may end meanwhile. An error here would end the reader, and the process would block on output.
        live = self._streams.get(request_id)
        if live is None:
            given = worker.config.get("LoggingConfig") or {}
            group = cloudwatch_logs._log_groups.get(given.get("LogGroup") or f"/aws/lambda/{worker.func_name}")
            if group is None:
                return
            day = time.strftime("%Y/%m/%d", time.gmtime())
            live = self._streams[request_id] = LiveStream(_new_stream())
            group["streams"][f"{day}/[$LATEST]{request_id.replace('-', '')}"] = live.stream
            live.append([f"START RequestId: {request_id} Version: $LATEST"])
        live.append([line])


class _Output:
    """A process's output, each of whose lines is logged as it is read."""

    def __init__(self, logs: LiveLogs, worker: Any, output: Any) -> None:
        self._logs, self._worker, self._output = logs, worker, output

    def readline(self) -> bytes:
        raw: bytes = self._output.readline()
        if raw:
            self._logs.line(self._worker, raw.decode(errors="replace").rstrip("\r\n"))
        return raw

    def close(self) -> None:
        self._output.close()


def _new_stream() -> dict[str, Any]:
    return {
        "events": [],
        "uploadSequenceToken": "1",
        "creationTime": int(time.time() * 1000),
        "firstEventTimestamp": None,
        "lastEventTimestamp": None,
        "lastIngestionTime": None,
    }
