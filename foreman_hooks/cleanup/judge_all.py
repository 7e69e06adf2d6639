"""Judge every host that a run observed, and make a plan of the verdicts."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Optional

from foreman_hooks.cleanup.observation import Observation
from foreman_hooks.osp_checker import Place, Presence, RegionAnswer
from foreman_hooks.rules.guard_rails import with_holds
from foreman_hooks.rules.model import History, Policy, Reason, Verdict
from foreman_hooks.rules.plan import Absence, Plan, PlanRegion
from foreman_hooks.rules.verdict import CLOCK_SKEW, judge
from foreman_hooks.rules.verdicts import Alike, verdicts_of

# Place -> how many servers it listed in the last good run, and when that was.
ServersBefore = Mapping[Place, tuple[int, datetime]]

# The reasons of absent hosts that are deleted now, or may be soon.
_ABSENT = frozenset({Reason.MISSING, Reason.GRACE, Reason.SILENCE})


def judge_all(
    observation: Observation,
    policy: Policy,
    satellite: str,
    scope: str,
    servers_before: ServersBefore,
) -> Plan:
    """The plan of a run, with its holds: the deletions that need an approval.

    `satellite`: its URL.  `scope`: which hosts were looked at, for people.
    """
    judged, strangers = _judge_not_listed(observation, policy)
    regions: list[PlanRegion] = []
    for answer in observation.survey.regions:
        _, since = servers_before.get(answer.place, (0, None))
        regions.append(_plan_region(answer, observation, since))
    plan = Plan(
        satellite=satellite,
        made_at=observation.made_at,
        scope=scope,
        regions=tuple(regions),
        verdicts=verdicts_of(judged, [*observation.alive, *strangers]),
    )
    absences = _absences(judged, observation.missing.histories)
    return with_holds(plan, policy, absences)


def _judge_not_listed(
    observation: Observation, policy: Policy
) -> tuple[list[Verdict], list[Alike]]:
    """The verdicts on all hosts that no list of servers contains.

    Hosts that are not instances share one verdict if they have the same reason and facts.
    """
    judged: list[Verdict] = []
    strangers: dict[tuple[Reason, str], Alike] = {}
    for host in observation.hosts:
        identity = host.identity
        if identity.reason is None:
            judged.append(judge(observation.case(host), policy, observation.made_at))
            continue
        key = (identity.reason, identity.facts)
        if key not in strangers:
            verdict = judge(observation.case(host), policy, observation.made_at)
            strangers[key] = Alike(verdict, [])
        uuid = identity.uuids[0] if identity.uuids else ""
        strangers[key].hosts.append((host.id, host.name, uuid))
    return judged, list(strangers.values())


def _plan_region(
    answer: RegionAnswer,
    observation: Observation,
    since: Optional[datetime],
) -> PlanRegion:
    """The region as the plan keeps it; `since`: when the last good run asked it."""
    witnesses: list[tuple[str, str]] = []
    for kind, uuids in observation.missing.witnesses.get(answer.place, {}).items():
        witnesses += [(kind, uuid) for uuid in uuids]
    return PlanRegion(
        cloud=answer.cloud,
        region=answer.region,
        servers=answer.servers,
        proof=answer.proof,
        error=answer.error,
        unlisted=answer.unlisted,
        alive=observation.counts.get(answer.place, 0),
        witnesses=tuple(witnesses),
        terminated=_count_terminated(observation, answer.place, since),
    )


def _count_terminated(
    observation: Observation,
    place: Place,
    since: Optional[datetime],
) -> int:
    """How many servers of that place are proven terminated since then; None: at any time."""
    count = 0
    for sightings in observation.survey.asked.values():
        for sighting in sightings:
            if sighting.presence is not Presence.DELETED or sighting.place != place:
                continue
            end = sighting.terminated_at
            if end is not None and (since is None or end > since - CLOCK_SKEW):
                count += 1
    return count


def _absences(
    verdicts: Iterable[Verdict], histories: Mapping[int, History]
) -> list[Absence]:
    """The absent hosts, each with its home and since when it has been missing."""
    absences = []
    for verdict in verdicts:
        history = histories.get(verdict.host_id, History())
        if verdict.reason in _ABSENT and history.since:
            home = min(map(str, history.homes), default="")
            absences.append(Absence(verdict.host_id, home, history.since))
    return absences
