"""run --news: print only what is new since the last mail of cron."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from foreman_hooks.cleanup.journal import Journal, JournalBusy, JournalError
from foreman_hooks.cleanup.news import EndOfRun, News, gather_news, note_mailed
from foreman_hooks.cleanup.problems import ProblemLog
from foreman_hooks.cleanup.progress import utc_now
from foreman_hooks.commands.app import App, satellite_of, user
from foreman_hooks.commands.applying import FAILED_DELETION
from foreman_hooks.commands.output import complain, describe, held_back, reasons
from foreman_hooks.errors import code_of
from foreman_hooks.reports.metrics import RunRecord
from foreman_hooks.reports.news import news_text, problem_lines
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
    _report(app, scope, record, EndOfRun(lines, record.outcomes, complete))
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
            # What was mailed before is not known, so every problem is printed.
            _print_problems([text for text, _, _ in end.lines])
            if end.complete and not isinstance(error, JournalBusy):
                raise
            return
        if news.is_worth_a_mail:
            _print(app, news, record)
        else:
            news = News(over=news.over, repeated=news.repeated)
        if news != News():
            note_mailed(mailed, news, utc_now())


def _print(app: App, news: News, record: RunRecord) -> None:
    _print_problems(problem_lines(news))
    app.say(news_text(news, record.plan, record.outcomes, user()))


def _print_problems(lines: list[str]) -> None:
    for line in lines:
        click.echo(line, err=True)
