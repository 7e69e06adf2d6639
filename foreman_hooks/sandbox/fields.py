"""What can be searched in the Satellite in memory: the fields of hosts, facts, settings, organizations."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, Optional

from .records import Host, fact_rows
from .search import (
    DatabaseError,
    Field,
    Mark,
    boolean_check,
    date_check,
    fact_check,
    flag_check,
    identifier_check,
    number_check,
    one,
    text_check,
)

if TYPE_CHECKING:
    from .satellite import Satellite


def _recorded(name: str, default: Any = None) -> Callable[[Host, str], Iterable[Any]]:
    return one(lambda host: host.record.get(name, default))


def _registered(name: str) -> Callable[[Host, str], Iterable[Any]]:
    return one(lambda host: (host.subscription or {}).get(name))


def host_fields(satellite: "Satellite") -> dict[str, Field]:
    """The searchable fields of hosts; after a name with a dot comes the name of a fact or parameter."""
    def parameter(host: Host, name: str) -> Iterable[Optional[str]]:
        key = name.rpartition(".")[2]                   # a name with dots in it is never found
        return (host.parameters.get(key, satellite.parameters.get(key)),)

    fields = {
        "name": Field(one(lambda host: host.name), text_check, Mark.LIKE),
        "id": Field(one(lambda host: host.id), identifier_check),
        "comment": Field(_recorded("comment", ""), text_check, Mark.LIKE),
        "uuid": Field(_recorded("uuid"), text_check, Mark.LIKE),
        "build": Field(_recorded("build", False), flag_check),
        "managed": Field(_recorded("managed", False), flag_check),
        "hostgroup_id": Field(_recorded("hostgroup_id"), identifier_check),
        "compute_resource": Field(_recorded("compute_resource_name"), text_check, Mark.LIKE),
        "compute_resource_id": Field(_recorded("compute_resource_id"), identifier_check),
        "created_at": Field(one(lambda host: host.record.get("created_at", satellite.started)), date_check),
        "last_report": Field(_recorded("last_report"), date_check),
        "installed_at": Field(_recorded("installed_at"), date_check),
        "organization_id": Field(one(lambda host: host.organization_id), identifier_check),
        "organization": Field(one(lambda host: satellite.organizations.get(host.organization_id)), text_check),
        "location_id": Field(one(lambda host: host.location_id), identifier_check),
        "location": Field(one(lambda host: satellite.locations.get(host.location_id)), text_check),
        "facts.": Field(_facts_named, fact_check),
        "params.": Field(parameter, _parameter_check),
        "infrastructure_facet.foreman": Field(
            one(lambda host: host.infrastructure and host.infrastructure.get("foreman_instance", False)), flag_check),
        "infrastructure_facet.smart_proxy_id": Field(
            one(lambda host: host.infrastructure and host.infrastructure.get("smart_proxy_id")), number_check),
    }
    if satellite.katello:
        fields.update({
            "hypervisor": Field(one(_is_hypervisor), boolean_check),
            "last_checkin": Field(_registered("last_checkin"), date_check),
            "registered_at": Field(_registered("registered_at"), date_check),
            "subscription_uuid": Field(_registered("uuid"), text_check, Mark.LIKE)})
    return fields


def _facts_named(host: Host, name: str) -> Iterable[Optional[str]]:
    key = name.partition(".")[2]
    return [row.value for row in fact_rows(host, frozenset((key,)))]


def _is_hypervisor(host: Host) -> Optional[bool]:
    return None if host.subscription is None else bool(host.subscription.get("hypervisor"))


def fact_fields(satellite: "Satellite") -> dict[str, Field]:
    """The searchable fields of facts.  `id` is none of them (measured: order=id is a 400)."""
    name = Field(one(lambda row: row.name), text_check, Mark.LIKE)
    short = Field(one(lambda row: row.name.rpartition("::")[2]), text_check, Mark.LIKE)
    origin = Field(one(lambda row: row.origin), text_check)
    return {
        "name": name, "fact": name, "short_name": short, "fact_short_name": short, "type": origin, "origin": origin,
        "value": Field(one(lambda row: row.value), fact_check, Mark.EQ),
        "facts.": Field(lambda row, name: (row.value,) if row.name == name.split(".")[1] else (), fact_check),
        "host": Field(one(lambda row: (row.host.name, row.host.id)), _host_check),
        "host_id": Field(one(lambda row: row.host.id), number_check),
        "organization_id": Field(one(lambda row: row.host.organization_id), identifier_check),
        "organization": Field(one(lambda row: satellite.organizations.get(row.host.organization_id)), text_check),
        "location_id": Field(one(lambda row: row.host.location_id), identifier_check),
        "location": Field(one(lambda row: satellite.locations.get(row.host.location_id)), text_check),
    }


def _parameter_check(name: str, mark: Mark, value: str) -> Callable[[str], bool]:
    return fact_check(name, mark, value) if mark in (Mark.IN, Mark.NOTIN) else text_check(name, mark, value)


def _host_check(name: str, mark: Mark, value: str) -> Callable[[tuple[str, int]], bool]:
    """The host of a fact: digits mean its id (measured), a list is a 500 (measured)."""
    if mark in (Mark.IN, Mark.NOTIN):
        return fact_check(name, mark, value)
    if not value.isdigit():
        named = text_check(name, mark, value)
        return lambda host: named(host[0])
    if mark in (Mark.LIKE, Mark.UNLIKE):
        raise DatabaseError("PG::UndefinedFunction: ERROR:  operator does not exist: integer ~~* unknown\n")
    numbered = number_check(name, mark, value)
    return lambda host: numbered(host[1])


def _key_fields(*names: str) -> dict[str, Field]:
    return {name: Field(lambda row, name: (row[name],), text_check, Mark.LIKE) for name in names}


ORIGIN_FIELDS = {"origin": Field(lambda row, name: (row,), text_check)}     # of rows that are origins
TAXONOMY_FIELDS = {**_key_fields("name", "title"), "id": Field(one(lambda row: row["id"]), identifier_check)}
SETTING_FIELDS = _key_fields("name", "description")
