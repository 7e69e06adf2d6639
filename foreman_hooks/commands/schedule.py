"""schedule: install and remove the regular runs by cron or systemd, and the scripts for events."""

import socket
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Optional

import click

from foreman_hooks.cleanup.run import utc_now
from foreman_hooks.commands.app import App
from foreman_hooks.commands.options import bundled, with_options
from foreman_hooks.commands.output import complain
from foreman_hooks.commands.usage import Group, bad_option, usage_error
from foreman_hooks.hooks import install, machine, systemd
from foreman_hooks.hooks.install import Change, State
from foreman_hooks.hooks.machine import Schedule, ScheduledRun
from foreman_hooks.hooks.schedule_files import (
    SCHEDULER_FILES,
    Choice,
    ScheduleError,
    hook_scripts,
    required_files,
)
from foreman_hooks.hooks.timing import QUICK_SPANS, SPANS, Timing, every, quick_beside
from foreman_hooks.paths import FOREMAN_HOOKS, LOG, NAME, SHELLHOOK, spool_of
from foreman_hooks.reports.texts import plain
from foreman_hooks.rules.plan import Kind
from foreman_hooks.times import hammer_time, parse

DAY = SPANS[-1]
QUICK_SPAN = 10  # minutes, unless the options or the present schedule say otherwise

where_options = [
    click.option(
        "--root",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        default=Path("/"),
        metavar="DIR",
        help="Write below DIR, for an image; systemd is not called.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="Show what would be done, with changed lines."
    ),
]


def _make_scheduler(cron: bool, systemd: bool) -> Optional[str]:
    """The scheduler that the options name; None: the present one; raises UsageError."""
    if cron and systemd:
        raise usage_error("--cron or --systemd, not both")
    if cron:
        return "cron"
    return "systemd" if systemd else None


scheduler_options = bundled(
    "scheduler",
    _make_scheduler,
    [
        click.option(
            "--cron",
            is_flag=True,
            help="Run by cron, which mails news.  [default: the present scheduler, or cron]",
        ),
        click.option(
            "--systemd",
            is_flag=True,
            help="Run by a timer of systemd; its journal has the news.",
        ),
    ],
)


class Times(NamedTuple):
    """When runs start by the options; None: as now.

    `quick_span`: of quick runs, in minutes; 0: there are to be none.
    """

    full: Optional[Timing]
    quick_span: Optional[int]

    def beside(self, present: Optional[Schedule]) -> tuple[Timing, Optional[Timing]]:
        """When full and quick runs start; None: never.  `present`: the schedule until now."""
        host = socket.gethostname()
        full, span = self
        if present and full is None:
            run = present.of(Kind.FULL)
            full = run and run.timing
        if present and span is None:
            span = _span(present.of(Kind.QUICK))
        if full is None:
            full = every(DAY, host)
        if span == 0:
            return full, None
        return full, quick_beside(full, span or QUICK_SPAN, host)


def _span(run: Optional[ScheduledRun]) -> Optional[int]:
    """The span of quick runs in minutes; 0: there are none, None: it is not known."""
    if run is None:
        return 0
    return run.timing.span if run.timing else None


def _make_times(
    hours: Optional[str], daily: bool, at: Optional[str], quick_span: Optional[str]
) -> Times:
    """The times that the options name; raises UsageError."""
    span: Optional[int] = None
    if quick_span == "off":
        span = 0
    elif quick_span is not None:
        span = _minutes("--quick", quick_span, QUICK_SPANS)
    return Times(_full_timing(hours, daily, at), span)


def _full_timing(
    hours: Optional[str], daily: bool, at: Optional[str]
) -> Optional[Timing]:
    if sum([hours is not None, daily, at is not None]) > 1:
        raise usage_error("--every, --daily or --at, only one of them")
    host = socket.gethostname()
    if hours is not None:
        return every(_minutes("--every", hours, SPANS), host)
    if at is not None:
        return _daily_at(at)
    return every(DAY, host) if daily else None


def _daily_at(text: str) -> Timing:
    try:
        time = datetime.strptime(text, "%H:%M")
    except ValueError as error:
        message = f"must be a time of day such as 04:30, not {text!r}"
        raise bad_option("--at", message) from error
    return Timing(DAY, time.minute, time.hour)


def _minutes(option: str, text: str, allowed: Sequence[int]) -> int:
    """The span in minutes; raises UsageError if it is not one of those."""
    span = parse(text)
    for minutes in allowed:
        if span == timedelta(minutes=minutes):
            return minutes
    spans = ", ".join(map(_span_text, allowed))
    raise bad_option(option, f"must be one of {spans}")


def _span_text(minutes: int) -> str:
    if minutes < 60:
        return f"{minutes}m"
    return f"{minutes // 60}h"


timing_options = bundled(
    "times",
    _make_times,
    [
        click.option(
            "--every",
            "hours",
            metavar="SPAN",
            help="A full run every 1h, 2h, 3h, 4h, 6h, 8h, 12h or 24h.",
        ),
        click.option(
            "--daily",
            is_flag=True,
            help="A full run once a day, at night.  [default: as now, or this]",
        ),
        click.option(
            "--at",
            metavar="HH:MM",
            help="A full run once a day at this time, in the machine's local time.",
        ),
        click.option(
            "--quick",
            "quick_span",
            metavar="SPAN",
            help="A quick run every 5m, 10m, 15m, 20m or 30m, or off.  [default: as now, or 10m]",
        ),
    ],
)


def _check_absolute(
    context: click.Context, option: click.Parameter, value: Optional[Path]
) -> Optional[Path]:
    if value and not value.is_absolute():
        raise click.BadParameter("must be an absolute path")
    return value


what_options = [
    click.option(
        "--apply", "may_delete", is_flag=True, help="Let the runs delete host records."
    ),
    click.option(
        "--shellhook", is_flag=True, help="Add a shellhook for Satellite's webhooks."
    ),
    click.option(
        "--foreman-hook",
        "foreman_hooks",
        type=click.Path(path_type=Path),
        metavar="DIR",
        callback=_check_absolute,
        help=f"Add scripts for foreman_hooks to its folder; usually {FOREMAN_HOOKS}.",
    ),
]


@click.group(cls=Group)
def schedule() -> None:
    """Install or remove the regular runs by cron or systemd."""


@schedule.command("install")
@scheduler_options
@timing_options
@with_options(what_options)
@with_options(where_options)
@click.pass_obj
def schedule_install(
    app: App,
    scheduler: Optional[str],
    times: Times,
    may_delete: bool,
    shellhook: bool,
    foreman_hooks: Optional[Path],
    root: Path,
    dry_run: bool,
) -> int:
    """Install the regular runs by cron or systemd.

    A full run a day looks at every host, and quick runs remove what was terminated in between.
    Without --apply they only plan and report, even if an earlier install had it.
    Writes the schedule, log rotation, the folders, and an example configuration if there is none.
    Removes the other kind of schedule. Minutes are derived from the host name, to spread the load.
    """
    scheduler = scheduler or machine.current_scheduler(root) or "cron"
    full, quick = times.beside(machine.current_schedule(root))
    journal = machine.configured_journal(root, _config())
    rotation = machine.other_log_rotation(root) if scheduler == "cron" else None
    choice = Choice(
        command=_command(),
        full=full,
        quick=quick,
        scheduler=scheduler,
        apply=may_delete,
        journal=journal,
        log_is_rotated=rotation is not None,
        shellhook=shellhook,
        foreman_hooks=foreman_hooks,
        spool_exists=machine.exists(root, spool_of(journal)),
    )
    code = _carry_out(app, root, _planned(root, choice), dry_run)
    code = max(code, _complain_of_other_schedules(root))
    if rotation:
        app.say(f"{LOG} is rotated by {rotation}")
    if code == 0:
        app.say(_summary(choice, dry_run))
    return code


@schedule.command("remove")
@click.option(
    "--foreman-hook",
    "foreman_hooks",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=FOREMAN_HOOKS,
    show_default=True,
    help="Folder in which scripts for foreman_hooks were installed.",
)
@with_options(where_options)
@click.pass_obj
def schedule_remove(app: App, foreman_hooks: Path, root: Path, dry_run: bool) -> int:
    """Remove what 'schedule install' wrote.

    Configuration, journal and log stay. A file that was changed by hand is kept as FILE.rpmsave,
    where it does nothing; a file that 'schedule install' did not write stays where it is.
    """
    targets = [*SCHEDULER_FILES["cron"], *SCHEDULER_FILES["systemd"], SHELLHOOK]
    targets += hook_scripts(foreman_hooks)
    changes = install.plan_removal(root, targets)
    package_timers = machine.package_timers(root)
    code = _carry_out(app, root, changes, dry_run)
    for timer in package_timers:
        verb = "would be" if dry_run else "is"
        app.say(f"{timer.name} of the package {verb} disabled")
    if not changes and not package_timers:
        app.say("nothing is installed")
    if any(change.state is State.KEPT for change in changes):
        code = max(code, 1)
    return code


def _config() -> Optional[Path]:
    """Return the configuration that --config names, as an absolute path."""
    config: Optional[Path] = (
        click.get_current_context().find_root().params.get("config")
    )
    return config.absolute() if config else None


def _command() -> tuple[str, ...]:
    """Return the words that start our program, with the configuration that --config names."""
    program = str(machine.program())
    config = _config()
    if config:
        return (program, "--config", str(config))
    return (program,)


def _planned(root: Path, choice: Choice) -> list[Change]:
    required = required_files(choice)
    wanted = {spec.path for spec in required}
    unwanted = [
        path
        for path in chain.from_iterable(SCHEDULER_FILES.values())
        if path not in wanted
    ]
    return install.plan_installation(root, required, unwanted)


def _complain_of_other_schedules(root: Path) -> int:
    code = 0
    for path in machine.other_schedules(root):
        code = complain(f"{path} also runs {NAME}; remove that line", 1)
    return code


def _summary(choice: Choice, dry_run: bool) -> str:
    starts = "would start" if dry_run else "starts"
    effect = "without --apply they only report"
    if choice.apply:
        effect = "they delete host records"
    following = hammer_time(choice.full.next_after(utc_now()))
    runs = f"a full run {choice.full}, next at {following}"
    if choice.quick:
        runs += f", and a quick run {choice.quick}"
    return f"{choice.scheduler} {starts} {runs}; {effect}"


def _carry_out(app: App, root: Path, changes: Sequence[Change], dry_run: bool) -> int:
    """Show the changes, and make them unless it is a dry run; the exit code.

    Removals come last: if systemd does not start the timer, the file of cron is still there.
    """
    if dry_run:
        _show(app, changes, _WOULD, diffs=True)
        app.say("a dry run: nothing was changed")
        return 0
    machine.check_rights(root)
    package_timers = machine.package_timers(root)
    code = _call_systemctl(root, systemd.commands_before(changes, package_timers))
    removals = [change for change in changes if change.state is State.REMOVED]
    others = [change for change in changes if change.state is not State.REMOVED]
    for part in (others, removals):
        if code == 0:
            install.carry_out(root, part)
            _show(app, part, _DONE, diffs=app.verbose)
            code = _call_systemctl(root, systemd.commands_after(part))
    return code


_DONE = {state: state.value for state in State}
_WOULD = {
    State.CREATED: "would create",
    State.UPDATED: "would change",
    State.UNCHANGED: "unchanged",
    State.REMOVED: "would remove",
    State.KEPT: "would keep",
}


def _show(
    app: App, changes: Sequence[Change], words: Mapping[State, str], diffs: bool
) -> None:
    width = max(map(len, words.values())) + 1
    for change in changes:
        line = f"{words[change.state]:<{width}}{change.path}"
        if change.detail:
            line += f" ({change.detail})"
        app.say(plain(line))
        if diffs:
            for diff_line in change.diff.splitlines():
                app.say(f"    {plain(diff_line)}")


def _call_systemctl(root: Path, commands: Sequence[Sequence[str]]) -> int:
    """Call systemctl, unless `root` is an image; 1 if it fails, after a line on stderr."""
    if not machine.is_this_machine(root):
        return 0
    try:
        for words in commands:
            systemd.systemctl(*words)
    except ScheduleError as error:
        return complain(str(error), 1)
    return 0
