"""Call the hooks of a site after each deletion and at the end of a run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foreman_hooks.cleanup.progress import Clock
from foreman_hooks.commands.deadline import Deadline
from foreman_hooks.commands.interruption import stopped_gently
from foreman_hooks.commands.output import hint
from foreman_hooks.errors import code_of
from foreman_hooks.hooks.hooks_d import (
    Event,
    call_hook,
    find_hooks,
    host_deleted,
    run_finished,
)
from foreman_hooks.reports.metrics import RunRecord
from foreman_hooks.rules.model import Outcome, Result
from foreman_hooks.rules.plan import Plan

log = logging.getLogger(__name__)


@contextmanager
def announced(
    record: RunRecord, clock: Clock, deadline: Deadline
) -> Iterator["Announcer"]:
    """Yield the announcer of a run, and announce its end with the exit code that it then has.

    Also if an error ends it, unless it ran past its deadline by so much that it was cut off.
    """
    assert record.plan
    announcer = Announcer(record.plan, clock)
    try:
        yield announcer
    except Exception as error:
        record.code = code_of(error)
        announcer.end(record, deadline)
        raise
    announcer.end(record, deadline)


class Announcer:
    """Calls the hooks, one after the other.  One that fails is a warning, and nothing else."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._verdicts = {verdict.host_id: verdict for verdict in plan.deletions}
        self._hooks = find_hooks()
        self._failures: dict[Path, list[str]] = {}

    def outcome(self, outcome: Outcome) -> None:
        """Call the hooks if the record was deleted."""
        if outcome.result is Result.DELETED:
            verdict = self._verdicts[outcome.host_id]
            self._call(host_deleted(self._plan, verdict, outcome), outcome.name)

    def end(self, record: RunRecord, deadline: Deadline) -> None:
        """Call the hooks, unless no deletion was tried; then warn of those that failed.

        Ctrl-C, SIGTERM and the deadline let them finish.
        """
        if all(outcome.result is Result.KEPT for outcome in record.outcomes):
            return
        event = run_finished(self._plan, record.outcomes, record.code, self._clock())
        with stopped_gently(deadline):
            self._call(event, "the end of the run")
        for line in self._hooks.refused:
            hint(line)
        for path, failures in self._failures.items():
            more = f" (and {len(failures) - 1} more times)" if failures[1:] else ""
            hint(f"hook {path} failed for {failures[0]}{more}")

    def _call(self, event: Event, subject: str) -> None:
        """Call all hooks; `subject`: what the event is about, for people."""
        for path in self._hooks.paths:
            why = call_hook(path, event)
            if why:
                failure = f"{subject}: {why}"
                log.info("hook %s failed for %s", path, failure)
                self._failures.setdefault(path, []).append(failure)
