"""Check whether Satellite answers, its clock, its services, and what the login may do."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Callable

from foreman_hooks.cleanup.doctor.facts import examine_facts
from foreman_hooks.cleanup.doctor.findings import Finding, fail, ok, warning
from foreman_hooks.cleanup.doctor.role import examine_role
from foreman_hooks.satellite.access import host_permissions, visible_organizations
from foreman_hooks.satellite.client import CLOCK_SKEW, Satellite
from foreman_hooks.satellite.errors import (
    SatelliteError,
    SatelliteLoginError,
    SatelliteUnreachable,
)
from foreman_hooks.satellite.hosts import newest_host
from foreman_hooks.satellite.installation import destroys_vms, failing_services
from foreman_hooks.settings import Settings

_Check = Callable[[Satellite, Settings], Iterator[Finding]]
_SKIPPED = "fix this first; the other checks of Satellite were skipped"
_SERVICES = "see 'satellite-maintain service status' on Satellite"


def examine_satellite(settings: Settings) -> Iterator[Finding]:
    """Check everything about Satellite.

    If a check fails, only what depends on it is skipped.  If Satellite cannot be reached or refuses
    the login, all other checks are skipped.
    """
    if settings.login is None:
        yield fail("no Satellite is configured", "set satellite.url, or set up hammer")
        return
    if not _tls_is_checked(settings):
        yield warning(
            "TLS of Satellite is not checked",
            "use an https:// URL with ca_file, and remove verify_tls: false",
        )
    satellite = Satellite(settings.login, settings.manners)
    satellite.check_clock = False  # _clock reports it
    try:
        satellite.get("/api/status")
    except SatelliteError as error:
        yield fail(str(error), _SKIPPED)
        return
    try:
        yield from _examine_all(satellite, settings)
    except (SatelliteLoginError, SatelliteUnreachable) as error:
        yield fail(str(error), _SKIPPED)


def _examine_all(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    reported: set[Finding] = set()  # several checks may fail at the same request
    for check in (
        _versions,
        _clock,
        _services,
        _organizations,
        _hosts,
        examine_role,
        examine_facts,
        _compute_resources,
    ):
        for finding in _examine(check, satellite, settings):
            if finding not in reported:
                reported.add(finding)
                yield finding


def _examine(
    check: _Check, satellite: Satellite, settings: Settings
) -> Iterator[Finding]:
    """Yield the findings of one check; a failure is a finding unless it makes all checks fail."""
    try:
        yield from check(satellite, settings)
    except (SatelliteLoginError, SatelliteUnreachable):
        raise
    except SatelliteError as error:
        yield fail(str(error), "the checks that depend on this were skipped")


def _tls_is_checked(settings: Settings) -> bool:
    login = settings.login
    if login is None or not login.verify:
        return False
    return login.url.startswith("https://")


def _versions(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    about = satellite.about()
    katello = "without Katello, so the last report is the sign of life"
    if about.katello:
        katello = f"Katello {about.katello}"
    fine = "the login is fine"
    if _tls_is_checked(settings):
        fine = "login and TLS are fine"
    yield ok(f"{satellite.url} is Foreman {about.version}, {katello}; {fine}")


def _clock(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    offset = satellite.clock_offset
    if offset is None:
        yield warning(
            "Satellite's answers have no valid Date, so its clock cannot be compared",
            "a proxy in front of it may remove the header Date",
        )
        return
    apart = abs(offset)
    if apart <= CLOCK_SKEW:
        yield ok(
            f"Satellite's clock and ours agree ({apart.total_seconds():.0f} s apart)"
        )
        return
    yield fail(
        f"Satellite's clock and ours are {apart / timedelta(minutes=1):.0f} minutes apart, so "
        "check-ins cannot be compared with terminations",
        "synchronise both, with chronyd",
    )


def _services(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    if not satellite.katello:
        return
    failing = failing_services(satellite)
    candlepin = _named(failing, "candlepin", "candlepin_auth")
    tasks = _named(failing, "foreman_tasks")
    if candlepin:
        yield fail(
            f"Candlepin is failing: {candlepin}; every deletion of a registered host would fail "
            "(500)",
            _SERVICES,
        )
    else:
        yield ok("Candlepin answers; every deletion of a registered host needs it")
    if tasks and settings.checker is not None:
        yield fail(f"no job can run: {tasks}", _SERVICES)


def _named(failing: Mapping[str, str], *services: str) -> str:
    """Which of these services fail, with their messages; "" if none does."""
    return ", ".join(
        f"{name} ({failing[name]})" for name in services if name in failing
    )


def _organizations(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    organizations = visible_organizations(satellite)
    if organizations:
        yield ok(f"organizations visible: {', '.join(organizations)}")
    else:
        yield warning(
            "no organization is visible",
            "add view_organizations to its role, and give the user the organizations of its hosts",
        )


def _hosts(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    host_id, total = newest_host(satellite)
    yield ok(f"{total} hosts visible")
    may = host_permissions(satellite, host_id)
    if not may.get("destroy_hosts"):
        yield fail("this login may not delete hosts", "add destroy_hosts to its role")
    elif not may.get("edit_hosts"):
        yield warning(
            "this login may not detach compute resources (edit_hosts)",
            "records with a compute resource are kept; add edit_hosts to its role if there are any",
        )
    else:
        yield ok("this login may delete hosts and detach compute resources")


def _compute_resources(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    destroys = destroys_vms(satellite)
    if destroys is None:
        yield warning(
            "the setting destroy_vm_on_host_delete cannot be read",
            "add view_settings to its role; until then records with a compute resource are kept",
        )
    else:
        yield ok(
            f"destroy_vm_on_host_delete is {str(destroys).lower()}; compute resources are detached "
            "first"
        )
