"""The world of the demo: a Satellite and an OpenStack with every kind of host that matters.

`World.expected` says what should happen to each host record, so that the demo and the tests can
compare.
"""

import time
import uuid as uuidlib
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker import swap_bytes

from .openstack import Account, Instance, OpenStack
from .satellite import RHSM, Host, Satellite, User

REGION = "RegionOne"
ERRATUM = "RHSA-2026:1234"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class World(NamedTuple):
    """Both doubles, and for each host name the expected decision of a first run."""

    satellite: Satellite
    openstack: OpenStack
    expected: dict[str, str]


def named_uuid(name: str) -> str:
    """The same UUID for the same name in every world."""
    return str(uuidlib.uuid5(uuidlib.NAMESPACE_DNS, name))


def guest_facts(
    uuid: str,
    *,
    vendor: str = "Red Hat",
    product: str = "OpenStack Compute",
    guest: str = "true",
) -> dict[str, dict[str, Optional[str]]]:
    """What subscription-manager reports of a virtual machine; dmidecode prints upper case."""
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
    """A subscription facet whose last check-in was `checked_in` seconds ago (None: never)."""
    return {
        "uuid": str(uuidlib.uuid4()),
        "registered_at": stamp(90 * DAY),
        "hypervisor": False,
        "last_checkin": None if checked_in is None else stamp(checked_in),
        **more,
    }


def stamp(ago: float) -> str:
    """The time `ago` seconds ago, as Foreman writes it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() - ago))


def build() -> World:
    """The world of the demo, as of now."""
    checker = Account("checker", "changeme", project="admin", roles=("admin",))
    satellite = Satellite(users=[User("admin", "changeme")])
    world = World(satellite, OpenStack(regions=(REGION,), accounts=[checker]), {})
    satellite.add(
        Host(
            "satellite.example.com",
            infrastructure={"foreman_instance": True, "smart_proxy_id": 1},
            subscription=registration(HOUR),
        )
    )
    world.expected["satellite.example.com"] = "keep"
    _add_living(world)
    _add_terminated(world)
    _add_special(world)
    _add_others(world)
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
    """Add a registered OpenStack guest, which last checked in `checked_in` seconds ago.

    `expected`: the decision of a first run; `more`: other fields of the Host. Returns the UUID.
    """
    uuid = uuid or named_uuid(name)
    fields = {
        "facts": guest_facts(uuid),
        "subscription": registration(checked_in),
        **more,
    }
    world.satellite.add(Host(f"{name}.example.com", **fields))
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
    """Add a server of that UUID; `terminated`: it was deleted so many seconds ago."""
    now = time.time()
    instance = Instance(uuid, name, project=project, status=status)
    instance.created = now - 120 * DAY
    instance.updated = now - DAY
    world.openstack.add(REGION, instance)
    if terminated is not None:
        world.openstack.terminate(REGION, uuid, now - terminated)


def _add_living(world: World) -> None:
    """All of these instances exist; one that is only off exists too."""
    for number in range(1, 31):
        name = f"app-{number:02}"
        errata = (ERRATUM,) if number <= 3 else ()  # the others have installed it
        uuid = add_host(world, name, "keep", errata=errata)
        add_instance(world, name, uuid, project="shop" if number % 2 else "bank")
    for name, status in (
        ("db-off", "SHUTOFF"),
        ("db-shelved", "SHELVED_OFFLOADED"),
        ("batch-error", "ERROR"),
        ("batch-restorable", "SOFT_DELETED"),
        ("resizing", "VERIFY_RESIZE"),
    ):
        uuid = add_host(world, name, "keep", checked_in=9 * DAY, errata=(ERRATUM,))
        add_instance(world, name, uuid, status=status)
    uuid = named_uuid("old-firmware")  # reports its UUID in the other byte order
    add_host(world, "old-firmware", "keep", uuid=swap_bytes(uuid), checked_in=5 * DAY)
    add_instance(world, "old-firmware", uuid)


def _add_terminated(world: World) -> None:
    """Nova still has the deleted rows of these instances, and the machines are silent."""
    uuid = add_host(world, "web-old", "delete", checked_in=3 * DAY, errata=(ERRATUM,))
    add_instance(world, "web-old", uuid, terminated=2 * DAY)

    uuid = named_uuid("job-runner")  # associated with a compute resource
    record = {"compute_resource_id": 1, "compute_resource_name": "osp", "uuid": uuid}
    add_host(world, "job-runner", "delete", checked_in=9 * HOUR, record=record)
    add_instance(world, "job-runner", uuid, terminated=8 * HOUR)

    uuid = named_uuid("renamed")  # registered twice, under two names: both records go
    for name in ("renamed-old", "renamed-new"):
        add_host(world, name, "delete", uuid=uuid, checked_in=3 * DAY)
    add_instance(world, "renamed", uuid, terminated=2 * DAY)

    # Not yet silent for a whole check-in interval.
    uuid = add_host(world, "just-ended", "wait", checked_in=2 * HOUR)
    add_instance(world, "just-ended", uuid, terminated=HOUR)


def _add_special(world: World) -> None:
    """These seem to be gone; each has one thing that speaks against a deletion."""
    # No row is left in Nova, and no run saw it alive.
    add_host(world, "archived", "keep", checked_in=30 * DAY, errata=(ERRATUM,))

    # It checked in after its termination.
    uuid = add_host(world, "still-talking", "keep", checked_in=HOUR)
    add_instance(world, "still-talking", uuid, terminated=DAY)

    protection = {"osp_cleanup_protect": "true"}
    uuid = add_host(
        world, "protected", "keep", checked_in=3 * DAY, parameters=protection
    )
    add_instance(world, "protected", uuid, terminated=2 * DAY)

    uuid = add_host(world, "reborn", "keep", uuid=named_uuid("reborn, second life"))
    add_instance(world, "reborn", uuid)

    # Another record with the same UUID still checks in.
    uuid = add_host(world, "cloned", "keep", checked_in=3 * DAY)
    add_host(world, "clone", "keep", uuid=uuid)
    add_instance(world, "cloned", uuid, terminated=DAY)


def _add_others(world: World) -> None:
    """These were never instances: that OpenStack does not know them proves nothing."""
    for name in ("vmware-1", "vmware-2", "vmware-3"):
        facts = guest_facts(
            named_uuid(name), vendor="VMware, Inc.", product="VMware7,1"
        )
        add_host(world, name, "keep", facts=facts)
    facts = guest_facts(
        named_uuid("metal"), vendor="Dell Inc.", product="PowerEdge R650", guest="false"
    )
    add_host(world, "metal", "keep", facts=facts)
    add_host(world, "registering-now", "keep", facts={})
    hypervisor = registration(HOUR, hypervisor=True)
    add_host(world, "virt-who-compute-7-1", "keep", facts={}, subscription=hypervisor)
