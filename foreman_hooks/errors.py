"""What every exit code means; each of our errors has its own as `exit_code`."""

import click

EXIT_CODES = {
    0: "done, or nothing to do",
    1: "done, but something failed or could not be known",
    2: "with --detailed-exitcode: deletions are pending",
    3: "refused by a guard rail; nothing was deleted",
    64: "usage: a wrong option or argument",
    65: "bad data: not a UUID, or a plan that is damaged, changed, old or another Satellite's",
    69: "Satellite or OpenStack cannot be reached, or returned an invalid response",
    70: "internal error, or the journal cannot be used",
    75: "try again: another run, maintenance mode, a full spool of events, or not finished within 'deadline'",
    77: "forbidden: a permission is missing",
    78: "configuration",
    128: "not found (check: terminated or absent)",
    129: "wrong login",
    130: "interrupted (Ctrl-C, SIGTERM)",
}


def code_of(error: BaseException) -> int:
    """The exit code for an error; 70, an internal error, where it is none that we know."""
    if isinstance(error, click.ClickException):
        return 64
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return 130
    return getattr(error, "exit_code", 70)
