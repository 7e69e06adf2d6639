"""Options that several commands share, each group passed as one value."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, Optional

import click

from foreman_hooks.reports.listings import FORMATS, Style

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class ScopeOptions(NamedTuple):
    """Which hosts a run may judge, and how many it may delete; None: as configured."""

    search: Optional[str] = None
    organization: Optional[str] = None
    max_deletions: Optional[int] = None

    def __str__(self) -> str:
        """The hosts in words, for the summary of a plan."""
        parts = []
        if self.search:
            parts.append(f"search {self.search!r}")
        if self.organization:
            parts.append(f"organization {self.organization}")
        return ", ".join(parts) or "all hosts"

    def words(self) -> list[str]:
        """The options as words of a command line."""
        return words_of(self._asdict())


AS_CONFIGURED = ScopeOptions()


class RecordOptions(NamedTuple):
    """The files that a run leaves for people and for Prometheus; None: no file."""

    page: Optional[Path] = None
    metrics: Optional[Path] = None


def words_of(options: Mapping[str, object]) -> list[str]:
    """Options (name -> value, None: not set) as words of a command line."""
    words = []
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def with_options(options: Sequence[Decorator]) -> Decorator:
    """Give a command these options, in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def bundled(
    argument: str, make: Callable[..., Any], options: Sequence[Decorator]
) -> Decorator:
    """Give a command these options, and pass them as one argument.

    The value of `argument` is what `make` returns; its parameters are named like the options.
    """
    names = list(signature(make).parameters)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def bundle(*args: Any, **values: Any) -> Any:
            parts = {name: values.pop(name) for name in names}
            values[argument] = make(**parts)
            return command(*args, **values)

        return with_options(options)(bundle)

    return decorate


def _make_style(
    output: str, fields: str, no_headers: bool, csv_separator: str
) -> Style:
    columns = tuple(field for field in fields.split(",") if field)
    return Style(output, columns, not no_headers, csv_separator)


def _check_separator(
    context: click.Context, option: click.Parameter, value: str
) -> str:
    if len(value) != 1 or value in '"\r\n':
        raise click.BadParameter(
            "must be one character, and neither a quote nor a line end"
        )
    return value


# hammer's options for listings
output_options = bundled(
    "style",
    _make_style,
    [
        click.option(
            "--output",
            type=click.Choice(FORMATS),
            default="table",
            show_default=True,
            help="Format of the listing; all formats but table list every record.",
        ),
        click.option(
            "--fields", default="", metavar="A,B", help="Show only these columns."
        ),
        click.option("--no-headers", is_flag=True, help="Leave out the headers."),
        click.option(
            "--csv-separator",
            default=",",
            metavar="CHAR",
            callback=_check_separator,
            help="Separator for csv.",
        ),
    ],
)

_which_hosts = [
    click.option(
        "--search",
        metavar="QUERY",
        help="Only hosts that match, in Satellite's search language.",
    ),
    click.option(
        "--organization", metavar="NAME", help="Only hosts of this organization."
    ),
]


def _make_scope(search: Optional[str], organization: Optional[str]) -> ScopeOptions:
    return ScopeOptions(search, organization)


# Of a command that deletes nothing.
host_options = bundled("scope", _make_scope, _which_hosts)
scope_options = bundled(
    "scope",
    ScopeOptions,
    [
        *_which_hosts,
        click.option(
            "--max-deletions",
            type=click.IntRange(min=0),
            metavar="N",
            help="Refuse to delete more than N; 'policy.max_deletions' still applies.",
        ),
    ],
)

record_options = bundled(
    "records",
    RecordOptions,
    [
        click.option(
            "--report",
            "page",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE.html",
            help="Also write an HTML page that lists every record.",
        ),
        click.option(
            "--metrics",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE.prom",
            help="Also write metrics for node_exporter's textfile collector.",
        ),
    ],
)
