"""The command line: loads the command, and turns what it raises into a line and an exit code.

This is the only place that exits.  The module of a command is loaded when the command is called, so
that help and events are quick.
"""

import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Optional

import click

from foreman_hooks.commands.deadline import Deadline, DeadlineError
from foreman_hooks.commands.interruption import Terminated, terminable
from foreman_hooks.commands.output import (
    complain,
    describe,
    reasons,
    show_help,
    warn,
)
from foreman_hooks.commands.process import run_and_exit
from foreman_hooks.commands.usage import Group, HelpWanted, bad_option
from foreman_hooks.errors import EXIT_CODES, PENDING, USAGE, code_of
from foreman_hooks.paths import CONFIG, NAME
from foreman_hooks.reports import logs

log = logging.getLogger(__name__)

Arguments = Optional[Sequence[str]]  # None: those of the process

# Each command (its module in this folder has the same name) -> its line in the overview.
COMMANDS = {
    "ack": "Take a record that needs attention out of cron's mails.",
    "apply": "Carry out a plan that 'plan' wrote.",
    "check": "Ask OpenStack whether instances exist.",
    "doctor": "Examine both sides and say what to do.",
    "event": "Leave a note of an event of Foreman for the next run.",
    "explain": "Show every rule for one host.",
    "history": "What was deleted, when, and why.",
    "plan": "Show what would be deleted, and why; delete nothing.",
    "restore": "Restore a deleted host record.",
    "run": "Plan, and with --apply delete.",
    "schedule": "Install or remove the regular runs by cron or systemd.",
    "states": "Say of each host whether its machine runs, is off or is gone.",
    "status": "Show the last runs and the next ones, what waits, and what is wrong.",
    "templates": "Job templates for Satellite's remote execution.",
    "unmanaged": "List the servers of OpenStack that have no host record.",
}
# These must start quickly: they get the path of --config instead of an App, whose imports are slow.
LIGHT = {"event"}


def main(argv: Arguments = None) -> int:
    """Run one command line; return the exit code.  Errors become one line on stderr."""
    code = _run(cli, NAME, argv)
    logs.said.info("exit code %d", code)
    return code


def osp_check(argv: Arguments = None) -> int:
    """Run `check` alone, without a Satellite: the checker for the OpenStack team."""
    return _run(_load("check"), "osp-check", argv)


def _run(command: click.Command, name: str, argv: Arguments) -> int:
    """Run the program of that name; one line on stderr says why the exit code is not 0."""
    logs.set_up(logging.WARNING)
    reasons.clear()
    if sys.stdout is None:  # what a run deletes could not be reported
        text = "standard output is closed; to drop it, use >/dev/null"
        return complain(text, USAGE)
    try:
        with Deadline() as deadline, terminable():
            code = _invoke(command, name, argv, deadline)
    except DeadlineError as error:
        # Also one that is raised while another error is reported.
        return complain(str(error), code_of(error))
    if code and not reasons:
        _explain_code(code)
    return code


def _explain_code(code: int) -> None:
    if code == PENDING:
        warn("deletions are pending")
    else:
        complain(EXIT_CODES.get(code, f"exit code {code}"), code)


def _invoke(
    command: click.Command, name: str, argv: Arguments, deadline: Deadline
) -> int:
    words = None if argv is None else list(argv)
    try:
        result = command.main(words, name, standalone_mode=False, obj=deadline)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except HelpWanted as error:
        return show_help(error.message, code_of(error))
    except (click.ClickException, click.Abort, KeyboardInterrupt, Terminated) as error:
        return complain(describe(error), code_of(error))
    except BrokenPipeError:  # the reader of our output has closed it
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  also our own bugs: one line, and never success
        log.debug("traceback", exc_info=True)
        return complain(describe(error), code_of(error))


def _load(name: str) -> click.Command:
    command = getattr(import_module(f"{__package__}.{name}"), name)
    assert isinstance(command, click.Command)
    return command


class _Commands(Group):
    """Loads a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        return _load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in EXIT_CODES.items()])
        super().format_epilog(ctx, formatter)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Only 'apply' and 'run --apply' delete anything.",
)
@click.version_option(package_name="satellite-osp-cleanup")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Configuration file.  [default: {CONFIG}, if it exists]",
)
@click.option("-v", "--verbose", is_flag=True, help="List every record in detail.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("-d", "--debug", is_flag=True, help="Log every request (but no secrets).")
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    default="text",
    show_default=True,
    help="Format of log lines; json: one object per line.",
)
@click.option(
    "--log-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also append what is logged and printed to FILE.",
)
@click.pass_context
def cli(
    context: click.Context,
    config: Optional[Path],
    verbose: bool,
    quiet: bool,
    debug: bool,
    log_format: str,
    log_file: Optional[Path],
) -> None:
    """Remove the Satellite host records of terminated OpenStack instances, and no others."""
    deadline: Deadline = context.obj
    if context.invoked_subcommand in LIGHT:
        context.obj = config
    else:
        from foreman_hooks.commands.app import App

        context.obj = App(deadline, config, verbose, quiet)
    level = logging.WARNING
    if debug:
        level = logging.DEBUG
    elif verbose:
        level = logging.INFO
    try:
        logs.set_up(level, log_format, log_file)
    except OSError as error:
        message = f"{log_file}: {error.strerror}"
        raise bad_option("--log-file", message) from error
    logs.said.info("%s starts", context.invoked_subcommand)


def entry_point() -> NoReturn:
    """The program satellite-osp-cleanup."""
    run_and_exit(main)


def check_entry_point() -> NoReturn:
    """The program osp-check."""
    run_and_exit(osp_check)
