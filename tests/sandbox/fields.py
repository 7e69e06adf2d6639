"""What can be searched in the Satellite double: the fields of hosts, facts, settings and places.

Of the fields that the API description of Foreman 3.12 and Katello 4.14 lists, those that nothing
here needs are `missing`: a search for one of them fails the test.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from .records import Host, fact_rows
from .search import Field, Fields, Values, single
from .search_checks import (
    Check,
    boolean_check,
    date_check,
    fact_check,
    flag_check,
    identifier_check,
    number_check,
    text_check,
)
from .search_parser import LISTS, PATTERNS, DatabaseError, Mark

if TYPE_CHECKING:
    from .satellite import Satellite

_MISSING_HOST_FIELDS = """
    architecture boot_time build_status configuration_status.applied configuration_status.enabled
    configuration_status.failed configuration_status.failed_restarts
    configuration_status.interesting configuration_status.pending configuration_status.restarted
    configuration_status.skipped domain domain_id execution_status global_status has_ip has_ip6
    has_mac hostgroup hostgroup_fullname hostgroup_name hostgroup_title image ip ip6
    job_invocation.id job_invocation.result mac model origin os os_description os_id os_major
    os_minor os_title owner owner_id owner_type params params. params_name parent_hostgroup
    puppet_ca puppet_proxy_id puppetmaster pxe_loader realm realm_id reported.bios_release_date
    reported.bios_vendor reported.bios_version reported.boot_time reported.cores
    reported.disks_total reported.kernel_version reported.ram reported.sockets reported.virtual
    smart_proxy status.applied status.enabled status.failed status.failed_restarts
    status.interesting status.pending status.restarted status.skipped subnet subnet.name subnet6
    subnet6.name updated_at user.firstname user.lastname user.login user.mail usergroup
    usergroup.name
"""
_MISSING_KATELLO_FIELDS = """
    activation_key activation_key_id addon applicable_debs
    applicable_errata_issued applicable_rpms autoheal bootc_available_digest
    bootc_available_image bootc_booted_digest bootc_booted_image bootc_rollback_digest
    bootc_rollback_image bootc_staged_digest bootc_staged_image content_source content_view
    content_views convert2rhel_through_foreman errata_status host_collection hypervisor_host
    image_mode installable_errata lifecycle_environment lifecycle_environments
    registered_through release_version repository repository_content_label
    rhel_lifecycle_status role service_level subscription_id subscription_name trace_status
    upgradable_debs upgradable_rpms usage
"""


def _from_record(name: str, default: Any = None) -> Values:
    return single(lambda host: host.record.get(name, default))


def _from_subscription(name: str) -> Values:
    return single(lambda host: (host.subscription or {}).get(name))


def _from_infrastructure(name: str, default: Any = None) -> Values:
    def value(host: Host) -> Any:
        if not host.infrastructure:
            return None
        return host.infrastructure.get(name, default)

    return single(value)


def host_fields(satellite: "Satellite") -> Fields:
    """The searchable fields of hosts; `facts.` is for all names that start with it."""
    created_at = single(lambda host: host.record.get("created_at", satellite.started))
    fields = {
        "name": Field(single(lambda host: host.name), text_check, Mark.LIKE),
        "id": Field(single(lambda host: host.id), identifier_check),
        "comment": Field(_from_record("comment", ""), text_check, Mark.LIKE),
        "uuid": Field(_from_record("uuid"), text_check, Mark.LIKE),
        "build": Field(_from_record("build", False), flag_check),
        "managed": Field(_from_record("managed", False), flag_check),
        "hostgroup_id": Field(_from_record("hostgroup_id"), identifier_check),
        "compute_resource": Field(
            _from_record("compute_resource_name"), text_check, Mark.LIKE
        ),
        "compute_resource_id": Field(
            _from_record("compute_resource_id"), identifier_check
        ),
        "created_at": Field(created_at, date_check),
        "installed_at": Field(_from_record("installed_at"), date_check),
        "last_report": Field(single(lambda host: host.last_report), date_check),
        "infrastructure_facet.foreman": Field(
            _from_infrastructure("foreman_instance", False), flag_check
        ),
        "infrastructure_facet.smart_proxy_id": Field(
            _from_infrastructure("smart_proxy_id"), number_check
        ),
        "facts.": Field(_named_facts, fact_check),
        **_place_fields(satellite, lambda host: host),
    }
    if not satellite.katello:
        return Fields(fields, _MISSING_HOST_FIELDS.split())
    fields.update(
        {
            # An erratum that Katello does not know is that of no host.
            "applicable_errata": Field(lambda host, name: host.errata, text_check),
            "hypervisor": Field(single(_is_hypervisor), boolean_check),
            "last_checkin": Field(_from_subscription("last_checkin"), date_check),
            "registered_at": Field(_from_subscription("registered_at"), date_check),
            "subscription_uuid": Field(
                _from_subscription("uuid"), text_check, Mark.LIKE
            ),
        }
    )
    missing = _MISSING_HOST_FIELDS + _MISSING_KATELLO_FIELDS
    return Fields(fields, missing.split())


def _named_facts(host: Host, name: str) -> Iterable[Optional[str]]:
    key = name.partition(".")[2]
    return [row.value for row in fact_rows(host, frozenset((key,)))]


def _is_hypervisor(host: Host) -> Optional[bool]:
    return (
        None if host.subscription is None else bool(host.subscription.get("hypervisor"))
    )


def _place_fields(
    satellite: "Satellite", host_of: Callable[[Any], Host]
) -> dict[str, Field]:
    """The fields of a host's organization and location; `host_of` gives the host of a row."""
    organization_id = single(lambda row: host_of(row).organization_id)
    location_id = single(lambda row: host_of(row).location_id)
    organization = single(
        lambda row: satellite.organizations.get(host_of(row).organization_id or 0)
    )
    location = single(
        lambda row: satellite.locations.get(host_of(row).location_id or 0)
    )
    return {
        "organization_id": Field(organization_id, identifier_check),
        "organization": Field(organization, text_check),
        "location_id": Field(location_id, identifier_check),
        "location": Field(location, text_check),
    }


def fact_fields(satellite: "Satellite") -> Fields:
    """The searchable fields of facts. `id` is not one of them (measured: order=id is a 400)."""
    name = Field(single(lambda row: row.name), text_check, Mark.LIKE)
    short = Field(
        single(lambda row: row.name.rpartition("::")[2]), text_check, Mark.LIKE
    )
    origin = Field(single(lambda row: row.origin), text_check)
    reported_at = single(lambda row: row.reported_at or satellite.started)
    return Fields(
        {
            "name": name,
            "fact": name,
            "short_name": short,
            "fact_short_name": short,
            "type": origin,
            "origin": origin,
            "value": Field(single(lambda row: row.value), fact_check, Mark.EQ),
            "facts.": Field(_value_of_named_row, fact_check),
            "reported_at": Field(reported_at, date_check),
            "host": Field(single(_host_key), _host_check),
            "host_id": Field(single(lambda row: row.host.id), number_check),
            **_place_fields(satellite, lambda row: row.host),
        },
        missing=("host.hostgroup",),
    )


class _HostKey(NamedTuple):
    name: str
    id: int


def _host_key(row: Any) -> _HostKey:
    """The host of a fact, as it is sorted and compared."""
    return _HostKey(row.host.name, row.host.id)


def _value_of_named_row(row: Any, name: str) -> Iterable[Optional[str]]:
    return (row.value,) if row.name == name.split(".")[1] else ()


def _host_check(name: str, mark: Mark, value: str) -> Check:
    """The host of a fact: digits mean its id, a list is a 500 (both measured)."""
    if mark in LISTS:
        return fact_check(name, mark, value)
    if not value.isdigit():
        has_name = text_check(name, mark, value)
        return lambda host: has_name(host.name)
    if mark in PATTERNS:
        raise DatabaseError(
            "PG::UndefinedFunction: ERROR:  operator does not exist: integer ~~* unknown\n"
        )
    has_id = number_check(name, mark, value)
    return lambda host: has_id(host.id)


def _from_key(name: str) -> Values:
    return single(lambda row: row[name])


def _key_fields(*names: str) -> dict[str, Field]:
    """Text fields of rows that are dicts."""
    return {name: Field(_from_key(name), text_check, Mark.LIKE) for name in names}


ORIGIN_FIELDS = Fields({"origin": Field(single(lambda row: row), text_check)})
"""Of rows that are the origins of facts."""

TAXONOMY_FIELDS = Fields(
    {**_key_fields("name", "title"), "id": Field(_from_key("id"), identifier_check)},
    missing=("description", "label", "organization_id", "location_id"),
)
"""Of organizations, locations and host groups."""

SETTING_FIELDS = Fields(_key_fields("name", "description"), missing=("id",))

TEMPLATE_FIELDS = Fields(
    {
        "id": Field(_from_key("id"), identifier_check),
        **_key_fields("name", "job_category", "provider_type"),
    },
    missing=(
        "default",
        "description",
        "effective_user",
        "locked",
        "snippet",
        "template",
    ),
)
