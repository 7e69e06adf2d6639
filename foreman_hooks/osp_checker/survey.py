"""Ask all clouds and regions in scope at once: what they know of many UUIDs, at least cost.

Travels in a job template behind osp_checker.py, so that a delegated check surveys exactly as we do.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Optional

from foreman_hooks.osp_checker.login import LogIns
from foreman_hooks.osp_checker.region import (
    MANNERS,
    Look,
    Manners,
    OSPError,
    Presence,
    Progress,
    Region,
    Sighting,
    region_names,
    swap_bytes,
    unknown_look,
    workers,
)

Place = tuple[str, str]  # cloud, region


@dataclass(frozen=True)
class CloudScope:
    """One cloud of clouds.yaml (None: the default, or OS_*), its regions (empty: those that
    clouds.yaml names).

    `ignore_regions`: compute regions of the catalog that are left out on purpose.
    """

    cloud: Optional[str]
    regions: tuple[str, ...] = ()
    lists_fail_on_down_cell: bool = False
    manners: Manners = MANNERS
    ignore_regions: tuple[str, ...] = ()


class Seen(NamedTuple):
    """How one cloud and region answered; `servers` is None where no list of them was read.

    `unlisted`: compute regions of this log-in's catalog that are neither in scope nor ignored by
    name.
    """

    cloud: str
    region: str
    servers: Optional[int]
    proof: str
    error: Optional[OSPError]
    unlisted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What all clouds in scope know of the UUIDs that were asked.

    `at`: when a checker host answered, by its own clock; None where the clouds were asked from
    here.
    """

    regions: tuple[Seen, ...]
    alive: Mapping[str, Place]  # found in a list, which is all that was asked of them
    asked: Mapping[
        str, tuple[Sighting, ...]
    ]  # asked one by one: a Sighting for each cloud and region
    at: Optional[datetime] = None

    def of(self, uuid: str) -> tuple[Sighting, ...]:
        """The sightings of one UUID; none where it was not asked."""
        if uuid in self.alive:
            return (Sighting(uuid, *self.alive[uuid], Presence.PRESENT, "listed"),)
        return self.asked.get(uuid, ())


@dataclass
class LocalChecker:
    """Asks Keystone and Nova from here, all regions side by side.

    A cloud that cannot be opened or prepared is noted in `errors`, makes every UUID unknown, and is
    not asked again. What `prepare` listed is looked up once and then let go, since it is large.
    `unlisted`: compute regions of a log-in's catalog that are neither in scope nor ignored by name.
    """

    scopes: Sequence[CloudScope]
    regions: dict[Place, Region] = field(default_factory=dict)
    errors: dict[Place, OSPError] = field(default_factory=dict)
    servers: dict[Place, int] = field(default_factory=dict)  # how many each lists
    unlisted: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    _log_ins: LogIns = field(default_factory=LogIns, repr=False)
    _lists: dict[Place, Set[str]] = field(default_factory=dict)

    def open(self) -> None:
        """Log in to every cloud and region in scope; what fails is remembered, not raised."""
        if self.regions or self.errors:
            return
        for scope in self.scopes:
            try:
                names = scope.regions or tuple(region_names(scope.cloud))
            except OSPError as error:
                self.errors[scope.cloud or "(environment)", "?"] = error
                continue
            for name in names:
                self._open_region(scope, name)
        self._compare_catalogs()

    def _compare_catalogs(self) -> None:
        """Find the compute regions that the catalogs show and nobody asks."""
        asked = [region.endpoint for region in self.regions.values() if region.endpoint]
        for place, region in self.regions.items():
            # what is in scope and failed is not forgotten: it is an error of its own
            meant = {name for cloud, name in self.errors if cloud == region.cloud}
            meant.update(
                name
                for scope in self.scopes
                if scope.cloud in (None, region.cloud)
                for name in scope.ignore_regions
            )
            self.unlisted[place] = region.log_in.left_out(asked, meant) if region.log_in else ()

    def _open_region(self, scope: CloudScope, name: str) -> None:
        try:
            region = Region.open(
                scope.cloud,
                name,
                empty_is_absent=scope.lists_fail_on_down_cell,
                manners=scope.manners,
                log_ins=self._log_ins,
            )
            self.regions[region.cloud, region.region] = region
        except OSPError as error:
            self.errors[scope.cloud or "(environment)", name] = error

    def prepare(self, progress: Optional[Progress] = None) -> None:
        """Log in, prove visibility and list the servers of every region."""
        self.open()
        counts = dict.fromkeys(self.regions, 0)

        def prepare_one(place: Place) -> None:
            def told(done: int, _: int) -> None:
                counts[place] = done
                if progress:
                    progress(sum(counts.values()), 0)

            try:
                self._lists[place] = self.regions[place].list_servers(told)
                self.servers[place] = len(self._lists[place])
            except OSPError as error:
                self.errors[place] = error

        with workers(len(self.regions)) as pool:
            list(pool.map(prepare_one, self.regions))
        if progress:
            progress(sum(counts.values()), sum(counts.values()))

    def listed(self, uuids: Sequence[str], progress: Optional[Progress] = None) -> Survey:
        """Those in a list are alive; the rest is not asked about."""
        return self._joined(self._part(uuids)[0], self._look((), None))

    def _part(self, uuids: Sequence[str]) -> tuple[dict[str, Place], list[str]]:
        """The UUIDs that are in a list, and where; and those that are in none."""
        alive: dict[str, Place] = {}
        lists, self._lists = self._lists, {}
        for place, listed in lists.items():
            alive.update((uuid, place) for uuid in uuids if uuid in listed)
        rest = []
        for uuid in [uuid for uuid in uuids if uuid not in alive]:
            other = swap_bytes(uuid)
            found = next((place for place, listed in lists.items() if other in listed), None)
            if found:
                alive[uuid] = found
            else:
                rest.append(uuid)
        return alive, rest

    def survey(self, uuids: Sequence[str], progress: Optional[Progress] = None) -> Survey:
        """Those in a list are alive; the rest is asked one by one, in every region."""
        alive, rest = self._part(uuids)
        return self._joined(alive, self._look(rest, progress))

    def ask(self, uuids: Iterable[str], progress: Optional[Progress] = None) -> Survey:
        """Each one by one, in every region, whatever a list said before."""
        self.open()
        return self._joined({}, self._look(list(uuids), progress))

    def _look(self, uuids: Sequence[str], progress: Optional[Progress]) -> list[Look]:
        """Ask all regions; where one is unknown the rest is not asked, since no UUID can be known
        then.
        """
        done = dict.fromkeys(self.regions, 0)

        def look_one(place: Place) -> Look:
            def told(count: int, total: int) -> None:
                done[place] = count
                if progress:
                    progress(sum(done.values()), total * len(done))

            return self.regions[place].look(uuids if not self.errors else (), told)

        fine = [place for place in self.regions if place not in self.errors]
        with workers(len(fine)) as pool:
            looks = list(pool.map(look_one, fine))
        return looks + [unknown_look(*place, uuids, error) for place, error in self.errors.items()]

    def _joined(self, alive: Mapping[str, Place], looks: Sequence[Look]) -> Survey:
        regions = tuple(self._seen(look) for look in looks)
        asked: dict[str, tuple[Sighting, ...]] = {}
        for look in looks:
            for uuid, sighting in look.sightings.items():
                asked[uuid] = (*asked.get(uuid, ()), sighting)
        return Survey(regions, alive, asked)

    def _seen(self, look: Look) -> Seen:
        """A region that failed has no number of servers: with a cell down its list is short without
        a sign.
        """
        place = (look.cloud, look.region)
        unlisted = self.unlisted.get(place, ())
        if look.error:
            return Seen(*place, None, "", look.error, unlisted)
        visibility = self.regions[place].visibility
        return Seen(
            *place, self.servers.get(place), visibility.proof if visibility else "", None, unlisted
        )


def joined(uuids: Collection[str], surveys: Sequence[Survey]) -> Survey:
    """One Survey of the answers to several questions; of these UUIDs, what nobody answered is
    UNKNOWN.
    """
    regions: dict[Place, Seen] = {}
    for seen in (seen for survey in surveys for seen in survey.regions):
        known = regions.get((seen.cloud, seen.region), seen)
        regions[seen.cloud, seen.region] = Seen(
            seen.cloud,
            seen.region,
            known.servers if seen.servers is None else seen.servers,
            known.proof or seen.proof,
            known.error or seen.error,
            tuple(sorted({*known.unlisted, *seen.unlisted})),
        )
    alive = {uuid: place for survey in surveys for uuid, place in survey.alive.items()}
    said = {
        (one.uuid, one.cloud, one.region): one
        for survey in surveys
        for found in survey.asked.values()
        for one in found
    }
    return Survey(
        tuple(seen._replace(servers=None) if seen.error else seen for seen in regions.values()),
        alive,
        {
            uuid: tuple(
                _of(uuid, seen, said.get((uuid, *place))) for place, seen in regions.items()
            )
            for uuid in uuids
            if uuid not in alive
        },
    )


def _of(uuid: str, seen: Seen, said: Optional[Sighting]) -> Sighting:
    if seen.error or said is None:
        return Sighting(
            uuid, seen.cloud, seen.region, Presence.UNKNOWN, str(seen.error or "not asked")
        )
    return said
