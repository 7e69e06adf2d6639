"""Options that several commands share."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from foreman_hooks.reports.listings import FORMATS, Style


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """hammer's options for listings; the command gets them as one `style`."""

    def with_style(
        *args: Any, output: str, fields: str, no_headers: bool, csv_separator: str, **rest: Any
    ) -> Any:
        style = Style(output, tuple(filter(None, fields.split(","))), not no_headers, csv_separator)
        return command(*args, style=style, **rest)

    with_style.__name__, with_style.__doc__ = command.__name__, command.__doc__
    with_style.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in (
        click.option(
            "--csv-separator",
            default=",",
            metavar="CHAR",
            callback=_one_char,
            help="Separator for csv.",
        ),
        click.option("--no-headers", is_flag=True, help="Leave the headers out."),
        click.option("--fields", default="", metavar="A,B", help="Show these columns only."),
        click.option(
            "--output",
            type=click.Choice(FORMATS),
            default="table",
            show_default=True,
            help="How to print the listing; all but table list every record.",
        ),
    ):
        with_style = option(with_style)
    return with_style


def _one_char(context: click.Context, option: click.Parameter, value: str) -> str:
    if len(value) != 1 or value in '"\r\n':
        raise click.BadParameter("must be one character, and no quote or line end")
    return value


scope_options = [
    click.option(
        "--search", metavar="QUERY", help="Only hosts that match, in Satellite's search language."
    ),
    click.option("--organization", metavar="NAME", help="Only hosts of this organization."),
    click.option(
        "--max-deletions",
        type=click.IntRange(min=0),
        metavar="N",
        help="Refuse to delete more than N; 'policy.max_deletions' holds all the same.",
    ),
]


def with_options(options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """Give a command these options, in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
