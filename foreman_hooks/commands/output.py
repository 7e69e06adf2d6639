"""How a command reports problems: one line on stderr, and the same line in the log."""

import click

from foreman_hooks.reports import logs
from foreman_hooks.reports.texts import plain

reasons: list[str] = []  # the lines on stderr that say why this command failed


def complain(message: str, code: int) -> int:
    """Print an error as one line on stderr; return the exit code."""
    warn(f"error: {message}")
    return code


def warn(message: str) -> None:
    """Print one line on stderr that says why something is not done."""
    reasons.append(_print_line(message))


def hint(message: str) -> None:
    """Print a warning as one line on stderr; it is not a failure."""
    _print_line(f"warning: {message}")


def _print_line(message: str) -> str:
    line = plain(" ".join(message.split()))
    click.echo(line, err=True)
    logs.said.error("%s", line)
    return line
