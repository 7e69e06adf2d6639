"""A plan: all verdicts of a run, the guard rails of the run as a whole, and the file it travels in.
Pure.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker.errors import KINDS, OSPError
from foreman_hooks.osp_checker.session import CLOCK_SKEW
from foreman_hooks.osp_checker.sightings import Place, RegionAnswer
from foreman_hooks.osp_checker.uuids import parse_uuid
from foreman_hooks.rules.model import (
    UNKNOWN_REASONS,
    Decision,
    Fingerprint,
    Policy,
    Reason,
    Verdict,
)

FORMAT = 2
SHRINK_FLOOR = 2  # so few servers less are no sign of a region that lost its servers
MAX_AGE = timedelta(days=1)


class PlanError(Exception):
    """A plan file that cannot be read, or that must not be applied."""

    exit_code = 65


@dataclass(frozen=True)
class PlanRegion(RegionAnswer):
    """A region as the plan keeps it: how it answered, and what the run learned there.

    `alive`: how many hosts of this Satellite are alive in it.  `witnesses`: (kind, UUID) of some of
    these, of each kind that an absent host needs a witness of.  `terminated`: how many of its
    servers are proven terminated since the last good run.
    """

    alive: int = 0
    witnesses: tuple[tuple[str, str], ...] = ()
    terminated: int = 0


class Absence(NamedTuple):
    """A host that is missing without proof: where it was seen alive ("" where nobody knows), since
    when (aware).
    """

    host_id: int
    home: str
    since: datetime


class Hold(NamedTuple):
    """Deletions that need an approval although the rest of the plan may go, and why."""

    why: str
    host_ids: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What a run decided, host by host.  `made_at` is aware; `scope` says which hosts were looked
    at.

    `refusals` are the guard rails that it breaks: with any of them nothing of it is applied.
    `holds` are those that concern some deletions only: without an approval the others are applied.
    `shrunk`: a cloud has lost more servers than max_shrink since the last good run, so its size now
    is not taken for normal. `fleet`: how many instances were looked at, where the verdicts are of
    one alone; None where they are of all.
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
        return tuple(verdict for verdict in self.verdicts if verdict.decision is Decision.DELETE)

    @cached_property
    def counts(self) -> Mapping[Decision, int]:
        """How many records there are of each decision."""
        return Counter(verdict.decision for verdict in self.verdicts)

    @cached_property
    def unknown(self) -> int:
        """How many records are kept because nothing could be learned of them."""
        return sum(verdict.reason in UNKNOWN_REASONS for verdict in self.verdicts)

    @cached_property
    def held(self) -> Mapping[int, str]:
        """Host id -> why its deletion needs an approval."""
        return {host_id: hold.why for hold in self.holds for host_id in hold.host_ids}

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of all that the plan says."""
        return _digest(_head(self), self.verdicts)


# Hosts that are no instances do not count as the fleet of which a fraction may go.
_NO_INSTANCES = frozenset(
    {
        Reason.NOT_OPENSTACK,
        Reason.NOT_A_GUEST,
        Reason.UNKNOWN_MAKER,
        Reason.NO_FACTS,
        Reason.NO_UUID,
        Reason.NO_PROOF,
        Reason.NEVER_SEEN,
    }
)  # of another cloud, most often


def only(plan: Plan, host_ids: Collection[int], scope: str) -> Plan:
    """The plan for these hosts alone, made from that of all."""
    holds = [
        Hold(hold.why, tuple(host_id for host_id in hold.host_ids if host_id in host_ids))
        for hold in plan.holds
    ]
    return replace(
        plan,
        scope=scope,
        fleet=_instances(plan),
        holds=tuple(hold for hold in holds if hold.host_ids),
        verdicts=tuple(verdict for verdict in plan.verdicts if verdict.host_id in host_ids),
    )


def _instances(plan: Plan) -> int:
    if plan.fleet is not None:
        return plan.fleet
    return sum(verdict.reason not in _NO_INSTANCES for verdict in plan.verdicts)


def with_holds(plan: Plan, policy: Policy, absences: Collection[Absence]) -> Plan:
    """The plan with the deletions that need an approval: too many hosts of one region are absent at
    once.

    A small cell that loses its rows makes its servers absent under every other cap.  At once are
    those that were first missed within `silence` of each other; those that still wait count as
    well.
    """
    doomed = {verdict.host_id for verdict in plan.deletions if verdict.reason is Reason.MISSING}
    holds = []
    for home in sorted({absence.home for absence in absences if absence.host_id in doomed}):
        there = [absence for absence in absences if absence.home == home]
        held = {}
        for absence in there:
            together = sum(abs(other.since - absence.since) <= policy.silence for other in there)
            if absence.host_id in doomed and together > policy.max_absent:
                held[absence.host_id] = together
        if held:
            holds.append(
                Hold(
                    f"{max(held.values())} hosts {f'of {home} ' if home else ''}are absent at once, without "
                    f"proof; max_absent is {policy.max_absent}",
                    tuple(sorted(held)),
                )
            )
    return replace(plan, holds=tuple(holds))


def with_guard_rails(
    plan: Plan, policy: Policy, servers_before: Mapping[Place, int], before: int = 0
) -> Plan:
    """The plan with the guard rails that it breaks, each with its numbers.

    `servers_before`: (cloud, region) -> how many servers it listed, for each that the last good run
    asked.  A cap of 0 lets none go.  `before`: how many went in the last hour, for the plan of one
    alone: many such runs are to stay within the caps of one run, and one may go where max_fraction
    would let none of so small a fleet.
    """
    doomed, fleet = len(plan.deletions), _instances(plan)
    share = _share(fleet, policy.max_fraction)
    if plan.fleet is not None and doomed:
        doomed += before
        share = max(share, 1) if policy.max_fraction else 0
    in_an_hour = " within an hour" if doomed > len(plan.deletions) else ""
    refusals = []
    if doomed > policy.max_deletions:
        refusals.append(
            f"{doomed} records are to go{in_an_hour}, max_deletions is {policy.max_deletions}"
        )
    if doomed > share:
        refusals.append(
            f"{doomed} of {fleet} instances ({doomed / max(fleet, 1):.0%}) are to go{in_an_hour}, "
            f"max_fraction is {policy.max_fraction:.0%}"
        )
    shrinkages = [
        _shrinkage(seen, servers_before.get(seen.place, 0), policy) for seen in plan.regions
    ]
    shrunk = [told for told in shrinkages if told]
    shrunk += [
        f"{place} was asked in the last good run and is out of scope now; its hosts would look gone"
        for place in servers_before.keys() - {region.place for region in plan.regions}
    ]
    return replace(plan, refusals=(*refusals, *shrunk), shrunk=bool(shrunk))


def _shrinkage(seen: PlanRegion, before: int, policy: Policy) -> str:
    """How a region shrank by more than it may, '' where it did not.

    Asked even where nothing is to go: the hosts of an emptied cell database only wait for their
    grace to pass. Servers that are proven terminated are not lost.
    """
    if seen.servers is None:
        return ""
    lost = before - seen.servers - seen.terminated
    if lost <= SHRINK_FLOOR or lost <= _share(before, policy.max_shrink):
        return ""
    proven = f", {seen.terminated} of them proven terminated" if seen.terminated else ""
    return (
        f"{seen.place} shrank from {before} to {seen.servers} servers "
        f"({1 - seen.servers / before:.0%}){proven} since the last good run, "
        f"max_shrink is {policy.max_shrink:.0%}"
    )


def _share(whole: int, fraction: float) -> float:
    """`fraction` of `whole`, without the last digits of a float: 0.29 of 100 is 29 and not a little
    less.
    """
    return round(whole * fraction, 6)


def check_applicable(plan: Plan, satellite: str, now: datetime) -> None:
    """Raise PlanError where the plan is of another Satellite, older than a day, or from the future."""
    if plan.satellite != satellite:
        raise PlanError(f"the plan is for {plan.satellite}, this is {satellite}; make a new one")
    age = now - plan.made_at
    if age > MAX_AGE:
        raise PlanError(
            f"the plan is {age.total_seconds() / 3600:.0f} hours old, the limit is "
            f"{MAX_AGE.total_seconds() / 3600:.0f}; make a new one"
        )
    if age < -CLOCK_SKEW:
        raise PlanError(
            f"the plan is from the future ({plan.made_at.isoformat()}); check the clock"
        )


def dump(plan: Plan) -> str:
    """The plan as JSON text, one verdict a line, with its digest."""
    rows = ",\n  ".join(map(json.dumps, plan.verdicts))
    head = json.dumps({"digest": plan.digest, **_head(plan)}, indent=1)
    return f'{head[:-2]},\n "verdicts": [\n  {rows}\n ]\n}}\n'


def load(text: str) -> Plan:
    """The plan that `dump` wrote; raises PlanError where it is none, or was changed."""
    try:
        document = json.loads(text)
        digest = document.pop("digest")
        if document["format"] != FORMAT:
            raise PlanError(
                f"the plan has format {document['format']}, this version reads {FORMAT}; make a new one"
            )
        verdicts = document.pop("verdicts")
        if _digest(document, verdicts) != digest:
            raise PlanError(
                "the plan was changed after it was made (its digest does not match); make a new one"
            )
        if "fleet" in document:  # nobody writes one; it could say anything of how many there are
            raise PlanError("the plan is of one instance alone; use run --uuid for that")
        return _checked(document, verdicts)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise PlanError("not a plan that 'plan --out' wrote; make a new one") from error


def _checked(document: Mapping[str, Any], rows: Sequence[Any]) -> Plan:
    """The plan; raises PlanError, or what Python raises for a value of another type."""
    made_at = datetime.fromisoformat(document["made_at"])
    if made_at.tzinfo is None:
        raise PlanError("the plan's time has no zone; make a new one")
    verdicts = tuple(map(_verdict, rows))
    known = {verdict.host_id for verdict in verdicts}
    holds = tuple(Hold(_typed(why, str), tuple(ids)) for why, ids in document["holds"])
    if (
        len(known) < len(verdicts)
        or not {host_id for hold in holds for host_id in hold.host_ids} <= known
    ):
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
    cloud, region, servers, proof, error, kind, alive, witnesses, terminated, unlisted = row
    if servers is not None:
        _typed(servers, int)
    for text in (cloud, region, proof, error, kind, *unlisted):
        _typed(text, str)
    for count in (alive, terminated):
        _typed(count, int)
    pairs = tuple((_typed(name, str), _typed(uuid, str)) for name, uuid in witnesses)
    return PlanRegion(
        cloud,
        region,
        servers,
        proof,
        KINDS.get(kind, OSPError)(error) if kind or error else None,
        tuple(unlisted),
        alive=alive,
        witnesses=pairs,
        terminated=terminated,
    )


def _verdict(row: Sequence[Any]) -> Verdict:
    host_id, name, uuid, decision, reason, detail, fingerprint = row
    if _typed(host_id, int) < 0 or (uuid and parse_uuid(uuid) != uuid):
        raise ValueError("not the id of a host, or not a UUID")
    marks = None
    if fingerprint is not None:
        marks = Fingerprint(
            *(None if text is None else _typed(text, str) for text in _typed(fingerprint, list))
        )
    verdict = Verdict(
        host_id,
        _typed(name, str),
        _typed(uuid, str),
        Decision(decision),
        Reason(reason),
        _typed(detail, str),
        marks,
    )
    if (verdict.decision is Decision.DELETE) != (
        verdict.reason in (Reason.TERMINATED, Reason.MISSING)
    ):
        raise PlanError(
            f"the plan says {verdict.decision.value} of {name} since: {verdict.reason.value}"
        )
    if (verdict.decision is Decision.DELETE) != (marks is not None) or (marks and not verdict.uuid):
        raise PlanError(
            f"the plan does not say what the record of {name} looked like; make a new one"
        )
    return verdict


def _head(plan: Plan) -> dict[str, Any]:
    """All but the verdicts."""
    return {
        "format": FORMAT,
        "satellite": plan.satellite,
        "made_at": plan.made_at.isoformat(),
        "scope": plan.scope,
        "refusals": list(plan.refusals),
        "shrunk": plan.shrunk,
        "holds": [list(hold) for hold in plan.holds],
        **({} if plan.fleet is None else {"fleet": plan.fleet}),
        "regions": [_region_row(region) for region in plan.regions],
    }


def _digest(head: Mapping[str, Any], verdicts: Iterable[Sequence[Any]]) -> str:
    """Verdict by verdict: as one text those of a hundred thousand hosts would take 50 MB."""
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for verdict in verdicts:
        digest.update(json.dumps(verdict).encode() + b"\n")
    return digest.hexdigest()
