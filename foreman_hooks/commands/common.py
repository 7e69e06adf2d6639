"""What the commands share: the settings of a run, options, how to talk, and exit codes of errors."""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import click

from .. import files, logs, searches, settings
from ..checkers import Checker, JobChecker
from ..cleanup import Cleanup, Progress, silent
from ..cli import hint
from ..deadline import Deadline
from ..inventory import Scope
from ..journal import Journal
from ..plan import PlanError
from ..remote_execution import RemoteExecution
from ..report import FORMATS, Style
from ..satellite import Satellite
from ..settings import Settings, SettingsError
from ..survey import LocalChecker


class App:
    """What every command may need: the settings, read when they are first asked for, its time, and
    how to talk.
    """

    def __init__(
        self, config: Optional[Path], verbose: bool, quiet: bool, deadline: Deadline
    ) -> None:
        self._config, self.verbose, self.quiet, self.deadline = config, verbose, quiet, deadline
        self._settings: Optional[Settings] = None

    def settings(self) -> Settings:
        """The configuration, whose deadline counts from then on; raises SettingsError."""
        if self._settings is None:
            self._settings = settings.load(self._config)
            self.deadline.set(self._settings.deadline)
            if not self.quiet:
                for warning in self._settings.warnings:
                    hint(warning)
        return self._settings

    def say(self, text: str) -> None:
        """Print for people and pipes, unless -q."""
        if text and not self.quiet:
            click.echo(text, nl=not text.endswith("\n"))
            for line in text.splitlines():
                logs.said.info("%s", line)

    @contextmanager
    def cleanup(
        self,
        search: Optional[str] = None,
        organization: Optional[str] = None,
        max_deletions: Optional[int] = None,
    ) -> Iterator[Cleanup]:
        """Everything a run works with, with the journal held."""
        found = self.settings()
        satellite = satellite_of(found)
        policy = (
            found.policy
            if max_deletions is None
            else replace(found.policy, max_deletions=min(max_deletions, found.policy.max_deletions))
        )
        if search is None:
            search = found.search
        elif searches.problem(search):
            raise click.UsageError(f"--search: {searches.problem(search)}")
        scope = ", ".join(
            filter(
                None,
                (
                    f"search {search!r}" if search else "",
                    f"organization {organization}" if organization else "",
                ),
            )
        )
        with Journal.open(found.journal) as journal, show_progress(self.quiet) as progress:
            selected = Scope(
                search, satellite.organization_id(organization) if organization else None
            )
            yield Cleanup(
                satellite,
                checker_of(found),
                journal,
                policy,
                selected,
                scope or "all hosts",
                progress,
            )


def satellite_of(found: Settings) -> Satellite:
    """The Satellite that is configured; raises SettingsError."""
    if found.login is None:
        raise SettingsError(
            "no Satellite is configured; set satellite.url in the configuration, or "
            "FOREMAN_SERVER_URL, or set up hammer"
        )
    return Satellite(found.login, found.manners)


def checker_of(found: Settings) -> Checker:
    """Who asks the clouds: we, or a job, through a connection of its own that no organization
    narrows.
    """
    if found.checker is None:
        return LocalChecker(found.clouds)
    return JobChecker(RemoteExecution(satellite_of(found)), found.checker, found.clouds)


@contextmanager
def show_progress(quiet: bool) -> Iterator[Progress]:
    """A bar for each stage, on a terminal only, and on stderr so that output can be piped."""
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        tasks: dict[str, Any] = {}
        most: Counter[str] = Counter()
        one_at_a_time = threading.Lock()  # workers tell, several at once and not in order

        def told(what: str, done: int, total: int) -> None:
            with one_at_a_time:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=None)
                most[what] = max(most[what], done)
                bars.update(tasks[what], completed=most[what], total=total or None)

        yield told


# Options


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


# Files


def write_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a whole file or none; raises PlanError.  A plan that was cut would be refused, but only
    later.
    """
    try:
        files.replace(path, text, mode)
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error


def read_file(path: Path) -> str:
    """A file's text; raises PlanError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error
