"""Signs of life: which hosts checked in recently, and whether a host's reports failed."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Optional

from foreman_hooks.rules.model import Record
from foreman_hooks.satellite.client import CLOCK_SKEW, Satellite
from foreman_hooks.satellite.errors import (
    SatelliteError,
    SatelliteLoginError,
    SatelliteUnreachable,
)
from foreman_hooks.satellite.records import fetch_records
from foreman_hooks.satellite.response import JsonObject
from foreman_hooks.satellite.times import parse_time, search_time

RECENT = 20  # hosts that checked in recently: enough to show that check-ins arrive
MANY_REPORTS = 10_000  # in one page: more than Satellite keeps for one host


def recent_checkins(satellite: Satellite, since: datetime) -> set[int]:
    """The ids of some hosts that checked in after `since` (aware); without Katello: reported.

    Raises SatelliteError.
    """
    field = "last_checkin" if satellite.katello else "last_report"
    search = f"{field} > {search_time(since)}"
    try:
        page = satellite.page(
            "/api/hosts", list, search=search, order=f"{field} DESC", per_page=RECENT
        )
    except (SatelliteLoginError, SatelliteUnreachable):
        raise
    except SatelliteError:  # Satellite may be unable to show one of these hosts
        return _recent_by_record(satellite, search, since)
    recent = set()
    for body in page["results"]:
        when = _checkin_time(body, satellite.katello)
        # Compared again here: a date that Satellite cannot read matches every host.
        if when and when > since:
            recent.add(body["id"])
    return recent


def _checkin_time(body: JsonObject, katello: bool) -> Optional[datetime]:
    """The last check-in (without Katello: report) of a host in a list; None if unreadable."""
    with suppress(SatelliteError):
        if not katello:
            return parse_time(body.get("last_report"))
        facet = body.get("subscription_facet_attributes")
        if isinstance(facet, dict):
            return parse_time(facet.get("last_checkin"))
    return None


def _recent_by_record(satellite: Satellite, search: str, since: datetime) -> set[int]:
    """The same from whole records, read in batches, in case Satellite cannot show some hosts."""
    page = satellite.page(
        "/api/hosts",
        list,
        search=search,
        thin="true",
        per_page=RECENT,
    )
    records = fetch_records(satellite, [host["id"] for host in page["results"]])
    recent = set()
    for record in records.values():
        if isinstance(record, Record) and record.contact and record.contact > since:
            recent.add(record.id)
    return recent


def reports_failed(satellite: Satellite, record: Record, since: datetime) -> bool:
    """Whether every report of that host after `since` (aware) failed; False if unknown.

    Ansible's callback also reports hosts that it could not reach, and Foreman takes the time of any
    report as last_report (config_report_importer.rb).  So the last sign of life may be older.
    Raises SatelliteLoginError and SatelliteUnreachable.
    """
    search = f"host_id = {record.id} and reported > {search_time(since)}"
    try:
        reports = satellite.listing(
            "/api/config_reports", search=search, per_page=MANY_REPORTS
        )
        newest = _newest(reports)
    except (SatelliteLoginError, SatelliteUnreachable):
        raise
    except (
        SatelliteError
    ):  # Satellite cannot show them: so they count, and the record is kept
        return False
    if newest is None or record.last_report is None:
        return False
    if newest < record.last_report - CLOCK_SKEW:
        return False
    for report in reports:
        if report.get("host_id") != record.id or not _has_failed(report):
            return False
    return True


def _newest(reports: Sequence[JsonObject]) -> Optional[datetime]:
    """When the newest of these reports arrived; None if no report has a time."""
    times = [parse_time(report.get("reported_at")) for report in reports]
    return max(filter(None, times), default=None)


def _has_failed(report: JsonObject) -> bool:
    """Whether a report failed as a whole: it counts failures and nothing else."""
    counts = report.get("status")
    if not isinstance(counts, dict):
        return False
    if not all(type(count) is int for count in counts.values()):
        return False
    failures = 0
    for name, count in counts.items():
        if name.startswith("failed"):
            failures += count
    return 0 < failures == sum(counts.values())
