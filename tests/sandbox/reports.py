"""Configuration reports of the Satellite in memory, as Foreman's code has them (not measured)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .calls import Call, RefusedError, listed, not_found
from .records import METRICS, Host, Report
from .search import (
    Field,
    Mark,
    compile_search,
    date_check,
    number_check,
    one,
    order_by,
    parse,
    text_check,
)
from .server import Answer

if TYPE_CHECKING:
    from .satellite import Satellite


def show_last(satellite: "Satellite", call: Call) -> Answer:
    """GET /hosts/:id/config_reports/last: that with the highest id; a 404 where there is none, or
    no host in sight.
    """
    missing = not_found("Resource config_report not found by id ''")
    if not call.user.may("view_hosts"):
        raise missing
    try:
        host = satellite.find_host(call, "view")
    except RefusedError:
        raise missing from None
    if not host.reports:
        raise missing
    report = max(_numbered(satellite, host), key=lambda report: report.id)
    status = _status(report)
    summary = (
        "Failed"
        if status["failed"] + status["failed_restarts"]
        else "Modified"
        if status["applied"] + status["restarted"]
        else "Success"
    )
    return Answer(200, {**_entry(host, report), "logs": [], "summary": summary})


def list_all(satellite: "Satellite", call: Call) -> Answer:
    """GET /config_reports: of the hosts in sight, the newest first."""
    sight = satellite.sight(call)
    hosts = [
        host
        for host in satellite.hosts.values()
        if call.user.may("view_hosts") and (sight is None or sight(host))
    ]
    rows = [(host, report) for host in hosts for report in _numbered(satellite, host)]
    test = compile_search(parse(call.first("search")), _FIELDS)
    key, downwards = order_by(call.first("order") or "reported DESC", _FIELDS)
    matching = sorted(filter(test, rows) if test else rows, key=key, reverse=downwards)
    page = satellite.page(call, len(rows))
    return listed(
        call, page, len(rows), len(matching), [_entry(*row) for row in page.cut(matching)]
    )


def _numbered(satellite: "Satellite", host: Host) -> Iterator[Report]:
    """The reports of a host, each with an id; one that a test adds later gets a higher one."""
    for report in host.reports:
        if not report.id:
            report.id = satellite.next_report_id()
        yield report


def _status(report: Report) -> dict[str, int]:
    return {name: min(report.status.get(name, 0), 63) for name in METRICS}


def _entry(host: Host, report: Report) -> dict[str, Any]:
    return {
        "id": report.id,
        "host_id": host.id,
        "host_name": host.name,
        "reported_at": report.reported_at,
        "status": _status(report),
        "origin": report.origin,
        "metrics": {},
        "created_at": report.reported_at,
        "updated_at": report.reported_at,
    }


_REPORTED = Field(one(lambda row: row[1].reported_at), date_check)
_FIELDS = {
    "host": Field(one(lambda row: row[0].name), text_check, Mark.LIKE),
    "host_id": Field(one(lambda row: row[0].id), number_check),
    "origin": Field(one(lambda row: row[1].origin), text_check, Mark.LIKE),
    "reported": _REPORTED,
    "last_report": _REPORTED,
    **{name: Field(lambda row, name: (_status(row[1])[name],), number_check) for name in METRICS},
}
