"""Nova's os-compute API 2.1 in memory: version documents, lists of servers, single servers.

Status, body, headers and the order of the checks are those of nova 34.0.0 (microversions 2.1 to
2.104) over SQLite (measured); over MariaDB a UUID in upper case is found too. What Nova has but
this double does not is an UnknownRequestError, never a guess.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Optional
from urllib.parse import unquote, urlencode

from .instances import STATES, Instance, Order, Search, SortSpec
from .keystone import Caller, base_url, project_id
from .nova_query import (
    PAGING,
    Call,
    Fault,
    Query,
    check_range,
    checked,
    filters,
    microversion,
    sort_spec,
    take_deletion,
    take_state,
    take_times,
    wants_all_tenants,
)
from .nova_views import (
    brief,
    fault_reply,
    full,
    no_such_page,
    reply,
    stub,
    unauthorized,
    version_document,
    versions,
)
from .server import Answer, Request, UnknownRequestError

PROJECT_RIGHTS = frozenset(("index", "detail", "show"))
# Their right to show ends at their project.
PROJECT_ROLES = frozenset(("reader", "member", "manager"))
NOVA_EXCEPTION = "nova.exception.NovaException"
CONNECTION_ERROR = "oslo_db.exception.DBConnectionError"
# What else Nova's API has.
_MISSING = re.compile(
    r"/v2\.1/(flavors|images|limits|extensions|os-[^/]+)(/.*)?"
    r"|/v2\.1/servers/[^/]+/(action|diagnostics|ips|metadata|migrations|tags|topology)(/.*)?"
    r"|/v2\.1/servers/[^/]+/os-[^/]+(/.*)?"
)


class Nova:
    """The compute service of every region at URL/compute/REGION/v2.1; tests change its state.

    `instances`: by region and UUID.
    `down_cells`: the names of cells whose database does not answer.
    `skip_down_cells`: [api]list_records_by_skipping_down_cells; `max_limit`: [api]max_limit.
    `policy`: what each role may do; an admin may do everything.
    """

    def __init__(self, regions: Sequence[str]) -> None:
        self.instances: dict[str, dict[str, Instance]] = {
            region: {} for region in regions
        }
        self.down_cells: set[str] = set()
        self.skip_down_cells = True
        self.max_limit = 1000
        self.policy: dict[str, set[str]] = {
            role: set(PROJECT_RIGHTS) for role in PROJECT_ROLES
        }
        self._orders: dict[tuple[str, SortSpec], Order] = {}
        self._lock = threading.RLock()

    def add(self, region: str, instance: Instance) -> Instance:
        """Put a row in, or replace the one with its UUID; returns it."""
        if instance.status not in STATES or instance.status == "DELETED":
            raise ValueError(
                f"not a status of a row: {instance.status} "
                "(a deleted instance is one with `terminated`)"
            )
        with self._lock:
            self.instances[region][instance.uuid] = instance
            self._orders.clear()
        return instance

    def terminate(self, region: str, uuid: str, when: float) -> None:
        """Make the row a tombstone, as a delete at `when` (epoch seconds) does."""
        with self._lock:
            row = self.instances[region][uuid]
            row.terminated = row.updated = when
            self._orders.clear()

    def archive(self, region: str, uuid: str) -> None:
        """Remove a row and its mapping, as `nova-manage db archive_deleted_rows --purge` does."""
        with self._lock:
            del self.instances[region][uuid]
            self._orders.clear()

    def compute(self, request: Request, caller: Optional[Caller]) -> Answer:
        """Answer a request below /compute; `caller`: whose token it has, None if nobody's."""
        path = re.fullmatch(r"/compute/([^/]+)(.*)", unquote(request.path), re.DOTALL)
        if path is None or path[1] not in self.instances:
            return no_such_page()
        region, resource = path.groups()
        site = f"{base_url(request)}/compute/{region}"
        if resource in ("", "/"):
            return versions(site)
        is_document = resource in ("/v2.1", "/v2.1/")
        if caller is None and not is_document:
            return unauthorized(base_url(request))
        server = re.fullmatch(r"/v2\.1/servers/([^/]+)", resource)
        if _MISSING.fullmatch(resource):
            raise UnknownRequestError(f"{request.method} {resource}")
        if not (is_document or server or resource == "/v2.1/servers"):
            return no_such_page()
        if request.method == "HEAD" and not is_document:
            return no_such_page()
        version = None
        try:
            version = microversion(request.headers)
            check_range(version)
            if request.method not in ("GET", "HEAD"):
                raise UnknownRequestError(f"{request.method} {resource}")
            known_caller = caller or Caller(None, frozenset())
            call = Call(region, site, known_caller, version, request.query)
            return reply(200, self._body(call, resource, server), version)
        except Fault as fault:
            return fault_reply(fault, version)

    def _body(
        self, call: Call, resource: str, server: "Optional[re.Match[str]]"
    ) -> dict[str, Any]:
        """The body of an answer; `server` matches the path of a single server."""
        if resource == "/v2.1/servers":
            return self._list(call, "index")
        if resource == "/v2.1/servers/detail":
            return self._list(call, "detail")
        if server is None:
            return {"version": version_document(call.site)}
        if call.query:
            raise UnknownRequestError(
                f"parameters of one server: {', '.join(call.query)}"
            )
        return self._show(call, server[1])

    def _show(self, call: Call, uuid: str) -> dict[str, Any]:
        row = self.instances[call.region].get(uuid)
        if row is None or not row.mapped:
            raise no_instance(uuid)
        if row.cell in self.down_cells:
            return {"server": self._show_unseen(row, call)}
        if call.caller.project is None:
            raise broken(NOVA_EXCEPTION)
        # Whatever the policy, the cell's database is read for the caller's project alone; a build
        # request is not.
        is_own = project_id(row.project) == call.caller.project
        is_visible = is_own or call.caller.is_admin or not row.cell
        if row.terminated is not None or not is_visible:
            raise no_instance(uuid)
        self._check_show(row, call.caller)
        return {"server": full(row, call, "show")}

    def _show_unseen(self, row: Instance, call: Call) -> dict[str, Any]:
        """A server whose cell is down: a 500 up to 2.68, from 2.69 a 200 or a false 404."""
        if call.version < (2, 69):
            raise broken(NOVA_EXCEPTION)
        if row.queued_for_delete:
            raise no_instance(row.uuid)
        self._check_show(row, call.caller)
        if call.version >= (
            2,
            98,
        ):  # it needs the image's properties, which are in the cell
            raise broken(CONNECTION_ERROR)
        return stub(row, call, "show")

    def _may(self, caller: Caller, right: str) -> bool:
        return caller.is_admin or any(
            right in self.policy.get(role, ()) for role in caller.roles
        )

    def _check(self, caller: Caller, right: str) -> None:
        if self._may(caller, right):
            return
        raise Fault(
            403, f"Policy doesn't allow os_compute_api:servers:{right} to be performed."
        )

    def _check_show(self, row: Instance, caller: Caller) -> None:
        if project_id(row.project) != caller.project:
            caller = caller._replace(roles=caller.roles - PROJECT_ROLES)
        self._check(caller, "show")

    def _list(self, call: Call, right: str) -> dict[str, Any]:
        query = checked(call.query, call.version)
        self._check(call.caller, right)
        given = filters(
            query, call.version, self._may(call.caller, "allow_all_filters")
        )
        search = self._search(call, query, given, right)
        if search is None:
            return {"servers": []}
        limit = self.max_limit
        if "limit" in query:
            limit = min(int(query["limit"][-1]), self.max_limit)
        order = self._order(call.region, sort_spec(query, call.caller))
        is_plain = not PAGING & set(query) and set(given) <= {"all_tenants"}
        with_stubs = call.version >= (2, 69) and is_plain
        page = self._page(
            search, order, limit, query.get("marker", [""])[-1], with_stubs
        )
        body: dict[str, Any] = {
            "servers": [self._view(row, call, right) for row in page]
        }
        if limit and limit == len(page):
            href = following(call, query, right, page[-1].uuid)
            body["servers_links"] = [{"rel": "next", "href": href}]
        return body

    def _view(self, row: Instance, call: Call, right: str) -> dict[str, Any]:
        if row.cell in self.down_cells:
            return stub(row, call, right)
        return full(row, call, right) if right == "detail" else brief(row, call)

    def _search(
        self, call: Call, query: Query, given: dict[str, str], right: str
    ) -> Optional[Search]:
        """What the filters ask for; None for a status that does not exist: it finds nothing."""
        search = Search(
            uuid=given.get("uuid"),
            name=given.get("name", given.get("display_name")),
            project=given.get("tenant_id", given.get("project_id")),
        )
        if not take_state(search, query, given, call.version):
            return None
        take_times(search, given)
        take_deletion(search, given, call.caller)
        if wants_all_tenants(given):
            self._check(call.caller, f"{right}:get_all_tenants")
        else:
            search.project = call.caller.project
        return search

    def _order(self, region: str, spec: SortSpec) -> Order:
        """The rows of a region in an order; sorted again only after a row came or went."""
        order = self._orders.get((region, spec))
        if order is None or not order.is_of(self.instances[region]):
            order = self._orders[region, spec] = Order.of(self.instances[region], spec)
        return order

    def _page(
        self, search: Search, order: Order, limit: int, marker: str, with_stubs: bool
    ) -> list[Instance]:
        """One page.

        Build requests come first whatever the order, and stubs come even before them.
        """
        builds = self._builds_after(marker, search, order)
        start = 0
        if marker and builds is None:
            start = self._after(marker, order)
        page = (builds or [])[:limit]
        room = limit - len(page)
        fails_on_down_cell = not (self.skip_down_cells or with_stubs)
        if room and self.down_cells & order.cells and fails_on_down_cell:
            raise broken(NOVA_EXCEPTION)
        page += islice(self._rows(search, order, start), room)
        if with_stubs:
            page = [*islice(self._unseen(search, order), limit - len(page)), *page]
        return page

    def _builds_after(
        self, marker: str, search: Search, order: Order
    ) -> Optional[list[Instance]]:
        """The build requests after the marker; None if the marker is not one of them."""
        builds = (
            [] if search.deleted else [row for row in order.builds if search.fits(row)]
        )
        if not marker:
            return builds
        for place, row in enumerate(builds):
            if row.uuid == marker:
                return builds[place + 1 :]
        return None

    def _rows(self, search: Search, order: Order, start: int) -> Iterator[Instance]:
        """The rows of cells that a search finds, from a position on."""
        places = range(start, len(order.rows))
        if search.uuid is not None:
            place = order.position.get(search.uuid, -1)
            places = range(place, place + 1) if place >= start else range(0)
        for place in places:
            row = order.rows[place]
            if row.cell not in self.down_cells and search.finds(row):
                yield row

    def _unseen(self, search: Search, order: Order) -> Iterator[Instance]:
        """The rows of down cells, of which only the mapping is known."""
        for row in order.table.values():
            is_known = row.mapped and not row.queued_for_delete
            is_in_scope = search.project in (None, project_id(row.project))
            if row.cell in self.down_cells and is_known and is_in_scope:
                yield row

    def _after(self, marker: str, order: Order) -> int:
        """The position after the marker, which can be a deleted row."""
        row = order.table.get(marker)
        if row is None or not row.mapped or not row.cell:
            raise Fault(400, f"marker [{marker}] not found")
        if row.cell in self.down_cells:
            raise broken(CONNECTION_ERROR)
        return order.position[marker] + 1


def following(call: Call, query: Query, right: str, last: str) -> str:
    """The address of the next page: each parameter once (its greatest value), sorted by name."""
    path = "/v2.1/servers/detail" if right == "detail" else "/v2.1/servers"
    parameters = {name: max(query[name]) for name in sorted(query)}
    return f"{call.site}{path}?{urlencode({**parameters, 'marker': last})}"


def no_instance(uuid: str) -> Fault:
    """The 404 that means: this server does not exist for this caller."""
    return Fault(404, f"Instance {uuid} could not be found.")


def broken(exception: str) -> Fault:
    """The 500 of an exception that the API did not expect (operators can change the text)."""
    return Fault(
        500,
        f"Unexpected API Error. Please contact the administrator\n<class '{exception}'>",
    )
