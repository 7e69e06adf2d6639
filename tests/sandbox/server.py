"""An HTTP server on loopback that hands every request to one function.

Both doubles, the Satellite and the OSP, are such a function over state in memory.  The server
notes every request, so that a test can count them, and can be told to misbehave (`fail`), so
that a test need not touch the double's own code.
"""

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import parse_qs, urlsplit

JSON_TYPE = "application/json; charset=utf-8"


class Request(NamedTuple):
    """One request as it arrived: `query` maps each name to all of its values."""

    method: str
    path: str
    query: "dict[str, list[str]]"
    headers: Message
    body: bytes

    def first(self, name: str, default: str = "") -> str:
        """The first value of the query parameter `name`, or `default`."""
        return self.query.get(name, [default])[0]

    def json(self) -> Any:
        """The body read as JSON; raises ValueError where it is none."""
        return json.loads(self.body)

    @property
    def line(self) -> str:
        """`METHOD path?query`, the query decoded: what `Server.fail` matches on."""
        query = "&".join(
            f"{name}={value}" for name, values in self.query.items() for value in values
        )
        return f"{self.method} {self.path}" + (f"?{query}" if query else "")


DROPPED = 0  # the status of an answer that is never sent: the connection is cut instead


class Answer(NamedTuple):
    """What goes back: text and bytes as they are, everything else as JSON."""

    status: int
    body: Any = ""
    headers: Mapping[str, str] = {}


@dataclass
class Fault:
    """A misbehaviour: answer in the double's place, cut the answer in half, or reset the
    connection.
    """

    pattern: str
    answer: Optional[Answer] = None
    cut: bool = False
    reset: bool = False
    skip: int = 0
    times: Optional[int] = None
    hits: int = 0

    def strikes(self, line: str) -> bool:
        """Whether the fault applies to this request; counts the requests that match."""
        if not re.search(self.pattern, line):
            return False
        self.hits += 1
        return self.hits > self.skip and (self.times is None or self.hits <= self.skip + self.times)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = (
        128  # of connections not yet taken; the default of 5 makes many clients wait
    )


@dataclass
class Server:
    """`handle` behind http://127.0.0.1:PORT, from `start` to `stop` or inside a with block."""

    handle: Callable[[Request], Answer]
    requests: "list[Request]" = field(default_factory=list)
    faults: "list[Fault]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self._http = _Http(("127.0.0.1", 0), self._handler_class())
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def url(self) -> str:
        """The address to reach it at, without a slash at the end."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def fail(
        self, pattern: str, status: int = 503, body: Any = "<html>injected</html>", **how: Any
    ) -> Fault:
        """Misbehave at requests whose `line` matches `pattern`.

        By default answers `status` and `body` in the double's place; with `cut=True` the double
        acts, and half of its answer is sent, with `reset=True` none of it.  `skip` lets that many
        matching requests through first, `times` bounds how many are struck (absent: for ever).
        """
        fault = (
            Fault(pattern, **how)
            if how.get("cut") or how.get("reset")
            else Fault(pattern, Answer(status, body), **how)
        )
        self.faults.append(fault)
        return fault

    def count(self, pattern: str = "") -> int:
        """How many requests so far have a `line` that matches `pattern`."""
        return sum(1 for request in list(self.requests) if re.search(pattern, request.line))

    def start(self) -> "Server":
        """Begin to answer; returns itself."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Take no more connections and free the port."""
        if self._thread.is_alive():
            self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, request: Request) -> "tuple[Answer, Optional[Fault]]":
        """The answer to one request, and the fault that struck it, if one did."""
        with self._lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.strikes(request.line)), None)
        if fault and fault.answer:
            return fault.answer, fault
        return self.handle(request), fault

    def _handler_class(self) -> "type[BaseHTTPRequestHandler]":
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # headers and body in one packet

            def do_any(self) -> None:
                target = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                request = Request(
                    self.command,
                    target.path,
                    parse_qs(target.query, keep_blank_values=True),
                    self.headers,
                    self.rfile.read(length),
                )
                answer, fault = server.answer(request)
                if answer.status == DROPPED or (fault and fault.reset):
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send(answer, cut=bool(fault and fault.cut))

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_any

            def send(self, answer: Answer, cut: bool) -> None:
                body, kind = encode(answer.body)
                own_date = "Date" in answer.headers
                (self.send_response_only if own_date else self.send_response)(answer.status)
                for name, value in {"Content-Type": kind, **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if cut:
                    body, self.close_connection = body[: len(body) // 2], True
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """The requests are noted by the server; nothing goes to stderr."""

        return Handler


def encode(body: Any) -> "tuple[bytes, str]":
    """The bytes of a body and its content type."""
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/html; charset=utf-8"
    return json.dumps(body, separators=(",", ":")).encode(), JSON_TYPE


def utc(seconds: Optional[float] = None) -> str:
    """A time (epoch seconds; now by default) as Foreman's lists print it: `2026-11-22 12:47:41
    UTC`.
    """
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
