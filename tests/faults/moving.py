"""A world that moves: machines, the instances that run them, and their records in Satellite.

A machine is a disk with one registration.  An instance runs it; when the instance is deleted and
another one is made of the same disk, the machine lives on under another UUID, and its record still
names the old one until the machine checks in.  So what lives is known here, and not to Satellite.
"""

import time
import uuid as uuidlib
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Optional

from conftest import Stage
from sandbox.instances import Instance
from sandbox.openstack import Account, OpenStack
from sandbox.satellite import ANSIBLE, RHSM, Host, Satellite, User
from sandbox.world import World, guest_facts

from foreman_hooks.osp_checker.uuids import swap_bytes

HOUR = 3600.0
INTERVAL = 4 * HOUR  # rhsmcertd checks in every 240 minutes
REGIONS = ("RegionOne", "RegionTwo")
UP = "ACTIVE"


@dataclass
class Machine:
    """A disk with a registration.

    `uuid`: of its instance; "" if it has none any more.  `checked_in`: when it last did.
    `copied_by`: a clone that checks in with the same registration.  `has_spoken`: whether it
    checked in since its present instance was made.
    """

    name: str
    region: str
    uuid: str
    host: Host
    checked_in: float
    copied_by: Optional["Machine"] = None
    has_spoken: bool = True

    @property
    def lives(self) -> bool:
        """Whether an instance of it exists, in whatever state."""
        return bool(self.uuid)


@dataclass
class MovingWorld:
    """Both servers, and the machines; times are seconds since 1970."""

    stage: Stage
    now: float = field(default_factory=time.time)
    machines: list[Machine] = field(default_factory=list)
    serial: int = 0

    def __post_init__(self) -> None:
        stage = self.stage
        stage.satellite = Satellite(users=[User("admin", "changeme")])
        stage.openstack = OpenStack(
            regions=REGIONS, accounts=[Account("admin", "changeme")]
        )
        stage.world = World(stage.satellite, stage.openstack, {})
        stage.foreman.handle = stage.satellite.handle
        stage.osp.handle = stage.openstack.handle
        for region in REGIONS:  # never touched: each region always has an active server
            self._add_instance(region, self._new_uuid(), "other")

    # Machines come and go

    def create(self, region: str, swapped: bool = False) -> Machine:
        """A new instance boots, and registers."""
        self.serial += 1
        name = f"vm{self.serial}"
        uuid = self._new_uuid()
        self._add_instance(region, uuid, name)
        host = self._register(name, swap_bytes(uuid) if swapped else uuid)
        machine = Machine(name, region, uuid, host, self.now)
        self.machines.append(machine)
        return machine

    def delete(self, machine: Machine) -> None:
        """Its instance is deleted for good."""
        self.stage.openstack.terminate(machine.region, machine.uuid, self.now)
        machine.uuid = ""

    def rebirth(self, machine: Machine, region: str) -> None:
        """Its instance is deleted and made again from the same disk, perhaps elsewhere."""
        self.delete(machine)  # its record still names that instance
        machine.region = region
        machine.uuid = self._new_uuid()
        machine.has_spoken = False
        self._add_instance(region, machine.uuid, machine.name)

    def clone(self, machine: Machine) -> Machine:
        """An instance is made of its image, and checks in with its registration."""
        uuid = self._new_uuid()
        self._add_instance(machine.region, uuid, f"{machine.name}-clone")
        name = f"{machine.name}-clone"
        copy = Machine(name, machine.region, uuid, machine.host, self.now)
        machine.copied_by = copy
        self._check_in(copy)
        return copy

    def clone_goes(self, machine: Machine) -> None:
        """The clone is deleted; its original lives on."""
        copy = machine.copied_by
        assert copy
        self.delete(copy)
        machine.copied_by = None

    def clone_registers(self, machine: Machine) -> None:
        """The clone registers as a machine of its own; the original gets its facts back later."""
        copy = machine.copied_by
        assert copy
        machine.copied_by = None
        copy.host = self._register(copy.name, copy.uuid)
        self.machines.append(copy)

    def register_again(self, machine: Machine) -> None:
        """The machine makes a second record; the first one stays, and names it, too."""
        name = f"{machine.name}-old"
        before = Machine(name, machine.region, "", machine.host, machine.checked_in)
        self.machines.append(before)
        machine.host = self._register(machine.name, machine.uuid)
        machine.checked_in = self.now

    def set_status(self, machine: Machine, status: str) -> None:
        """Stop, shelve, break, soft-delete or start its instance."""
        row = self.row(machine)
        row.status = status
        row.updated = self.now
        self.stage.openstack.add(machine.region, row)

    def archive(self, machine: Machine, uuid: str) -> None:
        """The operator archives and purges its deleted row."""
        self.stage.openstack.archive(machine.region, uuid)

    def add_old_facts(self, machine: Machine, uuid: str) -> None:
        """Another source of facts names another instance."""
        facts = {**machine.host.facts}
        facts[ANSIBLE] = {"ansible_product_uuid": uuid}
        machine.host.facts = facts

    # Time

    def pass_time(self, hours: float) -> None:
        """Machines that run check in every four hours, and upload their facts."""
        self.now += hours * HOUR
        for machine in self.machines:
            for side in (machine.copied_by, machine):
                if side and self.runs(side) and self.now - side.checked_in >= INTERVAL:
                    self._check_in(side)

    def runs(self, machine: Machine) -> bool:
        """Whether its instance is active."""
        return machine.lives and self.row(machine).status == UP

    def row(self, machine: Machine) -> Instance:
        """Nova's row of its instance."""
        row: Instance = self.stage.openstack.instances[machine.region][machine.uuid]
        return row

    def _check_in(self, machine: Machine) -> None:
        machine.checked_in = self.now
        machine.has_spoken = True
        assert machine.host.subscription
        machine.host.subscription["last_checkin"] = _stamp(self.now)
        machine.host.facts = {**machine.host.facts, **_facts(machine.uuid)}

    def _register(self, name: str, uuid: str) -> Host:
        """A new record."""
        self.serial += 1
        subscription = {
            "uuid": str(uuidlib.UUID(int=self.serial)),
            "registered_at": _stamp(self.now),
            "hypervisor": False,
            "last_checkin": _stamp(self.now),
        }
        host = Host(
            f"{name}-{self.serial}.example.com",
            facts=_facts(uuid),
            subscription=subscription,
        )
        return self.stage.satellite.add(host)

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

    def _add_instance(self, region: str, uuid: str, name: str) -> None:
        instance = Instance(uuid, name, project="shop")
        instance.created = instance.updated = self.now
        self.stage.openstack.add(region, instance)

    def _new_uuid(self) -> str:
        self.serial += 1
        return str(uuidlib.uuid5(uuidlib.NAMESPACE_DNS, f"instance {self.serial}"))


def _facts(uuid: str) -> dict[str, dict[str, Any]]:
    return {RHSM: guest_facts(uuid)[RHSM]}


def _stamp(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when))
