"""schedule: let cron or systemd run it."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import click

from foreman_hooks.commands.app import App
from foreman_hooks.commands.options import with_options
from foreman_hooks.commands.output import complain
from foreman_hooks.hooks import files, install
from foreman_hooks.hooks.files import Choice, ScheduleError
from foreman_hooks.hooks.install import Change
from foreman_hooks.reports import listings as report

where_options = [
    click.option(
        "--root",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        default=Path("/"),
        metavar="DIR",
        help="Write below DIR, for an image; systemd is not told.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="Show what would be done, with the changed lines."
    ),
]


@click.group()
def schedule() -> None:
    """Let cron or systemd run it every hour."""


@schedule.command("install")
@click.option(
    "--cron",
    "how",
    flag_value="cron",
    help="By cron, which mails news.  [default: as it is now, else cron]",
)
@click.option(
    "--systemd",
    "how",
    flag_value="systemd",
    help="By a timer of systemd; news stand in its journal.",
)
@click.option(
    "--apply", "apply_it", is_flag=True, help="Delete; without it, runs only plan and report."
)
@click.option("--shellhook", is_flag=True, help="Also a shellhook for Satellite's webhooks.")
@click.option(
    "--foreman-hook",
    "hooks",
    metavar="DIR",
    help=f"Also scripts for foreman_hooks, which looks in {files.FOREMAN_HOOKS}.",
)
@with_options(where_options)
@click.pass_obj
def schedule_install(
    app: App,
    how: Optional[str],
    apply_it: bool,
    shellhook: bool,
    hooks: Optional[str],
    root: Path,
    dry_run: bool,
) -> int:
    """Let cron or systemd run it every hour.

    Writes the schedule, rotation of the log, folders, and where none is there a configuration to
    fill in. The other way to schedule is removed. Nothing is deleted by what it installs unless
    --apply is given, each time anew.
    """
    config = click.get_current_context().find_root().params.get("config")
    if hooks and not hooks.startswith("/"):
        raise click.BadParameter("must be an absolute path", param_hint="--foreman-hook")
    how = how or install.installed(root) or "cron"
    other = install.rotated(root) if how == "cron" else ""
    command = (install.program(), *(("--config", str(config.absolute())) if config else ()))
    journal = install.journal(root, config)
    noted = install.exists(root, files.spool_of(journal))
    wanted = files.wanted(
        Choice(
            command,
            socket.gethostname(),
            how,
            apply_it,
            journal,
            bool(other),
            shellhook,
            hooks,
            noted,
        )
    )
    unwanted = [*files.unwanted(how), *([files.LOGROTATE] if other else [])]
    changes = install.compare(root, wanted, unwanted)
    code = _carry_out(app, root, changes, dry_run)
    if other:
        app.say(f"{files.LOG} is rotated by {other}")
    for path in install.others(root):
        code = max(code, complain(f"{path} runs it as well; take that out", 1))
    if not dry_run and code == 0:
        app.say(
            f"{how} runs it every hour; "
            + ("it deletes" if apply_it else "it deletes nothing without --apply")
        )
    return code


@schedule.command("remove")
@click.option(
    "--foreman-hook",
    "hooks",
    metavar="DIR",
    default=files.FOREMAN_HOOKS,
    show_default=True,
    help="Where the scripts for foreman_hooks were installed.",
)
@with_options(where_options)
@click.pass_obj
def schedule_remove(app: App, hooks: str, root: Path, dry_run: bool) -> int:
    """Remove what 'schedule install' wrote.

    Configuration, journal and log stay. A file that was changed since is kept as FILE.rpmsave,
    where it does nothing; one that is not of ours stays where it is.
    """
    changes = install.take_away(
        root, [*files.unwanted(None), files.SHELLHOOK, *files.hook_paths(hooks)]
    )
    code = _carry_out(app, root, changes, dry_run)
    if not changes:
        app.say("nothing is installed")
    return max(code, 1 if any(one.state == "kept" for one in changes) else 0)


def _carry_out(app: App, root: Path, changes: Sequence[Change], dry_run: bool) -> int:
    """Show the changes, and make them unless it is a dry run; the exit code.

    What is to run comes first: where systemd does not start the timer, cron's file is still there.
    """
    if dry_run:
        _show(app, changes, diffs=True)
        app.say("a dry run: nothing was changed")
        return 0
    install.check_rights(root)
    code = _tell_systemd(root, install.systemctl_before(changes))
    for part in (
        [one for one in changes if one.state != "removed"],
        [one for one in changes if one.state == "removed"],
    ):
        if code == 0:
            install.carry_out(root, part)
            _show(app, part, diffs=app.verbose)
            code = _tell_systemd(root, install.systemctl_after(part))
    return code


def _show(app: App, changes: Sequence[Change], diffs: bool) -> None:
    for one in changes:
        app.say(
            report.plain(f"{one.state:<10}{one.path}" + (f" ({one.detail})" if one.detail else ""))
        )
        if one.diff and diffs:
            app.say("\n".join(f"    {report.plain(line)}" for line in one.diff.splitlines()))


def _tell_systemd(root: Path, commands: Sequence[Sequence[str]]) -> int:
    """Run systemctl, on the machine itself only; 1 where it fails, after a line that says so."""
    try:
        for words in commands if root == Path("/") else ():
            install.systemctl(*words)
    except ScheduleError as error:
        return complain(str(error), 1)
    return 0
