"""How the cleanup of this machine does: what its journal says, its schedule, and what is wrong.

Nothing here sends a request, and a run may hold the journal meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Optional

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.journal_file import is_locked
from foreman_hooks.cleanup.open_records import OpenRecord, open_records
from foreman_hooks.cleanup.run_log import Run, last_run
from foreman_hooks.errors import is_failure
from foreman_hooks.hooks.machine import Schedule
from foreman_hooks.hooks.systemd import TimerState
from foreman_hooks.rules.model import Decision

# A run may wait for the end of another one, or the machine may be down for a moment.
_LATE = 2  # spans between two runs


@dataclass(frozen=True)
class Recent:
    """What the journal says.

    `run`: the last run over all hosts that are configured.  `other`: the last run over some hosts
    only, if it is later.  `active`: the later of both is in progress.  `records`: the open ones.
    `last_hour`, `last_day`: how many records were deleted.
    """

    run: Optional[Run] = None
    other: Optional[Run] = None
    active: bool = False
    records: tuple[OpenRecord, ...] = ()
    last_hour: int = 0
    last_day: int = 0

    @property
    def is_running(self) -> bool:
        """Whether the run over all hosts is in progress."""
        return self.active and self.other is None

    def decided(self, decision: Decision) -> list[OpenRecord]:
        """The open records with this decision; those that are kept need attention."""
        return [record for record in self.records if record.decision is decision]


@dataclass(frozen=True)
class ThisMachine:
    """What this machine says of the runs to come.

    `schedule`: None if none is installed.  `timer`: its state in systemd; None if cron is used, or
    if systemd does not answer.  `others`: files of cron, written by hand, that run us as well.
    `maintenance`: foreman-maintain's maintenance mode is on.
    """

    schedule: Optional[Schedule] = None
    timer: Optional[TimerState] = None
    others: tuple[Path, ...] = ()
    maintenance: bool = False

    def next_run(self, now: datetime) -> Optional[datetime]:
        """When the next run starts (UTC); None if that is not known.  `now`: aware."""
        if self.schedule is None:
            return None
        if self.timer is not None:
            return self.timer.next_run
        timing = self.schedule.timing
        return timing.next_after(now) if timing else None


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
        run = last_run(opened, satellite, scope)
        # Asked twice: the latest run may have begun or ended since the first time.
        active = was_locked or is_locked(journal)
        return Recent(
            run=run,
            other=latest if latest != run else None,
            active=active and latest is not None and latest.ended is None,
            records=tuple(open_records(opened, satellite)),
            last_hour=opened.deleted_since(satellite, now - timedelta(hours=1)),
            last_day=opened.deleted_since(satellite, now - timedelta(days=1)),
        )


def problems(recent: Recent, machine: ThisMachine, now: datetime) -> Iterator[str]:
    """What needs attention, in words: the runs as a whole, and records nobody acknowledged."""
    run = recent.run
    if run and run.ended is None and not recent.is_running:
        yield "the last run was killed"
    if run and run.code is not None and is_failure(run.code):
        yield f"the last run failed with exit code {run.code}"
    if machine.timer is not None and not machine.timer.active:
        yield "the timer is installed but not active"
    elif not machine.maintenance and is_overdue(run, machine.schedule, now):
        yield "the schedule starts no runs"
    kept = recent.decided(Decision.KEEP)
    count = sum(record.acked_at is None for record in kept)
    if count:
        yield "1 record" if count == 1 else f"{count} records"


def is_overdue(run: Optional[Run], schedule: Optional[Schedule], now: datetime) -> bool:
    """Whether no run has begun for much longer than the schedule says."""
    if schedule is None or schedule.timing is None:
        return False
    latest = schedule.since
    if run:
        latest = max(latest, run.began)
    return now - latest > _LATE * timedelta(hours=schedule.timing.hours)
