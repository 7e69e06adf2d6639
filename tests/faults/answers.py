"""The answers of both servers and of Keystone, each read by everything that asks them.

They go in where requests hands a request to urllib3.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest import mock

import responses

from foreman_hooks.osp_checker import OSPError
from foreman_hooks.osp_checker.deleted_rows import find_proofs, look_in_bulk
from foreman_hooks.osp_checker.login import LogIns
from foreman_hooks.osp_checker.pace import Manners, retry_after
from foreman_hooks.osp_checker.region import Region
from foreman_hooks.osp_checker.server_list import list_uuids
from foreman_hooks.osp_checker.servers import (
    deleted_servers,
    inactive_servers,
    unmanaged_servers,
)
from foreman_hooks.osp_checker.session import check_drift, clock_drift
from foreman_hooks.rules.model import Record
from foreman_hooks.satellite import access, check_ins, hosts, installation, lookups
from foreman_hooks.satellite.client import Login, Satellite
from foreman_hooks.satellite.deletion import delete_record
from foreman_hooks.satellite.errors import SatelliteError
from foreman_hooks.satellite.facts import newest_origin
from foreman_hooks.satellite.inventory import (
    EVERYTHING,
    ListedHost,
    identify_hosts,
    identity_now,
    list_hosts,
    no_progress,
)
from foreman_hooks.satellite.jobs import Job, RemoteExecution
from foreman_hooks.satellite.records import fetch_records, fetch_records_named
from foreman_hooks.satellite.shared_uuids import hosts_naming, names_by_uuid

from .parser import NOW, UUID, Parser, check_message, stored, text_of

URL = "https://satellite.example.com"
NAME = "web.example.com"
PER_PAGE = b'"@per_page@"'  # becomes the number that the request names
RECORD = Record(7, NAME, "consumer", last_checkin=NOW, last_report=NOW)
LISTED = ListedHost(7, NAME, (UUID,))
JOB = Job(1, frozenset([7]))
MAKERS = ("OpenStack",)
ONE_AT_A_TIME = Manners(workers=1, readers=2)

Answer = tuple[int, Mapping[str, str], bytes]  # status, headers, body


@contextmanager
def answered(answer: Callable[[Any], Answer]) -> Iterator[None]:
    """Every request of this process gets what `answer` makes of it; no other is sent."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as server:
        for method in ("GET", "POST", "PUT", "DELETE"):
            server.add_callback(method, re.compile("http"), answer)
        yield


# Satellite


_OF_SATELLITE: tuple[Callable[[Satellite], Any], ...] = (
    hosts.newest_host,
    lambda satellite: hosts.ids_by_name(satellite, 0, 100),
    lambda satellite: hosts.ids_of(satellite, [NAME]),
    lambda satellite: hosts.create_host(satellite, {"name": NAME}),
    lambda satellite: fetch_records(satellite, [7]),
    lambda satellite: fetch_records_named(satellite, [NAME]),
    access.measure_visibility,
    lambda satellite: access.host_permissions(satellite, 7).keys(),
    lambda satellite: check_ins.recent_checkins(satellite, NOW),
    lambda satellite: check_ins.last_checkins(satellite, [7]),
    lambda satellite: check_ins.checked_in_since(satellite, [7], EVERYTHING, NOW),
    lambda satellite: check_ins.reports_failed(satellite, RECORD, NOW),
    lambda satellite: lookups.find_host(satellite, NAME),
    lambda satellite: lookups.organization_id(satellite, NAME),
    installation.failing_services,
    installation.destroys_vms,
    installation.excluded_facts,
    installation.has_remote_execution,
    lambda satellite: RemoteExecution(satellite).template_id(NAME),
    lambda satellite: RemoteExecution(satellite).hosts("name = a"),
    lambda satellite: RemoteExecution(satellite).start(1, [7], {}, 60),
    lambda satellite: RemoteExecution(satellite).output(JOB, 7),
    lambda satellite: delete_record(satellite, RECORD),
)
_WITH_FACTS: tuple[Callable[[Satellite], Any], ...] = (
    lambda satellite: list(list_hosts(satellite)),
    lambda satellite: list(identify_hosts(satellite, [LISTED], MAKERS)),
    lambda satellite: identity_now(satellite, 7, NAME, MAKERS),
    lambda satellite: newest_origin(satellite, 7, ["Puppet", "Ansible"]),
    lambda satellite: names_by_uuid(satellite, [UUID]),
    lambda satellite: hosts_naming(satellite, [UUID], EVERYTHING),
)


def _satellite(folder: Path, content: bytes) -> list[object]:
    """As the answer to everything."""
    return _read_all(_OF_SATELLITE, lambda url: content)


def _facts(folder: Path, content: bytes) -> list[object]:
    """As the answer to a request for facts, beside right answers to the others."""
    right = json.dumps(_LIST).encode()
    return _read_all(
        _WITH_FACTS, lambda url: content if "/fact_values" in url else right
    )


def _read_all(
    functions: Sequence[Callable[[Satellite], Any]], body_of: Callable[[str], bytes]
) -> list[object]:
    """What the functions read; `body_of`: the body of the answer to a request, by its URL."""
    values = []

    def answer(request: Any) -> Answer:
        per_page = re.search(r"per_page=(\d+)", request.url)
        number = per_page[1] if per_page else "20"
        return 200, {}, body_of(request.url).replace(PER_PAGE, number.encode())

    def read(function: Callable[[Satellite], Any]) -> None:
        try:
            values.append(stored(function(satellite)))
        except SatelliteError as error:
            check_message(error)

    with answered(answer):
        satellite = Satellite(Login(URL, "admin", "changeme"), ONE_AT_A_TIME)
        for function in functions:
            read(function)
    return values


_HOST = {
    "id": 7,
    "name": NAME,
    "all_parameters": [],
    "subscription_facet_attributes": {
        "uuid": "consumer",
        "last_checkin": "2026-03-01 13:00:00 UTC",
    },
    # of a report, a setting, a job
    "host_id": 7,
    "reported_at": "2026-03-01 13:00:00 UTC",
    "status": {"failed": 1, "applied": 0},
    "value": True,
}
_LIST = {
    **_HOST,
    "version": "3.12",
    "results": [_HOST],
    "total": 1,
    "subtotal": 1,
    "per_page": "@per_page@",
    "services": {"candlepin": {"status": "FAIL", "message": "gone"}},
    "targeting": {"hosts": [{"id": 7}]},
    "total_hosts": 1,
    "complete": True,
    "output": [{"output_type": "stdout", "output": "Exit status: 0", "id": None}],
    "permissions": {"view_hosts": True},
}
_FACTS = {
    **_LIST,
    "results": {
        NAME: {
            "dmi::system::uuid": UUID,
            "dmi::system::manufacturer": "OpenStack Foundation",
            "osp::instance_uuid": UUID,
        }
    },
}

# Nova and Keystone

CLOUDS = """
clouds:
  prod:
    region_name: RegionOne
    identity_api_version: 3
    auth: {auth_url: 'https://keystone.example.com/v3', username: checker, password: changeme,
      project_name: admin, user_domain_name: Default, project_domain_name: Default}
"""
_NOVA_URL = "https://nova.example.com/v2.1"
_KEYSTONE = {
    "version": {
        "id": "v3.14",
        "status": "stable",
        "links": [{"rel": "self", "href": "https://keystone.example.com/v3/"}],
    },
    "token": {
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "methods": ["password"],
        "user": {
            "id": "u",
            "name": "checker",
            "domain": {"id": "d", "name": "Default"},
        },
        "project": {
            "id": "p",
            "name": "admin",
            "domain": {"id": "d", "name": "Default"},
        },
        "roles": [{"id": "r", "name": "admin"}],
        "catalog": [
            {
                "type": "compute",
                "name": "nova",
                "id": "c",
                "endpoints": [
                    {
                        "id": "e",
                        "interface": "public",
                        "region": "RegionOne",
                        "region_id": "RegionOne",
                        "url": _NOVA_URL,
                    }
                ],
            }
        ],
    },
}


def _open(folder: Path) -> Region:
    clouds_yaml = folder / "clouds.yaml"
    clouds_yaml.write_text(CLOUDS)
    with mock.patch.dict("os.environ", {"OS_CLIENT_CONFIG_FILE": str(clouds_yaml)}):
        return Region.open("prod", "RegionOne", manners=ONE_AT_A_TIME, log_ins=LogIns())


def _keystone(folder: Path, content: bytes) -> object:
    """Its versions and its token, in the same answer."""
    headers = {"X-Subject-Token": "token"}
    with answered(lambda request: (200, headers, content)):
        region = _open(folder)
    assert region.log_in
    left_out = region.log_in.left_out((), ())
    return stored([left_out, region.name, region.project_id, region.roles])


@cache
def _region() -> Region:
    """With a login to a Keystone that says what it should."""
    folder = Path(mkdtemp())
    content = json.dumps(_KEYSTONE).encode()
    with answered(lambda request: (200, {"X-Subject-Token": "token"}, content)):
        return _open(folder)


_OF_NOVA: tuple[Callable[[Region], Any], ...] = (
    lambda region: region.look([UUID]),
    list_uuids,
    lambda region: find_proofs(region, [UUID], NOW),
    lambda region: look_in_bulk(region, [UUID], NOW, no_progress),
    lambda region: list(deleted_servers(region, NOW)),
    lambda region: list(inactive_servers(region)),
    lambda region: list(unmanaged_servers(region, ())),
)


def _nova(folder: Path, content: bytes) -> list[object]:
    """As the answer to everything; and as that to the requests for lists, without a server."""
    values = []

    def answer(request: Any) -> Answer:
        is_server = "/servers/" in request.url and "/servers/detail" not in request.url
        return (
            status if is_server else 200,
            {"x-openstack-request-id": "req-1"},
            content,
        )

    def read(function: Callable[[Region], Any]) -> None:
        region = replace(_region(), visibility=None, _date=None)
        try:
            values.append(stored(function(region)))
        except OSPError as error:
            check_message(error)

    with answered(answer):
        status = 200
        for function in _OF_NOVA:
            read(function)
        status = 404
        read(_OF_NOVA[0])
    return values


def _server(status: str) -> dict[str, Any]:
    return {
        "id": UUID,
        "name": "web",
        "status": status,
        "tenant_id": "shop",
        "image": {"id": "image"},
        "created": "2026-01-01T00:00:00Z",
        "updated": "2026-02-01T00:00:00Z",
        "OS-SRV-USG:terminated_at": "2026-02-01T00:00:00.000000",
    }


def _of_nova(status: str) -> str:
    body = {
        "servers": [_server(status)],
        "server": _server(status),
        "itemNotFound": {
            "code": 404,
            "message": f"Instance {UUID} could not be found.",
        },
        "projects": [{"id": "shop", "name": "Shop"}],
    }
    return json.dumps(body)


# Headers


def _headers(folder: Path, content: bytes) -> object:
    text = text_of(content)
    seconds = retry_after(503, {"Retry-After": text})
    assert seconds is None or seconds >= 0
    drift = clock_drift({"Date": text})
    check_drift(drift, "Nova")
    return seconds, drift


ANSWERS = (
    Parser(
        "answers of Satellite",
        "json",
        _satellite,
        (),
        (json.dumps(_LIST),),
        20_000,
        slow=True,
    ),
    Parser(
        "facts of Satellite", "json", _facts, (), (json.dumps(_FACTS),), 20_000, True
    ),
    Parser(
        "answers of Nova",
        "json",
        _nova,
        (),
        (_of_nova("ACTIVE"), _of_nova("DELETED"), _of_nova("SHUTOFF")),
        20_000,
        slow=True,
    ),
    Parser(
        "answers of Keystone",
        "json",
        _keystone,
        (OSPError,),
        (json.dumps(_KEYSTONE),),
        20_000,
        slow=True,
    ),
    Parser(
        "headers",
        "text",
        _headers,
        (OSPError,),
        ("120", "Sun, 01 Mar 2026 12:00:00 GMT"),
    ),
)
