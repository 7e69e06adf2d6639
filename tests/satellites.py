"""Hosts that the tests put into the Satellite double, and ways to change its answers."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional, Union

from sandbox.satellite import RHSM, Host, Satellite, User
from sandbox.server import Answer, Request, Server

from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.inventory import (
    IdentifiedHost,
    ListedHost,
    identify_hosts,
    list_hosts,
)

UUID = "d9cfa777-571e-5252-92d9-0bcdebe7a3c9"
OTHER_UUID = "1d1c54ad-0000-4000-8000-00000000beef"
CONSUMER = "6d1b7e2c-93f4-43a1-a1ab-25c7d1f5a3f7"
MINIMUM = frozenset({"view_hosts", "view_facts", "destroy_hosts"})
INSTANCE = {
    "virt::uuid": UUID,
    "virt::is_guest": "true",
    "dmi::system::manufacturer": "OpenStack Foundation",
    "dmi::system::product_name": "OpenStack Nova",
}

Mend = Callable[[Any], Any]

UNKNOWN_HOST = {"error": {"message": "Resource host not found by id '1'"}}
UNKNOWN_ROUTE = {"status": 404, "error": "Not Found"}
UNKNOWN_ORGANIZATION = {"message": "Organization with id 9 not found"}

ODD = {
    "HTML 502": (502, "<html>Bad Gateway</html>"),
    "HTML 503": (503, "<html>starting</html>"),
    "HTML 200": (200, "<html>Please log in</html>"),
    "HTML 404": (404, "<html>Not Found</html>"),
    "301": (301, ""),
    "308": (308, ""),
    "302 with JSON": (302, {"results": []}),
    "empty 200": (200, ""),
    "204": (204, ""),
    "400 without a body": (400, ""),
    "413": (413, "<html>"),
    "429": (429, "slow down"),
    "500 JSON": (500, {"error": {"message": "reset has failed"}}),
    "JSON that is cut": (200, b'{"results": [{"id"'),
    "too deep": (200, b"[" * 100_000),
    "list": (200, []),
    "text": (200, b'"ok"'),
    "number": (200, 1),
    "true": (200, True),
    "null": (200, None),
    "200 with an error": (
        200,
        {
            "error": {"message": "no"},
            "id": 1,
            "name": "web1.example.com",
            "all_parameters": [],
            "version": "3.12.0",
            "results": [],
            "subtotal": 0,
            "total": 0,
            "permissions": {},
        },
    ),
    "422 list": (422, []),
    "415": (415, {"error": {"message": "Media type is unsupported"}}),
}
REFUSALS = {
    "403": (403, {"error": {"message": "Access denied"}}),
    "404 of a host": (404, UNKNOWN_HOST),
    "404 of a route": (404, UNKNOWN_ROUTE),
    "404 of an organization": (404, UNKNOWN_ORGANIZATION),
    "400": (400, {"error": {"message": "bad search"}}),
    "422": (422, {"error": {"full_messages": ["wrong"]}}),
}


def entry(**changes: Any) -> Mend:
    """A change to the first result of a list."""
    return lambda body: {
        **body,
        "results": [{**body["results"][0], **changes}, *body["results"][1:]],
    }


ODD_LISTS: dict[str, Mend] = {
    "subtotal too high": lambda body: {**body, "subtotal": body["subtotal"] + 1},
    "subtotal too low": lambda body: {**body, "subtotal": body["subtotal"] - 1},
    "no subtotal": lambda body: {
        name: value for name, value in body.items() if name != "subtotal"
    },
    "subtotal a text": lambda body: {**body, "subtotal": str(body["subtotal"])},
    "one result short": lambda body: {**body, "results": body["results"][1:]},
    "no result": lambda body: {**body, "results": []},
    "results null": lambda body: {**body, "results": None},
    "results an object": lambda body: {**body, "results": {}},
    "results a text": lambda body: {**body, "results": "abc"},
    "no results": lambda body: {
        name: value for name, value in body.items() if name != "results"
    },
    "per_page of another request": lambda body: {**body, "per_page": 20},
    "per_page a text": lambda body: {**body, "per_page": str(body["per_page"])},
    "no per_page": lambda body: {
        name: value for name, value in body.items() if name != "per_page"
    },
    "an entry that is null": lambda body: {
        **body,
        "results": [None, *body["results"][1:]],
    },
    "an entry that is a list": lambda body: {
        **body,
        "results": [[], *body["results"][1:]],
    },
}


def guest(name: str = "web1.example.com", uuid: str = UUID, **more: Any) -> Host:
    """A registered guest whose facts do not name a manufacturer."""
    facts = {RHSM: {"virt::uuid": uuid, "virt::is_guest": "true"}}
    fields = {"facts": facts, "subscription": {"uuid": CONSUMER}, **more}
    return Host(name, **fields)


def instance(
    name: str = "web1.example.com", uuid: str = UUID, **others: dict[str, str]
) -> Host:
    """A guest whose RHSM facts say that it is an instance; `others`: facts of other sources."""
    return guest(name, facts={RHSM: {**INSTANCE, "virt::uuid": uuid}, **others})


def add_guests(double: Satellite, count: int) -> list[Host]:
    """Add hosts that differ only in their names."""
    return [
        double.add(guest(f"web{number}.example.com")) for number in range(1, count + 1)
    ]


def add_new(double: Satellite, count: int) -> list[Host]:
    """Add hosts with other names than those of `add_guests`."""
    return [double.add(guest(f"new{number}.example.com")) for number in range(count)]


def user(double: Satellite, *permissions: str, **more: Any) -> tuple[str, str]:
    """Add a login with only these permissions; returns its name and password."""
    double.users["limited"] = User(
        "limited", "limited", permissions=frozenset(permissions), **more
    )
    return "limited", "limited"


def change(server: Server, pattern: str, mend: Mend) -> None:
    """Change the body of the answers to matching requests: `mend` gets it and returns another."""
    handle = server.handle

    def changed(request: Request) -> Answer:
        answer = handle(request)
        if not re.search(pattern, request.line):
            return answer
        return answer._replace(body=mend(answer.body))

    server.handle = changed


def before(server: Server, pattern: str, act: Callable[[], Any]) -> None:
    """Do something when the first matching request arrives, before it is answered."""
    handle = server.handle
    # An iterator, so that only one of several requests at once acts.
    is_first = iter([True])

    def acting(request: Request) -> Answer:
        if re.search(pattern, request.line) and next(is_first, False):
            act()
        return handle(request)

    server.handle = acting


def ids(hosts: Iterable[Union[ListedHost, IdentifiedHost, Host]]) -> list[int]:
    """Their ids, in the order given."""
    return [host.id for host in hosts]


def looked(
    client: Client, hosts: Optional[Iterable[ListedHost]] = None
) -> Iterator[IdentifiedHost]:
    """Identify these hosts by all of their facts, or all hosts."""
    listed = list(list_hosts(client)) if hosts is None else list(hosts)
    return identify_hosts(client, listed, ("OpenStack",))
