"""An event of Foreman, and the note of it that the next run reads.

A host record was created, its facts were uploaded, or it was deleted.  Foreman calls us for that
inside its own transaction (foreman_hooks), or its Capsule does (webhooks and shellhooks).  So an
event sends no requests, deletes nothing and is quick: this module imports only what loads fast.

Everything that an event brings is untrusted.  A note makes a run more careful and does nothing
else.
"""

import json
import os
import re
import select
import time
from datetime import datetime
from typing import NamedTuple, Optional

CREATED = "host_created"
FACTS = "host_facts_updated"
DESTROYED = "host_destroyed"
EVENTS = (CREATED, FACTS, DESTROYED)
# The names that foreman_hooks uses: README of theforeman/foreman_hooks, "Orchestration events" and
# "Rails events".  Facts are imported without orchestration (host_fact_importer.rb), so only the
# Rails events report an upload.
CLASSIC = {
    "create": CREATED,
    "postcreate": CREATED,
    "before_create": CREATED,
    "after_create": CREATED,
    "update": FACTS,
    "postupdate": FACTS,
    "before_update": FACTS,
    "after_update": FACTS,
    "before_save": FACTS,
    "after_save": FACTS,
    "destroy": DESTROYED,
    "before_destroy": DESTROYED,
    "after_destroy": DESTROYED,
}
_SUFFIX = ".event.foreman"  # foreman_webhooks: Webhook::EVENT_POSTFIX

MAX_BODY = 1 << 20  # bytes; a host record with everything has some 100 KB
BODY_WAIT = 0.5  # seconds to wait for the end of a body
_MAX_ID = 2**63 - 1  # the largest integer of SQLite
# Foreman's own rule for host names is narrower.  No character that this allows is special to a
# shell or a terminal.
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,253}[a-z0-9_])?")


class EventError(Exception):
    """An event that names no valid host; the message is one line."""

    exit_code = 65


class Note(NamedTuple):
    """What one event said: `event` is one of EVENTS, and `at` is aware.

    `host_id` is 0, or `name` is "", if the event did not say it; never both.
    """

    event: str
    host_id: int
    name: str
    at: datetime


def event_named(name: str) -> Optional[str]:
    """Return the event with this name, of a webhook or of foreman_hooks; None if it is unknown."""
    plain = name
    if name.endswith(_SUFFIX):
        plain = name[: -len(_SUFFIX)]
    if plain in EVENTS:
        return plain
    return CLASSIC.get(name)


def note_of(event: str, host: str, host_id: str, body: bytes, now: datetime) -> Note:
    """Return the note of an event, from its arguments or, if these are empty, from its body.

    `host` and `host_id` are the arguments of the call, "" if they are missing.  Raises EventError
    if neither they nor the body name a host, or if the name is not valid.
    """
    number, name = 0, ""
    if len(body) <= MAX_BODY:
        number, name = _host_in(body)
    if host_id:
        number = _host_id(host_id)
    if host:
        name = host.strip().lower()
    if name and not _HOST_NAME.fullmatch(name):
        raise EventError(
            f"{_shortened(name)} is not a valid host name; no note was left"
        )
    if not name and not number:
        raise EventError(
            "the event names no host, neither in its arguments nor in its body; no note was left"
        )
    return Note(event, number, name, now)


def is_note(event: object, host_id: object, name: object) -> bool:
    """Whether these values, read from an untrusted file, can be the fields of a note."""
    if event not in EVENTS or not isinstance(name, str):
        return False
    # Not isinstance: True is an int as well.
    if type(host_id) is not int or not 0 <= host_id <= _MAX_ID:
        return False
    if name == "":
        return host_id != 0
    return _HOST_NAME.fullmatch(name) is not None


def _host_in(body: bytes) -> tuple[int, str]:
    """Id and name of the host in an event's JSON; 0 and "" if they are missing or not valid.

    A webhook's payload has them at the top level, foreman_hooks puts the host under the key "host".
    """
    try:
        content = json.loads(body)
        host = content.get("host", content)
        number, name = host.get("id"), host.get("name")
    except (ValueError, AttributeError, RecursionError, MemoryError):
        return 0, ""
    if type(number) is not int or not 0 < number <= _MAX_ID:
        number = 0
    if not isinstance(name, str):
        name = ""
    return number, name.strip().lower()


def _host_id(text: str) -> int:
    if re.fullmatch(r"[1-9][0-9]{0,17}", text):
        return int(text)
    return 0


def _shortened(text: str) -> str:
    if len(text) > 40:
        text = f"{text[:40]}..."
    return repr(text)


def read_body(descriptor: int = 0) -> bytes:
    """Read the body of an event from standard input, for at most BODY_WAIT seconds.

    Returns at most MAX_BODY + 1 bytes; the last one tells the caller that the body is too long.
    All further bytes are read and dropped, so that the writer gets no broken pipe.  The end may
    never come: smart-proxy has not always closed the pipe that it writes to (CommandTask).
    """
    body = bytearray()
    end = time.monotonic() + BODY_WAIT
    try:
        if os.isatty(descriptor):
            return b""
        while _is_readable(descriptor, end):
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                break
            space = MAX_BODY + 1 - len(body)
            body += piece[:space]
    except (OSError, ValueError):
        pass  # standard input is closed: there is nothing more to read
    return bytes(body)


def _is_readable(descriptor: int, end: float) -> bool:
    """Wait until there is something to read; False when the clock has passed `end` (monotonic)."""
    remaining = end - time.monotonic()
    if remaining <= 0:
        return False
    readable, _, _ = select.select([descriptor], [], [], remaining)
    return bool(readable)
