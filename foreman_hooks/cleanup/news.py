"""The news: what is new, or has changed, since the last mail of cron.

The journal keeps what was mailed: of each open record and each deletion when, and which problems.
A mail that could not be written is not noted, so that the next one says it again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Optional

from foreman_hooks.cleanup.journal_rows import checked, time_text
from foreman_hooks.cleanup.open_records import OpenRecord, open_records
from foreman_hooks.cleanup.problems import (
    Problem,
    ProblemLog,
    kind_of,
    other_problems,
    present_problems,
)
from foreman_hooks.rules.model import Decision, Outcome, Result


class NewDeletion(NamedTuple):
    """A deletion that was not mailed yet, whoever made it.

    `result`, `detail`: None as long as nobody knows what became of the record.  `who`: the user
    that ran the program.
    """

    id: int
    host_id: int
    name: str
    reason: str
    result: Optional[str]
    detail: Optional[str]
    who: str


@dataclass(frozen=True)
class News:
    """What a mail says.

    `problems`, `records`: what is new, or listed again.  `over`: problems that ended, one for each
    trouble; one without `until` is not reported.  `repeated`: deletions that failed in the same way
    as the last one of that record, which was mailed.  `problems_before`, `records_before`: what was
    mailed before, and stands.  `in_full`: everything is listed again.
    """

    problems: tuple[Problem, ...] = ()
    over: tuple[Problem, ...] = ()
    deletions: tuple[NewDeletion, ...] = ()
    repeated: tuple[NewDeletion, ...] = ()
    records: tuple[OpenRecord, ...] = ()
    problems_before: tuple[Problem, ...] = ()
    records_before: tuple[OpenRecord, ...] = ()
    in_full: bool = False

    @property
    def is_worth_a_mail(self) -> bool:
        """Whether anything is new besides records that wait: nobody has to do anything there."""
        over = [problem for problem in self.over if problem.until]
        urgent = [record for record in self.records if not _waits(record)]
        return any((self.problems, over, self.deletions, urgent))


class EndOfRun(NamedTuple):
    """What the news needs to know of a run.

    `lines`: (text, until, kind) of its problems, see present_problems.  `complete`: it reached its
    end, so that any other problem is over.  `quick`: it was a quick run, so that this holds only
    for problems of quick runs, and for those whose `until` is in `ended`.
    """

    lines: Sequence[tuple[str, str, str]]
    outcomes: Sequence[Outcome]
    complete: bool
    quick: bool = False
    ended: frozenset[str] = frozenset()

    def shows_end(self, problem: Problem) -> bool:
        """Whether a problem that this run did not meet is over."""
        if self.quick and not problem.quick:
            return self.complete and problem.until in self.ended
        return self.complete


def gather_news(
    log: ProblemLog, end: EndOfRun, repeat: timedelta, now: datetime
) -> News:
    """The news at the end of a run.

    `repeat`: after how long everything is listed again; 0: never.  `now`: aware.  Raises
    JournalError.
    """
    known = log.mailed()
    tried = _unmailed_deletions(log)
    failures = _failures_without_row(end.outcomes, tried)
    lines = [*end.lines, *failures]
    problems = present_problems(lines, known, end.quick, now)
    over: list[Problem] = []
    for problem in other_problems(known, problems):
        if end.shows_end(problem):
            over.append(problem)
        else:
            problems.append(problem)
    repeated = tuple(row for row in tried if _is_repeated(log, row))
    deletions = tuple(row for row in tried if row not in repeated)
    records = [
        record
        for record in open_records(log.journal, log.satellite)
        if record.acked_at is None
    ]
    in_full = _is_due(problems, records, repeat, now)
    reported = {deletion.host_id for deletion in deletions}
    others = [record for record in records if record.host_id not in reported]
    return News(
        problems=tuple(p for p in problems if in_full or not p.mailed),
        over=tuple(over),
        deletions=deletions,
        repeated=repeated,
        records=tuple(r for r in others if in_full or not r.mailed),
        problems_before=tuple(p for p in problems if p.mailed and not in_full),
        records_before=tuple(r for r in others if r.mailed and not in_full),
        in_full=in_full,
    )


def note_mailed(log: ProblemLog, news: News, now: datetime) -> None:
    """Note that this was mailed at `now` (aware); raises JournalError.

    If it is not worth a mail, it was not, and then that holds only for what needs none.
    """
    at = time_text(now)
    # What is said of a deletion is all there is to say of its record.
    hosts = [record.host_id for record in news.records]
    hosts += [deletion.host_id for deletion in news.deletions]
    records = [(at, log.satellite, host_id) for host_id in hosts]
    deletions = [(at, row.id) for row in (*news.deletions, *news.repeated)]
    log.note(news.problems, news.problems_before, news.over, now)
    with log.journal.writing() as database:
        database.executemany(
            "UPDATE open_records SET mailed = ? WHERE satellite = ? AND host_id = ?",
            records,
        )
        database.executemany("UPDATE deletions SET mailed = ? WHERE id = ?", deletions)


def _waits(record: OpenRecord) -> bool:
    return record.decision is Decision.WAIT


def _is_due(
    problems: Iterable[Problem],
    records: Iterable[OpenRecord],
    repeat: timedelta,
    now: datetime,
) -> bool:
    """Whether something besides records that wait was last mailed so long ago.

    Also if that was in the future: the clock was set back since.
    """
    times = [problem.mailed for problem in problems]
    times += [record.mailed for record in records if not _waits(record)]
    ages = [now - when for when in times if when]
    return bool(repeat) and any(not timedelta() <= age < repeat for age in ages)


def _unmailed_deletions(log: ProblemLog) -> tuple[NewDeletion, ...]:
    columns = ", ".join(NewDeletion._fields)
    with log.journal.reading() as database:
        rows = database.execute(
            f"SELECT {columns} FROM deletions "
            "WHERE satellite = ? AND mailed IS NULL ORDER BY id",
            (log.satellite,),
        ).fetchall()
        deletions = [NewDeletion(*row) for row in rows]
        return tuple(checked(row, f"deletion {row.id}") for row in deletions)


def _is_repeated(log: ProblemLog, deletion: NewDeletion) -> bool:
    """Whether the last deletion of that record failed in the same way, and was mailed."""
    if deletion.result == Result.DELETED.value:
        return False
    with log.journal.reading() as database:
        row = database.execute(
            "SELECT result, detail, mailed FROM deletions "
            "WHERE satellite = ? AND host_id = ? AND id < ? ORDER BY id DESC LIMIT 1",
            (log.satellite, deletion.host_id, deletion.id),
        ).fetchone()
    if row is None:
        return False
    result, detail, mailed = row
    is_same = kind_of(detail or "") == kind_of(deletion.detail or "")
    return mailed is not None and result == deletion.result and is_same


def _failures_without_row(
    outcomes: Iterable[Outcome], deletions: Iterable[NewDeletion]
) -> Iterator[tuple[str, str, str]]:
    """The lines of what failed before the journal noted that its deletion began."""
    noted = {deletion.host_id for deletion in deletions}
    for outcome in outcomes:
        failed = outcome.result in (Result.FAILED, Result.UNFINISHED)
        if failed and outcome.host_id not in noted:
            kind = f"{outcome.result} {outcome.host_id} {kind_of(outcome.detail)}"
            yield f"error: {outcome.name}: {outcome.detail}", "", kind
