"""The problems of the runs as a whole that were mailed: errors, refusals, warnings."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Optional

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.journal_rows import checked, read_time, time_text

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Not the 2 of az2 or az-2: these are names.
_NUMBER = re.compile(r"(?<![\w-])\d+(?![\w-])")


class Problem(NamedTuple):
    """What is wrong with the runs as a whole.

    `until`: what to report once it is over, such as "prod/RegionOne answers again"; "" for nothing.
    Problems with the same `until` are one trouble, and one with "" is a trouble of its own.
    `kind`: what makes two texts say the same.  `since`: when the trouble was first mailed, or the
    time now.  `mailed`: when this kind was; None if it was not.  The times are aware, UTC.
    `quick`: only quick runs have met the trouble, so that a quick run can tell that it is over.
    """

    until: str
    kind: str
    text: str
    since: datetime
    mailed: Optional[datetime] = None
    quick: bool = False

    @property
    def trouble(self) -> tuple[str, str]:
        """What all problems of one trouble have in common."""
        return self.until, "" if self.until else self.kind


def kind_of(text: str) -> str:
    """The text without its numbers and UUIDs: "51 records are to be deleted" stays the same."""
    return _NUMBER.sub("#", _UUID.sub("#", text))


def present_problems(
    lines: Iterable[tuple[str, str, str]],
    known: Sequence[Problem],
    quick: bool,
    now: datetime,
) -> list[Problem]:
    """The problems of this run, each once, with what is known of it.

    `lines`: (text, until, kind); a kind of "" stands for kind_of(text).  `known`: what was mailed,
    the oldest first.  `quick`: this is a quick run.
    """
    of_full_runs = {problem.trouble for problem in known if not problem.quick}
    since: dict[tuple[str, str], datetime] = {}
    mailed: dict[tuple[str, str], Optional[datetime]] = {}
    for problem in known:
        since.setdefault(problem.trouble, problem.since)
        mailed[problem.until, problem.kind] = problem.mailed
    problems: dict[tuple[str, str], Problem] = {}
    for text, until, kind in lines:
        kind = kind or kind_of(text)
        problem = Problem(until, kind, text, now, mailed.get((until, kind)))
        problems[until, kind] = problem._replace(
            since=since.get(problem.trouble, now),
            quick=quick and problem.trouble not in of_full_runs,
        )
    return list(problems.values())


def other_problems(
    known: Sequence[Problem], present: Iterable[Problem]
) -> tuple[Problem, ...]:
    """The known problems whose trouble is not present, one for each trouble."""
    troubles = {problem.trouble for problem in present}
    others: dict[tuple[str, str], Problem] = {}
    for problem in known:
        if problem.trouble not in troubles:
            others[problem.trouble] = problem
    return tuple(others.values())


class ProblemLog(NamedTuple):
    """The problems in the journal of one Satellite (its URL) and the runs with one scope.

    `scope`: which hosts the runs are about, for people: another schedule with another scope has
    problems of its own.  The methods raise JournalError.
    """

    journal: Journal
    satellite: str
    scope: str

    def mailed(self) -> list[Problem]:
        """The problems that were mailed and are not over, the oldest first."""
        which = "a problem of earlier runs"
        with self.journal.reading() as database:
            rows = database.execute(
                "SELECT until, kind, text, since, mailed, quick FROM problems "
                "WHERE satellite = ? AND scope = ? ORDER BY since, mailed, kind",
                (self.satellite, self.scope),
            ).fetchall()
            problems = []
            for until, kind, text, since, mailed, quick in rows:
                problem = Problem(
                    until=until,
                    kind=kind,
                    text=text,
                    since=read_time(since, which),
                    mailed=read_time(mailed, which),
                    quick=bool(quick),
                )
                problems.append(checked(problem, which))
            return problems

    def note(
        self,
        problems: Iterable[Problem],
        standing: Iterable[Problem],
        over: Iterable[Problem],
        now: datetime,
    ) -> None:
        """Note that these problems were mailed at `now` (aware), and of those that they are over.

        `standing`: mailed before; of these it notes which kinds of runs have met them.
        """
        at = time_text(now)
        with self.journal.writing() as database:
            for problem in over:
                database.execute(
                    f"DELETE FROM problems {_OF_TROUBLE}", self._key(problem)
                )
            for problem in problems:
                # All kinds of a trouble that were mailed before count as mailed again.
                database.execute(
                    f"UPDATE problems SET mailed = ? {_OF_TROUBLE}",
                    (at, *self._key(problem)),
                )
                database.execute(
                    "INSERT OR REPLACE INTO problems VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    self._row(problem, at),
                )
            for problem in (*problems, *standing):
                database.execute(
                    f"UPDATE problems SET quick = ? {_OF_TROUBLE}",
                    (problem.quick, *self._key(problem)),
                )

    def _row(self, problem: Problem, mailed: str) -> tuple[object, ...]:
        return (
            self.satellite,
            self.scope,
            problem.until,
            problem.kind,
            problem.text,
            time_text(problem.since),
            mailed,
            problem.quick,
        )

    def _key(self, problem: Problem) -> tuple[str, ...]:
        return (self.satellite, self.scope, *problem.trouble)


_OF_TROUBLE = "WHERE satellite = ? AND scope = ? AND until = ? AND ? IN ('', kind)"
