"""The spool: a file next to the journal in which events leave notes for the next run.

One line a note.  The file belongs to the user that runs the events, so its content is untrusted.
Like `event`, this module imports only what loads fast.
"""

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

from foreman_hooks.errors import TRY_AGAIN
from foreman_hooks.hooks.event import Note, is_note
from foreman_hooks.osp_checker.values import is_possible
from foreman_hooks.osp_checker.yaml_limits import safe_loader
from foreman_hooks.paths import CONFIG, JOURNAL

MAX_SPOOL = 10_000_000  # bytes, some 80,000 notes; each run empties the spool
EVENT_WAIT = 0.5  # seconds that an event waits for the lock
# Seconds that a run waits for the lock: without the notes it knows less.
RUN_WAIT = 10.0


class SpoolError(Exception):
    """The spool cannot be used."""

    exit_code = 70


class SpoolForbidden(SpoolError):
    """This user may not write to the spool, or may not read where it is."""

    exit_code = 77


class SpoolBusy(SpoolError):
    """The spool is full, or another process holds its lock."""

    exit_code = TRY_AGAIN


def leave(spool: Path, note: Note) -> None:
    """Append a note, so that it survives a crash; raises SpoolError.

    Creates the spool with mode 0600 if it is missing and this user may.  A full spool takes no more
    notes and stays full, so that the next run knows that check-ins may be missing from it.
    """
    line = _line(note)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with _translated_errors(spool), _locked(spool, flags, EVENT_WAIT) as file:
        size = os.fstat(file).st_size
        if size + len(line) > MAX_SPOOL:
            _fill_up(file, size)
            raise SpoolBusy(
                f"{spool}: full ({size} bytes); no note can be left until a run has emptied it"
            )
        _append(file, line, size)


def take(
    spool: Path, keep: Callable[[Sequence[Note], bool], None], now: datetime
) -> None:
    """Pass all notes to `keep`, and empty the spool when it has returned.

    The second argument of `keep` is True if more notes may be lost: the spool was full, or a line
    is not a note.  If `keep` raises, or this process is killed, the notes stay.  Raises SpoolError
    if the spool cannot be read: its content is unknown then.
    """
    with _translated_errors(spool):
        if _is_missing(spool):
            return
        with _locked(spool, os.O_RDWR, RUN_WAIT) as file:
            content = _read(file)
            if content:
                notes, all_valid = _parsed(content, now)
                keep(notes, len(content) >= MAX_SPOOL or not all_valid)
                os.ftruncate(file, 0)
                os.fsync(file)


def journal_of(config: Optional[Path]) -> Path:
    """Return the journal that a configuration names; None: the usual configuration.

    Reads only that key, since loading all settings takes too long for an event.  Raises
    SpoolForbidden if this user may not read the configuration, and SpoolError.
    """
    import yaml  # not needed, and not loaded, if --spool names the file

    path = config or CONFIG
    not_a_configuration = (
        OSError,
        yaml.YAMLError,
        AttributeError,
        TypeError,
        ValueError,
        RecursionError,
        RuntimeError,  # Path.expanduser: no such user
    )
    try:
        root = yaml.compose(path.read_bytes(), safe_loader())
        return _journal_in(root.value).expanduser() if root else JOURNAL
    except FileNotFoundError as error:
        if config is None:
            return JOURNAL
        raise SpoolError(f"{path}: {error.strerror}") from error
    except PermissionError as error:
        raise SpoolForbidden(
            f"{path}: {error.strerror}; name the spool with --spool"
        ) from error
    except not_a_configuration as error:
        raise SpoolError(
            f"{path}: not a valid configuration ({type(error).__name__}); "
            "name the spool with --spool"
        ) from error


def _journal_in(pairs: Sequence[tuple[Any, Any]]) -> Path:
    """The journal that the nodes of a YAML mapping name; raises TypeError and ValueError.

    No other value is made of its node: a few lines can stand for gigabytes.
    """
    journal = JOURNAL
    for key, node in pairs:
        if key.value == "journal":
            if node.tag != "tag:yaml.org,2002:str":
                raise TypeError("not a text")
            journal = Path(node.value)
    return journal


# The lines


def _line(note: Note) -> bytes:
    fields = {**note._asdict(), "at": note.at.isoformat(timespec="seconds")}
    return json.dumps(fields).encode() + b"\n"


def _parsed(content: bytes, now: datetime) -> tuple[list[Note], bool]:
    """Return the notes in these lines, and whether every line is a note."""
    lines = [line for line in content.splitlines() if line.strip()]
    parsed = [_note_in(line, now) for line in lines]
    notes = [note for note in parsed if note]
    return notes, len(notes) == len(lines)


def _note_in(line: bytes, now: datetime) -> Optional[Note]:
    """Return the note in a line, None if it is not one; a time in the future becomes `now`."""
    try:
        fields = json.loads(line)
        event, host_id, name = fields["event"], fields["host_id"], fields["name"]
        at = datetime.fromisoformat(fields["at"]).astimezone(timezone.utc)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    at = min(at, now)
    if not is_note(event, host_id, name) or not is_possible(at):
        return None
    return Note(event, host_id, name, at)


# The file


def _is_missing(spool: Path) -> bool:
    """Whether there is no spool; raises OSError if that cannot be known."""
    try:
        os.lstat(spool)
    except FileNotFoundError:
        return True
    return False


def _read(file: int) -> bytes:
    """Read the spool, but at most twice its allowed size: it belongs to another user."""
    content = b""
    while len(content) < 2 * MAX_SPOOL:
        piece = os.read(file, 1 << 20)
        if not piece:
            break
        content += piece
    return content


def _append(file: int, line: bytes, size: int) -> None:
    """Write a whole line to the disk, or leave the spool at its present size; raises OSError."""
    try:
        if os.write(file, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)  # half a line would spoil the next one
        raise


def _fill_up(file: int, size: int) -> None:
    """Fill the spool up with an empty line, so that `take` sees that it was full."""
    if size < MAX_SPOOL:
        os.write(file, b" " * (MAX_SPOOL - size - 1) + b"\n")


@contextmanager
def _locked(spool: Path, flags: int, wait: float) -> Iterator[int]:
    """Open and lock the spool; a link, a pipe or a folder in its place is refused.

    Waits for at most `wait` seconds while another process holds the lock.
    """
    file = os.open(spool, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise SpoolError(f"{spool}: not a regular file; remove it")
        end = time.monotonic() + wait
        while not _try_lock(file):
            if time.monotonic() > end:
                raise SpoolBusy(f"{spool}: locked by another process; try again")
            time.sleep(0.01)
        yield file
    finally:
        os.close(file)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _translated_errors(spool: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise SpoolForbidden(
            f"{spool}: {error.strerror}; it must belong to the user that runs the events, "
            "see docs/events-and-hooks.md"
        ) from error
    except OSError as error:
        raise SpoolError(f"{spool}: {error.strerror}") from error
