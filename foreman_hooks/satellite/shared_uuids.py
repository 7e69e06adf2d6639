"""Find the hosts that name a UUID in any fact: the twins of a host, or the record of a server."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from foreman_hooks.osp_checker import both_orders, parse_uuid
from foreman_hooks.osp_checker.pace import workers
from foreman_hooks.rules.identity import (
    LEADING_NAMES,
    OTHER_LEADING_NAMES,
    PUBLISHED,
    RHSM_NAMES,
    UUID_NAMES,
    published_uuid,
)
from foreman_hooks.satellite.client import Satellite, quoted
from foreman_hooks.satellite.facts import fetch_facts, fetch_rows
from foreman_hooks.satellite.hosts import NAMES, id_windows, ids_of, newest_host
from foreman_hooks.satellite.inventory import (
    IdentifiedHost,
    ListedHost,
    Scope,
    distinct_uuids,
)

# UUIDs in one search for values: with a hundred of them Satellite gets slow (measured).
VALUES = 50
SEARCHES = 10  # by value; instead of more, the facts of all hosts are read

_Values = Mapping[str, Any]  # fact -> value
_Rows = Mapping[str, _Values]  # host name -> fact -> value
Naming = Mapping[str, Collection[str]]  # UUID -> names of the hosts that name it


class _Search(NamedTuple):
    """A search for facts, and how many hosts can match it, at most."""

    text: str
    hosts: int


def hosts_sharing_uuids(
    satellite: Satellite,
    hosts: Collection[IdentifiedHost],
) -> dict[int, tuple[str, ...]]:
    """Host id -> names of the other hosts that name one of its UUIDs; see names_by_uuid."""
    uuids: set[str] = set()
    for host in hosts:
        uuids.update(host.identity.uuids)
    naming = names_by_uuid(satellite, uuids)
    return {host.id: _others(host, naming) for host in hosts}


def names_by_uuid(satellite: Satellite, uuids: Collection[str]) -> Naming:
    """UUID -> names of the hosts that name it; only UUIDs that a host names.

    `uuids`: dashed, lower case; each counts in both byte orders.  Any source of facts counts, among
    all hosts that this login sees.  A few UUIDs are searched for by value, many by reading all
    hosts in windows of ids.  Raises SatelliteError.
    """
    wanted = both_orders(uuids)
    naming: dict[str, set[str]] = {}
    published: dict[str, str] = {}  # host name -> the UUID that a job published on it

    def read(search: _Search) -> _Rows:
        return fetch_rows(satellite, search.text, UUID_NAMES, search.hosts)

    searches = _searches(satellite, wanted)
    with workers(satellite.manners.workers) as pool:
        for rows in pool.map(read, searches):
            for name, values in rows.items():
                for uuid in _firmware_uuids(values, wanted):
                    naming.setdefault(uuid, set()).add(name)
                if values.get(PUBLISHED):
                    published[name] = values[PUBLISHED]
    for name, uuid in _hosts_that_published(satellite, published, naming, wanted):
        naming.setdefault(uuid, set()).add(name)
    return naming


def hosts_naming(
    satellite: Satellite, uuids: Collection[str], scope: Scope
) -> list[ListedHost]:
    """The hosts in scope that name one of these UUIDs (dashed, lower case), sorted by id.

    Either byte order counts, in lower or upper case, and any source of facts.  No other host is
    looked at, so it takes as many requests in a fleet of any size.  Raises SatelliteError.
    """
    wanted: list[str] = []
    for form in sorted(both_orders(uuids)):
        wanted += [form, form.upper()]
    leading = LEADING_NAMES if satellite.katello else OTHER_LEADING_NAMES
    naming: dict[str, tuple[str, ...]] = {}
    for start in range(0, len(wanted), VALUES):
        search = _search_by_value("=", wanted[start : start + VALUES])
        rows = fetch_rows(satellite, search.text, UUID_NAMES, search.hosts)
        for name, values in rows.items():
            naming[name] = distinct_uuids(map(values.get, leading))
    ids = ids_of(satellite, sorted(naming), scope.search, scope.organization)
    hosts = [ListedHost(ids[name], name, naming[name]) for name in ids]
    return sorted(hosts)


def _searches(satellite: Satellite, wanted: Collection[str]) -> list[_Search]:
    """The searches whose rows hold every fact that may name one of these UUIDs."""
    if not wanted:
        return []
    values = sorted(wanted)
    starts = range(0, len(values), VALUES)
    if len(starts) <= SEARCHES:
        # `~` ignores upper and lower case, and whatever stands around the value.
        return [
            _search_by_value("~", values[start : start + VALUES]) for start in starts
        ]
    highest, total = newest_host(satellite)
    searches = []
    for low, high in id_windows(highest, total, satellite.manners.page_size):
        window = f"host_id > {low} and host_id <= {high}"
        # Two searches: otherwise Chef's dmi::system::uuid hides that of RHSM.
        searches.append(_Search(f"{window} and origin ~ Rhsm", high - low))
        searches.append(_Search(f"{window} and origin !~ Rhsm", high - low))
    return searches


def _search_by_value(operator: str, wanted: Sequence[str]) -> _Search:
    """The search for facts with these values; a list of them is a 500 (measured)."""
    values = " or ".join(f"value {operator} {uuid}" for uuid in wanted)
    return _Search(f"({values})", len(wanted) * VALUES)


def _firmware_uuids(values: _Values, wanted: Collection[str]) -> Iterator[str]:
    """Yield the wanted UUIDs in the facts of one host, without the one that a job published.

    `wanted`: as parse_uuid returns them, so there is no need to parse all others.
    """
    for fact, value in values.items():
        uuid = str(value).strip().lower()
        if uuid in wanted and fact != PUBLISHED:
            yield uuid


def _hosts_that_published(
    satellite: Satellite,
    published: Mapping[str, str],
    naming: Naming,
    wanted: Collection[str],
) -> Iterator[tuple[str, str]]:
    """Yield (name, UUID) of the hosts that name a wanted UUID only by what a job published on them.

    A published UUID that came with a disk image of another machine does not count: otherwise every
    machine made from that image would keep the record of the original forever.
    """
    candidates = []
    for name, text in sorted(published.items()):
        uuid = parse_uuid(text)
        if uuid is None or uuid not in wanted:
            continue
        if name not in _names_of([uuid], naming):
            candidates.append(name)
    for start in range(0, len(candidates), NAMES):
        names = candidates[start : start + NAMES]
        search = " or ".join(f"host = {quoted(name)}" for name in names)
        facts = fetch_facts(
            satellite, f"({search}) and origin ~ Rhsm", RHSM_NAMES, len(names)
        )
        for name in names:
            uuid = published_uuid(facts.get(name, {}))
            if uuid:
                yield name, uuid


def _others(host: IdentifiedHost, naming: Naming) -> tuple[str, ...]:
    """The names of the other hosts that name one of this host's UUIDs, sorted."""
    names = _names_of(host.identity.uuids, naming)
    names.discard(host.name)
    return tuple(sorted(names))


def _names_of(uuids: Iterable[str], naming: Naming) -> set[str]:
    """The names of the hosts that name one of these UUIDs, in either byte order."""
    names: set[str] = set()
    for form in both_orders(uuids):
        names.update(naming.get(form, ()))
    return names
