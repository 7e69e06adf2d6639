"""What the Satellite double keeps: hosts, logins and facts, and the shapes of its answers."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from itertools import accumulate
from typing import Any, Callable, NamedTuple, Optional

RHSM = "Katello::RhsmFactName"
PUPPET = "PuppetFactName"
ANSIBLE = "ForemanAnsible::FactName"
SALT = "ForemanSalt::FactName"
CHEF = "ForemanChef::FactName"

ORGANIZATION = 1  # "Default Organization"
LOCATION = 2  # "Default Location"

Facts = dict[str, dict[str, Optional[str]]]  # origin -> fact name -> value
# Name -> value; the type of the value decides the parameter_type.
Parameters = dict[str, Any]
Sight = Optional[Callable[["Host"], bool]]  # which hosts a login sees; None: all

METRICS = ("applied", "restarted", "failed", "failed_restarts", "skipped", "pending")


@dataclass
class Report:
    """One configuration report: when, how many of each of METRICS, and who wrote it."""

    reported_at: str
    status: dict[str, int] = field(default_factory=dict)
    origin: str = "Ansible"
    id: int = 0


@dataclass
class Host:
    """One host record.

    `facts`: origin -> fact name (joined with ::) -> value; the null parents ("virt" of
    "virt::uuid") are added.
    `subscription`: what `subscription_facet_attributes` holds (uuid, last_checkin,
    registered_at, hypervisor...); None if the host is not registered.
    `content`: what `content_facet_attributes` holds in addition to the defaults. None: the facet
    of a registered host, or no facet; {}: what an unregistered host keeps of it.
    `infrastructure`: for example {"foreman_instance": True, "smart_proxy_id": 1}.
    `errata`: the ids of the applicable errata: those that it has not installed.
    `reports`: the newest decides `last_report`; without any, the record does.
    `record`: every other API field that differs from the default (build, comment,
    compute_resource_id, uuid, root_pass...); times as `utc` writes them.
    """

    name: str
    facts: Facts = field(default_factory=dict)
    parameters: Parameters = field(default_factory=dict)
    organization_id: Optional[int] = ORGANIZATION
    location_id: Optional[int] = LOCATION
    subscription: Optional[dict[str, Any]] = None
    content: Optional[dict[str, Any]] = None
    infrastructure: Optional[dict[str, Any]] = None
    errata: tuple[str, ...] = ()
    reports: list[Report] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    id: int = 0

    @property
    def last_report(self) -> Optional[str]:
        """When it last reported, whatever the result was."""
        times = [report.reported_at for report in self.reports]
        return max(times, default=self.record.get("last_report"))


@dataclass
class User:
    """One login.

    `permissions`: None for an administrator.
    `sees`: the role's filter on hosts.
    """

    login: str
    password: str
    permissions: Optional[frozenset[str]] = None
    organizations: frozenset[int] = frozenset({ORGANIZATION})
    locations: frozenset[int] = frozenset({LOCATION})
    sees: Optional[Callable[[Host], bool]] = None
    tokens: Collection[str] = ()

    @property
    def admin(self) -> bool:
        """Whether they have every permission and no filter."""
        return self.permissions is None

    def may(self, permission: str) -> bool:
        """Whether they have the permission."""
        return self.permissions is None or permission in self.permissions


class Effect(Enum):
    """What a DELETE does to the host, whatever its answer.

    UNREGISTERED: Katello has removed its part, and then Foreman failed: the record stays.
    """

    NONE = "none"
    DELETED = "deleted"
    UNREGISTERED = "unregistered"


class DeletionFault(NamedTuple):
    """How DELETE of one host goes wrong.

    `status`: DROPPED cuts the connection.
    `body`: None for an error in Foreman's shape or, with a 200, the record.
    `after`: how many more requests are answered before the effect.
    """

    status: int = 500
    body: Any = None
    effect: Effect = Effect.NONE
    after: int = 0


HALF_DELETED = DeletionFault(200, effect=Effect.UNREGISTERED)


class FactRow(NamedTuple):
    """One row of fact_values."""

    host: Host
    origin: str
    name: str
    value: Optional[str]

    @property
    def reported_at(self) -> Optional[str]:
        """When its origin last uploaded facts: `_timestamp`, else when the record changed."""
        uploaded = self.host.facts[self.origin].get("_timestamp")
        return uploaded or self.host.record.get("updated_at")


# Facts


@lru_cache(maxsize=4096)
def _with_parents(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of all rows that facts make.

    Before "dmi::system::uuid" come its parents "dmi" and "dmi::system", which are null.
    """
    parents: list[str] = []
    for name in names:
        parts = name.split("::")[:-1]
        parents += accumulate(parts, "{}::{}".format)
    rows = dict.fromkeys((*parents, *names))
    rows.pop("_timestamp", None)
    return tuple(rows)


@lru_cache(maxsize=4096)  # many hosts have the same facts
def _rows_of(
    names: tuple[str, ...], wanted: Optional[frozenset[str]]
) -> tuple[str, ...]:
    rows = _with_parents(names)
    if wanted is None:
        return rows
    return tuple(name for name in rows if name in wanted)


def any_origin(origin: str) -> bool:
    """Every origin is wanted."""
    return True


def fact_rows(
    host: Host,
    wanted: Optional[frozenset[str]] = None,
    is_wanted_origin: Callable[[str], bool] = any_origin,
) -> Iterator[FactRow]:
    """All rows of a host with the null parents, or those of the wanted names and origins."""
    for origin, facts in host.facts.items():
        if is_wanted_origin(origin):
            for name in _rows_of(tuple(facts), wanted):
                yield FactRow(host, origin, name, facts.get(name))


def count_rows(host: Host) -> int:
    """How many rows a host has."""
    return sum(len(_with_parents(tuple(facts))) for facts in host.facts.values())


# Records

SECRETS = ("root_pass", "grub_pass")
HOST_PERMISSIONS = (
    "view_hosts",
    "create_hosts",
    "edit_hosts",
    "destroy_hosts",
    "build_hosts",
    "power_hosts",
    "console_hosts",
    "cockpit_hosts",
    "ipmi_boot_hosts",
    "forget_status_hosts",
)
REPORTED = (
    "boot_time",
    "cores",
    "sockets",
    "disks_total",
    "kernel_version",
    "bios_vendor",
    "bios_release_date",
    "bios_version",
)
BLANK_RECORD: dict[str, Any] = {
    **dict.fromkeys(
        (
            "ip",
            "ip6",
            "mac",
            "last_report",
            "last_compile",
            "initiated_at",
            "installed_at",
            "architecture_id",
            "architecture_name",
            "operatingsystem_id",
            "operatingsystem_name",
            "domain_id",
            "domain_name",
            "realm_id",
            "realm_name",
            "subnet_id",
            "subnet_name",
            "ptable_id",
            "medium_id",
            "pxe_loader",
            "disk",
            "model_id",
            "model_name",
            "hostgroup_id",
            "hostgroup_name",
            "hostgroup_title",
            "use_image",
            "image_id",
            "uuid",
            "compute_resource_id",
            "compute_resource_name",
            "compute_resource_provider",
            "compute_profile_id",
            "compute_profile_name",
            "image_name",
            "medium_name",
            "ptable_name",
            "puppet_proxy",
            "puppet_proxy_id",
            "puppet_proxy_name",
            "puppet_ca_proxy",
            "puppet_ca_proxy_id",
            "puppet_ca_proxy_name",
            "sp_ip",
            "sp_mac",
            "sp_name",
            "sp_subnet_id",
            "subnet6_id",
            "subnet6_name",
            "cockpit_url",
        )
    ),
    "owner_id": 4,
    "owner_name": "Admin User",
    "owner_type": "User",
    "comment": "",
    "image_file": "",
    "provision_method": "build",
    "capabilities": ["build"],
    "creator_id": 4,
    "creator": "Admin User",
    "build": False,
    "enabled": True,
    "managed": False,
    "global_status": 0,
    "global_status_label": "OK",
    "build_status": 0,
    "build_status_label": "Installed",
    "execution_status": 2,
    "execution_status_label": "Unknown execution status",
    "puppet_status": 0,
    "bmc_available": False,
}
BLANK_SUBSCRIPTION: dict[str, Any] = {
    "uuid": None,
    "last_checkin": None,
    "registered_at": None,
    "registered_through": None,
    "release_version": None,
    "service_level": None,
    "purpose_role": None,
    "purpose_usage": None,
    "purpose_addons": [],
    "autoheal": False,
    "convert2rhel_through_foreman": None,
    "user": {"id": 4, "login": "admin"},
    "hypervisor": False,
}
BLANK_REGISTRATION: dict[str, Any] = {  # only GET /hosts/:id has these
    "dmi_uuid": None,
    "host_type": None,
    "virtual_host": None,
    "virtual_guests": [],
    "installed_products": [],
    "activation_keys": [],
}
_COUNTS = {"security": 0, "bugfix": 0, "enhancement": 0, "total": 0}
BLANK_CONTENT: dict[str, Any] = {
    "uuid": None,
    "content_source_id": None,
    "content_source_name": None,
    "kickstart_repository_id": None,
    "kickstart_repository_name": None,
    "errata_counts": {**_COUNTS, "applicable": _COUNTS},
    "applicable_deb_count": 0,
    "upgradable_deb_count": 0,
    "applicable_package_count": 0,
    "upgradable_package_count": 0,
    "applicable_module_stream_count": 0,
    "upgradable_module_stream_count": 0,
    "content_view_environments": [],
    "content_source": None,
    "kickstart_repository": None,
    "content_view": None,
    "lifecycle_environment": None,
}
REGISTERED_CONTENT: dict[str, Any] = {
    "content_view": {"id": 1, "name": "Default Organization View", "composite": False},
    "lifecycle_environment": {"id": 1, "name": "Library"},
}
INTERFACE = {
    **dict.fromkeys(
        (
            "ip",
            "ip6",
            "mac",
            "mtu",
            "identifier",
            "domain_id",
            "subnet_id",
            "subnet6_id",
        )
    ),
    "type": "interface",
    "primary": True,
    "provision": True,
    "managed": True,
    "execution": True,
    "virtual": False,
}
RAW = (
    "id",
    "name",
    "last_compile",
    "last_report",
    "updated_at",
    "created_at",
    "root_pass",
    "architecture_id",
    "operatingsystem_id",
    "ptable_id",
    "medium_id",
    "build",
    "comment",
    "disk",
    "installed_at",
    "model_id",
    "hostgroup_id",
    "owner_id",
    "owner_type",
    "enabled",
    "managed",
    "use_image",
    "image_file",
    "uuid",
    "compute_resource_id",
    "certname",
    "image_id",
    "organization_id",
    "location_id",
    "otp",
    "realm_id",
    "compute_profile_id",
    "provision_method",
    "grub_pass",
    "global_status",
    "pxe_loader",
    "initiated_at",
    "build_errors",
    "creator_id",
    "puppet_proxy_id",
    "puppet_ca_proxy_id",
)


RAW_FACETS = {
    "content_facet_attributes": (
        "id",
        "uuid",
        "kickstart_repository_id",
        "content_source_id",
    ),
    "subscription_facet_attributes": (
        "id",
        "uuid",
        "last_checkin",
        "service_level",
        "release_version",
        "autoheal",
        "registered_at",
        "registered_through",
        "hypervisor",
        "purpose_usage",
        "purpose_role",
        "dmi_uuid",
        "convert2rhel_through_foreman",
    ),
}


def content_view_environment(
    view: Mapping[str, Any], environment: Mapping[str, Any]
) -> dict[str, Any]:
    """The entry of `content_view_environments` that names both."""
    is_default = view["name"] == "Default Organization View"
    candlepin_name = environment["name"]
    if not is_default:
        candlepin_name = f"{environment['name']}/{view['name']}"
    return {
        "content_view": {
            **view,
            "content_view_version": "1.0",
            "content_view_version_id": view["id"],
            "content_view_version_latest": True,
            "content_view_default": is_default,
        },
        "lifecycle_environment": {
            **environment,
            "lifecycle_environment_library": environment["name"] == "Library",
        },
        "candlepin_name": candlepin_name,
    }


PRIORITIES = {
    "global": 0,
    "organization": 10,
    "location": 20,
    "host group": 60,
    "host": 70,
}
_PARAMETER_TYPES = {str: "string", bool: "boolean", int: "integer", float: "real"}


def parameter_entry(name: str, value: Any, kind: str, saved: str) -> dict[str, Any]:
    """A parameter as a host's answer lists it.

    `kind` is one of PRIORITIES; `saved` is when it was set.
    """
    return {
        "priority": PRIORITIES[kind],
        "created_at": saved,
        "updated_at": saved,
        "name": name,
        "parameter_type": _PARAMETER_TYPES.get(type(value), "json"),
        "associated_type": kind,
        "hidden_value?": False,
        "value": value,
    }


def taxonomy_entry(key: int, name: str) -> dict[str, Any]:
    """An organization or location as other answers name it."""
    return {"id": key, "name": name, "title": name, "description": None}


def detach(host: Host) -> None:
    """Forget which VM of a compute resource the host is; the VM is not touched."""
    host.record.pop("uuid", None)
    for part in ("id", "name", "provider"):
        host.record.pop(f"compute_resource_{part}", None)
