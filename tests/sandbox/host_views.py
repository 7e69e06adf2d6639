"""The shapes in which the Satellite double shows a host: in lists, by itself, and as its row."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional

from .calls import Call
from .records import (
    BLANK_CONTENT,
    BLANK_RECORD,
    BLANK_REGISTRATION,
    BLANK_SUBSCRIPTION,
    HOST_PERMISSIONS,
    INTERFACE,
    RAW,
    RAW_FACETS,
    REGISTERED_CONTENT,
    REPORTED,
    SECRETS,
    Host,
    Parameters,
    content_view_environment,
    fact_rows,
    parameter_entry,
)

if TYPE_CHECKING:
    from .satellite import Satellite

_NOT_LISTED = (*SECRETS, "host_collections")
_FACET_TIMES = ("last_checkin", "registered_at")


def entry(satellite: "Satellite", host: Host) -> dict[str, Any]:
    """A host as lists have it."""
    record = {
        name: value for name, value in host.record.items() if name not in _NOT_LISTED
    }
    shown = {
        **BLANK_RECORD,
        "created_at": satellite.started,
        "updated_at": satellite.started,
        "certname": host.name,
        **record,
        "organization_id": host.organization_id,
        "location_id": host.location_id,
        "organization_name": satellite.organizations.get(host.organization_id or 0),
        "location_name": satellite.locations.get(host.location_id or 0),
        "name": host.name,
        "id": host.id,
        "display_name": host.name,
        "uptime_seconds": None,
        "last_report": host.last_report,
        "reported_data": {
            **dict.fromkeys(REPORTED),
            **host.record.get("reported_data", {}),
        },
    }
    if host.infrastructure:
        blank = {"foreman_instance": False, "smart_proxy_id": None}
        shown["infrastructure_facet"] = {**blank, **host.infrastructure}
    if satellite.katello and host.subscription is not None:
        shown["subscription_facet_attributes"] = _listed_subscription(host)
    content = _content(satellite, host)
    if content is not None:
        shown["content_facet_attributes"] = content
    return shown


def _listed_subscription(host: Host) -> dict[str, Any]:
    facet = {"id": host.id, **BLANK_SUBSCRIPTION, **(host.subscription or {})}
    return {
        name: value for name, value in facet.items() if name not in BLANK_REGISTRATION
    }


def _content(satellite: "Satellite", host: Host) -> Optional[dict[str, Any]]:
    """What `content_facet_attributes` holds; None if the host has no such facet."""
    is_registered = host.subscription is not None
    if not satellite.katello or (not is_registered and host.content is None):
        return None
    content = {**BLANK_CONTENT, "id": host.id}
    if host.subscription is not None:
        content.update(REGISTERED_CONTENT, uuid=host.subscription.get("uuid"))
    content.update(host.content or {})
    view = content["content_view"]
    environment = content["lifecycle_environment"]
    if view and environment:
        content["content_view_environments"] = [
            content_view_environment(view, environment)
        ]
    return content


def whole(satellite: "Satellite", host: Host, call: Call) -> dict[str, Any]:
    """A host by itself, with the caller's permissions but without parameters.

    A host with content has its facts here too, all origins in one.
    """
    interface = {**INTERFACE, "id": host.id, "name": host.name, "fqdn": host.name}
    shown = {
        **entry(satellite, host),
        "interfaces": [interface],
        "permissions": {name: call.user.may(name) for name in HOST_PERMISSIONS},
    }
    if "subscription_facet_attributes" in shown:
        shown["subscription_facet_attributes"].update(BLANK_REGISTRATION)
        shown["subscription_facet_attributes"].update(host.subscription or {})
    if "content_facet_attributes" in shown:
        shown["facts"] = {row.name: row.value for row in fact_rows(host)}
        for name in ("content_view", "lifecycle_environment"):
            shown[name] = shown["content_facet_attributes"][name]
    if satellite.katello:
        shown["host_collections"] = host.record.get("host_collections", [])
    return shown


def whole_with_parameters(
    satellite: "Satellite", host: Host, call: Call
) -> dict[str, Any]:
    """A host by itself, with its own parameters and all that reach it."""
    lists = parameters(satellite, host, call, ("parameters", "all_parameters"))
    return {**whole(satellite, host, call), **lists}


def parameters(
    satellite: "Satellite", host: Host, call: Call, wanted: Iterable[str]
) -> dict[str, Any]:
    """The `wanted` lists of parameters.

    Without view_params only the global ones are there, and nothing says why (measured).
    """
    merged: dict[str, dict[str, Any]] = {}
    for level, values in _parameter_levels(satellite, host, call):
        for name, value in values.items():
            merged.setdefault(
                name, parameter_entry(name, value, level, satellite.started)
            )
    own = [shown for shown in merged.values() if shown["associated_type"] == "host"]
    lists = {"parameters": own, "all_parameters": list(merged.values())}
    return {name: rows for name, rows in lists.items() if name in wanted}


def _parameter_levels(
    satellite: "Satellite", host: Host, call: Call
) -> list[tuple[str, Parameters]]:
    """The levels whose parameters reach a host, the highest first."""
    if not call.user.may("view_params"):
        return [("global", satellite.parameters)]
    hostgroup_id = host.record.get("hostgroup_id") or 0
    return [
        ("host", host.parameters),
        ("host group", satellite.hostgroup_parameters.get(hostgroup_id, {})),
        ("location", satellite.location_parameters.get(host.location_id or 0, {})),
        (
            "organization",
            satellite.organization_parameters.get(host.organization_id or 0, {}),
        ),
        ("global", satellite.parameters),
    ]


def raw(satellite: "Satellite", host: Host) -> dict[str, Any]:
    """A host as DELETE answers it: its row in the database, password hashes and all, ISO times."""
    shown = {**host.record, **entry(satellite, host)}
    shown.update({name: host.record.get(name) for name in SECRETS})
    row = {name: shown.get(name) for name in RAW}
    row["lookup_value_matcher"] = f"fqdn={host.name}"
    row["reported_data_attributes"] = {"host_id": host.id}
    for kind, names in RAW_FACETS.items():
        facet = shown.get(kind)
        if facet is not None:
            row[kind] = {"host_id": host.id, **_raw_facet(facet, names)}
    for name in ("created_at", "updated_at", "last_report"):
        row[name] = _iso(row[name])
    return row


def _raw_facet(facet: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    row = {name: facet.get(name) for name in names}
    for name in _FACET_TIMES:
        if name in row:
            row[name] = _iso(row[name])
    return row


def _iso(time: Optional[str]) -> Optional[str]:
    return re.sub(r"^(\S+) (\S+) UTC$", r"\1T\2.000Z", time or "") or None
