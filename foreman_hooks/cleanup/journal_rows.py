"""The rows of the journal as values, and how to read them from the file."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import (
    Any,
    NamedTuple,
    Optional,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from foreman_hooks.hooks.event import Note
from foreman_hooks.times import iso

Row = TypeVar("Row", bound=tuple[Any, ...])  # a NamedTuple


class DamagedRow(Exception):
    """A row cannot be read; the message names the row."""


class Misses(NamedTuple):
    """In how many runs a UUID was missing in one region, and since when (text as stored)."""

    runs: int
    since: str


class Deletion(NamedTuple):
    """One deletion of a host record, with the evidence for it.

    `satellite`: its URL.  `plan`: the digest of the plan.  `uuid`: the instance's; "" if the facts
    name none.  `evidence`: the rules, the sightings, and what the login could see.  `snapshot`:
    Record.snapshot.  `result`: deleted, kept or failed.  As long as nobody knows what became of the
    record, `result`, `detail` and `ended` are None.  Times are aware, UTC; `terminated_at` is the
    text of Basis.  `who`: the user that ran the program.  `restored_at`, `restored_as`: when the
    record was restored, and the id of the new host; None if it was not.  `run`: the kind of the
    run, "" if it was none of ours.
    """

    id: int
    satellite: str
    plan: str
    host_id: int
    name: str
    uuid: str
    reason: str
    evidence: Mapping[str, Any]
    snapshot: Mapping[str, Any]
    begun: datetime
    result: Optional[str]
    detail: Optional[str]
    ended: Optional[datetime]
    terminated_at: str = ""
    who: str = ""
    restored_at: Optional[datetime] = None
    restored_as: Optional[int] = None
    run: str = ""


class EarlierEnd(NamedTuple):
    """When a host was deleted (aware, UTC), and the digest of the plan that said so."""

    at: datetime
    plan: str


class Unfinished(NamedTuple):
    """A deletion that was begun, and whose result is not known.

    `begun`: aware, UTC.  `visibility`: what `measure_visibility` returned at that time.
    """

    id: int
    host_id: int
    name: str
    uuid: str
    begun: datetime
    visibility: Mapping[str, Any]


class Removal(NamedTuple):
    """A host record that somebody else removed, as an event of Foreman reported it.

    `host_id`: 0 if the event did not name it.  `name`: "" if the event did not name it.  `at`:
    aware, UTC.
    """

    id: int
    satellite: str
    host_id: int
    name: str
    at: datetime


class Approval(NamedTuple):
    """Who lifted the caps for one plan (its digest), and when (aware, UTC)."""

    plan: str
    who: str
    at: datetime


class RegionSize(NamedTuple):
    """How many servers a region listed, and when (aware, UTC)."""

    servers: int
    at: datetime


def checked(row: Row, which: str) -> Row:
    """The row, if each value is of the type of its field; raises DamagedRow.

    SQLite keeps values of any type in any column.
    """
    for value, kinds in zip(row, _kinds(type(row))):
        if not isinstance(value, kinds):
            raise DamagedRow(which)
    return row


@cache
def _kinds(of: type) -> list[tuple[type, ...]]:
    """The classes that the value of each field may have."""
    kinds = []
    for hint in get_type_hints(of).values():
        choices = get_args(hint) if get_origin(hint) is Union else (hint,)
        kinds.append(tuple(get_origin(choice) or choice for choice in choices))
    return kinds


def read_deletion(row: Iterable[Any]) -> Deletion:
    """The deletion in a row, whose columns are Deletion._fields; raises DamagedRow."""
    deletion = Deletion(*row)
    which = f"deletion {deletion.id}"
    ended, restored_at = deletion.ended, deletion.restored_at
    if ended is not None:
        ended = read_time(ended, which)
    if restored_at is not None:
        restored_at = read_time(restored_at, which)
    deletion = deletion._replace(
        evidence=_read_object(deletion.evidence, which),
        snapshot=_read_object(deletion.snapshot, which),
        begun=read_time(deletion.begun, which),
        ended=ended,
        restored_at=restored_at,
    )
    return checked(deletion, which)


def read_unfinished(row: Iterable[Any]) -> Unfinished:
    """The deletion in a row: id, host_id, name, uuid, begun, evidence; raises DamagedRow."""
    number, host_id, name, uuid, begun, evidence = row
    which = f"deletion {number}"
    unfinished = Unfinished(
        id=number,
        host_id=host_id,
        name=name,
        uuid=uuid,
        begun=read_time(begun, which),
        visibility=_read_object(evidence, which).get("visibility", {}),
    )
    return checked(unfinished, which)


def read_removal(row: Iterable[Any]) -> Removal:
    """The removal in a row, whose columns are Removal._fields; raises DamagedRow."""
    removal = Removal(*row)
    which = f"removal {removal.id}"
    return checked(removal._replace(at=read_time(removal.at, which)), which)


def read_approval(row: Iterable[Any]) -> Approval:
    """The approval in a row, whose columns are Approval._fields; raises DamagedRow."""
    approval = Approval(*row)
    which = f"the approval of {approval.plan}"
    return checked(approval._replace(at=read_time(approval.at, which)), which)


def read_note(row: Iterable[Any]) -> Note:
    """The note in a row, whose columns are Note._fields; raises DamagedRow."""
    note = Note(*row)
    which = "the note of an event"
    return checked(note._replace(at=read_time(note.at, which)), which)


def note_row(note: Note) -> tuple[str, int, str, str]:
    """The columns of a note, as `read_note` reads them."""
    return note.event, note.host_id, note.name, time_text(note.at)


def _read_object(text: Any, which: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise DamagedRow(which) from error
    if not isinstance(value, dict):
        raise DamagedRow(which)
    return value


def time_text(when: datetime) -> str:
    """A time as the journal stores it: ISO 8601 in UTC, with microseconds.

    All of these have the same length, so that they sort as text.
    """
    return iso(when, "microseconds")


def read_time(text: Any, which: str) -> datetime:
    """A stored time (aware, UTC); raises DamagedRow, with `which` as its message."""
    try:
        when = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise DamagedRow(which) from error
    if when.tzinfo is None:
        raise DamagedRow(which)
    return when
