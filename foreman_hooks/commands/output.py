"""How a command reports problems: one line on stderr, and the same line in the log."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import click

from foreman_hooks.commands.usage import with_hint
from foreman_hooks.commands.window import window_of
from foreman_hooks.errors import INTERRUPTED, NO_ROOM, code_of
from foreman_hooks.reports import logs
from foreman_hooks.reports.texts import plain
from foreman_hooks.reports.window import command_lines, wrapped


class Line(NamedTuple):
    """One line for stderr.

    `until`: what to report once it is over, such as "prod/RegionOne answers again"; "" for nothing.
    Lines with the same `until` are about the same trouble.  `kind`: what makes two lines say the
    same; "" for the text without its numbers.
    """

    text: str
    until: str = ""
    kind: str = ""


reasons: list[str] = []  # the lines for stderr that say why this command failed
# The last of these lists gets the lines instead, if there is one.
_held_back: list[list[Line]] = []


def complain(message: str, code: int, until: str = "", kind: str = "") -> int:
    """Print an error as one line on stderr; return the exit code.  `until`, `kind`: see Line."""
    reasons.append(_print_line(f"error: {message}", until, kind))
    return code


def warn(message: str, until: str = "") -> None:
    """Print one line on stderr that says why something is not done; `until`: see Line."""
    reasons.append(_print_line(message, until))


def show_help(text: str, code: int) -> int:
    """Print a help on stderr, since nothing was done; return the exit code."""
    reasons.append(text)
    _print(text)
    return code


def hint(message: str) -> None:
    """Print a warning as one line on stderr; it is not a failure."""
    _print_line(f"warning: {message}")


def advise(message: str, command: Sequence[str], until: str = "") -> None:
    """Print on stderr what to look at, and the command to go on with; `until`: see Line."""
    if _held_back:
        _print_line(f"{message} {shlex.join(command)}", until)
        return
    _print_line(message)
    for line in command_lines(command, window_of(sys.stderr).width):
        _print(plain(line))
        logs.said.error("%s", plain(line))


def _print_line(message: str, until: str = "", kind: str = "") -> str:
    """Print one line; in a window that is narrower, in several that end between words."""
    text = plain(" ".join(message.split()))
    if _held_back:
        _held_back[-1].append(Line(text, until, kind))
    else:
        for part in wrapped(text, window_of(sys.stderr).width):
            _print(part)
    logs.said.error("%s", text)
    return text


def _print(text: str) -> None:
    """Print on stderr; if its disk is full, the exit code still says what happened."""
    with suppress(OSError):
        click.echo(text, err=True)


@contextmanager
def held_back() -> Iterator[list[Line]]:
    """Yield a list that gets the lines and the warnings that stderr would get.

    The log file gets them as usual.
    """
    lines: list[Line] = []
    _held_back.append(lines)
    try:
        with logs.warnings_taken_by(lambda text: lines.append(Line(plain(text)))):
            yield lines
    finally:
        _held_back.pop()


def describe(error: BaseException) -> str:
    """What to print for an error; one without an exit code is a bug."""
    if isinstance(error, click.ClickException):
        return with_hint(error)
    if code_of(error) == INTERRUPTED:
        return "interrupted; what was done before is in the journal"
    if hasattr(error, "exit_code"):
        return str(error)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"standard output: {error.strerror}; what was done is in the journal"
    kind = type(error).__name__
    return f"internal error (please report): {kind}: {error}; run with -d for more"
