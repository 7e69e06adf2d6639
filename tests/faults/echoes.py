"""Servers that repeat what they were asked, with its secrets, in every form of an answer."""

import json
from typing import Any, Callable, NamedTuple

from sandbox.server import Answer, Request

Handle = Callable[[Request], Answer]


def _asked(request: Request) -> str:
    return f"{request.line} {dict(request.headers.items())} {request.body!r}"


def _of_satellite(request: Request, status: int) -> Answer:
    text = _asked(request)
    body = {"error": {"message": text, "full_messages": [text], "details": text}}
    return Answer(status, body)


def _short(request: Request, status: int) -> Answer:
    """The headers with a login alone, so that nothing is cut off before them."""
    names = ("Authorization", "Proxy-Authorization", "Cookie", "X-Auth-Token")
    sent = {name: request.headers[name] for name in names if name in request.headers}
    text = f"{sent} {request.body.decode(errors='replace')[:200]}"
    return Answer(status, {"error": {"message": text, "code": status}})


def _permissions(request: Request, status: int) -> Answer:
    text = _asked(request)
    error = {"message": text, "missing_permissions": [text]}
    return Answer(status, {"error": error})


def _route(request: Request, status: int) -> Answer:
    return Answer(status, {"status": status, "error": _asked(request)})


def _html(request: Request, status: int) -> Answer:
    return Answer(status, f"<html>{_asked(request)}</html>")


def _of_openstack(request: Request, status: int) -> Answer:
    text = _asked(request)
    error = {"code": status, "title": text, "message": text}
    return Answer(status, {"error": error, "computeFault": error})


def _redirect(request: Request, status: int) -> Answer:
    """To a login of another address, with every secret of the request."""
    header = (request.headers.get("Authorization") or "Basic x").split()[1]
    token = request.headers.get("X-Auth-Token") or header
    body = "".join(filter(str.isalnum, request.body.decode(errors="replace")))
    location = f"http://admin:{header}@127.0.0.1:9/?token={token}&body={body}"
    return Answer(status, _asked(request), {"Location": location})


def _success(request: Request, status: int) -> Answer:
    text = _asked(request)
    return Answer(status, {"results": text, "servers": text, "token": text})


def _not_json(request: Request, status: int) -> Answer:
    return Answer(status, json.dumps({"error": _asked(request)})[:-1])


class Echo(NamedTuple):
    """One form in which a server repeats a request."""

    make: Callable[[Request, int], Answer]
    status: int

    def __str__(self) -> str:
        return f"{self.status}{self.make.__name__.replace('_', ' ')}"

    def instead_of(self, real: Handle, is_meant: Callable[[Request], Any]) -> Handle:
        """A server that repeats the requests that are meant, and answers others as before."""
        return lambda request: (
            self.make(request, self.status) if is_meant(request) else real(request)
        )


ECHOES = [
    *(Echo(_of_satellite, status) for status in (401, 404, 422, 500, 503)),
    *(Echo(_of_openstack, status) for status in (400, 401, 403, 404, 500)),
    *(Echo(_short, status) for status in (401, 404, 500)),
    *(Echo(_html, status) for status in (200, 401, 407, 502)),
    *(Echo(_route, status) for status in (200, 404)),
    *(Echo(_redirect, status) for status in (300, 302)),
    Echo(_permissions, 403),
    *(Echo(make, 200) for make in (_success, _not_json)),
]
