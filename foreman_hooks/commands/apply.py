"""apply: carry out a plan that was written to a file."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Optional

import click

from foreman_hooks.cleanup.run import Cleanup
from foreman_hooks.commands.app import App
from foreman_hooks.commands.applying import apply_plan, show_outcomes
from foreman_hooks.commands.files import read_file
from foreman_hooks.commands.next_steps import plan_in_file
from foreman_hooks.commands.options import output_options
from foreman_hooks.commands.planning import (
    check_fields,
    show_document,
    show_guard_rails,
)
from foreman_hooks.commands.recording import noted
from foreman_hooks.errors import REFUSED
from foreman_hooks.hooks import maintenance
from foreman_hooks.reports.listings import Style
from foreman_hooks.reports.metrics import RunRecord
from foreman_hooks.rules.model import Outcome, Result
from foreman_hooks.rules.plan import DIGEST_LENGTH, Plan, PlanError, load
from foreman_hooks.times import hammer_time


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option(
    "--approve",
    metavar="DIGEST",
    help="Lift all caps for this plan, once; the journal records who approved it and when.",
)
@output_options
@click.pass_obj
def apply(app: App, plan_file: Path, approve: Optional[str], style: Style) -> int:
    """Carry out a plan that 'plan' wrote.

    Each record and each instance is checked again first; a record for which the verdict no longer
    holds is kept. A plan is refused if it was changed, is older than a day or is of another
    Satellite. What was deleted since then is named and not tried again.
    """
    maintenance.refuse()
    check_fields(style, to_apply=True)
    plan = load(read_file(plan_file))
    approved = approve is not None
    record = RunRecord(plan=plan)
    with app.cleanup() as cleanup, noted(cleanup, "apply", record):
        earlier = _deleted_before(cleanup, plan)
        if not style.for_programs:
            _name(app, earlier)
        if earlier and len(earlier) == len(plan.deletions):
            if style.for_programs:
                show_document(app, plan, style, earlier)
            record.plan = None  # this run has no numbers
            record.code = 0
            return record.code
        if approve is not None:
            _approve(cleanup, plan, approve)
        refusals = cleanup.check(plan)
        refuses = bool(refusals) and not approved
        is_held = bool(plan.holds) and not approved
        if refuses or is_held:
            # What refuses it now may differ from what is in the file.
            steps = plan_in_file(app, plan, plan_file)
            show_guard_rails(app, cleanup.guard(plan), steps)
            record.code = REFUSED
        else:
            record.code = 0
        if not refuses:
            show = partial(_show, app, plan, style, refusals, earlier)
            apply_plan(app, cleanup, record, show, approved)
        elif style.for_programs:
            show_document(app, plan, style, earlier or None, refusals)
        return record.code


def _deleted_before(cleanup: Cleanup, plan: Plan) -> list[Outcome]:
    """What was deleted since the plan was made, by this plan or by another run."""
    ends = cleanup.journal.hosts_deleted(plan.satellite, plan.made_at)
    outcomes = []
    for verdict in plan.deletions:
        end = ends.get(verdict.host_id)
        if end:
            by = "this plan" if end.plan == plan.digest else "another run"
            detail = f"already deleted on {hammer_time(end.at)} by {by}"
            outcome = Outcome(
                verdict.host_id,
                verdict.name,
                verdict.uuid,
                Result.DELETED,
                detail,
                end.at,
            )
            outcomes.append(outcome)
    return outcomes


def _name(app: App, outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        app.say_line(f"{outcome.name}: {outcome.detail}")


def _show(
    app: App,
    plan: Plan,
    style: Style,
    refusals: Sequence[str],
    earlier: Sequence[Outcome],
    outcomes: Sequence[Outcome],
) -> None:
    """Print what became of each deletion; for programs, those of earlier runs too."""
    if style.for_programs:
        show_document(app, plan, style, [*earlier, *outcomes], refusals)
    else:
        show_outcomes(app, plan, style, outcomes)


def _approve(cleanup: Cleanup, plan: Plan, digest: str) -> None:
    """Record the approval; raises PlanError if the digest is not the plan's, or the plan is old."""
    if len(digest) < DIGEST_LENGTH or not plan.digest.startswith(digest.lower()):
        raise PlanError(
            f"the plan's digest is {plan.digest[:DIGEST_LENGTH]}, not {digest}; look at the plan "
            "before you approve it"
        )
    cleanup.check(plan)  # a plan that is old or of another Satellite cannot be approved
    cleanup.approve(plan)
