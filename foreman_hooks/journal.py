"""The journal: what was missing since when, what each cloud listed, and every deletion with its evidence.

SQLite with synchronous=FULL: what was committed survives a crash or a power cut, and a line that could not be
committed stops the deletion that it stands for.
"""

import fcntl
import json
import os
import sqlite3
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

from .events import Note
from .model import History, Outcome, Record, Verdict

_SCHEMA = """
CREATE TABLE IF NOT EXISTS misses (
    uuid TEXT, cloud TEXT, region TEXT, count INTEGER NOT NULL, since TEXT NOT NULL, last TEXT NOT NULL,
    PRIMARY KEY (uuid, cloud, region));
CREATE TABLE IF NOT EXISTS servers (
    run INTEGER NOT NULL, at TEXT NOT NULL, cloud TEXT NOT NULL, region TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (run, cloud, region));
CREATE TABLE IF NOT EXISTS deletions (
    id INTEGER PRIMARY KEY, satellite TEXT NOT NULL, plan TEXT NOT NULL, host_id INTEGER NOT NULL, name TEXT NOT NULL,
    uuid TEXT NOT NULL, reason TEXT NOT NULL, evidence TEXT NOT NULL, snapshot TEXT NOT NULL, begun TEXT NOT NULL,
    result TEXT, detail TEXT, ended TEXT);
CREATE TABLE IF NOT EXISTS approvals (plan TEXT PRIMARY KEY, who TEXT NOT NULL, at TEXT NOT NULL);
"""
# What version 2 added: `notes` waits for a run that can put it to use, `removals` is kept.
_SCHEMA_2 = """
CREATE TABLE IF NOT EXISTS notes (
    event TEXT NOT NULL, host_id INTEGER NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (event, host_id, name));
CREATE TABLE IF NOT EXISTS removals (
    id INTEGER PRIMARY KEY, satellite TEXT NOT NULL, host_id INTEGER NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL,
    UNIQUE (satellite, host_id, name, at));
PRAGMA user_version = 2;
"""
MAX_NOTES = 500_000
_CLOCK_SLACK, _LATE = timedelta(minutes=5), timedelta(hours=1)


class JournalError(Exception):
    """The journal cannot be opened, read or written; without it nothing is deleted."""


class JournalBusy(Exception):
    """Another run holds the journal."""


class Journal:
    """The journal in one file, held alone from `open` to `close`.

    All times are aware and kept in UTC, as ISO 8601.  Every method raises JournalError where SQLite fails
    (disk full, read-only, damaged).
    """

    def __init__(self, database: sqlite3.Connection, lock: Optional[int], path: Path) -> None:
        self._database, self._lock, self.path = database, lock, path

    @classmethod
    def open(cls, path: Path) -> "Journal":
        """Open the file, making it (mode 0600) and its folder (0700) where there is none.

        Raises JournalBusy; JournalError too where the file or its folder is another user's, and where it is a
        symbolic link or no file at all: whoever put that there could have any file written to.
        """
        lock = _lock(path)
        try:
            journal = cls(sqlite3.connect(path, isolation_level=None), lock, path)
        except sqlite3.Error as error:
            os.close(lock)
            raise JournalError(f"journal {path}: {error}") from error
        try:
            if not journal.still_held():
                raise JournalBusy(f"the journal {path} was replaced just now; try again")
            journal._prepare()
        except (JournalBusy, JournalError):
            journal.close()
            raise
        return journal

    @classmethod
    def peek(cls, path: Path) -> "Journal":
        """Open the file to read it only, while a run may hold it; raises JournalError where there is none."""
        database = None
        _refuse_odd(path)
        try:
            database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
            database.execute("SELECT 1 FROM deletions LIMIT 1")
        except sqlite3.Error as error:
            if database:
                database.close()
            why = error if path.exists() else "there is none yet; it begins with the first run"
            raise JournalError(f"journal {path}: {why}") from error
        return cls(database, None, path)

    def still_held(self) -> bool:
        """Whether the file that this run holds is still the one at its path; if not, another run may be under way."""
        if self._lock is None:
            return False
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(self._lock))
        except OSError:
            return False

    def _prepare(self) -> None:
        """Make the tables that are missing; a journal that has them is only read, a full disk or not."""
        with self._errors() as database:
            database.execute("PRAGMA synchronous = FULL")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version in (0, 1):       # in one transaction: a run that is killed here leaves the old version
                database.executescript(f"BEGIN IMMEDIATE;{_SCHEMA if version == 0 else ''}{_SCHEMA_2}COMMIT;")
            elif version != 2:
                raise JournalError(f"journal {self.path}: made by a later version ({version}); use that one")

    def close(self) -> None:
        """Let the next run in."""
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _errors(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._database
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path}: {error}; nothing more is deleted") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if not self.still_held():
            raise JournalError(f"journal {self.path}: removed or replaced while this run is on, so another may be "
                               "under way; nothing more is deleted")
        with self._errors() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.commit()
            except BaseException:
                database.rollback()
                raise

    def check_writable(self) -> None:
        """Write and take back; raises JournalError where a deletion could not be put on file."""
        with self._transaction() as database:
            database.execute("INSERT INTO approvals VALUES ('', '', '')")
            database.execute("DELETE FROM approvals WHERE plan = ''")

    # What was seen

    def note_misses(self, missing: Iterable[tuple[str, str, str]], alive: Collection[str], now: datetime,
                    spacing: timedelta = timedelta(), used: Iterable[Note] = ()) -> None:
        """Count one more miss for each (uuid, cloud, region), and forget those of every UUID that is alive.

        One that is missing and alive (a sign of life outside of OpenStack) begins anew, with this miss.  A clock that
        went back starts the count anew: nobody knows how long the UUID has really been missing.  A miss within
        `spacing` of the last one that counted does not count.  The notes `used` for it are dropped with it.
        """
        at = _text(now)
        with self._transaction() as database:
            database.executemany("DELETE FROM misses WHERE uuid = ?", ((uuid,) for uuid in alive))
            database.execute("DELETE FROM misses WHERE last > ?", (at,))
            database.executemany(
                "INSERT INTO misses VALUES (?1, ?2, ?3, 1, ?4, ?4) ON CONFLICT (uuid, cloud, region) "
                "DO UPDATE SET count = count + 1, last = excluded.last WHERE last <= ?5",
                ((*one, at, _text(now - spacing)) for one in missing))
            _drop(database, used)

    def missed(self) -> set[str]:
        """Every UUID that has a miss on file."""
        with self._errors() as database:
            return {uuid for (uuid,) in database.execute("SELECT DISTINCT uuid FROM misses")}

    def history(self, uuid: str, regions: Collection[tuple[str, str]]) -> History:
        """The misses of a UUID: the fewest, and the latest beginning, of all regions in scope."""
        with self._errors() as database:
            rows = {(cloud, region): (count, since) for cloud, region, count, since in database.execute(
                "SELECT cloud, region, count, since FROM misses WHERE uuid = ?", (uuid,))}
        if not regions or not set(regions) <= rows.keys():
            return History()
        counts, beginnings = zip(*(rows[one] for one in regions))
        return History(min(counts), datetime.fromisoformat(max(beginnings)))

    # What Foreman's events told

    def note_events(self, notes: Iterable[Note], lost: bool = False) -> None:
        """Keep what events told until a run puts it to use; of the same about the same host, the latest.

        Where notes were `lost`, any machine may have given a sign of life, and every count of misses begins anew.
        So it does where more are kept than there can be hosts: whoever writes notes cannot fill the disk with them.
        """
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO notes VALUES (?, ?, ?, ?) ON CONFLICT (event, host_id, name) "
                "DO UPDATE SET at = max(at, excluded.at)", ((*note[:3], _text(note.at)) for note in notes))
            if database.execute("SELECT count(*) FROM notes").fetchone()[0] > MAX_NOTES:
                database.execute("DELETE FROM notes")
                lost = True
            if lost:
                database.execute("DELETE FROM misses")

    def events(self) -> list[Note]:
        """What events told and no run has put to use yet."""
        with self._errors() as database:
            return [Note(event, host_id, name, datetime.fromisoformat(at)) for event, host_id, name, at in
                    database.execute("SELECT event, host_id, name, at FROM notes ORDER BY at, name, host_id")]

    def note_removals(self, satellite: str, removed: Iterable[Note], used: Iterable[Note]) -> None:
        """Put on file the hosts that somebody else removed there, and drop the notes that this was told from."""
        with self._transaction() as database:
            database.executemany(
                "INSERT OR IGNORE INTO removals (satellite, host_id, name, at) VALUES (?, ?, ?, ?)",
                ((satellite, note.host_id, note.name, _text(note.at)) for note in removed))
            _drop(database, used)

    def is_ours(self, satellite: str, note: Note) -> bool:
        """Whether the removal that an event told of was our own deletion: Foreman sends the event for that as well.

        Ids are never used again.  A name is, so there the times have to agree, and webhooks may be late; so is a
        deletion that we took for failed since Satellite was not done yet.
        """
        same, which = ("host_id = ?", note.host_id) if note.host_id else ("name = ?", note.name)
        done = "coalesce(result, '') <> 'failed' OR " if note.host_id else ""
        with self._errors() as database:
            return database.execute(
                f"SELECT 1 FROM deletions WHERE satellite = ? AND {same} "
                f"AND ({done}begun <= ? AND coalesce(ended, begun) >= ?) LIMIT 1",
                (satellite, which, _text(note.at + _CLOCK_SLACK), _text(note.at - _LATE))).fetchone() is not None

    def removals(self) -> list[dict[str, Any]]:
        """Every host that somebody else removed, the first one first: id, satellite, host_id, name, at.

        `host_id` is 0, or `name` "", where the event did not say.  None in a journal of before there were events.
        """
        with self._errors() as database:
            if database.execute("PRAGMA user_version").fetchone()[0] < 2:
                return []
            cursor = database.execute("SELECT id, satellite, host_id, name, at FROM removals ORDER BY at, id")
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor]

    # What the clouds listed

    def note_servers(self, counts: Mapping[tuple[str, str], int], now: datetime) -> None:
        """Keep how many servers each (cloud, region) listed in a good run."""
        with self._transaction() as database:
            run = database.execute("SELECT coalesce(max(run), 0) + 1 FROM servers").fetchone()[0]
            database.executemany("INSERT INTO servers VALUES (?, ?, ?, ?, ?)",
                                 ((run, _text(now), *where, count) for where, count in counts.items()))

    def servers_before(self) -> dict[tuple[str, str], int]:
        """How many servers each (cloud, region) listed that the last good run asked."""
        with self._errors() as database:
            return {(cloud, region): count for cloud, region, count in database.execute(
                "SELECT cloud, region, count FROM servers WHERE run = (SELECT max(run) FROM servers)")}

    # What was done

    def note_approval(self, plan: str, who: str, now: datetime) -> None:
        """Keep who lifted the caps for the plan with this digest; raises JournalError where somebody did before."""
        with self._errors() as database:
            used = database.execute("SELECT who, at FROM approvals WHERE plan = ?", (plan,)).fetchone()
        if used:
            raise JournalError(f"plan {plan[:12]} was already approved by {used[0]} at {used[1]}; make a new one")
        with self._transaction() as database:
            database.execute("INSERT INTO approvals VALUES (?, ?, ?)", (plan, who, _text(now)))

    def begin_deletion(self, satellite: str, plan: str, verdict: Verdict, evidence: Any, record: Record,
                       now: datetime) -> int:
        """Put a deletion on file before it happens, with its evidence and the record's snapshot; its number."""
        with self._transaction() as database:
            cursor = database.execute(
                "INSERT INTO deletions (satellite, plan, host_id, name, uuid, reason, evidence, snapshot, begun) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (satellite, plan, verdict.host_id, verdict.name, verdict.uuid, verdict.reason.value,
                 json.dumps(evidence), json.dumps(dict(record.snapshot)), _text(now)))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end_deletion(self, number: int, outcome: Outcome, now: datetime) -> None:
        """Put on file what became of it."""
        with self._transaction() as database:
            database.execute("UPDATE deletions SET result = ?, detail = ?, ended = ? WHERE id = ?",
                             (outcome.result, outcome.detail, _text(now), number))

    def deleted_since(self, satellite: str, when: datetime) -> int:
        """How many deletions at that Satellite were begun since then and did not fail."""
        with self._errors() as database:
            return database.execute("SELECT count(*) FROM deletions WHERE satellite = ? AND begun > ? AND "
                                    "coalesce(result, '') <> 'failed'", (satellite, _text(when))).fetchone()[0]

    def unfinished(self, satellite: str) -> list[dict[str, Any]]:
        """The deletions at that Satellite that were begun and never ended."""
        return [row for row in self.deletions() if row["result"] is None and row["satellite"] == satellite]

    def deletions(self) -> list[dict[str, Any]]:
        """Every deletion on file, the oldest first; `result` is None where a run was killed in between."""
        with self._errors() as database:
            cursor = database.execute("SELECT * FROM deletions ORDER BY id")
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row)) for row in cursor]
        return [{**row, "evidence": json.loads(row["evidence"]), "snapshot": json.loads(row["snapshot"])}
                for row in rows]

    def prune(self, before: datetime) -> int:
        """Forget what ended before that time: deletions, approvals, the clouds' sizes but the last; how many deletions.

        What was begun and never ended stays, and so does every miss: a run still needs them.
        """
        at = _text(before)
        with self._transaction() as database:
            database.execute("DELETE FROM approvals WHERE at < ?", (at,))
            database.execute("DELETE FROM servers WHERE at < ? AND run < (SELECT max(run) FROM servers)", (at,))
            database.execute("DELETE FROM removals WHERE at < ?", (at,))
            return database.execute("DELETE FROM deletions WHERE ended < ?", (at,)).rowcount


def _lock(path: Path) -> int:
    """A descriptor of the journal, which is made where there is none, with the lock; raises as `Journal.open` does.

    The file itself is locked, and not one beside it that somebody could remove.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_strangers(path, path.parent.stat(), "its folder ")
        for beside in (path, path.with_name(f"{path.name}-journal"), path.with_name(f"{path.name}-wal")):
            _refuse_strangers(path, _refuse_odd(beside))
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise JournalError(f"journal {path}: {error.strerror}; correct 'journal' or the folder's mode") from error
    try:
        _refuse_strangers(path, os.fstat(file))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise JournalBusy(f"another run holds the journal {path}; try again when it has ended") from error
    except OSError as error:
        os.close(file)
        raise JournalError(f"journal {path}: cannot be locked ({error.strerror})") from error
    except JournalError:
        os.close(file)
        raise
    return file


def _refuse_odd(path: Path) -> Optional[os.stat_result]:
    """What stands at that path, None where nothing does; raises JournalError where it is not a regular file."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"journal {path}: {error.strerror}") from error
    if not stat.S_ISREG(there.st_mode):
        kind = ("a symbolic link; name the file itself" if stat.S_ISLNK(there.st_mode) else
                "a folder; name a file" if stat.S_ISDIR(there.st_mode) else "not a regular file; name another")
        raise JournalError(f"journal {path}: {kind} with 'journal' in the configuration")
    return there


def _refuse_strangers(path: Path, there: Optional[os.stat_result], which: str = "") -> None:
    """Raise JournalError where that is neither root's nor ours."""
    if there and there.st_uid not in (0, os.geteuid()):
        raise JournalError(f"journal {path}: {which}belongs to another user (uid {there.st_uid}); run as that user, or "
                           "name another file with 'journal' in the configuration")


def _drop(database: sqlite3.Connection, used: Iterable[Note]) -> None:
    database.executemany("DELETE FROM notes WHERE event = ? AND host_id = ? AND name = ? AND at <= ?",
                         ((*note[:3], _text(note.at)) for note in used))


def _text(when: datetime) -> str:
    """ISO 8601 in UTC, of one width, so that texts compare as the times do."""
    return when.astimezone(timezone.utc).isoformat(timespec="microseconds")
