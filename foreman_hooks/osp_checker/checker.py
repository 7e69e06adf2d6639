"""Ask all clouds and regions in scope at once what they know of many UUIDs, at the least cost.

A delegated check runs this very code on a host of the OSP team.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Optional, Protocol

from foreman_hooks.osp_checker.config import region_names
from foreman_hooks.osp_checker.errors import OSPError
from foreman_hooks.osp_checker.login import LogIns
from foreman_hooks.osp_checker.pace import MANNERS, Manners, Progress, workers
from foreman_hooks.osp_checker.region import Region, unknown_region
from foreman_hooks.osp_checker.sightings import (
    Place,
    Presence,
    RegionAnswer,
    Sighting,
    Survey,
)
from foreman_hooks.osp_checker.uuids import swap_bytes


@dataclass(frozen=True)
class ServerLists:
    """The UUIDs of the servers that each region lists; they are large, so let them go after use."""

    servers: dict[Place, Set[str]] = field(default_factory=dict, repr=False)

    def find(self, uuids: Sequence[str]) -> dict[str, Place]:
        """UUID -> the region that lists it, in either byte order."""
        alive: dict[str, Place] = {}
        for place, servers in self.servers.items():
            alive.update((uuid, place) for uuid in uuids if uuid in servers)
        swapped = {uuid: swap_bytes(uuid) for uuid in uuids if uuid not in alive}
        for place, servers in reversed(self.servers.items()):
            alive.update(
                (uuid, place) for uuid, other in swapped.items() if other in servers
            )
        return alive


class Checker(Protocol):
    """Something that can say what the clouds in scope know of UUIDs."""

    def prepare(self, progress: Optional[Progress] = None) -> ServerLists:
        """Do what does not depend on the UUIDs; may run beside other work."""

    def listed(
        self,
        uuids: Sequence[str],
        lists: ServerLists,
        progress: Optional[Progress] = None,
    ) -> Survey:
        """Which of them are in a list of servers; says nothing of the others, however many."""

    def ask(self, uuids: Iterable[str], progress: Optional[Progress] = None) -> Survey:
        """Each of them one by one and now, whatever a list says."""

    def survey(
        self,
        uuids: Sequence[str],
        lists: ServerLists,
        progress: Optional[Progress] = None,
    ) -> Survey:
        """Both in one: a UUID that is in a list is not asked about."""


@dataclass(frozen=True)
class CloudScope:
    """One cloud of clouds.yaml and its regions in scope.

    `cloud`: its name; None: the default cloud, or OS_*.  `regions`: empty: those that clouds.yaml
    names.  `ignore_regions`: compute regions of the catalog that are left out on purpose.
    """

    cloud: Optional[str]
    regions: tuple[str, ...] = ()
    lists_fail_on_down_cell: bool = False
    manners: Manners = MANNERS
    ignore_regions: tuple[str, ...] = ()


class _Counts:
    """Adds up the progress of several regions."""

    def __init__(self, places: Iterable[Place], progress: Optional[Progress]) -> None:
        self._done = dict.fromkeys(places, 0)
        self._progress = progress

    def of(self, place: Place) -> Progress:
        """The progress that this region reports to; `total` is its own, 0 if not known."""

        def report(done: int, total: int) -> None:
            self._done[place] = done
            if self._progress:
                self._progress(self.sum, total * len(self._done))

        return report

    @property
    def sum(self) -> int:
        """How much all regions have done."""
        return sum(self._done.values())


@dataclass
class LocalChecker:
    """Asks Keystone and Nova from here, all regions side by side.

    A region that cannot be opened or listed goes to `errors`, makes every UUID unknown, and is not
    asked again.  `servers`: how many each region lists.  `unlisted`: compute regions of a login's
    catalog that are neither in scope nor ignored by name.
    """

    scopes: Sequence[CloudScope]
    regions: dict[Place, Region] = field(default_factory=dict)
    errors: dict[Place, OSPError] = field(default_factory=dict)
    servers: dict[Place, int] = field(default_factory=dict)
    unlisted: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    _log_ins: LogIns = field(default_factory=LogIns, repr=False)

    def open(self) -> None:
        """Log in to every cloud and region in scope; a failure is kept, not raised."""
        if self.regions or self.errors:
            return
        for scope in self.scopes:
            try:
                names = scope.regions or tuple(region_names(scope.cloud))
            except OSPError as error:
                self.errors[Place(scope.cloud or "(environment)", "?")] = error
                continue
            for name in names:
                self._open_region(scope, name)
        self._compare_catalogs()

    def _open_region(self, scope: CloudScope, name: str) -> None:
        try:
            region = Region.open(
                scope.cloud,
                name,
                empty_is_absent=scope.lists_fail_on_down_cell,
                manners=scope.manners,
                log_ins=self._log_ins,
            )
            self.regions[region.place] = region
        except OSPError as error:
            self.errors[Place(scope.cloud or "(environment)", name)] = error

    def _compare_catalogs(self) -> None:
        """Find the compute regions that are in the catalogs and not in scope."""
        asked = [region.endpoint for region in self.regions.values() if region.endpoint]
        for place, region in self.regions.items():
            if region.log_in:
                self.unlisted[place] = region.log_in.left_out(
                    asked, self._names(place.cloud)
                )

    def _names(self, cloud: str) -> set[str]:
        """The regions of a cloud that are ignored on purpose, or in scope and in `errors`."""
        names = {place.region for place in self.errors if place.cloud == cloud}
        for scope in self.scopes:
            if scope.cloud in (None, cloud):
                names.update(scope.ignore_regions)
        return names

    def prepare(self, progress: Optional[Progress] = None) -> ServerLists:
        """Log in, prove visibility and list the servers of every region."""
        self.open()
        counts = _Counts(self.regions, progress)
        lists: dict[Place, Set[str]] = {}

        def list_servers(place: Place) -> None:
            try:
                lists[place] = self.regions[place].list_servers(counts.of(place))
                self.servers[place] = len(lists[place])
            except OSPError as error:
                self.errors[place] = error

        with workers(len(self.regions)) as pool:
            list(pool.map(list_servers, self.regions))
        if progress:
            progress(counts.sum, counts.sum)
        return ServerLists(lists)

    def listed(
        self,
        uuids: Sequence[str],
        lists: ServerLists,
        progress: Optional[Progress] = None,
    ) -> Survey:
        """Those in a list are alive; the others are not asked about."""
        return self._joined(lists.find(uuids), self._look((), None))

    def survey(
        self,
        uuids: Sequence[str],
        lists: ServerLists,
        progress: Optional[Progress] = None,
    ) -> Survey:
        """Those in a list are alive; the others are asked about one by one, in every region."""
        alive = lists.find(uuids)
        unlisted = [uuid for uuid in uuids if uuid not in alive]
        return self._joined(alive, self._look(unlisted, progress))

    def ask(self, uuids: Iterable[str], progress: Optional[Progress] = None) -> Survey:
        """Each one by one, in every region, whatever a list said before."""
        self.open()
        return self._joined({}, self._look(list(uuids), progress))

    def _look(
        self, uuids: Sequence[str], progress: Optional[Progress]
    ) -> list[RegionAnswer]:
        """Ask all regions; if one is unknown none is asked, since no UUID can be known then."""
        counts = _Counts(self.regions, progress)
        wanted = () if self.errors else uuids

        def look(place: Place) -> RegionAnswer:
            return self.regions[place].look(wanted, counts.of(place))

        sound = [place for place in self.regions if place not in self.errors]
        with workers(len(sound)) as pool:
            answers = list(pool.map(look, sound))
        for place, error in self.errors.items():
            answers.append(unknown_region(place, uuids, error))
        return answers

    def _joined(
        self, alive: Mapping[str, Place], answers: Sequence[RegionAnswer]
    ) -> Survey:
        asked: dict[str, tuple[Sighting, ...]] = {}
        for answer in answers:
            for uuid, sighting in answer.sightings.items():
                asked[uuid] = (*asked.get(uuid, ()), sighting)
        return Survey(
            tuple(self._described(answer) for answer in answers), alive, asked
        )

    def _described(self, answer: RegionAnswer) -> RegionAnswer:
        """The answer with what is known of its region, without the sightings.

        A region that failed has no number of servers: with a cell down its list is short without
        a sign.
        """
        unlisted = self.unlisted.get(answer.place, ())
        if answer.error:
            return replace(answer, unlisted=unlisted, sightings={})
        servers = self.servers.get(answer.place)
        return replace(answer, servers=servers, unlisted=unlisted, sightings={})


def ask_further(
    checker: Checker,
    listed: Survey,
    uuids: Sequence[str],
    progress: Optional[Progress] = None,
) -> Survey:
    """The survey of the lists, completed by the answers about these UUIDs, which are in no list.

    If a region failed they are not asked about: nothing could be known of them.
    """
    if any(answer.error for answer in listed.regions):
        return joined(uuids, [listed])
    return joined(uuids, [listed, checker.ask(uuids, progress)])


def joined(uuids: Collection[str], surveys: Sequence[Survey]) -> Survey:
    """One survey of the answers to several questions.

    A UUID of `uuids` that no survey has an answer about is UNKNOWN.
    """
    regions: dict[Place, RegionAnswer] = {}
    alive: dict[str, Place] = {}
    sightings: dict[tuple[str, Place], Sighting] = {}
    for survey in surveys:
        alive.update(survey.alive)
        for answer in survey.regions:
            regions[answer.place] = _merged(regions.get(answer.place, answer), answer)
        for sighting in chain.from_iterable(survey.asked.values()):
            sightings[sighting.uuid, sighting.place] = sighting
    asked = {}
    for uuid in uuids:
        if uuid not in alive:
            asked[uuid] = tuple(
                _sighting(uuid, answer, sightings.get((uuid, place)))
                for place, answer in regions.items()
            )
    return Survey(tuple(regions.values()), alive, asked)


def _merged(known: RegionAnswer, answer: RegionAnswer) -> RegionAnswer:
    """Two answers of one region as one; an error of either holds."""
    error = known.error or answer.error
    servers = known.servers if answer.servers is None else answer.servers
    return RegionAnswer(
        answer.cloud,
        answer.region,
        None if error else servers,
        known.proof or answer.proof,
        error,
        tuple(sorted({*known.unlisted, *answer.unlisted})),
    )


def _sighting(
    uuid: str, answer: RegionAnswer, sighting: Optional[Sighting]
) -> Sighting:
    if sighting and not answer.error:
        return sighting
    why = str(answer.error or "not asked")
    return Sighting(uuid, answer.cloud, answer.region, Presence.UNKNOWN, why)
