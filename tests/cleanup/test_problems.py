"""Which problems of the runs as a whole are new, stand, or are over."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from foreman_hooks.cleanup.journal import Journal, JournalError
from foreman_hooks.cleanup.news import EndOfRun, News, gather_news, note_mailed
from foreman_hooks.cleanup.problems import ProblemLog, kind_of

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
ANSWERS = "prod/RegionOne answers again"
DOWN = ("error: prod/RegionOne: GET /servers gave 503", ANSWERS, "")
REFUSED = ("error: prod/RegionOne: connection refused", ANSWERS, "")
CAPS = ("refused: 51 records", "no guard rail stops a deletion any more", "")
LATE = ("error: prod/RegionOne: no answer in time", ANSWERS, "")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ProblemLog]:
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        yield ProblemLog(journal, "https://satellite.example.com", "all hosts")


def run(
    log: ProblemLog,
    hour: float,
    *lines: tuple[str, str, str],
    complete: bool = True,
    quick: bool = False,
    ended: str = "",
) -> News:
    """A run so many hours later, whose news are mailed."""
    now = NOW + hour * HOUR
    end = EndOfRun(lines, (), complete, quick, frozenset([ended]))
    news = gather_news(log, end, WEEK, now)
    note_mailed(log, news, now)
    return news


def texts(news: News) -> list[str]:
    return [problem.text for problem in news.problems]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("51 of 120 records (43%)", "# of # records (#%)"),
        ("GET /api/hosts/7 gave 503", "GET /api/hosts/# gave #"),
        ("server 7f3c1f0e-5b1d-4a57-9f5e-0123456789ab", "server #"),
        ("prod/az2 shrank from 30 to 10", "prod/az2 shrank from # to #"),
        ("prod/az-2 shrank", "prod/az-2 shrank"),
    ],
)
def test_numbers_do_not_make_a_text_another_one_but_names_do(
    text: str, kind: str
) -> None:
    assert kind_of(text) == kind


def test_an_outage_is_mailed_when_it_begins_and_when_it_ends(log: ProblemLog) -> None:
    assert texts(run(log, 0, DOWN)) == [DOWN[0]]
    standing = run(log, 1, DOWN)
    assert (standing.problems, standing.is_worth_a_mail) == ((), False)
    assert [problem.since for problem in standing.problems_before] == [NOW]
    (over,) = run(log, 2).over
    assert (over.until, over.since) == (ANSWERS, NOW)
    assert run(log, 3) == News()


def test_each_kind_of_an_outage_is_mailed_once_however_often_it_alternates(
    log: ProblemLog,
) -> None:
    lines = [DOWN, REFUSED, DOWN, LATE, REFUSED, DOWN, LATE]
    mailed = [texts(run(log, hour, line)) for hour, line in enumerate(lines)]
    assert mailed == [[DOWN[0]], [REFUSED[0]], [], [LATE[0]], [], [], []]
    assert len(run(log, 8).over) == 1
    assert texts(run(log, 9, DOWN)) == [DOWN[0]]


def test_an_outage_is_mailed_again_after_a_week_with_its_latest_text(
    log: ProblemLog,
) -> None:
    run(log, 0, REFUSED)
    run(log, 0, DOWN)
    assert not run(log, 167.9, DOWN).is_worth_a_mail
    busy = DOWN[0].replace("503", "504")
    again = run(log, 168, (busy, ANSWERS, ""))
    assert (again.in_full, texts(again)) == (True, [busy])
    assert not run(log, 169, REFUSED).is_worth_a_mail


def test_a_run_that_failed_says_nothing_about_other_problems(log: ProblemLog) -> None:
    run(log, 0, DOWN)
    failed = ("error: Satellite is gone", "the runs work again", "")
    news = run(log, 1, failed, complete=False)
    assert (texts(news), news.over) == ([failed[0]], ())
    assert [problem.text for problem in news.problems_before] == [DOWN[0]]
    assert [problem.until for problem in run(log, 2, DOWN).over] == [failed[1]]


@pytest.mark.parametrize("quick", [True, False])
def test_a_problem_of_quick_runs_ends_with_a_run_of_either_kind(
    log: ProblemLog, quick: bool
) -> None:
    assert texts(run(log, 0, DOWN, quick=True)) == [DOWN[0]]
    assert run(log, 1, DOWN, quick=True).problems == ()
    assert [problem.until for problem in run(log, 2, quick=quick).over] == [ANSWERS]
    assert run(log, 3) == News()


def test_a_problem_that_a_full_run_met_ends_with_a_full_run(log: ProblemLog) -> None:
    assert texts(run(log, 0, CAPS)) == [CAPS[0]]
    standing = run(log, 1, quick=True)
    assert (standing.over, standing.is_worth_a_mail) == ((), False)
    assert [problem.text for problem in standing.problems_before] == [CAPS[0]]
    # Met by both, it is not over when only quick runs do not meet it any more.
    assert run(log, 2, CAPS, quick=True).problems == ()
    assert run(log, 3, quick=True).over == ()
    assert [problem.text for problem in run(log, 4).over] == [CAPS[0]]
    assert run(log, 5) == News()


def test_a_problem_of_quick_runs_is_one_of_full_runs_from_the_first_that_meets_it(
    log: ProblemLog,
) -> None:
    assert texts(run(log, 0, CAPS, quick=True)) == [CAPS[0]]
    assert run(log, 1, CAPS).problems == ()
    assert run(log, 2, quick=True).over == ()
    assert len(run(log, 3).over) == 1


def test_a_quick_run_shows_that_a_region_answers_again_whatever_run_met_it(
    log: ProblemLog,
) -> None:
    run(log, 0, DOWN, CAPS)
    over = run(log, 1, quick=True, ended=ANSWERS).over
    assert [problem.until for problem in over] == [ANSWERS]
    run(log, 2, DOWN)
    assert run(log, 3, quick=True, complete=False, ended=ANSWERS).over == ()


def test_what_happens_once_has_no_end_that_is_mailed(log: ProblemLog) -> None:
    once = ("warning: notes were lost", "", "")
    assert texts(run(log, 0, once)) == [once[0]]
    assert not run(log, 1).is_worth_a_mail
    assert texts(run(log, 2, once)) == [once[0]]


def test_an_example_in_a_text_is_no_reason_for_a_mail(log: ProblemLog) -> None:
    for hour, name in enumerate(("web-1", "db-a", "db-b")):
        line = (f"nothing is known, such as {name}", "all is known", "unknown")
        assert run(log, hour, line).is_worth_a_mail == (hour == 0)


@pytest.mark.parametrize("column", ["since", "mailed"])
def test_a_damaged_problem_is_an_error(log: ProblemLog, column: str) -> None:
    run(log, 0, DOWN)
    with closing(sqlite3.connect(log.journal.path)) as database, database:
        database.execute(f"UPDATE problems SET {column} = 'x'")
    with pytest.raises(JournalError, match="a problem of earlier runs is damaged"):
        run(log, 1, DOWN)


def test_what_was_mailed_in_the_future_is_mailed_again_once(log: ProblemLog) -> None:
    """The clock was a year ahead when it was."""
    run(log, 365 * 24, DOWN)
    assert texts(run(log, 0, DOWN)) == [DOWN[0]]
    assert texts(run(log, 1, DOWN)) == []
