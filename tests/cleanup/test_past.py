"""The last year in the journal: deletions and terminations a week, leftovers a day."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.past import WEEKS, Day, Past, Week, read_past
from foreman_hooks.cleanup.run_log import begin_run, end_run
from foreman_hooks.rules.model import (
    Basis,
    Decision,
    Outcome,
    Reason,
    Record,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Kind, Plan
from foreman_hooks.rules.verdicts import verdicts_of
from foreman_hooks.times import iso_z

NOW = datetime(2026, 3, 4, 12, tzinfo=timezone.utc)  # a Wednesday
MONDAY = date(2026, 3, 2)
WEEK, DAY = timedelta(weeks=1), timedelta(days=1)
URL = "https://satellite.example.com"
DELETED = Result.DELETED


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite3") as opened:
        yield opened


def gone(number: int, terminated_at: str = "") -> Verdict:
    return Verdict(
        number,
        "a",
        "",
        Decision.DELETE,
        Reason.TERMINATED,
        basis=Basis(terminated_at=terminated_at),
    )


def plan(deletions: int = 0, unknown: int = 0, at: datetime = NOW) -> Plan:
    verdicts = [gone(number) for number in range(deletions)]
    for number in range(unknown):
        host_id = deletions + number
        verdicts.append(Verdict(host_id, "b", "", Decision.KEEP, Reason.UNKNOWN))
    return Plan(URL, at, "all hosts", (), verdicts_of(verdicts))


def delete(
    journal: Journal,
    at: datetime,
    terminated_at: str,
    result: Result = DELETED,
    satellite: str = URL,
) -> None:
    number = journal.begin_deletion(
        satellite, "digest", gone(1, terminated_at), {}, Record(1, "a"), "root", at
    )
    journal.end_deletion(number, Outcome(1, "a", "", result), at)


def run(journal: Journal, at: datetime, planned: Plan, complete: bool = True) -> None:
    number = begin_run(journal, URL, "run", planned.kind, "all hosts", "root", at)
    end_run(journal, number, 0, at, plan=planned, complete=complete)


NOTHING = plan()


def past(journal: Journal, planned: Plan = NOTHING, complete: bool = False) -> Past:
    return read_past(journal, planned, complete, (), NOW)


# Weeks


def test_deletions_and_their_terminations_are_counted_by_week(journal: Journal) -> None:
    delete(journal, NOW, iso_z(NOW - 9 * DAY))
    delete(journal, NOW - 2 * DAY, iso_z(NOW - 2 * DAY))
    delete(journal, NOW - 3 * DAY, iso_z(NOW - 3 * DAY))  # a Sunday: the week before
    weeks = past(journal).weeks
    assert len(weeks) == 12 and not any(week.deleted for week in weeks[:-2])
    assert weeks[-2:] == (Week(MONDAY - WEEK, 1, 2), Week(MONDAY, 2, 1))


def test_the_weeks_begin_with_the_first_termination_and_have_no_gap(
    journal: Journal,
) -> None:
    delete(journal, NOW, iso_z(NOW - 20 * WEEK))
    weeks = past(journal).weeks
    assert [week.monday for week in weeks] == [
        MONDAY - number * WEEK for number in range(20, -1, -1)
    ]


def test_what_was_terminated_before_the_year_is_counted_apart(journal: Journal) -> None:
    delete(journal, NOW, iso_z(NOW - 90 * WEEK))
    delete(journal, NOW, iso_z(NOW))
    said = past(journal)
    assert (len(said.weeks), said.earlier) == (WEEKS, 1)
    assert sum(week.terminated for week in said.weeks) == 1


def test_deletions_without_proof_are_counted_apart(journal: Journal) -> None:
    delete(journal, NOW, "")
    said = past(journal)
    assert said.unproven == 1 and said.weeks[-1] == Week(MONDAY, 1, 0)


def test_only_what_was_deleted_here_in_the_last_year_counts(journal: Journal) -> None:
    delete(journal, NOW, iso_z(NOW), Result.FAILED)
    delete(journal, NOW, iso_z(NOW), satellite="https://other.example.com")
    delete(journal, NOW - 52 * WEEK, iso_z(NOW))
    assert past(journal) == Past()


def test_counting_deletions_reads_no_snapshots(journal: Journal) -> None:
    statements: list[str] = []
    with journal.reading() as database:
        database.set_trace_callback(statements.append)
        past(journal)
        database.set_trace_callback(None)
        queries = [query for query in statements if "FROM deletions" in query]
        assert len(queries) == 2
        for query in queries:
            (first, *_) = database.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
            assert "COVERING INDEX by_time" in first[3]


# Leftovers


def test_the_last_run_of_a_day_counts(journal: Journal) -> None:
    run(journal, NOW - 2 * DAY, plan(9))
    run(journal, NOW - DAY, plan(8))
    run(journal, NOW - DAY + timedelta(hours=1), plan(5))
    today = NOW.date()
    assert past(journal).days == (Day(today - 2 * DAY, 9), Day(today - DAY, 5))


def test_this_run_counts_with_what_it_has_deleted(journal: Journal) -> None:
    run(journal, NOW - timedelta(hours=1), plan(9))
    deleted = [Outcome(1, "a", "", DELETED), Outcome(2, "a", "", Result.FAILED)]
    said = read_past(journal, plan(3), True, deleted, NOW)
    assert said.days == (Day(NOW.date(), 2),)


def test_a_run_over_some_hosts_does_not_count(journal: Journal) -> None:
    run(journal, NOW - DAY, plan(9), complete=False)
    assert past(journal, plan(3)).days == ()


def test_quick_runs_do_not_count_and_their_deletions_do(journal: Journal) -> None:
    run(journal, NOW - 2 * DAY, plan(9))
    quick = replace(plan(2), kind=Kind.QUICK, fleet=100)
    for minutes in (0, 10, 20):
        run(journal, NOW - DAY + timedelta(minutes=minutes), quick)
    delete(journal, NOW - DAY, "")
    said = past(journal, quick)
    assert said.days == (Day(NOW.date() - 2 * DAY, 9),)
    assert sum(week.deleted for week in said.weeks) == 1


def test_a_run_that_did_not_know_enough_does_not_count(journal: Journal) -> None:
    run(journal, NOW - 2 * DAY, plan(8, unknown=2))
    run(journal, NOW - DAY, plan(18, unknown=2))
    unsure = plan(0, unknown=1)
    assert past(journal, unsure, True).days == (Day(NOW.date() - DAY, 18),)


def test_a_run_without_a_plan_does_not_count(journal: Journal) -> None:
    end_run(
        journal,
        begin_run(journal, URL, "run", Kind.FULL, "", "root", NOW - DAY),
        69,
        NOW,
    )
    assert past(journal).days == ()
