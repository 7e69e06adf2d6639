"""The client asks only what the API's description knows: Satellite ignores a misspelt parameter in silence.

`data/api.json` holds every route that the client uses and the parameters it uses there, written down by hand.
"""

import json
import os
import re
from functools import cache
from pathlib import Path

import pytest

from foreman_hooks.model import Record
from foreman_hooks.sandbox.satellite import RHSM, Host, Satellite
from foreman_hooks.sandbox.server import Server
from foreman_hooks.satellite import Login
from foreman_hooks.satellite import Satellite as Client

TABLE = {route: set(names) for route, names in json.loads(
    (Path(__file__).parent / "data" / "api.json").read_text(encoding="utf-8")).items()}
DESCRIPTION = os.environ.get("SATELLITE_APIDOC")
# Katello describes its own list of organizations in the place of Foreman's, which goes on to answer.
INSTEAD = {"GET /api/organizations": "GET /katello/api/organizations"}

CALLS = {
    "about": lambda client: client.about(),
    "katello": lambda client: client.katello,
    "organization_id": lambda client: client.organization_id("Default Organization"),
    "organizations": lambda client: client.organizations(),
    "inventory": lambda client: list(client.inventory("name ~ web")),
    "newest_host": lambda client: client.newest_host(),
    "host_facts": lambda client: client.host_facts(1, "web1.example.com"),
    "find_host": lambda client: client.find_host("web1.example.com"),
    "hosts_with_parameter": lambda client: client.hosts_with_parameter("osp_cleanup_protect", 1),
    "record": lambda client: client.record(1),
    "is_gone": lambda client: client.is_gone(1),
    "destroys_vms": lambda client: client.destroys_vms(),
    "permissions": lambda client: client.permissions(1),
    "disassociate": lambda client: client.disassociate(Record(1, "web1.example.com")),
    "delete": lambda client: client.delete(client.record(1)),
}


@cache
def requests_of(katello, organization):
    """Every request that the client can send, from all of its methods."""
    double = Satellite(katello=katello)
    double.add(Host("web1.example.com", facts={RHSM: {"virt::uuid": "a"}}))
    with Server(double.handle) as server:
        client = Client(Login(server.url, "admin", "changeme"))
        client.organization = organization
        for call in CALLS.values():
            call(client)
    assert double.deleted == [1]
    return server.requests


def route(request):
    return f"{request.method} " + re.sub(r"(?<=/)\d+(?=/|$)", ":id", request.path)


def parameters(request):
    """The names in the query and in the body; `include[]` is how a list named `include` is written."""
    return {name.replace("[]", "") for name in (*request.query, *(request.json() if request.body else {}))}


def test_every_method_of_the_client_is_called_here():
    assert set(CALLS) == {name for name in vars(Client) if not name.startswith("_")}


@pytest.mark.parametrize("organization", [None, 1])
@pytest.mark.parametrize("katello", [True, False], ids=["Katello", "plain Foreman"])
def test_every_request_is_a_known_route_with_known_parameters(katello, organization):
    for request in requests_of(katello, organization):
        assert route(request) in TABLE
        assert parameters(request) <= TABLE[route(request)], route(request)


def test_no_parameter_is_sent_twice():
    assert all(len(values) == 1 for request in requests_of(True, 1) for values in request.query.values())


def test_every_known_route_and_parameter_is_used():
    """What nobody uses any more need not be kept true."""
    used = {}
    for request in requests_of(True, 1):
        used.setdefault(route(request), set()).update(parameters(request))
    assert used == TABLE


@pytest.mark.skipif(not DESCRIPTION, reason="SATELLITE_APIDOC names no description of an API")
def test_the_table_agrees_with_a_full_description():
    """A description as Satellite offers it at /apidoc/v2.json, and as hammer keeps it."""
    described = {}
    for resource in json.loads(Path(DESCRIPTION).read_text(encoding="utf-8"))["docs"]["resources"].values():
        for method in resource["methods"]:
            names = {parameter["name"] for parameter in method["params"]}
            described.update({f"{api['http_method']} {api['api_url']}": names for api in method["apis"]})
    katello = any("/katello/api/" in known for known in described)
    for known, names in TABLE.items():
        if katello or "/katello/" not in known:
            known = known if known in described else INSTEAD.get(known, known)
            assert known in described
            assert names <= described[known], known
