"""A double of Satellite: the part of the API of Foreman 3.12 that the cleanup speaks.

    satellite = Satellite()
    satellite.add(Host("web1.example.com", facts={RHSM: {"virt::uuid": "..."}}, subscription={...}))
    with Server(satellite.handle) as server:
        ...

With or without Katello 4.14. It answers as a real server does, surprises included: what is called
"measured" here was seen on Foreman 3.12.0. What it does not know (a route, a parameter, a search
field, a date) is an UnknownRequestError and fails the test, even where a real server ignores it.
Its state is open to tests, which may read and change it between requests; only the id of a host is
given by the double.
"""

import re
import threading
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import unquote, urlencode

from . import administration, facts, hosts, reports
from .calls import (
    LIST_PARAMETERS,
    Call,
    Page,
    RefusedError,
    check_names,
    leading_number,
)
from .fields import fact_fields, host_fields
from .jobs import ROUTES as JOB_ROUTES
from .jobs import JobRoute, Jobs
from .logins import (
    NOBODY,
    PLAIN_TEXT,
    check_permission,
    chosen_place,
    info_headers,
    log_in,
    place_label,
    visible_places,
)
from .records import (
    ANSIBLE,
    CHEF,
    LOCATION,
    ORGANIZATION,
    PUPPET,
    RHSM,
    SALT,
    DeletionFault,
    Effect,
    Facts,
    Host,
    Parameters,
    Report,
    Sight,
    User,
    detach,
)
from .search import Window, compile_search
from .search_parser import DatabaseError, Node, QueryError, Term, take
from .server import Answer, Request, UnknownRequestError, utc

__all__ = [
    "ANSIBLE",
    "CHEF",
    "LOCATION",
    "ORGANIZATION",
    "PUPPET",
    "RHSM",
    "SALT",
    "DeletionFault",
    "Effect",
    "Host",
    "Report",
    "Satellite",
    "User",
]

SETTINGS = {
    "destroy_vm_on_host_delete": False,
    "entries_per_page": 20,
    "excluded_facts": [],
    "failed_login_attempts_limit": 30,
}
LONGEST_QUERY = 10 * 1024  # bytes; measured: 9.8 KB pass, 13 KB are an empty 400


class Satellite:
    """The state of the server, and `handle`, which answers one request after the other.

    `hostgroups`, `owners` (users) and `usergroups` map ids to names; the three `..._parameters`
    map ids to parameters; `parameters` are the global ones.
    `ghosts`: names with facts but without a host.
    `deletion_faults`: host id -> how its DELETE fails; `stubborn`: ids whose fault is HALF_DELETED.
    `read_faults`, `fact_faults`: host id -> the answer where its record or its facts are shown.
    `destroyed_vms`: the UUIDs that the compute resource was told to destroy.
    `sessions`: session id -> login; when it is cleared, all sessions have expired.
    """

    def __init__(
        self, *, katello: bool = True, users: Optional[Iterable[User]] = None
    ) -> None:
        """Without users there is an administrator, admin/changeme."""
        users = (User("admin", "changeme"),) if users is None else users
        self.katello = katello
        self.users = {user.login: user for user in users}
        self.organizations = {ORGANIZATION: "Default Organization"}
        self.locations = {LOCATION: "Default Location"}
        self.hostgroups: dict[int, str] = {}
        self.owners = {4: "Admin User"}
        self.usergroups: dict[int, str] = {}
        self.hosts: dict[int, Host] = {}
        self.parameters: Parameters = {}
        self.organization_parameters: dict[int, Parameters] = {}
        self.location_parameters: dict[int, Parameters] = {}
        self.hostgroup_parameters: dict[int, Parameters] = {}
        self.settings: dict[str, object] = dict(SETTINGS)
        self.ghosts: dict[str, Facts] = {}
        self.deletion_faults: dict[int, DeletionFault] = {}
        self.stubborn: set[int] = set()
        self.read_faults: dict[int, Answer] = {}
        self.fact_faults: dict[int, Answer] = {}
        self.candlepin_down = False
        self.deleted: list[int] = []
        self.destroyed_vms: list[str] = []
        self.sessions: dict[str, str] = {}
        self.failed_logins = 0
        self.started = utc()
        self.lock = threading.RLock()
        self.jobs = Jobs(self)
        self.host_fields = host_fields(self)
        self.fact_fields = fact_fields(self)
        self.fact_totals = facts.FactTotals()
        self._late_deletions: list[_LateDeletion] = []
        self._answered = 0
        self._last_id = self._last_report_id = 0
        self._ids: list[int] = []  # of hosts, ascending
        self._ids_by_name: dict[str, int] = {}
        self._ghost_ids: dict[str, int] = {}

    # State

    def add(self, host: Host) -> Host:
        """Add a host under the next id, or under its own id if that is higher."""
        with self.lock:
            host.name = host.name.lower()
            if self._indexed(host.name):
                raise ValueError(f"host {host.name} exists already")
            self.ghost_hosts()
            host.id = self._last_id = max(host.id, self._last_id + 1)
            self.hosts[host.id] = host
            self._ids.append(host.id)
            self._ids_by_name[host.name] = host.id
            self.fact_totals.change(host, 1)
            return host

    def destroy(self, host: Host) -> None:
        """Delete a host, and its VM where the setting says so."""
        if not self.settings["destroy_vm_on_host_delete"]:
            detach(host)
        elif host.record.get("compute_resource_id") and host.record.get("uuid"):
            self.destroyed_vms.append(host.record["uuid"])
        self.fact_totals.change(host, -1)
        del self.hosts[host.id]
        self.deleted.append(host.id)

    def destroy_later(self, host: Host, after: int) -> None:
        """Delete a host once `after` more requests have been answered."""
        self._late_deletions.append(_LateDeletion(self._answered + after, host.id))

    def _delete_late(self) -> None:
        waiting = []
        for late in self._late_deletions:
            if self._answered <= late.last_request:
                waiting.append(late)
            elif late.host_id in self.hosts:
                self.destroy(self.hosts[late.host_id])
        self._late_deletions = waiting

    def next_report_id(self) -> int:
        """An id that no report has had."""
        self._last_report_id += 1
        return self._last_report_id

    def ghost_hosts(self) -> list[Host]:
        """The ghosts as hosts; those that came before a host have a lower id than it."""
        for name in self.ghosts:
            if name not in self._ghost_ids:
                self._last_id += 1
                self._ghost_ids[name] = self._last_id
        return [
            Host(name, facts, id=self._ghost_ids[name])
            for name, facts in self.ghosts.items()
        ]

    def ids_of_ghost(self, name: str) -> list[int]:
        """The id of the ghost of that name, if there is one."""
        return [self._ghost_ids[name]] if name in self._ghost_ids else []

    # Requests

    def handle(self, request: Request) -> Answer:
        """Answer one request; safe to call from several threads."""
        with self.lock:
            self._answered += 1
            self._delete_late()
            try:
                return self._answer(request)
            except RefusedError as refused:
                return refused.answer

    def _answer(self, request: Request) -> Answer:
        if len(urlencode(request.query, doseq=True)) > LONGEST_QUERY:
            return Answer(400, "", PLAIN_TEXT)
        route, args = self._route(request)
        body = _json_body(request)
        user = NOBODY
        headers: dict[str, str] = {}
        if route.permission is not None:
            user, headers = log_in(self, request)
        answer = self._answer_call(Call(request, args, body, user), route, headers)
        return answer._replace(headers={**headers, **answer.headers})

    def _answer_call(
        self, call: Call, route: "_Route", headers: dict[str, str]
    ) -> Answer:
        """The answer of the route, or the error in its place; adds the headers of the place."""
        try:
            check_permission(call.user, route.permission or "")
            self._choose_places(call)
            organization = place_label(call.organization, self.organizations)
            location = place_label(call.location, self.locations)
            headers.update(info_headers(organization, location))
            if call.request.method in ("POST", "PUT"):
                _check_media_type(call.request)
            _check_parameters(call, route)
            return route.handler(self, call)
        except RefusedError as refused:
            return refused.answer
        except QueryError as error:
            refusal = {
                "message": str(error),
                "class": "ScopedSearch::QueryNotSupported",
            }
            return Answer(400, {"error": refusal})
        except DatabaseError as error:
            return Answer(500, {"error": {"message": str(error)}})

    def _route(self, request: Request) -> "tuple[_Route, dict[str, str]]":
        path = re.sub("/+", "/", request.path)
        if path.startswith("/katello/") and not self.katello:
            raise RefusedError(404, {"status": 404, "error": "Not Found"})
        for route in _ROUTES:
            match = route.path.fullmatch(path)
            if match and route.method == request.method:
                args = {
                    name: unquote(value) for name, value in match.groupdict().items()
                }
                return route, args
        raise UnknownRequestError("the route")

    # What a login sees

    def visible_organizations(self, user: User) -> dict[int, str]:
        """The organizations that a user sees."""
        return visible_places(self.organizations, user, user.organizations)

    def visible_locations(self, user: User) -> dict[int, str]:
        """The locations that a user sees."""
        return visible_places(self.locations, user, user.locations)

    def _choose_places(self, call: Call) -> None:
        """Set the organization and location of a call; a 404 if one is unknown or invisible."""
        call.organization = chosen_place(
            call, "organization", self.visible_organizations(call.user)
        )
        call.location = chosen_place(
            call, "location", self.visible_locations(call.user)
        )

    def sight(self, call: Call) -> Sight:
        """Which hosts a call is about: by its organization and location and the login's filter."""
        user = call.user
        organizations = locations = is_seen = None
        if not user.admin:
            organizations, locations, is_seen = (
                user.organizations,
                user.locations,
                user.sees,
            )
        if call.organization:
            organizations = frozenset((call.organization,))
        if call.location:
            locations = frozenset((call.location,))
        if organizations is None and locations is None and is_seen is None:
            return None

        def is_in_sight(host: Host) -> bool:
            if organizations is not None and host.organization_id not in organizations:
                return False
            if locations is not None and host.location_id not in locations:
                return False
            return is_seen is None or is_seen(host)

        return is_in_sight

    def sight_through_parent(self, call: Call, verb: str) -> Sight:
        """As `sight`, but the first organization or location asked for needs a permission itself.

        Without view_organizations a list in an organization is empty; without edit_organizations
        a DELETE in one is a 404 (read in Foreman's source, not measured).
        """
        for name in call.request.query:
            if name in ("organization_id", "location_id") and call.first(name):
                noun = name[: -len("_id")]
                may_look = call.user.may(f"{verb}_{noun}s")
                return self.sight(call) if may_look else _see_nothing
        return self.sight(call)

    def visible_hosts(self, call: Call) -> list[Host]:
        """All hosts in sight."""
        sight = self.sight(call)
        return [host for host in self.hosts.values() if sight is None or sight(host)]

    # Hosts, found without a look at all of them

    def _indexed(self, name: str) -> Optional[Host]:
        host = self.hosts.get(self._ids_by_name.get(name, 0))
        return host if host and host.name == name else None

    def named_host(self, name: str) -> Optional[Host]:
        """The host of that name; a test may have renamed it.

        Digits are nearly always an id: then only the index is asked.
        """
        host = self._indexed(name)
        if host or name.isdigit():
            return host
        return next((host for host in self.hosts.values() if host.name == name), None)

    def find_host(self, call: Call, verb: str) -> Host:
        """The host of `:id`: by name first, then by the number that the text starts with.

        Measured: 310-foo is host 310.
        """
        key = call.args["id"]
        sight = self.sight_through_parent(call, verb)
        for host in (self.named_host(key), self.hosts.get(leading_number(key))):
            if host and (sight is None or sight(host)):
                return host
        raise RefusedError(
            404, {"error": {"message": f"Resource host not found by id '{key}'"}}
        )

    def hosts_in_window(self, terms: Iterable[Term]) -> list[Host]:
        """The hosts that terms on `id`, `host_id`, `name` and `host` allow, by ascending id."""
        window = Window(terms, self._ids_of)
        if len(self._ids) != len(self.hosts):  # deleted hosts are still among the ids
            self._ids = sorted(self.hosts)
        return [self.hosts[key] for key in window.of(self._ids) if key in self.hosts]

    def _ids_of(self, name: str) -> list[int]:
        host = self.named_host(name)
        return [host.id] if host else []

    def matching_hosts(self, node: Node, sight: Sight) -> list[Host]:
        """The hosts in sight that a search finds, by ascending id."""
        window, node = take(node, _is_about_ids)
        test = compile_search(node, self.host_fields)
        matching: Iterable[Host] = self.hosts_in_window(window)
        if sight is not None:
            matching = filter(sight, matching)
        if test is not None:
            matching = filter(test, matching)
        return list(matching)

    def page(self, call: Call, total: int, all_is_known: bool = True) -> Page:
        """Which rows are asked for.

        Measured: per_page=all gives all hosts but no facts (`all_is_known` False); per_page=abc
        is 0.
        """
        wanted = call.first("per_page")
        if wanted == "all" and all_is_known:
            return Page(max(1, leading_number(call.first("page"))), total, 0, total)
        number = _page_number(call)
        default = int(str(self.settings["entries_per_page"]))
        limit = default
        if "per_page" in call.request.query:
            limit = leading_number(wanted)
        if limit < 0:
            raise DatabaseError(
                "PG::InvalidRowCountInLimitClause: ERROR:  LIMIT must not be negative\n"
            )
        shown = limit if wanted else default
        if wanted == "all":
            shown = total
        return Page(number, shown, (number - 1) * limit, limit)


class _LateDeletion(NamedTuple):
    """A host that goes after the request with the number `last_request`."""

    last_request: int
    host_id: int


def _see_nothing(host: Host) -> bool:
    return False


def _is_about_ids(term: Term) -> bool:
    return term.field in ("id", "name") and Window.takes(term)


def _page_number(call: Call) -> int:
    given = call.request.first("page", "1")
    if not re.fullmatch(r"\s*[+-]?\d+\s*", given):
        raise DatabaseError(f'invalid value for Integer(): "{given}"')
    number = int(given)
    if number < 1:
        raise DatabaseError(f"invalid page: {number}")
    return number


def _check_parameters(call: Call, route: "_Route") -> None:
    """Raise UnknownRequestError for what a real server ignores, or reads in its own way."""
    check_names(call.request.query, route.parameters, "the parameter")
    for name, values in call.request.query.items():
        if len(values) > 1 and not name.endswith("[]"):
            raise UnknownRequestError(f"several values of {name}")
    if call.body is not None and call.request.method in ("GET", "DELETE"):
        raise UnknownRequestError(f"the body of a {call.request.method}")


def _check_media_type(request: Request) -> None:
    given = request.headers.get("Content-Type") or ""
    if given.partition(";")[0].strip() == "application/json":
        return
    message = (
        f"Media type in 'Content-Type: {given}' is unsupported in API v2 for POST and PUT "
        "requests. Please use 'Content-Type: application/json'."
    )
    raise RefusedError(415, {"error": {"message": message}})


def _json_body(request: Request) -> Any:
    if not request.body or "json" not in (request.headers.get("Content-Type") or ""):
        return None
    try:
        return request.json()
    except ValueError:
        text = request.body.decode(errors="replace")
        error = f"There was a problem in the JSON you submitted: 859: unexpected token at '{text}'"
        raise RefusedError(400, {"status": 400, "error": error}) from None


def _refuse_bulk(satellite: Satellite, call: Call) -> Answer:
    """A real server deletes many hosts at once and answers 500 (measured): never to be asked for.

    Without this route it would look like a host named "bulk".
    """
    raise UnknownRequestError("the route")


# Routes

Handler = Callable[[Satellite, Call], Answer]

_PLACES = frozenset(("organization_id", "location_id"))  # every request may name them


class _Route(NamedTuple):
    """`permission`: what a login needs; "": any login will do; None: no login is needed."""

    method: str
    path: "re.Pattern[str]"
    permission: Optional[str]
    handler: Handler
    parameters: frozenset[str]


def _on(
    method: str,
    path: str,
    permission: Optional[str],
    handler: Handler,
    parameters: Iterable[str] = (),
) -> _Route:
    """A route; `parameters`: those that its address can have in addition to the places.

    Measured: /api and /api/v2 are the same; .json at the end is a format, but after an :id it is
    a part of the name.
    """
    pattern = re.sub(
        r":(\w+)", r"(?P<\1>[^/]+)", path.replace("/api/", "/api(?:/v2)?/", 1)
    )
    end = "/?" if pattern.endswith("+)") else r"(?:\.json|/)?"
    return _Route(
        method,
        re.compile(pattern + end),
        permission,
        handler,
        _PLACES.union(parameters),
    )


def _list(path: str, permission: str, handler: Handler, *more: str) -> _Route:
    return _on("GET", path, permission, handler, LIST_PARAMETERS.union(more))


def _of_jobs(route: JobRoute) -> _Route:
    def handler(satellite: Satellite, call: Call) -> Answer:
        return route.handler(satellite.jobs, call)

    return _on(route.method, route.path, route.permission, handler, route.parameters)


_ROUTES = (
    _on("GET", "/api/status", "", administration.show_status),
    _on("GET", "/katello/api/status", None, administration.show_katello_status),
    _on("GET", "/katello/api/ping", None, administration.show_katello_ping),
    _list(
        "/api/organizations", "view_organizations", administration.list_organizations
    ),
    _list("/api/locations", "view_locations", administration.list_locations),
    _list("/api/settings", "view_settings", administration.list_settings),
    _list("/api/hostgroups", "view_hostgroups", administration.list_hostgroups),
    _list("/api/permissions/current_permissions", "", administration.list_permissions),
    _on("GET", "/api/users/:id", "view_users", administration.show_user),
    _on("GET", "/api/usergroups/:id", "view_usergroups", administration.show_usergroup),
    _list("/api/config_reports", "view_config_reports", reports.list_reports),
    _on("POST", "/api/hosts", "create_hosts", hosts.create_host),
    _list("/api/hosts", "view_hosts", hosts.list_hosts, "thin", "include[]"),
    _on("GET", "/api/hosts/:id", "view_hosts", hosts.show_host),
    _on("DELETE", "/api/hosts/bulk", None, _refuse_bulk),
    _on("DELETE", "/api/hosts/:id", "destroy_hosts", hosts.delete_host),
    _on("PUT", "/api/hosts/:id/disassociate", "edit_hosts", hosts.disassociate_host),
    _list("/api/fact_values", "view_facts", facts.list_facts),
    *map(_of_jobs, JOB_ROUTES),
)
