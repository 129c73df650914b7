"""A response URL for requests that a test sends itself."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Properties = dict[str, Any]


class ResponseRecorder:
    """Receives responses on a loopback port, as CloudFormation's bucket does."""

    REJECTED = "rejected/"

    def __init__(self) -> None:
        accepted: list[tuple[str, bytes]] = []
        rejected: list[str] = []
        self._accepted, self._rejected = accepted, rejected

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                is_rejected = self.path.startswith(f"/{ResponseRecorder.REJECTED}")
                rejected.append(self.path) if is_rejected else accepted.append((self.path, body))
                self.send_response(403 if is_rejected else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def responses(self, path_start: str = "/") -> list[Properties]:
        return [json.loads(body) for path, body in self._accepted if path.startswith(path_start)]

    def rejections(self, path_start: str) -> int:
        """How many responses were rejected."""
        return sum(path.startswith(path_start) for path in self._rejected)

    def bodies(self) -> list[str]:
        return [body.decode() for _, body in self._accepted]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
