"""The journal's file: who may own it, the lock that one run holds on it, and its tables."""

import fcntl
import os
import sqlite3
import stat
from pathlib import Path
from typing import Optional

from foreman_hooks.errors import TRY_AGAIN

_VERSION = 5
# notes: kept until a run uses them.
# homes: the UUIDs seen alive in a place (homes.py).
# unfinished, unmailed, by_time: so that a run reads no snapshots of old deletions.
# forgotten: how many deletions were pruned, so that a count of all never goes down.
# open_records: what the last plans said of each record that is to be deleted, waits, or needs
#     attention; the scope of the last run that did; since when; when it was last mailed, and who
#     took it out of the mails.
# problems: what was mailed about the last runs of that scope as a whole, and whether only quick
#     runs have met it (news.py).
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE misses (
    uuid TEXT,
    cloud TEXT,
    region TEXT,
    count INTEGER NOT NULL,
    since TEXT NOT NULL,
    last TEXT NOT NULL,
    PRIMARY KEY (uuid, cloud, region)
);
CREATE TABLE servers (
    run INTEGER NOT NULL,
    at TEXT NOT NULL,
    cloud TEXT NOT NULL,
    region TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (run, cloud, region)
);
CREATE TABLE homes (
    satellite TEXT NOT NULL,
    cloud TEXT NOT NULL,
    region TEXT NOT NULL,
    uuids BLOB NOT NULL,
    PRIMARY KEY (satellite, cloud, region)
);
CREATE TABLE deleted_rows (
    satellite TEXT NOT NULL,
    scope TEXT NOT NULL,
    cloud TEXT NOT NULL,
    region TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (satellite, scope, cloud, region)
);
CREATE TABLE satellites (url TEXT PRIMARY KEY, katello INTEGER NOT NULL);
CREATE TABLE deletions (
    id INTEGER PRIMARY KEY,
    satellite TEXT NOT NULL,
    run TEXT NOT NULL,
    plan TEXT NOT NULL,
    host_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    uuid TEXT NOT NULL,
    reason TEXT NOT NULL,
    evidence TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    begun TEXT NOT NULL,
    result TEXT,
    detail TEXT,
    ended TEXT,
    terminated_at TEXT NOT NULL,
    who TEXT NOT NULL,
    restored_at TEXT,
    restored_as INTEGER,
    mailed TEXT
);
CREATE INDEX unfinished ON deletions (satellite) WHERE result IS NULL;
CREATE INDEX unmailed ON deletions (satellite) WHERE mailed IS NULL;
CREATE INDEX by_host ON deletions (satellite, host_id);
CREATE INDEX by_time ON deletions (satellite, begun, result, terminated_at);
CREATE TABLE forgotten (
    satellite TEXT,
    result TEXT,
    count INTEGER NOT NULL,
    PRIMARY KEY (satellite, result)
);
CREATE TABLE approvals (plan TEXT PRIMARY KEY, who TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE notes (
    event TEXT NOT NULL,
    host_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (event, host_id, name)
);
CREATE TABLE removals (
    id INTEGER PRIMARY KEY,
    satellite TEXT NOT NULL,
    host_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    at TEXT NOT NULL,
    UNIQUE (satellite, host_id, name, at)
);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    satellite TEXT NOT NULL,
    command TEXT NOT NULL,
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    who TEXT NOT NULL,
    began TEXT NOT NULL,
    ended TEXT,
    code INTEGER,
    complete INTEGER,
    hosts INTEGER,
    instances INTEGER,
    to_delete INTEGER,
    waiting INTEGER,
    attention INTEGER,
    unknown INTEGER,
    deleted INTEGER,
    refusals TEXT
);
CREATE TABLE open_records (
    satellite TEXT NOT NULL,
    host_id INTEGER NOT NULL,
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    uuid TEXT NOT NULL,
    decision TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    terminated_at TEXT NOT NULL,
    due TEXT NOT NULL,
    since TEXT NOT NULL,
    mailed TEXT,
    acked_at TEXT,
    acked_by TEXT,
    ack_reason TEXT,
    PRIMARY KEY (satellite, host_id)
);
CREATE TABLE problems (
    satellite TEXT NOT NULL,
    scope TEXT NOT NULL,
    until TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    since TEXT NOT NULL,
    mailed TEXT NOT NULL,
    quick INTEGER NOT NULL,
    PRIMARY KEY (satellite, scope, until, kind)
);
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class JournalError(Exception):
    """The journal cannot be opened, read or written; without it nothing is deleted."""

    exit_code = 70


class JournalBusy(Exception):
    """Another run holds the journal."""

    exit_code = TRY_AGAIN


# The lock


def lock(path: Path) -> int:
    """Lock the journal's file, and return its file descriptor; create the file if it is missing.

    A new file has mode 0600, and a new folder 0700.  The lock is on the file itself, because a lock
    file beside it could be removed.  Raises JournalBusy if another run holds it.  Raises
    JournalError if it cannot be opened, or if the file, its folder, or a file that SQLite keeps
    beside it belongs to another user or is not regular.
    """
    descriptor = _open(path)
    try:
        _lock(path, descriptor)
    except (JournalBusy, JournalError):
        os.close(descriptor)
        raise
    return descriptor


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(path, path.parent.stat(), "its folder ")
        for suffix in ("", "-journal", "-wal"):  # the last two are SQLite's own
            status = check_regular(path.with_name(path.name + suffix))
            if status:
                _check_owner(path, status)
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise JournalError(
            f"journal {path}: {error.strerror}; correct 'journal' or the folder's mode"
        ) from error


def _lock(path: Path, descriptor: int) -> None:
    try:
        _check_owner(path, os.fstat(descriptor))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JournalBusy(
            f"another run holds the journal {path}; try again when it has ended"
        ) from error
    except OSError as error:
        raise JournalError(
            f"journal {path}: cannot be locked ({error.strerror})"
        ) from error


def is_locked(path: Path) -> bool:
    """Whether a run holds the file now; raises JournalError if that cannot be known."""
    check_regular(path)
    try:
        # A shared lock, and only for a moment: a run that starts just then would have to try again.
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise JournalError(f"journal {path}: {error.strerror}") from error
    return False


def is_half_written(path: Path) -> bool:
    """Whether a run was killed while it wrote; SQLite cannot read such a file without writing it.

    Raises JournalError if that cannot be known.
    """
    return path.with_name(f"{path.name}-journal").exists() and not is_locked(path)


def is_at(path: Path, descriptor: int) -> bool:
    """Whether the file that was opened as `descriptor` is still the one at this path."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False


# Whose file it is


def check_regular(path: Path) -> Optional[os.stat_result]:
    """The file's status; None if there is no file.

    Raises JournalError if it is not a regular file: a symbolic link could make a run write to any
    file.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"journal {path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = _kind_of(status.st_mode)
        raise JournalError(
            f"journal {path}: {kind} with 'journal' in the configuration"
        )
    return status


def _kind_of(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link; name the file itself"
    if stat.S_ISDIR(mode):
        return "a folder; name a file"
    return "not a regular file; name another"


def _check_owner(path: Path, status: os.stat_result, which: str = "") -> None:
    """Raise JournalError if a file belongs neither to root nor to this user."""
    if status.st_uid in (0, os.geteuid()):
        return
    raise JournalError(
        f"journal {path}: {which}belongs to another user (uid {status.st_uid}); run as that user, "
        "or name another file with 'journal' in the configuration"
    )


# Its tables


def prepare(path: Path, database: sqlite3.Connection) -> None:
    """Make each commit reach the disk, and create the tables in a new file.

    If the file has tables, it is only read here, so that this works while the disk is full.  Raises
    JournalError if another version of this program made the file, or sqlite3.Error.
    """
    database.execute("PRAGMA synchronous = FULL")
    if _version_of(database) == 0:
        # In one transaction: a run that is killed here leaves an empty file.
        database.executescript(_SCHEMA)
    else:
        check_version(path, database)


def check_version(path: Path, database: sqlite3.Connection) -> None:
    """Raise JournalError if another version of this program made the file."""
    version = _version_of(database)
    if version != _VERSION:
        raise JournalError(
            f"journal {path}: made by another version ({version}, this one reads {_VERSION}); use "
            "that version, or move the file away to start over"
        )


def _version_of(database: sqlite3.Connection) -> int:
    """The version of the tables; 0 if the file has none."""
    return database.execute("PRAGMA user_version").fetchone()[0]
