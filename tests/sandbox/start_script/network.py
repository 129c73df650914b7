"""The task's way to AWS, on which calls can be refused, lost and stopped."""

from __future__ import annotations

import http.client
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

WAIT_SECS = 60.0


@dataclass
class Fault:
    """Happens to the next call of an operation instead of what AWS would answer."""

    operation: str
    """An operation of STS or DynamoDB."""
    error: str = ""
    """The code of an error with which AWS answers. Without one the connection is closed."""


@dataclass
class Gate:
    """Stops the next call of an operation that gets there, before or after AWS has done it."""

    operation: str
    when: Literal["before", "after"]
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Until a call has got there."""
        assert self.reached.wait(WAIT_SECS), f"{self.operation} was not called"

    def open(self) -> None:
        self.opened.set()


class Network:
    """A proxy in front of AWS. Signatures stay valid, since the host name is passed on."""

    def __init__(self, aws: str) -> None:
        self.aws = urlsplit(aws)
        self.calls: list[str] = []
        self.faults: list[Fault] = []
        self.gates: list[Gate] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        for gate in self.gates:
            gate.open()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, *faults: Fault) -> None:
        self.faults.extend(faults)

    def gate(self, operation: str, when: Literal["before", "after"]) -> Gate:
        gate = Gate(operation, when)
        self.gates.append(gate)
        return gate

    def _fault(self, operation: str) -> Fault | None:
        with self._lock:
            self.calls.append(operation)
            fault = next((fault for fault in self.faults if fault.operation == operation), None)
            if fault is not None:
                self.faults.remove(fault)
            return fault

    def _stop_at(self, operation: str, when: str) -> None:
        for gate in self.gates:
            if gate.operation == operation and gate.when == when and not gate.reached.is_set():
                gate.reached.set()
                gate.opened.wait(WAIT_SECS)
                return

    def _forward(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(str(self.aws.hostname), self.aws.port, timeout=WAIT_SECS)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        network = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                operation = _operation(self.headers.get("X-Amz-Target", ""), body)
                network._stop_at(operation, "before")
                fault = network._fault(operation)
                if fault is None:
                    status, headers, answer = network._forward(self.path, dict(self.headers.items()), body)
                    if status == 200:
                        network._stop_at(operation, "after")
                elif fault.error:
                    kind = f"com.amazonaws.dynamodb.v20120810#{fault.error}"
                    status, headers = 400, {"Content-Type": "application/x-amz-json-1.0"}
                    answer = json.dumps({"__type": kind, "message": "A planted error."}).encode()
                else:
                    return
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        return Handler


def _operation(target: str, body: bytes) -> str:
    if target:
        return target.rpartition(".")[2]
    found = re.search(rb"(?:^|&)Action=(\w+)", body)
    return found[1].decode() if found else ""
