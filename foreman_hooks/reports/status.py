"""What `status` prints: facts with labels, and the open records in groups.  Pure.

The names of hosts are whole; everything else fits the window.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import NamedTuple, Optional

from foreman_hooks.cleanup.open_records import OpenRecord
from foreman_hooks.cleanup.run_log import Run
from foreman_hooks.cleanup.status import Recent, ThisMachine, inactive, overdue
from foreman_hooks.errors import EXIT_CODES, is_failure
from foreman_hooks.hooks.schedule_files import UNITS
from foreman_hooks.paths import LOG, NAME
from foreman_hooks.reports.texts import plain
from foreman_hooks.reports.window import Window, cells, padded, wrapped
from foreman_hooks.rules.model import Decision, Policy
from foreman_hooks.rules.plan import Kind
from foreman_hooks.times import countdown, hammer_time, read_iso_z, rough

_WIDTH = 80  # where the window has none
_LABELS = 13  # columns
_INDENT = "    "
_GAP = "  "
# Both services: a quick run may have become a full one.
_MESSAGES = {"cron": str(LOG), "systemd": f"journalctl -u '{NAME}*'"}
_GROUPS = (
    (Decision.DELETE, "DELETE", "red"),
    (Decision.KEEP, "NEEDS ATTENTION", "yellow"),
    (Decision.WAIT, "WAITING", "cyan"),
)


class Report(NamedTuple):
    """All that `status` prints; `satellite`: its URL.  `now`: aware."""

    satellite: str
    recent: Recent
    machine: ThisMachine
    policy: Policy
    now: datetime

    def text(self, window: Window) -> str:
        """The report as text that ends with a newline."""
        width = window.width or _WIDTH
        lines: list[str] = []
        for label, texts in self._facts():
            lines += _fact_lines(label, texts, width)
        for decision, title, colour in _GROUPS:
            records = self.recent.decided(decision)
            if records:
                head = window.bold(f"{title} ({len(records)})", colour)
                lines += ["", head, *self._record_lines(records, width)]
        return "\n".join(lines) + "\n"

    # The facts

    def _facts(self) -> Iterator[tuple[str, Iterable[str]]]:
        yield "Satellite", [self.satellite]
        recent = self.recent
        yield "Full run", self._last(recent.full)
        if recent.quick or self.machine.scheduled(Kind.QUICK):
            yield "Quick run", self._last(recent.quick)
        if recent.other:
            yield "Other run", self._run(recent.other)
        yield "Next run", self._next_runs()
        yield "Schedule", self._schedule()
        yield "Maintenance", [self._maintenance()]
        if recent.full and recent.full.to_delete is not None:
            yield "Caps", [_caps(recent.full, self.policy)]
        yield "Deleted", [_deleted(recent)]

    def _last(self, run: Optional[Run]) -> Iterator[str]:
        """The last full or quick run."""
        if run is None:
            yield "none yet"
            return
        yield from self._run(run)
        schedule = self.machine.schedule
        if run.code is not None and is_failure(run.code) and schedule:
            yield f"its messages: {_MESSAGES[schedule.scheduler]}"

    def _run(self, run: Run) -> Iterator[str]:
        began = f"{hammer_time(run.began)} ({self._ago(run.began)})"
        yield f"{began}: {run.command} by {run.who}, {run.scope}"
        if run.code is not None:
            yield f"exit code {run.code}: {EXIT_CODES.get(run.code, 'unknown')}"
        elif self.recent.is_running(run):
            yield f"is running since then ({countdown(self.now - run.began)})"
        else:
            yield "was killed: it never ended"
        if run.hosts is not None:
            need = "needs" if run.attention == 1 else "need"
            yield (
                f"{run.hosts} hosts: {run.deleted} deleted, {run.waiting} waiting, "
                f"{run.attention} {need} attention, {run.unknown} unknown"
            )
        for refusal in run.refusals:
            yield f"guard rail: {refusal}"

    def _next_runs(self) -> Iterator[str]:
        machine = self.machine
        if machine.schedule is None:
            yield "none is scheduled"
            return
        for run in machine.schedule.runs:
            when = machine.next_run(run.kind, self.now)
            text = "not known"
            if when:
                text = f"{hammer_time(when)} (in {countdown(when - self.now)})"
            yield f"{run.kind.value}: {text}"

    def _schedule(self) -> Iterator[str]:
        machine = self.machine
        schedule = machine.schedule
        if schedule:
            for run in schedule.runs:
                effect = "deletes host records" if run.deletes else "only reports"
                timing = run.timing or "at times that were changed by hand"
                yield f"{schedule.scheduler}, a {run.kind.value} run {timing}; {effect}"
            if schedule.of(Kind.FULL) is None:
                yield f"no full runs any more: {NAME} schedule install"
            yield str(schedule.path)
        elif not machine.others:
            yield f"none: {NAME} schedule install"
        for path in machine.others:
            yield f"{path}, written by hand"
        for kind in inactive(machine):
            timer = UNITS[kind].timer.name
            yield f"the timer is not active: systemctl enable --now {timer}"
        for kind in overdue(self.recent, machine, self.now):
            yield (
                f"no {kind.value} run has started for much longer than that: is its "
                "service active?"
            )

    def _maintenance(self) -> str:
        if self.machine.maintenance:
            return "foreman-maintain's maintenance mode is on: no run starts"
        return "off"

    # The records

    def _record_lines(self, records: Sequence[OpenRecord], width: int) -> Iterator[str]:
        rows = {
            record.host_id: (plain(record.name), self._when(record))
            for record in records
        }
        column = _name_column(list(rows.values()), width)
        by_reason = sorted(records, key=lambda record: record.reason.value)
        for reason, group in groupby(by_reason, lambda record: record.reason):
            yield f"  {reason.value}"
            for record in group:
                yield from _row_lines(*rows[record.host_id], column)
                for remark in _remarks(record):
                    yield from wrapped(plain(remark), width, _INDENT + "  ")

    def _when(self, record: OpenRecord) -> str:
        """When a record that waits can go, or since when it is open."""
        due = read_iso_z(record.due)
        if due and due > self.now:
            return f"until {_minute(due)} (in {countdown(due - self.now)})"
        if due:
            return f"can go since {_minute(due)}"
        return f"since {_minute(record.since)} ({self._ago(record.since)})"

    def _ago(self, when: datetime) -> str:
        return f"{rough(max(self.now - when, timedelta()))} ago"


def _fact_lines(label: str, texts: Iterable[str], width: int) -> Iterator[str]:
    """The label before the first line, and all lines of the texts below each other."""
    indent = " " * _LABELS
    for text in texts:
        for line in wrapped(plain(text), width, indent):
            yield f"{label:<{_LABELS}}{line[_LABELS:]}"
            label = ""


def _deleted(recent: Recent) -> str:
    text = f"{recent.last_hour} in the last hour, {recent.last_day} in the last day"
    if recent.quick:
        text += f"; by quick runs since the last full run: {recent.quickly}"
    return text


def _caps(run: Run, policy: Policy) -> str:
    allowed = int(round((run.instances or 0) * policy.max_fraction, 6))
    return (
        f"{run.to_delete} to delete in the last full run; allowed are {policy.max_deletions} "
        f"(max_deletions) and {allowed} ({policy.max_fraction:.0%} of {run.instances} "
        "instances, max_fraction)"
    )


def _name_column(rows: Sequence[tuple[str, str]], width: int) -> int:
    """How wide the names are that have room beside the times."""
    room = width - len(_INDENT) - len(_GAP) - max(cells(when) for _, when in rows)
    return max((cells(name) for name, _ in rows if cells(name) <= room), default=0)


def _row_lines(name: str, when: str, column: int) -> Iterator[str]:
    """The name and the time; a name that is wider than the column is above its time."""
    if cells(name) > column:
        yield f"{_INDENT}{name}"
        name = ""
    yield f"{_INDENT}{padded(name, column)}{_GAP}{when}"


def _remarks(record: OpenRecord) -> Iterator[str]:
    """What was observed of a record that needs attention, and who knows about it."""
    if record.decision is Decision.KEEP:
        yield record.detail
    if record.acked_at:
        reason = f": {record.ack_reason}" if record.ack_reason else ""
        when = _minute(record.acked_at)
        yield f"acknowledged by {record.acked_by} at {when}{reason}"


def _minute(when: datetime) -> str:
    return when.astimezone(timezone.utc).strftime("%Y/%m/%d %H:%M UTC")
