"""Read host records: from Satellite's JSON to a Record, one at a time or in batches."""

from collections.abc import Callable, Sequence
from typing import Any, Optional, TypeVar, Union

from foreman_hooks.rules.model import Record
from foreman_hooks.satellite.batches import ask_in_batches
from foreman_hooks.satellite.client import (
    Satellite,
    is_host,
    is_list_of_objects,
    quoted,
)
from foreman_hooks.satellite.connection import shorten
from foreman_hooks.satellite.errors import (
    SatelliteError,
    SatelliteFault,
    SatelliteRefused,
)
from foreman_hooks.satellite.response import JsonObject
from foreman_hooks.satellite.snapshot import snapshot_of
from foreman_hooks.satellite.times import parse_time

FULL_PAGE = 100  # whole records a page: each costs Satellite 12 to 15 ms (measured)
NAMED_PAGE = FULL_PAGE // 4  # by name: names are long, and they go into the URL

RecordOrReason = Union[Record, str]  # the reason why a record cannot be read
_Key = TypeVar("_Key", int, str)
_Records = dict[_Key, RecordOrReason]


def fetch_host(satellite: Satellite, host_id: int) -> Optional[JsonObject]:
    """The JSON object that GET returns for a host; None if Satellite shows none.

    Raises SatelliteError.
    """
    try:
        return satellite.get(f"/api/hosts/{host_id}")
    except SatelliteRefused as refusal:
        if not refusal.no_resource:
            raise
        return None


def fetch_record(satellite: Satellite, host_id: int) -> Optional[Record]:
    """The record with that id; None if Satellite shows none.

    Then the host is gone, or this login may not see it (both look the same).  Also None if the
    *name* of another host is that number: Satellite then returns that host.  Raises SatelliteError.
    """
    body = fetch_host(satellite, host_id)
    if body is None:
        return None
    record = _parse(satellite, body)
    return record if record.id == host_id else None


def fetch_records(
    satellite: Satellite, host_ids: Sequence[int]
) -> dict[int, RecordOrReason]:
    """Id -> record, or the reason why it cannot be read; without hosts that Satellite hides.

    Raises SatelliteError.
    """
    return _fetch_by(satellite, "id", host_ids, str, FULL_PAGE)


def fetch_records_named(
    satellite: Satellite,
    names: Sequence[str],
) -> dict[str, RecordOrReason]:
    """Name -> record, or the reason why it cannot be read; without hosts that Satellite hides.

    Raises SatelliteError.
    """
    return _fetch_by(satellite, "name", names, quoted, NAMED_PAGE)


def _fetch_by(
    satellite: Satellite,
    field: str,
    keys: Sequence[_Key],
    as_search_value: Callable[[_Key], str],
    size: int,
) -> _Records[_Key]:
    """Whole records by their ids or names, at most `size` of them in one request."""

    def ask(batch: Sequence[_Key]) -> _Records[_Key]:
        values = ",".join(map(as_search_value, batch))
        hosts = _fetch_hosts(satellite, field, f"{field} ^ ({values})")
        if not hosts.keys() <= set(batch):
            satellite.raise_unexpected("/api/hosts", "hosts that were not requested")
        records = {}
        for key, body in hosts.items():
            records[key] = _parse_or_reason(satellite, body)
        return records

    def failed(key: _Key, error: SatelliteError) -> _Records[_Key]:
        return {key: str(error)}

    all_records: _Records[_Key] = {}
    for records in ask_in_batches(keys, ask, failed, size):
        all_records.update(records)
    return all_records


def _fetch_hosts(
    satellite: Satellite,
    field: str,
    search: str,
) -> dict[Any, JsonObject]:
    """Id or name (`field`) -> JSON object of each host that matches.

    Raises SatelliteError.  An entry without that field could be any of the hosts, so it raises
    SatelliteFault, as a 500 does.
    """
    path = "/api/hosts"
    include = {"include[]": "all_parameters"}
    body = satellite.get(path, search=search, per_page=FULL_PAGE, **include)
    results: Any = body.get("results")
    if (
        not isinstance(results, list)
        or len(results) != body.get("subtotal")
        or body.get("per_page") != FULL_PAGE
    ):
        satellite.raise_unexpected(path, "no list, or fewer hosts than it announced")
    kind = int if field == "id" else str
    hosts: dict[Any, JsonObject] = {}
    for entry in results:
        if not isinstance(entry, dict) or type(entry.get(field)) is not kind:
            raise SatelliteFault(
                f"{satellite.url}: {path} shows a host without {field}"
            )
        hosts[entry[field]] = entry
    if len(hosts) < len(results):
        satellite.raise_unexpected(path, "the same host twice")
    return hosts


def _parse(satellite: Satellite, body: JsonObject) -> Record:
    return parse_record(
        body,
        satellite.katello,
        satellite.url,
        parameters_shown=satellite.has_permission("view_params"),
    )


def _parse_or_reason(satellite: Satellite, body: JsonObject) -> RecordOrReason:
    try:
        return _parse(satellite, body)
    except SatelliteError as error:
        return str(error)


def parse_record(
    body: JsonObject,
    katello: bool,
    where: str = "Satellite",
    *,
    parameters_shown: bool = True,
) -> Record:
    """The Record in the response to GET /api/hosts/:id.

    `katello`: whether Katello is installed.  `where`: the beginning of messages.
    `parameters_shown`: whether this login may read parameters at all; without view_params Satellite
    shows none.  Raises SatelliteError if the body is not a host.
    """
    if not _has_shape_of_host(body):
        label = shorten(body.get("name") or body.get("id"))
        raise SatelliteError(f"{where}: the record of host {label} cannot be read")
    facet = body.get("subscription_facet_attributes") or {}
    infrastructure = body.get("infrastructure_facet") or {}
    consumer = facet.get("uuid")
    if facet and not katello:
        raise SatelliteError(
            f"{where}: host {body['name']} is registered with Katello, which is not installed"
        )
    return Record(
        body["id"],
        body["name"],
        consumer=consumer,
        registered=bool(consumer) or not katello,
        registered_at=parse_time(facet.get("registered_at")),
        last_report=parse_time(body.get("last_report")),
        last_checkin=parse_time(facet.get("last_checkin")),
        facts_at=parse_time(body.get("last_compile")),
        katello=katello,
        build=body.get("build") is not False,
        hypervisor=bool(facet.get("hypervisor")),
        infrastructure=any(infrastructure.values()),
        compute_resource=_compute_resource(body),
        parameters=_parameters(body),
        snapshot=snapshot_of(body, parameters_shown),
    )


def _has_shape_of_host(body: JsonObject) -> bool:
    """Whether all parts of a host from which a Record is made have the right types."""
    if not is_host(body) or not _is_list_of_named(body.get("all_parameters")):
        return False
    for name in ("subscription_facet_attributes", "infrastructure_facet"):
        facet = body.get(name)
        if facet and not isinstance(facet, dict):
            return False
    for name in ("parameters", "host_collections"):
        entries = body.get(name)
        if entries and not _is_list_of_named(entries):
            return False
    return True


def _is_list_of_named(value: Any) -> bool:
    if not is_list_of_objects(value):
        return False
    return all(isinstance(entry.get("name"), str) for entry in value)


def _compute_resource(body: JsonObject) -> Optional[str]:
    number = body.get("compute_resource_id")
    if number is None:
        return None
    return str(body.get("compute_resource_name") or number)


def _parameters(body: JsonObject) -> dict[str, str]:
    """Name -> value of all parameters, including inherited ones."""
    parameters = {}
    for parameter in body["all_parameters"]:
        name, value = parameter["name"], parameter.get("value")
        parameters[name] = str(value)
    return parameters
