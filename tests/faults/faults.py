"""Everything that can happen to a request, by name."""

import gzip
import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Union

from sandbox.server import DROPPED, Answer, Raw

JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = "<html><body><h1>Proxy error</h1></body></html>"
BYTES = 4000  # of an answer without an end, which the deadline of the run cuts off

Change = Callable[[Answer], Union[Answer, Raw]]


class Fault(NamedTuple):
    """What becomes of one answer.

    `acts`: whether the server does what it was asked to.  `is_endless`: the answer does not end by
    itself, so the run needs a short deadline.  `goes_down`: the server is down from then on.
    """

    name: str
    change: Change
    acts: bool = True
    is_endless: bool = False
    goes_down: bool = False


def _instead(status: int, body: Any = "", **headers: str) -> Change:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda answer: Answer(status, body, named)


def _edited(edit: Callable[[Any], Any]) -> Change:
    """An edit of the JSON body; an answer without one stays as it is."""

    def change(answer: Answer) -> Answer:
        if not isinstance(answer.body, (dict, list)):
            return answer
        copy = json.loads(json.dumps(answer.body))
        return answer._replace(body=edit(copy))

    return change


def _lists(edit: Callable[[Any], Any]) -> Change:
    """An edit of every list of rows in the body: of Nova, Keystone's catalog, or Satellite."""

    def edit_body(body: Any) -> Any:
        if isinstance(body, dict):
            for key in ("results", "servers", "catalog"):
                if key in body:
                    body[key] = edit(body[key])
        return body

    return _edited(edit_body)


def _half(rows: Any) -> Any:
    if isinstance(rows, dict):
        names = sorted(rows)[: len(rows) // 2]
        return {name: rows[name] for name in names}
    return rows[: len(rows) // 2]


def _doubled(rows: Any) -> Any:
    return rows if isinstance(rows, dict) else [*rows, *rows]


def _others(rows: Any) -> Any:
    """Rows about other things: ids, names and UUIDs that nobody asked for."""
    text = json.dumps(rows)
    for number in range(10):
        text = text.replace(f'"id": {number}', f'"id": 90{number}')
    return json.loads(text.replace(".example.com", ".example.org"))


def _turned(value: Any) -> Any:
    """The same structure with other types."""
    if isinstance(value, dict):
        return {key: _turned(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_turned(entry) for entry in value]
    if isinstance(value, bool) or value is None:
        return str(value)
    return [value] if isinstance(value, int) else 7


def _odd_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _odd_times(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_odd_times(entry) for entry in value]
    if isinstance(value, str) and value[:2] == "20" and ":" in value:
        return "0000-99-99T25:61:61Z"
    return value


def _raw(head: str, *pieces: bytes) -> Change:
    return lambda answer: Raw([f"HTTP/1.1 {head}\r\n\r\n".encode(), *pieces])


_endless: list[threading.Event] = []  # one for each such answer, which it ends


def end_answers() -> None:
    """End the answers without an end: the threads that read them would keep the process alive."""
    while _endless:
        _endless.pop().set()


def _goes_on(piece: bytes) -> Iterator[bytes]:
    """The piece, again and again."""
    over = threading.Event()
    _endless.append(over)
    for _ in range(BYTES):
        if over.wait(0.02):
            return
        yield piece


def _nothing(answer: Answer) -> Raw:
    """The connection stays open, and nothing comes."""
    return Raw(_goes_on(b""))


def _trickle(answer: Answer) -> Raw:
    """A byte now and then: every read succeeds, and the answer never ends."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n"
    return Raw(itertools.chain([head], _goes_on(b" ")))


def _chunks(answer: Answer) -> Raw:
    """Chunks without an end."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return Raw(itertools.chain([head], _goes_on(b"1\r\n \r\n")))


_NOT_FOUND = {"error": {"message": "Resource host not found by id '8'"}}
_NO_ROUTE = {"status": 404, "error": "Not Found"}
_GZIP = gzip.compress(b'{"results": []}')

FAULTS = [
    Fault("reset before", _instead(DROPPED), acts=False),
    Fault("reset after", _instead(DROPPED)),
    Fault("cut in the body", _raw("200 OK\r\nContent-Length: 5000", b'{"results": [')),
    Fault("cut in the head", _raw("200 OK\r\nContent-")),
    Fault("not HTTP", lambda answer: Raw([b"SSH-2.0-OpenSSH_8.0\r\n"])),
    Fault("refused from now on", _instead(DROPPED), acts=False, goes_down=True),
    Fault("refused after it", _instead(DROPPED), goes_down=True),
    Fault("no answer", _nothing, is_endless=True),
    Fault("a byte now and then", _trickle, is_endless=True),
    Fault("chunks without end", _chunks, is_endless=True),
    Fault("301", _instead(301, "", Location="https://other.example.com/"), acts=False),
    Fault("302 to a login", _instead(302, HTML, Location="/users/login"), acts=False),
    Fault(
        "401", _instead(401, {"error": {"message": "Unable to authenticate"}}), False
    ),
    Fault("403", _instead(403, {"error": {"message": "Access denied"}}), False),
    Fault("403 of Nova", _instead(403, {"forbidden": {"code": 403}}), False),
    Fault("404 of a host", _instead(404, _NOT_FOUND), False),
    Fault("404 of a route", _instead(404, _NO_ROUTE), False),
    Fault("404 of Nova", _instead(404, {"itemNotFound": {"message": "x"}}), False),
    Fault("404 HTML", _instead(404, HTML), False),
    Fault("408", _instead(408, HTML), False),
    Fault("409", _instead(409, {"error": {"message": "in use"}}), False),
    Fault("413", _instead(413, HTML), False),
    Fault("422", _instead(422, {"error": {"full_messages": ["no"]}}), False),
    Fault("429", _instead(429, "", Retry_After="1"), False),
    Fault("429 for a year", _instead(429, "", Retry_After="31536000"), False),
    Fault("429 with garbage", _instead(429, "", Retry_After="soon"), False),
    Fault("500", _instead(500, {"error": {"message": "PG::Error"}}), False),
    Fault("500 after", _instead(500, HTML)),
    Fault("502", _instead(502, HTML), False),
    Fault("503", _instead(503, HTML), False),
    Fault("503 with Retry-After", _instead(503, HTML, Retry_After="1"), False),
    Fault("504 after", _instead(504, HTML)),
    Fault("200 HTML", _instead(200, HTML), False),
    Fault("200 empty", _instead(200, ""), False),
    Fault("200 {}", _instead(200, {}), False),
    Fault("200 null", _instead(200, b"null"), False),
    Fault("200 []", _instead(200, []), False),
    Fault("200 with an error", _instead(200, {"error": {"message": "no"}}), False),
    Fault("200 too deep", _instead(200, b"[" * 100_000), False),
    Fault("204", _instead(204), False),
    Fault("empty lists", _lists(lambda rows: type(rows)())),
    Fault("half of the rows", _lists(_half)),
    Fault("doubled rows", _lists(_doubled)),
    Fault("other rows", _lists(_others)),
    Fault("other types", _edited(_turned)),
    Fault("odd times", _edited(_odd_times)),
    Fault("another clock", lambda a: a._replace(headers={**a.headers, "Date": "x"})),
    Fault(
        "a clock of 1999",
        lambda a: a._replace(
            headers={**a.headers, "Date": "Fri, 31 Dec 1999 23:59:59 GMT"}
        ),
    ),
    Fault("not UTF-8", _instead(200, b'{"results": ["\xff\xfe"]}', **JSON), False),
    Fault("bad gzip", _instead(200, _GZIP[:-4], Content_Encoding="gzip"), False),
    Fault(
        "not gzip", _instead(200, b'{"results": []}', Content_Encoding="gzip"), False
    ),
    Fault("NUL bytes", _instead(200, b"\0" * 100), False),
]
