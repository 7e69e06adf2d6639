"""Every host of Satellite and what its facts say it is, at least cost: a glance at all, a closer look at few.

A row of facts costs Satellite about 0.15 ms (measured on Foreman 3.12), and nearly every host is found alive by one
UUID.  So a glance reads that fact alone; all that identify a host are read of those that no list of servers has.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .identity import (
    GLANCE_NAMES,
    MAKER_NAMES,
    OTHER_GLANCE_NAMES,
    OTHER_NAMES,
    RHSM,
    RHSM_NAMES,
    by_makers,
    identify,
)
from .model import Identity
from .osp_checker import Progress, parse_uuid, workers
from .satellite import Satellite

SOURCES = 5                 # fact sources that may hold the same name for one host, at most
LONGEST_LIST = 7_000        # characters of ids in one search: Apache takes 8 KB of address, and refuses more
# Every kind of source but RHSM, by what its `origin` holds: asked one by one they cannot hide each other's facts.
ORIGINS = ("Puppet", "Ansible", "Salt", "Chef")


class Glance(NamedTuple):
    """One host and the UUIDs that it is known by at a glance (as parse_uuid gives them); none is no evidence."""

    id: int
    name: str
    uuids: tuple[str, ...]


class Host(NamedTuple):
    """One host and what its facts say it is."""

    id: int
    name: str
    identity: Identity


def glance(satellite: Satellite, search: str = "", progress: Progress = lambda done, total: None) -> Iterator[Glance]:
    """Every visible host, or those that `search` matches, in order of id.

    Walks by windows of host ids: there is no offset that could shift when hosts come and go, and rows with
    equal values cannot get lost between pages (with offsets 164 of 1,200 were, measured).  Raises SatelliteError;
    SatelliteForbidden where not one host is visible: no rights look like that, too.
    """
    highest, total = satellite.newest_host()
    names, origin = (GLANCE_NAMES, "") if satellite.katello else (OTHER_GLANCE_NAMES, " and origin !~ Rhsm")

    def read(window: tuple[int, int]) -> list[Glance]:
        low, high = window
        hosts = satellite.thin_hosts(low, high, search)
        facts = _rows(satellite, f"host_id > {low} and host_id <= {high}{origin}", names, high - low) if hosts else {}
        return [Glance(host_id, name, tuple(filter(None, map(parse_uuid, facts.get(name, {}).values()))))
                for name, host_id in sorted(hosts.items(), key=lambda item: item[1])]

    windows = list(_windows(highest, total, satellite.manners.page_size))
    with workers(satellite.manners.workers) as pool:
        for (_, high), hosts in zip(windows, pool.map(read, windows)):
            yield from hosts
            progress(high, highest)


def look_closely(satellite: Satellite, hosts: Sequence[Glance], openstack_names: tuple[str, ...],
                 progress: Progress = lambda done, total: None) -> Iterator[Host]:
    """What each of these is by all of its identifying facts; raises SatelliteError.

    With Katello only its RHSM facts can make a host an instance, and of most hosts that are none their makers tell.
    """
    done = 0
    with workers(satellite.manners.workers) as pool:
        for found in pool.map(lambda some: _identified(satellite, some, openstack_names),
                              _chunks(hosts, satellite.manners.page_size)):
            yield from found
            done += len(found)
            progress(done, len(hosts))


def facts_now(satellite: Satellite, host_id: int, name: str) -> dict[str, dict[str, str]]:
    """The identifying facts of one host, now, each origin on its own; raises SatelliteError.

    Two origins with the same fact name collapse into one in an answer, the last row wins (measured).
    """
    found = {}
    searches = {origin: f"origin ~ {origin}" for origin in ORIGINS}
    searches["other sources"] = " and ".join(f"origin !~ {origin}" for origin in ("Rhsm", *ORIGINS))
    if satellite.katello:
        searches = {RHSM: "origin ~ Rhsm", **searches}
    for origin, search in searches.items():
        names = RHSM_NAMES if origin == RHSM else OTHER_NAMES
        facts = _facts(satellite, f"host_id = {host_id} and {search}", names, 1)
        if set(facts) - {name}:
            satellite.odd("/api/fact_values", f"facts of {', '.join(facts)} where {name} was asked for")
        if facts.get(name):
            found[origin] = facts[name]
    return found


def _identified(satellite: Satellite, hosts: Sequence[Glance], openstack_names: tuple[str, ...]) -> list[Host]:
    """By their makers, and what is left by all of their facts of every source."""
    found: dict[int, Identity] = {}
    rest = list(hosts)

    def read(search: str, names: tuple[str, ...]) -> Mapping[str, Mapping[str, str]]:
        ids = ",".join(str(host.id) for host in rest)
        return _facts(satellite, f"host_id ^ ({ids}) and {search}", names, len(rest)) if rest else {}

    def sift(what: Callable[[Glance], Identity]) -> None:
        found.update((host.id, what(host)) for host in rest)
        rest[:] = [host for host in rest if found[host.id].reason is None]

    rhsm: Mapping[str, Mapping[str, str]] = {}
    if satellite.katello:
        makers = read("origin ~ Rhsm", MAKER_NAMES)
        sift(lambda host: by_makers(makers.get(host.name, {}), host.uuids, openstack_names))
        rhsm = read("origin ~ Rhsm", RHSM_NAMES)
    others = read("origin !~ Rhsm", OTHER_NAMES)
    sift(lambda host: identify({RHSM: rhsm.get(host.name, {}), "other sources": others.get(host.name, {})},
                               katello=satellite.katello, openstack_names=openstack_names))
    return [Host(host.id, host.name, found[host.id]) for host in hosts]


def _facts(satellite: Satellite, search: str, names: tuple[str, ...], hosts: int) -> dict[str, dict[str, str]]:
    """Host name -> fact -> value, of those that have one."""
    return {name: {fact: value for fact, value in values.items() if isinstance(value, str)}
            for name, values in _rows(satellite, search, names, hosts).items()}


def _rows(satellite: Satellite, search: str, names: tuple[str, ...], hosts: int) -> dict[str, dict[str, Any]]:
    """Host name -> fact -> value.  A page counts rows, not hosts, and `subtotal` says nothing (measured).

    A name in them without a host is no host (uploads at the same time leave such behind, measured).
    """
    per_page = hosts * len(names) * SOURCES + 1         # more rows than there can be
    found: dict[str, dict[str, Any]] = satellite.page(
        "/api/fact_values", dict, search=f"fact ^ ({','.join(names)}) and {search}", order="host_id ASC",
        per_page=per_page)["results"]
    if sum(map(len, found.values())) >= per_page:
        satellite.odd("/api/fact_values", f"{per_page} rows or more for {hosts} hosts")
    return found


def _windows(highest: int, total: int, size: int) -> Iterator[tuple[int, int]]:
    """(low, high] pairs that cover 1 to `highest`, each with about `size` hosts where ids are spread evenly."""
    width = max(size, round(size * highest / max(total, 1)))
    for low in range(0, highest, width):
        yield low, min(low + width, highest)


def _chunks(hosts: Iterable[Glance], size: int) -> Iterator[list[Glance]]:
    """The hosts by at most `size`, and as many as a search can name by their ids."""
    chunk: list[Glance] = []
    length = 0
    for host in hosts:
        digits = len(str(host.id)) + 1
        if chunk and (len(chunk) == size or length + digits > LONGEST_LIST):
            yield chunk
            chunk, length = [], 0
        chunk.append(host)
        length += digits
    if chunk:
        yield chunk
