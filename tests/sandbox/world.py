"""The scenario of the demo: a Satellite and an OSP with every kind of host that matters.

`RECORDS` says of each host what should become of its record, and why, so that the demo and the
tests can compare.
"""

import time
import uuid as uuidlib
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker.uuids import swap_bytes

from .openstack import Account, Instance, OpenStack
from .satellite import RHSM, Host, Satellite, User

REGION = "RegionOne"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class World(NamedTuple):
    """Both doubles, and for each host name what should become of its record in a first run."""

    satellite: Satellite
    openstack: OpenStack
    expected: dict[str, str]  # name -> decision


def named_uuid(name: str) -> str:
    """The same UUID for the same name in every world."""
    return str(uuidlib.uuid5(uuidlib.NAMESPACE_DNS, name))


def guest_facts(
    uuid: str, *, vendor: str = "Red Hat", product: str = "OpenStack Compute", guest: str = "true"
) -> dict[str, dict[str, Optional[str]]]:
    """What subscription-manager reports of a virtual machine; DMI in capitals, as dmidecode prints
    it.
    """
    return {
        RHSM: {
            "virt::uuid": uuid,
            "virt::is_guest": guest,
            "virt::host_type": "kvm",
            "dmi::system::uuid": uuid.upper(),
            "dmi::system::manufacturer": vendor,
            "dmi::system::product_name": product,
        }
    }


def registration(checked_in: Optional[float], **more: Any) -> dict[str, Any]:
    """A subscription facet whose last check-in was so many seconds ago (None: never)."""
    return {
        "uuid": str(uuidlib.uuid4()),
        "registered_at": stamp(90 * DAY),
        "hypervisor": False,
        "last_checkin": None if checked_in is None else stamp(checked_in),
        **more,
    }


def stamp(ago: float) -> str:
    """A time so many seconds ago, as Foreman prints it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() - ago))


def build() -> World:
    """The world of the demo, as of now."""
    world = World(
        Satellite(users=[User("admin", "changeme")]),
        OpenStack(
            regions=(REGION,),
            accounts=[Account("checker", "changeme", project="admin", roles=("admin",))],
        ),
        {},
    )
    world.satellite.add(
        Host(
            "satellite.example.com",
            infrastructure={"foreman_instance": True, "smart_proxy_id": 1},
            subscription=registration(HOUR),
        )
    )
    _living(world)
    _terminated(world)
    _special(world)
    _no_instances(world)
    world.expected["satellite.example.com"] = "keep"
    return world


def add_host(
    world: World,
    name: str,
    expected: str,
    *,
    uuid: str = "",
    checked_in: Optional[float] = HOUR,
    **more: Any,
) -> str:
    """A registered OpenStack guest; its UUID."""
    uuid = uuid or named_uuid(name)
    world.satellite.add(
        Host(
            f"{name}.example.com",
            **{"facts": guest_facts(uuid), "subscription": registration(checked_in), **more},
        )
    )
    world.expected[f"{name}.example.com"] = expected
    return uuid


def add_instance(
    world: World,
    name: str,
    uuid: str,
    *,
    project: str = "shop",
    terminated: Optional[float] = None,
    status: str = "ACTIVE",
) -> None:
    """A server of that UUID; `terminated` so many seconds ago makes it a deleted row."""
    now = time.time()
    world.openstack.add(
        REGION,
        Instance(
            uuid, name, project=project, status=status, created=now - 120 * DAY, updated=now - DAY
        ),
    )
    if terminated is not None:
        world.openstack.terminate(REGION, uuid, now - terminated)


def _living(world: World) -> None:
    """All of them exist: only deleted counts, not off."""
    for number in range(1, 31):
        name = f"app-{number:02}"
        add_instance(
            world, name, add_host(world, name, "keep"), project="shop" if number % 2 else "bank"
        )
    for name, status in (
        ("db-off", "SHUTOFF"),
        ("db-shelved", "SHELVED_OFFLOADED"),
        ("batch-error", "ERROR"),
        ("batch-restorable", "SOFT_DELETED"),
        ("resizing", "VERIFY_RESIZE"),
    ):
        add_instance(world, name, add_host(world, name, "keep", checked_in=9 * DAY), status=status)
    uuid = named_uuid("old-firmware")  # reports its UUID in the other byte order
    add_host(world, "old-firmware", "keep", uuid=swap_bytes(uuid), checked_in=5 * DAY)
    add_instance(world, "old-firmware", uuid)


def _terminated(world: World) -> None:
    """Nova still has the deleted rows of these, and the machines are silent."""
    uuid = add_host(world, "web-old", "delete", checked_in=3 * DAY)
    add_instance(world, "web-old", uuid, terminated=2 * DAY)
    uuid = add_host(
        world,
        "job-runner",
        "delete",
        checked_in=9 * HOUR,
        record={
            "compute_resource_id": 1,
            "compute_resource_name": "osp",
            "uuid": named_uuid("job-runner"),
        },
    )
    add_instance(world, "job-runner", uuid, terminated=8 * HOUR)
    uuid = named_uuid("renamed")  # registered twice, under two names: both records go
    for name in ("renamed-old", "renamed-new"):
        add_host(world, name, "delete", uuid=uuid, checked_in=3 * DAY)
    add_instance(world, "renamed", uuid, terminated=2 * DAY)
    uuid = add_host(
        world, "just-ended", "wait", checked_in=2 * HOUR
    )  # not for a whole check-in interval yet
    add_instance(world, "just-ended", uuid, terminated=HOUR)


def _special(world: World) -> None:
    """Gone, or so it seems; each has one thing that speaks against a deletion."""
    add_host(
        world, "archived", "keep", checked_in=30 * DAY
    )  # no row is left, and no run saw it alive
    uuid = add_host(world, "still-talking", "keep", checked_in=HOUR)  # its agent says otherwise
    add_instance(world, "still-talking", uuid, terminated=DAY)
    uuid = add_host(
        world, "protected", "keep", checked_in=3 * DAY, parameters={"osp_cleanup_protect": "true"}
    )
    add_instance(world, "protected", uuid, terminated=2 * DAY)
    add_instance(
        world, "reborn", add_host(world, "reborn", "keep", uuid=named_uuid("reborn, second life"))
    )
    uuid = add_host(
        world, "cloned", "keep", checked_in=3 * DAY
    )  # another record with its UUID still checks in
    add_host(world, "clone", "keep", uuid=uuid)
    add_instance(world, "cloned", uuid, terminated=DAY)


def _no_instances(world: World) -> None:
    """None of these was ever an instance of this cloud, so that OSP does not know them says
    nothing.
    """
    for number in (1, 2, 3):
        add_host(
            world,
            f"vmware-{number}",
            "keep",
            facts=guest_facts(
                named_uuid(f"vmware-{number}"), vendor="VMware, Inc.", product="VMware7,1"
            ),
        )
    add_host(
        world,
        "metal",
        "keep",
        facts=guest_facts(
            named_uuid("metal"), vendor="Dell Inc.", product="PowerEdge R650", guest="false"
        ),
    )
    add_host(world, "registering-now", "keep", facts={})
    add_host(
        world,
        "virt-who-compute-7-1",
        "keep",
        facts={},
        subscription=registration(HOUR, hypervisor=True),
    )
