"""A world that moves: machines, the instances that run them, and their records in Satellite.

A machine is a disk with one registration.  An instance runs it; when the instance is deleted and
another one is made of the same disk, the machine lives on under another UUID, and its record still
names the old one until the machine checks in.  So what lives is known here, and not to Satellite.

Two clouds, `prod` with two regions and `edge` with one, of the same name as one of prod's.
"""

import time
import uuid as uuidlib
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Optional

import yaml
from conftest import Stage
from sandbox.instances import Instance
from sandbox.openstack import Account, OpenStack
from sandbox.satellite import ANSIBLE, CHEF, PUPPET, RHSM, SALT, Host, Satellite, User
from sandbox.server import Server
from sandbox.world import World, guest_facts

from foreman_hooks.osp_checker import CloudScope, LocalChecker, Place
from foreman_hooks.osp_checker.uuids import both_orders, parse_uuid, swap_bytes

HOUR = 3600.0
START = 1_767_225_600.0  # 2026-01-01, so that the same seed does the same
INTERVAL = 4 * HOUR  # rhsmcertd checks in every 240 minutes
ONE, TWO = Place("prod", "RegionOne"), Place("prod", "RegionTwo")
EDGE = Place("edge", "RegionOne")
PLACES = (ONE, TWO, EDGE)
CELLS = ("cell1", "cell2")
UP = "ACTIVE"
PROTECTION = "osp_cleanup_protect"
# Where sources besides subscription-manager name the UUID of a machine.
SOURCES = (
    (ANSIBLE, "ansible_product_uuid"),
    (ANSIBLE, "facter_dmi::product::uuid"),
    (PUPPET, "dmi::product::uuid"),
    (PUPPET, "uuid"),
    (SALT, "uuid"),
    (CHEF, "dmi::system::uuid"),
)


@dataclass
class Machine:
    """A disk with a registration.

    `uuid`: of its instance; "" if it has none any more.  `checked_in`: when it last did.
    `copied_by`: a clone that checks in with the same registration.  `swapped`: its firmware reports
    the UUID in the other byte order.  `published`: the UUID of the instance on which a job
    published it; the disk carries that along.  `dmi`: another UUID that Katello made up for it.
    `loses_facts`: its facts do not arrive until it registers again, only its check-ins do.
    `has_disk`: it can be made again; an old record of a machine that has a new one cannot.
    """

    name: str
    place: Place
    uuid: str
    host: Host
    checked_in: float
    copied_by: Optional["Machine"] = None
    swapped: bool = False
    published: str = ""
    dmi: str = ""
    loses_facts: bool = False
    has_disk: bool = True

    @property
    def lives(self) -> bool:
        """Whether an instance of it exists, in whatever state."""
        return bool(self.uuid)

    @property
    def is_named(self) -> bool:
        """Whether any facts of its record name its present instance."""
        named: list[str] = []
        for facts in self.host.facts.values():
            named += [value or "" for name, value in facts.items() if "uuid" in name]
        return self.uuid in both_orders(filter(None, map(parse_uuid, named)))

    def facts(self) -> dict[str, Any]:
        """What subscription-manager reports on it now."""
        facts = guest_facts(swap_bytes(self.uuid) if self.swapped else self.uuid)[RHSM]
        if self.dmi:
            facts["dmi::system::uuid"] = self.dmi
        if self.published:
            facts["osp::uuid"] = facts["osp::system_uuid"] = self.published
        return facts


@dataclass
class MovingWorld:
    """Both clouds, Satellite and the machines; times are seconds since 1970."""

    stage: Stage
    edge: Server
    now: float = START
    machines: list[Machine] = field(default_factory=list)
    serial: int = 0

    def __post_init__(self) -> None:
        stage = self.stage
        stage.satellite = Satellite(users=[User("admin", "changeme")])
        accounts = [Account("admin", "changeme")]
        stage.openstack = OpenStack(regions=(ONE.region, TWO.region), accounts=accounts)
        self.clouds = {
            "prod": stage.openstack,
            "edge": OpenStack(regions=(EDGE.region,), accounts=accounts),
        }
        stage.world = World(stage.satellite, stage.openstack, {})
        stage.foreman.handle = stage.satellite.handle
        stage.osp.handle = self.clouds["prod"].handle
        self.edge.handle = self.clouds["edge"].handle
        path = stage.use_cloud()
        clouds = yaml.safe_load(path.read_text())["clouds"]
        auth = {**clouds["prod"]["auth"], "auth_url": f"{self.edge.url}/v3"}
        clouds["edge"] = {**clouds["prod"], "auth": auth}
        path.write_text(yaml.safe_dump({"clouds": clouds}))
        self.fixed = [self._boot(place) for place in PLACES]  # never touched
        self.machines += self.fixed

    def checker(self, narrow: bool) -> LocalChecker:
        """The checker of all regions; `narrow`: without one that the catalog shows."""
        regions = (ONE.region,) if narrow else (ONE.region, TWO.region)
        scopes = [CloudScope("prod", regions), CloudScope("edge", (EDGE.region,))]
        return LocalChecker(scopes)

    def server_of(self, place: Place) -> Server:
        """The server of a cloud, to make it fail."""
        return self.edge if place == EDGE else self.stage.osp

    # Machines come and go

    def create(self, place: Place, swapped: bool = False) -> Machine:
        """A new instance boots, and registers."""
        machine = self._boot(place, swapped)
        self.machines.append(machine)
        return machine

    def _boot(self, place: Place, swapped: bool = False) -> Machine:
        self.serial += 1
        name = f"vm{self.serial}"
        uuid = self._new_instance(place, name)
        machine = Machine(name, place, uuid, Host(name), self.now, swapped=swapped)
        self.register(machine)
        return machine

    def delete(self, machine: Machine) -> None:
        """Its instance is deleted for good."""
        self.clouds[machine.place.cloud].terminate(
            machine.place.region, machine.uuid, self.now
        )
        machine.uuid = ""

    def make_again(self, machine: Machine, place: Place) -> None:
        """Its instance is deleted and made again from its image or volume, perhaps elsewhere.

        Its record still names the deleted one.
        """
        self.delete(machine)
        machine.place = place
        machine.uuid = self._new_instance(place, machine.name)

    def restore(self, machine: Machine, place: Place) -> None:
        """An instance is made of the disk of a dead machine.

        It checks in as it boots: if it did not until `quiet` ends, nobody could tell it from the
        dead one.  If its record has gone, it registers again.
        """
        machine.place = place
        machine.uuid = self._new_instance(place, machine.name)
        if self.is_listed(machine):
            self.check_in(machine)
        else:
            self.register(machine)

    def clone(self, machine: Machine) -> None:
        """An instance is made of its image, and checks in with its registration."""
        name = f"{machine.name}-clone"
        uuid = self._new_instance(machine.place, name)
        copy = Machine(name, machine.place, uuid, machine.host, self.now)
        copy.published = machine.published
        machine.copied_by = copy
        self.check_in(copy)

    def end_clone(self, machine: Machine) -> None:
        """The clone is deleted; its original lives on."""
        assert machine.copied_by
        self.delete(machine.copied_by)
        machine.copied_by = None

    def end_original(self, machine: Machine) -> None:
        """The original is deleted; the clone lives on with its registration."""
        copy = machine.copied_by
        assert copy
        machine.copied_by = None
        self.delete(machine)
        machine.uuid, machine.place = copy.uuid, copy.place
        machine.checked_in, machine.swapped = copy.checked_in, copy.swapped
        machine.dmi = copy.dmi

    def register_clone(self, machine: Machine) -> None:
        """The clone registers as a machine of its own; the original gets its facts back later."""
        copy = machine.copied_by
        assert copy
        machine.copied_by = None
        self.register(copy)
        self.machines.append(copy)

    def register_again(self, machine: Machine) -> None:
        """The machine makes a second record; the first one stays, and names it, too."""
        old = Machine(
            f"{machine.name}-old",
            machine.place,
            "",
            machine.host,
            machine.checked_in,
            has_disk=False,
        )
        self.machines.append(old)
        self.register(machine)

    def renew(self, machine: Machine) -> None:
        """The machine registers again, on the same record."""
        machine.host.subscription = self._subscription()
        machine.loses_facts = False
        self.check_in(machine)

    def set_status(self, machine: Machine, status: str) -> None:
        """Stop, shelve, break, soft-delete or start its instance."""
        row = self.row(machine)
        row.status = status
        row.updated = self.now
        self.clouds[machine.place.cloud].add(machine.place.region, row)

    def archive(self, place: Place, uuid: str) -> None:
        """The operator archives and purges a deleted row."""
        self.clouds[place.cloud].archive(place.region, uuid)

    def add_facts(self, machine: Machine, origin: str, **facts: str) -> None:
        """A source of facts besides subscription-manager uploads."""
        known = machine.host.facts.get(origin, {})
        self._set_facts(machine.host, origin, {**known, **facts})

    # Time

    def pass_time(self, hours: float) -> None:
        """Machines that run check in every four hours, and upload their facts."""
        self.now += hours * HOUR
        for machine in self.machines:
            for side in (machine.copied_by, machine):
                if side and self.now - side.checked_in >= INTERVAL and self.runs(side):
                    self.check_in(side)

    def runs(self, machine: Machine) -> bool:
        """Whether its instance is active."""
        return machine.lives and self.row(machine).status == UP

    def rows(self, place: Place) -> dict[str, Instance]:
        """Nova's rows of a region, deleted ones as well."""
        rows: dict[str, Instance] = self.clouds[place.cloud].instances[place.region]
        return rows

    def row(self, machine: Machine) -> Instance:
        """Nova's row of its instance."""
        return self.rows(machine.place)[machine.uuid]

    def check_in(self, machine: Machine) -> None:
        """Tell Satellite that it lives, and upload the facts of subscription-manager."""
        machine.checked_in = self.now
        assert machine.host.subscription
        machine.host.subscription["last_checkin"] = _stamp(self.now)
        if not machine.loses_facts:
            self._set_facts(machine.host, RHSM, machine.facts())

    def register(self, machine: Machine) -> None:
        """Make a new record for it."""
        self.serial += 1
        machine.host = Host(
            f"{machine.name}-{self.serial}.example.com",
            facts={RHSM: machine.facts()},
            subscription=self._subscription(),
        )
        machine.checked_in = self.now
        machine.loses_facts = False
        self.stage.satellite.add(machine.host)

    def _subscription(self) -> dict[str, Any]:
        self.serial += 1
        return {
            "uuid": str(uuidlib.UUID(int=self.serial)),
            "registered_at": _stamp(self.now),
            "hypervisor": False,
            "last_checkin": _stamp(self.now),
        }

    def _set_facts(self, host: Host, origin: str, facts: dict[str, Any]) -> None:
        if host.facts.get(origin) == facts:
            return
        satellite = self.stage.satellite
        is_listed = host.id in satellite.hosts
        if is_listed:
            satellite.fact_totals.change(host, -1)
        host.facts = {**host.facts, origin: facts}
        if is_listed:
            satellite.fact_totals.change(host, 1)

    # What is true

    def is_listed(self, machine: Machine) -> bool:
        """Whether Satellite still has its record."""
        return machine.host.id in self.stage.satellite.hosts

    def living_hosts(self) -> set[int]:
        """The ids of the records that a living machine uses."""
        return {machine.host.id for machine in self.machines if machine.lives}

    @property
    def moment(self) -> datetime:
        """Now, as our clock shows it."""
        return datetime.fromtimestamp(self.now, timezone.utc)

    def new_uuid(self) -> str:
        """A UUID that nobody has had."""
        self.serial += 1
        return str(uuidlib.uuid5(uuidlib.NAMESPACE_DNS, f"instance {self.serial}"))

    def _new_instance(self, place: Place, name: str) -> str:
        uuid = self.new_uuid()
        cell = CELLS[self.serial % len(CELLS)]
        instance = Instance(uuid, name, project="shop", cell=cell)
        instance.created = instance.updated = self.now
        self.clouds[place.cloud].add(place.region, instance)
        return uuid


def _stamp(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when))
