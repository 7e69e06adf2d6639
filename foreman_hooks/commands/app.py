"""What the commands share: the settings of a run, options, how to talk, and exit codes of errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Optional

import click

from foreman_hooks import settings
from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.run import Cleanup
from foreman_hooks.commands.deadline import Deadline
from foreman_hooks.commands.output import hint
from foreman_hooks.commands.progress import show_progress
from foreman_hooks.osp_checker.checker import Checker, LocalChecker
from foreman_hooks.reports import logs
from foreman_hooks.satellite import search_language as searches
from foreman_hooks.satellite.check_job import JobChecker
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.inventory import Scope
from foreman_hooks.satellite.jobs import RemoteExecution
from foreman_hooks.settings import Settings, SettingsError


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
