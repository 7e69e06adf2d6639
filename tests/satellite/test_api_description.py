"""The client asks only what the API's description knows: Satellite ignores a misspelt parameter in
silence.

`data/api.json` holds every route that the client uses and the parameters it uses there, written
down by hand.
"""

import importlib
import json
import os
import pkgutil
import re
from datetime import datetime, timezone
from functools import cache
from inspect import isfunction, signature
from pathlib import Path

import pytest
from sandbox.satellite import PUPPET, RHSM, Host, Satellite
from sandbox.server import Server

from foreman_hooks import satellite as package
from foreman_hooks.rules.model import Identity, Record
from foreman_hooks.satellite.access import (
    host_permissions,
    measure_visibility,
    visible_organizations,
)
from foreman_hooks.satellite.check_ins import (
    checked_in_since,
    last_checkins,
    recent_checkins,
    reports_failed,
)
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.deletion import (
    confirm_unchanged,
    delete_record,
    disassociate,
    is_gone,
)
from foreman_hooks.satellite.facts import (
    facts_now,
    fetch_facts,
    fetch_rows,
    newest_origin,
)
from foreman_hooks.satellite.hosts import (
    count_hosts,
    ids_by_name,
    ids_of,
    newest_host,
)
from foreman_hooks.satellite.installation import (
    destroys_vms,
    excluded_facts,
    failing_services,
    has_fact,
    has_remote_execution,
)
from foreman_hooks.satellite.inventory import (
    IdentifiedHost,
    ListedHost,
    Scope,
    check_facts_still_visible,
    firmware_kinds,
    identify_hosts,
    identity_now,
    list_hosts,
)
from foreman_hooks.satellite.jobs import Job, RemoteExecution
from foreman_hooks.satellite.lookups import find_host, find_id, organization_id
from foreman_hooks.satellite.records import (
    fetch_host,
    fetch_record,
    fetch_records,
    fetch_records_named,
)
from foreman_hooks.satellite.restore import restore
from foreman_hooks.satellite.shared_uuids import (
    hosts_naming,
    hosts_sharing_uuids,
    names_by_uuid,
)
from satellite_remote_exec.build import build
from satellite_remote_exec.publish import publish

NOW = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
WEB1 = "web1.example.com"
UUID = "7f3c1f0e-5b1d-4a57-9f5e-0123456789ab"
TABLE = {
    route: set(names)
    for route, names in json.loads(
        (Path(__file__).parents[1] / "data" / "api.json").read_text(encoding="utf-8")
    ).items()
}
DESCRIPTION = os.environ.get("SATELLITE_APIDOC")
# Katello describes its own list of organizations in the place of Foreman's, which goes on to
# answer.
INSTEAD = {"GET /api/organizations": "GET /katello/api/organizations"}

# What the functions of this room ask through, and what needs no request.
TRANSPORT = {"get", "call", "listing", "page", "raise_unexpected"}
# Every method and function that sends requests, by its name; the last one deletes the host.
CALLS = {
    "about": lambda client: client.about(),
    "katello": lambda client: client.katello,
    "has_permission": lambda client: client.has_permission("view_params"),
    "own_permissions": lambda client: client.own_permissions(),
    "list_hosts": lambda client: list(list_hosts(client, Scope("name ~ web", 1))),
    "identify_hosts": lambda client: list(
        identify_hosts(client, [ListedHost(1, WEB1, ())], ())
    ),
    "identity_now": lambda client: identity_now(client, 1, WEB1, ("OpenStack",)),
    "firmware_kinds": lambda client: list(
        firmware_kinds(client, [ListedHost(1, WEB1, ("a",))], ())
    ),
    "check_facts_still_visible": lambda client: check_facts_still_visible(
        client, [ListedHost(1, WEB1, ("a",))]
    ),
    "hosts_sharing_uuids": lambda client: hosts_sharing_uuids(
        client, [IdentifiedHost(1, WEB1, Identity((UUID,)))]
    ),
    "names_by_uuid": lambda client: names_by_uuid(client, [UUID]),
    "hosts_naming": lambda client: hosts_naming(client, [UUID], Scope("name ~ web", 1)),
    "ids_of": lambda client: ids_of(client, [WEB1], "name ~ web", 1),
    "facts_now": lambda client: facts_now(client, 1, WEB1),
    "fetch_facts": lambda client: fetch_facts(
        client, "host_id = 1", ("virt::uuid",), 1
    ),
    "fetch_rows": lambda client: fetch_rows(client, "host_id = 1", ("virt::uuid",), 1),
    "newest_origin": lambda client: newest_origin(client, 1, ["Puppet"]),
    "organization_id": lambda client: organization_id(client, "Default Organization"),
    "visible_organizations": visible_organizations,
    "newest_host": newest_host,
    "ids_by_name": lambda client: ids_by_name(client, 0, 1, "name ~ web"),
    "find_host": lambda client: find_host(client, WEB1),
    "count_hosts": lambda client: count_hosts(client, 1),
    "measure_visibility": measure_visibility,
    "fetch_records_named": lambda client: fetch_records_named(client, [WEB1]),
    "recent_checkins": lambda client: recent_checkins(client, NOW),
    "checked_in_since": lambda client: checked_in_since(
        client, [1], Scope("name ~ web", 1), NOW
    ),
    "last_checkins": lambda client: last_checkins(client, [1]),
    "reports_failed": lambda client: reports_failed(
        client, Record(1, WEB1, last_report=NOW), NOW
    ),
    "fetch_host": lambda client: fetch_host(client, 1),
    "fetch_record": lambda client: fetch_record(client, 1),
    "fetch_records": lambda client: fetch_records(client, [1]),
    "is_gone": lambda client: is_gone(client, 1),
    "destroys_vms": destroys_vms,
    "host_permissions": lambda client: host_permissions(client, 1),
    "find_id": lambda client: find_id(client, "locations", "title", "Default Location"),
    "create_host": lambda client: restore(
        client,
        {
            "name": "made.example.com",
            "organization_name": "Default Organization",
            "location_name": "Default Location",
            "hostgroup_title": "base",
            "owner_id": 4,
            "owner_type": "User",
            "comment": "c",
            "ip": "192.0.2.1",
            "mac": "m",
            "enabled": True,
            "parameters": {"a": "b"},
        },
    ),
    "restore": lambda client: restore(
        client, {"name": "too.example.com", "owner_id": 4, "owner_type": "Usergroup"}
    ),
    "has_remote_execution": has_remote_execution,
    "failing_services": failing_services,
    "excluded_facts": excluded_facts,
    "has_fact": lambda client: has_fact(client, ["virt::uuid"], rhsm=True),
    "confirm_unchanged": lambda client: confirm_unchanged(
        client, fetch_record(client, 1)
    ),
    "disassociate": lambda client: disassociate(client, fetch_record(client, 1)),
    "delete_record": lambda client: delete_record(client, fetch_record(client, 1)),
}
JOBS = {
    "template_id": lambda jobs: jobs.template_id("OSP - Check instances"),
    "hosts": lambda jobs: jobs.hosts("id = 1"),
    "start": lambda jobs: jobs.start(
        jobs.template_id("OSP - Check instances"), [1], {"question": "x"}, 60
    ),
    "output": lambda jobs: jobs.output(Job(1, frozenset({1})), 1),
    "cancel": lambda jobs: jobs.cancel(Job(1, frozenset({1}))),
}


@cache
def requests_of(katello):
    """Every request that the client can send, from all of its methods."""
    double = Satellite(katello=katello)
    double.hostgroups[3] = "base"
    facts = (
        {RHSM: {"virt::uuid": "a"}}
        if katello
        else {PUPPET: {"dmi::product::uuid": "a"}}
    )
    double.add(Host("web1.example.com", facts=facts))
    with Server(double.handle) as server:
        client = Client(Login(server.url, "admin", "changeme"))
        list(publish(client, build(), check_user="osp"))
        double.organizations[7], double.locations[9] = "Second", "Elsewhere"
        list(publish(client, build()))
        for call in JOBS.values():
            call(RemoteExecution(client))
        double.jobs.close()
        for call in CALLS.values():
            call(client)
    assert double.deleted == [1]
    return server.requests


def route(request):
    path = re.sub(r"(?<=/)\d+(?=/|$)", ":id", request.path)
    return f"{request.method} " + path.replace(":id/hosts/:id", ":id/hosts/:host_id")


def parameters(request):
    """The names in the query and in the body, `a[b]` within `a`; a list `include` is written
    `include[]`.
    """
    body = request.json() if request.body else {}
    inner = [
        f"{name}[{key}]"
        for name, value in body.items()
        if isinstance(value, dict)
        for key in value
    ]
    return {name.replace("[]", "") for name in (*request.query, *body, *inner)}


def functions_that_take_a_client():
    """The names of all public functions of the package whose first argument is a Satellite."""
    for module in pkgutil.iter_modules(package.__path__):
        members = vars(importlib.import_module(f"{package.__name__}.{module.name}"))
        for name, member in members.items():
            if isfunction(member) and not name.startswith("_"):
                first_argument = next(iter(signature(member).parameters), "")
                if first_argument == "satellite":
                    yield name


def test_every_method_of_the_client_is_called_here():
    methods = {name for name in vars(Client) if not name.startswith("_")}
    assert set(CALLS) | TRANSPORT == methods | set(functions_that_take_a_client())
    assert set(JOBS) == {
        name for name in vars(RemoteExecution) if not name.startswith("_")
    }


@pytest.mark.parametrize("katello", [True, False], ids=["Katello", "plain Foreman"])
def test_every_request_is_a_known_route_with_known_parameters(katello):
    for request in requests_of(katello):
        assert route(request) in TABLE
        assert parameters(request) <= TABLE[route(request)], route(request)


def test_no_parameter_is_sent_twice():
    assert all(
        len(values) == 1
        for request in requests_of(True)
        for values in request.query.values()
    )


def test_every_known_route_and_parameter_is_used():
    """What nobody uses any more need not be kept true."""
    used = {}
    for request in requests_of(True):
        used.setdefault(route(request), set()).update(parameters(request))
    assert used == TABLE


@pytest.mark.skipif(
    not DESCRIPTION, reason="SATELLITE_APIDOC names no description of an API"
)
def test_the_table_agrees_with_a_full_description():
    """A description as Satellite offers it at /apidoc/v2.json, and as hammer keeps it."""
    described = {}
    for resource in json.loads(Path(DESCRIPTION).read_text(encoding="utf-8"))["docs"][
        "resources"
    ].values():
        for method in resource["methods"]:
            names = {
                one["full_name"]
                for parameter in method["params"]
                for one in (parameter, *parameter.get("params", ()))
            }
            described.update(
                {
                    f"{api['http_method']} {api['api_url']}": names
                    for api in method["apis"]
                }
            )
    katello = any("/katello/api/" in known for known in described)
    for known, names in TABLE.items():
        if katello or "/katello/" not in known:
            known = known if known in described else INSTEAD.get(known, known)
            assert known in described
            assert names <= described[known], known
