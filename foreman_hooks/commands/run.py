"""plan, apply and run: what would be deleted, and its deletion."""

import getpass
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import click

from foreman_hooks.cleanup.run import Cleanup, Target
from foreman_hooks.commands.app import App
from foreman_hooks.commands.files import read_file, write_file
from foreman_hooks.commands.options import output_options, scope_options, with_options
from foreman_hooks.commands.output import complain, warn
from foreman_hooks.hooks import maintenance
from foreman_hooks.osp_checker.uuids import parse_uuid
from foreman_hooks.reports import listings as report
from foreman_hooks.reports.listings import Style
from foreman_hooks.reports.metrics import RunRecord, recorded
from foreman_hooks.rules import plan as plans
from foreman_hooks.rules.model import UNKNOWN_REASONS, Outcome, Reason
from foreman_hooks.rules.plan import Plan, PlanError
from foreman_hooks.satellite.client import SatelliteForbidden

record_options = [
    click.option(
        "--report",
        "page_file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.html",
        help="Also write a page with every record, to look at or to print.",
    ),
    click.option(
        "--metrics",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.prom",
        help="Also write metrics for node_exporter's textfile collector.",
    ),
]


@click.command()
@with_options(scope_options)
@with_options(record_options)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the plan to FILE, for 'apply'.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when deletions are pending.")
@click.option(
    "--show-hammer", is_flag=True, help="Print the hammer commands that would do the same."
)
@output_options
@click.pass_obj
def plan(
    app: App,
    search: Optional[str],
    organization: Optional[str],
    max_deletions: Optional[int],
    page_file: Optional[Path],
    metrics: Optional[Path],
    out: Optional[Path],
    detailed_exitcode: bool,
    show_hammer: bool,
    style: Style,
) -> int:
    """Show what would be deleted, and why; deletes nothing.

    Every run counts: an instance of which OpenStack has no trace left may only go if an earlier run
    saw it alive, and after it was missing in several runs ('policy.misses') over some time
    ('policy.grace').
    """
    with recorded(metrics) as record:
        with app.cleanup(search, organization, max_deletions) as cleanup:
            made = _planned(record, cleanup, None, page_file)
        record.code = _plan_code(made, detailed_exitcode)
    if out:
        write_file(out, plans.dump(made))
    _show_plan(app, made, style)
    if show_hammer:
        app.say("\n".join(report.hammer_lines(made.deletions)))
    if out:
        click.echo(f"plan {made.digest[:12]} written to {out}", err=True)
    return record.code


def _planned(
    record: RunRecord, cleanup: Cleanup, target: Optional[Target], page_file: Optional[Path]
) -> Plan:
    """The plan of all or of one, noted in the record; its page is there before anything is deleted."""
    with record.stage("plan"):
        made = record.plan = cleanup.plan_one(target) if target else cleanup.plan()
    _write_page(page_file, made)
    return made


def _write_page(
    file: Optional[Path], made: Plan, outcomes: Optional[Sequence[Outcome]] = None
) -> None:
    if file:
        from foreman_hooks.reports import html as page

        write_file(file, page.render(made, outcomes), mode=0o640)


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option(
    "--approve",
    metavar="DIGEST",
    help="Lift the caps for this plan, once, also those that hold back some deletions; the "
    "journal keeps who and when.",
)
@output_options
@click.pass_obj
def apply(app: App, plan_file: Path, approve: Optional[str], style: Style) -> int:
    """Carry out a plan that 'plan' wrote.

    Each record and each instance is looked at again first; what no longer holds is kept.  A plan
    that was changed, is older than a day or is of another Satellite is refused.
    """
    maintenance.refuse()
    made = plans.load(read_file(plan_file))
    with app.cleanup() as cleanup:
        if approve is not None:
            _approve(cleanup, made, approve)
        refusals = cleanup.check(made)
        if refusals and approve is None:
            return _refused(made, refusals)
        held = bool(made.holds) and approve is None
        if held:
            _show_refusals(made)
        return max(
            3 if held else 0, _apply(app, cleanup, made, style, approved=approve is not None)
        )


@click.command()
@with_options(scope_options)
@with_options(record_options)
@click.option("--uuid", metavar="UUID", help="This instance alone, at once.")
@click.option("--host", metavar="NAME", help="The instance of this host record alone, at once.")
@click.option(
    "--apply",
    "apply_it",
    is_flag=True,
    help="Delete what the plan says; without it, only show the plan.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when deletions are pending.")
@output_options
@click.pass_obj
def run(
    app: App,
    search: Optional[str],
    organization: Optional[str],
    max_deletions: Optional[int],
    page_file: Optional[Path],
    metrics: Optional[Path],
    uuid: Optional[str],
    host: Optional[str],
    apply_it: bool,
    detailed_exitcode: bool,
    style: Style,
) -> int:
    """Plan, and with --apply delete.

    This is what cron and remote execution call. Prints nothing where there is nothing to tell,
    unless a terminal or another output than table is asked for.

    With --uuid or --host, for whoever has just deleted a server, the same rules decide on that one
    alone and its verdict is always shown: with proof its record goes once 'policy.quiet' has
    passed, without proof it waits as ever. Exits with 128 where no record is found.
    """
    maintenance.refuse()
    target = _target(uuid, host)
    if target and (search or organization):
        raise click.UsageError(
            "--uuid and --host name one instance; --search and --organization do not go with them"
        )
    if target and metrics:
        raise click.UsageError(
            "--metrics tells of runs over all hosts; it does not go with --uuid and --host"
        )
    with recorded(metrics) as record, app.cleanup(search, organization, max_deletions) as cleanup:
        made = _planned(record, cleanup, target, page_file)
        record.code = _plan_code(made, detailed_exitcode and not apply_it)
        whole = bool(target) or sys.stdout.isatty() or app.verbose or style.output != "table"
        if whole:
            _show_plan(app, made, style)
        elif made.refusals or made.holds:
            _show_refusals(made)
        if apply_it and made.deletions and not made.refusals:
            try:
                record.code = max(
                    record.code, _apply(app, cleanup, made, style, record=record, brief=not whole)
                )
            finally:
                _write_page(page_file, made, record.outcomes)
        elif not whole:
            app.say(report.brief(made))
    return record.code


def _target(uuid: Optional[str], host: Optional[str]) -> Optional[Target]:
    """The one instance that is asked for, None where all are; raises PlanError where the UUID is
    none.
    """
    if uuid is None and host is None:
        return None
    if uuid is not None and host is not None:
        raise click.UsageError("--uuid or --host, not both")
    if host is not None:
        if not host.strip():
            raise click.UsageError("--host is empty")
        return Target(name=host.strip())
    form = parse_uuid(uuid)
    if form is None:
        raise PlanError(f"not a UUID: {uuid!r}")
    return Target(uuid=form)


def _show_plan(app: App, made: Plan, style: Style) -> None:
    everything = app.verbose or style.output != "table" or made.fleet is not None
    rows = report.verdict_rows(one for one in made.verdicts if everything or report.noteworthy(one))
    app.say(report.render(rows, style))
    if style.output == "table":
        app.say(report.summary(made))
    _show_refusals(made)


def _show_refusals(made: Plan) -> None:
    for refusal in made.refusals:
        warn(f"refused: {refusal}; nothing is deleted")
    for hold in made.holds:
        count = len(hold.host_ids)
        which = "1 deletion is" if count == 1 else f"{count} deletions are"
        warn(f"needs an approval: {hold.why}; {which} held back, the others are not")


def _plan_code(made: Plan, detailed: bool) -> int:
    """3 refused, 1 where something could not be known (or the error's own code, where nothing
    could), 2, or 0.
    """
    errors = [region.error for region in made.regions if region.error]
    for error in errors:
        complain(str(error), 1)
    if made.refusals or made.holds:
        warn(
            "apply --approve DIGEST lifts the caps for one plan (plan --out FILE shows its digest)"
        )
        return 3
    if errors and len(errors) == len(made.regions):
        return errors[0].exit_code
    if made.unknown and not errors:
        first = next(verdict for verdict in made.verdicts if verdict.reason in UNKNOWN_REASONS)
        complain(
            f"nothing could be learned of {made.unknown} of {len(made.verdicts)} records; {first.name}: "
            f"{first.reason.value} ({first.detail})",
            1,
        )
    if any(verdict.reason is Reason.HIDDEN_PARAMETERS for verdict in made.verdicts):
        return SatelliteForbidden.exit_code
    if made.unknown or errors:
        return 1
    return 2 if detailed and made.deletions else 0


def _refused(made: Plan, refusals: Sequence[str]) -> int:
    for refusal in refusals:  # as of now, which need not be those that the plan was written with
        warn(f"refused: {refusal}; nothing is deleted")
    return complain(
        f"a guard rail refuses this plan; 'apply --approve {made.digest[:12]}' lifts the caps, once",
        3,
    )


def _approve(cleanup: Cleanup, made: Plan, digest: str) -> None:
    if len(digest) < 12 or not made.digest.startswith(digest.lower()):
        raise PlanError(
            f"the plan's digest is {made.digest[:12]}, not {digest}; look at it before you approve it"
        )
    cleanup.check(made)  # an old plan or another Satellite's is not approved
    cleanup.approve(made, getpass.getuser())


def _apply(
    app: App,
    cleanup: Cleanup,
    made: Plan,
    style: Style,
    approved: bool = False,
    record: Optional[RunRecord] = None,
    brief: bool = False,
) -> int:
    outcomes: list[Outcome] = []
    record = record or RunRecord()
    record.outcomes = outcomes
    try:
        with app.deadline.gently() as late, _finish_first(late) as stopped, record.stage("apply"):
            outcomes.extend(cleanup.apply(made, stopped, approved=approved))
    finally:  # what is done is told, whatever came then
        deleted = sum(one.result == "deleted" for one in outcomes)
        app.say(
            report.brief(made, outcomes)
            if brief
            else report.render(report.outcome_rows(outcomes), style)
        )
        if style.output == "table":
            app.say(f"{deleted} of {len(made.deletions)} records deleted\n")
    for one in outcomes:
        if one.result in ("failed", "unfinished"):
            complain(f"{one.name}: {one.detail}", 1)
    if late():
        return complain(
            f"{app.deadline.message()}; {deleted} of {len(outcomes)} records were deleted, all are in the "
            "journal",
            75,
        )
    if stopped():
        return complain(
            f"interrupted; {deleted} of {len(outcomes)} records were deleted, all are in the journal",
            130,
        )
    return 0 if deleted == len(outcomes) else 1


@contextmanager
def _finish_first(late: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C, SIGTERM and the deadline end the work after the deletion under way, and not
    within it.
    """
    caught: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: caught.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: bool(caught) or late()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
