"""The runs in the journal: when each began, how it ended, and what it counted."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Optional

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.journal_rows import (
    DamagedRow,
    checked,
    read_time,
    time_text,
)
from foreman_hooks.rules.guard_rails import count_instances
from foreman_hooks.rules.model import NEEDS_ATTENTION, Decision, Outcome, count_deleted
from foreman_hooks.rules.plan import Kind, Plan


class Run(NamedTuple):
    """One run: `plan`, `run`, `run --apply` or `apply`.

    `satellite`: its URL.  `kind`: which hosts it was to look at.  `scope`: the hosts that it might
    judge, for people.  `who`: the user that ran it.  `began`, `ended`: aware, UTC.  `code`: its
    exit code.  `complete`: it judged all hosts of the Satellite.  `instances`: the fleet of which
    max_fraction may be deleted.  `to_delete`, `waiting`, `attention`, `unknown`: records by
    verdict.  `deleted`: how many of them it deleted.  `refusals`: the guard rails that its plan
    broke, and what held back deletions.

    `ended` and `code` are None while it runs, and if it was killed; the counts if it made no plan.
    """

    id: int
    satellite: str
    command: str
    kind: Kind
    scope: str
    who: str
    began: datetime
    ended: Optional[datetime] = None
    code: Optional[int] = None
    complete: bool = False
    hosts: Optional[int] = None
    instances: Optional[int] = None
    to_delete: Optional[int] = None
    waiting: Optional[int] = None
    attention: Optional[int] = None
    unknown: Optional[int] = None
    deleted: Optional[int] = None
    refusals: tuple[str, ...] = ()

    @property
    def leftovers(self) -> Optional[int]:
        """How many records of terminated or missing instances were left; None without a plan."""
        if self.to_delete is None or self.waiting is None:
            return None
        return self.to_delete + self.waiting - (self.deleted or 0)


_COLUMNS = ", ".join(Run._fields)


def begin_run(
    journal: Journal,
    satellite: str,
    command: str,
    kind: Kind,
    scope: str,
    who: str,
    now: datetime,
) -> int:
    """Note that a run begins; return its number.  Raises JournalError."""
    with journal.writing() as database:
        cursor = database.execute(
            "INSERT INTO runs (satellite, command, kind, scope, who, began) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (satellite, command, kind.value, scope, who, time_text(now)),
        )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def end_run(
    journal: Journal,
    number: int,
    code: int,
    now: datetime,
    *,
    plan: Optional[Plan] = None,
    complete: bool = False,
    outcomes: Sequence[Outcome] = (),
) -> None:
    """Note how the run with this number ended; raises JournalError.

    `complete`: the plan is about all hosts of the Satellite.
    """
    values: dict[str, object] = {"ended": time_text(now), "code": code}
    if plan is not None:
        values.update(_counts(plan, outcomes), scope=plan.scope, complete=complete)
    marks = ", ".join(f"{column} = ?" for column in values)
    with journal.writing() as database:
        database.execute(
            f"UPDATE runs SET {marks} WHERE id = ?", (*values.values(), number)
        )


def _counts(plan: Plan, outcomes: Sequence[Outcome]) -> dict[str, object]:
    holds = [hold.why for hold in plan.holds]
    return {
        "hosts": plan.hosts,
        "instances": count_instances(plan),
        "to_delete": len(plan.deletions),
        "waiting": plan.counts[Decision.WAIT],
        "attention": plan.verdicts.count(NEEDS_ATTENTION),
        "unknown": plan.unknown,
        "deleted": count_deleted(outcomes),
        "refusals": json.dumps([*plan.refusals, *holds]),
    }


def last_run(
    journal: Journal,
    satellite: str,
    scope: Optional[str] = None,
    kind: Optional[Kind] = None,
) -> Optional[Run]:
    """The last run on that Satellite that began; None without any.  Raises JournalError.

    `scope`, `kind`: only of the runs with these.
    """
    with journal.reading() as database:
        row = database.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE satellite = ? AND scope = coalesce(?, scope) "
            "AND kind = coalesce(?, kind) ORDER BY id DESC LIMIT 1",
            (satellite, scope, kind.value if kind else None),
        ).fetchone()
        return _read(row) if row else None


def last_observation(journal: Journal, satellite: str, scope: str) -> Optional[Run]:
    """The last full run that judged the hosts of that scope; None without any.

    An `apply` carries out what another run judged.  Raises JournalError.
    """
    with journal.reading() as database:
        row = database.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE satellite = ? AND scope = ? AND kind = ? "
            "AND command <> 'apply' AND instances IS NOT NULL ORDER BY id DESC LIMIT 1",
            (satellite, scope, Kind.FULL.value),
        ).fetchone()
        return _read(row) if row else None


def runs_since(
    journal: Journal, satellite: str, when: datetime, kind: Kind
) -> list[Run]:
    """The runs of that kind that began after that time, oldest first; raises JournalError.

    `satellite`: its URL.  `when`: aware.
    """
    with journal.reading() as database:
        rows = database.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE satellite = ? AND began > ? AND kind = ? "
            "ORDER BY id",
            (satellite, time_text(when), kind.value),
        ).fetchall()
        return [_read(row) for row in rows]


def _read(row: Iterable[object]) -> Run:
    """The run in a row, whose columns are Run._fields; raises DamagedRow."""
    run = Run(*row)  # type: ignore[arg-type]  # checked below
    which = f"run {run.id}"
    try:
        kind = Kind(run.kind)
        refusals = json.loads(str(run.refusals)) if run.refusals else []
    except ValueError as error:
        raise DamagedRow(which) from error
    if not isinstance(refusals, list):
        raise DamagedRow(which)
    ended = None if run.ended is None else read_time(run.ended, which)
    run = run._replace(
        kind=kind,
        began=read_time(run.began, which),
        ended=ended,
        complete=bool(run.complete),
        refusals=tuple(map(str, refusals)),
    )
    return checked(run, which)
