"""run: plan, and with --apply delete; what cron and remote execution call."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import click

from foreman_hooks.cleanup.run import Cleanup, Target
from foreman_hooks.commands.app import App
from foreman_hooks.commands.applying import Show, apply_plan, show_outcomes
from foreman_hooks.commands.news import news_only
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
from foreman_hooks.commands.usage import usage_error
from foreman_hooks.errors import BadData
from foreman_hooks.hooks import maintenance
from foreman_hooks.osp_checker import parse_uuid
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
            raise usage_error("--uuid or --host, not both")
        if self.host is not None:
            if not self.host.strip():
                raise usage_error("--host is empty")
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
    "--news",
    is_flag=True,
    help="For cron: print only what is new since the last such run; nothing without news.",
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
    news: bool,
    detailed_exitcode: bool,
    style: Style,
) -> int:
    """Plan, and with --apply delete.

    This is what cron and remote execution call. With --news it prints only what is new or has
    changed since it last did, and what is open once a week ('repeat_news'); else nothing.

    Use --uuid or --host right after you have deleted a server: the same rules decide on this
    instance alone, and the verdict is always shown. With proof its record is deleted once
    'policy.quiet' has passed, without proof it waits as usual. Exits with 128 if there is no such
    record.
    """
    target = instance.target()
    _check_options(target, scope, records)
    check_fields(style, apply_it)
    if news:
        _check_news(app, target, style)
    command = "run --apply" if apply_it else "run"
    with (
        recorded(records.metrics) as record,
        news_only(app, str(scope), record) if news else nullcontext(),
    ):
        maintenance.refuse()
        with app.cleanup(scope) as cleanup, noted(cleanup, command, record, target):
            plan = make_plan(cleanup, record, records.page, target)
            show = _show(app, plan, None if news else style)
            record.code = plan_code(plan, detailed_exitcode and not apply_it)
            if apply_it and plan.deletions and not plan.refusals:
                _apply(app, cleanup, record, show, records.page)
            elif style.for_programs:
                show_document(app, plan, style)
    return record.code


def _show(app: App, plan: Plan, style: Optional[Style]) -> Show:
    """Print the plan, and return how to print its outcomes; style None: for the news.

    Programs get one document, so the plan is printed with its outcomes then.
    """
    if style is None:
        show_guard_rails(plan)
        return lambda outcomes: None
    if style.for_programs:
        show_guard_rails(plan)
        return partial(show_document, app, plan, style)
    show_plan(app, plan, style)
    return partial(show_outcomes, app, plan, style)


def _check_news(app: App, target: Optional[Target], style: Style) -> None:
    """Raise UsageError for options that do not go with --news."""
    if target or app.quiet or style != Style():
        raise usage_error(
            "--news is what cron mails of a run over all hosts; -q, --uuid, --host and the options "
            "of listings do not go with it"
        )


def _check_options(
    target: Optional[Target], scope: ScopeOptions, records: RecordOptions
) -> None:
    """Raise UsageError for options that do not go with a run for one instance."""
    if target and (scope.search or scope.organization):
        raise usage_error(
            "--uuid and --host name one instance; --search and --organization do not go with them"
        )
    if target and records.metrics:
        raise usage_error(
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
