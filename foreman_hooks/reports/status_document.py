"""What programs read of `status`: how the cleanup does, and the open records."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from foreman_hooks.cleanup.open_records import OpenRecord
from foreman_hooks.cleanup.run_log import Run
from foreman_hooks.cleanup.status import Recent, problems
from foreman_hooks.reports.documents import FORMAT, time_or_none
from foreman_hooks.reports.formats import Listing
from foreman_hooks.reports.status import Report

OPEN_COLUMNS = (
    "Id",
    "Name",
    "UUID",
    "Decision",
    "Reason",
    "Detail",
    "Reason code",
    "Terminated at",
    "Due",
    "Since",
    "Acked at",
    "Acked by",
    "Ack reason",
)


def status_document(report: Report) -> Listing:
    """How the cleanup does, and the open records."""
    recent, machine = report.recent, report.machine
    head = {
        "format": FORMAT,
        "satellite": report.satellite,
        "at": time_or_none(report.now),
        "problems": list(problems(recent, machine, report.now)),
        "last_full_run": _run(recent, recent.full),
        "last_quick_run": _run(recent, recent.quick),
        "last_other_run": _run(recent, recent.other),
        "schedule": _schedule(report),
        "maintenance": machine.maintenance,
        "deleted_last_hour": recent.last_hour,
        "deleted_last_day": recent.last_day,
        "deleted_by_quick_runs": recent.quickly,
        "max_deletions": report.policy.max_deletions,
        "max_fraction": report.policy.max_fraction,
    }
    return Listing(OPEN_COLUMNS, map(_open_row, recent.records), "records", head)


def _run(recent: Recent, run: Optional[Run]) -> Optional[Mapping[str, Any]]:
    if run is None:
        return None
    state = "running" if recent.is_running(run) else "killed"
    if run.ended:
        state = "ended"
    return {
        "command": run.command,
        "kind": run.kind.value,
        "scope": run.scope,
        "by": run.who,
        "state": state,
        "began": time_or_none(run.began),
        "ended": time_or_none(run.ended),
        "exit_code": run.code,
        "hosts": run.hosts,
        "instances": run.instances,
        "delete": run.to_delete,
        "wait": run.waiting,
        "attention": run.attention,
        "unknown": run.unknown,
        "deleted": run.deleted,
        "refusals": list(run.refusals),
    }


def _schedule(report: Report) -> Optional[Mapping[str, Any]]:
    schedule = report.machine.schedule
    if schedule is None:
        return None
    document: dict[str, Any] = {
        "scheduler": schedule.scheduler,
        "path": str(schedule.path),
        "full": None,
        "quick": None,
    }
    for run in schedule.runs:
        following = report.machine.next_run(run.kind, report.now)
        document[run.kind.value] = {
            "every_minutes": run.timing.span if run.timing else None,
            "next": time_or_none(following),
            "deletes": run.deletes,
        }
    return document


def _open_row(record: OpenRecord) -> Sequence[Any]:
    return (
        record.host_id,
        record.name,
        record.uuid or None,
        record.decision.value,
        record.reason.value,
        record.detail,
        record.reason.name,
        record.terminated_at or None,
        record.due or None,
        time_or_none(record.since),
        time_or_none(record.acked_at),
        record.acked_by,
        record.ack_reason,
    )
