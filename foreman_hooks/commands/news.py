"""run --news: print only what is new since the last mail of cron."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Optional

import click

from foreman_hooks.cleanup.journal import Journal, JournalBusy, JournalError
from foreman_hooks.cleanup.news import EndOfRun, News, gather_news, note_mailed
from foreman_hooks.cleanup.problems import ProblemLog
from foreman_hooks.cleanup.progress import utc_now
from foreman_hooks.commands.app import App, satellite_of, user
from foreman_hooks.commands.applying import FAILED_DELETION
from foreman_hooks.commands.output import complain, describe, held_back, reasons
from foreman_hooks.commands.planning import answers_again
from foreman_hooks.errors import code_of
from foreman_hooks.reports.metrics import RunRecord
from foreman_hooks.reports.news import news_text, problem_lines
from foreman_hooks.rules.plan import Kind, Plan
from foreman_hooks.section import SettingsError

log = logging.getLogger(__name__)


@contextmanager
def news_only(app: App, scope: str, record: RunRecord) -> Iterator[None]:
    """Run the body, and print the news at its end instead of everything that went wrong.

    What the body raises becomes a problem like the others, and its exit code is noted in the
    record.  `scope`: which hosts the run is about, for people.
    """
    complete = False
    with held_back() as lines:
        try:
            yield
            complete = True
        except BaseException as error:
            log.debug("traceback", exc_info=True)
            record.code = code_of(error)
            complain(describe(error), record.code, until="the runs work again")
    lines = [line for line in lines if line.kind != FAILED_DELETION]
    end = EndOfRun(
        lines,
        record.outcomes,
        complete,
        quick=record.kind is Kind.QUICK,
        ended=_answering(record.plan),
    )
    _report(app, scope, record, end)
    reasons.append("the news say why")


def _report(app: App, scope: str, record: RunRecord, end: EndOfRun) -> None:
    """Print the news, and then note what was printed; raises JournalError."""
    with ExitStack() as stack:
        try:
            settings = app.settings()
            satellite = satellite_of(settings).url
            journal = stack.enter_context(Journal.open(settings.journal))
            mailed = ProblemLog(journal, satellite, scope)
            news = gather_news(mailed, end, settings.repeat_news, utc_now())
        except (SettingsError, JournalBusy, JournalError) as error:
            is_busy = isinstance(error, JournalBusy)
            if is_busy and end.quick:
                return  # the next quick run finds what there is to find, and to report
            # What was mailed before is not known, so every problem is printed.
            _print_problems([text for text, _, _ in end.lines])
            if end.complete and not is_busy:
                raise
            return
        if news.is_worth_a_mail:
            _print(app, news, record)
        else:
            news = replace(news, records=())
        note_mailed(mailed, news, utc_now())


def _answering(plan: Optional[Plan]) -> frozenset[str]:
    """The troubles of regions that are over, since these regions answered."""
    regions = plan.regions if plan else ()
    return frozenset(answers_again(region) for region in regions if not region.error)


def _print(app: App, news: News, record: RunRecord) -> None:
    _print_problems(problem_lines(news))
    app.say(news_text(news, record.plan, record.outcomes, user()))


def _print_problems(lines: list[str]) -> None:
    for line in lines:
        click.echo(line, err=True)
