"""Make a plan, show it, and say what it means for the exit code: shared by plan, apply and run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

from foreman_hooks.cleanup.journal import JournalError
from foreman_hooks.cleanup.past import NO_PAST, Past, read_past
from foreman_hooks.cleanup.run import Cleanup, Target
from foreman_hooks.commands.app import App
from foreman_hooks.commands.files import write_file
from foreman_hooks.commands.next_steps import NextSteps, after_plan, after_refusal
from foreman_hooks.commands.output import advise, complain, warn
from foreman_hooks.errors import INCOMPLETE, PENDING, REFUSED
from foreman_hooks.reports import documents, listings, terminal
from foreman_hooks.reports.listings import Outcomes, Style
from foreman_hooks.reports.metrics import RunRecord
from foreman_hooks.reports.window import command_lines, wrapped
from foreman_hooks.rules.model import UNKNOWN_REASONS, Reason, Verdict
from foreman_hooks.rules.plan import Kind, Plan, PlanRegion
from foreman_hooks.satellite.errors import SatelliteForbidden

NOTHING_STOPPED = "no guard rail stops a deletion any more"


def make_plan(
    app: App,
    cleanup: Cleanup,
    record: RunRecord,
    page: Optional[Path],
    target: Optional[Target] = None,
) -> Plan:
    """Plan for the hosts that a run of its kind looks at; note the plan, and write its page.

    `target`: the one instance that it is about.
    """
    with record.stage("plan"), app.with_progress(cleanup) as planner:
        if target:
            plan = planner.plan_one(target)
        elif record.kind is Kind.QUICK:
            plan = planner.plan_quick()
        else:
            plan = planner.plan()
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
    """Print the verdicts.

    People read only how many records are kept for an ordinary reason, unless with -v or for one
    instance.
    """
    if style.for_programs:
        show_document(app, plan, style)
        return
    in_full = app.verbose or plan.kind is Kind.SINGLE
    if style.is_grouped:
        app.say(terminal.plan_listing(plan, app.window, in_full))
        return
    verdicts: Iterable[Verdict] = plan.verdicts
    if not in_full:
        verdicts = filter(listings.noteworthy, plan.verdicts.single)
    app.show_rows(listings.verdict_rows(verdicts), style)


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


def show_end(app: App, plan: Plan, style: Style, steps: NextSteps) -> None:
    """Print the line of sums, what is wrong with the plan, and the next command."""
    window = app.window
    if style.is_grouped:
        app.say("\n".join(wrapped(terminal.sums(plan), window.width)))
    show_problems(app, plan, steps)
    step = None if plan.refusals else after_plan(app, plan, steps)
    if step and style.is_grouped:
        app.say("\n".join(wrapped(f"Next, {step.purpose}:", window.width)))
        app.say("\n".join(command_lines(step.command, window.width)))


def show_problems(app: App, plan: Plan, steps: NextSteps) -> None:
    """Print on stderr what could not be known, and what the guard rails say."""
    unanswered = [region for region in plan.regions if region.error]
    for region in unanswered:
        complain(str(region.error), INCOMPLETE, answers_again(region))
    if plan.unknown and not unanswered:
        _complain_of_unknown(plan)
    show_guard_rails(app, plan, steps)


def answers_again(region: PlanRegion) -> str:
    """What to report once a region answers that did not."""
    return f"{region.place} answers again"


def show_guard_rails(app: App, plan: Plan, steps: NextSteps) -> None:
    """Print why the plan is refused or deletions are held back, and how to go on."""
    for refusal in plan.refusals:
        warn(f"refused: {refusal}; nothing is deleted", until=NOTHING_STOPPED)
    for hold in plan.holds:
        count = len(hold.host_ids)
        which = f"{count} deletions are"
        if count == 1:
            which = "1 deletion is"
        warn(
            f"needs an approval: {hold.why}; {which} held back, the others are not",
            until=NOTHING_STOPPED,
        )
    if plan.refusals or plan.holds:
        advise(*after_refusal(app, plan, steps), until=NOTHING_STOPPED)


def plan_code(plan: Plan, detailed: bool) -> int:
    """The exit code of a plan.

    REFUSED if a guard rail refuses the plan or a part of it; the error's own code if no region
    answered, or if host parameters are hidden; INCOMPLETE if something could not be known; if
    `detailed`, PENDING if there is something to delete; else 0.
    """
    errors = [region.error for region in plan.regions if region.error]
    if plan.refusals or plan.holds:
        return REFUSED
    if errors and len(errors) == len(plan.regions):
        return errors[0].exit_code
    if Reason.HIDDEN_PARAMETERS in plan.verdicts.sums:
        return SatelliteForbidden.exit_code
    if plan.unknown or errors:
        return INCOMPLETE
    return PENDING if detailed and plan.deletions else 0


def _complain_of_unknown(plan: Plan) -> None:
    unknown = (
        verdict for verdict in plan.verdicts if verdict.reason in UNKNOWN_REASONS
    )
    example = next(unknown)
    complain(
        f"nothing is known about {plan.unknown} of {plan.hosts} records, such as "
        f"{example.name}: {example.reason.value} ({example.detail})",
        INCOMPLETE,
        until="every record can be judged again",
        kind=example.reason.value,
    )
