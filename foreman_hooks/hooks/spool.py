"""Events of Foreman: what an event leaves behind, and where the next run finds it.

An event runs inside Foreman's transaction (foreman_hooks) or on its Capsule (shellhooks), so it
asks nobody, deletes nothing and is quick: it appends one line, a note, to the spool beside the
journal.  Everything that it is given is untrusted, and so is the spool: it belongs to the user that
runs the event.  A note makes a run more careful and does nothing else.

Imports only what starts at once.
"""

import fcntl
import json
import os
import re
import select
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, Optional

from foreman_hooks.paths import JOURNAL
from foreman_hooks.paths import spool_of as spool_of

CREATED, FACTS, DESTROYED = "host_created", "host_facts_updated", "host_destroyed"
# What foreman_hooks calls them: README of theforeman/foreman_hooks, "Orchestration events" and
# "Rails events".  Facts are imported without orchestration (host_fact_importer.rb), so of an upload
# only the Rails events tell.
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
_SUFFIX = ".event.foreman"  # of foreman_webhooks: Webhook::EVENT_POSTFIX

MAX_BODY = 1 << 20  # what is read of an event's body; a host with everything has some 100 KB
MAX_SPOOL = 10_000_000  # some 80,000 notes; a run empties it
_MAX_ID = 2**63 - 1  # SQLite's largest
WAIT = 0.5  # seconds, for a body that does not end and for a lock
RUN_WAIT = 10.0  # seconds that a run waits for the lock: without the notes it knows less
# Foreman's own rule for names of hosts is narrower; nothing in here means anything to a shell or a
# terminal.
_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,253}[a-z0-9_])?")


class EventError(Exception):
    """An event that names no host, or is none that is known; says so in one line."""

    exit_code = 65


class SpoolError(Exception):
    """The spool of notes cannot be used."""

    exit_code = 70


class SpoolForbidden(SpoolError):
    """This user may not write to the spool, or not read where it is."""

    exit_code = 77


class SpoolBusy(SpoolError):
    """The spool is full, or somebody holds it."""

    exit_code = 75


class Note(NamedTuple):
    """What one event said: of which host (`name` "" or `host_id` 0 where it did not say), and when
    (aware).
    """

    event: str
    host_id: int
    name: str
    at: datetime


# An event


def known(event: str) -> Optional[str]:
    """The event by its first name, whichever mechanism's spelling it is; None where it is none of
    ours.
    """
    plain = event[: -len(_SUFFIX)] if event.endswith(_SUFFIX) else event
    return plain if plain in (CREATED, FACTS, DESTROYED) else CLASSIC.get(event)


def note_of(event: str, host: str, host_id: str, body: bytes, now: datetime) -> Note:
    """The note of an event, from its arguments and, for what they do not say, from its body.

    Raises EventError where neither names a host, or a name is none.
    """
    number, name = _from_body(body) if len(body) <= MAX_BODY else (0, "")
    if host_id:
        number = int(host_id) if re.fullmatch(r"[1-9][0-9]{0,17}", host_id) else 0
    if host:
        name = host.strip().lower()
    if name and not _NAME.fullmatch(name):
        raise EventError(f"{_shown(name)} is no name of a host; nothing is noted")
    if not name and not number:
        raise EventError(
            "the event names no host, neither as an argument nor in its body; nothing is noted"
        )
    return Note(event, number, name, now)


def _from_body(body: bytes) -> tuple[int, str]:
    """Id and name of the host in an event's JSON, 0 and "" where there is none that makes sense.

    A webhook's payload has them at the top, foreman_hooks wraps the host in a root of its own.
    """
    try:
        found = json.loads(body)
        host = found.get("host", found)
        number, name = host.get("id"), host.get("name")
    except (ValueError, AttributeError, RecursionError, MemoryError):
        return 0, ""
    return (
        number if type(number) is int and 0 < number <= _MAX_ID else 0,
        name.strip().lower() if isinstance(name, str) else "",
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def read_body(descriptor: int = 0) -> bytes:
    """What stands on standard input, until it ends, and at most for half a second; one byte more
    than MAX_BODY tells.

    The rest is read and dropped, so that whoever writes it gets no broken pipe.  smart-proxy has
    not always closed the pipe that it writes to (CommandTask), so the end may never come.
    """
    body, end = bytearray(), time.monotonic() + WAIT
    try:
        if os.isatty(descriptor):
            return b""
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                return bytes(body)
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                return bytes(body)
            body += piece[: MAX_BODY + 1 - len(body)]
    except (OSError, ValueError):  # closed: no body
        return bytes(body)


# The spool


def journal_of(config: Path, must_exist: bool) -> Path:
    """Where the configuration has the journal; raises SpoolForbidden where this user may not read
    it, or SpoolError.

    Reads that one key alone: the whole of the settings takes too long to load for an event.
    """
    import yaml

    try:
        with config.open("rb") as file:
            content = yaml.safe_load(file)
        journal = content.get("journal", str(JOURNAL)) if content else str(JOURNAL)
        return Path(journal).expanduser()
    except FileNotFoundError as error:
        if must_exist:
            raise SpoolError(f"{config}: {error.strerror}") from error
        return JOURNAL
    except PermissionError as error:
        raise SpoolForbidden(f"{config}: {error.strerror}; name the spool with --spool") from error
    except (
        OSError,
        yaml.YAMLError,
        AttributeError,
        TypeError,
        ValueError,
        RecursionError,
        RuntimeError,
    ) as error:
        raise SpoolError(
            f"{config}: no configuration ({type(error).__name__}); name the spool with --spool"
        ) from error


def leave(spool: Path, note: Note) -> None:
    """Append a note, so that it survives a crash; raises SpoolError.

    Made with mode 0600 where there is none and this user may.  A full spool takes no more, so that
    a run finds it full and knows that signs of life may be missing from it.
    """
    line = (
        json.dumps({**note._asdict(), "at": note.at.isoformat(timespec="seconds")}).encode() + b"\n"
    )
    with _translated(spool), _held(spool, os.O_WRONLY | os.O_APPEND | os.O_CREAT, WAIT) as file:
        size = os.fstat(file).st_size
        if size + len(line) > MAX_SPOOL:
            _fill(file, size)
            raise SpoolBusy(
                f"{spool}: full ({size} bytes); nothing is noted until a run has emptied it"
            )
        try:
            if os.write(file, line) != len(line):
                raise OSError(28, "No space left on device")
            os.fsync(file)
        except OSError:
            os.ftruncate(file, size)  # half a line would spoil the next one
            raise


def _fill(file: int, size: int) -> None:
    """Bring the spool's size to its limit, once, by an empty line: `take` sees by the size that
    notes were refused.
    """
    if size < MAX_SPOOL:
        os.write(file, b" " * (MAX_SPOOL - size - 1) + b"\n")


def take(spool: Path, keep: Callable[[Sequence[Note], bool], None], now: datetime) -> None:
    """Hand all notes to `keep`, with whether more may be lost, and empty the spool when it has
    returned.

    Raises SpoolError where it cannot be read: then nobody knows what it holds.  Where `keep`
    raises, or this process is killed, the notes are still there.  What is no note is left out,
    since the spool belongs to somebody else; it may have been one.
    """
    with _translated(spool):
        try:
            os.lstat(spool)
        except FileNotFoundError:
            return
    with _translated(spool), _held(spool, os.O_RDWR, RUN_WAIT) as file:
        text = b""
        while len(text) < 2 * MAX_SPOOL:
            piece = os.read(file, 1 << 20)
            if not piece:
                break
            text += piece
        if not text:
            return
        lines = [line for line in text.splitlines() if line.strip()]
        notes = [note for note in (_parsed(line, now) for line in lines) if note]
        keep(notes, len(text) >= MAX_SPOOL or len(notes) < len(lines))
        os.ftruncate(file, 0)
        os.fsync(file)


def _parsed(line: bytes, now: datetime) -> Optional[Note]:
    """The note in a line, None where there is none; one from the future is of now."""
    try:
        found: Any = json.loads(line)
        event, number, name = found["event"], found["host_id"], found["name"]
        at = datetime.fromisoformat(found["at"]).astimezone(timezone.utc)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    if (
        event not in (CREATED, FACTS, DESTROYED)
        or type(number) is not int
        or not 0 <= number <= _MAX_ID
        or not (isinstance(name, str) and (number if name == "" else _NAME.fullmatch(name)))
    ):
        return None
    return Note(event, number, name, min(at, now))


@contextmanager
def _held(spool: Path, flags: int, wait: float) -> Iterator[int]:
    """The spool, opened and locked; a link, a pipe or a folder in its place is refused.

    Waits for at most `wait` seconds while somebody else holds it.
    """
    file = os.open(spool, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise SpoolError(f"{spool}: not a regular file; take it away")
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise SpoolBusy(f"{spool}: somebody else holds it; try again") from None
                time.sleep(0.01)
        yield file
    finally:
        os.close(file)


@contextmanager
def _translated(spool: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise SpoolForbidden(
            f"{spool}: {error.strerror}; it has to belong to the user that runs the events, "
            "see 'Events' in the README"
        ) from error
    except OSError as error:
        raise SpoolError(f"{spool}: {error.strerror}") from error
