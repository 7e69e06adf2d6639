"""The closer look at missing hosts: every cloud answered, and none has them alive."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Optional

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.progress import Progress, stage
from foreman_hooks.cleanup.signs_of_life import SignsOfLife
from foreman_hooks.cleanup.whereabouts import sightings_of, terminated_at
from foreman_hooks.osp_checker import Place, RegionAnswer, Sighting, Survey
from foreman_hooks.osp_checker.pace import workers
from foreman_hooks.rules.model import History, Policy, Record
from foreman_hooks.rules.verdict import Case, needs_record
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.installation import destroys_vms
from foreman_hooks.satellite.inventory import IdentifiedHost, ListedHost, firmware_kinds
from foreman_hooks.satellite.records import (
    FULL_PAGE,
    RecordOrReason,
    fetch_records,
    fetch_records_named,
)
from foreman_hooks.satellite.shared_uuids import hosts_sharing_uuids

# Place -> kind -> UUIDs of a few hosts of that kind that are alive there.
Witnesses = Mapping[Place, Mapping[str, Sequence[str]]]

# Place -> the hosts that are alive there.
Alive = Mapping[Place, Sequence[ListedHost]]

# How many living hosts of each kind a plan names for each region: some may end before 'apply'.
WITNESSES = 3


@dataclass(frozen=True)
class Missing:
    """What is known of the missing hosts.

    `records`: host id -> its record; only of hosts whose verdict depends on it.  `histories`: host
    id -> what earlier runs know; only of missing hosts.  `twins`: host id -> the names of the other
    records that name its instance.  `twin_records`: name -> record of these; only for the hosts in
    `records`.  `checkins_arrive`: other hosts checked in recently.  `parameters_shown`: the login
    may read host parameters.  `detachable`: compute resources can be detached.
    """

    records: Mapping[int, RecordOrReason] = field(default_factory=dict)
    histories: Mapping[int, History] = field(default_factory=dict)
    twins: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    twin_records: Mapping[str, RecordOrReason] = field(default_factory=dict)
    witnesses: Witnesses = field(default_factory=dict)
    checkins_arrive: bool = False
    parameters_shown: bool = False
    detachable: bool = True

    def case(
        self,
        host: IdentifiedHost,
        sightings: tuple[Sighting, ...],
        regions: Iterable[RegionAnswer],
    ) -> Case:
        """Everything that the rules need to know of one host; `regions`: all that were asked."""
        record = self.records.get(host.id)
        readable = record if isinstance(record, Record) else None
        unlisted: list[str] = []
        for region in regions:
            unlisted += [f"{region.cloud}/{name}" for name in region.unlisted]
        witnessed: set[Place] = set()
        for place, witnesses in self.witnesses.items():
            if host.identity.kind in witnesses:
                witnessed.add(place)
        twins: dict[str, Optional[Record]] = {}
        for name in self.twins.get(host.id, ()):
            twin = self.twin_records.get(name)
            twins[name] = twin if isinstance(twin, Record) else None
        return Case(
            host_id=host.id,
            name=host.name,
            identity=host.identity,
            sightings=sightings,
            record=readable,
            problem=record if isinstance(record, str) else "",
            twins=twins,
            history=self.histories.get(host.id, History()),
            unlisted=tuple(unlisted),
            witnessed=frozenset(witnessed),
            checkins_arrive=self.checkins_arrive,
            parameters_shown=self.parameters_shown,
            detachable=self.detachable,
        )


@dataclass(frozen=True)
class MissingHosts:
    """Looks up everything that the rules need to know of missing hosts, as of `now` (aware)."""

    satellite: Satellite
    journal: Journal
    policy: Policy
    progress: Progress
    now: datetime

    def look_up(
        self,
        hosts: Sequence[IdentifiedHost],
        survey: Survey,
        alive: Alive,
        closely: Collection[int] = (),
    ) -> Missing:
        """Their twins, the witnesses of their absence, and the records that verdicts depend on.

        `alive`: place -> the hosts that are alive there.  `closely`: ids of hosts whose records are
        read in any case.  Raises SatelliteError.
        """
        if not hosts:
            return Missing()
        signs = SignsOfLife(self.satellite, self.policy.silence, self.now)
        absent = [
            host
            for host in hosts
            if terminated_at(host.identity.uuids, survey) is None  # without proof
        ]
        missing = Missing(
            histories=self._histories(hosts, survey),
            twins=hosts_sharing_uuids(self.satellite, hosts),
            witnesses=self._find_witnesses(absent, alive),
            checkins_arrive=self._checkins_arrive(absent, signs),
            parameters_shown=self.satellite.has_permission("view_params"),
        )
        needed = [
            host
            for host in hosts
            if host.id in closely or self._needs_record(host, missing, survey)
        ]
        if not needed:
            return missing
        return self._with_records(missing, needed, survey, signs)

    def _needs_record(
        self, host: IdentifiedHost, missing: Missing, survey: Survey
    ) -> bool:
        """Whether the verdict on the host may depend on its record.

        The misses of this run are not counted yet: they may be the last that it takes.
        """
        sightings = sightings_of(host.identity.uuids, survey)
        case = missing.case(host, sightings, survey.regions)
        history = case.history._replace(
            misses=case.history.misses + 1,
            since=case.history.since or self.now,
        )
        return needs_record(replace(case, history=history), self.policy, self.now)

    def _with_records(
        self,
        missing: Missing,
        hosts: Sequence[IdentifiedHost],
        survey: Survey,
        signs: SignsOfLife,
    ) -> Missing:
        """The same with the records of these hosts and of their twins."""
        records = self._read_records([host.id for host in hosts])
        ends: dict[int, Optional[datetime]] = {}
        names: set[str] = set()
        for host in hosts:
            end = terminated_at(host.identity.uuids, survey)
            ends[host.id] = end
            names.update(missing.twins[host.id])
            if host.id in records:
                records[host.id] = signs.check_reports(records[host.id], end)
        twin_records = fetch_records_named(self.satellite, sorted(names))
        return replace(
            missing,
            records=records,
            twin_records=signs.check_twin_reports(twin_records, missing.twins, ends),
            detachable=can_detach(self.satellite, records.values()),
        )

    def _read_records(self, ids: Sequence[int]) -> dict[int, RecordOrReason]:
        report = stage(self.progress, "records of missing instances")
        starts = range(0, len(ids), FULL_PAGE)
        pages = [ids[start : start + FULL_PAGE] for start in starts]
        fetch = partial(fetch_records, self.satellite)
        done = 0
        records: dict[int, RecordOrReason] = {}
        with workers(self.satellite.manners.workers) as pool:
            for page, page_records in zip(pages, pool.map(fetch, pages)):
                records.update(page_records)
                done += len(page)
                report(done, len(ids))
        return records

    def _histories(
        self, hosts: Sequence[IdentifiedHost], survey: Survey
    ) -> dict[int, History]:
        url = self.satellite.url
        places = [region.place for region in survey.regions]
        histories: dict[int, History] = {}
        for host in hosts:
            uuid = host.identity.uuids[0]
            histories[host.id] = self.journal.history(url, host.id, uuid, places)
        return histories

    def _checkins_arrive(
        self, absent: Sequence[IdentifiedHost], signs: SignsOfLife
    ) -> bool:
        """Whether hosts that are not absent checked in recently; False if no host is absent."""
        if not absent:
            return False
        return signs.others_check_in({host.id for host in absent})

    def _find_witnesses(
        self, absent: Sequence[IdentifiedHost], alive: Alive
    ) -> Witnesses:
        """Some living hosts in each place, of each kind of which a host is absent."""
        wanted = {host.identity.kind for host in absent} - {""}
        if not wanted:
            return {}
        witnesses: dict[Place, dict[str, list[str]]] = {}
        for place, hosts in alive.items():
            witnesses[place] = self._living_by_kind(hosts, wanted)
        return witnesses

    def _living_by_kind(
        self, hosts: Sequence[ListedHost], wanted: Iterable[str]
    ) -> dict[str, list[str]]:
        """Kind -> UUIDs of a few of these hosts; stops when there are enough of every kind."""
        open_kinds = set(wanted)
        living: dict[str, list[str]] = {}
        names = self.policy.openstack_names
        for uuid, kind in firmware_kinds(self.satellite, hosts, names):
            if kind in open_kinds:
                uuids = living.setdefault(kind, [])
                uuids.append(uuid)
                if len(uuids) == WITNESSES:
                    open_kinds.discard(kind)
            if not open_kinds:
                break
        return living


def can_detach(
    satellite: Satellite, records: Iterable[Optional[RecordOrReason]]
) -> bool:
    """Whether the records can be detached from their compute resources; True without any.

    They can if this login can read the setting about the VM of a deleted host.  Raises
    SatelliteError.
    """
    for record in records:
        if isinstance(record, Record) and record.compute_resource:
            return destroys_vms(satellite) is not None
    return True
