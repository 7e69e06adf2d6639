"""An HTTP server on loopback that hands every request to one function.

Both doubles, the Satellite and the OpenStack, are such a function over state in memory. The
server records every request, so that a test can count them. `Server.fail` makes it misbehave, so
that no test has to touch the code of a double.

It is the standard library's `http.server`. It writes the answers itself because tests need what
frameworks prevent: connections that are cut, answers of half their length, a wrong date.
"""

import json
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, NamedTuple, Optional, Union
from urllib.parse import parse_qs, urlsplit

JSON_TYPE = "application/json; charset=utf-8"
DROPPED = 0  # the status of an answer that is never sent: the connection is cut instead

unknown_requests: list[str] = []
"""What was asked of any server but is not simulated; a test that leaves something here fails."""


class UnknownRequestError(Exception):
    """The request, or a part of it, is not simulated, although a real server might know it."""


class Request(NamedTuple):
    """One request as it arrived: `query` maps each name to all of its values."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Message
    body: bytes

    def first(self, name: str, default: str = "") -> str:
        """The first value of the query parameter `name`, or `default`."""
        return self.query.get(name, [default])[0]

    def json(self) -> Any:
        """The body read as JSON; raises ValueError if it is not JSON."""
        return json.loads(self.body)

    @property
    def line(self) -> str:
        """`METHOD path?query`, the query decoded: the text that `Server.fail` matches."""
        pairs = []
        for name, values in self.query.items():
            pairs += [f"{name}={value}" for value in values]
        if not pairs:
            return f"{self.method} {self.path}"
        return f"{self.method} {self.path}?{'&'.join(pairs)}"


class Answer(NamedTuple):
    """What goes back: text and bytes as they are, everything else as JSON."""

    status: int
    body: Any = ""
    headers: Mapping[str, str] = {}


class Raw(NamedTuple):
    """The bytes that go back instead of an answer, piece by piece; then the connection ends."""

    pieces: Iterable[bytes]


@dataclass
class Fault:
    """A misbehaviour: another answer, half of the true answer (`cut`), or none of it (`reset`).

    `change`: makes what goes back out of the true answer; unless the double `acts`, out of none.
    """

    pattern: str
    answer: Optional[Answer] = None
    change: Optional[Callable[[Answer], Union[Answer, Raw]]] = None
    acts: bool = True
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
        if self.hits <= self.skip:
            return False
        return self.times is None or self.hits <= self.skip + self.times


@dataclass
class Server:
    """`handle` behind http://127.0.0.1:PORT, from `start` to `stop` or inside a with block."""

    handle: Callable[[Request], Answer]
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._http = _HttpServer(self, port)
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def url(self) -> str:
        """The address of the server, without a slash at the end."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def fail(
        self,
        pattern: str,
        status: int = 503,
        body: Any = "<html>injected</html>",
        **how: Any,
    ) -> Fault:
        """Misbehave at requests whose `line` matches the regular expression `pattern`.

        By default the answer is `status` and `body`, and the double is not asked. With `cut=True`
        the double acts and half of its answer is sent; with `reset=True` none of it is sent.
        `skip` lets that many matching requests pass first; `times` limits how many fail after
        those (default: all). With `change` what that function makes of the double's answer is
        sent; with `acts=False` the double does not act.
        """
        is_true = how.get("cut") or how.get("reset") or how.get("change")
        answer = None if is_true else Answer(status, body)
        fault = Fault(pattern, answer, **how)
        self.faults.append(fault)
        return fault

    def count(self, pattern: str = "") -> int:
        """How many requests so far have a `line` that matches `pattern`."""
        return sum(
            1 for request in list(self.requests) if re.search(pattern, request.line)
        )

    def start(self) -> "Server":
        """Start to answer; returns itself."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Accept no more connections and free the port."""
        if self._thread.is_alive():
            self._http.shutdown()
        self._http.server_close()

    def restart(self) -> None:
        """Answer again at the same address, after `stop`."""
        self._listen(self._http.server_address[1])
        self.start()

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, request: Request) -> tuple[Answer, Optional[Fault]]:
        """The answer to one request, and the fault that applied to it, if any."""
        with self._lock:
            self.requests.append(request)
            fault = self._fault_for(request.line)
        if fault and fault.answer:
            return fault.answer, fault
        if fault and not fault.acts:
            return Answer(DROPPED), fault
        try:
            return self.handle(request), fault
        except UnknownRequestError as error:
            unknown_requests.append(f"{request.line}: {error}")
            return Answer(501, {"error": {"message": f"not simulated: {error}"}}), fault

    def _fault_for(self, line: str) -> Optional[Fault]:
        for fault in self.faults:
            if fault.strikes(line):
                return fault
        return None


@contextmanager
def expect_unknown(pattern: str) -> Iterator[None]:
    """For tests of the sandbox itself: inside, requests are refused as `pattern` says."""
    before = len(unknown_requests)
    yield
    refused = unknown_requests[before:]
    del unknown_requests[before:]
    assert refused, f"nothing was refused, expected: {pattern}"
    for line in refused:
        assert re.search(pattern, line), line


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    # Of connections that wait to be accepted; with the default of 5, many clients would wait.
    request_queue_size = 128

    def __init__(self, owner: Server, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.owner = owner

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the traceback, unless the client has only gone away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet

    def do_any(self) -> None:
        target = urlsplit(self.path)
        query = parse_qs(target.query, keep_blank_values=True)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        request = Request(self.command, target.path, query, self.headers, body)
        answer, fault = self.server.owner.answer(request)
        if fault and fault.change:
            changed = fault.change(answer)
            if isinstance(changed, Raw):
                self._send_raw(changed)
                return
            answer = changed
        if answer.status == DROPPED or (fault and fault.reset):
            self.close_connection = True
            self.connection.close()
            return
        self._send(answer, is_cut=bool(fault and fault.cut))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_any

    def _send(self, answer: Answer, is_cut: bool) -> None:
        body, content_type = _encode(answer.body)
        if "Date" in answer.headers:
            self.send_response_only(answer.status)
        else:
            self.send_response(answer.status)
        for name, value in {"Content-Type": content_type, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if is_cut:
            body = body[: len(body) // 2]
            self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_raw(self, raw: Raw) -> None:
        self.close_connection = True
        for piece in raw.pieces:
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing goes to stderr: `Server.requests` is the log."""


def _encode(body: Any) -> tuple[bytes, str]:
    """The bytes of a body and its content type."""
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/html; charset=utf-8"
    return json.dumps(body, separators=(",", ":")).encode(), JSON_TYPE


def utc(seconds: Optional[float] = None) -> str:
    """A time (epoch seconds; default: now) as Foreman's lists write it: 2026-11-22 12:47:41 UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
