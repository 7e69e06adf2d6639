"""The command line: finds the command, and turns what it raises into one line and an exit code.

The one place that exits.  A command's module is loaded when it is asked for, so that help and events are quick.
"""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Optional

import click

log = logging.getLogger(__name__)

CONFIG = "/etc/satellite-osp-cleanup/config.yml"
EXIT_CODES = {
    0: "done, or nothing to do",
    1: "done, but something failed or could not be known",
    2: "with --detailed-exitcode: deletions are pending",
    3: "refused by a guard rail; nothing was deleted",
    64: "usage: a wrong option or argument",
    65: "bad data: not a UUID, or a plan that is damaged, changed, old or another Satellite's",
    69: "Satellite or OpenStack cannot be reached, or gave an answer without sense",
    70: "an error of our own, or of the journal",
    75: "try again: another run is under way",
    77: "forbidden: a permission is missing",
    78: "configuration",
    128: "not found; check: terminated or absent",
    129: "wrong login",
    130: "interrupted",
}
# By the names of our errors, so that no module has to be loaded for those it might raise.
CODES = {
    "OSPConfigError": 78, "OSPLoginError": 129, "OSPForbidden": 77, "OSPError": 69, "SatelliteLoginError": 129,
    "SatelliteForbidden": 77, "SatelliteNotFound": 128, "SatelliteRefused": 65, "SatelliteError": 69,
    "SettingsError": 78, "JournalBusy": 75, "JournalError": 70, "PlanError": 65, "UnknownField": 64}
# Command -> its module in `commands`, and what the overview says of it.
COMMANDS = {
    "apply": ("run", "Carry out a plan that 'plan' wrote."),
    "check": ("check", "Ask OpenStack whether instances exist."),
    "demo": ("demo", "Show it all on loopback."),
    "doctor": ("doctor", "Examine both sides and say what to do."),
    "explain": ("explain", "Show every rule for one host."),
    "plan": ("run", "Show what would be deleted, and why; deletes nothing."),
    "run": ("run", "Plan, and with --apply delete."),
    "templates": ("templates", "Job templates for Satellite's remote execution."),
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command line; the exit code.  Turns every known error into one line on stderr."""
    return _run(cli, argv)


def osp_check(argv: Optional[Sequence[str]] = None) -> int:
    """The checker alone, for the OSP side: `check` without a Satellite."""
    return _run(_load("check"), argv)


def _run(command: click.Command, argv: Optional[Sequence[str]]) -> int:
    _set_up_logging(logging.WARNING)
    try:
        result = command.main(args=None if argv is None else list(argv), standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        return complain(error.format_message(), 64)
    except (click.Abort, KeyboardInterrupt):
        return complain("interrupted; what was done before is in the journal", 130)
    except BrokenPipeError:         # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:      # noqa: BLE001  a bug of ours too: in one line, and never as success
        log.debug("traceback", exc_info=True)
        code = code_of(error)
        return complain(str(error), code) if code else complain(
            f"this is an error of ours: {type(error).__name__}: {error}; run with -d for more", 70)


def code_of(error: BaseException) -> int:
    """The exit code of one of our errors; 0 where it is none."""
    return next((CODES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in CODES), 0)


def complain(message: str, code: int) -> int:
    """Say what went wrong, in one line on stderr; the exit code."""
    from .report import plain

    click.echo(f"error: {plain(' '.join(message.split()))}", err=True)
    return code


def _load(name: str) -> click.Command:
    command = getattr(import_module(f".commands.{COMMANDS[name][0]}", __package__), name)
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


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
             epilog="Exit codes: see the README. Nothing is deleted but by 'apply' and 'run --apply'.")
@click.version_option(package_name="satellite-osp-cleanup")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help=f"Configuration.  [default: {CONFIG}, if it is there]")
@click.option("-v", "--verbose", is_flag=True, help="List every record, and log what is done.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("-d", "--debug", is_flag=True, help="Log every request (never a secret).")
@click.pass_context
def cli(context: click.Context, config: Optional[Path], verbose: bool, quiet: bool, debug: bool) -> None:
    """Remove the Satellite host records of terminated OpenStack instances, and no others."""
    from .commands.common import App

    context.obj = App(config, verbose, quiet)
    _set_up_logging(logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING)


def _set_up_logging(level: int) -> None:
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s", force=True)
    logging.getLogger("foreman_hooks").setLevel(level)
    # keystoneauth complains of what it then raises as well
    logging.getLogger("keystoneauth").setLevel(logging.CRITICAL)


def entry_point() -> NoReturn:
    """satellite-osp-cleanup."""
    _silence_libraries()
    _leave(main())


def check_entry_point() -> NoReturn:
    """osp-check."""
    _silence_libraries()
    _leave(osp_check())


def _silence_libraries() -> None:
    """Their warnings are for developers and would be a mail of cron every hour; of TLS doctor reminds."""
    warnings.simplefilter("ignore")


def _leave(code: int) -> NoReturn:
    """Exit; after Ctrl-C without waiting for requests that hang."""
    if code == 130:
        os._exit(code)
    sys.exit(code)
