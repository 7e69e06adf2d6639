"""What every exit code means.  The class of an error has its code as `exit_code`.

A run failed if `is_failure` says so of its code: then somebody has to look, and the job of remote
execution and the service of systemd fail too.  A record that needs attention
(rules.model.NEEDS_ATTENTION) is no failure of the run, which did its work and reports it: only the
exit code of `status` is about both.
"""

import errno

import click

EXIT_CODES = {
    0: "done, or nothing to do",
    1: "done, but something failed, could not be known or needs attention",
    2: "with --detailed-exitcode: deletions are pending",
    3: "refused by a guard rail, or some deletions need an approval",
    64: "usage: a wrong option or argument",
    65: "bad data: not a UUID, or a plan that is damaged, changed, too old or of another Satellite",
    69: "Satellite or OpenStack cannot be reached, or returned an invalid response",
    70: "internal error, or the journal cannot be used",
    75: "try again later: another run is active, maintenance mode is on, the spool of events is "
    "full, or the command did not finish within 'deadline'",
    77: "forbidden: a permission is missing",
    78: "configuration error",
    128: "not found (check: terminated or absent)",
    129: "login refused",
    130: "interrupted (Ctrl-C, SIGTERM)",
}

# Results of commands that are not errors, and errors of libraries, whose classes have no code.
INCOMPLETE = 1
PENDING = 2
REFUSED = 3
USAGE = 64
INTERNAL = 70
TRY_AGAIN = 75
NOT_FOUND = 128
INTERRUPTED = 130

# The errno if standard output goes to a full disk.  Errors of other files have their own classes.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BadData(Exception):
    """Input that cannot be used, such as a text that is not a UUID."""

    exit_code = 65


def is_failure(code: int) -> bool:
    """Whether a run with this exit code failed; not if only the next run has to do the work."""
    return code not in (0, PENDING, TRY_AGAIN)


def code_of(error: BaseException) -> int:
    """The exit code for an error; INTERNAL if its class is not known."""
    if isinstance(error, click.ClickException):
        return USAGE
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return INTERRUPTED
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return INCOMPLETE
    return getattr(error, "exit_code", 0) or INTERNAL
