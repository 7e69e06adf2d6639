"""The facts of the Satellite double: GET /fact_values."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Optional

from .calls import Call, listed
from .fields import ORIGIN_FIELDS
from .hosts import raise_fault
from .records import FactRow, Host, any_origin, count_rows, fact_rows
from .search import Window, compile_search, order_by
from .search_parser import Group, Mark, Node, Term, parse, take
from .server import Answer

if TYPE_CHECKING:
    from .satellite import Satellite

# Ids of organization and location; None: any.
Place = tuple[Optional[int], Optional[int]]


class FactTotals:
    """How many rows of facts each place has; kept, because counting looks at all hosts."""

    def __init__(self) -> None:
        self._totals: dict[Place, int] = {}

    def get(self, place: Place) -> Optional[int]:
        """The number of rows of a place, if it was counted before."""
        return self._totals.get(place)

    def put(self, place: Place, total: int) -> None:
        """Keep the number of rows of a place."""
        self._totals[place] = total

    def change(self, host: Host, sign: int) -> None:
        """A host has come (+1) or gone (-1)."""
        for organization, location in self._totals:
            is_in_organization = organization in (None, host.organization_id)
            is_in_location = location in (None, host.location_id)
            if is_in_organization and is_in_location:
                self._totals[organization, location] += sign * count_rows(host)


def list_facts(satellite: "Satellite", call: Call) -> Answer:
    """GET /fact_values.

    Every other page is sorted from reversed rows: Foreman promises no order among equals, so
    rows of equal value get lost between pages.
    """
    search = call.first("search")
    total = _total(satellite, call, is_fresh=not search.strip())
    order = order_by(call.first("order") or "value", satellite.fact_fields)
    page = satellite.page(call, total, all_is_known=False)
    rows = _matching_rows(satellite, call, parse(search))
    if page.number % 2 == 0:
        rows.reverse()
    if (
        page.number % 2 == 0 or call.first("order") != "host_id ASC"
    ):  # they have this order already
        order.sort(rows)
    shown = page.cut(rows)
    if len({row.host.id for row in shown}) == 1:
        raise_fault(satellite.fact_faults, [shown[0].host])
    results: dict[str, dict[str, Optional[str]]] = {}
    for row in shown:
        results.setdefault(row.host.name, {})[row.name] = row.value
    subtotal = len(results) if search.strip() else total
    return listed(call, page, total, subtotal, results, search)


def _total(satellite: "Satellite", call: Call, is_fresh: bool) -> int:
    """The number of visible rows; measured: 0 for everybody who is not an administrator.

    `is_fresh`: count again, because a test may have changed the facts of a host.
    """
    if not call.user.admin:
        return 0
    place = (call.organization, call.location)
    total = satellite.fact_totals.get(place)
    if total is None or is_fresh:
        hosts = satellite.visible_hosts(call)
        if satellite.sight(call) is None:
            hosts += satellite.ghost_hosts()
        total = sum(count_rows(host) for host in hosts)
        satellite.fact_totals.put(place, total)
    return total


def _matching_rows(satellite: "Satellite", call: Call, node: Node) -> list[FactRow]:
    """The rows that a search finds, by ascending host id."""
    if not call.user.may("view_hosts"):
        return []  # measured: not a 403
    window, node = take(node, _is_about_hosts)
    name_terms, node = take(node, _is_about_names)
    origin_terms, node = take(node, lambda term: term.field == "origin")
    names = _wanted_names(name_terms)
    is_wanted_origin = _origin_test(origin_terms)
    test = compile_search(node, satellite.fact_fields)
    rows: list[FactRow] = []
    for host in _hosts_with_facts(satellite, call, window):
        of_host = fact_rows(host, names, is_wanted_origin)
        rows += of_host if test is None else filter(test, of_host)
    return rows


def _is_about_hosts(term: Term) -> bool:
    return term.field in ("host_id", "host") and Window.takes(term)


def _is_about_names(term: Term) -> bool:
    return term.field in ("fact", "name") and term.operator in (Mark.EQ, Mark.IN)


def _wanted_names(terms: Iterable[Term]) -> Optional[frozenset[str]]:
    """The names that all of the terms allow; None for all names."""
    wanted: Optional[frozenset[str]] = None
    for term in terms:
        names = frozenset(name.strip() for name in term.value.split(","))
        wanted = names if wanted is None else wanted & names
    return wanted


def _origin_test(terms: Iterable[Term]) -> Callable[[str], bool]:
    test = compile_search(Group(Mark.AND, tuple(terms)), ORIGIN_FIELDS)
    return any_origin if test is None else lru_cache(None)(test)


def _hosts_with_facts(
    satellite: "Satellite", call: Call, window: list[Term]
) -> list[Host]:
    """The visible hosts of a window, by ascending id.

    Measured: facts without a host are visible only to a login without any filter.
    """
    hosts = satellite.hosts_in_window(window)
    sight = satellite.sight(call)
    if sight is not None:
        return [host for host in hosts if sight(host)]
    if not satellite.ghosts:
        return hosts
    allowed = Window(window, satellite.ids_of_ghost)
    hosts += [ghost for ghost in satellite.ghost_hosts() if allowed.holds(ghost.id)]
    return sorted(hosts, key=lambda host: host.id)
