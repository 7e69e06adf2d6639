"""Carry out a plan, and report what became of it: shared by apply and run."""

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import click

from foreman_hooks.cleanup.run import Cleanup
from foreman_hooks.commands.announcing import announced
from foreman_hooks.commands.app import App
from foreman_hooks.commands.deadline import DeadlineError
from foreman_hooks.commands.interruption import stopped_gently
from foreman_hooks.commands.output import complain
from foreman_hooks.commands.window import by_hand
from foreman_hooks.errors import INCOMPLETE, INTERRUPTED
from foreman_hooks.reports import listings, terminal
from foreman_hooks.reports.listings import Style
from foreman_hooks.reports.metrics import RunRecord
from foreman_hooks.rules.model import Outcome, Result, count_deleted
from foreman_hooks.rules.plan import Plan

# The kind of such a line for stderr: the news lists failed deletions itself.
FAILED_DELETION = "failed deletion"
Show = Callable[[Sequence[Outcome]], None]


def is_confirmed(plan: Plan) -> bool:
    """Ask the person at the terminal whether to delete; True if nobody is there to be asked.

    A person may take long to answer.  Each record is checked again before its deletion in any case.
    """
    count = len(plan.deletions) - len(plan.held)
    if not count or not by_hand():
        return True
    records = "1 host record" if count == 1 else f"{count} host records"
    satellite = urlsplit(plan.satellite).hostname
    try:
        is_yes = click.confirm(f"Delete {records} on {satellite}?", err=True)
    except BaseException:  # Ctrl-C, SIGTERM, the deadline: end the line of the question
        click.echo("\nNothing was deleted.", err=True)
        raise
    if not is_yes:
        click.echo("Nothing was deleted.", err=True)
    return is_yes


def apply_plan(
    app: App,
    cleanup: Cleanup,
    record: RunRecord,
    show: Show,
    approved: bool = False,
) -> None:
    """Carry out the plan of the record, and raise the record's exit code if not all is deleted.

    Ctrl-C, SIGTERM and the deadline let the deletion in progress finish, and the hooks that are
    called after it.  The outcomes are kept in the record, and `show` prints them, however the work
    ends.
    """
    assert record.plan
    outcomes: list[Outcome] = []
    record.outcomes = outcomes
    with announced(record, cleanup.clock, app.deadline) as announcer:
        try:
            with (
                stopped_gently(app.deadline) as stopped,
                record.stage("apply"),
                app.with_progress(cleanup) as deleter,
            ):
                for outcome in deleter.apply(record.plan, stopped, approved=approved):
                    outcomes.append(outcome)
                    announcer.outcome(outcome)
        finally:
            show(outcomes)
        code = _explain(app, outcomes, interrupted=stopped())
        record.code = max(record.code, code)


def _explain(app: App, outcomes: Sequence[Outcome], interrupted: bool) -> int:
    """Print why not all is deleted; return the exit code."""
    for outcome in outcomes:
        if outcome.result in ("failed", "unfinished"):
            text = f"{outcome.name}: {outcome.detail}"
            complain(text, INCOMPLETE, kind=FAILED_DELETION)
    deleted = count_deleted(outcomes)
    count = f"{deleted} of {len(outcomes)} records were deleted, all are in the journal"
    if app.deadline.is_late:
        return complain(f"{app.deadline.message()}; {count}", DeadlineError.exit_code)
    if interrupted:
        return complain(f"interrupted; {count}", INTERRUPTED)
    kept = sum(outcome.result is Result.KEPT for outcome in outcomes)
    if kept:
        text = f"{kept} of {len(outcomes)} records were kept, for the reasons above"
        return complain(text, INCOMPLETE, kind=FAILED_DELETION)
    return 0 if deleted == len(outcomes) else INCOMPLETE


def show_outcomes(
    app: App, plan: Plan, style: Style, outcomes: Sequence[Outcome]
) -> None:
    """Print for people what became of each deletion of a plan."""
    if not style.is_grouped:
        app.show_rows(listings.outcome_rows(outcomes), style)
        return
    app.say(terminal.outcome_listing(outcomes, app.window))
    app.say(f"{count_deleted(outcomes)} of {len(plan.deletions)} records deleted\n")
