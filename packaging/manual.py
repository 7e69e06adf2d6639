"""The manual page, from the help texts of the commands themselves.

`python packaging/manual.py` writes it beside this file, where the RPM's spec finds
it.
"""

import configparser
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, Optional

import click
import jinja2

from foreman_hooks.commands import main as cli
from foreman_hooks.errors import EXIT_CODES

NAME = "satellite-osp-cleanup"
PAGE = Path(__file__).with_name(f"{NAME}.8")


class Entry(NamedTuple):
    """One command as the page shows it: its words, its synopsis, paragraphs of help, options with
    their help.
    """

    words: str
    usage: str
    paragraphs: list[str]
    options: list[tuple[str, str]]


def render() -> str:
    """The page as troff."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )  # noqa: S701  no HTML
    environment.filters.update(troff=troff, prose=prose)
    program, *commands = _entries(
        click.Context(cli.cli, info_name=NAME, **cli.cli.context_settings), ""
    )
    text = environment.get_template(f"{NAME}.8.j2").render(
        name=NAME, version=_version(), program=program, commands=commands, codes=EXIT_CODES
    )
    return re.sub(r"\n{2,}", "\n", text)


def troff(text: str) -> str:
    """Words within a line that troff prints as they are: no escapes, and dashes that can be typed
    again.
    """
    return " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")


def prose(text: str) -> str:
    """A paragraph that troff prints as it is: no line of it is a request."""
    lines = textwrap.wrap(troff(text), 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def _entries(context: click.Context, words: str) -> Iterator[Entry]:
    """The command, and all below it."""
    command = context.command
    help_text = (command.help or "").replace("\b", "")
    records = [
        record
        for option in command.get_params(context)
        if isinstance(option, click.Option)
        for record in [option.get_help_record(context)]
        if record
    ]
    yield Entry(
        words, " ".join(command.collect_usage_pieces(context)), help_text.split("\n\n"), records
    )
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below
        inner = click.Context(below, context, name, **cli.cli.context_settings)
        yield from _entries(inner, f"{words} {name}".strip())


def _version() -> str:
    """That of setup.cfg in a clone, where an editable installation may be older, else the installed
    one.
    """
    source = configparser.ConfigParser()
    source.read(PAGE.parents[1] / "setup.cfg")
    return source.get("metadata", "version", fallback="") or version(NAME)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the page; to standard output with `-`."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments == ["-"]:
        sys.stdout.write(render())
    else:
        PAGE.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
