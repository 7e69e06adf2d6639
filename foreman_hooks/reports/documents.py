"""What programs read of each command: its columns, and the document that they belong to.

Texts for people may change, but keys and codes are stable.  Each kind of document has a JSON
Schema in the folder schema/.  Times are ISO 8601 with Z; what is not known is None.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Optional

from foreman_hooks.cleanup.journal import Approval, Deletion
from foreman_hooks.cleanup.states import HostState, States
from foreman_hooks.osp_checker import OSPError, RegionAnswer, Server, Sighting
from foreman_hooks.reports.formats import Listing
from foreman_hooks.reports.listings import Outcomes, Style, choose
from foreman_hooks.rules.guard_rails import count_instances
from foreman_hooks.rules.model import (
    Decision,
    Outcome,
    Reason,
    Result,
    Verdict,
    count_deleted,
)
from foreman_hooks.rules.plan import Hold, Plan, PlanRegion
from foreman_hooks.rules.states import State
from foreman_hooks.times import iso_z

FORMAT = 1  # of the documents; another number if a key goes or changes its meaning

# A plan and what became of it: of plan, run and apply

HOST_COLUMNS = (
    "Id",
    "Name",
    "UUID",
    "Decision",
    "Reason",
    "Detail",
    "Reason code",
    "Cloud",
    "Region",
    "Project",
    "Terminated at",
    "Last checkin",
    "Due",
    "Result",
    "Result detail",
    "Deleted at",
)


def check_host_fields(style: Style) -> None:
    """Raise UnknownField for a field that the document of a plan does not have."""
    choose(HOST_COLUMNS, style.fields)


def plan_document(
    plan: Plan, outcomes: Outcomes = None, refusals: Optional[Sequence[str]] = None
) -> Listing:
    """A plan, and what became of its deletions if it was applied.

    `refusals`: the guard rails that the plan breaks now, if they are not those that it names.
    """
    if refusals is None:
        refusals = plan.refusals
    head = {
        "format": FORMAT,
        "satellite": plan.satellite,
        "made_at": iso_z(plan.made_at),
        "scope": plan.scope,
        "digest": plan.digest,
        "applied": outcomes is not None,
        "counts": _counts(plan, outcomes),
        "refusals": list(refusals),
        "held_back": list(map(_held_back, plan.holds)),
        "regions": list(map(_plan_region, plan.regions)),
    }
    rows = _host_rows(plan.verdicts, outcomes or ())
    return Listing(HOST_COLUMNS, rows, "hosts", head)


def _counts(plan: Plan, outcomes: Outcomes) -> Mapping[str, int]:
    return {
        "hosts": plan.hosts,
        "instances": count_instances(plan),
        "delete": plan.counts[Decision.DELETE],
        "wait": plan.counts[Decision.WAIT],
        "keep": plan.counts[Decision.KEEP],
        "unknown": plan.unknown,
        "deleted": count_deleted(outcomes or ()),
    }


def _held_back(hold: Hold) -> Mapping[str, Any]:
    return {"why": hold.why, "host_ids": list(hold.host_ids)}


def _host_rows(
    verdicts: Iterable[Verdict], outcomes: Iterable[Outcome]
) -> Iterator[Sequence[Any]]:
    by_host = {outcome.host_id: outcome for outcome in outcomes}
    for verdict in verdicts:
        basis = verdict.basis
        yield (
            verdict.host_id,
            verdict.name,
            verdict.uuid or None,
            verdict.decision.value,
            verdict.reason.value,
            verdict.detail,
            verdict.reason.name,
            basis.cloud or None,
            basis.region or None,
            basis.project or None,
            basis.terminated_at or None,
            basis.last_checkin or None,
            basis.due or None,
            *_result(by_host.get(verdict.host_id)),
        )


def _result(outcome: Optional[Outcome]) -> Sequence[Optional[str]]:
    """What became of a deletion, why, and when the record was deleted."""
    if outcome is None:
        return (None, None, None)
    deleted_at = None
    if outcome.result is Result.DELETED:
        deleted_at = time_or_none(outcome.at)
    return (outcome.result.value, outcome.detail, deleted_at)


def _plan_region(region: PlanRegion) -> Mapping[str, Any]:
    return {
        **_region(region),
        "alive": region.alive,
        "terminated": region.terminated,
    }


def _region(region: RegionAnswer) -> Mapping[str, Any]:
    return {
        "cloud": region.cloud,
        "region": region.region,
        "error": _error(region.error),
        "servers": region.servers,
        "proof": region.proof or None,
        "unlisted": list(region.unlisted),
    }


def _error(error: Optional[OSPError]) -> Optional[Mapping[str, Any]]:
    if error is None:
        return None
    return {"exit_code": error.exit_code, "message": str(error)}


# check

SIGHTING_COLUMNS = (
    "UUID",
    "Cloud",
    "Region",
    "Code",
    "Presence",
    "Terminated at",
    "Detail",
    "Project",
)


def check_document(
    regions: Iterable[RegionAnswer], sightings: Iterable[Sighting]
) -> Listing:
    """What the clouds said about UUIDs, and how each region answered."""
    head = {"format": FORMAT, "regions": list(map(_region, regions))}
    rows = map(_sighting_row, sightings)
    return Listing(SIGHTING_COLUMNS, rows, "sightings", head)


def _sighting_row(sighting: Sighting) -> Sequence[Any]:
    return (
        sighting.uuid,
        sighting.cloud or None,
        sighting.region or None,
        sighting.code,
        sighting.presence.value,
        time_or_none(sighting.terminated_at),
        sighting.detail,
        sighting.project or None,
    )


# history list

DELETION_COLUMNS = (
    "Id",
    "Host",
    "Host id",
    "UUID",
    "At",
    "Result",
    "Reason",
    "Detail",
    "Reason code",
    "Terminated at",
    "By",
    "Restored at",
    "Restored as",
    "Run",
    "Plan",
    "Satellite",
)
_REASON_CODES = {reason.value: reason.name for reason in Reason}


def deletions_listing(deletions: Iterable[Deletion]) -> Listing:
    """Deletions; one with the id 0 is of a record that somebody else removed."""
    return Listing(DELETION_COLUMNS, map(_deletion_row, deletions))


def _deletion_row(deletion: Deletion) -> Sequence[Any]:
    return (
        deletion.id or None,
        deletion.name,
        deletion.host_id,
        deletion.uuid or None,
        time_or_none(deletion.begun),
        deletion.result or Result.UNFINISHED.value,
        deletion.reason,
        deletion.detail,
        _REASON_CODES.get(deletion.reason),
        deletion.terminated_at or None,
        deletion.who or None,
        time_or_none(deletion.restored_at),
        deletion.restored_as,
        deletion.run or None,
        deletion.plan or None,
        deletion.satellite,
    )


# history approvals

APPROVAL_COLUMNS = ("Plan", "By", "At", "Deleted")


def approvals_listing(
    approvals: Iterable[Approval], deleted: Mapping[str, int]
) -> Listing:
    """Approvals; `deleted`: how many records each plan (its digest) has deleted."""
    rows = []
    for plan, who, at in approvals:
        rows.append((plan, who, time_or_none(at), deleted.get(plan, 0)))
    return Listing(APPROVAL_COLUMNS, rows)


# unmanaged

SERVER_COLUMNS = (
    "UUID",
    "Name",
    "Status",
    "Cloud",
    "Region",
    "Project",
    "Image",
    "Created",
    "Project name",
)


def servers_listing(servers: Iterable[Server]) -> Listing:
    """Servers of OpenStack."""
    return Listing(SERVER_COLUMNS, map(_server_row, servers))


def _server_row(server: Server) -> Sequence[Any]:
    return (
        server.uuid,
        server.name,
        server.status,
        server.cloud,
        server.region,
        server.project or None,
        server.image or None,
        time_or_none(server.created),
        server.project_name or None,
    )


# states

STATE_COLUMNS = (
    "Id",
    "Name",
    "UUID",
    "State",
    "Silent",
    "Last checkin",
    "Cloud",
    "Region",
    "Project",
    "Status",
    "Terminated at",
    "Detail",
)


def check_state_fields(style: Style) -> None:
    """Raise UnknownField for a field that the document of `states` does not have."""
    choose(STATE_COLUMNS, style.fields)


def states_document(states: States) -> Listing:
    """The state of each host."""
    counts = {"hosts": states.total}
    for state in State:
        counts[state.value.replace("-", "_")] = states.counts.get(state, 0)
    head = {
        "format": FORMAT,
        "satellite": states.satellite,
        "made_at": iso_z(states.made_at),
        "silent_since": iso_z(states.silent_since),
        "scope": states.scope,
        "erratum": states.erratum or None,
        "counts": counts,
        "regions": list(map(_region, states.regions)),
    }
    return Listing(STATE_COLUMNS, map(_state_row, states.hosts), "hosts", head)


def _state_row(host: HostState) -> Sequence[Any]:
    machine = host.machine
    return (
        host.id,
        host.name,
        host.uuid or None,
        machine.state.value,
        host.silent,
        time_or_none(host.last_checkin),
        machine.cloud or None,
        machine.region or None,
        machine.project or None,
        machine.status or None,
        time_or_none(machine.terminated_at),
        machine.detail,
    )


def time_or_none(when: Optional[datetime]) -> Optional[str]:
    """A time as documents have it."""
    return iso_z(when) if when else None
