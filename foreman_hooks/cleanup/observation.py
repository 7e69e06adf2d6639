"""What a run learned: the value that the verdicts are made from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from foreman_hooks.cleanup.missing import Missing
from foreman_hooks.cleanup.whereabouts import sightings_of
from foreman_hooks.osp_checker import Place, RegionAnswer, Sighting, Survey
from foreman_hooks.rules.model import History, Record, Verdict
from foreman_hooks.rules.verdict import Case
from foreman_hooks.satellite.inventory import IdentifiedHost, ListedHost


@dataclass(frozen=True)
class Observation:
    """Everything that a run learned: enough to judge every host, without raw responses.

    `made_at`: when the run began (aware).  `alive`: the verdicts on the hosts in scope whose
    instance is in a list of servers.  `hosts`: all others in scope, identified by all of their
    facts.  `counts`: place -> how many hosts of this Satellite are alive there, in scope or not.
    """

    made_at: datetime
    alive: Sequence[Verdict]
    hosts: Sequence[IdentifiedHost]
    survey: Survey
    counts: Mapping[Place, int]
    missing: Missing

    def everyone(self) -> Iterator[ListedHost]:
        """Yield every host in scope, with its known UUIDs."""
        for verdict in self.alive:
            yield ListedHost(verdict.host_id, verdict.name, (verdict.uuid,))
        for host in self.hosts:
            yield ListedHost(host.id, host.name, host.identity.uuids)

    def missing_hosts(self) -> Iterator[IdentifiedHost]:
        """Yield the missing hosts: every cloud answered, and none has them alive."""
        for host in self.hosts:
            if host.id in self.missing.histories:
                yield host

    def case(self, host: IdentifiedHost) -> Case:
        """Everything that the rules need to know of one host."""
        sightings = sightings_of(host.identity.uuids, self.survey)
        return case_of(host, sightings, self.survey.regions, self.missing)


def case_of(
    host: IdentifiedHost,
    sightings: tuple[Sighting, ...],
    regions: Iterable[RegionAnswer],
    missing: Missing,
) -> Case:
    """The case of one host, from its sightings and what is known of the missing hosts."""
    record = missing.records.get(host.id)
    readable = record if isinstance(record, Record) else None
    linked = readable is not None and bool(readable.compute_resource)
    twins, unreadable_twins = _twins(host, missing)
    unlisted: list[str] = []
    for region in regions:
        unlisted += [f"{region.cloud}/{name}" for name in region.unlisted]
    witnessed: set[Place] = set()
    for place, witnesses in missing.witnesses.items():
        if host.identity.kind in witnesses:
            witnessed.add(place)
    return Case(
        host_id=host.id,
        name=host.name,
        identity=host.identity,
        sightings=sightings,
        record=readable,
        problem=record if isinstance(record, str) else "",
        twins=twins,
        unreadable_twins=unreadable_twins,
        history=missing.histories.get(host.id, History()),
        unlisted=tuple(unlisted),
        witnessed=frozenset(witnessed),
        checkins_arrive=missing.checkins_arrive,
        parameters_shown=missing.parameters_shown,
        detachable=missing.detachable or not linked,
    )


def _twins(
    host: IdentifiedHost, missing: Missing
) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """The other records that name its instance, and the names of those that cannot be read."""
    records: list[Record] = []
    unreadable: list[str] = []
    for name in missing.twins.get(host.id, ()):
        twin = missing.twin_records.get(name)
        if isinstance(twin, Record):
            records.append(twin)
        elif isinstance(twin, str):
            unreadable.append(name)
    return tuple(records), tuple(unreadable)
