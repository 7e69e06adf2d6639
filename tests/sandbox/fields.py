"""What can be searched in the Satellite in memory: the fields of hosts, facts, settings,
organizations.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional

from .records import PRIORITIES, Host, fact_rows, searchable_value
from .search import (
    Check,
    DatabaseError,
    Field,
    Mark,
    QueryError,
    Test,
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
    """The searchable fields of hosts; after a name with a dot comes the name of a fact or
    parameter.
    """
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
        "created_at": Field(
            one(lambda host: host.record.get("created_at", satellite.started)), date_check
        ),
        "last_report": Field(one(lambda host: host.last_report), date_check),
        "boot_time": Field(
            one(lambda host: host.record.get("reported_data", {}).get("boot_time")), date_check
        ),
        "owner": Field(one(satellite.login_of_owner), text_check),
        "user.login": Field(one(satellite.login_of_owner), text_check),
        "execution_status": Field(
            _recorded("execution_status"), _choice_check({"ok": 0, "error": 1})
        ),
        "job_invocation.id": Field(
            lambda host, name: satellite.jobs.ids_of_jobs(host.id), number_check
        ),
        "installed_at": Field(_recorded("installed_at"), date_check),
        "organization_id": Field(one(lambda host: host.organization_id), identifier_check),
        "organization": Field(
            one(lambda host: satellite.organizations.get(host.organization_id)), text_check
        ),
        "location_id": Field(one(lambda host: host.location_id), identifier_check),
        "location": Field(one(lambda host: satellite.locations.get(host.location_id)), text_check),
        "facts.": Field(_facts_named, fact_check),
        "params.": Field(_own_parameter, text_check, whole=_parameter_search(satellite)),
        "infrastructure_facet.foreman": Field(
            one(
                lambda host: (
                    host.infrastructure and host.infrastructure.get("foreman_instance", False)
                )
            ),
            flag_check,
        ),
        "infrastructure_facet.smart_proxy_id": Field(
            one(lambda host: host.infrastructure and host.infrastructure.get("smart_proxy_id")),
            number_check,
        ),
    }
    if satellite.katello:
        fields.update(_katello_fields(satellite))
    return fields


def _katello_fields(satellite: "Satellite") -> dict[str, Field]:
    return {
        "activation_key": Field(
            _names_of(lambda host: (host.subscription or {}).get("activation_keys")), text_check
        ),
        "content_view": Field(
            _names_of(lambda host: _content(satellite, host, "content_view")), text_check
        ),
        "lifecycle_environment": Field(
            _names_of(lambda host: _content(satellite, host, "lifecycle_environment")), text_check
        ),
        "host_collection": Field(
            _names_of(lambda host: host.record.get("host_collections")), text_check
        ),
        "hypervisor_host": Field(
            _names_of(lambda host: [(host.subscription or {}).get("virtual_host")]), text_check
        ),
        "release_version": Field(_registered("release_version"), text_check),
        "errata_status": Field(
            _recorded("errata_status"),
            _choice_check({"updated": 0, "unknown": 1, "errata_needed": 2, "security_needed": 3}),
        ),
        "hypervisor": Field(one(_is_hypervisor), boolean_check),
        "last_checkin": Field(_registered("last_checkin"), date_check),
        "registered_at": Field(_registered("registered_at"), date_check),
        "subscription_uuid": Field(_registered("uuid"), text_check, Mark.LIKE),
    }


def _names_of(get: Callable[[Host], Any]) -> Callable[[Host, str], Iterable[Any]]:
    return lambda host, name: [each["name"] for each in get(host) or () if each] or [None]


def _content(satellite: "Satellite", host: Host, key: str) -> list[Any]:
    return [(satellite.content_of(host) or {}).get(key)]


def _choice_check(numbers: Mapping[str, int]) -> Callable[[str, Mark, str], Check]:
    """One of a few words, each of which stands for a number."""

    def check(name: str, mark: Mark, value: str) -> Check:
        if value not in numbers:
            raise QueryError(
                f"'{name}' should be one of '{', '.join(numbers)}', but the query was '{value}'"
            )
        if mark not in (Mark.EQ, Mark.NE):
            raise QueryError(f"Operator '{mark.value}' not supported for '{name}'")
        return lambda held: (held == numbers[value]) is (mark is Mark.EQ)

    return check


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
        "name": name,
        "fact": name,
        "short_name": short,
        "fact_short_name": short,
        "type": origin,
        "origin": origin,
        "value": Field(one(lambda row: row.value), fact_check, Mark.EQ),
        "facts.": Field(
            lambda row, name: (row.value,) if row.name == name.split(".")[1] else (), fact_check
        ),
        "reported_at": Field(one(lambda row: row.reported_at or satellite.started), date_check),
        "host": Field(one(lambda row: (row.host.name, row.host.id)), _host_check),
        "host_id": Field(one(lambda row: row.host.id), number_check),
        "organization_id": Field(one(lambda row: row.host.organization_id), identifier_check),
        "organization": Field(
            one(lambda row: satellite.organizations.get(row.host.organization_id)), text_check
        ),
        "location_id": Field(one(lambda row: row.host.location_id), identifier_check),
        "location": Field(
            one(lambda row: satellite.locations.get(row.host.location_id)), text_check
        ),
    }


def _own_parameter(host: Host, name: str) -> Iterable[Optional[str]]:
    value = host.parameters.get(name.rpartition(".")[2])
    return (None if value is None else searchable_value(value),)


def _parameter_search(satellite: "Satellite") -> Callable[[str, Mark, str], Test]:
    """Foreman's `search_by_params`, which takes all parameters of that name together (measured).

    Those that match let their hosts in; those that do not, of a higher level than the lowest that
    matches, take theirs out: with a host group among them also every host without a host group,
    whatever its own value says.
    """

    def search(name: str, mark: Mark, value: str) -> Test:
        check = (fact_check if mark in (Mark.IN, Mark.NOTIN) else text_check)(name, mark, value)
        key = name.rpartition(".")[2]  # a name with dots in it is never found
        matching: list[tuple[str, int]] = []
        other: list[tuple[str, int]] = []
        for level, holder, parameters in satellite.parameter_levels():
            if key in parameters:
                (matching if check(searchable_value(parameters[key])) else other).append(
                    (level, holder)
                )
        lowest = min((PRIORITIES[level] for level, _ in matching), default=0)
        let_in = _holders(matching)
        taken_out = _holders(
            (level, holder) for level, holder in other if PRIORITIES[level] > lowest
        )
        return lambda host: _belongs(host, let_in) is True and _belongs(host, taken_out) is False

    return search


_LEVEL_KEYS: dict[str, Callable[[Host], Optional[int]]] = {
    "host": lambda host: host.id,
    "host group": lambda host: host.record.get("hostgroup_id"),
    "organization": lambda host: host.organization_id,
    "location": lambda host: host.location_id,
}


def _holders(pairs: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    holders: dict[str, set[int]] = {}
    for level, holder in pairs:
        holders.setdefault(level, set()).add(holder)
    return holders


def _belongs(host: Host, holders: Mapping[str, set[int]]) -> Optional[bool]:
    """Whether a host is one of the holders or of them; None as SQL's NULL, where it has no host
    group, say.
    """
    if "global" in holders:
        return True
    keys = {level: _LEVEL_KEYS[level](host) for level in holders}
    if any(keys[level] in ids for level, ids in holders.items()):
        return True
    return None if None in keys.values() else False


def _host_check(name: str, mark: Mark, value: str) -> Callable[[tuple[str, int]], bool]:
    """The host of a fact: digits mean its id (measured), a list is a 500 (measured)."""
    if mark in (Mark.IN, Mark.NOTIN):
        return fact_check(name, mark, value)
    if not value.isdigit():
        named = text_check(name, mark, value)
        return lambda host: named(host[0])
    if mark in (Mark.LIKE, Mark.UNLIKE):
        raise DatabaseError(
            "PG::UndefinedFunction: ERROR:  operator does not exist: integer ~~* unknown\n"
        )
    numbered = number_check(name, mark, value)
    return lambda host: numbered(host[1])


def _key_fields(*names: str) -> dict[str, Field]:
    return {name: Field(lambda row, name: (row[name],), text_check, Mark.LIKE) for name in names}


ORIGIN_FIELDS = {"origin": Field(lambda row, name: (row,), text_check)}  # of rows that are origins
TAXONOMY_FIELDS = {
    **_key_fields("name", "title"),
    "id": Field(one(lambda row: row["id"]), identifier_check),
}
SETTING_FIELDS = _key_fields("name", "description")
