"""Every host of Satellite and what its facts say it is, at least cost: a glance at all, a closer
look at few.

A row of facts costs Satellite about 0.15 ms (measured on Foreman 3.12), and nearly every host is
found alive by one UUID.  So a glance reads that fact alone; all that identify a host are read of
those that no list of servers has.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker.pace import Progress, workers
from foreman_hooks.osp_checker.uuids import parse_uuid, swap_bytes
from foreman_hooks.rules.identity import (
    GLANCE_NAMES,
    MAKER_NAMES,
    OTHER_GLANCE_NAMES,
    OTHER_NAMES,
    PUBLISHED,
    RHSM,
    RHSM_NAMES,
    UUID_NAMES,
    by_makers,
    disagree,
    identify,
    published_uuid,
)
from foreman_hooks.rules.model import Identity, Reason
from foreman_hooks.satellite.client import Satellite, SatelliteError, in_parts, quoted

SOURCES = 5  # fact sources that may hold the same name for one host, at most
LONGEST_LIST = (
    7_000  # characters of ids in one search: Apache takes 8 KB of address, and refuses more
)
# Every kind of source but RHSM, by what its `origin` holds: asked one by one they cannot hide each
# other's facts.
ORIGINS = ("Puppet", "Ansible", "Salt", "Chef")
SALT = "Salt"  # it writes some names of Puppet's old facts, with values of its own
SHARED_NAMES = frozenset({"uuid", "manufacturer", "productname"})
OTHERS = "other sources"


MANY_AT_ONCE = 10  # hosts: so many are not deleted by hand while a list is read
NAMES = 25  # hosts in one search by name: a name has up to 255 characters
VALUES = (
    50  # values in one search for them: of a hundred terms Satellite begins to sweat (measured)
)


class Glance(NamedTuple):
    """One host and the UUIDs that it is known by at a glance (as parse_uuid gives them); none is no
    evidence.

    `in_scope`: the run may judge it.  All others are only witnesses, and twins.
    """

    id: int
    name: str
    uuids: tuple[str, ...]
    in_scope: bool = True


class Scope(NamedTuple):
    """Which hosts a run may judge: those that `search` finds, of the organization with that id;
    None: of all.
    """

    search: str = ""
    organization: Optional[int] = None

    def __bool__(self) -> bool:
        """Whether it narrows anything."""
        return bool(self.search) or self.organization is not None


class Host(NamedTuple):
    """One host and what its facts say it is."""

    id: int
    name: str
    identity: Identity


EVERYTHING = Scope()


def glance(
    satellite: Satellite,
    scope: Scope = EVERYTHING,
    progress: Progress = lambda done, total: None,
) -> Iterator[Glance]:
    """Every visible host, in order of id.

    Walks by windows of host ids: there is no offset that could shift when hosts come and go, and
    rows with equal values cannot get lost between pages (with offsets 164 of 1,200 were, measured).
    Raises SatelliteError, also where all windows together hold fewer hosts than were announced;
    SatelliteForbidden where not one host is visible: no rights look like that, too.
    """
    highest, total = satellite.newest_host()
    names, origin = (
        (GLANCE_NAMES, "") if satellite.katello else (OTHER_GLANCE_NAMES, " and origin !~ Rhsm")
    )

    def read(window: tuple[int, int]) -> list[Glance]:
        low, high = window
        hosts = satellite.thin_hosts(low, high)
        within = satellite.thin_hosts(low, high, *scope) if scope and hosts else hosts
        facts = (
            _rows(satellite, f"host_id > {low} and host_id <= {high}{origin}", names, high - low)
            if hosts
            else {}
        )
        return [
            Glance(host_id, name, _uuids(facts.get(name, {}).values()), name in within)
            for name, host_id in sorted(hosts.items(), key=lambda item: item[1])
        ]

    windows = list(_windows(highest, total, satellite.manners.page_size))
    count = 0
    with workers(satellite.manners.workers) as pool:
        for (_, high), hosts in zip(windows, pool.map(read, windows)):
            yield from hosts
            count += len(hosts)
            progress(high, highest)
    _compare(satellite, count, total, highest)


def _compare(satellite: Satellite, count: int, total: int, highest: int) -> None:
    """Raise SatelliteError where fewer hosts were read than there are.

    Some may have been deleted meanwhile.  But where none is left, or most are gone, it is the login
    that sees less.
    """
    left = satellite.count_hosts(highest)
    if (
        count < left
        or (not left and total > 1)
        or (left < total / 2 and total - left > MANY_AT_ONCE)
    ):
        satellite.odd(
            "/api/hosts",
            f"{count} hosts in all windows where {total} were announced, and {left} afterwards",
        )


def _uuids(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(parse_uuid, values))))


def look_closely(
    satellite: Satellite,
    hosts: Sequence[Glance],
    openstack_names: tuple[str, ...],
    progress: Progress = lambda done, total: None,
) -> Iterator[Host]:
    """What each of these is by all of its identifying facts; raises SatelliteError.

    Of most hosts that are none of OpenStack's their makers tell.  A host whose facts Satellite
    cannot show is OUT_OF_SIGHT.
    """
    done = 0
    with workers(satellite.manners.workers) as pool:
        for found in pool.map(
            lambda some: _identified_in_parts(satellite, some, openstack_names),
            _chunks(hosts, satellite.manners.page_size),
        ):
            yield from found
            done += len(found)
            progress(done, len(hosts))


def kinds(
    satellite: Satellite, hosts: Sequence[Glance], openstack_names: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """UUID and kind of these hosts, some at a time: what their firmware calls them; raises
    SatelliteError.
    """
    names, origin = (
        (MAKER_NAMES, "origin ~ Rhsm") if satellite.katello else (OTHER_NAMES, "origin !~ Rhsm")
    )
    for chunk in _chunks(hosts, satellite.manners.page_size):
        ids = ",".join(str(host.id) for host in chunk)
        facts = _facts(satellite, f"host_id ^ ({ids}) and {origin}", names, len(chunk))
        for host in chunk:
            values = facts.get(host.name, {})
            identity = (
                by_makers(values, host.uuids, openstack_names)
                if satellite.katello
                else identify({OTHERS: values}, katello=False, openstack_names=openstack_names)
            )
            yield host.uuids[0], identity.kind


def twins(satellite: Satellite, hosts: Collection[Host]) -> dict[int, tuple[str, ...]]:
    """Host id -> names of the other hosts that name one of its UUIDs, in either byte order, in any
    source of facts.

    Looked for among all hosts that this login sees: those of a few by a search for their UUIDs,
    those of many by windows.  Raises SatelliteError.
    """
    wanted = _forms(uuid for host in hosts for uuid in host.identity.uuids)
    if len(wanted) <= VALUES:
        values = " or ".join(
            f"value ~ {form}" for form in sorted(wanted)
        )  # ~ does not mind the case
        searches = [(f"({values})", len(wanted) * VALUES)] if wanted else []
    else:
        highest, total = satellite.newest_host()
        searches = [
            (f"host_id > {low} and host_id <= {high} and origin {which} Rhsm", high - low)
            for low, high in _windows(highest, total, satellite.manners.page_size)
            for which in ("~", "!~")
        ]  # apart, else Chef's dmi::system::uuid hides RHSM's
    naming: dict[str, set[str]] = {}
    publishing: dict[str, str] = {}
    with workers(satellite.manners.workers) as pool:
        for rows in pool.map(
            lambda search: _rows(satellite, search[0], UUID_NAMES, search[1]), searches
        ):
            for form, names in _naming(rows, wanted).items():
                naming.setdefault(form, set()).update(names)
            publishing.update(
                (name, values[PUBLISHED]) for name, values in rows.items() if values.get(PUBLISHED)
            )
    for name, form in _published(satellite, publishing, naming, wanted):
        naming.setdefault(form, set()).add(name)
    return {host.id: _others(host, naming) for host in hosts}


def must_still_see(satellite: Satellite, hosts: Sequence[Glance]) -> None:
    """Raise SatelliteError where not even a fact of these is shown, of which each showed some in
    this run.

    A login or a server that goes blind in mid-run shows empty lists that are right in themselves:
    hosts without facts, and nobody who shares a UUID.
    """
    ids = ",".join(str(host.id) for host in hosts)
    names = GLANCE_NAMES if satellite.katello else OTHER_GLANCE_NAMES
    if not _rows(satellite, f"host_id ^ ({ids})", names, len(hosts)):
        satellite.odd(
            "/api/fact_values", f"no fact of {hosts[0].name}, which showed some a moment ago"
        )


def _forms(uuids: Iterable[str]) -> set[str]:
    """These UUIDs in both byte orders."""
    return {form for uuid in uuids for form in (uuid, swap_bytes(uuid))}


def _published(
    satellite: Satellite,
    publishing: Mapping[str, str],
    naming: Mapping[str, Collection[str]],
    wanted: Collection[str],
) -> Iterator[tuple[str, str]]:
    """Name and UUID of the hosts on which alone what was published names one that is wanted.

    What an image of a disk brought along from another machine names nobody: else whatever is made
    of that image would hold the record of its origin for ever.
    """
    named = {name: parse_uuid(text) for name, text in publishing.items()}
    names = [
        name
        for name, form in sorted(named.items())
        if form
        and form in wanted
        and not any(name in naming.get(known, ()) for known in (form, swap_bytes(form)))
    ]
    for start in range(0, len(names), NAMES):
        some = names[start : start + NAMES]
        search = " or ".join(f"host = {quoted(name)}" for name in some)
        facts = _facts(satellite, f"({search}) and origin ~ Rhsm", RHSM_NAMES, len(some))
        for name in some:
            form = published_uuid(facts.get(name, {}))
            if form:
                yield name, form


def _naming(rows: Mapping[str, Mapping[str, Any]], wanted: Collection[str]) -> dict[str, set[str]]:
    """UUID -> names of the hosts in whose rows it stands, but for what was published."""
    naming: dict[str, set[str]] = {}
    for name, values in rows.items():
        for uuid in _uuids(value for fact, value in values.items() if fact != PUBLISHED):
            if uuid in wanted:
                naming.setdefault(uuid, set()).add(name)
    return naming


def _others(host: Host, naming: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    names = {name for form in _forms(host.identity.uuids) for name in naming.get(form, ())}
    return tuple(sorted(names - {host.name}))


def facts_now(satellite: Satellite, host_id: int, name: str) -> dict[str, dict[str, str]]:
    """The identifying facts of one host, now, each origin on its own; raises SatelliteError.

    Two origins with the same fact name collapse into one in an answer, the last row wins
    (measured).
    """
    found = {}
    searches = {origin: f"origin ~ {origin}" for origin in ORIGINS}
    searches[OTHERS] = " and ".join(f"origin !~ {origin}" for origin in ("Rhsm", *ORIGINS))
    if satellite.katello:
        searches = {RHSM: "origin ~ Rhsm", **searches}
    for origin, search in searches.items():
        names = RHSM_NAMES if origin == RHSM else OTHER_NAMES
        facts = _facts(satellite, f"host_id = {host_id} and {search}", names, 1)
        if set(facts) - {name}:
            satellite.odd(
                "/api/fact_values", f"facts of {', '.join(facts)} where {name} was asked for"
            )
        if facts.get(name):
            found[origin] = facts[name]
    return found


def identity_now(
    satellite: Satellite, host_id: int, name: str, openstack_names: tuple[str, ...]
) -> Identity:
    """What a host is by its facts as they are now, each origin on its own; raises SatelliteError.

    Without Katello, and where origins disagree on the maker, the one whose facts arrived last
    leads.
    """
    facts = facts_now(satellite, host_id, name)
    freshest = ""
    if not satellite.katello and disagree(facts, openstack_names):
        freshest = _freshest(satellite, host_id, facts)
    return identify(
        facts, katello=satellite.katello, openstack_names=openstack_names, freshest=freshest
    )


def _freshest(satellite: Satellite, host_id: int, origins: Iterable[str]) -> str:
    """The origin of the fact that changed last; "" where that cannot be told.

    No answer has the time of a fact, but lists can be sorted by it (fact_value.rb: reported_at is
    updated_at).
    """
    rows = satellite.page(
        "/api/fact_values",
        dict,
        search=f"host_id = {host_id} and origin !~ Rhsm",
        order="reported_at DESC",
        per_page=1,
    )["results"]
    newest = [fact for values in rows.values() for fact in values]
    if len(newest) != 1:
        return ""
    found = [
        origin
        for origin in origins
        if origin != OTHERS
        and _rows(satellite, f"host_id = {host_id} and origin ~ {origin}", (newest[0],), 1)
    ]
    return found[0] if len(found) == 1 else ""


def _identified_in_parts(
    satellite: Satellite, hosts: Sequence[Glance], openstack_names: tuple[str, ...]
) -> list[Host]:
    def ask(some: Sequence[Glance]) -> list[Host]:
        return _identified(satellite, some, openstack_names)

    def spoilt(host: Glance, error: SatelliteError) -> list[Host]:
        return [Host(host.id, host.name, Identity(host.uuids, Reason.OUT_OF_SIGHT, str(error)))]

    return [host for part in in_parts(hosts, ask, spoilt, len(hosts)) for host in part]


def _identified(
    satellite: Satellite, hosts: Sequence[Glance], openstack_names: tuple[str, ...]
) -> list[Host]:
    """By their makers, and what is left by all of their facts of every source."""
    identities: dict[int, Identity] = {}
    open_hosts = list(hosts)

    def read(search: str, names: tuple[str, ...]) -> Mapping[str, Mapping[str, str]]:
        ids = ",".join(str(host.id) for host in open_hosts)
        return (
            _facts(satellite, f"host_id ^ ({ids}) and {search}", names, len(open_hosts))
            if open_hosts
            else {}
        )

    rhsm: Mapping[str, Mapping[str, str]] = {}
    if satellite.katello:
        makers = read("origin ~ Rhsm", MAKER_NAMES)
        identities = {
            host.id: by_makers(makers.get(host.name, {}), host.uuids, openstack_names)
            for host in hosts
        }
        open_hosts = [host for host in hosts if identities[host.id].reason is None]
        rhsm = read("origin ~ Rhsm", RHSM_NAMES)
    others = {OTHERS: read("origin !~ Rhsm", OTHER_NAMES)}
    if any(not SHARED_NAMES.isdisjoint(values) for values in others[OTHERS].values()):
        others = {
            OTHERS: read(f"origin !~ Rhsm and origin !~ {SALT}", OTHER_NAMES),
            SALT: read(f"origin ~ {SALT}", OTHER_NAMES),
        }  # else one hides what the other says
    for host in open_hosts:
        facts = {
            RHSM: rhsm.get(host.name, {}),
            **{origin: found.get(host.name, {}) for origin, found in others.items()},
        }
        identity = identify(facts, katello=satellite.katello, openstack_names=openstack_names)
        if not satellite.katello and disagree(facts, openstack_names):
            identity = identity_now(satellite, host.id, host.name, openstack_names)
        if host.uuids and identity.reason is Reason.NO_FACTS:
            identity = Identity(
                host.uuids,
                Reason.OUT_OF_SIGHT,
                "its facts were shown a moment ago, and are not now",
            )
        identities[host.id] = identity
    return [Host(host.id, host.name, identities[host.id]) for host in hosts]


def _facts(
    satellite: Satellite, search: str, names: tuple[str, ...], hosts: int
) -> dict[str, dict[str, str]]:
    """Host name -> fact -> value, of those that have one."""
    return {
        name: {fact: value for fact, value in values.items() if isinstance(value, str)}
        for name, values in _rows(satellite, search, names, hosts).items()
    }


def _rows(
    satellite: Satellite, search: str, names: tuple[str, ...], hosts: int
) -> dict[str, dict[str, Any]]:
    """Host name -> fact -> value.  A page counts rows, not hosts, and `subtotal` says nothing
    (measured).

    A name in them without a host is no host (uploads at the same time leave such behind, measured).
    """
    per_page = hosts * len(names) * SOURCES + 1  # more rows than there can be
    found: dict[str, dict[str, Any]] = satellite.page(
        "/api/fact_values",
        dict,
        search=f"fact ^ ({','.join(names)}) and {search}",
        order="host_id ASC",
        per_page=per_page,
    )["results"]
    if sum(map(len, found.values())) >= per_page:
        satellite.odd("/api/fact_values", f"{per_page} rows or more for {hosts} hosts")
    return found


def _windows(highest: int, total: int, size: int) -> Iterator[tuple[int, int]]:
    """(low, high] pairs that cover 1 to `highest`, each with about `size` hosts where ids are
    spread evenly.
    """
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
