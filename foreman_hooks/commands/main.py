"""The command line: finds the command, and turns what it raises into one line and an exit code.

The one place that exits.  A command's module is loaded when it is asked for, so that help and
events are quick.
"""

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import FrameType
from typing import NoReturn, Optional

import click

from foreman_hooks.commands.deadline import Deadline, DeadlineError
from foreman_hooks.commands.output import complain, reasons, warn
from foreman_hooks.errors import EXIT_CODES, code_of
from foreman_hooks.paths import CONFIG
from foreman_hooks.reports import logs

log = logging.getLogger(__name__)

# Command -> its module in `commands`, and what the overview says of it.
COMMANDS = {
    "apply": ("run", "Carry out a plan that 'plan' wrote."),
    "check": ("check", "Ask OpenStack whether instances exist."),
    "doctor": ("doctor", "Examine both sides and say what to do."),
    "event": ("event", "Leave a note of an event of Foreman for the next run."),
    "explain": ("explain", "Show every rule for one host."),
    "history": ("history", "What was deleted, when, and why."),
    "plan": ("run", "Show what would be deleted, and why; deletes nothing."),
    "restore": ("history", "Restore a deleted host record."),
    "run": ("run", "Plan, and with --apply delete."),
    "schedule": ("schedule", "Install or remove the hourly run by cron or systemd."),
    "templates": ("templates", "Job templates for Satellite's remote execution."),
    "unmanaged": ("unmanaged", "List the servers of OpenStack that have no host record."),
}
# These have to start at once: they get --config alone, and not an App, which takes all of our
# dependencies to load.
LIGHT = {"event"}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command line; the exit code.  Turns every known error into one line on stderr."""
    code = _run(cli, argv)
    logs.said.info("exit code %d", code)
    return code


def osp_check(argv: Optional[Sequence[str]] = None) -> int:
    """The checker alone, for the OSP side: `check` without a Satellite."""
    return _run(_load("check"), argv)


def _run(command: click.Command, argv: Optional[Sequence[str]]) -> int:
    """Run a command; whatever comes, one line on stderr says why the exit code is not 0."""
    logs.set_up(logging.WARNING)
    reasons.clear()
    try:
        with Deadline() as deadline, _terminable():
            code = _invoke(command, argv, deadline)
    except DeadlineError as error:  # also one that comes while another error is being told
        return complain(str(error), code_of(error))
    if code == 2 and not reasons:
        warn("deletions are pending")
    elif code and not reasons:
        complain(EXIT_CODES.get(code, f"exit code {code}"), code)
    return code


def _invoke(command: click.Command, argv: Optional[Sequence[str]], deadline: Deadline) -> int:
    try:
        result = command.main(
            args=None if argv is None else list(argv), standalone_mode=False, obj=deadline
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        return complain(error.format_message(), 64)
    except (click.Abort, KeyboardInterrupt, Terminated):
        return complain("interrupted; what was done before is in the journal", 130)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  a bug of ours too: in one line, and never as success
        log.debug("traceback", exc_info=True)
        if hasattr(error, "exit_code"):
            return complain(str(error), code_of(error))
        what = f"{type(error).__name__}: {error}"
        return complain(f"internal error (please report): {what}; run with -d for more", 70)


class Terminated(BaseException):
    """SIGTERM, as KeyboardInterrupt is Ctrl-C; but click prints an empty line for that one."""

    exit_code = 130


def _terminate(number: int, frame: Optional[FrameType]) -> NoReturn:
    raise Terminated


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: with a line, and with all that was begun put in
    order.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _load(name: str) -> click.Command:
    command = getattr(import_module(f"{__package__}.{COMMANDS[name][0]}"), name)
    assert isinstance(command, click.Command)
    return command


class _Commands(click.Group):
    """Loads a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        return _load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: see the README. Nothing is deleted but by 'apply' and 'run --apply'.",
)
@click.version_option(package_name="satellite-osp-cleanup")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Configuration.  [default: {CONFIG}, if it is there]",
)
@click.option("-v", "--verbose", is_flag=True, help="List every record, and log what is done.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("-d", "--debug", is_flag=True, help="Log every request (never a secret).")
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    default="text",
    show_default=True,
    help="How log lines look; json: one object a line.",
)
@click.option(
    "--log-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append what is done and printed to FILE, too.",
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

        context.obj = App(config, verbose, quiet, deadline)
    try:
        logs.set_up(
            logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING,
            log_format,
            log_file,
        )
    except OSError as error:
        raise click.BadParameter(
            f"{log_file}: {error.strerror}", param_hint="--log-file"
        ) from error
    logs.said.info("%s starts", context.invoked_subcommand)


def entry_point() -> NoReturn:
    """satellite-osp-cleanup."""
    _tame_libraries()
    _leave(main())


def check_entry_point() -> NoReturn:
    """osp-check."""
    _tame_libraries()
    _leave(osp_check())


def _tame_libraries() -> None:
    """No warnings: they are for developers, and would be a mail of cron every hour; of TLS doctor
    reminds.

    No search for cycles of garbage: it takes a fifth of the time of a long run, and finds nothing
    (measured).

    And of openstacksdk only what is asked for, its reader of clouds.yaml: the package by itself
    would load the clients of all services, which takes longer than a check.
    """
    warnings.simplefilter("ignore")
    gc.disable()
    spec = find_spec("openstack")
    if spec:
        sys.modules.setdefault("openstack", module_from_spec(spec))


def _leave(code: int) -> NoReturn:
    """Exit, without waiting for requests under way whose answers nobody wants any more: after
    Ctrl-C, or an error.
    """
    if threading.active_count() > 1:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
