"""schedule: install and remove the regular run by cron or systemd, and the scripts for events."""

import socket
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Optional

import click

from foreman_hooks.cleanup.run import utc_now
from foreman_hooks.commands.app import App
from foreman_hooks.commands.options import bundled, with_options
from foreman_hooks.commands.output import complain
from foreman_hooks.commands.usage import Group, bad_option, usage_error
from foreman_hooks.hooks import install, machine, systemd
from foreman_hooks.hooks.install import Change, State
from foreman_hooks.hooks.schedule_files import (
    SCHEDULER_FILES,
    Choice,
    ScheduleError,
    hook_scripts,
    required_files,
)
from foreman_hooks.hooks.timing import SPANS, Timing, every
from foreman_hooks.paths import (
    FOREMAN_HOOKS,
    LOG,
    LOGROTATE,
    NAME,
    SHELLHOOK,
    TIMER,
    spool_of,
)
from foreman_hooks.reports.texts import plain
from foreman_hooks.times import hammer_time, parse

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


def _make_timing(
    hours: Optional[str], daily: bool, at: Optional[str]
) -> Optional[Timing]:
    """The times that the options name; None: the present ones; raises UsageError."""
    if sum([hours is not None, daily, at is not None]) > 1:
        raise usage_error("--every, --daily or --at, only one of them")
    host = socket.gethostname()
    if hours is not None:
        return every(_hours(hours), host)
    if at is not None:
        return _daily_at(at)
    return every(24, host) if daily else None


def _daily_at(text: str) -> Timing:
    try:
        time = datetime.strptime(text, "%H:%M")
    except ValueError as error:
        message = f"must be a time of day such as 04:30, not {text!r}"
        raise bad_option("--at", message) from error
    return Timing(24, time.minute, time.hour)


def _hours(text: str) -> int:
    span = parse(text)
    for hours in SPANS:
        if span == timedelta(hours=hours):
            return hours
    allowed = ", ".join(f"{hours}h" for hours in SPANS)
    raise bad_option("--every", f"must divide a day evenly: {allowed}")


timing_options = bundled(
    "timing",
    _make_timing,
    [
        click.option(
            "--every",
            "hours",
            metavar="SPAN",
            help="Run every 1h, 2h, 3h, 4h, 6h, 8h, 12h or 24h.  [default: as now, or 1h]",
        ),
        click.option("--daily", is_flag=True, help="Run once a day, at night."),
        click.option(
            "--at",
            metavar="HH:MM",
            help="Run once a day at this time, in the machine's local time.",
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
    """Install or remove the regular run by cron or systemd."""


@schedule.command("install")
@scheduler_options
@timing_options
@with_options(what_options)
@with_options(where_options)
@click.pass_obj
def schedule_install(
    app: App,
    scheduler: Optional[str],
    timing: Optional[Timing],
    may_delete: bool,
    shellhook: bool,
    foreman_hooks: Optional[Path],
    root: Path,
    dry_run: bool,
) -> int:
    """Install the regular run by cron or systemd.

    Writes the schedule, log rotation, the folders, and an example configuration if there is none.
    Removes the other kind of schedule. The minute of a run is derived from the host name, so that
    several Satellites do not ask a cloud at the same time. Without --apply the runs only plan and
    report, even if an earlier install had it.
    """
    scheduler = scheduler or machine.current_scheduler(root) or "cron"
    timing = timing or _present_timing(root) or every(1, socket.gethostname())
    journal = machine.configured_journal(root, _config())
    rotation = machine.other_log_rotation(root) if scheduler == "cron" else None
    choice = Choice(
        command=_command(),
        timing=timing,
        scheduler=scheduler,
        apply=may_delete,
        journal=journal,
        log_is_rotated=rotation is not None,
        shellhook=shellhook,
        foreman_hooks=foreman_hooks,
        spool_exists=machine.exists(root, spool_of(journal)),
    )
    code = _carry_out(app, root, _planned(root, choice), dry_run)
    if rotation:
        app.say(f"{LOG} is rotated by {rotation}")
    code = max(code, _complain_of_other_schedules(root))
    if code == 0:
        app.say(_summary(choice, dry_run))
    return code


def _present_timing(root: Path) -> Optional[Timing]:
    schedule = machine.current_schedule(root)
    return schedule.timing if schedule else None


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
    timer_runs = machine.package_timer_runs(root)
    code = _carry_out(app, root, changes, dry_run)
    if timer_runs:
        verb = "would be" if dry_run else "is"
        app.say(f"{TIMER.name} of the package {verb} disabled")
    elif not changes:
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
    unwanted: list[Path] = []
    for scheduler, files in SCHEDULER_FILES.items():
        if scheduler != choice.scheduler:
            unwanted += files
    if choice.log_is_rotated:
        unwanted.append(LOGROTATE)
    return install.plan_installation(root, required_files(choice), unwanted)


def _complain_of_other_schedules(root: Path) -> int:
    code = 0
    for path in machine.other_schedules(root):
        code = complain(f"{path} also runs {NAME}; remove that line", 1)
    return code


def _summary(choice: Choice, dry_run: bool) -> str:
    runs = "would run" if dry_run else "runs"
    effect = "without --apply it only reports"
    if choice.apply:
        effect = "it deletes host records"
    following = hammer_time(choice.timing.next_after(utc_now()))
    return f"{choice.scheduler} {runs} {NAME} {choice.timing}, next at {following}; {effect}"


def _carry_out(app: App, root: Path, changes: Sequence[Change], dry_run: bool) -> int:
    """Show the changes, and make them unless it is a dry run; the exit code.

    Removals come last: if systemd does not start the timer, the file of cron is still there.
    """
    if dry_run:
        _show(app, changes, _WOULD, diffs=True)
        app.say("a dry run: nothing was changed")
        return 0
    machine.check_rights(root)
    timer_runs = machine.package_timer_runs(root)
    code = _call_systemctl(root, systemd.commands_before(changes, timer_runs))
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
