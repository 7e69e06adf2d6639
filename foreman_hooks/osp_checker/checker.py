"""Ask all clouds and regions in scope about many UUIDs at once, with as few requests as possible.

A delegated check runs the same code on a host of the OSP team.
"""

from collections.abc import (
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
)
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Callable, Optional, Protocol, Union

from foreman_hooks.osp_checker.config import region_names
from foreman_hooks.osp_checker.deleted_rows import look_in_bulk
from foreman_hooks.osp_checker.errors import OSPError
from foreman_hooks.osp_checker.login import LogIns
from foreman_hooks.osp_checker.pace import MANNERS, Manners, Progress, workers
from foreman_hooks.osp_checker.region import Region, unknown_region
from foreman_hooks.osp_checker.server_list import list_uuids
from foreman_hooks.osp_checker.servers import (
    Server,
    Servers,
    deleted_servers,
    inactive_servers,
    unmanaged_servers,
)
from foreman_hooks.osp_checker.sightings import (
    Place,
    Presence,
    RegionAnswer,
    Sighting,
    Survey,
)
from foreman_hooks.osp_checker.uuids import both_orders, swap_bytes


@dataclass(frozen=True)
class ServerLists:
    """The UUIDs of the servers that each region lists: megabytes, so clear them after use."""

    servers: dict[Place, Set[str]] = field(default_factory=dict, repr=False)

    def find(self, uuids: Sequence[str]) -> dict[str, Place]:
        """UUID -> the place that lists it, in either byte order; only UUIDs that are in a list."""
        alive: dict[str, Place] = {}
        for place, servers in self.servers.items():
            alive.update(dict.fromkeys(filter(servers.__contains__, uuids), place))
        swapped = {uuid: swap_bytes(uuid) for uuid in uuids if uuid not in alive}
        for place, servers in reversed(self.servers.items()):
            alive.update(
                (uuid, place) for uuid, other in swapped.items() if other in servers
            )
        return alive


class Checker(Protocol):
    """Something that can say what the clouds in scope know of UUIDs.

    A cloud that fails raises nothing: the survey holds its error.
    """

    def prepare(self, progress: Optional[Progress] = None) -> ServerLists:
        """Do what does not depend on the UUIDs; may run in a thread beside other work."""

    def listed(
        self,
        uuids: Sequence[str],
        lists: ServerLists,
        progress: Optional[Progress] = None,
    ) -> Survey:
        """Which of these UUIDs a list of servers contains; nothing is asked about the others."""

    def ask(
        self,
        uuids: Iterable[str],
        progress: Optional[Progress] = None,
        since: Optional[datetime] = None,
    ) -> Survey:
        """Ask about each UUID one by one, now, whatever a list says.

        With `since` (aware), the rows that were deleted after it are read first, in pages, and only
        UUIDs without such a row are asked about one by one.
        """

    def survey(
        self,
        uuids: Sequence[str],
        lists: ServerLists,
        progress: Optional[Progress] = None,
    ) -> Survey:
        """Both at once: only UUIDs that no list contains are asked about one by one."""

    def deleted(self, since: datetime, progress: Optional[Progress] = None) -> Servers:
        """The servers that were deleted since a time (aware); see servers.deleted_servers."""

    def inactive(self, progress: Optional[Progress] = None) -> Servers:
        """The servers that do not run; see servers.inactive_servers."""

    def unmanaged(
        self, known: Collection[str], progress: Optional[Progress] = None
    ) -> Servers:
        """The servers that none of these UUIDs names, in either byte order.

        The answers of the regions say how many servers they list.
        """


@dataclass(frozen=True)
class CloudScope:
    """One cloud of clouds.yaml and its regions in scope.

    `cloud`: its name; None for the default cloud, or that of the OS_* variables.  `regions`: if
    empty, those that clouds.yaml names.  `lists_fail_on_down_cell`: see Region.empty_is_absent.
    `ignore_regions`: compute regions of the catalog that are left out on purpose.
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
        """The function by which this region reports its progress."""

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
    """Asks Keystone and Nova from this machine, all regions in parallel.

    `errors`: why a region could not be opened or listed; then every UUID is unknown, and the region
    is not asked again.  `servers`: how many each region lists.  `unlisted`: compute regions of a
    login's catalog that are neither in scope nor ignored by name.
    """

    scopes: Sequence[CloudScope]
    regions: dict[Place, Region] = field(default_factory=dict)
    errors: dict[Place, OSPError] = field(default_factory=dict)
    servers: dict[Place, int] = field(default_factory=dict)
    unlisted: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    _log_ins: LogIns = field(default_factory=LogIns, repr=False)

    def open(self) -> None:
        """Log in to every cloud and region in scope; failures go to `errors`, none is raised."""
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
        """The regions of a cloud that are ignored by name, or that failed."""
        names = {place.region for place in self.errors if place.cloud == cloud}
        for scope in self.scopes:
            if scope.cloud in (None, cloud):
                names.update(scope.ignore_regions)
        return names

    def prepare(self, progress: Optional[Progress] = None) -> ServerLists:
        """Log in, prove visibility, and list the servers of every region."""
        self.open()
        counts = _Counts(self.regions, progress)
        lists: dict[Place, Set[str]] = {}

        def list_servers(place: Place) -> None:
            region = self.regions[place]
            try:
                lists[place] = list_uuids(region, counts.of(place))
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
        """UUIDs in a list are alive; the others are not asked about."""
        return self._joined(lists.find(uuids), self._look((), None))

    def survey(
        self,
        uuids: Sequence[str],
        lists: ServerLists,
        progress: Optional[Progress] = None,
    ) -> Survey:
        """UUIDs in a list are alive; the others are asked about one by one, in every region."""
        alive = lists.find(uuids)
        unlisted = [uuid for uuid in uuids if uuid not in alive]
        return self._joined(alive, self._look(unlisted, progress))

    def ask(
        self,
        uuids: Iterable[str],
        progress: Optional[Progress] = None,
        since: Optional[datetime] = None,
    ) -> Survey:
        """Ask about each UUID in every region, whatever a list said before; see Checker.ask."""
        self.open()
        return self._joined({}, self._look(list(uuids), progress, since))

    def deleted(self, since: datetime, progress: Optional[Progress] = None) -> Servers:
        """The servers that were deleted since a time (aware); see servers.deleted_servers."""
        return self._servers(partial(deleted_servers, since=since), progress)

    def inactive(self, progress: Optional[Progress] = None) -> Servers:
        """The servers that do not run; see servers.inactive_servers."""
        return self._servers(inactive_servers, progress)

    def unmanaged(
        self, known: Collection[str], progress: Optional[Progress] = None
    ) -> Servers:
        """The servers that none of these UUIDs names; see servers.unmanaged_servers."""
        managed = both_orders(known)

        def read(region: Region, progress: Progress) -> Iterator[Server]:
            def count(done: int, total: int) -> None:
                self.servers[region.place] = done  # the list is not filtered
                progress(done, total)

            return unmanaged_servers(region, managed, count)

        return self._servers(read, progress)

    def _servers(
        self,
        read: Callable[..., Iterable[Server]],
        progress: Optional[Progress],
    ) -> Servers:
        """The servers that `read` returns of each region; a region that fails has none."""
        self.open()
        counts = _Counts(self.regions, progress)

        def read_region(place: Place) -> list[Server]:
            try:
                return list(read(self.regions[place], progress=counts.of(place)))
            except OSPError as error:
                self.errors[place] = error
                return []

        sound = [place for place in self.regions if place not in self.errors]
        with workers(len(sound)) as pool:
            lists = list(pool.map(read_region, sound))
        answers = tuple(map(self._described, self._look((), None)))
        servers = tuple(chain.from_iterable(lists))
        return Servers(answers, servers)

    def _look(
        self,
        uuids: Sequence[str],
        progress: Optional[Progress],
        since: Optional[datetime] = None,
    ) -> list[RegionAnswer]:
        """Ask all regions, or none if one has failed already: then no UUID can be known."""
        counts = _Counts(self.regions, progress)
        wanted = () if self.errors else uuids

        def look(place: Place) -> RegionAnswer:
            region, report = self.regions[place], counts.of(place)
            if since is None:
                return region.look(wanted, report)
            return look_in_bulk(region, wanted, since, report)

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
        """The answer without its sightings, and with what else is known of the region.

        A region that failed has no number of servers: while a cell is down, its list is shorter and
        nothing shows it.
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
    since: Optional[datetime] = None,
) -> Survey:
    """Complete the survey of the lists by asking about these UUIDs, which no list contains.

    `since`: as for Checker.ask.  If a region failed, they are not asked about: nothing could be
    known of them.
    """
    if any(answer.error for answer in listed.regions):
        return joined(uuids, [listed])
    return joined(uuids, [listed, checker.ask(uuids, progress, since)])


def joined(uuids: Collection[str], surveys: Sequence[Survey]) -> Survey:
    """Join the answers to several questions into one survey.

    A UUID of `uuids` about which no survey has an answer is UNKNOWN.
    """
    regions = _joined_regions(surveys)
    alive: dict[str, Place] = {}
    sightings: dict[tuple[str, Place], Sighting] = {}
    for survey in surveys:
        alive.update(survey.alive)
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


def joined_servers(answers: Sequence[Servers]) -> Servers:
    """Join the answers of several checker hosts; a region with an error contributes no servers."""
    regions = _joined_regions(answers)
    servers = chain.from_iterable(answer.servers for answer in answers)
    sound = [server for server in servers if not regions[server.place].error]
    return Servers(tuple(regions.values()), tuple(sound))


def _joined_regions(
    answers: Iterable[Union[Survey, Servers]],
) -> dict[Place, RegionAnswer]:
    """How each region answered, by all of these answers."""
    regions: dict[Place, RegionAnswer] = {}
    for answer in answers:
        for region in answer.regions:
            place = region.place
            known = regions.get(place, region)
            regions[place] = _merged(known, region)
    return regions


def _merged(known: RegionAnswer, answer: RegionAnswer) -> RegionAnswer:
    """Two answers of one region as one; an error in either of them counts."""
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
