"""The state of each host's machine: whether it runs, is off or is gone.  It only reads.

As in a run, a list of all servers says which machines exist, and hosts in no list are looked at
closely.  Nova also lists the few servers that do not run, so nothing is asked about those that do.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, Optional

from foreman_hooks.cleanup.observe import LONG_AGO
from foreman_hooks.cleanup.progress import Progress, stage
from foreman_hooks.cleanup.quick_look import read_lists
from foreman_hooks.cleanup.signs_of_life import before
from foreman_hooks.cleanup.whereabouts import sightings_of
from foreman_hooks.osp_checker import (
    Checker,
    Place,
    RegionAnswer,
    Survey,
    both_orders,
)
from foreman_hooks.osp_checker.checker import (
    ask_further,
    joined,
)
from foreman_hooks.osp_checker.pace import workers
from foreman_hooks.osp_checker.servers import Server, Servers
from foreman_hooks.rules.model import Identity, Policy
from foreman_hooks.rules.states import (
    Machine,
    State,
    listed_machine,
    machine_of,
    state_of,
)
from foreman_hooks.satellite.check_ins import checked_in_since, last_checkins
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.inventory import (
    ListedHost,
    Scope,
    identify_hosts,
)

# So many hosts are few: Satellite shows their whole records, and Nova their servers, in seconds.
FEW = 1000
ALL_HOSTS = "all hosts"  # a scope in words: that of every host
# Of hosts in these states people only want to know how many there are.
ORDINARY = frozenset({State.RUNNING, State.UNIDENTIFIED, State.OTHER})
_ORDER = list(State)


class HostState(NamedTuple):
    """A host record and its machine.

    `uuid`: "" if the facts name none.  `silent`: it has not checked in for `policy.silence`.
    `last_checkin`: aware; None if it never did, or if it was not read.
    """

    id: int
    name: str
    uuid: str
    machine: Machine
    silent: bool
    last_checkin: Optional[datetime] = None


@dataclass(frozen=True)
class States:
    """The states of all hosts in scope, as of `made_at` (aware).

    `silent_since`: a host without a check-in after it (aware) is silent.  `scope`: which hosts they
    are, in words.  `erratum`: the id of the one that they have not taken; "" for hosts in general.
    `regions`: how each region answered.  `counts`: of all hosts in scope.  `hosts`: those that were
    asked for, by state in the order of State, and by name.
    """

    satellite: str
    made_at: datetime
    silent_since: datetime
    scope: str
    erratum: str
    regions: Sequence[RegionAnswer]
    counts: Mapping[State, int]
    hosts: Sequence[HostState]

    @property
    def total(self) -> int:
        """How many hosts are in scope."""
        return sum(self.counts.values())

    @property
    def failed(self) -> list[RegionAnswer]:
        """The regions that did not answer."""
        return [region for region in self.regions if region.error]


@dataclass(frozen=True)
class StateReader:
    """Reads the states of the hosts in `scope`, as of `now` (aware).

    `described`: the scope in words, without the erratum; `erratum`: "" without one.
    """

    satellite: Satellite
    checker: Checker
    policy: Policy
    scope: Scope
    progress: Progress
    now: datetime
    described: str = ALL_HOSTS
    erratum: str = ""

    def read(self, wanted: Collection[State]) -> States:
        """The states of all hosts, and the hosts in a `wanted` state; if it is empty, all of them.

        Raises SatelliteError.  A cloud that fails raises nothing: its hosts are unknown.

        Of every host it is known whether it checked in lately.  The time of the last check-in is
        read only of the hosts in a state that FEW are in.
        """
        all_hosts, survey = read_lists(
            self.satellite, self.checker, self.scope, self.progress
        )
        hosts = [host for host in all_hosts if host.in_scope]
        recent, inactive = self._read_both_sides(hosts)
        lists = _Lists(survey, inactive)
        unlisted = [host for host in hosts if not lists.uuid_of(host)]
        identities = self._identify(unlisted)
        survey = self._ask(lists, hosts, recent, identities)
        states = []
        for host in hosts:
            silent = host.id not in recent
            uuid, machine = _machine(host, silent, lists, identities, survey)
            states.append(HostState(host.id, host.name, uuid, machine, silent))
        counts = Counter(state.machine.state for state in states)
        if wanted:
            states = [state for state in states if state.machine.state in wanted]
        states.sort(key=_position)
        self._add_checkins(states, counts)
        return States(
            satellite=self.satellite.url,
            made_at=self.now,
            silent_since=self.silent_since,
            scope=self.described,
            erratum=self.erratum,
            regions=survey.regions,
            counts=counts,
            hosts=states,
        )

    @property
    def silent_since(self) -> datetime:
        """A host without a check-in after this time (aware) is silent."""
        return before(self.now, self.policy.silence)

    def _read_both_sides(self, hosts: Sequence[ListedHost]) -> tuple[set[int], Servers]:
        """The ids of the hosts that checked in lately, and the servers that do not run."""
        servers_read = stage(self.progress, "servers that do not run")
        checkins_read = stage(self.progress, "check-ins of hosts")
        ids = [host.id for host in hosts]
        with workers(1) as other_side:
            servers = other_side.submit(self.checker.inactive, servers_read)
            recent = checked_in_since(
                self.satellite, ids, self.scope, self.silent_since, checkins_read
            )
            return recent, servers.result()

    def _identify(self, hosts: Sequence[ListedHost]) -> dict[int, Identity]:
        """Id -> what each of these hosts is, by all of its facts."""
        report = stage(self.progress, "hosts looked at closely")
        names = self.policy.openstack_names
        identified = identify_hosts(self.satellite, hosts, names, report)
        return {host.id: host.identity for host in identified}

    def _ask(
        self,
        lists: "_Lists",
        hosts: Sequence[ListedHost],
        recent: Collection[int],
        identities: Mapping[int, Identity],
    ) -> Survey:
        """Ask about the instances in no list, and those that run and are silent, if they are FEW.

        Of the latter Nova then also says the project, and whether they still run.
        """
        uuids: list[str] = []
        for identity in identities.values():
            if identity.reason is None:
                uuids += identity.uuids
        silent = [host for host in hosts if host.id not in recent]
        running = list(lists.running(silent))
        if len(running) <= FEW:
            uuids += running
        distinct = list(dict.fromkeys(uuids))
        report = stage(self.progress, "instances asked about")
        return ask_further(self.checker, lists.regions, distinct, report, LONG_AGO)

    def _add_checkins(
        self, states: list[HostState], counts: Mapping[State, int]
    ) -> None:
        """Add the times of the last check-ins where FEW hosts are in a state."""
        few = [state for state in states if counts[state.machine.state] <= FEW]
        ids = [state.id for state in few]
        report = stage(self.progress, "times of check-ins")
        times = last_checkins(self.satellite, ids, report)
        for number, state in enumerate(states):
            if state.id in times:
                states[number] = state._replace(last_checkin=times[state.id])


class _Lists:
    """What the lists of servers say of the hosts.

    `regions`: how the regions answered, as a survey that knows of no UUID.
    """

    def __init__(self, survey: Survey, inactive: Servers) -> None:
        self._alive = survey.alive
        self._inactive: dict[str, Server] = {}
        for server in inactive.servers:
            for uuid in both_orders([server.uuid]):
                self._inactive[uuid] = server
        answers = Survey(inactive.regions, {}, {})
        read_before = replace(survey, alive={})
        self.regions = joined((), [read_before, answers])
        self._errors: dict[Place, str] = {}
        for region in inactive.regions:
            if region.error:
                self._errors[region.place] = str(region.error)

    def uuid_of(self, host: ListedHost) -> str:
        """The first UUID of the host that is in a list; "" if none is."""
        for uuid in host.uuids:
            if uuid in self._alive:
                return uuid
        return ""

    def machine(self, uuid: str, silent: bool) -> Machine:
        """What the lists say of the server with that UUID, which is in one of them."""
        server = self._inactive.get(uuid)
        if server:
            return _inactive_machine(server)
        place = self._alive[uuid]
        if place in self._errors:
            return Machine(State.UNKNOWN, *place, detail=self._errors[place])
        return listed_machine(place, silent)

    def running(self, hosts: Iterable[ListedHost]) -> Iterator[str]:
        """The listed UUID of each of these hosts whose server runs."""
        for host in hosts:
            uuid = self.uuid_of(host)
            if uuid and self.machine(uuid, True).state is State.SILENT:
                yield uuid


def _machine(
    host: ListedHost,
    silent: bool,
    lists: _Lists,
    identities: Mapping[int, Identity],
    survey: Survey,
) -> tuple[str, Machine]:
    """The UUID of a host ("" without one), and its machine; `survey`: what was asked further."""
    uuid = lists.uuid_of(host)
    if not uuid:
        identity = identities[host.id]
        sightings = sightings_of(identity.uuids, survey)
        machine = machine_of(identity, sightings, silent)
        return next(iter(identity.uuids), ""), machine
    if uuid in survey.asked:
        machine = machine_of(Identity((uuid,)), survey.of(uuid), silent)
        if machine.state is not State.UNKNOWN:
            return uuid, machine
    return uuid, lists.machine(uuid, silent)


def _inactive_machine(server: Server) -> Machine:
    return Machine(
        state=state_of(server.status, False),
        cloud=server.cloud,
        region=server.region,
        project=server.project,
        status=server.status,
    )


def _position(state: HostState) -> tuple[int, str]:
    return _ORDER.index(state.machine.state), state.name
