"""run: plan, and with --apply delete; what cron and remote execution call."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import click

from foreman_hooks.cleanup.run import Cleanup, Target
from foreman_hooks.commands.app import App
from foreman_hooks.commands.applying import (
    Show,
    apply_plan,
    is_confirmed,
    show_outcomes,
)
from foreman_hooks.commands.news import news_only
from foreman_hooks.commands.next_steps import NextSteps, Step, write_plan
from foreman_hooks.commands.options import (
    RecordOptions,
    ScopeOptions,
    bundled,
    output_options,
    record_options,
    scope_options,
    words_of,
)
from foreman_hooks.commands.planning import (
    check_fields,
    make_plan,
    plan_code,
    show_document,
    show_end,
    show_plan,
    show_problems,
    write_page,
)
from foreman_hooks.commands.recording import noted
from foreman_hooks.commands.usage import usage_error
from foreman_hooks.errors import BadData
from foreman_hooks.hooks import maintenance
from foreman_hooks.osp_checker import parse_uuid
from foreman_hooks.osp_checker.values import is_utf8
from foreman_hooks.reports.listings import Style
from foreman_hooks.reports.metrics import RunRecord, recorded
from foreman_hooks.rules.plan import Kind, Plan


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
            if not is_utf8(self.host):
                raise BadData(f"not the name of a host: {self.host!r}")
            return Target(name=self.host.strip())
        uuid = parse_uuid(self.uuid)
        if uuid is None:
            raise BadData(f"not a UUID: {self.uuid!r}")
        return Target(uuid=uuid)

    def words(self) -> list[str]:
        """The options as words of a command line."""
        return words_of(self._asdict())


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


class ModeOptions(NamedTuple):
    """Which hosts a run looks at, what it may do, and what it reports."""

    recent: bool
    apply_it: bool
    yes: bool
    news: bool
    detailed_exitcode: bool

    @property
    def kind(self) -> Kind:
        """Which hosts it is to look at, unless it is about one instance."""
        return Kind.QUICK if self.recent else Kind.FULL

    @property
    def is_detailed(self) -> bool:
        """Whether pending deletions have their own exit code."""
        return self.detailed_exitcode and not self.apply_it

    @property
    def command(self) -> str:
        """The command, for the journal."""
        words = ["run"]
        if self.recent:
            words.append("--recent")
        if self.apply_it:
            words.append("--apply")
        return " ".join(words)


mode_options = bundled(
    "mode",
    ModeOptions,
    [
        click.option(
            "--recent",
            is_flag=True,
            help="A quick run: look only at instances that were deleted since the last run.",
        ),
        click.option(
            "--apply",
            "apply_it",
            is_flag=True,
            help="Delete what the plan says; without it, only show the plan.",
        ),
        click.option(
            "--yes",
            is_flag=True,
            help="With --apply on a terminal: delete without asking first.",
        ),
        click.option(
            "--news",
            is_flag=True,
            help="For cron: print only what is new since the last such run; nothing without news.",
        ),
        click.option(
            "--detailed-exitcode",
            is_flag=True,
            help="Exit with 2 if deletions are pending.",
        ),
    ],
)


@click.command()
@scope_options
@record_options
@instance_options
@mode_options
@output_options
@click.pass_obj
def run(
    app: App,
    scope: ScopeOptions,
    records: RecordOptions,
    instance: InstanceOptions,
    mode: ModeOptions,
    style: Style,
) -> int:
    """Plan, and with --apply delete.

    This is what cron and remote execution call. With --news it prints only what is new since the
    last such run, and once a week what is open. Before it deletes, it asks a person at a terminal.

    With --recent it is a quick run: it looks only at hosts whose instance was deleted since the
    last run. That takes seconds in a fleet of any size, but finds no instance that is only absent;
    so it is a full run instead if the last one is longer ago than a day.

    Use --uuid or --host right after you have deleted a server: the same rules decide on this
    instance alone, and the verdict is always shown. With proof its record is deleted once 'quiet'
    has passed, without proof it waits as usual. Exits with 128 if there is no such record.
    """
    target = _checked_target(instance, scope, records, mode)
    _check_style(app, style, mode)
    steps = _next_steps(app, scope, instance, mode)
    with (
        recorded(records.metrics, mode.kind) as record,
        news_only(app, str(scope), record) if mode.news else nullcontext(),
    ):
        maintenance.refuse()
        with app.cleanup(scope) as cleanup:
            record.kind = _kind(cleanup, target, mode)
            with noted(cleanup, mode.command, record, target):
                plan = make_plan(app, cleanup, record, records.page, target)
                show = _show(app, plan, None if mode.news else style, steps)
                record.code = plan_code(plan, mode.is_detailed)
                if mode.apply_it and _goes_ahead(plan, mode.yes):
                    _apply(app, cleanup, record, show, records.page)
                elif style.for_programs:
                    show_document(app, plan, style)
    return record.code


def _kind(cleanup: Cleanup, target: Optional[Target], mode: ModeOptions) -> Kind:
    """Which hosts the run looks at; a quick run becomes a full one if that is due."""
    if target:
        return Kind.SINGLE
    if mode.recent and not cleanup.needs_full_run():
        return Kind.QUICK
    return Kind.FULL


def _next_steps(
    app: App, scope: ScopeOptions, instance: InstanceOptions, mode: ModeOptions
) -> NextSteps:
    approve = write_plan(app, scope).approve
    if mode.apply_it:
        return NextSteps(None, approve)
    recent = ["--recent"] if mode.recent else []
    options = (*scope.words(), *instance.words(), *recent, "--apply")
    step = Step("delete what the plan says", app.command("run", *options))
    return NextSteps(step, approve)


def _show(app: App, plan: Plan, style: Optional[Style], steps: NextSteps) -> Show:
    """Print the plan, and return how to print its outcomes; style None: for the news.

    Programs get one document, so the plan is printed with its outcomes then.
    """
    if style is None:
        show_problems(app, plan, steps)
        return lambda outcomes: None
    if style.for_programs:
        show_problems(app, plan, steps)
        return partial(show_document, app, plan, style)
    show_plan(app, plan, style)
    show_end(app, plan, style, steps)
    return partial(show_outcomes, app, plan, style)


def _goes_ahead(plan: Plan, yes: bool) -> bool:
    """Whether there is something to delete, and neither a guard rail nor a person objects."""
    if not plan.deletions or plan.refusals:
        return False
    return yes or is_confirmed(plan)


def _check_style(app: App, style: Style, mode: ModeOptions) -> None:
    """Raise UnknownField, and UsageError for options that do not go with --news."""
    check_fields(style, mode.apply_it)
    if mode.news and (app.quiet or style != Style()):
        raise usage_error(
            "--news is what cron mails; -q and the options of listings do not go with it"
        )


def _checked_target(
    instance: InstanceOptions,
    scope: ScopeOptions,
    records: RecordOptions,
    mode: ModeOptions,
) -> Optional[Target]:
    """The target; raises UsageError for options that do not go with a run for one instance."""
    target = instance.target()
    if target and (scope.search or scope.organization):
        raise usage_error(
            "--uuid and --host name one instance; --search and --organization do not go with them"
        )
    if target and (mode.recent or mode.news):
        raise usage_error(
            "--recent and --news are about all hosts; --uuid and --host do not go with them"
        )
    if target and records.metrics:
        raise usage_error(
            "--metrics is about runs over all hosts; it does not go with --uuid and --host"
        )
    return target


def _apply(
    app: App, cleanup: Cleanup, record: RunRecord, show: Show, page: Optional[Path]
) -> None:
    """Carry out the plan of the record, and write the page again."""
    assert record.plan
    try:
        apply_plan(app, cleanup, record, show)
    finally:
        write_page(page, cleanup, record.plan, record.outcomes)
