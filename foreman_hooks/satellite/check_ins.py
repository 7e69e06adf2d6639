"""Signs of life: when hosts checked in, and whether a host's reports failed.

Without Katello no host checks in, and the time of its last report counts instead.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Optional

from foreman_hooks.osp_checker import Progress
from foreman_hooks.osp_checker.pace import workers
from foreman_hooks.rules.model import Record
from foreman_hooks.satellite.batches import ask_in_batches
from foreman_hooks.satellite.client import CLOCK_SKEW, Satellite
from foreman_hooks.satellite.errors import (
    SatelliteError,
    SatelliteLoginError,
    SatelliteUnreachable,
)
from foreman_hooks.satellite.hosts import ids_by_name
from foreman_hooks.satellite.inventory import Scope, no_progress
from foreman_hooks.satellite.records import FULL_PAGE, fetch_records
from foreman_hooks.satellite.response import JsonObject
from foreman_hooks.satellite.times import parse_time, search_time

RECENT = 20  # hosts that checked in recently: enough to show that check-ins arrive
MANY_REPORTS = 10_000  # in one page: more than Satellite keeps for one host

Times = dict[int, Optional[datetime]]  # host id -> when something happened, if it did


def recent_checkins(satellite: Satellite, since: datetime) -> set[int]:
    """The ids of some hosts that checked in after `since` (aware); without Katello: reported.

    Raises SatelliteError.
    """
    field = _field(satellite)
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


def checked_in_since(
    satellite: Satellite,
    host_ids: Sequence[int],
    scope: Scope,
    since: datetime,
    progress: Progress = no_progress,
) -> set[int]:
    """Those of these hosts (ids in ascending order) that checked in after `since` (aware).

    All of them are in the scope.  Names and ids are all that is read of them: a whole record costs
    Satellite a hundred times as much.  Raises SatelliteError.
    """
    search = f"{_field(satellite)} > {search_time(since)}"
    if scope.search:
        search = f"({scope.search}) and {search}"

    def read(batch: Sequence[int]) -> set[int]:
        low = batch[0] - 1
        high = batch[-1]
        names = ids_by_name(satellite, low, high, search, scope.organization)
        return set(names.values()).intersection(batch)

    recent: set[int] = set()
    batches = list(_batches(host_ids, satellite.manners.page_size))
    with workers(satellite.manners.workers) as pool:
        for number, ids in enumerate(pool.map(read, batches), 1):
            recent |= ids
            progress(number, len(batches))
    return recent


def last_checkins(
    satellite: Satellite, host_ids: Sequence[int], progress: Progress = no_progress
) -> Times:
    """Id -> when the host last checked in (aware); None if it never did, or cannot be shown.

    Each host costs Satellite a whole record, so ask about few.  Raises SatelliteError.
    """
    times: Times = {}
    read = partial(_read_times, satellite)
    batches = _batches(host_ids, FULL_PAGE)
    with workers(satellite.manners.workers) as pool:
        for some in pool.map(read, batches):
            times.update(some)
            progress(len(times), len(host_ids))
    return times


def _read_times(satellite: Satellite, host_ids: Sequence[int]) -> Times:
    """The times of one page of hosts; of fewer at once if Satellite cannot show some of them."""

    def ask(batch: Sequence[int]) -> Times:
        ids = ",".join(map(str, batch))
        search = f"id ^ ({ids})"
        hosts = satellite.listing("/api/hosts", search=search, per_page=FULL_PAGE)
        times: Times = {}
        for host in hosts:
            times[host["id"]] = _checkin_time(host, satellite.katello)
        return times

    def failed(host_id: int, error: SatelliteError) -> Times:
        return {host_id: None}

    times: Times = {}
    for some in ask_in_batches(host_ids, ask, failed, FULL_PAGE):
        times.update(some)
    return times


def _field(satellite: Satellite) -> str:
    """The field of Satellite's search language for the time of a check-in."""
    return "last_checkin" if satellite.katello else "last_report"


def _batches(host_ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(host_ids), size):
        yield host_ids[start : start + size]


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
