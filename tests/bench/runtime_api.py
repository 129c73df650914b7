"""Lambda's Runtime API as far as one event needs it, on one listening socket and in the harness's own thread: a poll is
noticed when it arrives, not when some thread is scheduled.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import select
import socket
import time
from typing import Any

# Longer than the slowest program takes, many times over.
TIMEOUT_SECS = 60.0


class RuntimeApi:
    """The Runtime API, as far as one event needs it."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(TIMEOUT_SECS)
        self.address = f"127.0.0.1:{self.listening.getsockname()[1]}"

    def accept(self) -> None:
        self.connection, _ = self.listening.accept()
        self.connection.settimeout(TIMEOUT_SECS)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def request(self) -> str:
        """The next request's first line. It may come on a connection of its own."""
        while b"\r\n\r\n" not in self.received:
            ready, _, _ = select.select([self.connection, self.listening], [], [], TIMEOUT_SECS)
            if not ready:
                raise TimeoutError("no request")
            if self.listening in ready:
                self.connection.close()
                self.accept()
                continue
            piece = self.connection.recv(65536)
            if piece:
                self.received += piece
            else:
                self.accept()
        head, _, rest = self.received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        if headers.get("transfer-encoding") == "chunked":
            while not rest.endswith(b"0\r\n\r\n"):
                rest += self.connection.recv(65536)
        else:
            while len(rest) < int(headers.get("content-length", "0")):
                rest += self.connection.recv(65536)
        self.received = b""
        return lines[0]

    def respond(self, status: str, body: bytes, **headers: str) -> None:
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        length = f"content-length: {len(body)}\r\n"
        self.connection.sendall(
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{head}{length}\r\n".encode() + body
        )

    def send_event(self, event: dict[str, Any]) -> None:
        deadline = int((time.time() + 900) * 1000)
        self.respond(
            "200 OK",
            json.dumps(event).encode(),
            Lambda_Runtime_Aws_Request_Id="8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            Lambda_Runtime_Deadline_Ms=str(deadline),
            Lambda_Runtime_Invoked_Function_Arn="arn:aws:lambda:eu-central-1:111122223333:function:bench",
        )
