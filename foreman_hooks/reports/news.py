"""What cron mails: the news as text."""

from collections.abc import Sequence
from typing import Optional, Union

from foreman_hooks.cleanup.news import NewDeletion, News
from foreman_hooks.cleanup.open_records import OpenRecord
from foreman_hooks.cleanup.problems import Problem
from foreman_hooks.paths import NAME
from foreman_hooks.reports.texts import plain
from foreman_hooks.rules.model import Decision, Outcome, Result
from foreman_hooks.rules.plan import Plan

MOST = 20  # lines of each kind in one mail
_STATUS, _HISTORY = f"{NAME} status", f"{NAME} history list"
_TIME = "%Y-%m-%d %H:%M UTC"
_DAY = "%Y-%m-%d"


def problem_lines(news: News) -> list[str]:
    """The problems, one a line; one that was mailed before says since when it stands."""
    lines = []
    for problem in news.problems:
        since = f" (since {problem.since:{_TIME}})" if problem.mailed else ""
        lines.append(plain(problem.text) + since)
    return lines


def news_text(
    news: News, plan: Optional[Plan], outcomes: Sequence[Outcome], who: str
) -> str:
    """Everything else; "" if there is nothing else.

    `plan`: of this run, None if it has none.  `outcomes`: what became of its deletions.  `who`: the
    user that runs this; deletions of others name theirs.
    """
    by_host = {outcome.host_id: outcome for outcome in outcomes}
    failed, deleted = _deletion_lines(news, by_host, who)
    to_delete, attention, waits = [], [], []
    for record in news.records:
        if record.decision is Decision.DELETE:
            to_delete.append(_to_delete(record, plan, by_host))
        elif record.decision is Decision.WAIT:
            waits.append(_record("waits", record))
        else:
            attention.append(_record("needs attention", record))
    lines = [_over(problem) for problem in news.over if problem.until]
    if news.in_full:
        lines.append("everything that is open, listed again ('repeat_news'):")
    lines += _section(failed, _STATUS)
    lines += _section(deleted, _HISTORY)
    for section in (to_delete, attention, waits):
        lines += _section(section, _STATUS)
    lines += _before(news)
    return "".join(f"{plain(line)}\n" for line in lines)


def _line(label: str, text: str) -> str:
    return f"{label:<17}{text}"


def _section(lines: list[str], where: str) -> list[str]:
    """The first lines of a kind, and how many more there are."""
    if len(lines) <= MOST:
        return lines
    more = len(lines) - MOST
    return [*lines[:MOST], _line("", f"... and {more} more, see '{where}'")]


def _over(problem: Problem) -> str:
    return _line("over", f"{problem.until}; the trouble began {problem.since:{_TIME}}")


def _deletion_lines(
    news: News, by_host: dict[int, Outcome], who: str
) -> tuple[list[str], list[str]]:
    """The lines of the deletions that failed or are unfinished, and of the others."""
    failed = []
    deleted = []
    for row in news.deletions:
        if row.result == Result.DELETED.value:
            deleted.append(_deletion("deleted", row, row.detail, who))
        else:
            outcome = by_host.get(row.host_id)
            detail = row.detail or (
                outcome.detail if outcome else "its end is not known"
            )
            failed.append(_deletion(row.result or "unfinished", row, detail, who))
    return failed, deleted


def _deletion(label: str, row: NewDeletion, detail: Optional[str], who: str) -> str:
    by = "" if row.who == who else f" (by {row.who})"
    return _line(label, f"{row.name}: {row.reason}; {detail}{by}")


def _to_delete(
    record: OpenRecord, plan: Optional[Plan], by_host: dict[int, Outcome]
) -> str:
    """The line of a record that this run was to delete, and why it is still there."""
    outcome = by_host.get(record.host_id)
    if plan and plan.refusals:
        return _record("refused", record)
    if plan and record.host_id in plan.held:
        return _record("held back", record)
    if outcome:
        return _record(outcome.result.value, record._replace(detail=outcome.detail))
    return _record("to delete", record)


def _record(label: str, record: OpenRecord) -> str:
    since = f" (since {record.since:{_DAY}})" if record.mailed else ""
    text = f"{record.name}: {record.reason.value}; {record.detail}{since}"
    return _line(label, text)


def _before(news: News) -> list[str]:
    """One line about all that stays as it was; none if there is nothing."""
    kinds: dict[Decision, list[OpenRecord]] = {decision: [] for decision in Decision}
    for record in news.records_before:
        kinds[record.decision].append(record)
    troubles = {problem.trouble: problem for problem in news.problems_before}
    parts = [
        _count(list(troubles.values()), "problem", "problems"),
        _count(kinds[Decision.DELETE], "to delete", "to delete"),
        _count(kinds[Decision.KEEP], "needs attention", "need attention"),
    ]
    waiting = len(kinds[Decision.WAIT])
    if waiting:
        parts.append(f"{waiting} waits" if waiting == 1 else f"{waiting} wait")
    text = ", ".join(filter(None, parts))
    return [f"as before: {text}, see '{_STATUS}'"] if text else []


def _count(
    rows: Sequence[Union[Problem, OpenRecord]], singular: str, plural: str
) -> str:
    """How many there are, and since when; "" for none."""
    if not rows:
        return ""
    since = min(row.since for row in rows)
    return (
        f"{len(rows)} {singular if len(rows) == 1 else plural} (since {since:{_DAY}})"
    )
