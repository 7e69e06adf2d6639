"""A Satellite in memory: the part of the API of Foreman 3.12 (with Katello 4.14, or without) that
the cleanup speaks.

    satellite = Satellite()
    host = satellite.add(Host("web1.example.com", facts={RHSM: {"virt::uuid": "..."}}, subscription={...}))
    with Server(satellite.handle) as server:
        ...

It answers as a real server was measured to answer, the surprising answers included: what says
"measured" below was seen on Foreman 3.12.0.  Its state is open to tests, which may read and change
it between requests; only a host's id is Satellite's own.
"""

import base64
import json
import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import unquote, urlencode

from . import reports
from .calls import (
    PERMISSIONS,
    Call,
    Page,
    RefusedError,
    leading_number,
    listed,
    not_found,
    server_error,
)
from .fields import ORIGIN_FIELDS, SETTING_FIELDS, TAXONOMY_FIELDS, fact_fields, host_fields
from .jobs import ROUTES as JOB_ROUTES
from .jobs import Handler as JobHandler
from .jobs import Jobs
from .records import (
    ANSIBLE,
    BLANK_CONTENT,
    BLANK_RECORD,
    BLANK_REGISTRATION,
    BLANK_SUBSCRIPTION,
    CHEF,
    HALF_DELETED,
    HOST_PERMISSIONS,
    INTERFACE,
    LOCATION,
    ORGANIZATION,
    ORIGINS,
    PUPPET,
    RAW,
    RAW_FACETS,
    REGISTERED_CONTENT,
    REPORTED,
    RHSM,
    SALT,
    SECRETS,
    DeletionFault,
    Effect,
    FactRow,
    Facts,
    Host,
    Parameters,
    Report,
    Sight,
    User,
    content_view_environment,
    count_rows,
    detach,
    fact_rows,
    flattened,
    parameter_entry,
    taxonomy_entry,
)
from .search import (
    DatabaseError,
    Group,
    Mark,
    Node,
    QueryError,
    Term,
    Window,
    compile_search,
    order_by,
    parse,
    take,
)
from .server import Answer, Request, utc

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

VERSION = "3.12.0"
KATELLO_VERSION = "4.14.3"
CANDLEPIN_DOWN = "A backend service [ Candlepin ] is unreachable"
LONGEST_QUERY = 10 * 1024  # bytes; measured: 9.8 KB pass, 13 KB are an empty 400


class Satellite:
    """The server's state, and `handle`, which answers one request after the other."""

    def __init__(self, *, katello: bool = True, users: Optional[Iterable[User]] = None) -> None:
        """Without users there is an administrator, admin/changeme."""
        users = (User("admin", "changeme"),) if users is None else users
        self.katello = katello
        self.users = {user.login: user for user in users}
        self.organizations = {ORGANIZATION: "Default Organization"}
        self.locations = {LOCATION: "Default Location"}
        self.hostgroups: dict[int, str] = {}  # id -> title
        self.owners = {4: "Admin User"}  # id -> name, of users
        self.usergroups: dict[int, str] = {}  # id -> name
        self.hosts: dict[int, Host] = {}
        self.parameters: Parameters = {}  # global; those below: id -> parameters
        self.organization_parameters: dict[int, Parameters] = {}
        self.location_parameters: dict[int, Parameters] = {}
        self.hostgroup_parameters: dict[int, Parameters] = {}
        self.settings: dict[str, object] = {
            "destroy_vm_on_host_delete": False,
            "entries_per_page": 20,
            "failed_login_attempts_limit": 30,
            "excluded_facts": [],
        }
        self.ghosts: dict[str, Facts] = {}  # names with facts, but without a host
        self.deletion_faults: dict[int, DeletionFault] = {}  # host id -> how its DELETE goes wrong
        self.stubborn: set[int] = set()  # ids whose faults are HALF_DELETED
        self.read_faults: dict[
            int, Answer
        ] = {}  # host id -> the answer where its record is to be shown
        self.fact_faults: dict[int, Answer] = {}  # the same for its facts
        self.candlepin_down = False
        self.deleted: list[int] = []
        self.destroyed_vms: list[str] = []  # uuids that the compute resource was told to destroy
        self.bulk_calls: list[Any] = []  # bodies of the bulk deletions that were asked for
        self.sessions: dict[str, str] = {}  # session id -> login; clear it, and all are expired
        self.failed_logins = 0
        self.started = utc()
        self.lock = threading.RLock()
        self.jobs = Jobs(self)  # remote execution
        self._late: list[tuple[int, int]] = []  # number of the last request before it, id to delete
        self._answered = 0
        self._last_id = self._last_report_id = 0
        self._ids: list[int] = []  # of hosts, ascending
        self._ids_by_name: dict[str, int] = {}
        self._ghost_ids: dict[str, int] = {}
        self._fact_totals: dict[tuple[Optional[int], Optional[int]], int] = {}
        self._host_fields = host_fields(self)
        self._fact_fields = fact_fields(self)

    def add(self, host: Host) -> Host:
        """Take up a host under the next id, or under the one it brings along where that is higher."""
        with self.lock:
            host.name = host.name.lower()
            if self._indexed(host.name):
                raise ValueError(f"there is a host {host.name} already")
            self._ghost_hosts()
            host.id = self._last_id = max(host.id, self._last_id + 1)
            self.hosts[host.id] = host
            self._ids.append(host.id)
            self._ids_by_name[host.name] = host.id
            self._count_facts(host, 1)
            return host

    def next_report_id(self) -> int:
        """An id that no report has had."""
        self._last_report_id += 1
        return self._last_report_id

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
            return Answer(400, "", _PLAIN)
        route, args = self._route(request)
        body = _json_body(request)
        user, headers = (_NOBODY, {}) if route.permission is None else self._log_in(request)
        call = Call(request, args, body, user)
        try:
            self._admit(call, route)
            headers.update(
                _info(
                    _context(call.organization, self.organizations),
                    _context(call.location, self.locations),
                )
            )
            if request.method in ("POST", "PUT"):
                _check_media_type(request)
            answer = route.handler(self, call)
        except RefusedError as refused:
            answer = refused.answer
        except QueryError as error:
            answer = Answer(
                400, {"error": {"message": str(error), "class": "ScopedSearch::QueryNotSupported"}}
            )
        except DatabaseError as error:
            answer = Answer(500, {"error": {"message": str(error)}})
        return answer._replace(headers={**headers, **answer.headers})

    def _route(self, request: Request) -> "tuple[_Route, dict[str, str]]":
        method = "GET" if request.method == "HEAD" else request.method
        path = re.sub("/+", "/", request.path)
        for route in _ROUTES:
            match = route.path.fullmatch(path) if route.method == method else None
            if match and (self.katello or not path.startswith("/katello/")):
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
        raise RefusedError(404, {"status": 404, "error": "Not Found"})

    # Who asks

    def _log_in(self, request: Request) -> tuple[User, dict[str, str]]:
        """The user, and the cookie of the session that a Basic login begins.  A valid session asks
        no password.
        """
        cookie = re.search(r"\b_session_id=([^;]*)", request.headers.get("Cookie") or "")
        known = self.users.get(self.sessions.get(cookie[1], "")) if cookie else None
        if known:
            return known, {}
        credentials = request.headers.get("Authorization")
        if cookie and not credentials:
            raise RefusedError(
                401, "", {**_PLAIN, **_info()}
            )  # measured: an expired session is an empty answer
        limit = int(str(self.settings["failed_login_attempts_limit"]))
        if 0 < limit <= self.failed_logins:
            raise _unauthorized("Too many tries, please try again in a few minutes.")
        login, password = _basic(credentials or "")
        user = self.users.get(login)
        if not user or not (password == user.password or password in user.tokens):
            self.failed_logins += 1
            raise _unauthorized(f"Unable to authenticate user {login}")
        token = secrets.token_hex(16)
        self.sessions[token] = login
        return user, {"Set-Cookie": f"_session_id={token}; path=/; HttpOnly; SameSite=Lax"}

    def _admit(self, call: Call, route: "_Route") -> None:
        """403 without the permission; 404 where the organization or location is unknown or out of
        sight.
        """
        if route.permission and not call.user.may(route.permission):
            raise RefusedError(
                403,
                {
                    "error": {
                        "message": "Access denied",
                        "details": f"Missing one of the required permissions: {route.permission}",
                        "missing_permissions": [route.permission],
                    }
                },
            )
        call.organization = _chosen(call, "organization", self._organizations(call.user))
        call.location = _chosen(call, "location", self._locations(call.user))

    def _organizations(self, user: User) -> dict[int, str]:
        return {
            key: name
            for key, name in self.organizations.items()
            if user.admin or key in user.organizations
        }

    def _locations(self, user: User) -> dict[int, str]:
        return {
            key: name for key, name in self.locations.items() if user.admin or key in user.locations
        }

    def sight(self, call: Call) -> Sight:
        """The hosts of the login's organizations and locations, or of those asked for, that its
        filter lets through.
        """
        user = call.user
        organizations = (
            {call.organization} if call.organization else None if user.admin else user.organizations
        )
        locations = {call.location} if call.location else None if user.admin else user.locations
        sees = None if user.admin else user.sees
        if organizations is None and locations is None and sees is None:
            return None
        return lambda host: (
            (organizations is None or host.organization_id in organizations)
            and (locations is None or host.location_id in locations)
            and (sees is None or sees(host))
        )

    def _sight_through_parent(self, call: Call, verb: str) -> Sight:
        """As `sight`; but the first organization or location asked for wants a permission on
        itself.

        Without view_organizations a list in an organization is empty, without edit_organizations a
        DELETE in one is a 404 (read in Foreman's source, not measured).
        """
        for name in call.request.query:
            if name in ("organization_id", "location_id") and call.first(name):
                return (
                    self.sight(call)
                    if call.user.may(f"{verb}_{name[:-3]}s")
                    else lambda host: False
                )
        return self.sight(call)

    # Hosts, found fast

    def _indexed(self, name: str) -> Optional[Host]:
        host = self.hosts.get(self._ids_by_name.get(name, 0))
        return host if host and host.name == name else None

    def _named(self, name: str) -> Optional[Host]:
        host = self._indexed(name)
        if (
            host or name.isdigit()
        ):  # digits are nearly always an id, and no reason to look at every host
            return host
        return next(
            (host for host in self.hosts.values() if host.name == name), None
        )  # a test may have renamed it

    def find_host(self, call: Call, verb: str) -> Host:
        """The host of `:id`: by name first, then by the number that it begins with (measured:
        310-foo is host 310).
        """
        key, sight = call.args["id"], self._sight_through_parent(call, verb)
        for host in (self._named(key), self.hosts.get(leading_number(key))):
            if host and (sight is None or sight(host)):
                return host
        raise RefusedError(404, {"error": {"message": f"Resource host not found by id '{key}'"}})

    def _in_window(self, terms: Iterable[Term]) -> Iterator[Host]:
        """The hosts that terms on `id`, `host_id`, `name` and `host` leave, by ascending id; looks
        at no others.
        """
        window = Window(terms, self._ids_of)
        if len(self._ids) != len(self.hosts):  # deleted ones are still among the ids
            self._ids = sorted(self.hosts)
        return (self.hosts[key] for key in window.of(self._ids) if key in self.hosts)

    def _ids_of(self, name: str) -> list[int]:
        host = self._named(name)
        return [host.id] if host else []

    def matching_hosts(self, node: Node, sight: Sight) -> list[Host]:
        """The hosts in sight that a search finds, by ascending id."""
        terms, rest = take(node, lambda term: term.field in ("id", "name") and Window.takes(term))
        test = compile_search(rest, self._host_fields)
        return [
            host
            for host in self._in_window(terms)
            if (sight is None or sight(host)) and (test is None or test(host))
        ]

    # Hosts

    def _list_hosts(self, call: Call) -> Answer:
        sight = self._sight_through_parent(call, "view")
        total = (
            len(self.hosts)
            if sight is None
            else sum(1 for host in self.hosts.values() if sight(host))
        )
        key, downwards = order_by(call.first("order") or "name", self._host_fields)
        hosts = self.matching_hosts(parse(call.first("search")), sight)
        subtotal = len(hosts)
        thin = "thin" in call.request.query  # measured: thin=false is thin too
        if thin:  # measured: and then `order` is checked, but not heeded
            hosts.sort(key=lambda host: host.name)
        elif call.first("order").split()[:1] == ["id"]:
            hosts = hosts[::-1] if downwards else hosts
        else:
            hosts.sort(key=key, reverse=downwards)
        page = self.page(call, total)
        extra = [*call.request.query.get("include[]", []), *call.request.query.get("include", [])]
        shown = page.cut(hosts)
        _raise_fault({} if thin else self.read_faults, shown)
        results = [
            {"id": host.id, "name": host.name}
            if thin
            else {**self._entry(host), **self._parameters_of(host, call, extra)}
            for host in shown
        ]
        return listed(call, page, total, subtotal, results)

    def _show_host(self, call: Call) -> Answer:
        host = self.find_host(call, "view")
        _raise_fault(self.read_faults, [host])
        parameters = self._parameters_of(host, call, ("parameters", "all_parameters"))
        return Answer(200, {**self._whole(host, call), **parameters})

    def _disassociate_host(self, call: Call) -> Answer:
        host = self.find_host(call, "edit")
        detach(host)
        return Answer(200, self._whole(host, call))

    def _delete_host(self, call: Call) -> Answer:
        """200 with the raw record.  Katello says so even where the record stays, unregistered by
        then (measured).
        """
        host = self.find_host(call, "edit")
        fault = self.deletion_faults.get(host.id) or (
            HALF_DELETED if host.id in self.stubborn else None
        )
        if fault:
            return self._delete_badly(host, fault)
        if self.katello and self.candlepin_down and (host.subscription or {}).get("uuid"):
            raise DatabaseError(CANDLEPIN_DOWN)
        self._destroy(host)
        return Answer(200, self._raw(host))

    def _delete_badly(self, host: Host, fault: DeletionFault) -> Answer:
        if fault.effect is Effect.UNREGISTERED:
            host.subscription = host.content = (
                None  # measured: both facets are gone, all facts are left
            )
        elif fault.effect is Effect.DELETED:
            if fault.after:
                self._late.append((self._answered + fault.after, host.id))
            else:
                self._destroy(host)
        body = (
            self._raw(host)
            if fault.status == 200
            else {"error": {"message": f"DELETE of {host.name} failed"}}
        )
        return Answer(fault.status, body if fault.body is None else fault.body)

    def _delete_late(self) -> None:
        for last, host_id in self._late:
            if self._answered > last and host_id in self.hosts:
                self._destroy(self.hosts[host_id])
        self._late = [(last, host_id) for last, host_id in self._late if self._answered <= last]

    def _destroy(self, host: Host) -> None:
        if not self.settings["destroy_vm_on_host_delete"]:
            detach(host)
        elif host.record.get("compute_resource_id") and host.record.get("uuid"):
            self.destroyed_vms.append(host.record["uuid"])
        self._count_facts(host, -1)
        del self.hosts[host.id]
        self.deleted.append(host.id)

    def _delete_bulk(self, call: Call) -> Answer:
        """Noted, refused.  A real server deletes and then answers this very 500 (measured)."""
        self.bulk_calls.append(call.body or call.request.query)
        return Answer(500, {"error": {"message": "Couldn't find resource"}})

    def _upload_facts(self, call: Call) -> Answer:
        """Create the host or replace its facts of that origin; saved even where the answer is a 422
        (measured).
        """
        body = call.body if isinstance(call.body, dict) else {}
        if not isinstance(body.get("name"), str):
            raise RefusedError(
                422,
                {"message": "ERF42-9436 [Foreman::Exception]: Invalid Hostname, must be a String"},
            )
        if not isinstance(body.get("facts"), dict):
            raise server_error()
        origin = ORIGINS.get(body["facts"].pop("_type", ""), PUPPET)
        excluded = _exclusion(self.settings["excluded_facts"])
        facts: dict[str, Optional[str]] = {
            name: value for name, value in flattened(body["facts"]) if not excluded.fullmatch(name)
        }
        host = self._named(body["name"].lower())
        if not host:
            host = self.add(Host(body["name"], record={"created_at": utc(), "updated_at": utc()}))
        self._count_facts(host, -1)
        host.facts[origin] = facts
        self._count_facts(host, 1)
        if origin == PUPPET and not (facts.get("operatingsystem") or facts.get("os::name")):
            raise RefusedError(
                422,
                {
                    "message": "ERF42-3829 [Foreman::Exception]: invalid facts, missing operating system value"
                },
            )
        location = f"http://{call.request.headers.get('Host')}/hosts/{host.name}"
        return Answer(201, self._raw(host), {"Location": location})

    def _create_host(self, call: Call) -> Answer:
        """201 with the whole record; a taken name, or an organization out of reach, is a 422.

        Attributes that the record has no place for are dropped, as the real server drops them.
        """
        given = call.body.get("host") if isinstance(call.body, dict) else None
        if not isinstance(given, dict) or not isinstance(given.get("name"), str):
            raise server_error()
        if self._named(given["name"].lower()):
            raise RefusedError(
                422,
                {
                    "error": {
                        "id": None,
                        "errors": {"name": ["has already been taken"]},
                        "full_messages": ["Name has already been taken"],
                    }
                },
            )
        for name, known in (
            ("organization_id", self._organizations(call.user)),
            ("location_id", self._locations(call.user)),
        ):
            if given.get(name) is not None and given[name] not in known:
                raise RefusedError(
                    422,
                    {
                        "error": {
                            "id": None,
                            "errors": {name: ["is invalid"]},
                            "full_messages": [f"{name.capitalize()} is invalid"],
                        }
                    },
                )
        parameters = {
            row["name"]: row["value"]
            if row.get("parameter_type", "string") == "string"
            else json.loads(row["value"])
            for row in given.get("host_parameters_attributes", ())
        }
        host = self.add(
            Host(
                given["name"],
                parameters=parameters,
                organization_id=given.get("organization_id"),
                location_id=given.get("location_id"),
                record={
                    **{key: value for key, value in given.items() if key in BLANK_RECORD},
                    "created_at": utc(),
                    "updated_at": utc(),
                },
            )
        )
        return Answer(
            201,
            {
                **self._whole(host, call),
                **self._parameters_of(host, call, ("parameters", "all_parameters")),
            },
        )

    def _list_hostgroups(self, call: Call) -> Answer:
        return self._list_taxonomies(call, self.hostgroups)

    def _show_owner(self, call: Call) -> Answer:
        """A user by number, as far as anybody asks for one here."""
        return _by_number(call, "user", self.owners)

    def _show_usergroup(self, call: Call) -> Answer:
        return _by_number(call, "usergroup", self.usergroups)

    def _entry(self, host: Host) -> dict[str, Any]:
        """A host as lists have it."""
        entry = {
            **BLANK_RECORD,
            "created_at": self.started,
            "updated_at": self.started,
            "certname": host.name,
            **{name: value for name, value in host.record.items() if name not in _NOT_LISTED},
            "organization_id": host.organization_id,
            "location_id": host.location_id,
            "organization_name": self.organizations.get(host.organization_id or 0),
            "location_name": self.locations.get(host.location_id or 0),
            "name": host.name,
            "id": host.id,
            "display_name": host.name,
            "uptime_seconds": None,
            "last_report": host.last_report,
            "reported_data": {**dict.fromkeys(REPORTED), **host.record.get("reported_data", {})},
        }
        if host.infrastructure:
            entry["infrastructure_facet"] = {
                "foreman_instance": False,
                "smart_proxy_id": None,
                **host.infrastructure,
            }
        if self.katello and host.subscription is not None:
            entry["subscription_facet_attributes"] = {
                "id": host.id,
                **BLANK_SUBSCRIPTION,
                **{
                    name: value
                    for name, value in host.subscription.items()
                    if name not in BLANK_REGISTRATION
                },
            }
        content = self.content_of(host)
        if content is not None:
            entry["content_facet_attributes"] = content
        return entry

    def login_of_owner(self, host: Host) -> Optional[str]:
        """The login of the user who owns it; None for a user group, or where that user is none of
        `users`.
        """
        owner, kind = (
            host.record.get(name, BLANK_RECORD[name]) for name in ("owner_id", "owner_type")
        )
        logins = dict(enumerate(self.users, 4))
        return logins.get(owner) if kind == "User" else None

    def content_of(self, host: Host) -> Optional[dict[str, Any]]:
        """What `content_facet_attributes` holds; None where there is none."""
        if not self.katello or (host.subscription is None and host.content is None):
            return None
        registered = (
            {}
            if host.subscription is None
            else {**REGISTERED_CONTENT, "uuid": host.subscription.get("uuid")}
        )
        content = {**BLANK_CONTENT, "id": host.id, **registered, **(host.content or {})}
        view, environment = content["content_view"], content["lifecycle_environment"]
        if view and environment:
            content["content_view_environments"] = [content_view_environment(view, environment)]
        return content

    def _whole(self, host: Host, call: Call) -> dict[str, Any]:
        """A host by itself: with what the caller may do; with its facts, all origins in one, where
        it has content.
        """
        interface = {**INTERFACE, "id": host.id, "name": host.name, "fqdn": host.name}
        whole = {
            **self._entry(host),
            "interfaces": [interface],
            "permissions": {name: call.user.may(name) for name in HOST_PERMISSIONS},
        }
        if "subscription_facet_attributes" in whole:
            whole["subscription_facet_attributes"].update(
                {**BLANK_REGISTRATION, **(host.subscription or {})}
            )
        if "content_facet_attributes" in whole:
            whole["facts"] = {row.name: row.value for row in fact_rows(host)}
            whole.update(
                (name, whole["content_facet_attributes"][name])
                for name in ("content_view", "lifecycle_environment")
            )
        if self.katello:
            whole["host_collections"] = host.record.get("host_collections", [])
        return whole

    def _parameters_of(self, host: Host, call: Call, wanted: Iterable[str]) -> dict[str, Any]:
        """The lists that are `wanted`; without view_params, and without a word of why, the global
        ones alone.
        """
        own = host.parameters if call.user.may("view_params") else {}
        levels = [("host", own), ("global", self.parameters)]
        if call.user.may("view_params"):
            levels[1:1] = [
                (
                    "host group",
                    self.hostgroup_parameters.get(host.record.get("hostgroup_id") or 0, {}),
                ),
                ("location", self.location_parameters.get(host.location_id or 0, {})),
                ("organization", self.organization_parameters.get(host.organization_id or 0, {})),
            ]
        merged: dict[str, dict[str, Any]] = {}
        for level, parameters in levels:  # the highest first
            for name, value in parameters.items():
                merged.setdefault(name, parameter_entry(name, value, level, self.started))
        lists = {
            "parameters": [merged[name] for name in own],
            "all_parameters": list(merged.values()),
        }
        return {name: rows for name, rows in lists.items() if name in wanted}

    def parameter_levels(self) -> Iterator[tuple[str, int, Parameters]]:
        """All parameters there are: level, id of the organization or host that has them, and they."""
        yield "global", 0, self.parameters
        for level, held in (
            ("organization", self.organization_parameters),
            ("location", self.location_parameters),
            ("host group", self.hostgroup_parameters),
        ):
            for holder, parameters in held.items():
                yield level, holder, parameters
        for host in self.hosts.values():
            yield "host", host.id, host.parameters

    def _raw(self, host: Host) -> dict[str, Any]:
        """A host as DELETE and uploads answer it: its row in the database, password hashes and all,
        times in ISO.
        """
        entry = {
            **host.record,
            **self._entry(host),
            **{name: host.record.get(name) for name in SECRETS},
        }
        raw = {name: entry.get(name) for name in RAW}
        raw.update(
            lookup_value_matcher=f"fqdn={host.name}", reported_data_attributes={"host_id": host.id}
        )
        for kind, names in RAW_FACETS.items():
            facet = entry.get(kind)
            if facet is not None:
                raw[kind] = {
                    "host_id": host.id,
                    **{
                        name: _iso(facet.get(name)) if name in _TIMES else facet.get(name)
                        for name in names
                    },
                }
        raw.update((name, _iso(raw[name])) for name in ("created_at", "updated_at", "last_report"))
        return raw

    # Facts

    def _list_facts(self, call: Call) -> Answer:
        """/fact_values and /hosts/:id/facts: the second only appends `host = :id` to the search."""
        host = call.args.get("id")
        search = call.first("search") + (f" host = {host}" if host else "")
        total = self._facts_in_sight(call, host, fresh=not search.strip())
        key, downwards = order_by(call.first("order") or "value", self._fact_fields)
        page = self.page(call, total, heed_all=False)
        rows = self._matching_facts(parse(search), call)
        if (
            page.number % 2 == 0
        ):  # no order among equals is promised: so equals get lost between pages
            rows.reverse()
        if page.number % 2 == 0 or call.first("order") != "host_id ASC":  # so they are already
            rows.sort(key=key, reverse=downwards)
        results: dict[str, dict[str, Optional[str]]] = {}
        shown = page.cut(rows)
        if len({row.host.id for row in shown}) == 1:
            _raise_fault(self.fact_faults, [shown[0].host])
        for row in shown:
            results.setdefault(row.host.name, {})[row.name] = row.value
        return listed(call, page, total, len(results) if search.strip() else total, results, search)

    def _facts_in_sight(self, call: Call, host: Optional[str], fresh: bool) -> int:
        """What the envelope calls `total`; measured: 0 for everybody who is no administrator."""
        if not call.user.admin:
            return 0
        if host:
            found = self._named(host) or self.hosts.get(leading_number(host))
            return sum(1 for _ in fact_rows(found)) if found else 0
        context = (call.organization, call.location)
        if fresh or context not in self._fact_totals:
            sight = self.sight(call)
            ghosts = self._ghost_hosts() if sight is None else []
            self._fact_totals[context] = sum(
                count_rows(host)
                for host in (*self.hosts.values(), *ghosts)
                if sight is None or sight(host)
            )
        return self._fact_totals[context]

    def _count_facts(self, host: Host, sign: int) -> None:
        """Keep the totals, which cost a look at every host, up with one that comes, changes or
        goes.
        """
        for organization, location in self._fact_totals:
            if organization in (None, host.organization_id) and location in (
                None,
                host.location_id,
            ):
                self._fact_totals[organization, location] += sign * count_rows(host)

    def _matching_facts(self, node: Node, call: Call) -> list[FactRow]:
        if not call.user.may("view_hosts"):
            return []  # measured: not a 403
        terms, rest = take(
            node, lambda term: term.field in ("host_id", "host") and Window.takes(term)
        )
        named, rest = take(
            rest,
            lambda term: term.field in ("fact", "name") and term.operator in (Mark.EQ, Mark.IN),
        )
        names = [frozenset(name.strip() for name in term.value.split(",")) for term in named]
        wanted = frozenset.intersection(*names) if names else None
        of_origin, rest = take(rest, lambda term: term.field == "origin")
        sight, test = self.sight(call), compile_search(rest, self._fact_fields)
        from_there = lru_cache(None)(
            compile_search(Group(Mark.AND, tuple(of_origin)), ORIGIN_FIELDS) or bool
        )
        hosts: Iterable[Host] = self._in_window(terms)
        if sight is None and self.ghosts:  # measured: only without any filter are they seen
            ghosts = [
                ghost
                for ghost in self._ghost_hosts()
                if Window(terms, self._ids_of_ghost).holds(ghost.id)
            ]
            hosts = sorted([*hosts, *ghosts], key=lambda host: host.id)
        return [
            row
            for host in hosts
            if sight is None or sight(host)
            for row in fact_rows(host, wanted, from_there)
            if test is None or test(row)
        ]

    def _ghost_hosts(self) -> list[Host]:
        """The ghosts as hosts, with ids that lie among the hosts' where they were there before the
        last of those.
        """
        for name in self.ghosts:
            if name not in self._ghost_ids:
                self._last_id += 1
                self._ghost_ids[name] = self._last_id
        return [Host(name, facts, id=self._ghost_ids[name]) for name, facts in self.ghosts.items()]

    def _ids_of_ghost(self, name: str) -> list[int]:
        return [self._ghost_ids[name]] if name in self._ghost_ids else []

    # Everything else

    def _show_status(self, call: Call) -> Answer:
        return Answer(200, {"result": "ok", "status": 200, "version": VERSION, "api_version": 2})

    def _show_ping(self, call: Call) -> Answer:
        return Answer(
            200, {"results": {"foreman": {"database": {"active": True, "duration_ms": "0"}}}}
        )

    def _show_katello_status(self, call: Call) -> Answer:
        return Answer(200, {"version": KATELLO_VERSION, "timeUTC": utc()})

    def _show_katello_ping(self, call: Call) -> Answer:
        """A 200 whatever is down (measured)."""
        names = (
            "candlepin",
            "candlepin_auth",
            "foreman_tasks",
            "katello_events",
            "candlepin_events",
            "pulp",
            "pulp_auth",
        )
        services = {name: {"status": "ok", "duration_ms": "0"} for name in names}
        if self.candlepin_down:
            services["candlepin"] = {
                "status": "FAIL",
                "message": (
                    "Failed to open TCP connection to localhost:23443 "
                    '(Connection refused - connect(2) for "localhost" port 23443)'
                ),
            }
            services["candlepin_auth"] = {"status": "FAIL", "message": CANDLEPIN_DOWN}
        return Answer(
            200, {"status": "FAIL" if self.candlepin_down else "ok", "services": services}
        )

    def _show_user(self, call: Call) -> Answer:
        user = call.user
        organizations = [
            taxonomy_entry(*item)
            for item in self.organizations.items()
            if item[0] in user.organizations
        ]
        locations = [
            taxonomy_entry(*item) for item in self.locations.items() if item[0] in user.locations
        ]
        return Answer(
            200,
            {
                "id": 4 + list(self.users).index(user.login),
                "login": user.login,
                "admin": user.admin,
                "effective_admin": user.admin,
                "disabled": False,
                "auth_source_name": "Internal",
                "timezone": None,
                "locale": None,
                "organizations": organizations,
                "locations": locations,
                "roles": [],
                "usergroups": [],
            },
        )

    def _list_permissions(self, call: Call) -> Answer:
        """All that the login may do, whatever page is asked for; an administrator all that is known
        here.
        """
        names = (
            sorted(PERMISSIONS) if call.user.permissions is None else sorted(call.user.permissions)
        )
        rows = [
            {"name": name, "id": number, "resource_type": PERMISSIONS.get(name)}
            for number, name in enumerate(sorted({*PERMISSIONS, *names}), 1)
            if name in names
        ]
        return listed(call, self.page(call, len(rows)), len(rows), len(rows), rows)

    def _list_organizations(self, call: Call) -> Answer:
        return self._list_taxonomies(call, self._organizations(call.user))

    def _list_locations(self, call: Call) -> Answer:
        return self._list_taxonomies(call, self._locations(call.user))

    def _list_taxonomies(self, call: Call, names: Mapping[int, str]) -> Answer:
        rows = [
            {
                **taxonomy_entry(*item),
                "ancestry": None,
                "parent_id": None,
                "parent_name": None,
                "created_at": self.started,
                "updated_at": self.started,
            }
            for item in names.items()
        ]
        key, downwards = order_by(call.first("order") or "title", TAXONOMY_FIELDS)
        test = compile_search(parse(call.first("search")), TAXONOMY_FIELDS)
        found = sorted(filter(test, rows) if test else rows, key=key, reverse=downwards)
        page = self.page(call, len(rows))
        return listed(call, page, len(rows), len(found), page.cut(found))

    def _list_settings(self, call: Call) -> Answer:
        """Measured: `total` is 0, and without a search `subtotal` too."""
        test = compile_search(parse(call.first("search")), SETTING_FIELDS)
        rows = [self._setting(name) for name in sorted(self.settings)]
        page = self.page(call, len(rows))
        found = page.cut([row for row in rows if test is None or test(row)])
        return listed(call, page, 0, len(found) if call.first("search") else 0, found)

    def _show_setting(self, call: Call) -> Answer:
        if call.args["name"] not in self.settings:
            raise DatabaseError("undefined method `name' for nil:NilClass")
        return Answer(200, self._setting(call.args["name"]))

    def _change_setting(self, call: Call) -> Answer:
        name, given = (
            call.args["name"],
            call.body.get("setting") if isinstance(call.body, dict) else None,
        )
        if name not in self.settings or not isinstance(given, dict):
            raise server_error()
        value, switch = given.get("value"), isinstance(self.settings[name], bool)
        if value is None:
            raise RefusedError(422, {"error": {"message": "No setting value provided."}})
        if switch and str(value).lower() not in ("true", "false"):
            raise DatabaseError("malformed format string - %(")
        self.settings[name] = str(value).lower() == "true" if switch else value
        return Answer(200, self._setting(name))

    def _setting(self, name: str) -> dict[str, Any]:
        value = self.settings[name]
        kind = {bool: "boolean", int: "integer", list: "array"}.get(type(value), "string")
        title = name.replace("_", " ").capitalize()
        return {
            "description": title,
            "settings_type": kind,
            "default": False if kind == "boolean" else value,
            "updated_at": None,
            "id": name,
            "name": name,
            "full_name": title,
            "value": value,
            "category": "provisioning",
            "category_name": "Provisioning",
            "readonly": False,
            "config_file": None,
            "encrypted": False,
            "select_values": None,
        }

    def page(self, call: Call, total: int, heed_all: bool = True) -> Page:
        """Which rows are asked for.  Measured: per_page=all gives all hosts, but of facts none;
        per_page=abc is 0.
        """
        wanted, default = call.first("per_page"), int(str(self.settings["entries_per_page"]))
        if wanted == "all" and heed_all:
            return Page(max(1, leading_number(call.first("page"))), total, 0, total)
        given = call.request.query.get("page", ["1"])[0]
        if not re.fullmatch(r"\s*[+-]?\d+\s*", given):
            raise DatabaseError(f'invalid value for Integer(): "{given}"')
        number = int(given)
        if number < 1:
            raise DatabaseError(f"invalid page: {number}")
        limit = leading_number(wanted) if "per_page" in call.request.query else default
        if limit < 0:
            raise DatabaseError(
                "PG::InvalidRowCountInLimitClause: ERROR:  LIMIT must not be negative\n"
            )
        shown = total if wanted == "all" else limit if wanted else default
        return Page(number, shown, (number - 1) * limit, limit)


# What is refused

_PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
_NOBODY = User("", "", permissions=frozenset(), organizations=frozenset(), locations=frozenset())


_TIMES = ("last_checkin", "registered_at")
_NOT_LISTED = (*SECRETS, "host_collections")


def _iso(time: Optional[str]) -> Optional[str]:
    return re.sub(r"^(\S+) (\S+) UTC$", r"\1T\2.000Z", time or "") or None


def _by_number(call: Call, kind: str, names: Mapping[int, str]) -> Answer:
    number = leading_number(call.args["id"])
    if number not in names:
        raise not_found(f"Resource {kind} not found by id '{call.args['id']}'")
    return Answer(200, {"id": number, "name": names[number]})


def _raise_fault(faults: Mapping[int, Answer], hosts: Iterable[Host]) -> None:
    """One record that cannot be rendered spoils the whole answer."""
    for host in hosts:
        if host.id in faults:
            answer = faults[host.id]
            raise RefusedError(answer.status, answer.body, answer.headers)


def _unauthorized(message: str) -> RefusedError:
    return RefusedError(401, {"error": {"message": message}})


def _check_media_type(request: Request) -> None:
    given = request.headers.get("Content-Type") or ""
    if given.partition(";")[0].strip() != "application/json":
        raise RefusedError(
            415,
            {
                "error": {
                    "message": (
                        f"Media type in 'Content-Type: {given}' is unsupported in API v2 for POST and PUT requests. "
                        "Please use 'Content-Type: application/json'."
                    )
                }
            },
        )


# How a request is read


def _exclusion(patterns: Any) -> "re.Pattern[str]":
    """The facts that are not kept: `dmi*` takes dmi::system::uuid as well (read in Foreman's
    source).
    """
    names = "|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in patterns)
    return re.compile(f"(.*::|.*_)?({names})(::.*)?" if names else "(?!)", re.DOTALL)


def _basic(credentials: str) -> tuple[str, str]:
    """Login and password of an Authorization header; empty where it is no Basic one."""
    scheme, _, encoded = credentials.partition(" ")
    try:
        plain = base64.b64decode(encoded) if scheme == "Basic" else b""
    except ValueError:
        plain = b""
    login, _, password = plain.decode(errors="replace").partition(":")
    return login, password


def _json_body(request: Request) -> Any:
    if not request.body or "json" not in (request.headers.get("Content-Type") or ""):
        return None
    try:
        return request.json()
    except ValueError:
        text = request.body.decode(errors="replace")
        raise RefusedError(
            400,
            {
                "status": 400,
                "error": (
                    f"There was a problem in the JSON you submitted: 859: unexpected token at '{text}'"
                ),
            },
        ) from None


def _chosen(call: Call, noun: str, known: Mapping[int, str]) -> Optional[int]:
    wanted = call.first(f"{noun}_id") or str(call.given(f"{noun}_id") or "")
    if not wanted:
        return None
    number = leading_number(wanted) if re.match(r"\d+(-|$)", wanted) else 0
    for key, name in known.items():
        if wanted == name or number == key:
            return key
    raise RefusedError(404, {"message": f"{noun.capitalize()} with id {wanted} not found"})


def _info(organization: str = "; ANY", location: str = "; ANY") -> dict[str, str]:
    return {
        "Foreman_version": VERSION,
        "Foreman_api_version": "2",
        "Foreman_current_organization": organization,
        "Foreman_current_location": location,
    }


def _context(key: Optional[int], names: Mapping[int, str]) -> str:
    return f"{key}; {names[key]}" if key else "; ANY"


class _Route(NamedTuple):
    """`permission`: what a login needs; "" any login will do, None: not even that."""

    method: str
    path: "re.Pattern[str]"
    permission: Optional[str]
    handler: Callable[[Satellite, Call], Answer]


def _on(
    method: str, path: str, permission: Optional[str], handler: Callable[[Satellite, Call], Answer]
) -> _Route:
    """/api and /api/v2 are one; .json at the end is a format, but after an :id a part of the name
    (measured).
    """
    pattern = re.sub(r":(\w+)", r"(?P<\1>[^/]+)", path.replace("/api/", "/api(?:/v2)?/", 1))
    end = "/?" if pattern.endswith("+)") else r"(?:\.json|/)?"
    return _Route(method, re.compile(pattern + end), permission, handler)


def _of_jobs(handler: JobHandler) -> Callable[[Satellite, Call], Answer]:
    return lambda satellite, call: handler(satellite.jobs, call)


_ROUTES = (
    _on("GET", "/api/status", "", Satellite._show_status),
    _on("GET", "/api/ping", None, Satellite._show_ping),
    _on("GET", "/katello/api/status", None, Satellite._show_katello_status),
    _on("GET", "/katello/api/ping", None, Satellite._show_katello_ping),
    _on("GET", "/api/current_user", "", Satellite._show_user),
    _on("GET", "/api/organizations", "view_organizations", Satellite._list_organizations),
    _on("GET", "/api/locations", "view_locations", Satellite._list_locations),
    _on("GET", "/api/settings", "view_settings", Satellite._list_settings),
    _on("GET", "/api/settings/:name", "view_settings", Satellite._show_setting),
    _on("PUT", "/api/settings/:name", "edit_settings", Satellite._change_setting),
    _on("DELETE", "/api/hosts/bulk", "destroy_hosts", Satellite._delete_bulk),
    _on("PUT", "/api/hosts/bulk/destroy", "destroy_hosts", Satellite._delete_bulk),
    _on("GET", "/api/hostgroups", "view_hostgroups", Satellite._list_hostgroups),
    _on("GET", "/api/users/:id", "view_users", Satellite._show_owner),
    _on("GET", "/api/usergroups/:id", "view_usergroups", Satellite._show_usergroup),
    _on("GET", "/api/config_reports", "view_config_reports", reports.list_all),
    _on("GET", "/api/hosts/:id/config_reports/last", "view_config_reports", reports.show_last),
    _on("POST", "/api/hosts", "create_hosts", Satellite._create_host),
    _on("POST", "/api/hosts/facts", "upload_facts", Satellite._upload_facts),
    _on("GET", "/api/hosts", "view_hosts", Satellite._list_hosts),
    _on("GET", "/api/hosts/:id", "view_hosts", Satellite._show_host),
    _on("DELETE", "/api/hosts/:id", "destroy_hosts", Satellite._delete_host),
    _on("PUT", "/api/hosts/:id/disassociate", "edit_hosts", Satellite._disassociate_host),
    _on("GET", "/api/hosts/:id/facts", "view_facts", Satellite._list_facts),
    _on("GET", "/api/fact_values", "view_facts", Satellite._list_facts),
    _on("GET", "/api/permissions/current_permissions", "", Satellite._list_permissions),
    *(
        _on(method, path, permission, _of_jobs(handler))
        for method, path, permission, handler in JOB_ROUTES
    ),
)
