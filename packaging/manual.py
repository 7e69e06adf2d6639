"""Build the manual page from the help texts of the commands.

`python packaging/manual.py` writes it next to this file, where the RPM spec expects it.
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

from foreman_hooks.commands.main import cli
from foreman_hooks.errors import EXIT_CODES

NAME = "satellite-osp-cleanup"
PAGE = Path(__file__).with_name(f"{NAME}.8")
Option = tuple[str, str]  # how it is written, and its help


class Entry(NamedTuple):
    """One command as the page shows it.

    `words`: its name with those of its groups.  `usage`: its arguments.  `paragraphs`: its help.
    """

    words: str
    usage: str
    paragraphs: list[str]
    options: list[Option]


def render() -> str:
    """The page in troff."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is troff, not HTML
    )
    environment.filters.update(troff=troff, prose=prose)
    template = environment.get_template(f"{NAME}.8.j2")
    context = _context(cli, NAME)
    program, *commands = _entries(context, "")
    text = template.render(
        name=NAME,
        version=_version(),
        program=program,
        commands=commands,
        codes=EXIT_CODES,
    )
    return re.sub(r"\n{2,}", "\n", text)


def troff(text: str) -> str:
    """The text on one line, escaped so that troff prints it as it is.

    Dashes become those that can be copied and typed again.
    """
    line = " ".join(text.split())
    line = line.replace("\\", "\\e")
    return line.replace("-", "\\-")


def prose(text: str) -> str:
    """The text as a paragraph in which troff takes no line for a request."""
    lines = textwrap.wrap(
        troff(text),
        width=78,
        break_long_words=False,
        break_on_hyphens=False,
    )
    lines = [_as_text(line) for line in lines]
    return "\n".join(lines)


def _as_text(line: str) -> str:
    if line.startswith((".", "'")):
        return f"\\&{line}"
    return line


def _context(
    command: click.Command, name: str, parent: Optional[click.Context] = None
) -> click.Context:
    return click.Context(command, parent, name, **cli.context_settings)


def _entries(context: click.Context, words: str) -> Iterator[Entry]:
    """Yield the command of this context, then all commands below it."""
    command = context.command
    usage = " ".join(command.collect_usage_pieces(context))
    help_text = command.help or ""
    paragraphs = help_text.replace("\b", "").split("\n\n")
    yield Entry(words, usage, paragraphs, _options(context))
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        subcommand = command.get_command(context, name)
        assert subcommand
        inner = _context(subcommand, name, context)
        inner_words = f"{words} {name}".strip()
        yield from _entries(inner, inner_words)


def _options(context: click.Context) -> list[Option]:
    """The options of a command that are not hidden."""
    options = []
    for parameter in context.command.get_params(context):
        if not isinstance(parameter, click.Option):
            continue
        record = parameter.get_help_record(context)
        if record:
            options.append(record)
    return options


def _version() -> str:
    """The version in setup.cfg; without that file, the installed one.

    In a clone an editable installation can be older than setup.cfg.
    """
    setup = configparser.ConfigParser()
    root = PAGE.parents[1]
    setup.read(root / "setup.cfg")
    if setup.has_section("metadata"):
        return setup.get("metadata", "version")
    return version(NAME)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the page, or print it if the argument is `-`; returns 0."""
    if argv is None:
        argv = sys.argv[1:]
    page = render()
    if list(argv) == ["-"]:
        sys.stdout.write(page)
    else:
        PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
