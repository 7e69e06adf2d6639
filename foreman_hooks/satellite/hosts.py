"""Which hosts there are: how many, the highest id, their names; and how to create a host.

Hosts are listed in windows of ids (`low` < id <= `high`), because offsets shift while hosts come
and go.
"""

from collections.abc import Iterator, Sequence
from typing import Optional

from foreman_hooks.satellite.client import MAX_ID, Satellite, is_host, quoted
from foreman_hooks.satellite.errors import ABOUT_ONE_REQUEST, SatelliteForbidden
from foreman_hooks.satellite.response import JsonObject

_PATH = "/api/hosts"
NAMES = 25  # in one search: a name has up to 255 characters, and they go into the URL
_Window = tuple[int, int]  # low (excluded) and high (included) id


def newest_host(satellite: Satellite) -> tuple[int, int]:
    """The highest host id, and the number of visible hosts.

    The list is not `thin`: a thin one is sorted by name, whatever `order` says (hosts_controller,
    reorder(:name)).  Raises SatelliteForbidden if no host is visible, or another SatelliteError.
    """
    try:
        body = satellite.page(_PATH, list, order="id DESC", per_page=1)
    except ABOUT_ONE_REQUEST:
        return _newest_by_counting(satellite)
    if not body["results"]:
        raise SatelliteForbidden(
            f"{satellite.url}: {satellite.username} sees no host at all; it needs view_hosts and "
            "membership of the hosts' organizations and locations"
        )
    highest = body["results"][0]["id"]
    total = body.get("total")
    if not isinstance(total, int) or highest < total:
        satellite.raise_unexpected(
            _PATH, f"{total} hosts and a highest id of {highest}"
        )
    return highest, total


def _newest_by_counting(satellite: Satellite) -> tuple[int, int]:
    """The same by about 40 counts, in case Satellite cannot show the newest host."""
    page = satellite.page(_PATH, list, thin="true", per_page=1)
    total = page.get("total")
    low, high = 0, 1
    while high < MAX_ID and _count(satellite, f"id > {high}"):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if _count(satellite, f"id > {middle}"):
            low = middle
        else:
            high = middle
    if type(total) is not int or not 0 < total <= high:
        satellite.raise_unexpected(_PATH, f"{total} hosts and a highest id of {high}")
    return high, total


def count_hosts(satellite: Satellite, highest: int) -> int:
    """How many hosts with an id up to `highest` are visible; raises SatelliteError."""
    return _count(satellite, f"id <= {highest}")


def _count(satellite: Satellite, search: str) -> int:
    body = satellite.page(
        _PATH,
        list,
        thin="true",
        per_page=1,
        search=search,
    )
    subtotal = body.get("subtotal")
    if type(subtotal) is not int:
        satellite.raise_unexpected(_PATH, "a list without a subtotal")
    return subtotal


def id_windows(highest: int, total: int, size: int) -> Iterator[_Window]:
    """Yield pairs (low, high) that cover the ids from 1 to `highest`; `low` is excluded.

    Each contains about `size` of the `total` hosts, if ids are spread evenly.
    """
    ids_a_host = highest / max(total, 1)
    width = max(size, round(size * ids_a_host))
    for low in range(0, highest, width):
        yield low, min(low + width, highest)


def ids_by_name(
    satellite: Satellite,
    low: int,
    high: int,
    search: str = "",
    organization: Optional[int] = None,
) -> dict[str, int]:
    """Name -> id of the hosts in a window of ids, `low` < id <= `high`.

    Only hosts that match `search` and are in the organization with that id; "" and None: all.
    Raises SatelliteError, also if there are not as many hosts as Satellite announces.
    """
    window = f"id > {low} and id <= {high}"
    query: JsonObject = {"search": f"({search}) and {window}" if search else window}
    if organization is not None:
        query["organization_id"] = organization
    query["per_page"] = high - low + 1
    body = satellite.page(_PATH, list, thin="true", **query)
    hosts, announced = body["results"], body.get("subtotal")
    names = {host["name"]: host["id"] for host in hosts}
    ids = set(names.values())
    within = {host_id for host_id in ids if low < host_id <= high}
    if not len(within) == len(names) == len(hosts) == announced:
        what = f"{len(within)} hosts in {window} where {announced} were announced"
        satellite.raise_unexpected(_PATH, what)
    return names


def ids_of(
    satellite: Satellite,
    names: Sequence[str],
    search: str = "",
    organization: Optional[int] = None,
) -> dict[str, int]:
    """Name -> id of the hosts with these names, without those that do not exist.

    Only hosts that match `search` and are in the organization with that id; "" and None: all.
    Raises SatelliteError, also if there are not as many hosts as Satellite announces.
    """
    ids: dict[str, int] = {}
    for start in range(0, len(names), NAMES):
        wanted = names[start : start + NAMES]
        values = ",".join(map(quoted, wanted))
        query: JsonObject = {
            "search": f"name ^ ({values})",
            "per_page": len(wanted) + 1,
        }
        if search:
            query["search"] = f"({search}) and {query['search']}"
        if organization is not None:
            query["organization_id"] = organization
        for host in satellite.listing(_PATH, thin="true", **query):
            if host["name"] not in wanted:
                satellite.raise_unexpected(_PATH, "a host that was not requested")
            ids[host["name"]] = host["id"]
    return ids


def create_host(satellite: Satellite, attributes: JsonObject) -> int:
    """Create a host that nothing provisions, and return its id.

    `attributes`: as Foreman's API takes them, with `name`.  Raises SatelliteRefused if the name is
    taken, or another SatelliteError.
    """
    host = {**attributes, "managed": False, "build": False, "overwrite": False}
    body = satellite.call("POST", _PATH, json={"host": host})
    if not is_host(body) or body["name"] != attributes["name"]:
        satellite.raise_unexpected(
            _PATH, "something other than the host that was to be created"
        )
    return body["id"]
