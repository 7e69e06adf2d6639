"""A simulated Neutron, the only part of the cloud that is not real.

Nova asks it for security groups on GET /servers/{id} and /servers/detail.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Neutron:
    """Answers every request for a list with an empty one, or with 503 while it is not `up`.

    Runs in a thread of this process.
    """

    def __init__(self) -> None:
        self.up = True
        neutron = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # noqa: N802 (http.server's name)
                body = json.dumps(_answer(self.path)).encode() if neutron.up else b""
                self.send_response(200 if neutron.up else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, name="neutron", daemon=True
        ).start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _answer(path: str) -> dict[str, Any]:
    """An empty list under the name in the last part of the path; at the root, the versions."""
    name = path.partition("?")[0].rstrip("/").rpartition("/")[2].replace("-", "_")
    if name in ("", "v2.0"):
        return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": []}]}
    return {name[: -len(".json")] if name.endswith(".json") else name: []}
