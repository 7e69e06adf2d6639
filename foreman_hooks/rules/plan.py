"""The plan: all verdicts of a run, the guard rails of the run as a whole, and its file.  Pure."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker import OSPError, Place, RegionAnswer, parse_uuid
from foreman_hooks.osp_checker.errors import KINDS
from foreman_hooks.osp_checker.session import CLOCK_SKEW
from foreman_hooks.rules.model import (
    UNKNOWN_REASONS,
    Decision,
    Fingerprint,
    Policy,
    Reason,
    Verdict,
)

FORMAT = 2
SHRINK_FLOOR = 2  # a region may always lose this many servers, however small it is
MAX_AGE = timedelta(days=1)


class PlanError(Exception):
    """A plan file cannot be read, or a plan must not be applied."""

    exit_code = 65


@dataclass(frozen=True)
class PlanRegion(RegionAnswer):
    """A region as the plan keeps it: how it answered, and what the run learned there.

    `alive`: how many hosts of this Satellite are alive in it.  `witnesses`: (kind, UUID) of some of
    these, for each kind of which an absent host needs a witness.  `terminated`: how many of its
    servers have been proven terminated since the last good run.
    """

    alive: int = 0
    witnesses: tuple[tuple[str, str], ...] = ()
    terminated: int = 0


class Absence(NamedTuple):
    """A host that is absent: missing, without proof of its termination.

    `home`: the place where it was seen alive, as text; "" if not known.  `since`: when it was first
    missing (aware).
    """

    host_id: int
    home: str
    since: datetime


class Hold(NamedTuple):
    """Deletions that need an approval, although others may be applied without; and why."""

    why: str
    host_ids: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What a run decided, host by host.

    `satellite`: its URL.  `made_at`: aware.  `scope`: which hosts were looked at, for people.
    `refusals`: the guard rails that the plan breaks; with any, nothing is applied.  `holds`: the
    guard rails that concern only some deletions; without an approval, the others are applied.
    `shrunk`: since the last good run, a cloud has lost more servers than max_shrink allows, so its
    present size does not count as normal.  `fleet`: how many instances were looked at, if the plan
    has the verdict on only one of them; None if it has all verdicts.
    """

    satellite: str
    made_at: datetime
    scope: str
    regions: tuple[PlanRegion, ...]
    verdicts: tuple[Verdict, ...]
    refusals: tuple[str, ...] = ()
    holds: tuple[Hold, ...] = ()
    shrunk: bool = False
    fleet: Optional[int] = None

    @cached_property
    def deletions(self) -> tuple[Verdict, ...]:
        """The verdicts that say delete."""
        return tuple(
            verdict for verdict in self.verdicts if verdict.decision is Decision.DELETE
        )

    @cached_property
    def counts(self) -> Mapping[Decision, int]:
        """How many records have each decision."""
        return Counter(verdict.decision for verdict in self.verdicts)

    @cached_property
    def unknown(self) -> int:
        """How many records are kept because nothing could be learned about them."""
        return sum(verdict.reason in UNKNOWN_REASONS for verdict in self.verdicts)

    @cached_property
    def held(self) -> Mapping[int, str]:
        """Host id -> why its deletion needs an approval."""
        reasons: dict[int, str] = {}
        for hold in self.holds:
            reasons.update(dict.fromkeys(hold.host_ids, hold.why))
        return reasons

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of everything that the plan says."""
        return _digest(_head(self), self.verdicts)


# Hosts that are not instances do not count in the fleet of which max_fraction may be deleted.
_NOT_INSTANCES = frozenset(
    {
        Reason.NOT_OPENSTACK,
        Reason.NOT_A_GUEST,
        Reason.UNKNOWN_MAKER,
        Reason.NO_FACTS,
        Reason.NO_UUID,
        Reason.NO_PROOF,
        Reason.NEVER_SEEN,  # most often an instance of another cloud
    }
)
_REASONS_TO_DELETE = frozenset({Reason.TERMINATED, Reason.MISSING})


def only(plan: Plan, host_ids: Collection[int], scope: str) -> Plan:
    """The part of a plan that is about these hosts; `scope`: which hosts these are, for people."""
    holds = []
    for hold in plan.holds:
        held = tuple(host_id for host_id in hold.host_ids if host_id in host_ids)
        if held:
            holds.append(Hold(hold.why, held))
    return replace(
        plan,
        scope=scope,
        fleet=_instances(plan),
        holds=tuple(holds),
        verdicts=tuple(
            verdict for verdict in plan.verdicts if verdict.host_id in host_ids
        ),
    )


def _instances(plan: Plan) -> int:
    if plan.fleet is not None:
        return plan.fleet
    return sum(verdict.reason not in _NOT_INSTANCES for verdict in plan.verdicts)


def with_holds(plan: Plan, policy: Policy, absences: Collection[Absence]) -> Plan:
    """The plan with its holds: too many hosts of one region are absent at the same time.

    If a small cell loses its rows, its servers are absent, and no other cap is exceeded.  Hosts are
    absent at the same time if they were first missing within `policy.silence` of each other;
    hosts that still wait count, too.
    """
    missing = {
        verdict.host_id
        for verdict in plan.deletions
        if verdict.reason is Reason.MISSING
    }
    homes = {absence.home for absence in absences if absence.host_id in missing}
    holds = []
    for home in sorted(homes):
        in_region = [absence for absence in absences if absence.home == home]
        hold = _hold(home, in_region, missing, policy)
        if hold:
            holds.append(hold)
    return replace(plan, holds=tuple(holds))


def _hold(
    home: str, absences: Sequence[Absence], missing: Collection[int], policy: Policy
) -> Optional[Hold]:
    """The deletions of one region that are too many at once; None if there are not too many."""
    counts: dict[int, int] = {}
    for absence in absences:
        if absence.host_id in missing:
            gaps = [abs(other.since - absence.since) for other in absences]
            counts[absence.host_id] = sum(gap <= policy.silence for gap in gaps)
    held = [host_id for host_id, count in counts.items() if count > policy.max_absent]
    if not held:
        return None
    where = f"of {home} " if home else ""
    why = (
        f"{max(counts.values())} hosts {where}are absent at once, without proof; "
        f"max_absent is {policy.max_absent}"
    )
    return Hold(why, tuple(sorted(held)))


def with_guard_rails(
    plan: Plan, policy: Policy, servers_before: Mapping[Place, int], before: int = 0
) -> Plan:
    """The plan with the guard rails that it breaks, each with its numbers.

    `servers_before`: how many servers each place listed that the last good run asked.  `before`:
    for the plan of one instance, how many records were deleted in the last hour: many such runs
    together must stay within the caps of one run.
    """
    shrunk = list(_shrinkages(plan, policy, servers_before))
    refusals = (*_broken_caps(plan, policy, before), *shrunk)
    return replace(plan, refusals=refusals, shrunk=bool(shrunk))


def _broken_caps(plan: Plan, policy: Policy, before: int) -> Iterator[str]:
    """How the deletions exceed the caps on number and fraction; a cap of 0 allows none."""
    deletions, fleet = len(plan.deletions), _instances(plan)
    allowed = _share(fleet, policy.max_fraction)
    if plan.fleet is not None and deletions:
        deletions += before
        # A fleet so small that the fraction allows none may still lose one record.
        if policy.max_fraction:
            allowed = max(allowed, 1)
    are_planned = "is to be deleted" if deletions == 1 else "are to be deleted"
    if deletions > len(plan.deletions):
        are_planned += " within an hour"
    if deletions > policy.max_deletions:
        records = "record" if deletions == 1 else "records"
        yield f"{deletions} {records} {are_planned}, max_deletions is {policy.max_deletions}"
    if deletions > allowed:
        share = deletions / max(fleet, 1)
        yield (
            f"{deletions} of {fleet} instances ({share:.0%}) {are_planned}, "
            f"max_fraction is {policy.max_fraction:.0%}"
        )


def _shrinkages(
    plan: Plan, policy: Policy, servers_before: Mapping[Place, int]
) -> Iterator[str]:
    """Yield which regions shrank by more than they may, and which are not asked any more."""
    for region in plan.regions:
        shrinkage = _shrinkage(region, servers_before.get(region.place, 0), policy)
        if shrinkage:
            yield shrinkage
    for place in servers_before.keys() - {region.place for region in plan.regions}:
        yield (
            f"{place} was asked in the last good run and is out of scope now; "
            "its hosts would look absent"
        )


def _shrinkage(region: PlanRegion, before: int, policy: Policy) -> str:
    """How a region shrank by more than it may; "" if it did not.

    This is checked even if nothing is to be deleted: after a cell database was emptied, its hosts
    are deleted later, at the end of their grace period.  Servers that are proven terminated do not
    count as lost.
    """
    if region.servers is None:
        return ""
    lost = before - region.servers - region.terminated
    if lost <= SHRINK_FLOOR or lost <= _share(before, policy.max_shrink):
        return ""
    proven = (
        f", {region.terminated} of them proven terminated" if region.terminated else ""
    )
    return (
        f"{region.place} shrank from {before} to {region.servers} servers "
        f"({1 - region.servers / before:.0%}){proven} since the last good run, "
        f"max_shrink is {policy.max_shrink:.0%}"
    )


def _share(whole: int, fraction: float) -> float:
    """`fraction` of `whole`, rounded so that 0.29 of 100 is 29 and not a little less."""
    return round(whole * fraction, 6)


def check_applicable(plan: Plan, satellite: str, now: datetime) -> None:
    """Raise PlanError if the plan is for another Satellite, over a day old, or from the future."""
    if plan.satellite != satellite:
        raise PlanError(
            f"the plan is for {plan.satellite}, this is {satellite}; make a new one"
        )
    age = now - plan.made_at
    if age > MAX_AGE:
        hours, limit = _hours(age), _hours(MAX_AGE)
        raise PlanError(
            f"the plan is {hours} hours old, the limit is {limit}; make a new one"
        )
    if age < -CLOCK_SKEW:
        made_at = plan.made_at.isoformat()
        raise PlanError(f"the plan is from the future ({made_at}); check the clock")


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):.0f}"


def dump(plan: Plan) -> str:
    """The plan as JSON text, one line for each verdict, with its digest."""
    rows = ",\n  ".join(map(json.dumps, plan.verdicts))
    head = json.dumps({"digest": plan.digest, **_head(plan)}, indent=1)
    return f'{head[:-2]},\n "verdicts": [\n  {rows}\n ]\n}}\n'


def load(text: str) -> Plan:
    """The plan that `dump` wrote; raises PlanError if it is not one, or was changed."""
    try:
        document = json.loads(text)
        digest = document.pop("digest")
        version = document["format"]
        if version != FORMAT:
            raise PlanError(
                f"the plan has format {version}, this version reads {FORMAT}; make a new one"
            )
        verdicts = document.pop("verdicts")
        if _digest(document, verdicts) != digest:
            raise PlanError(
                "the plan was changed after it was made (its digest does not match); make a new one"
            )
        # Such a plan is never written to a file, since a file could claim any size.
        if "fleet" in document:
            raise PlanError(
                "the plan is of one instance alone; use run --uuid for that"
            )
        return _checked_plan(document, verdicts)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise PlanError("not a plan that 'plan --out' wrote; make a new one") from error


def _checked_plan(document: Mapping[str, Any], rows: Sequence[Any]) -> Plan:
    """The plan; raises PlanError, or what Python raises for a value of the wrong type."""
    made_at = datetime.fromisoformat(document["made_at"])
    if made_at.tzinfo is None:
        raise PlanError("the plan's time has no zone; make a new one")
    verdicts = tuple(map(_verdict, rows))
    holds = tuple(Hold(_typed(why, str), tuple(ids)) for why, ids in document["holds"])
    host_ids = {verdict.host_id for verdict in verdicts}
    known = all(host_ids.issuperset(hold.host_ids) for hold in holds)
    if not known or len(host_ids) < len(verdicts):
        raise PlanError(
            "the plan names a host twice, or holds a host that it does not name; make a new one"
        )
    return Plan(
        _typed(document["satellite"], str),
        made_at,
        _typed(document["scope"], str),
        tuple(map(_region, document["regions"])),
        verdicts,
        tuple(_typed(refusal, str) for refusal in _typed(document["refusals"], list)),
        holds,
        _typed(document["shrunk"], bool),
    )


def _typed(value: Any, kind: type) -> Any:
    """The value, if it is of exactly that type; raises TypeError."""
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value


def _region_row(region: PlanRegion) -> list[Any]:
    return [
        region.cloud,
        region.region,
        region.servers,
        region.proof,
        str(region.error or ""),
        type(region.error).__name__ if region.error else "",
        region.alive,
        region.witnesses,
        region.terminated,
        region.unlisted,
    ]


def _region(row: Sequence[Any]) -> PlanRegion:
    (
        cloud,
        region,
        servers,
        proof,
        message,
        kind,
        alive,
        witnesses,
        terminated,
        unlisted,
    ) = row
    if servers is not None:
        _typed(servers, int)
    for text in (cloud, region, proof, message, kind, *unlisted):
        _typed(text, str)
    for count in (alive, terminated):
        _typed(count, int)
    error: Optional[OSPError] = None
    if kind or message:
        error = KINDS.get(kind, OSPError)(message)
    return PlanRegion(
        cloud,
        region,
        servers,
        proof,
        error,
        tuple(unlisted),
        alive=alive,
        witnesses=tuple(
            (_typed(name, str), _typed(uuid, str)) for name, uuid in witnesses
        ),
        terminated=terminated,
    )


def _verdict(row: Sequence[Any]) -> Verdict:
    host_id, name, uuid, decision, reason, detail, fingerprint = row
    if _typed(host_id, int) < 0 or (uuid and parse_uuid(uuid) != uuid):
        raise ValueError("not the id of a host, or not a UUID")
    verdict = Verdict(
        host_id,
        _typed(name, str),
        _typed(uuid, str),
        Decision(decision),
        Reason(reason),
        _typed(detail, str),
        _fingerprint(fingerprint),
    )
    _check_consistent(verdict)
    return verdict


def _fingerprint(row: Optional[list[Any]]) -> Optional[Fingerprint]:
    if row is None:
        return None
    for text in _typed(row, list):
        if text is not None:
            _typed(text, str)
    return Fingerprint(*row)


def _check_consistent(verdict: Verdict) -> None:
    """Raise PlanError if the parts of a verdict contradict each other."""
    is_deletion = verdict.decision is Decision.DELETE
    if is_deletion != (verdict.reason in _REASONS_TO_DELETE):
        raise PlanError(
            f"the plan says {verdict.decision.value} for {verdict.name}, "
            f"but its reason is: {verdict.reason.value}"
        )
    has_fingerprint = verdict.fingerprint is not None
    if is_deletion != has_fingerprint or (is_deletion and not verdict.uuid):
        raise PlanError(
            f"the plan does not say what the record of {verdict.name} looked like; make a new one"
        )


def _head(plan: Plan) -> dict[str, Any]:
    """Everything but the verdicts."""
    head: dict[str, Any] = {
        "format": FORMAT,
        "satellite": plan.satellite,
        "made_at": plan.made_at.isoformat(),
        "scope": plan.scope,
        "refusals": list(plan.refusals),
        "shrunk": plan.shrunk,
        "holds": [list(hold) for hold in plan.holds],
    }
    if plan.fleet is not None:
        head["fleet"] = plan.fleet
    head["regions"] = [_region_row(region) for region in plan.regions]
    return head


def _digest(head: Mapping[str, Any], verdicts: Iterable[Sequence[Any]]) -> str:
    """SHA-256, in hex.  Verdict by verdict, since the text of 100,000 verdicts would take 50 MB."""
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for verdict in verdicts:
        digest.update(json.dumps(verdict).encode() + b"\n")
    return digest.hexdigest()
