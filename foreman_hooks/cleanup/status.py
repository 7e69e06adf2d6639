"""How the cleanup of this machine does: what its journal says, its schedule, and what is wrong.

Nothing here sends a request, and a run may hold the journal meanwhile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Optional

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.journal_file import is_locked
from foreman_hooks.cleanup.open_records import OpenRecord, open_records
from foreman_hooks.cleanup.run_log import Run, last_run, runs_since
from foreman_hooks.errors import is_failure
from foreman_hooks.hooks.machine import Schedule, ScheduledRun
from foreman_hooks.hooks.schedule_files import UNITS
from foreman_hooks.hooks.systemd import TimerState
from foreman_hooks.rules.model import Decision
from foreman_hooks.rules.plan import Kind

# A run may wait for the end of another one, or the machine may be down for a moment.
_LATE = 2  # spans between two runs


@dataclass(frozen=True)
class Recent:
    """What the journal says.

    `full`, `quick`: the last run of that kind over the hosts that are configured.  `latest`: the
    last run of all; `active`: it is in progress.  `records`: the open ones.  `last_hour`,
    `last_day`: how many records were deleted.  `quickly`: how many of them by quick runs since the
    last full run.
    """

    full: Optional[Run] = None
    quick: Optional[Run] = None
    latest: Optional[Run] = None
    active: bool = False
    records: tuple[OpenRecord, ...] = ()
    last_hour: int = 0
    last_day: int = 0
    quickly: int = 0

    @property
    def other(self) -> Optional[Run]:
        """The last run of all, if it is about other hosts than those that are configured."""
        if self.latest in (self.full, self.quick):
            return None
        return self.latest

    def is_running(self, run: Run) -> bool:
        """Whether that run is in progress."""
        return self.active and run == self.latest

    def decided(self, decision: Decision) -> list[OpenRecord]:
        """The open records with this decision; those that are kept need attention."""
        return [record for record in self.records if record.decision is decision]


@dataclass(frozen=True)
class ThisMachine:
    """What this machine says of the runs to come.

    `schedule`: None if none is installed.  `timers`: the states of its timers in systemd; without
    those that it does not have, or if systemd does not answer.  `others`: files of cron, written by
    hand, that run us as well.  `maintenance`: foreman-maintain's maintenance mode is on.
    """

    schedule: Optional[Schedule] = None
    timers: Mapping[Kind, TimerState] = field(default_factory=dict)
    others: tuple[Path, ...] = ()
    maintenance: bool = False

    def next_run(self, kind: Kind, now: datetime) -> Optional[datetime]:
        """When the next run of that kind starts (UTC); None if that is not known.  `now`: aware."""
        if kind in self.timers:
            return self.timers[kind].next_run
        run = self.scheduled(kind)
        if run is None or run.timing is None:
            return None
        return run.timing.next_after(now)

    def scheduled(self, kind: Kind) -> Optional[ScheduledRun]:
        """The runs of that kind in the schedule; None if there are none."""
        if self.schedule is None:
            return None
        return self.schedule.of(kind)


def read_recent(journal: Path, satellite: str, scope: str, now: datetime) -> Recent:
    """What the journal in that file says of a Satellite (its URL); raises JournalError.

    `scope`: the hosts that are configured, as runs describe them.  `now`: aware.  Empty if there is
    no file yet.
    """
    if not journal.exists():
        return Recent()
    was_locked = is_locked(journal)
    with Journal.peek(journal) as opened:
        latest = last_run(opened, satellite)
        full = last_run(opened, satellite, scope, Kind.FULL)
        # Asked twice: the latest run may have begun or ended since the first time.
        active = was_locked or is_locked(journal)
        return Recent(
            full=full,
            quick=last_run(opened, satellite, scope, Kind.QUICK),
            latest=latest,
            active=active and latest is not None and latest.ended is None,
            records=tuple(open_records(opened, satellite)),
            last_hour=opened.deleted_since(satellite, now - timedelta(hours=1)),
            last_day=opened.deleted_since(satellite, now - timedelta(days=1)),
            quickly=_deleted_quickly(opened, satellite, full),
        )


def _deleted_quickly(journal: Journal, satellite: str, full: Optional[Run]) -> int:
    """How many records quick runs have deleted since that full run; raises JournalError."""
    if full is None:
        return 0
    runs = runs_since(journal, satellite, full.began, Kind.QUICK)
    return sum(run.deleted or 0 for run in runs)


def problems(recent: Recent, machine: ThisMachine, now: datetime) -> Iterator[str]:
    """What needs attention, in words: the runs as a whole, and records nobody acknowledged."""
    for run in _decisive(recent):
        kind = run.kind.value
        if run.ended is None and not recent.is_running(run):
            yield f"the last {kind} run was killed"
        if run.code is not None and is_failure(run.code):
            yield f"the last {kind} run failed with exit code {run.code}"
    for kind in inactive(machine):
        yield f"{UNITS[kind].timer.name} is installed but not active"
    for kind in overdue(recent, machine, now):
        yield f"the schedule starts no {kind.value} runs"
    kept = recent.decided(Decision.KEEP)
    count = sum(record.acked_at is None for record in kept)
    if count:
        yield "1 record" if count == 1 else f"{count} records"


def _decisive(recent: Recent) -> Iterator[Run]:
    """The last full run, and the last quick run if it is later: a full run does all of its work."""
    full, quick = recent.full, recent.quick
    if full:
        yield full
    if quick and not (full and full.id > quick.id):
        yield quick


def inactive(machine: ThisMachine) -> Iterator[Kind]:
    """The kinds of runs whose timer is installed but not active."""
    for kind, timer in machine.timers.items():
        if not timer.active:
            yield kind


def overdue(recent: Recent, machine: ThisMachine, now: datetime) -> Iterator[Kind]:
    """The kinds of runs of which none has begun for much longer than the schedule says.

    None in maintenance mode, and none whose timer is known to be inactive.
    """
    if machine.schedule is None or machine.maintenance:
        return
    known = list(inactive(machine))
    for run in machine.schedule.runs:
        if run.timing is None or run.kind in known:
            continue
        span = timedelta(minutes=run.timing.span)
        if now - _last_sign(run, recent, now) > _LATE * span:
            yield run.kind


def _last_sign(scheduled: ScheduledRun, recent: Recent, now: datetime) -> datetime:
    """When a run last began, or had to give way: a quick run ends if it meets another run."""
    run = recent.full
    if scheduled.kind is Kind.QUICK:
        run = recent.latest
    if run is None:
        return scheduled.since
    if recent.is_running(run):
        return now
    return max(scheduled.since, run.ended or run.began)
