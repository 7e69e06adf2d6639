"""How a command talks: one line on stderr for what goes wrong, and the same in the log."""

import click

from foreman_hooks.reports import logs

reasons: list[str] = []  # what this command line said on stderr of why it fails


def complain(message: str, code: int) -> int:
    """Say what went wrong, in one line on stderr; the exit code."""
    warn(f"error: {message}")
    return code


def warn(message: str) -> None:
    """Say in one line on stderr, and in the log, why something is not done."""
    reasons.append(_say(message))


def hint(message: str) -> None:
    """Say something worth knowing in one line on stderr, and in the log; nothing fails for it."""
    _say(f"warning: {message}")


def _say(message: str) -> str:
    # as report.plain, which takes too long to import for an event
    line = "".join(char if char.isprintable() else " " for char in " ".join(message.split()))
    click.echo(line, err=True)
    logs.said.error("%s", line)
    return line
