"""plan: what would be deleted, and why."""

from pathlib import Path
from typing import Optional

import click

from foreman_hooks.commands.app import App
from foreman_hooks.commands.files import write_file
from foreman_hooks.commands.next_steps import plan_in_file, write_plan
from foreman_hooks.commands.options import (
    RecordOptions,
    ScopeOptions,
    output_options,
    record_options,
    scope_options,
)
from foreman_hooks.commands.planning import (
    check_fields,
    make_plan,
    plan_code,
    show_end,
    show_plan,
)
from foreman_hooks.commands.recording import noted
from foreman_hooks.commands.usage import usage_error
from foreman_hooks.reports import listings
from foreman_hooks.reports.listings import Style
from foreman_hooks.reports.metrics import recorded
from foreman_hooks.rules.plan import DIGEST_LENGTH, dump


@click.command()
@scope_options
@record_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the plan to FILE, for 'apply'.",
)
@click.option(
    "--detailed-exitcode", is_flag=True, help="Exit with 2 if deletions are pending."
)
@click.option(
    "--show-hammer",
    is_flag=True,
    help="Also print hammer commands for the same deletions.",
)
@output_options
@click.pass_obj
def plan(
    app: App,
    scope: ScopeOptions,
    records: RecordOptions,
    out: Optional[Path],
    detailed_exitcode: bool,
    show_hammer: bool,
    style: Style,
) -> int:
    """Show what would be deleted, and why; delete nothing.

    Every run counts: an instance of which OpenStack has no trace can only be deleted if an earlier
    run saw it alive, and after several runs in a row ('policy.misses') missed it over some time
    ('policy.grace').
    """
    check_fields(style, to_apply=False)
    if show_hammer and style.for_programs:
        raise usage_error("--show-hammer goes with --output table only")
    with (
        recorded(records.metrics) as record,
        app.cleanup(scope) as cleanup,
        noted(cleanup, "plan", record),
    ):
        planned = make_plan(app, cleanup, record, records.page)
        record.code = plan_code(planned, detailed_exitcode)
    if out:
        write_file(out, dump(planned))
    show_plan(app, planned, style)
    if show_hammer:
        app.say("\n".join(listings.hammer_lines(planned.deletions)))
    if out:
        digest = planned.digest[:DIGEST_LENGTH]
        click.echo(f"plan {digest} written to {out}", err=True)
    steps = plan_in_file(app, planned, out) if out else write_plan(app, scope)
    show_end(app, planned, style, steps)
    return record.code
