"""The news as text: labels, lengths, and names that are hostile."""

from datetime import datetime, timedelta, timezone
from typing import Any

from foreman_hooks.cleanup.news import NewDeletion, News
from foreman_hooks.cleanup.open_records import OpenRecord
from foreman_hooks.cleanup.problems import Problem
from foreman_hooks.reports.news import news_text, problem_lines
from foreman_hooks.rules.model import Decision, Outcome, Reason, Result
from foreman_hooks.rules.plan import Hold, Plan
from foreman_hooks.rules.verdicts import verdicts_of

NOW = datetime(2026, 11, 20, 10, 17, tzinfo=timezone.utc)
URL = "https://satellite.example.com"
DELETE, WAIT, KEEP = Decision.DELETE, Decision.WAIT, Decision.KEEP
REASONS = {
    DELETE: Reason.TERMINATED,
    WAIT: Reason.QUIET,
    KEEP: Reason.CHECKED_IN,
}


def record(host_id: int, decision: Decision, **values: Any) -> OpenRecord:
    name = f"web-{host_id}"
    reason = REASONS[decision]
    fields = (URL, host_id, name, "u", decision, reason, "detail", "", "", NOW)
    return OpenRecord(*fields)._replace(**values)


def deletion(host_id: int, result: Any = "deleted", who: str = "root") -> NewDeletion:
    name, detail = f"web-{host_id}", "yesterday" if result else None
    return NewDeletion(host_id, host_id, name, "terminated", result, detail, who)


def text(news: News, plan: Any = None, *outcomes: Outcome) -> list[str]:
    return news_text(news, plan, outcomes, "root").splitlines()


def plan(**values: Any) -> Plan:
    return Plan(URL, NOW, "all hosts", (), verdicts_of(()), **values)


def test_what_failed_comes_first_and_what_waits_last() -> None:
    records = (record(1, WAIT), record(2, KEEP), record(3, DELETE))
    deletions = (deletion(4), deletion(5, "failed"))
    news = News(records=records, deletions=deletions)
    assert text(news) == [
        "failed           web-5: terminated; yesterday",
        "deleted          web-4: terminated; yesterday",
        "to delete        web-3: terminated, with proof; detail",
        "needs attention  web-2: checked in after its termination; detail",
        "waits            web-1: terminated, waiting one check-in interval; detail",
    ]


def test_of_each_kind_20_are_listed_and_the_others_are_counted() -> None:
    news = News(
        records=tuple(record(number, KEEP) for number in range(403)),
        deletions=tuple(deletion(number) for number in range(20)),
    )
    lines = text(news)
    assert len(lines) == 20 + 20 + 1
    assert lines[-1] == (
        f"{'':<17}... and 383 more, see 'satellite-osp-cleanup status'"
    )


def test_a_record_that_stays_says_why() -> None:
    news = News(records=(record(1, DELETE),))
    kept = Outcome(1, "web-1", "u", Result.KEPT, "it exists again")
    held = plan(holds=(Hold("too many at once", (1,)),))
    assert text(news, plan(refusals=("too many",)))[0].startswith("refused   ")
    assert text(news, held, kept)[0].startswith("held back   ")
    assert text(news, plan(), kept) == [
        "kept             web-1: terminated, with proof; it exists again"
    ]
    assert text(news, plan())[0].startswith("to delete   ")


def test_a_deletion_names_the_user_if_somebody_else_made_it() -> None:
    lines = text(News(deletions=(deletion(1), deletion(2, who="alice"))))
    assert [line.endswith("(by alice)") for line in lines] == [False, True]


def test_an_unfinished_deletion_says_what_is_known() -> None:
    news = News(deletions=(deletion(1, None),))
    lost = Outcome(1, "web-1", "u", Result.UNFINISHED, "the answer was lost")
    assert text(news) == ["unfinished       web-1: terminated; its end is not known"]
    assert text(news, plan(), lost)[0].endswith("terminated; the answer was lost")


def test_what_stays_as_it_was_is_one_line() -> None:
    earlier = NOW - timedelta(days=3)
    news = News(
        records_before=(
            record(1, WAIT),
            record(2, KEEP),
            record(3, KEEP, since=earlier),
            record(4, DELETE),
        ),
        problems_before=(Problem("", "k", "refused", NOW),),
    )
    assert text(news) == [
        "as before: 1 problem (since 2026-11-20), 1 to delete (since 2026-11-20), 2 need "
        "attention (since 2026-11-17), 1 waits, see 'satellite-osp-cleanup status'"
    ]


def test_no_name_controls_the_terminal_or_adds_a_line() -> None:
    hostile = "\x1b[2J\nweb\u202e"
    problem = Problem(hostile, "k", hostile, NOW)
    news = News(
        problems=(problem,),
        over=(problem,),
        deletions=(deletion(1)._replace(name=hostile, who=hostile),),
        records=(record(1, KEEP, name=hostile, detail=hostile),),
    )
    lines = [*problem_lines(news), *news_text(news, None, (), "root").split("\n")]
    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)
