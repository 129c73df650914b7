"""Releases on a server of this machine."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass
class Answer:
    """What the server sends for a path: `length` as its length, where it is to promise another one."""

    content: bytes = b""
    status: HTTPStatus = HTTPStatus.OK
    length: int | None = None
    location: str | None = None


@dataclass
class ReleaseServer:
    """Its files, by their paths below `url`, and the paths that were asked for."""

    url: str = ""
    files: dict[str, Answer] = field(default_factory=dict[str, Answer])
    asked: list[str] = field(default_factory=list[str])


@contextmanager
def release_server() -> Generator[ReleaseServer]:
    server = ReleaseServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            answer = server.files.get(self.path, Answer(status=HTTPStatus.NOT_FOUND))
            self.send_response(answer.status)
            if answer.location:
                self.send_header("Location", answer.location)
            length = len(answer.content) if answer.length is None else answer.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
