"""Make a host entry again from the snapshot that was taken before its deletion.

The entry comes back, the registration does not: the machine's own key was revoked with the record,
so somebody has to register it again.  What cannot come back is named, each with what to do.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from foreman_hooks.satellite.client import NOT_KEPT, Satellite, SatelliteForbidden, SatelliteRefused

# snapshot key of the name -> attribute of the new host, kind as the API names it, and the field to
# look it up by
_NAMED = {
    "organization_name": ("organization_id", "organizations", "title"),
    "location_name": ("location_id", "locations", "title"),
    "hostgroup_title": ("hostgroup_id", "hostgroups", "title"),
}
_PLAIN = ("name", "comment", "ip", "mac", "enabled")
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "real"}


class Restored(NamedTuple):
    """The new entry, and what could not come back: (what, what to do)."""

    host_id: int
    name: str
    lost: "list[tuple[str, str]]"


def restore(satellite: Satellite, snapshot: Mapping[str, Any]) -> Restored:
    """Make the entry; raises SatelliteRefused where there is one of that name, and SatelliteError."""
    attributes: dict[str, Any] = {
        name: snapshot[name] for name in _PLAIN if snapshot.get(name) not in (None, "")
    }
    lost = []
    for key, (attribute, kind, field) in _NAMED.items():
        if not snapshot.get(key):
            continue
        found = satellite.id_of(kind, field, snapshot[key])
        if found is None:
            lost.append(
                (
                    f"{key.split('_')[0]} {snapshot[key]}",
                    "there is none of that name, or this login may not see it; set it in Satellite",
                )
            )
        else:
            attributes[attribute] = found
    owner = _owner(satellite, snapshot)
    attributes.update(owner or {})
    if snapshot.get("owner_name") and not owner:
        lost.append((f"owner {snapshot['owner_name']}", "set the owner in Satellite"))
    attributes["host_parameters_attributes"] = _parameters(snapshot)
    host_id = satellite.create_host(attributes)
    return Restored(host_id, snapshot["name"], lost + _lost(snapshot))


def _owner(satellite: Satellite, snapshot: Mapping[str, Any]) -> Optional[dict[str, Any]]:
    """The owner by its id, which is never given to another; None where it is gone or out of sight."""
    kind, owner_id = snapshot.get("owner_type"), snapshot.get("owner_id")
    path = {"User": "/api/users", "Usergroup": "/api/usergroups"}.get(str(kind))
    if not path or not isinstance(owner_id, int):
        return None
    try:
        known = satellite.get(f"{path}/{owner_id}").get("id") == owner_id
    except (SatelliteForbidden, SatelliteRefused):
        return None
    return {"owner_id": owner_id, "owner_type": kind} if known else None


def _parameters(snapshot: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The host's own parameters whose values were kept, each with its type."""
    parameters = []
    for name, value in (snapshot.get("parameters") or {}).items():
        if value not in (None, NOT_KEPT):
            kind = _TYPES.get(type(value), "json")
            parameters.append(
                {
                    "name": name,
                    "parameter_type": kind,
                    "value": value if kind == "string" else json.dumps(value),
                }
            )
    return parameters


def _lost(snapshot: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What no entry can bring back."""
    facet, content = (
        snapshot.get(f"{kind}_facet_attributes") or {} for kind in ("subscription", "content")
    )
    lost = []
    if facet.get("uuid"):
        keys = ", ".join(
            str(one.get("name"))
            for one in facet.get("activation_keys") or ()
            if isinstance(one, dict)
        )
        lost.append(
            (
                "the registration",
                "on the machine: subscription-manager clean; subscription-manager register "
                f"--org ORGANIZATION --activationkey {keys or 'KEY'}",
            )
        )
    lost += [
        (
            f"content view {view}, lifecycle environment {environment}",
            "comes with the activation key, or set it then",
        )
        for view, environment in _content_views(content)
    ]
    lost += [
        (
            f"host collection {name}",
            f"hammer host-collection add-host --name {name!r} --host-ids ID",
        )
        for name in snapshot.get("host_collections") or ()
    ]
    if snapshot.get("compute_resource_id"):
        lost.append(
            (
                f"compute resource {snapshot.get('compute_resource_name')}",
                "the virtual machine is gone",
            )
        )
    if "parameters" in snapshot and snapshot["parameters"] is None:
        lost.append(
            (
                "its parameters",
                "they could not be read when it was deleted, for want of view_params; set them "
                "in Satellite",
            )
        )
    lost += [
        (
            f"parameter {name}",
            "its value was hidden, or might have been a secret; set it in Satellite",
        )
        for name, value in (snapshot.get("parameters") or {}).items()
        if value == NOT_KEPT
    ]
    return lost


def _content_views(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Content view and lifecycle environment, of which a host may have several pairs."""
    pairs = content.get("content_view_environments") or [content]
    return [
        (pair["content_view"]["name"], pair["lifecycle_environment"]["name"])
        for pair in pairs
        if pair.get("content_view") and pair.get("lifecycle_environment")
    ]
