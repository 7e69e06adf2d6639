"""How this Satellite is set up: services, plugins, settings, and which facts it stores."""

from collections.abc import Sequence
from typing import Any, Optional

from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.connection import shorten
from foreman_hooks.satellite.errors import SatelliteForbidden, SatelliteRefused

_LONGEST_STATUS = 120  # characters of the message about a service


def has_remote_execution(satellite: Satellite) -> bool:
    """Whether the remote execution plugin is installed; raises SatelliteError.

    Without the plugin, its permissions do not exist.
    """
    try:
        satellite.page("/api/job_templates", list, per_page=1)
    except SatelliteForbidden:  # installed, but not for this login
        return True
    except SatelliteRefused as refusal:
        if not refusal.no_route:
            raise
        return False
    return True


def failing_services(satellite: Satellite) -> dict[str, str]:
    """Name of each failing backend service of Katello -> what Katello says about it.

    This needs no permission.  Raises SatelliteError.  When a registered host is deleted, Katello
    asks Candlepin first; if Candlepin does not answer, the deletion gets a 500.
    """
    path = "/katello/api/ping"
    if not satellite.katello:
        return {}
    services = satellite.get(path).get("services")
    if not isinstance(services, dict):
        satellite.raise_unexpected(path, "no services")
    failing = {}
    for name, service in services.items():
        if not isinstance(service, dict):
            satellite.raise_unexpected(path, "no services")
        status = service.get("status")
        if status != "ok":
            text = service.get("message") or status or "no status"
            failing[name] = shorten(text, _LONGEST_STATUS)
    return failing


def destroys_vms(satellite: Satellite) -> Optional[bool]:
    """The setting destroy_vm_on_host_delete; None if this login cannot read it."""
    value = _setting(satellite, "destroy_vm_on_host_delete")
    return value if isinstance(value, bool) else None


def excluded_facts(satellite: Satellite) -> Optional[tuple[str, ...]]:
    """The patterns in the setting excluded_facts; None if this login cannot read it."""
    value = _setting(satellite, "excluded_facts")
    if not isinstance(value, list):
        return None
    return tuple(map(str, value))


def _setting(satellite: Satellite, name: str) -> Any:
    """The value of a setting; None if it cannot be read."""
    try:
        settings = satellite.listing(
            "/api/settings", search=f"name = {name}", per_page=2
        )
    except (SatelliteForbidden, SatelliteRefused):
        return None
    if len(settings) != 1:
        return None
    setting = settings[0]
    return setting.get("value") if setting.get("name") == name else None


def has_fact(satellite: Satellite, names: Sequence[str], rhsm: bool) -> bool:
    """Whether any visible host has one of these facts; raises SatelliteError.

    `rhsm`: True for facts of RHSM only, False for those of all other sources.
    """
    origin = "origin ~ Rhsm" if rhsm else "origin !~ Rhsm"
    search = f"fact ^ ({','.join(names)}) and {origin}"
    page = satellite.page(
        "/api/fact_values",
        dict,
        search=search,
        order="host_id ASC",
        per_page=1,
    )
    return any(page["results"].values())
