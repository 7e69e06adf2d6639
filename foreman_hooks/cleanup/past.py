"""The last year in the journal, for the pictures of the HTML page: deletions, and leftovers."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from typing import NamedTuple, Optional

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.journal_rows import time_text
from foreman_hooks.cleanup.run_log import Run, runs_since
from foreman_hooks.rules.guard_rails import count_instances
from foreman_hooks.rules.model import Decision, Outcome, count_deleted
from foreman_hooks.rules.plan import Kind, Plan

WEEKS = 52  # how far back it looks, with the present week
_FEWEST = 12  # weeks; a shorter picture shows nothing
_WEEK = timedelta(weeks=1)
# A run that knew nothing of a larger share of the instances cannot say how many are left over.
_MOST_UNKNOWN = 0.1


class Week(NamedTuple):
    """One week, from Monday, 00:00 UTC.

    `deleted`: how many host records were deleted in it.  `terminated`: how many instances of the
    records that were deleted in the whole year Nova says were terminated in it.
    """

    monday: date
    deleted: int
    terminated: int


class Day(NamedTuple):
    """How many records of terminated or missing instances the last run of a day (UTC) left."""

    day: date
    leftovers: int


class Past(NamedTuple):
    """What the journal says of the last year; empty if it says nothing.  Oldest first.

    `weeks`: every week from the first with a deletion or termination to the present one.
    `earlier`: how many of the deleted records' instances were terminated before those weeks.
    `unproven`: how many were deleted without proof of a termination.  `days`: those with a run that
    judged all hosts.
    """

    weeks: tuple[Week, ...] = ()
    earlier: int = 0
    unproven: int = 0
    days: tuple[Day, ...] = ()


NO_PAST = Past()


def read_past(
    journal: Journal,
    plan: Plan,
    complete: bool,
    outcomes: Sequence[Outcome],
    now: datetime,
) -> Past:
    """The past of the plan's Satellite, with what this run leaves.

    `complete`: the plan has the verdicts on all hosts.  `outcomes`: what has become of its
    deletions so far.  `now`: aware.  Raises JournalError.
    """
    first = _monday(now.astimezone(timezone.utc).date()) - _WEEK * (WEEKS - 1)
    since = datetime.combine(first, time(), timezone.utc)
    deleted = _per_week(journal, "begun", plan.satellite, since)
    terminated = _per_week(journal, "terminated_at", plan.satellite, since)
    unproven = terminated.pop(None, 0)
    weeks = _weeks(deleted, terminated, first, now)
    runs = runs_since(journal, plan.satellite, since, Kind.FULL)
    days = _leftovers(runs)
    if complete and _knows_enough(plan.unknown, count_instances(plan)):
        days[plan.made_at.astimezone(timezone.utc).date()] = _left(plan, outcomes)
    return Past(
        weeks=weeks,
        earlier=_earlier(terminated, weeks),
        unproven=unproven,
        days=tuple(Day(day, days[day]) for day in sorted(days)),
    )


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _per_week(
    journal: Journal, column: str, satellite: str, since: datetime
) -> dict[Optional[date], int]:
    """Monday -> how many deletions since then have that time in that week; None: no time."""
    with journal.reading() as database:
        rows = database.execute(
            f"SELECT date({column}, 'weekday 0', '-6 days'), count(*) FROM deletions "
            "WHERE satellite = ? AND begun >= ? AND result = 'deleted' GROUP BY 1",
            (satellite, time_text(since)),
        ).fetchall()
    return {monday and date.fromisoformat(monday): count for monday, count in rows}


def _weeks(
    deleted: Mapping[Optional[date], int],
    terminated: Mapping[Optional[date], int],
    first: date,
    now: datetime,
) -> tuple[Week, ...]:
    """Every week from the first that has something, but at least some; none without deletions."""
    if not deleted:
        return ()
    last = _monday(now.astimezone(timezone.utc).date())
    mondays = [monday for monday in (*deleted, *terminated) if monday]
    begin = min(mondays, default=last)
    monday = max(first, min(begin, last - _WEEK * (_FEWEST - 1)))
    weeks = []
    while monday <= last:
        weeks.append(Week(monday, deleted.get(monday, 0), terminated.get(monday, 0)))
        monday += _WEEK
    return tuple(weeks)


def _earlier(terminated: Mapping[Optional[date], int], weeks: Sequence[Week]) -> int:
    """How many of them were terminated before the first of the weeks."""
    counts = [
        count
        for monday, count in terminated.items()
        if monday and monday < weeks[0].monday
    ]
    return sum(counts)


def _leftovers(runs: Sequence[Run]) -> dict[date, int]:
    """Day -> what the last run of that day left, of the runs over all hosts."""
    days = {}
    for run in runs:
        if not run.complete or run.leftovers is None:
            continue
        if _knows_enough(run.unknown or 0, run.instances or 0):
            days[run.began.astimezone(timezone.utc).date()] = run.leftovers
    return days


def _knows_enough(unknown: int, instances: int) -> bool:
    return unknown <= instances * _MOST_UNKNOWN


def _left(plan: Plan, outcomes: Sequence[Outcome]) -> int:
    return len(plan.deletions) + plan.counts[Decision.WAIT] - count_deleted(outcomes)
