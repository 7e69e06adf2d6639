"""The client asks only what the API's description knows: Satellite ignores a misspelt parameter in
silence.

`data/api.json` holds every route that the client uses and the parameters it uses there, written
down by hand.
"""

import json
import os
import re
from datetime import datetime, timezone
from functools import cache
from inspect import isfunction
from pathlib import Path

import pytest
from sandbox.satellite import PUPPET, RHSM, Host, Satellite
from sandbox.server import Server

from foreman_hooks.rules.model import Identity, Record
from foreman_hooks.satellite import inventory
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.inventory import Glance, Scope
from foreman_hooks.satellite.jobs import Job, RemoteExecution
from foreman_hooks.satellite.restore import restore
from satellite_remote_exec.build import build
from satellite_remote_exec.publish import publish

NOW = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
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

CALLS = {
    "about": lambda client: client.about(),
    "katello": lambda client: client.katello,
    "organization_id": lambda client: client.organization_id("Default Organization"),
    "organizations": lambda client: client.organizations(),
    "newest_host": lambda client: client.newest_host(),
    "thin_hosts": lambda client: client.thin_hosts(0, 1, "name ~ web"),
    "find_host": lambda client: client.find_host("web1.example.com"),
    "count_hosts": lambda client: client.count_hosts(1),
    "may": lambda client: client.may("view_params"),
    "visibility": lambda client: client.visibility(),
    "records_named": lambda client: client.records_named(["web1.example.com"]),
    "recent_checkins": lambda client: client.recent_checkins(NOW),
    "reports_failed": lambda client: client.reports_failed(
        Record(1, "web1.example.com", last_report=NOW), NOW
    ),
    "confirm": lambda client: client.confirm(client.record(1)),
    "record": lambda client: client.record(1),
    "records": lambda client: client.records([1]),
    "is_gone": lambda client: client.is_gone(1),
    "destroys_vms": lambda client: client.destroys_vms(),
    "permissions": lambda client: client.permissions(1),
    "id_of": lambda client: client.id_of("locations", "title", "Default Location"),
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
    "owner": lambda client: restore(
        client, {"name": "too.example.com", "owner_id": 4, "owner_type": "Usergroup"}
    ),
    "own_permissions": lambda client: client.own_permissions(),
    "has_remote_execution": lambda client: client.has_remote_execution(),
    "failing_services": lambda client: client.failing_services(),
    "excluded_facts": lambda client: client.excluded_facts(),
    "has_fact": lambda client: client.has_fact(["virt::uuid"], rhsm=True),
    "disassociate": lambda client: client.disassociate(client.record(1)),
    "delete": lambda client: client.delete(client.record(1)),
}

HOW = {
    "get",
    "call",
    "listing",
    "page",
    "odd",
}  # what all of them, the inventory and remote execution ask through
INVENTORY = {
    "glance": lambda client: list(inventory.glance(client, Scope("name ~ web", 1))),
    "look_closely": lambda client: list(
        inventory.look_closely(client, [Glance(1, "web1.example.com", ())], ())
    ),
    "kinds": lambda client: list(
        inventory.kinds(client, [Glance(1, "web1.example.com", ("a",))], ())
    ),
    "twins": lambda client: inventory.twins(
        client, [inventory.Host(1, "web1.example.com", Identity((UUID,)))]
    ),
    "must_still_see": lambda client: inventory.must_still_see(
        client, [Glance(1, "web1.example.com", ("a",))]
    ),
    "identity_now": lambda client: inventory.identity_now(
        client, 1, "web1.example.com", ("OpenStack",)
    ),
    "facts_now": lambda client: inventory.facts_now(client, 1, "web1.example.com"),
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
    facts = {RHSM: {"virt::uuid": "a"}} if katello else {PUPPET: {"dmi::product::uuid": "a"}}
    double.add(Host("web1.example.com", facts=facts))
    with Server(double.handle) as server:
        client = Client(Login(server.url, "admin", "changeme"))
        list(publish(client, build(), check_user="osp"))
        double.organizations[7], double.locations[9] = "Second", "Elsewhere"
        list(publish(client, build()))
        for call in JOBS.values():
            call(RemoteExecution(client))
        double.jobs.close()
        for call in (*INVENTORY.values(), *CALLS.values()):
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
        f"{name}[{key}]" for name, value in body.items() if isinstance(value, dict) for key in value
    ]
    return {name.replace("[]", "") for name in (*request.query, *body, *inner)}


def test_every_method_of_the_client_is_called_here():
    assert set(CALLS) - {"owner"} | HOW == {
        name for name in vars(Client) if not name.startswith("_")
    }
    assert set(INVENTORY) == {
        name
        for name, what in vars(inventory).items()
        if isfunction(what) and what.__module__ == inventory.__name__ and not name.startswith("_")
    }
    assert set(JOBS) == {name for name in vars(RemoteExecution) if not name.startswith("_")}


@pytest.mark.parametrize("katello", [True, False], ids=["Katello", "plain Foreman"])
def test_every_request_is_a_known_route_with_known_parameters(katello):
    for request in requests_of(katello):
        assert route(request) in TABLE
        assert parameters(request) <= TABLE[route(request)], route(request)


def test_no_parameter_is_sent_twice():
    assert all(
        len(values) == 1 for request in requests_of(True) for values in request.query.values()
    )


def test_every_known_route_and_parameter_is_used():
    """What nobody uses any more need not be kept true."""
    used = {}
    for request in requests_of(True):
        used.setdefault(route(request), set()).update(parameters(request))
    assert used == TABLE


@pytest.mark.skipif(not DESCRIPTION, reason="SATELLITE_APIDOC names no description of an API")
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
                {f"{api['http_method']} {api['api_url']}": names for api in method["apis"]}
            )
    katello = any("/katello/api/" in known for known in described)
    for known, names in TABLE.items():
        if katello or "/katello/" not in known:
            known = known if known in described else INSTEAD.get(known, known)
            assert known in described
            assert names <= described[known], known
