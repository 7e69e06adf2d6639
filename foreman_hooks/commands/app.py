"""What most commands need: the settings, a cleanup to work with, and a way to print."""

import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Optional

import click

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.run import Cleanup
from foreman_hooks.commands.deadline import Deadline
from foreman_hooks.commands.options import AS_CONFIGURED, ScopeOptions
from foreman_hooks.commands.output import hint
from foreman_hooks.commands.progress import show_progress
from foreman_hooks.commands.usage import usage_error
from foreman_hooks.commands.window import window_of
from foreman_hooks.osp_checker import Checker, LocalChecker
from foreman_hooks.paths import NAME
from foreman_hooks.reports import formats, listings, logs
from foreman_hooks.reports.formats import Listing
from foreman_hooks.reports.listings import Row, Style
from foreman_hooks.reports.texts import plain
from foreman_hooks.reports.window import Window
from foreman_hooks.rules.model import Policy
from foreman_hooks.satellite import search_language
from foreman_hooks.satellite.check_job import JobChecker
from foreman_hooks.satellite.client import Login, Satellite
from foreman_hooks.satellite.inventory import Scope
from foreman_hooks.satellite.jobs import RemoteExecution
from foreman_hooks.satellite.lookups import organization_id
from foreman_hooks.settings import Settings, SettingsError
from foreman_hooks.settings import load as load_settings


class App:
    """One command line: its settings, its deadline, and how much it prints."""

    def __init__(
        self,
        deadline: Deadline,
        config: Optional[Path] = None,
        verbose: bool = False,
        quiet: bool = False,
    ) -> None:
        self.verbose = verbose
        self.quiet = quiet
        self.deadline = deadline
        self._config = config
        self._settings: Optional[Settings] = None

    def settings(self) -> Settings:
        """The configuration, read once; also sets the deadline.  Raises SettingsError."""
        if self._settings is None:
            self._settings = load_settings(self._config)
            self.deadline.set(self._settings.deadline)
            if not self.quiet:
                for warning in self._settings.warnings:
                    hint(warning)
        return self._settings

    def say(self, text: str) -> None:
        """Print to standard output, unless -q is given."""
        if self.quiet or not text:
            return
        click.echo(text, nl=not text.endswith("\n"))
        for line in click.unstyle(text).splitlines():
            logs.said.info("%s", line)

    def say_line(self, text: str) -> None:
        """Print one line; names and facts in it cannot control the terminal."""
        self.say(plain(text))

    def show_rows(self, rows: Sequence[Row], style: Style) -> None:
        """Print a listing, for people or for programs; raises UnknownField."""
        if style.for_programs:
            self.show(formats.listing_of(rows), style)
        else:
            self.say(listings.render(rows, style))

    def show(self, listing: Listing, style: Style) -> None:
        """Print a listing for programs, unless -q is given; raises UnknownField.

        The log does not get it: that is for people, and a listing may have 100,000 rows.
        """
        pieces = formats.write(listing, style)
        if not self.quiet:
            for piece in pieces:
                click.echo(piece, nl=False)

    @property
    def window(self) -> Window:
        """The window in which standard output is read."""
        return window_of(sys.stdout)

    def command(self, *words: object) -> list[str]:
        """The words of a command line with the configuration of this one, for people to paste."""
        config = ["--config", str(self._config)] if self._config else []
        return [NAME, *config, *map(str, words)]

    @contextmanager
    def with_progress(self, cleanup: Cleanup) -> Iterator[Cleanup]:
        """The cleanup with progress bars, for one stage; print nothing in the body."""
        with show_progress(self.quiet) as progress:
            yield replace(cleanup, progress=progress)

    @contextmanager
    def cleanup(self, options: ScopeOptions = AS_CONFIGURED) -> Iterator[Cleanup]:
        """Everything that a run works with; the journal is locked meanwhile."""
        settings = self.settings()
        satellite = satellite_of(settings)
        options = options._replace(search=search_of(options, settings))
        policy = _capped(settings.policy, options.max_deletions)
        with Journal.open(settings.journal) as journal:
            scope = scope_of(satellite, options)
            yield Cleanup(
                satellite,
                checker_of(settings),
                journal,
                policy,
                scope,
                described=str(options),
                who=user(),
            )


def user() -> str:
    """The user that runs this command; with sudo, the user that called it."""
    name = os.environ.get("SUDO_USER", "")
    if name:
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container without an entry for this user
        return f"uid {os.getuid()}"


def scope_of(satellite: Satellite, options: ScopeOptions) -> Scope:
    """The hosts that the options select; raises SatelliteNotFound for the organization."""
    search = options.search or ""
    if not options.organization:
        return Scope(search)
    return Scope(search, organization_id(satellite, options.organization))


def search_of(options: ScopeOptions, settings: Settings) -> str:
    """The search of the command line, or else of the configuration; raises UsageError."""
    if options.search is None:
        return settings.search
    problem = search_language.problem(options.search)
    if problem:
        raise usage_error(f"--search: {problem}")
    return options.search


def _capped(policy: Policy, max_deletions: Optional[int]) -> Policy:
    """The policy with a cap from the command line, which can only lower the configured one."""
    if max_deletions is None:
        return policy
    cap = min(max_deletions, policy.max_deletions)
    return replace(policy, max_deletions=cap)


def login_of(settings: Settings) -> Login:
    """The login to Satellite that is configured; raises SettingsError."""
    if settings.login is None:
        raise SettingsError(
            "no Satellite is configured; set satellite.url in the configuration, or "
            "FOREMAN_SERVER_URL, or set up hammer"
        )
    return settings.login


def satellite_of(settings: Settings) -> Satellite:
    """The Satellite that is configured; raises SettingsError."""
    return Satellite(login_of(settings), settings.manners)


def checker_of(settings: Settings) -> Checker:
    """The checker that is configured: this machine, or a job of remote execution.

    The job has its own connection to Satellite, which is not limited to an organization.
    """
    if settings.checker is None:
        return LocalChecker(settings.clouds)
    jobs = RemoteExecution(satellite_of(settings))
    return JobChecker(jobs, settings.checker, settings.clouds)
