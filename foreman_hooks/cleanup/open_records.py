"""The open records: every record that is to be deleted, waits, or needs attention; and since when.

They are what `status` shows and what cron mails, so they outlive the run that noted them.
"""

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Optional

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.journal_rows import (
    DamagedRow,
    checked,
    read_time,
    time_text,
)
from foreman_hooks.rules.model import Decision, Reason, Verdict
from foreman_hooks.rules.plan import Kind, Plan


class OpenRecord(NamedTuple):
    """What the last plan with a verdict on it said of one record.

    `terminated_at`, `due`: texts of Basis.  `since`: when the record was first open with this
    reason, UUID and termination.  `mailed`: when it was last reported so.  `acked_at`, `acked_by`,
    `ack_reason`: who took it out of the mails.  The times are aware, UTC.
    """

    satellite: str
    host_id: int
    name: str
    uuid: str
    decision: Decision
    reason: Reason
    detail: str
    terminated_at: str
    due: str
    since: datetime
    mailed: Optional[datetime] = None
    acked_at: Optional[datetime] = None
    acked_by: Optional[str] = None
    ack_reason: Optional[str] = None


_COLUMNS = ", ".join(OpenRecord._fields)
# A row is about the same thing as before as long as none of these changes.  The detail may: it
# holds the time of the last check-in, which changes every four hours.
_SAME = "(reason, uuid, terminated_at) = (excluded.reason, excluded.uuid, excluded.terminated_at)"
_INSERT = f"""
INSERT INTO open_records (
    satellite, host_id, scope, name, uuid, decision, reason, detail, terminated_at, due, since
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (satellite, host_id) DO UPDATE SET
    scope = excluded.scope,
    name = excluded.name,
    uuid = excluded.uuid,
    decision = excluded.decision,
    reason = excluded.reason,
    detail = excluded.detail,
    terminated_at = excluded.terminated_at,
    due = excluded.due,
    since = CASE WHEN {_SAME} THEN since ELSE excluded.since END,
    mailed = CASE WHEN {_SAME} THEN mailed END,
    acked_at = CASE WHEN {_SAME} THEN acked_at END,
    acked_by = CASE WHEN {_SAME} THEN acked_by END,
    ack_reason = CASE WHEN {_SAME} THEN ack_reason END
"""


def note_open_records(
    journal: Journal,
    plan: Plan,
    scope: str,
    complete: bool,
    now: datetime,
) -> None:
    """Note the open records of a plan, and forget those that are not open any more.

    A record that is unknown because a cloud did not answer stays as it was.  `scope`: which hosts
    the run may judge, for people.  `complete`: these are all hosts of the Satellite.  `now`: aware.
    Raises JournalError.
    """
    rows = [_row(plan.satellite, scope, verdict, now) for verdict in plan.verdicts.open]
    closed: list[tuple[str, int]] = []
    with journal.writing() as database:
        scopes = _noted(database, plan.satellite)
        named = plan.verdicts.only(scopes)
        verdicts = {verdict.host_id: verdict for verdict in named}
        for host_id, its_scope in scopes.items():
            in_scope = plan.kind is Kind.FULL and its_scope == scope
            if _is_over(verdicts.get(host_id), complete or in_scope):
                closed.append((plan.satellite, host_id))
        database.executemany(
            "DELETE FROM open_records WHERE satellite = ? AND host_id = ?", closed
        )
        database.executemany(_INSERT, rows)


def _is_over(verdict: Optional[Verdict], in_scope: bool) -> bool:
    """Whether a record is not open any more.

    `verdict`: None if the plan does not name the record.  Then it is gone, but only if the plan is
    about all hosts of its scope.
    """
    if verdict is None:
        return in_scope
    return not verdict.is_open and verdict.reason is not Reason.UNKNOWN


def _row(
    satellite: str,
    scope: str,
    verdict: Verdict,
    now: datetime,
) -> tuple[object, ...]:
    return (
        satellite,
        verdict.host_id,
        scope,
        verdict.name,
        verdict.uuid,
        verdict.decision.value,
        verdict.reason.value,
        verdict.detail,
        verdict.basis.terminated_at,
        verdict.basis.due,
        time_text(now),
    )


def _noted(database: sqlite3.Connection, satellite: str) -> dict[int, str]:
    """Host id of each open record -> the scope in which it was open."""
    rows = database.execute(
        "SELECT host_id, scope FROM open_records WHERE satellite = ?", (satellite,)
    )
    return dict(rows.fetchall())


def open_records(journal: Journal, satellite: str) -> list[OpenRecord]:
    """The open records of that Satellite (its URL), those that are open for longest first.

    Raises JournalError, also for a damaged row.
    """
    with journal.reading() as database:
        rows = database.execute(
            f"SELECT {_COLUMNS} FROM open_records WHERE satellite = ? "
            "ORDER BY since, name, host_id",
            (satellite,),
        ).fetchall()
        return [_read(row) for row in rows]


def acknowledge(
    journal: Journal,
    record: OpenRecord,
    who: str,
    reason: str,
    now: datetime,
) -> None:
    """Take the record out of the mails until something about it changes; raises JournalError.

    `who`: the user.  `reason`: for people, may be "".  `now`: aware.
    """
    _note_ack(journal, record, (time_text(now), who, reason))


def end_acknowledgement(journal: Journal, record: OpenRecord) -> None:
    """Put the record back into the mails; raises JournalError."""
    _note_ack(journal, record, (None, None, None))


def _note_ack(
    journal: Journal, record: OpenRecord, values: tuple[Optional[str], ...]
) -> None:
    with journal.writing() as database:
        database.execute(
            "UPDATE open_records SET acked_at = ?, acked_by = ?, ack_reason = ? "
            "WHERE satellite = ? AND host_id = ?",
            (*values, record.satellite, record.host_id),
        )


def _read(row: Iterable[object]) -> OpenRecord:
    record = OpenRecord(*row)  # type: ignore[arg-type]  # checked below
    which = f"the open record {record.host_id}"
    try:
        decision, reason = Decision(record.decision), Reason(record.reason)
    except ValueError as error:
        raise DamagedRow(which) from error
    record = record._replace(
        decision=decision,
        reason=reason,
        since=read_time(record.since, which),
        mailed=_read_optional(record.mailed, which),
        acked_at=_read_optional(record.acked_at, which),
    )
    return checked(record, which)


def _read_optional(text: object, which: str) -> Optional[datetime]:
    return None if text is None else read_time(text, which)
