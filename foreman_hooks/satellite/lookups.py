"""Find ids by exact names: of a host, an organization, a location, a host group."""

import re
from typing import Optional

from foreman_hooks.satellite.client import Satellite, quoted
from foreman_hooks.satellite.errors import (
    SatelliteForbidden,
    SatelliteNotFound,
    SatelliteRefused,
)


def find_host(satellite: Satellite, text: str) -> tuple[int, str]:
    """(id, name) of the host whose exact name or id is `text`; raises SatelliteNotFound.

    A name counts more than an id, as in Foreman: the *name* of a host may be another host's id.
    """
    name = text.lower()
    search = f"name = {quoted(name)}"
    is_number = re.fullmatch(r"[0-9]+", text) is not None
    if is_number:
        search += f" or id = {text}"
    hosts = satellite.listing(
        "/api/hosts",
        search=search,
        thin="true",
        per_page=2,
    )
    for host in hosts:
        if host["name"] == name:
            return host["id"], host["name"]
    for host in hosts:
        if is_number and str(host["id"]) == text:
            return host["id"], host["name"]
    raise SatelliteNotFound(
        f"{satellite.url}: no host {text!r} is visible to {satellite.username}"
    )


def organization_id(satellite: Satellite, name: str) -> int:
    """The id of the organization with that exact name; raises SatelliteNotFound."""
    number = _matching_id(satellite, "organizations", "name", name)
    if number is None:
        raise SatelliteNotFound(
            f"{satellite.url}: no organization {name!r} is visible to {satellite.username}"
        )
    return number


def find_id(
    satellite: Satellite,
    kind: str,
    field: str,
    value: str,
) -> Optional[int]:
    """The id of the object whose `field` has exactly that value.

    `kind`: the API's name for these objects: organizations, locations, hostgroups.  None if there
    is no such object, or if this login may not see it.  Raises SatelliteError.
    """
    try:
        return _matching_id(satellite, kind, field, value)
    except (SatelliteForbidden, SatelliteRefused):
        return None


def _matching_id(
    satellite: Satellite,
    kind: str,
    field: str,
    value: str,
) -> Optional[int]:
    search = f"{field} = {quoted(value)}"
    for entry in satellite.listing(f"/api/{kind}", search=search, per_page=2):
        number = entry.get("id")
        if entry.get(field) == value and isinstance(number, int):
            return number
    return None
