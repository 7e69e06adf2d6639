"""The runs in the journal: how each ended, and what it counted."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from foreman_hooks.cleanup.journal import Journal, JournalError
from foreman_hooks.cleanup.run_log import begin_run, end_run, last_run, runs_since
from foreman_hooks.rules.model import (
    Decision,
    Outcome,
    Reason,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Hold, Kind, Plan
from foreman_hooks.rules.verdicts import verdicts_of

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
URL = "https://satellite.example.com"
DELETE, WAIT, KEEP = Decision.DELETE, Decision.WAIT, Decision.KEEP
VERDICTS = (
    Verdict(1, "a", "", DELETE, Reason.TERMINATED),
    Verdict(2, "b", "", DELETE, Reason.TERMINATED),
    Verdict(3, "c", "", WAIT, Reason.QUIET),
    Verdict(4, "d", "", KEEP, Reason.CHECKED_IN),
    Verdict(5, "e", "", KEEP, Reason.UNKNOWN),
    Verdict(6, "f", "", KEEP, Reason.NOT_OPENSTACK),
)
PLAN = Plan(
    URL,
    NOW,
    "all hosts",
    (),
    verdicts_of(VERDICTS),
    holds=(Hold("too many", (2,)),),
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite3") as opened:
        yield opened


def begin(journal: Journal, now: datetime = NOW, satellite: str = URL) -> int:
    return begin_run(
        journal, satellite, "run --apply", Kind.FULL, "all hosts", "root", now
    )


def test_a_run_that_was_killed_has_no_end(journal: Journal) -> None:
    begin(journal)
    run = last_run(journal, URL)
    assert run
    assert (run.command, run.who, run.began) == ("run --apply", "root", NOW)
    assert (run.ended, run.code, run.leftovers) == (None, None, None)


def test_a_run_has_the_counts_of_its_plan_and_of_what_became_of_it(
    journal: Journal,
) -> None:
    outcomes = (Outcome(1, "a", "", Result.DELETED), Outcome(2, "b", "", Result.FAILED))
    number = begin(journal)
    end_run(journal, number, 1, NOW + HOUR, plan=PLAN, complete=True, outcomes=outcomes)
    run = last_run(journal, URL)
    assert run
    assert (run.code, run.ended, run.complete) == (1, NOW + HOUR, True)
    assert (run.hosts, run.instances) == (6, 5)
    assert (run.to_delete, run.waiting, run.attention, run.unknown) == (2, 1, 1, 1)
    assert (run.deleted, run.leftovers) == (1, 2)
    assert run.refusals == ("too many",)


def test_a_run_that_failed_before_it_had_a_plan_counts_nothing(
    journal: Journal,
) -> None:
    end_run(journal, begin(journal), 69, NOW)
    run = last_run(journal, URL)
    assert run
    assert (run.code, run.hosts, run.complete) == (69, None, False)


def test_runs_are_those_of_the_satellite_that_began_later(journal: Journal) -> None:
    begin(journal, NOW - HOUR)
    begin(journal, NOW, "https://other.example.com")
    wanted = begin(journal, NOW + HOUR)
    runs = runs_since(journal, URL, NOW, Kind.FULL)
    assert [run.id for run in runs] == [wanted]
    assert runs_since(journal, URL, NOW, Kind.QUICK) == []


def test_prune_forgets_old_runs(journal: Journal) -> None:
    begin(journal, NOW - HOUR)
    journal.prune(NOW)
    assert last_run(journal, URL) is None


@pytest.mark.parametrize("column", ["began", "ended", "refusals"])
def test_a_damaged_run_is_an_error_that_names_it(journal: Journal, column: str) -> None:
    number = begin(journal)
    with closing(sqlite3.connect(journal.path)) as database, database:
        database.execute(f"UPDATE runs SET {column} = 'x'")
    with pytest.raises(JournalError, match=f"run {number} is damaged"):
        last_run(journal, URL)
