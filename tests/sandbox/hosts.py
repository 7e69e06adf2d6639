"""The host records of the Satellite double: list, show, create, disassociate, delete."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import host_views
from .calls import (
    Call,
    RefusedError,
    check_names,
    listed,
    server_error,
    unprocessable,
)
from .records import (
    BLANK_RECORD,
    HALF_DELETED,
    DeletionFault,
    Effect,
    Host,
    Parameters,
    detach,
)
from .search import order_by
from .search_parser import DatabaseError, parse
from .server import Answer, utc

if TYPE_CHECKING:
    from .satellite import Satellite

CANDLEPIN_DOWN = "A backend service [ Candlepin ] is unreachable"

_LISTS_TO_INCLUDE = ("parameters", "all_parameters")
_CREATED_WITH = {
    *BLANK_RECORD,
    "name",
    "organization_id",
    "location_id",
    "host_parameters_attributes",
    "overwrite",
}


def list_hosts(satellite: "Satellite", call: Call) -> Answer:
    """GET /hosts; `thin` shows only ids and names.

    Measured: `thin=false` is thin too, and `thin` checks `order` but sorts by name.
    """
    sight = satellite.sight_through_parent(call, "view")
    total = len(satellite.hosts)
    if sight is not None:
        total = sum(1 for host in satellite.hosts.values() if sight(host))
    order = order_by(call.first("order") or "name", satellite.host_fields)
    hosts = satellite.matching_hosts(parse(call.first("search")), sight)
    page = satellite.page(call, total)
    is_thin = "thin" in call.request.query
    if is_thin:
        hosts.sort(key=lambda host: host.name)
    elif call.first("order").split()[:1] != ["id"]:
        order.sort(hosts)
    elif order.descending:  # they are in ascending order already
        hosts.reverse()
    shown = page.cut(hosts)
    if is_thin:
        results = [{"id": host.id, "name": host.name} for host in shown]
        return listed(call, page, total, len(hosts), results)
    raise_fault(satellite.read_faults, shown)
    wanted = call.request.query.get("include[]", [])
    check_names(wanted, _LISTS_TO_INCLUDE, "include")
    results = [_listed_host(satellite, host, call, wanted) for host in shown]
    return listed(call, page, total, len(hosts), results)


def _listed_host(
    satellite: "Satellite", host: Host, call: Call, wanted: Iterable[str]
) -> dict[str, Any]:
    lists = host_views.parameters(satellite, host, call, wanted)
    return {**host_views.entry(satellite, host), **lists}


def raise_fault(faults: Mapping[int, Answer], hosts: Iterable[Host]) -> None:
    """One record that cannot be rendered spoils the whole answer."""
    for host in hosts:
        if host.id in faults:
            answer = faults[host.id]
            raise RefusedError(answer.status, answer.body, answer.headers)


def show_host(satellite: "Satellite", call: Call) -> Answer:
    """GET /hosts/:id."""
    host = satellite.find_host(call, "view")
    raise_fault(satellite.read_faults, [host])
    return Answer(200, host_views.whole_with_parameters(satellite, host, call))


def disassociate_host(satellite: "Satellite", call: Call) -> Answer:
    """PUT /hosts/:id/disassociate."""
    check_names(call.body or {}, (), "the key")
    host = satellite.find_host(call, "edit")
    detach(host)
    return Answer(200, host_views.whole(satellite, host, call))


def delete_host(satellite: "Satellite", call: Call) -> Answer:
    """DELETE /hosts/:id: 200 with the raw record.

    Katello says 200 even where the record stays, without its registration (measured).
    """
    host = satellite.find_host(call, "edit")
    fault = satellite.deletion_faults.get(host.id)
    if fault is None and host.id in satellite.stubborn:
        fault = HALF_DELETED
    if fault:
        return _delete_badly(satellite, host, fault)
    is_registered = (host.subscription or {}).get("uuid")
    if satellite.katello and satellite.candlepin_down and is_registered:
        raise DatabaseError(CANDLEPIN_DOWN)
    satellite.destroy(host)
    return Answer(200, host_views.raw(satellite, host))


def _delete_badly(satellite: "Satellite", host: Host, fault: DeletionFault) -> Answer:
    if (
        fault.effect is Effect.UNREGISTERED
    ):  # measured: both facets are gone, all facts stay
        host.subscription = host.content = None
    elif fault.effect is Effect.DELETED and fault.after:
        satellite.destroy_later(host, fault.after)
    elif fault.effect is Effect.DELETED:
        satellite.destroy(host)
    if fault.body is not None:
        return Answer(fault.status, fault.body)
    if fault.status == 200:
        return Answer(200, host_views.raw(satellite, host))
    return Answer(fault.status, {"error": {"message": f"DELETE of {host.name} failed"}})


def create_host(satellite: "Satellite", call: Call) -> Answer:
    """POST /hosts: 201 with the whole record.

    A name that is taken and an organization that the login does not see are a 422.
    """
    check_names(call.body or {}, ("host",), "the key")
    given = call.given("host")
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise server_error()
    check_names(given, _CREATED_WITH, "the attribute of a host")
    _check_new_host(satellite, call, given)
    record = {name: value for name, value in given.items() if name in BLANK_RECORD}
    record.update(created_at=utc(), updated_at=utc())
    host = Host(
        given["name"],
        parameters=_given_parameters(given),
        organization_id=given.get("organization_id"),
        location_id=given.get("location_id"),
        record=record,
    )
    satellite.add(host)
    return Answer(201, host_views.whole_with_parameters(satellite, host, call))


def _check_new_host(
    satellite: "Satellite", call: Call, given: Mapping[str, Any]
) -> None:
    if satellite.named_host(given["name"].lower()):
        raise unprocessable(None, [("name", "has already been taken")])
    for name, places in (
        ("organization_id", satellite.visible_organizations(call.user)),
        ("location_id", satellite.visible_locations(call.user)),
    ):
        if given.get(name) is not None and given[name] not in places:
            raise unprocessable(None, [(name, "is invalid")])


def _given_parameters(given: Mapping[str, Any]) -> Parameters:
    parameters: Parameters = {}
    for row in given.get("host_parameters_attributes", ()):
        check_names(
            row, ("name", "value", "parameter_type"), "the attribute of a parameter"
        )
        is_text = row.get("parameter_type", "string") == "string"
        parameters[row["name"]] = row["value"] if is_text else json.loads(row["value"])
    return parameters
