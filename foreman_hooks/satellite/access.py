"""What this login may see and do: if it sees less than before, a 404 means nothing."""

import hashlib
from collections.abc import Mapping

from foreman_hooks.satellite.client import MANY, Satellite
from foreman_hooks.satellite.errors import SatelliteForbidden
from foreman_hooks.satellite.hosts import newest_host
from foreman_hooks.satellite.response import JsonObject


def measure_visibility(satellite: Satellite) -> JsonObject:
    """How much this login sees now, to compare with another time.

    `login`: the user.  `permissions`: SHA-256 of the names of its permissions, which are requested
    again.  `organizations`: the names of those visible, sorted.  `hosts`: how many are visible.
    Raises SatelliteError.
    """
    permissions = " ".join(sorted(satellite.own_permissions()))
    names = visible_organizations(satellite)
    _, total = newest_host(satellite)
    return {
        "login": satellite.username,
        "permissions": hashlib.sha256(permissions.encode()).hexdigest(),
        "organizations": sorted(names),
        "hosts": total,
    }


def visible_organizations(satellite: Satellite) -> list[str]:
    """The names of the organizations visible to this login; empty without view_organizations."""
    try:
        listing = satellite.listing("/api/organizations", per_page=MANY)
    except SatelliteForbidden:
        return []
    return [str(organization.get("name")) for organization in listing]


def host_permissions(satellite: Satellite, host_id: int) -> Mapping[str, bool]:
    """Permission -> whether this login has it for that host; empty if Satellite does not say.

    Raises SatelliteError.
    """
    body = satellite.get(f"/api/hosts/{host_id}")
    permissions = body.get("permissions")
    return permissions if isinstance(permissions, dict) else {}
