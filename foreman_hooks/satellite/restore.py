"""Create a host record again from the snapshot that was taken before its deletion.

The record comes back, the registration does not: the machine's key was revoked with the record, so
somebody has to register the machine again.  Everything that cannot come back is listed, with what
to do about it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.errors import SatelliteForbidden, SatelliteRefused
from foreman_hooks.satellite.hosts import create_host
from foreman_hooks.satellite.lookups import find_id
from foreman_hooks.satellite.snapshot import NOT_KEPT

Snapshot = Mapping[str, Any]
Attributes = dict[str, Any]  # of a host, as Foreman's API takes them

_PLAIN = ("name", "comment", "ip", "mac", "enabled")
_OWNER_PATHS = {"User": "/api/users", "Usergroup": "/api/usergroups"}
_PARAMETER_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "real",
}


class _Reference(NamedTuple):
    """Something to which a host refers by id, and a snapshot by name.

    `key`: of the name in a snapshot.  `attribute`: of a host, for the id.  `kind`: the API's name
    for these objects.  `word`: what a message calls one of them.
    """

    key: str
    attribute: str
    kind: str
    word: str


_REFERENCES = (
    _Reference("organization_name", "organization_id", "organizations", "organization"),
    _Reference("location_name", "location_id", "locations", "location"),
    _Reference("hostgroup_title", "hostgroup_id", "hostgroups", "hostgroup"),
)


class Loss(NamedTuple):
    """Something that cannot come back, and what to do about it."""

    what: str
    advice: str


class Restored(NamedTuple):
    """The new host record, and what cannot come back."""

    host_id: int
    name: str
    lost: list[Loss]


def restore(satellite: Satellite, snapshot: Snapshot) -> Restored:
    """Create the host record again.

    `snapshot`: Record.snapshot.  Raises SatelliteRefused if there is a host record of that name, or
    another SatelliteError.
    """
    attributes = {
        **_plain_attributes(snapshot),
        **_references(satellite, snapshot),
        **_owner(satellite, snapshot),
        "host_parameters_attributes": _parameters(snapshot),
    }
    host_id = create_host(satellite, attributes)
    lost = [
        *_lost_references(snapshot, attributes),
        *_lost_owner(snapshot, attributes),
        *_lost_registration(snapshot),
        *_lost_content_views(snapshot),
        *_lost_host_collections(snapshot),
        *_lost_compute_resource(snapshot),
        *_lost_parameters(snapshot),
    ]
    return Restored(host_id, snapshot["name"], lost)


# What comes back


def _plain_attributes(snapshot: Snapshot) -> Attributes:
    attributes = {}
    for name in _PLAIN:
        value = snapshot.get(name)
        if value not in (None, ""):
            attributes[name] = value
    return attributes


def _references(satellite: Satellite, snapshot: Snapshot) -> Attributes:
    """The ids of organization, location and host group, found by their names.

    The ids may have changed in the meantime: a host group may have been deleted and created again.
    """
    attributes = {}
    for reference in _REFERENCES:
        name = snapshot.get(reference.key)
        if not name:
            continue
        number = find_id(satellite, reference.kind, "title", name)
        if number is not None:
            attributes[reference.attribute] = number
    return attributes


def _owner(satellite: Satellite, snapshot: Snapshot) -> Attributes:
    """The owner by its id, which Foreman never uses again; empty if it is gone or hidden."""
    owner_type = snapshot.get("owner_type")
    owner_id = snapshot.get("owner_id")
    path = _OWNER_PATHS.get(str(owner_type))
    if not path or not isinstance(owner_id, int):
        return {}
    try:
        owner = satellite.get(f"{path}/{owner_id}")
    except (SatelliteForbidden, SatelliteRefused):
        return {}
    if owner.get("id") != owner_id:
        return {}
    return {"owner_id": owner_id, "owner_type": owner_type}


def _parameters(snapshot: Snapshot) -> list[Attributes]:
    """The host's own parameters whose values were kept, each with its type."""
    parameters = []
    for name, value in _known_parameters(snapshot).items():
        if value in (None, NOT_KEPT):
            continue
        kind = _PARAMETER_TYPES.get(type(value), "json")
        text = value if kind == "string" else json.dumps(value)
        parameter = {"name": name, "parameter_type": kind, "value": text}
        parameters.append(parameter)
    return parameters


# What cannot come back


def _lost_references(snapshot: Snapshot, attributes: Attributes) -> Iterator[Loss]:
    advice = "not found by that name, or hidden from this login; set it in Satellite"
    for reference in _REFERENCES:
        name = snapshot.get(reference.key)
        if name and reference.attribute not in attributes:
            what = f"{reference.word} {name}"
            yield Loss(what, advice)


def _lost_owner(snapshot: Snapshot, attributes: Attributes) -> Iterator[Loss]:
    name = snapshot.get("owner_name")
    if name and "owner_id" not in attributes:
        what = f"owner {name}"
        yield Loss(what, "set the owner in Satellite")


def _lost_registration(snapshot: Snapshot) -> Iterator[Loss]:
    facet = _facet(snapshot, "subscription")
    if not facet.get("uuid"):
        return
    keys = facet.get("activation_keys") or ()
    keys = [key for key in keys if isinstance(key, dict)]
    names = ", ".join(str(key.get("name")) for key in keys)
    advice = (
        "on the machine: subscription-manager clean; subscription-manager register "
        f"--org ORGANIZATION --activationkey {names or 'KEY'}"
    )
    yield Loss("the registration", advice)


def _lost_content_views(snapshot: Snapshot) -> Iterator[Loss]:
    """Content view and lifecycle environment; a host may have several pairs of them."""
    content = _facet(snapshot, "content")
    pairs = content.get("content_view_environments")
    for pair in pairs or [content]:
        view = pair.get("content_view")
        environment = pair.get("lifecycle_environment")
        if view and environment:
            what = f"content view {view['name']}, lifecycle environment {environment['name']}"
            advice = "comes with the activation key, or set it after the registration"
            yield Loss(what, advice)


def _lost_host_collections(snapshot: Snapshot) -> Iterator[Loss]:
    for name in snapshot.get("host_collections") or ():
        what = f"host collection {name}"
        command = f"hammer host-collection add-host --name {name!r} --host-ids ID"
        yield Loss(what, command)


def _lost_compute_resource(snapshot: Snapshot) -> Iterator[Loss]:
    if snapshot.get("compute_resource_id"):
        name = snapshot.get("compute_resource_name")
        what = f"compute resource {name}"
        yield Loss(what, "the virtual machine is gone")


def _lost_parameters(snapshot: Snapshot) -> Iterator[Loss]:
    if snapshot.get("parameters", {}) is None:
        advice = (
            "they could not be read before the deletion, because view_params was missing; set them "
            "in Satellite"
        )
        yield Loss("its parameters", advice)
    advice = "its value was hidden, or might have been a secret; set it in Satellite"
    for name, value in _known_parameters(snapshot).items():
        if value == NOT_KEPT:
            what = f"parameter {name}"
            yield Loss(what, advice)


# The parts of a snapshot


def _known_parameters(snapshot: Snapshot) -> Mapping[str, Any]:
    """The host's own parameters: name -> value, or NOT_KEPT; empty if they could not be read."""
    return snapshot.get("parameters") or {}


def _facet(snapshot: Snapshot, name: str) -> Mapping[str, Any]:
    key = f"{name}_facet_attributes"
    return snapshot.get(key) or {}
