"""Nova's os-compute API 2.1 in memory: version documents, lists of servers, single servers.

Status, body, headers and the order of the checks are those of nova 34.0.0 (microversions 2.1 to
2.104) over SQLite, measured; over MariaDB a UUID in UPPER case is found too.  What a client may ask
of Nova but this double does not know is a 501, never a guess.
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
    refuse,
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
from .server import Answer, Request

ROUTES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"/v2\.1/?", "_document"),
        (r"/v2\.1/servers", "_index"),
        (r"/v2\.1/servers/detail", "_detail"),
        (r"/v2\.1/servers/([^/]+)", "_show"),
    )
)
PROJECT_RIGHTS = frozenset(("index", "detail", "show"))
PROJECT_ROLES = frozenset(
    ("reader", "member", "manager")
)  # their right to show ends at their project


class Nova:
    """The compute service of every region at URL/compute/REGION/v2.1; its state is meant to be
    changed by tests.
    """

    def __init__(self, regions: Sequence[str]) -> None:
        self.instances: dict[str, dict[str, Instance]] = {
            region: {} for region in regions
        }  # by region and UUID
        self.down_cells: set[str] = set()  # names of cells whose database does not answer
        self.skip_down_cells = True  # [api]list_records_by_skipping_down_cells
        self.max_limit = 1000  # [api]max_limit
        self.policy: dict[str, set[str]] = {
            role: set(PROJECT_RIGHTS) for role in PROJECT_ROLES
        }  # admin may all
        self._orders: dict[tuple[str, SortSpec], Order] = {}
        self._lock = threading.RLock()

    def add(self, region: str, instance: Instance) -> Instance:
        """Put a row in, or in place of the one with its UUID; returns it."""
        if instance.status not in STATES or instance.status == "DELETED":
            raise ValueError(
                f"no status of a row: {instance.status} (a deleted instance is one that has `terminated`)"
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
        """Take the row and its mapping out, as `nova-manage db archive_deleted_rows --purge` does."""
        with self._lock:
            del self.instances[region][uuid]
            self._orders.clear()

    def compute(self, request: Request, caller: Optional[Caller]) -> Answer:
        """Answer a request below /compute; `caller` is whose token it carries, None: nobody's."""
        path = re.fullmatch(r"/compute/([^/]+)(.*)", unquote(request.path), re.DOTALL)
        if path is None or path[1] not in self.instances:
            return no_such_page()
        region, rest = path.groups()
        site = f"{base_url(request)}/compute/{region}"
        if rest in ("", "/"):
            return versions(site)
        name, found = next(
            (
                (name, found)
                for pattern, name in ROUTES
                for found in [pattern.fullmatch(rest)]
                if found
            ),
            ("", None),
        )
        if caller is None and name != "_document":
            return unauthorized(base_url(request))
        if found is None or (request.method == "HEAD" and name != "_document"):
            return no_such_page()
        version = None
        try:
            version = microversion(request.headers)
            check_range(version)
            if request.method not in ("GET", "HEAD"):
                refuse(f"{request.method} {rest}")
            call = Call(region, site, caller or Caller(None, frozenset()), version, request.query)
            return reply(200, getattr(self, name)(call, *found.groups()), version)
        except Fault as fault:
            return fault_reply(fault, version)

    def _document(self, call: Call) -> dict[str, Any]:
        return {"version": version_document(call.site)}

    def _index(self, call: Call) -> dict[str, Any]:
        return self._list(call, "index")

    def _detail(self, call: Call) -> dict[str, Any]:
        return self._list(call, "detail")

    def _show(self, call: Call, uuid: str) -> dict[str, Any]:
        row = self.instances[call.region].get(uuid)
        if row is None or not row.mapped:
            raise no_instance(uuid)
        if row.cell in self.down_cells:
            return {"server": self._show_unseen(row, call)}
        if call.caller.project is None:
            raise broken("nova.exception.NovaException")
        # The cell's database is read for the caller's project alone, whatever the policy; a build
        # request is not.
        is_visible = (
            project_id(row.project) == call.caller.project or call.caller.is_admin or not row.cell
        )
        if row.terminated is not None or not is_visible:
            raise no_instance(uuid)
        self._check_show(row, call.caller)
        return {"server": full(row, call, "show")}

    def _show_unseen(self, row: Instance, call: Call) -> dict[str, Any]:
        """The server whose cell is down: the truth (500) up to 2.68, from 2.69 a 200 or a false
        404.
        """
        if call.version < (2, 69):
            raise broken("nova.exception.NovaException")
        if row.queued_for_delete:
            raise no_instance(row.uuid)
        self._check_show(row, call.caller)
        if call.version >= (2, 98):  # it wants the image's properties, and those are in the cell
            raise broken("oslo_db.exception.DBConnectionError")
        return stub(row, call, "show")

    def _may(self, caller: Caller, right: str) -> bool:
        return caller.is_admin or any(right in self.policy.get(role, ()) for role in caller.roles)

    def _check(self, caller: Caller, right: str) -> None:
        if not self._may(caller, right):
            raise Fault(
                403, f"Policy doesn't allow os_compute_api:servers:{right} to be performed."
            )

    def _check_show(self, row: Instance, caller: Caller) -> None:
        is_own = project_id(row.project) == caller.project
        self._check(
            caller if is_own else caller._replace(roles=caller.roles - PROJECT_ROLES), "show"
        )

    def _list(self, call: Call, right: str) -> dict[str, Any]:
        query = checked(call.query, call.version)
        self._check(call.caller, right)
        found = filters(query, call.version, self._may(call.caller, "allow_all_filters"))
        search = self._search(call, query, found, right)
        if search is None:
            return {"servers": []}
        limit = min(int(query.get("limit", [str(self.max_limit)])[-1]), self.max_limit)
        order = self._order(call.region, sort_spec(query, call.caller))
        with_stubs = (
            call.version >= (2, 69) and not PAGING & set(query) and set(found) <= {"all_tenants"}
        )
        page = self._page(search, order, limit, query.get("marker", [""])[-1], with_stubs)
        view = full if right == "detail" else brief
        body: dict[str, Any] = {
            "servers": [
                (stub if row.cell in self.down_cells else view)(row, call, right) for row in page
            ]
        }
        if limit and limit == len(page):
            body["servers_links"] = [
                {"rel": "next", "href": following(call, query, right, page[-1].uuid)}
            ]
        return body

    def _search(
        self, call: Call, query: Query, found: dict[str, str], right: str
    ) -> Optional[Search]:
        """None: by a status that does not exist, which finds nothing."""
        search = Search(
            uuid=found.get("uuid"),
            name=found.get("name", found.get("display_name")),
            project=found.get("tenant_id", found.get("project_id")),
        )
        if not take_state(search, query, found, call.version):
            return None
        take_times(search, found)
        take_deletion(search, found, call.caller)
        if wants_all_tenants(found):
            self._check(call.caller, f"{right}:get_all_tenants")
        else:
            search.project = call.caller.project
        return search

    def _order(self, region: str, spec: SortSpec) -> Order:
        """The region's rows in that order: sorted once, and again after one came or went."""
        order = self._orders.get((region, spec))
        if order is None or not order.is_of(self.instances[region]):
            order = self._orders[region, spec] = Order.of(self.instances[region], spec)
        return order

    def _page(
        self, search: Search, order: Order, limit: int, marker: str, with_stubs: bool
    ) -> list[Instance]:
        """One page.  Build requests come before all else whatever the order, and stubs before even
        them.
        """
        builds = [] if search.deleted else [row for row in order.builds if search.fits(row)]
        start = 0
        if marker:
            passed = next((n for n, row in enumerate(builds, 1) if row.uuid == marker), None)
            start = self._after(marker, order) if passed is None else 0
            builds = [] if passed is None else builds[passed:]
        page = builds[:limit]
        room = limit - len(page)
        if room and self.down_cells & order.cells and not (self.skip_down_cells or with_stubs):
            raise broken("nova.exception.NovaException")
        page += islice(self._found(search, order, start), room)
        if with_stubs:
            page = list(islice(self._unseen(search, order), limit - len(page))) + page
        return page

    def _found(self, search: Search, order: Order, start: int) -> Iterator[Instance]:
        places = range(start, len(order.rows))
        if search.uuid is not None:
            place = order.position.get(search.uuid, -1)
            places = range(place, place + 1) if place >= start else range(0)
        rows = (order.rows[place] for place in places)
        return (row for row in rows if row.cell not in self.down_cells and search.finds(row))

    def _unseen(self, search: Search, order: Order) -> Iterator[Instance]:
        """The rows of down cells, of which only the mapping is known."""
        return (
            row
            for row in order.table.values()
            if row.cell in self.down_cells
            and row.mapped
            and not row.queued_for_delete
            and search.project in (None, project_id(row.project))
        )

    def _after(self, marker: str, order: Order) -> int:
        """The place after the marker's, which may be a deleted row."""
        row = order.table.get(marker)
        if row is None or not row.mapped or not row.cell:
            raise Fault(400, f"marker [{marker}] not found")
        if row.cell in self.down_cells:
            raise broken("oslo_db.exception.DBConnectionError")
        return order.position[marker] + 1


def following(call: Call, query: Query, right: str, last: str) -> str:
    """The address of the next page: the parameters sorted, each once."""
    path = "/v2.1/servers/detail" if right == "detail" else "/v2.1/servers"
    pairs = dict(sorted((name, value) for name, values in query.items() for value in values))
    return f"{call.site}{path}?{urlencode({**pairs, 'marker': last})}"


def no_instance(uuid: str) -> Fault:
    """The 404 that truly means: this server is not there for this caller."""
    return Fault(404, f"Instance {uuid} could not be found.")


def broken(exception: str) -> Fault:
    """The 500 of an exception that the API did not expect; the text is the operator's, this is
    nova's own.
    """
    return Fault(
        500, f"Unexpected API Error. Please contact the administrator\n<class '{exception}'>"
    )
