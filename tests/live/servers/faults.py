"""Answers instead of a server, as a broken proxy in front of it would."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Faults:
    """WSGI middleware that answers as the JSON file `path` says, if that file exists.

    Keys: "serial" (a new number for each fault: the counts start again), "status" (int), and
    optionally "match" (regular expression on path?query), "skip" (matching requests to let through
    first), "count" (number of faults; missing: no limit), "body" and "type" (text, Content-Type).
    """

    def __init__(self, application: Application, path: Path) -> None:
        self._application = application
        self._path = path
        self._lock = threading.Lock()
        self._serial: int | None = None
        self._matched = 0

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        fault = self._fault_for(
            environ["PATH_INFO"] + "?" + environ.get("QUERY_STRING", "")
        )
        if fault is None:
            return self._application(environ, start_response)
        body = fault.get("body", f"<html>injected {fault['status']}</html>").encode()
        headers = [
            ("Content-Type", fault.get("type", "text/html")),
            ("Content-Length", str(len(body))),
        ]
        start_response(f"{fault['status']} Injected", headers)
        return [body]

    def _fault_for(self, url: str) -> dict[str, Any] | None:
        with self._lock:
            try:
                fault = json.loads(self._path.read_text())
            except FileNotFoundError:
                return None
            if fault["serial"] != self._serial:
                self._serial, self._matched = fault["serial"], 0
            if not re.search(fault.get("match", ""), url):
                return None
            turn = self._matched - fault.get("skip", 0)
            self._matched += 1
            return fault if 0 <= turn < fault.get("count", float("inf")) else None
