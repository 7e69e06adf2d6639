"""run: plan, and with --apply delete; what cron and remote execution call."""

import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import click

from foreman_hooks.cleanup.run import Cleanup, Target
from foreman_hooks.commands.app import App
from foreman_hooks.commands.applying import Show, apply_plan, show_news, show_outcomes
from foreman_hooks.commands.options import (
    RecordOptions,
    ScopeOptions,
    bundled,
    output_options,
    record_options,
    scope_options,
)
from foreman_hooks.commands.planning import (
    check_fields,
    make_plan,
    plan_code,
    show_document,
    show_guard_rails,
    show_plan,
    write_page,
)
from foreman_hooks.commands.recording import noted
from foreman_hooks.errors import BadData
from foreman_hooks.hooks import maintenance
from foreman_hooks.osp_checker import parse_uuid
from foreman_hooks.reports import listings
from foreman_hooks.reports.listings import Style
from foreman_hooks.reports.metrics import RunRecord, recorded
from foreman_hooks.rules.plan import Plan


class InstanceOptions(NamedTuple):
    """The one instance that a run is about; both None: a run over all hosts."""

    uuid: Optional[str] = None
    host: Optional[str] = None

    def target(self) -> Optional[Target]:
        """The instance, None for all hosts; raises UsageError, and BadData for a bad UUID."""
        if self.uuid is None and self.host is None:
            return None
        if self.uuid is not None and self.host is not None:
            raise click.UsageError("--uuid or --host, not both")
        if self.host is not None:
            if not self.host.strip():
                raise click.UsageError("--host is empty")
            return Target(name=self.host.strip())
        uuid = parse_uuid(self.uuid)
        if uuid is None:
            raise BadData(f"not a UUID: {self.uuid!r}")
        return Target(uuid=uuid)


instance_options = bundled(
    "instance",
    InstanceOptions,
    [
        click.option("--uuid", metavar="UUID", help="Only this instance, at once."),
        click.option(
            "--host",
            metavar="NAME",
            help="Only the instance of this host record, at once.",
        ),
    ],
)


@click.command()
@scope_options
@record_options
@instance_options
@click.option(
    "--apply",
    "apply_it",
    is_flag=True,
    help="Delete what the plan says; without it, only show the plan.",
)
@click.option(
    "--detailed-exitcode", is_flag=True, help="Exit with 2 if deletions are pending."
)
@output_options
@click.pass_obj
def run(
    app: App,
    scope: ScopeOptions,
    records: RecordOptions,
    instance: InstanceOptions,
    apply_it: bool,
    detailed_exitcode: bool,
    style: Style,
) -> int:
    """Plan, and with --apply delete.

    This is what cron and remote execution call. Prints nothing if there is nothing to report,
    except on a terminal or with an output other than table.

    Use --uuid or --host right after you have deleted a server: the same rules decide on this
    instance alone, and the verdict is always shown. With proof its record is deleted once
    'policy.quiet' has passed, without proof it waits as usual. Exits with 128 if there is no such
    record.
    """
    maintenance.refuse()
    target = instance.target()
    _check_options(target, scope, records)
    check_fields(style, apply_it)
    command = "run --apply" if apply_it else "run"
    with (
        recorded(records.metrics) as record,
        app.cleanup(scope) as cleanup,
        noted(cleanup, command, record),
    ):
        plan = make_plan(cleanup, record, records.page, target)
        record.code = plan_code(plan, detailed_exitcode and not apply_it)
        in_full = target is not None or _wants_listing(app)
        show = _show(app, plan, style, in_full)
        if apply_it and plan.deletions and not plan.refusals:
            _apply(app, cleanup, record, show, records.page)
        elif style.for_programs:
            show_document(app, plan, style)
        elif not in_full:
            app.say(listings.news(plan))
    return record.code


def _show(app: App, plan: Plan, style: Style, in_full: bool) -> Show:
    """Print the plan, in full or only its guard rails; return how to print its outcomes.

    Programs get one document, so the plan is printed with its outcomes then.
    """
    if style.for_programs:
        show_guard_rails(plan)
        return partial(show_document, app, plan, style)
    if in_full:
        show_plan(app, plan, style)
        return partial(show_outcomes, app, plan, style)
    show_guard_rails(plan)
    return partial(show_news, app, plan)


def _wants_listing(app: App) -> bool:
    """Whether somebody is reading; cron gets only the news."""
    return sys.stdout.isatty() or app.verbose


def _check_options(
    target: Optional[Target], scope: ScopeOptions, records: RecordOptions
) -> None:
    """Raise UsageError for options that do not go with a run for one instance."""
    if target and (scope.search or scope.organization):
        raise click.UsageError(
            "--uuid and --host name one instance; --search and --organization do not go with them"
        )
    if target and records.metrics:
        raise click.UsageError(
            "--metrics is about runs over all hosts; it does not go with --uuid and --host"
        )


def _apply(
    app: App, cleanup: Cleanup, record: RunRecord, show: Show, page: Optional[Path]
) -> None:
    """Carry out the plan of the record, and write the page again."""
    assert record.plan
    try:
        apply_plan(app, cleanup, record, show)
    finally:
        write_page(page, cleanup, record.plan, record.outcomes)
