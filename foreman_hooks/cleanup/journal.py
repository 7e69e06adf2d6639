"""The journal: what was missing since when, what each cloud listed, and every deletion with its
evidence.

SQLite with synchronous=FULL: what was committed survives a crash or a power cut, and a line that
could not be committed stops the deletion that it stands for.
"""

import fcntl
import json
import os
import sqlite3
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from foreman_hooks.cleanup.homes import holds, pack
from foreman_hooks.hooks.event import Note
from foreman_hooks.osp_checker.session import CLOCK_SKEW
from foreman_hooks.osp_checker.sightings import Place
from foreman_hooks.rules.model import History, Outcome, Record, Verdict
from foreman_hooks.times import iso

_VERSION = 3
# `notes` waits for a run that can put it to use; `homes` holds the UUIDs seen alive in a place
# (homes.py).
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE misses (
    uuid TEXT, cloud TEXT, region TEXT, count INTEGER NOT NULL, since TEXT NOT NULL, last TEXT NOT NULL,
    PRIMARY KEY (uuid, cloud, region));
CREATE TABLE servers (
    run INTEGER NOT NULL, at TEXT NOT NULL, cloud TEXT NOT NULL, region TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (run, cloud, region));
CREATE TABLE homes (
    satellite TEXT NOT NULL, cloud TEXT NOT NULL, region TEXT NOT NULL, uuids BLOB NOT NULL,
    PRIMARY KEY (satellite, cloud, region));
CREATE TABLE satellites (url TEXT PRIMARY KEY, katello INTEGER NOT NULL);
CREATE TABLE deletions (
    id INTEGER PRIMARY KEY, satellite TEXT NOT NULL, plan TEXT NOT NULL, host_id INTEGER NOT NULL, name TEXT NOT NULL,
    uuid TEXT NOT NULL, reason TEXT NOT NULL, evidence TEXT NOT NULL, snapshot TEXT NOT NULL, begun TEXT NOT NULL,
    result TEXT, detail TEXT, ended TEXT);
CREATE INDEX unfinished ON deletions (satellite) WHERE result IS NULL;
CREATE INDEX by_host ON deletions (satellite, host_id);
CREATE TABLE approvals (plan TEXT PRIMARY KEY, who TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE notes (
    event TEXT NOT NULL, host_id INTEGER NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (event, host_id, name));
CREATE TABLE removals (
    id INTEGER PRIMARY KEY, satellite TEXT NOT NULL, host_id INTEGER NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL,
    UNIQUE (satellite, host_id, name, at));
PRAGMA user_version = {_VERSION};
COMMIT;
"""
MAX_NOTES = 500_000
_LATE = timedelta(hours=1)


class JournalError(Exception):
    """The journal cannot be opened, read or written; without it nothing is deleted."""

    exit_code = 70


class JournalBusy(Exception):
    """Another run holds the journal."""

    exit_code = 75


class Unfinished(NamedTuple):
    """A deletion that was begun, and of which nobody knows yet what became; `visibility` as
    Satellite.visibility.
    """

    id: int
    host_id: int
    name: str
    uuid: str
    begun: datetime
    visibility: Mapping[str, Any]


class Journal:
    """The journal in one file, held alone from `open` to `close`.

    All times are aware and kept in UTC, as ISO 8601.  Every method raises JournalError where SQLite
    fails (disk full, read-only, damaged).
    """

    def __init__(self, database: sqlite3.Connection, lock: Optional[int], path: Path) -> None:
        self._database, self._lock, self.path = database, lock, path
        self._homes: dict[tuple[str, Place], bytes] = {}

    @classmethod
    def open(cls, path: Path) -> "Journal":
        """Open the file, making it (mode 0600) and its folder (0700) where there is none.

        Raises JournalBusy; JournalError too where the file or its folder is another user's, and
        where it is a symbolic link or no file at all: whoever put that there could have any file
        written to.
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
        """Open the file to read it only, while a run may hold it; raises JournalError where there
        is none.
        """
        database = None
        _refuse_odd(path)
        try:
            database = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
            )
            _check_version(path, database.execute("PRAGMA user_version").fetchone()[0])
        except (sqlite3.Error, JournalError) as error:
            if database:
                database.close()
            if isinstance(error, JournalError):
                raise
            why = error if path.exists() else "there is none yet; it begins with the first run"
            raise JournalError(f"journal {path}: {why}") from error
        return cls(database, None, path)

    def still_held(self) -> bool:
        """Whether the file that this run holds is still the one at its path; if not, another run
        may be under way.
        """
        if self._lock is None:
            return False
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(self._lock))
        except OSError:
            return False

    def _prepare(self) -> None:
        """Make the tables that are missing; a journal that has them is only read, a full disk or
        not.
        """
        with self._errors() as database:
            database.execute("PRAGMA synchronous = FULL")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:  # in one transaction: a run that is killed here leaves an empty file
                database.executescript(_SCHEMA)
            else:
                _check_version(self.path, version)

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
            raise JournalError(
                f"journal {self.path}: removed or replaced while this run is on, so another may be "
                "under way; nothing more is deleted"
            )
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

    def note_misses(
        self,
        missing: Iterable[tuple[str, str, str]],
        alive: Collection[str],
        now: datetime,
        spacing: timedelta = timedelta(),
        used: Iterable[Note] = (),
        *,
        gap: timedelta = timedelta.max,
    ) -> None:
        """Count one more miss for each (uuid, cloud, region), and forget those of every UUID that
        is alive.

        One that is missing and alive (a sign of life outside of OpenStack) begins anew, with this
        miss.  A clock that went back starts the count anew, since nobody knows how long the UUID
        has really been missing; so does a `gap` since the last miss.  A miss within `spacing` of
        the last one that counted does not count.  The notes `used` for it are dropped with it.
        """
        at = _text(now)
        try:
            oldest = _text(now - gap)
        except OverflowError:  # a grace period of a million days
            oldest = ""
        with self._transaction() as database:
            database.executemany("DELETE FROM misses WHERE uuid = ?", ((uuid,) for uuid in alive))
            database.execute("DELETE FROM misses WHERE last > ? OR last < ?", (at, oldest))
            database.executemany(
                "INSERT INTO misses VALUES (?1, ?2, ?3, 1, ?4, ?4) ON CONFLICT (uuid, cloud, region) "
                "DO UPDATE SET count = count + 1, last = excluded.last WHERE last <= ?5",
                ((*one, at, _text(now - spacing)) for one in missing),
            )
            _drop(database, used)

    def missed(self) -> set[str]:
        """Every UUID that has a miss on file."""
        with self._errors() as database:
            return {uuid for (uuid,) in database.execute("SELECT DISTINCT uuid FROM misses")}

    def history(
        self, satellite: str, host_id: int, uuid: str, regions: Collection[Place]
    ) -> History:
        """What earlier runs know of a UUID: of its misses the fewest, and the latest beginning, of
        all these regions.

        `host_id`: the record of that Satellite that names it.
        """
        with self._errors() as database:
            rows = {
                (cloud, region): (count, since)
                for cloud, region, count, since in database.execute(
                    "SELECT cloud, region, count, since FROM misses WHERE uuid = ?", (uuid,)
                )
            }
            tried = (
                database.execute(
                    "SELECT 1 FROM deletions WHERE satellite = ? AND host_id = ? AND result = 'failed'",
                    (satellite, host_id),
                ).fetchone()
                is not None
            )
        homes = frozenset(place for place in regions if holds(self._packed(satellite, place), uuid))
        if not regions or not set(regions) <= rows.keys():
            return History(homes=homes, tried=tried)
        counts, beginnings = zip(*(rows[place] for place in regions))
        return History(
            min(counts), self._time(max(beginnings), f"the count of misses of {uuid}"), homes, tried
        )

    def note_alive(
        self, satellite: str, alive: Mapping[Place, Collection[str]], named: Iterable[str]
    ) -> None:
        """Keep which UUIDs were seen alive, by place, for later runs in which they are absent.

        Of those that are not alive any more, the ones stay that a record still names (`named`).
        """
        named = list(named)
        packed = {}
        for place, uuids in alive.items():
            old = self._packed(satellite, place)
            new = pack([*uuids, *(uuid for uuid in named if holds(old, uuid))])
            if new != old:
                packed[place] = new
        if packed:
            with self._transaction() as database:
                database.executemany(
                    "INSERT OR REPLACE INTO homes VALUES (?, ?, ?, ?)",
                    ((satellite, *place, new) for place, new in packed.items()),
                )
            self._homes.clear()

    def _packed(self, satellite: str, place: Place) -> bytes:
        """The UUIDs seen alive there; read once, since that of a large region is megabytes."""
        if (satellite, place) not in self._homes:
            with self._errors() as database:
                row = database.execute(
                    "SELECT uuids FROM homes WHERE satellite = ? AND cloud = ? AND region = ?",
                    (satellite, *place),
                ).fetchone()
            self._homes[satellite, place] = row[0] if row else b""
        return self._homes[satellite, place]

    def had_katello(self, satellite: str) -> bool:
        """Whether an earlier run met Katello there."""
        with self._errors() as database:
            row = database.execute(
                "SELECT katello FROM satellites WHERE url = ?", (satellite,)
            ).fetchone()
        return bool(row and row[0])

    def note_katello(self, satellite: str, katello: bool) -> None:
        """Keep whether Katello is there."""
        with self._transaction() as database:
            database.execute(
                "INSERT OR REPLACE INTO satellites VALUES (?, ?)", (satellite, katello)
            )

    # What Foreman's events told

    def note_events(self, notes: Iterable[Note], lost: bool = False) -> None:
        """Keep what events told until a run puts it to use; of the same about the same host, the
        latest.

        Where notes were `lost`, any machine may have given a sign of life, and every count of
        misses begins anew. So it does where more are kept than there can be hosts: whoever writes
        notes cannot fill the disk with them.
        """
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO notes VALUES (?, ?, ?, ?) ON CONFLICT (event, host_id, name) "
                "DO UPDATE SET at = max(at, excluded.at)",
                ((*note[:3], _text(note.at)) for note in notes),
            )
            if database.execute("SELECT count(*) FROM notes").fetchone()[0] > MAX_NOTES:
                database.execute("DELETE FROM notes")
                lost = True
            if lost:
                database.execute("DELETE FROM misses")

    def events(self) -> list[Note]:
        """What events told and no run has put to use yet."""
        with self._errors() as database:
            return [
                Note(event, host_id, name, self._time(at, "what an event told"))
                for event, host_id, name, at in database.execute(
                    "SELECT event, host_id, name, at FROM notes ORDER BY at, name, host_id"
                )
            ]

    def note_removals(self, satellite: str, removed: Iterable[Note], used: Iterable[Note]) -> None:
        """Put on file the hosts that somebody else removed there, and drop the notes that this was
        told from.
        """
        with self._transaction() as database:
            database.executemany(
                "INSERT OR IGNORE INTO removals (satellite, host_id, name, at) VALUES (?, ?, ?, ?)",
                ((satellite, note.host_id, note.name, _text(note.at)) for note in removed),
            )
            _drop(database, used)

    def is_ours(self, satellite: str, note: Note) -> bool:
        """Whether the removal that an event told of was our own deletion: Foreman sends the event
        for that as well.

        Ids are never used again.  A name is, so there the times have to agree, and webhooks may be
        late; so is a deletion that we took for failed since Satellite was not done yet.
        """
        same, which = ("host_id = ?", note.host_id) if note.host_id else ("name = ?", note.name)
        done = "coalesce(result, '') <> 'failed' OR " if note.host_id else ""
        with self._errors() as database:
            return (
                database.execute(
                    f"SELECT 1 FROM deletions WHERE satellite = ? AND {same} "
                    f"AND ({done}begun <= ? AND coalesce(ended, begun) >= ?) LIMIT 1",
                    (satellite, which, _text(note.at + CLOCK_SKEW), _text(note.at - _LATE)),
                ).fetchone()
                is not None
            )

    def removals(self) -> list[dict[str, Any]]:
        """Every host that somebody else removed, the first one first: id, satellite, host_id, name,
        at.

        `host_id` is 0, or `name` "", where the event did not say.
        """
        with self._errors() as database:
            cursor = database.execute(
                "SELECT id, satellite, host_id, name, at FROM removals ORDER BY at, id"
            )
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor]

    # What the clouds listed

    def note_servers(self, counts: Mapping[Place, int], now: datetime) -> None:
        """Keep how many servers each (cloud, region) listed in a good run."""
        with self._transaction() as database:
            run = database.execute("SELECT coalesce(max(run), 0) + 1 FROM servers").fetchone()[0]
            database.executemany(
                "INSERT INTO servers VALUES (?, ?, ?, ?, ?)",
                ((run, _text(now), *where, count) for where, count in counts.items()),
            )

    def servers_before(self) -> dict[Place, tuple[int, datetime]]:
        """How many servers each (cloud, region) listed that the last good run asked, and when that
        was.
        """
        with self._errors() as database:
            rows = database.execute(
                "SELECT cloud, region, count, at FROM servers "
                "WHERE run = (SELECT max(run) FROM servers)"
            ).fetchall()
        return {
            Place(cloud, region): (count, self._time(at, f"the size of {cloud}/{region}"))
            for cloud, region, count, at in rows
        }

    # What was done

    def note_approval(self, plan: str, who: str, now: datetime) -> None:
        """Keep who lifted the caps for the plan with this digest; raises JournalError where
        somebody did before.
        """
        with self._errors() as database:
            used = database.execute(
                "SELECT who, at FROM approvals WHERE plan = ?", (plan,)
            ).fetchone()
        if used:
            raise JournalError(
                f"plan {plan[:12]} was already approved by {used[0]} at {used[1]}; make a new one"
            )
        with self._transaction() as database:
            database.execute("INSERT INTO approvals VALUES (?, ?, ?)", (plan, who, _text(now)))

    def begin_deletion(
        self,
        satellite: str,
        plan: str,
        verdict: Verdict,
        evidence: Any,
        record: Record,
        now: datetime,
    ) -> int:
        """Put a deletion on file before it happens, with its evidence and the record's snapshot;
        its number.
        """
        with self._transaction() as database:
            cursor = database.execute(
                "INSERT INTO deletions (satellite, plan, host_id, name, uuid, reason, evidence, snapshot, begun) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    satellite,
                    plan,
                    verdict.host_id,
                    verdict.name,
                    verdict.uuid,
                    verdict.reason.value,
                    json.dumps(evidence),
                    json.dumps(dict(record.snapshot)),
                    _text(now),
                ),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end_deletion(self, number: int, outcome: Outcome, now: datetime) -> None:
        """Put on file what became of it."""
        with self._transaction() as database:
            database.execute(
                "UPDATE deletions SET result = ?, detail = ?, ended = ? WHERE id = ?",
                (outcome.result, outcome.detail, _text(now), number),
            )

    def deleted_since(self, satellite: str, when: datetime) -> int:
        """How many deletions at that Satellite were begun since then and did not fail."""
        with self._errors() as database:
            return database.execute(
                "SELECT count(*) FROM deletions WHERE satellite = ? AND begun > ? AND "
                "coalesce(result, '') <> 'failed'",
                (satellite, _text(when)),
            ).fetchone()[0]

    def unfinished(self, satellite: str) -> list[Unfinished]:
        """The deletions at that Satellite that were begun and never ended; raises JournalError for
        a damaged row.
        """
        with self._errors() as database:
            rows = database.execute(
                "SELECT id, host_id, name, uuid, begun, evidence FROM deletions WHERE satellite = ? AND result IS NULL "
                "ORDER BY id",
                (satellite,),
            ).fetchall()
        return [self._unfinished(*row) for row in rows]

    def _unfinished(
        self, number: int, host_id: Any, name: str, uuid: str, begun: Any, evidence: Any
    ) -> Unfinished:
        visibility = self._parsed(number, evidence).get("visibility", {})
        if type(host_id) is not int or not isinstance(visibility, dict):
            raise self._damaged(number)
        return Unfinished(
            number, host_id, name, uuid, self._time(begun, f"deletion {number}"), visibility
        )

    def failures(self, satellite: str) -> set[int]:
        """The ids of the hosts there whose last deletion on file failed, or never ended."""
        with self._errors() as database:
            return {
                host_id
                for (host_id,) in database.execute(
                    "SELECT host_id FROM deletions AS last WHERE satellite = ?1 AND coalesce(result, 'failed') = 'failed' "
                    "AND NOT EXISTS (SELECT 1 FROM deletions WHERE satellite = ?1 AND host_id = last.host_id "
                    "AND id > last.id)",
                    (satellite,),
                )
            }

    def deletions(self) -> list[dict[str, Any]]:
        """Every deletion on file, the oldest first; `result` is None where nobody knows yet what
        became of it.

        Raises JournalError for a damaged row.
        """
        with self._errors() as database:
            cursor = database.execute("SELECT * FROM deletions ORDER BY id")
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row)) for row in cursor]
        for row in rows:
            self._time(row["begun"], f"deletion {row['id']}")
        return [
            {
                **row,
                "evidence": self._parsed(row["id"], row["evidence"]),
                "snapshot": self._parsed(row["id"], row["snapshot"]),
            }
            for row in rows
        ]

    def _parsed(self, number: int, text: Any) -> dict[str, Any]:
        """What a row holds as JSON; raises JournalError where it is damaged."""
        try:
            value = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._damaged(number) from error
        if not isinstance(value, dict):
            raise self._damaged(number)
        return value

    def _time(self, text: Any, what: str) -> datetime:
        """A time that is on file; raises JournalError where it is damaged."""
        try:
            when = datetime.fromisoformat(text)
            if when.tzinfo is not None:
                return when
        except (TypeError, ValueError):
            pass
        raise self._damaged(what)

    def _damaged(self, what: Union[int, str]) -> JournalError:
        what = f"deletion {what}" if isinstance(what, int) else what
        return JournalError(
            f"journal {self.path}: {what} is damaged; restore the file from a backup, or move it away "
            "to begin anew"
        )

    def prune(self, before: datetime) -> int:
        """Forget what ended before that time: deletions, approvals, the clouds' sizes but the last;
        how many deletions.

        What was begun and never ended stays, and so does every miss: a run still needs them.
        """
        at = _text(before)
        with self._transaction() as database:
            database.execute("DELETE FROM approvals WHERE at < ?", (at,))
            database.execute(
                "DELETE FROM servers WHERE at < ? AND run < (SELECT max(run) FROM servers)", (at,)
            )
            database.execute("DELETE FROM removals WHERE at < ?", (at,))
            return database.execute("DELETE FROM deletions WHERE ended < ?", (at,)).rowcount


def _lock(path: Path) -> int:
    """A descriptor of the journal, which is made where there is none, with the lock; raises as
    `Journal.open` does.

    The file itself is locked, and not one beside it that somebody could remove.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_strangers(path, path.parent.stat(), "its folder ")
        for beside in (
            path,
            path.with_name(f"{path.name}-journal"),
            path.with_name(f"{path.name}-wal"),
        ):
            _refuse_strangers(path, _refuse_odd(beside))
        file = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600
        )
    except OSError as error:
        raise JournalError(
            f"journal {path}: {error.strerror}; correct 'journal' or the folder's mode"
        ) from error
    try:
        _refuse_strangers(path, os.fstat(file))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise JournalBusy(
            f"another run holds the journal {path}; try again when it has ended"
        ) from error
    except OSError as error:
        os.close(file)
        raise JournalError(f"journal {path}: cannot be locked ({error.strerror})") from error
    except JournalError:
        os.close(file)
        raise
    return file


def _refuse_odd(path: Path) -> Optional[os.stat_result]:
    """What stands at that path, None where nothing does; raises JournalError where it is not a
    regular file.
    """
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"journal {path}: {error.strerror}") from error
    if not stat.S_ISREG(there.st_mode):
        kind = (
            "a symbolic link; name the file itself"
            if stat.S_ISLNK(there.st_mode)
            else "a folder; name a file"
            if stat.S_ISDIR(there.st_mode)
            else "not a regular file; name another"
        )
        raise JournalError(f"journal {path}: {kind} with 'journal' in the configuration")
    return there


def _refuse_strangers(path: Path, there: Optional[os.stat_result], which: str = "") -> None:
    """Raise JournalError where that is neither root's nor ours."""
    if there and there.st_uid not in (0, os.geteuid()):
        raise JournalError(
            f"journal {path}: {which}belongs to another user (uid {there.st_uid}); run as that user, or "
            "name another file with 'journal' in the configuration"
        )


def _check_version(path: Path, version: int) -> None:
    if version != _VERSION:
        raise JournalError(
            f"journal {path}: made by another version ({version}, this one reads {_VERSION}); use that "
            "version, or move the file away to begin anew"
        )


def _drop(database: sqlite3.Connection, used: Iterable[Note]) -> None:
    database.executemany(
        "DELETE FROM notes WHERE event = ? AND host_id = ? AND name = ? AND at <= ?",
        ((*note[:3], _text(note.at)) for note in used),
    )


def _text(when: datetime) -> str:
    """ISO 8601 in UTC, of one width, so that texts compare as the times do."""
    return iso(when, "microseconds")
