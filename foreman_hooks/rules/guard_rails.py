"""The guard rails: whether a plan as a whole is believable, and what has to be held back.  Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Optional

from foreman_hooks.osp_checker import Place
from foreman_hooks.rules.model import Policy, Reason
from foreman_hooks.rules.plan import Absence, Hold, Kind, Plan, PlanRegion

SHRINK_FLOOR = 2  # a region may always lose this many servers, however small it is
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
        kind=Kind.SINGLE,
        fleet=count_instances(plan),
        holds=tuple(holds),
        verdicts=plan.verdicts.only(host_ids),
    )


def count_instances(plan: Plan) -> int:
    """How many instances the plan is about: the fleet of which max_fraction may be deleted."""
    if plan.fleet is not None:
        return plan.fleet
    return plan.hosts - plan.verdicts.count(_NOT_INSTANCES)


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
    home: str,
    absences: Sequence[Absence],
    missing: Collection[int],
    policy: Policy,
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
    plan: Plan,
    policy: Policy,
    servers_before: Mapping[Place, int],
    before: int = 0,
) -> Plan:
    """The plan with the guard rails that it breaks, each with its numbers.

    `servers_before`: how many servers each place listed that the last good run asked.  `before`:
    if the plan is not about all hosts, how many records were deleted in the last hour: many such
    runs together must stay within the caps of one run.
    """
    asked = {region.place for region in plan.regions}
    unasked = tuple(str(place) for place in servers_before if place not in asked)
    shrunk = [*_shrinkages(plan, policy, servers_before), *map(_unasked, unasked)]
    refusals = (*_broken_caps(plan, policy, before), *shrunk)
    return replace(plan, refusals=refusals, shrunk=bool(shrunk), unasked=unasked)


def _unasked(place: str) -> str:
    return (
        f"{place} was asked in the last good run and is out of scope now; "
        "its hosts would look absent"
    )


def _broken_caps(plan: Plan, policy: Policy, before: int) -> Iterator[str]:
    """How the deletions exceed the caps on number and fraction; a cap of 0 allows none."""
    deletions, fleet = len(plan.deletions), count_instances(plan)
    allowed = _share(fleet, policy.max_fraction)
    if deletions:
        deletions += before
        # A fleet so small that the fraction allows none may still lose a record that was named.
        if plan.kind is Kind.SINGLE and policy.max_fraction:
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
    """Yield which regions shrank by more than they may."""
    for region in plan.regions:
        shrinkage = _shrinkage(region, servers_before.get(region.place, 0), policy)
        if shrinkage:
            yield shrinkage


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
