"""The open records: what is to be deleted, waits or needs attention, and since when."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from foreman_hooks.cleanup.journal import Journal, JournalError
from foreman_hooks.cleanup.open_records import note_open_records, open_records
from foreman_hooks.rules.model import Basis, Decision, Reason, Verdict
from foreman_hooks.rules.plan import Kind, Plan
from foreman_hooks.rules.verdicts import verdicts_of

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
URL = "https://satellite.example.com"
UUID = "7f3c1f0e-5b1d-4a57-9f5e-0123456789ab"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite3") as opened:
        yield opened


def verdict(
    host_id: int, reason: Reason, decision: Decision = Decision.KEEP, detail: str = ""
) -> Verdict:
    basis = Basis(terminated_at="2026-02-28T10:00:00Z", due="2026-03-02T10:00:00Z")
    name = f"web-{host_id}"
    return Verdict(host_id, name, UUID, decision, reason, detail, None, basis)


def plan(*verdicts: Verdict, satellite: str = URL) -> Plan:
    return Plan(satellite, NOW, "all hosts", (), verdicts_of(verdicts))


def waiting(host_id: int, detail: str = "") -> Verdict:
    return verdict(host_id, Reason.QUIET, Decision.WAIT, detail)


def note(
    journal: Journal,
    made: Plan,
    scope: str = "all hosts",
    complete: bool = True,
    at: datetime = NOW,
) -> None:
    note_open_records(journal, made, scope, complete, at)


def ids(journal: Journal) -> list[int]:
    return [record.host_id for record in open_records(journal, URL)]


def test_records_that_are_deleted_wait_or_need_attention_are_open(
    journal: Journal,
) -> None:
    doomed = verdict(1, Reason.TERMINATED, Decision.DELETE)
    odd = verdict(3, Reason.CHECKED_IN)
    alive = verdict(4, Reason.ALIVE)
    note(journal, plan(doomed, waiting(2), odd, alive))
    record = open_records(journal, URL)[1]
    assert ids(journal) == [1, 2, 3]
    assert (record.decision, record.reason) == (Decision.WAIT, Reason.QUIET)
    assert (record.due, record.since) == ("2026-03-02T10:00:00Z", NOW)


def test_an_open_record_keeps_its_time_as_long_as_its_reason_stays(
    journal: Journal,
) -> None:
    note(journal, plan(waiting(1, "a"), waiting(2)))
    other = verdict(2, Reason.CHECKED_IN)
    note(journal, plan(waiting(1, "b"), other), at=NOW + DAY)
    first, second = open_records(journal, URL)
    assert (first.since, first.detail) == (NOW, "b")
    assert (second.since, second.reason) == (NOW + DAY, Reason.CHECKED_IN)


def test_what_changes_about_a_record_ends_its_acknowledgement(journal: Journal) -> None:
    note(journal, plan(waiting(1), waiting(2)))
    with journal.writing() as database:
        database.execute("UPDATE open_records SET mailed = since, acked_at = since")
    other = verdict(2, Reason.CHECKED_IN)
    note(journal, plan(waiting(1), other), at=NOW + DAY)
    first, second = open_records(journal, URL)
    assert (first.mailed, first.acked_at) == (NOW, NOW)
    assert (second.mailed, second.acked_at) == (None, None)


def test_a_run_over_all_hosts_forgets_records_that_are_gone(journal: Journal) -> None:
    note(journal, plan(waiting(1), waiting(2)))
    note(journal, plan(waiting(2)))
    assert ids(journal) == [2]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_run_over_some_hosts_says_nothing_about_the_others(
    journal: Journal, kind: Kind
) -> None:
    """A quick run, or one about one instance, is not about all hosts that it may judge."""
    note(journal, plan(waiting(1), waiting(2)))
    some = replace(plan(verdict(2, Reason.ALIVE)), kind=kind)
    scope = "web" if kind is Kind.FULL else "all hosts"
    note(journal, some, scope=scope, complete=False)
    assert ids(journal) == [1]


def test_a_run_over_some_hosts_forgets_those_of_them_that_are_gone(
    journal: Journal,
) -> None:
    """Where a search is configured, no run is ever about all hosts."""
    note(journal, plan(waiting(1)), scope="database", complete=False)
    note(journal, plan(waiting(2), waiting(3)), scope="web", complete=False)
    note(journal, plan(waiting(3)), scope="web", complete=False)
    assert ids(journal) == [1, 3]
    note(journal, plan())
    assert ids(journal) == []


@pytest.mark.parametrize("complete", [True, False])
def test_a_record_about_which_no_cloud_answered_stays_as_it_was(
    journal: Journal, complete: bool
) -> None:
    note(journal, plan(waiting(1)))
    unknown = plan(verdict(1, Reason.UNKNOWN))
    note(journal, unknown, complete=complete, at=NOW + DAY)
    (record,) = open_records(journal, URL)
    assert (record.reason, record.since) == (Reason.QUIET, NOW)


def test_another_satellite_has_its_own_open_records(journal: Journal) -> None:
    note(journal, plan(waiting(1)))
    other = plan(waiting(1), satellite="https://other.example.com")
    note(journal, other)
    note(journal, plan())
    assert ids(journal) == []
    assert len(open_records(journal, "https://other.example.com")) == 1


@pytest.mark.parametrize("column", ["reason", "decision", "since", "mailed"])
def test_a_damaged_open_record_is_an_error_that_names_it(
    journal: Journal, column: str
) -> None:
    note(journal, plan(waiting(7)))
    with closing(sqlite3.connect(journal.path)) as database, database:
        database.execute(f"UPDATE open_records SET {column} = 'x'")
    with pytest.raises(JournalError, match="the open record 7 is damaged"):
        open_records(journal, URL)
