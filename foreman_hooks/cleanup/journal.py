"""The journal: what runs keep for later runs.

That is: since when instances are missing, where they were seen alive, what events reported, how
many servers each region listed, and every deletion with its evidence.  What they keep for people
only is in run_log, open_records and problems.

It uses SQLite with synchronous=FULL: a committed row survives a crash or a power cut, and if a row
cannot be committed, its deletion does not happen.
"""

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from foreman_hooks.cleanup import journal_file
from foreman_hooks.cleanup.homes import holds, pack, spread
from foreman_hooks.cleanup.journal_file import JournalBusy, JournalError
from foreman_hooks.cleanup.journal_rows import (
    Approval,
    DamagedRow,
    Deletion,
    EarlierEnd,
    Misses,
    RegionSize,
    Removal,
    Unfinished,
    checked,
    note_row,
    read_approval,
    read_deletion,
    read_note,
    read_removal,
    read_time,
    read_unfinished,
    time_text,
)
from foreman_hooks.hooks.event import Note
from foreman_hooks.osp_checker import Place
from foreman_hooks.osp_checker.session import CLOCK_SKEW
from foreman_hooks.rules.model import History, Outcome, Record, Result, Verdict
from foreman_hooks.rules.plan import DIGEST_LENGTH, Kind
from foreman_hooks.times import hammer_time

__all__ = [
    "Approval",
    "Deletion",
    "Journal",
    "JournalBusy",
    "JournalError",
    "RegionSize",
    "Removal",
    "Unfinished",
]

MAX_NOTES = 500_000
_LATE = timedelta(hours=1)  # a webhook may arrive so much later than the deletion
_UNDER_WAY = "(begun <= ? AND coalesce(ended, begun) >= ?)"  # a deletion around a time
_START_OVER = "restore the file from a backup, or move it away to start over"
# UnicodeDecodeError: SQLite's own message quotes damaged text.
_FAILURES = (sqlite3.Error, UnicodeDecodeError)
# How the messages of SQLite begin that mean damage although their class is that of a full disk.
_DAMAGE = ("no such ", "Could not decode ")


class Journal:
    """The journal in one file, which one run holds from `open` to `close`.

    All times are aware; they are stored in UTC, as ISO 8601.  `satellite` is always a URL.  Every
    method raises JournalError if SQLite fails (disk full, read-only, damaged).
    """

    def __init__(
        self, database: sqlite3.Connection, lock: Optional[int], path: Path
    ) -> None:
        self.path = path
        self._database = database
        self._lock = lock  # the descriptor of the locked file; None if it is only read
        self._homes: dict[tuple[str, Place], bytes] = {}

    @classmethod
    def open(cls, path: Path) -> "Journal":
        """Open the file for writing; create it (mode 0600) and its folder (0700) if missing.

        Raises JournalBusy if another run holds it.  Raises JournalError if it cannot be used, also
        if it is not a regular file, or if it or its folder belongs to another user: with a link,
        that user could make us write to any file.
        """
        lock = journal_file.lock(path)
        try:
            database = sqlite3.connect(path, isolation_level=None)
        except sqlite3.Error as error:
            os.close(lock)
            raise JournalError(f"journal {path}: {error}") from error
        journal = cls(database, lock, path)
        try:
            if not journal.still_held():
                raise JournalBusy(
                    f"the journal {path} was replaced just now; try again"
                )
            with journal.reading():
                journal_file.prepare(path, database)
        except (JournalBusy, JournalError):
            journal.close()
            raise
        return journal

    @classmethod
    def peek(cls, path: Path) -> "Journal":
        """Open the file for reading, even while a run holds it.

        If a run was killed while it wrote, what it did not commit is taken back first, as the next
        run would do.  Raises JournalError if there is no file, or if it cannot be read.
        """
        journal_file.check_regular(path)
        if journal_file.is_half_written(path):
            with suppress(JournalBusy):  # a run that has just started does it
                cls.open(path).close()
        address = f"{path.absolute().as_uri()}?mode=ro"
        database = None
        try:
            database = sqlite3.connect(address, uri=True, isolation_level=None)
            journal_file.check_version(path, database)
        except (*_FAILURES, JournalError) as error:
            if database:
                database.close()
            if isinstance(error, JournalError):
                raise
            why = "no such file yet; the first run creates it"
            if path.exists():
                why = _explained(error)
            raise JournalError(f"journal {path}: {why}") from error
        return cls(database, None, path)

    def still_held(self) -> bool:
        """Whether the file that this run holds is still the one at its path.

        If not, another run may have started with a new file.
        """
        return self._lock is not None and journal_file.is_at(self.path, self._lock)

    def close(self) -> None:
        """Close the file and let the next run in."""
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the database; turn errors of SQLite, and damaged rows, into JournalError."""
        try:
            yield self._database
        except _FAILURES as error:
            raise JournalError(f"journal {self.path}: {_explained(error)}") from error
        except DamagedRow as row:
            raise JournalError(
                f"journal {self.path}: {row} is damaged; {_START_OVER}"
            ) from row

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the database in one transaction.

        It is committed at the end, or rolled back if anything is raised.  Raises JournalError also
        if the file is no longer at its path after that: nobody would look for the lines elsewhere.
        """
        self._check_held()
        with self.reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.commit()
            except BaseException:
                database.rollback()
                raise
        self._check_held()

    def _check_held(self) -> None:
        if not self.still_held():
            raise JournalError(
                f"journal {self.path}: removed or replaced during this run, so another run may be "
                "active; nothing more is deleted"
            )

    def check_writable(self) -> None:
        """Write a row and remove it; raises JournalError if no deletion could be noted."""
        with self.writing() as database:
            database.execute("INSERT INTO approvals VALUES ('', '', '')")
            database.execute("DELETE FROM approvals WHERE plan = ''")

    # What is missing

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
        """Count one more miss for each (uuid, cloud, region), and forget the misses of `alive`.

        A UUID that is both missing and alive (a sign of life outside of OpenStack) starts over with
        this miss.  So does a UUID whose last miss is longer ago than `gap`, or in the future: if
        the clock was set back, nobody knows how long the UUID has been missing.  A miss within
        `spacing` of the last one that counted does not count.  `used`: notes that are dropped in
        the same transaction.
        """
        at = time_text(now)
        with self.writing() as database:
            _forget_misses(database, alive)
            database.execute(
                "DELETE FROM misses WHERE last > ? OR last < ?",
                (at, _text_before(now, gap)),
            )
            newest = time_text(now - spacing)
            rows = (
                (uuid, cloud, region, at, newest) for uuid, cloud, region in missing
            )
            database.executemany(
                "INSERT INTO misses VALUES (?1, ?2, ?3, 1, ?4, ?4) "
                "ON CONFLICT (uuid, cloud, region) "
                "DO UPDATE SET count = count + 1, last = excluded.last WHERE last <= ?5",
                rows,
            )
            _drop_notes(database, used)

    def missed(self) -> set[str]:
        """Every UUID with a count of misses."""
        with self.reading() as database:
            rows = database.execute("SELECT DISTINCT uuid FROM misses").fetchall()
        return {uuid for (uuid,) in rows}

    def history(
        self, satellite: str, host_id: int, uuid: str, regions: Collection[Place]
    ) -> History:
        """What earlier runs know of a UUID that this host record names.

        `regions`: those that are asked now.  The region with the fewest misses counts, and the one
        with the latest first miss.  If any region has no miss, the result has none.
        """
        homes = set()
        for place in regions:
            if holds(self._packed(satellite, place), uuid):
                homes.add(place)
        with self.reading() as database:
            tried = _has_failed(database, satellite, host_id)
            misses = _misses_of(database, uuid)
            if not regions or not set(regions) <= misses.keys():
                return History(homes=frozenset(homes), tried=tried)
            fewest = min(misses[place].runs for place in regions)
            latest = max(misses[place].since for place in regions)
            since = read_time(latest, f"the count of misses of {uuid}")
        return History(fewest, since, frozenset(homes), tried)

    # Where instances were seen alive

    def note_alive(
        self,
        satellite: str,
        alive: Mapping[Place, Collection[str]],
        named: Iterable[str],
    ) -> None:
        """Note which UUIDs are alive in each place, for later runs in which they are missing.

        A UUID that is no longer alive is kept as long as a host record names it (`named`).
        """
        named = list(named)
        changed = []
        for place, uuids in alive.items():
            before = self._packed(satellite, place)
            kept = [uuid for uuid in named if holds(before, uuid)]
            packed = pack([*uuids, *kept])
            if packed != before:
                changed.append((satellite, *place, packed))
        if not changed:
            return
        with self.writing() as database:
            database.executemany(
                "INSERT OR REPLACE INTO homes VALUES (?, ?, ?, ?)", changed
            )
        self._homes.clear()

    def witnesses(self, satellite: str, count: int) -> dict[Place, list[str]]:
        """A few UUIDs that were seen alive in each place, spread evenly."""
        witnesses: dict[Place, list[str]] = {}
        for place in self._places(satellite):
            witnesses[place] = spread(self._packed(satellite, place), count)
        return witnesses

    def _places(self, satellite: str) -> list[Place]:
        """The places where UUIDs were seen alive."""
        with self.reading() as database:
            rows = database.execute(
                "SELECT cloud, region FROM homes WHERE satellite = ?", (satellite,)
            ).fetchall()
        return [Place(*row) for row in rows]

    def _packed(self, satellite: str, place: Place) -> bytes:
        """The UUIDs seen alive in that place, as `pack` returns them.

        They are read once, since those of a large region are megabytes.
        """
        key = (satellite, place)
        if key not in self._homes:
            with self.reading() as database:
                row = database.execute(
                    "SELECT uuids FROM homes WHERE satellite = ? AND cloud = ? AND region = ?",
                    (satellite, *place),
                ).fetchone()
                packed = row[0] if row else b""
                if not isinstance(packed, bytes):
                    raise DamagedRow(f"the list of servers seen alive in {place}")
            self._homes[key] = packed
        return self._homes[key]

    # Katello, and the sizes of regions

    def had_katello(self, satellite: str) -> bool:
        """Whether that Satellite had Katello in an earlier run."""
        with self.reading() as database:
            row = database.execute(
                "SELECT katello FROM satellites WHERE url = ?", (satellite,)
            ).fetchone()
        return bool(row and row[0])

    def note_katello(self, satellite: str, katello: bool) -> None:
        """Note whether that Satellite has Katello."""
        with self.writing() as database:
            database.execute(
                "INSERT OR REPLACE INTO satellites VALUES (?, ?)", (satellite, katello)
            )

    def note_servers(self, counts: Mapping[Place, int], now: datetime) -> None:
        """Note how many servers each place listed in a good run."""
        at = time_text(now)
        with self.writing() as database:
            run = database.execute(
                "SELECT coalesce(max(run), 0) + 1 FROM servers"
            ).fetchone()[0]
            rows = ((run, at, *place, count) for place, count in counts.items())
            database.executemany("INSERT INTO servers VALUES (?, ?, ?, ?, ?)", rows)

    def servers_before(self) -> dict[Place, RegionSize]:
        """The size of each place that the last good run asked."""
        sizes = {}
        with self.reading() as database:
            rows = database.execute(
                "SELECT cloud, region, count, at FROM servers "
                "WHERE run = (SELECT max(run) FROM servers)"
            ).fetchall()
            for cloud, region, count, at in rows:
                place = Place(cloud, region)
                which = f"the size of {place}"
                size = RegionSize(count, read_time(at, which))
                sizes[place] = checked(size, which)
        return sizes

    # What Foreman's events reported

    def note_events(self, notes: Iterable[Note], lost: bool = False) -> None:
        """Keep the notes of events until a run uses them.

        If several notes are about the same event and host, the latest is kept.  If notes were
        `lost`, any machine may have given a sign of life, so every count of misses starts over.
        This also happens if there are more notes than there can be hosts: then all are dropped, so
        that nobody can fill the disk with notes.
        """
        rows = [note_row(note) for note in notes]
        with self.writing() as database:
            database.executemany(
                "INSERT INTO notes VALUES (?, ?, ?, ?) ON CONFLICT (event, host_id, name) "
                "DO UPDATE SET at = max(at, excluded.at)",
                rows,
            )
            if database.execute("SELECT count(*) FROM notes").fetchone()[0] > MAX_NOTES:
                database.execute("DELETE FROM notes")
                lost = True
            if lost:
                database.execute("DELETE FROM misses")

    def events(self) -> list[Note]:
        """The notes of events that no run has used yet, oldest first."""
        with self.reading() as database:
            rows = database.execute(
                "SELECT event, host_id, name, at FROM notes ORDER BY at, name, host_id"
            ).fetchall()
            return [read_note(row) for row in rows]

    def note_removals(
        self, satellite: str, removed: Iterable[Note], used: Iterable[Note]
    ) -> None:
        """Note which host records somebody else removed, and drop the notes that were used."""
        rows = (
            (satellite, note.host_id, note.name, time_text(note.at)) for note in removed
        )
        with self.writing() as database:
            database.executemany(
                "INSERT OR IGNORE INTO removals (satellite, host_id, name, at) VALUES (?, ?, ?, ?)",
                rows,
            )
            _drop_notes(database, used)

    def removals(self) -> list[Removal]:
        """Every host record that somebody else removed, oldest first."""
        columns = ", ".join(Removal._fields)
        with self.reading() as database:
            rows = database.execute(
                f"SELECT {columns} FROM removals ORDER BY at, id"
            ).fetchall()
            return [read_removal(row) for row in rows]

    def is_ours(self, satellite: str, note: Note) -> bool:
        """Whether the removal in this note was our own deletion.

        Foreman sends an event for our deletions, too.  An id is never used again.  A name may be,
        so if the note has only a name, the times must agree, too; a webhook may be late.  The same
        applies to a deletion that seemed to fail because Satellite was not finished.
        """
        times = (time_text(note.at + CLOCK_SKEW), time_text(note.at - _LATE))
        with self.reading() as database:
            if note.host_id:
                rows = database.execute(
                    "SELECT 1 FROM deletions WHERE satellite = ? AND host_id = ? "
                    f"AND (coalesce(result, '') <> 'failed' OR {_UNDER_WAY}) LIMIT 1",
                    (satellite, note.host_id, *times),
                )
            else:
                rows = database.execute(
                    "SELECT 1 FROM deletions WHERE satellite = ? AND name = ? "
                    f"AND {_UNDER_WAY} LIMIT 1",
                    (satellite, note.name, *times),
                )
            return rows.fetchone() is not None

    # What was done

    def note_approval(self, plan: str, who: str, now: datetime) -> None:
        """Note who lifted the caps for the plan with this digest.

        Raises JournalError if the plan was approved before.
        """
        with self.reading() as database:
            row = database.execute(
                "SELECT plan, who, at FROM approvals WHERE plan = ?", (plan,)
            ).fetchone()
            approval = read_approval(row) if row else None
        if approval:
            raise JournalError(
                f"plan {plan[:DIGEST_LENGTH]} was already approved by {approval.who} at "
                f"{hammer_time(approval.at)}; make a new one"
            )
        with self.writing() as database:
            database.execute(
                "INSERT INTO approvals VALUES (?, ?, ?)", (plan, who, time_text(now))
            )

    def approvals(self) -> list[Approval]:
        """Who lifted the caps for which plan, oldest first."""
        columns = ", ".join(Approval._fields)
        with self.reading() as database:
            rows = database.execute(
                f"SELECT {columns} FROM approvals ORDER BY at, plan"
            ).fetchall()
            return [read_approval(row) for row in rows]

    def begin_deletion(
        self,
        satellite: str,
        plan: str,
        verdict: Verdict,
        evidence: Any,
        record: Record,
        who: str,
        now: datetime,
        run: Kind = Kind.FULL,
    ) -> int:
        """Note a deletion before it happens, and return its number.

        `plan`: the plan's digest.  `evidence`: anything that JSON can hold.  `who`: the user that
        runs the program.  `run`: the kind of the run.  The record's snapshot is kept for `restore`.
        """
        values = {
            "satellite": satellite,
            "run": run.value,
            "plan": plan,
            "host_id": verdict.host_id,
            "name": verdict.name,
            "uuid": verdict.uuid,
            "reason": verdict.reason.value,
            "evidence": json.dumps(evidence),
            "snapshot": json.dumps(dict(record.snapshot)),
            "begun": time_text(now),
            "terminated_at": verdict.basis.terminated_at,
            "who": who,
        }
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        with self.writing() as database:
            cursor = database.execute(
                f"INSERT INTO deletions ({columns}) VALUES ({marks})",
                tuple(values.values()),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end_deletion(self, number: int, outcome: Outcome, now: datetime) -> None:
        """Note what became of the deletion with this number."""
        with self.writing() as database:
            database.execute(
                "UPDATE deletions SET result = ?, detail = ?, ended = ?, mailed = NULL "
                "WHERE id = ?",
                (outcome.result, outcome.detail, time_text(now), number),
            )
            if outcome.result is Result.DELETED:
                database.execute(
                    "DELETE FROM open_records WHERE (satellite, host_id) IN "
                    "(SELECT satellite, host_id FROM deletions WHERE id = ?)",
                    (number,),
                )

    def hosts_deleted(self, satellite: str, since: datetime) -> dict[int, EarlierEnd]:
        """The hosts on that Satellite that were deleted since that time, by id."""
        ends = {}
        with self.reading() as database:
            rows = database.execute(
                "SELECT host_id, ended, plan FROM deletions "
                "WHERE satellite = ? AND begun >= ? AND result = 'deleted'",
                (satellite, time_text(since)),
            ).fetchall()
            for host_id, ended, plan in rows:
                which = f"the deletion of host {host_id}"
                end = EarlierEnd(read_time(ended, which), plan)
                ends[host_id] = checked(end, which)
        return ends

    def note_restored(self, number: int, host_id: int, now: datetime) -> None:
        """Note that the deletion with this number was undone; `host_id`: of the new record."""
        with self.writing() as database:
            database.execute(
                "UPDATE deletions SET restored_at = ?, restored_as = ? WHERE id = ?",
                (time_text(now), host_id, number),
            )

    def deleted_since(self, satellite: str, when: datetime) -> int:
        """How many deletions on that Satellite began after that time and did not fail."""
        with self.reading() as database:
            row = database.execute(
                "SELECT count(*) FROM deletions WHERE satellite = ? AND begun > ? "
                "AND coalesce(result, '') <> 'failed'",
                (satellite, time_text(when)),
            ).fetchone()
        return row[0]

    def unfinished(self, satellite: str) -> list[Unfinished]:
        """The deletions on that Satellite that never ended.

        Raises JournalError for a damaged row.
        """
        with self.reading() as database:
            rows = database.execute(
                "SELECT id, host_id, name, uuid, begun, evidence FROM deletions "
                "WHERE satellite = ? AND result IS NULL ORDER BY id",
                (satellite,),
            ).fetchall()
            return [read_unfinished(row) for row in rows]

    def failures(self, satellite: str) -> set[int]:
        """The ids of the hosts whose last deletion there failed or never ended."""
        with self.reading() as database:
            rows = database.execute(
                "SELECT host_id FROM deletions AS latest "
                "WHERE satellite = ?1 AND coalesce(result, 'failed') = 'failed' AND NOT EXISTS ("
                "SELECT 1 FROM deletions "
                "WHERE satellite = ?1 AND host_id = latest.host_id AND id > latest.id)",
                (satellite,),
            ).fetchall()
            return {host_id for (host_id,) in rows}

    def deletions(self) -> list[Deletion]:
        """Every deletion, oldest first; raises JournalError for a damaged row."""
        columns = ", ".join(Deletion._fields)
        with self.reading() as database:
            rows = database.execute(
                f"SELECT {columns} FROM deletions ORDER BY id"
            ).fetchall()
            return [read_deletion(row) for row in rows]

    def count_deletions(self, satellite: str) -> dict[str, int]:
        """How many deletions on that Satellite ended with each result, ever.

        Those that were pruned count, too, so the numbers never go down.
        """
        with self.reading() as database:
            rows = database.execute(
                "SELECT result, sum(count) FROM ("
                "SELECT result, count FROM forgotten WHERE satellite = ?1 UNION ALL "
                "SELECT result, 1 FROM deletions WHERE satellite = ?1 AND result IS NOT NULL"
                ") GROUP BY result",
                (satellite,),
            ).fetchall()
        return dict(rows)

    def prune(self, before: datetime) -> int:
        """Forget what ended before that time; return how many deletions were forgotten.

        That is: deletions, approvals, removals, runs, and sizes of regions, except those of the
        last run.  Deletions that never ended stay, and so do the misses: later runs need them.
        """
        at = time_text(before)
        with self.writing() as database:
            database.execute("DELETE FROM approvals WHERE at < ?", (at,))
            database.execute("DELETE FROM removals WHERE at < ?", (at,))
            database.execute("DELETE FROM runs WHERE began < ?", (at,))
            database.execute(
                "DELETE FROM servers WHERE at < ? AND run < (SELECT max(run) FROM servers)",
                (at,),
            )
            database.execute(
                "INSERT INTO forgotten SELECT satellite, result, count(*) FROM deletions "
                "WHERE ended < ? GROUP BY satellite, result "
                "ON CONFLICT (satellite, result) DO UPDATE SET count = count + excluded.count",
                (at,),
            )
            return database.execute(
                "DELETE FROM deletions WHERE ended < ?", (at,)
            ).rowcount


def _explained(error: Exception) -> str:
    """What is wrong with the file, and what to do if that is known."""
    text = str(error)
    if isinstance(error, sqlite3.OperationalError) and not text.startswith(_DAMAGE):
        return f"{text}; nothing more is deleted"
    return f"damaged ({text}); {_START_OVER}"


def _forget_misses(database: sqlite3.Connection, uuids: Collection[str]) -> None:
    rows = ((uuid,) for uuid in uuids)
    database.executemany("DELETE FROM misses WHERE uuid = ?", rows)


def _drop_notes(database: sqlite3.Connection, notes: Iterable[Note]) -> None:
    """Drop notes, except those that were written again in the meantime."""
    rows = [note_row(note) for note in notes]
    database.executemany(
        "DELETE FROM notes WHERE event = ? AND host_id = ? AND name = ? AND at <= ?",
        rows,
    )


def _misses_of(database: sqlite3.Connection, uuid: str) -> dict[Place, Misses]:
    misses = {}
    rows = database.execute(
        "SELECT cloud, region, count, since FROM misses WHERE uuid = ?", (uuid,)
    ).fetchall()
    for cloud, region, count, since in rows:
        which = f"the count of misses of {uuid}"
        misses[Place(cloud, region)] = checked(Misses(count, since), which)
    return misses


def _has_failed(database: sqlite3.Connection, satellite: str, host_id: int) -> bool:
    row = database.execute(
        "SELECT 1 FROM deletions WHERE satellite = ? AND host_id = ? AND result = 'failed'",
        (satellite, host_id),
    ).fetchone()
    return row is not None


def _text_before(now: datetime, span: timedelta) -> str:
    """The time `span` before `now`, as text; "" if that is before the year 1."""
    try:
        return time_text(now - span)
    except OverflowError:  # a grace period of a million days
        return ""
