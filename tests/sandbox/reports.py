"""Configuration reports of the Satellite double, as Foreman's source has them (not measured)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .calls import Call, listed, select
from .records import METRICS, Host, Report
from .search import Field, Fields, single
from .search_checks import date_check, number_check, text_check
from .search_parser import Mark
from .server import Answer

if TYPE_CHECKING:
    from .satellite import Satellite


class Row(NamedTuple):
    """One report in a list."""

    host: Host
    report: Report

    def counts(self) -> dict[str, int]:
        """How many resources were applied, failed and so on; Foreman counts up to 63."""
        return {name: min(self.report.status.get(name, 0), 63) for name in METRICS}


def list_reports(satellite: "Satellite", call: Call) -> Answer:
    """GET /config_reports: those of the visible hosts, the newest first."""
    rows = list(_rows(satellite, call))
    matching = select(call, rows, _FIELDS, "reported DESC")
    page = satellite.page(call, len(rows))
    results = [_entry(row) for row in page.cut(matching)]
    return listed(call, page, len(rows), len(matching), results)


def _rows(satellite: "Satellite", call: Call) -> Iterator[Row]:
    """The reports, each with an id; one that a test adds later gets a higher id."""
    if not call.user.may("view_hosts"):
        return
    for host in satellite.visible_hosts(call):
        for report in host.reports:
            if not report.id:
                report.id = satellite.next_report_id()
            yield Row(host, report)


def _entry(row: Row) -> dict[str, Any]:
    reported_at = row.report.reported_at
    return {
        "id": row.report.id,
        "host_id": row.host.id,
        "host_name": row.host.name,
        "reported_at": reported_at,
        "status": row.counts(),
        "origin": row.report.origin,
        "metrics": {},
        "created_at": reported_at,
        "updated_at": reported_at,
    }


def _count_field(metric: str) -> Field:
    return Field(single(lambda row: row.counts()[metric]), number_check)


_REPORTED = Field(single(lambda row: row.report.reported_at), date_check)
_FIELDS = Fields(
    {
        "host": Field(single(lambda row: row.host.name), text_check, Mark.LIKE),
        "host_id": Field(single(lambda row: row.host.id), number_check),
        "origin": Field(single(lambda row: row.report.origin), text_check, Mark.LIKE),
        "reported": _REPORTED,
        "last_report": _REPORTED,
        **{metric: _count_field(metric) for metric in METRICS},
    },
    missing=(
        "eventful",
        "host_owner_id",
        "hostgroup",
        "hostgroup_fullname",
        "hostgroup_title",
        "id",
        "location",
        "log",
        "organization",
        "resource",
    ),
)
