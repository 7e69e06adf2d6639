"""Make a plan, show it, and say what it means for the exit code: shared by plan, apply and run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from foreman_hooks.cleanup.journal import JournalError
from foreman_hooks.cleanup.past import NO_PAST, Past, read_past
from foreman_hooks.cleanup.run import Cleanup, Target
from foreman_hooks.commands.app import App
from foreman_hooks.commands.files import write_file
from foreman_hooks.commands.output import complain, warn
from foreman_hooks.errors import INCOMPLETE, PENDING, REFUSED
from foreman_hooks.osp_checker import OSPError
from foreman_hooks.reports import documents, listings
from foreman_hooks.reports.listings import Outcomes, Style
from foreman_hooks.reports.metrics import RunRecord
from foreman_hooks.rules.model import UNKNOWN_REASONS, Reason
from foreman_hooks.rules.plan import Plan
from foreman_hooks.satellite.errors import SatelliteForbidden

NOTHING_STOPPED = "no guard rail stops a deletion any more"


def make_plan(
    cleanup: Cleanup,
    record: RunRecord,
    page: Optional[Path],
    target: Optional[Target] = None,
) -> Plan:
    """Plan for all hosts or for the target; note the plan in the record, and write its page."""
    with record.stage("plan"):
        plan = cleanup.plan_one(target) if target else cleanup.plan()
        record.plan = plan
    write_page(page, cleanup, plan)
    return plan


def write_page(
    page: Optional[Path],
    cleanup: Cleanup,
    plan: Plan,
    outcomes: Outcomes = None,
) -> None:
    """Write the HTML page of a plan and what became of it, if a file is given."""
    if page:
        from foreman_hooks.reports import html  # here: jinja2 is slow to load

        past = _past(cleanup, plan, outcomes)
        write_file(page, html.render(plan, outcomes, past), mode=0o640)


def _past(cleanup: Cleanup, plan: Plan, outcomes: Outcomes) -> Past:
    """The past for the page's pictures; empty if the journal cannot be read.

    A damaged row must not cost the page, and an error here would hide what ended the run.
    """
    try:
        complete = cleanup.is_complete(plan)
        now = cleanup.clock()
        return read_past(cleanup.journal, plan, complete, outcomes or (), now)
    except JournalError:
        return NO_PAST


def check_fields(style: Style, to_apply: bool) -> None:
    """Raise UnknownField, before a run, for a field that its output will not have."""
    if style.for_programs:
        documents.check_host_fields(style)
    elif to_apply:
        listings.check_outcome_fields(style)


def show_plan(app: App, plan: Plan, style: Style) -> None:
    """Print the verdicts, the numbers of the plan, and what the guard rails say.

    A table leaves out records that are kept for an ordinary reason; -v, another format and a plan
    for one instance show every record.
    """
    if style.for_programs:
        show_document(app, plan, style)
    else:
        _show_table(app, plan, style)
    show_guard_rails(plan)


def show_document(
    app: App,
    plan: Plan,
    style: Style,
    outcomes: Outcomes = None,
    refusals: Optional[Sequence[str]] = None,
) -> None:
    """Print a plan for programs, with what became of its deletions if it was applied.

    `refusals`: the guard rails that it breaks now, if they are not those that it names.
    """
    app.show(documents.plan_document(plan, outcomes, refusals), style)


def _show_table(app: App, plan: Plan, style: Style) -> None:
    verdicts = plan.verdicts
    of_one_instance = plan.fleet is not None
    if not app.verbose and not of_one_instance:
        verdicts = tuple(filter(listings.noteworthy, verdicts))
    app.show_rows(listings.verdict_rows(verdicts), style)
    app.say(listings.summary(plan))


def show_guard_rails(plan: Plan) -> None:
    """Print why the plan is refused, and which deletions need an approval."""
    show_refusals(plan.refusals)
    for hold in plan.holds:
        count = len(hold.host_ids)
        which = f"{count} deletions are"
        if count == 1:
            which = "1 deletion is"
        warn(
            f"needs an approval: {hold.why}; {which} held back, the others are not",
            until=NOTHING_STOPPED,
        )


def show_refusals(refusals: Sequence[str]) -> None:
    """Print why the guard rails refuse a plan."""
    for refusal in refusals:
        warn(
            f"refused: {refusal}; nothing is deleted",
            until=NOTHING_STOPPED,
        )


def plan_code(plan: Plan, detailed: bool) -> int:
    """The exit code of a plan, after what went wrong is printed.

    REFUSED if a guard rail refuses the plan or a part of it; the error's own code if no region
    answered, or if host parameters are hidden; INCOMPLETE if something could not be known; if
    `detailed`, PENDING if there is something to delete; else 0.
    """
    errors = []
    for region in plan.regions:
        if region.error:
            errors.append(region.error)
            until = f"{region.place} answers again"
            complain(str(region.error), INCOMPLETE, until)
    if plan.refusals or plan.holds:
        warn(
            "apply --approve DIGEST lifts the caps for one plan (plan --out FILE shows its digest)",
            until=NOTHING_STOPPED,
        )
        return REFUSED
    if errors and len(errors) == len(plan.regions):
        return errors[0].exit_code
    code = _knowledge_code(plan, errors)
    if code == 0 and detailed and plan.deletions:
        return PENDING
    return code


def _knowledge_code(plan: Plan, errors: Sequence[OSPError]) -> int:
    """0 if everything is known about every record."""
    if plan.unknown and not errors:
        _complain_of_unknown(plan)
    reasons = {verdict.reason for verdict in plan.verdicts}
    if Reason.HIDDEN_PARAMETERS in reasons:
        return SatelliteForbidden.exit_code
    if plan.unknown or errors:
        return INCOMPLETE
    return 0


def _complain_of_unknown(plan: Plan) -> None:
    unknown = [
        verdict for verdict in plan.verdicts if verdict.reason in UNKNOWN_REASONS
    ]
    example = unknown[0]
    complain(
        f"nothing is known about {plan.unknown} of {len(plan.verdicts)} records, such as "
        f"{example.name}: {example.reason.value} ({example.detail})",
        INCOMPLETE,
        until="every record can be judged again",
        kind=example.reason.value,
    )
