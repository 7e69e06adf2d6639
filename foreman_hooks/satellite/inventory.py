"""All hosts of Satellite, and what they are by their facts, with as few requests as possible.

Nearly every host can be shown to be alive by one UUID.  So `list_hosts` reads this single fact of
all hosts, and `identify_hosts` reads all identifying facts of the few others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker import Progress, parse_uuid
from foreman_hooks.osp_checker.pace import workers
from foreman_hooks.rules.identity import (
    LEADING_NAMES,
    MAKER_NAMES,
    OTHER_LEADING_NAMES,
    OTHER_NAMES,
    RHSM,
    RHSM_NAMES,
    by_makers,
    disagree,
    identify,
)
from foreman_hooks.rules.model import Identity, Reason
from foreman_hooks.satellite.batches import ask_in_batches
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.errors import SatelliteError
from foreman_hooks.satellite.facts import (
    OTHERS,
    Names,
    facts_now,
    fetch_facts,
    fetch_rows,
    newest_origin,
)
from foreman_hooks.satellite.hosts import (
    count_hosts,
    id_windows,
    ids_by_name,
    newest_host,
)

# Characters of ids in one search: Apache refuses a URL of more than 8 KB.
LONGEST_LIST = 7_000
MANY_AT_ONCE = 10  # hosts; nobody deletes so many by hand while a list is read
SALT = "Salt"  # uses some names of Puppet's old facts, with other values
SALT_NAMES = frozenset({"uuid", "manufacturer", "productname"})

_FactsByHost = Mapping[str, Mapping[str, str]]  # host name -> fact -> value


class ListedHost(NamedTuple):
    """One host and the UUIDs in its leading fact.

    `uuids`: as parse_uuid returns them; that there is none proves nothing.  `in_scope`: whether the
    run may judge the host; other hosts may only be witnesses or twins.
    """

    id: int
    name: str
    uuids: tuple[str, ...]
    in_scope: bool = True


class IdentifiedHost(NamedTuple):
    """One host, and what it is by all of its facts."""

    id: int
    name: str
    identity: Identity


class Scope(NamedTuple):
    """Which hosts a run may judge: those that match `search` in the organization with that id.

    "" and None do not narrow.
    """

    search: str = ""
    organization: Optional[int] = None

    def __bool__(self) -> bool:
        """Whether it leaves out any hosts."""
        return bool(self.search) or self.organization is not None


EVERYTHING = Scope()


def no_progress(done: int, total: int) -> None:
    """Show no progress."""


def list_hosts(
    satellite: Satellite,
    scope: Scope = EVERYTHING,
    progress: Progress = no_progress,
) -> Iterator[ListedHost]:
    """Yield every visible host, in order of id.

    Hosts are read in windows of ids.  Offsets shift while hosts come and go, and rows with equal
    values get lost between pages (measured: 164 of 1,200).

    Raises SatelliteError, also if all windows together contain fewer hosts than were announced, and
    SatelliteForbidden if no host is visible, since a lack of permissions looks the same.
    """
    highest, total = newest_host(satellite)
    satellite.about()  # requested once, before the threads start
    windows = list(id_windows(highest, total, satellite.manners.page_size))

    def read(window: tuple[int, int]) -> list[ListedHost]:
        return _list_window(satellite, scope, *window)

    count = 0
    with workers(satellite.manners.workers) as pool:
        for (_, high), hosts in zip(windows, pool.map(read, windows)):
            yield from hosts
            count += len(hosts)
            progress(high, highest)
    _check_completeness(satellite, count, total, highest)


def _list_window(
    satellite: Satellite,
    scope: Scope,
    low: int,
    high: int,
) -> list[ListedHost]:
    """The hosts with `low` < id <= `high`, in order of id."""
    ids = ids_by_name(satellite, low, high)
    if not ids:
        return []
    in_scope = ids
    if scope:
        in_scope = ids_by_name(satellite, low, high, scope.search, scope.organization)
    search = f"host_id > {low} and host_id <= {high}"
    names = LEADING_NAMES
    if not satellite.katello:
        search += " and origin !~ Rhsm"
        names = OTHER_LEADING_NAMES
    rows = fetch_rows(satellite, search, names, high - low)
    hosts = []
    for name in sorted(ids, key=ids.__getitem__):
        values = rows.get(name, {}).values()
        host = ListedHost(
            id=ids[name],
            name=name,
            uuids=distinct_uuids(values),
            in_scope=name in in_scope,
        )
        hosts.append(host)
    return hosts


def distinct_uuids(values: Iterable[Any]) -> tuple[str, ...]:
    """The usable UUIDs among the values of facts, each once, in their order."""
    uuids: list[str] = []
    for value in values:
        uuid = parse_uuid(value)
        if uuid and uuid not in uuids:
            uuids.append(uuid)
    return tuple(uuids)


def _check_completeness(
    satellite: Satellite,
    count: int,
    total: int,
    highest: int,
) -> None:
    """Raise SatelliteError if fewer hosts were read than there are.

    Some may have been deleted in the meantime.  But if none or less than half remain, this login
    sees less than before.
    """
    remaining = count_hosts(satellite, highest)
    all_vanished = remaining == 0 and total > 1
    most_vanished = remaining < total / 2 and total - remaining > MANY_AT_ONCE
    if count < remaining or all_vanished or most_vanished:
        satellite.raise_unexpected(
            "/api/hosts",
            f"{count} hosts in all windows where {total} were announced, "
            f"and {remaining} afterwards",
        )


def identify_hosts(
    satellite: Satellite,
    hosts: Sequence[ListedHost],
    openstack_names: Names,
    progress: Progress = no_progress,
) -> Iterator[IdentifiedHost]:
    """Yield what each of these hosts is, by all of its identifying facts.

    For most hosts that are not OpenStack instances, the makers are enough.  A host whose facts
    Satellite cannot show is OUT_OF_SIGHT.  Raises SatelliteError.
    """

    def read(batch: Sequence[ListedHost]) -> list[IdentifiedHost]:
        return _identify_in_batches(satellite, batch, openstack_names)

    done = 0
    batches = _batches(hosts, satellite.manners.page_size)
    with workers(satellite.manners.workers) as pool:
        for batch in pool.map(read, batches):
            yield from batch
            done += len(batch)
            progress(done, len(hosts))


def _identify_in_batches(
    satellite: Satellite,
    hosts: Sequence[ListedHost],
    openstack_names: Names,
) -> list[IdentifiedHost]:
    """What `_identify_batch` returns, in ever smaller batches if Satellite fails."""

    def ask(batch: Sequence[ListedHost]) -> list[IdentifiedHost]:
        return _identify_batch(satellite, batch, openstack_names)

    def failed(host: ListedHost, error: SatelliteError) -> list[IdentifiedHost]:
        identity = Identity(host.uuids, Reason.OUT_OF_SIGHT, str(error))
        return [IdentifiedHost(host.id, host.name, identity)]

    identified = []
    for batch in ask_in_batches(hosts, ask, failed, len(hosts)):
        identified += batch
    return identified


def _identify_batch(
    satellite: Satellite,
    hosts: Sequence[ListedHost],
    openstack_names: Names,
) -> list[IdentifiedHost]:
    """Identify hosts by their makers, and those that are still open by all facts of all sources."""
    identities: dict[int, Identity] = {}
    remaining = hosts
    rhsm: _FactsByHost = {}
    if satellite.katello:
        makers = _facts_of(satellite, hosts, "origin ~ Rhsm", MAKER_NAMES)
        for host in hosts:
            values = makers.get(host.name, {})
            identities[host.id] = by_makers(values, host.uuids, openstack_names)
        remaining = [host for host in hosts if identities[host.id].reason is None]
        rhsm = _facts_of(satellite, remaining, "origin ~ Rhsm", RHSM_NAMES)
    others = _facts_of_other_sources(satellite, remaining)
    for host in remaining:
        facts = {RHSM: rhsm.get(host.name, {})}
        for origin, facts_by_host in others.items():
            facts[origin] = facts_by_host.get(host.name, {})
        identities[host.id] = _identify(satellite, host, facts, openstack_names)
    return [IdentifiedHost(host.id, host.name, identities[host.id]) for host in hosts]


def _facts_of_other_sources(
    satellite: Satellite,
    hosts: Sequence[ListedHost],
) -> dict[str, _FactsByHost]:
    """Origin -> facts by host, without RHSM; Salt's separately if Puppet may use the same names."""
    facts = _facts_of(satellite, hosts, "origin !~ Rhsm", OTHER_NAMES)
    if all(SALT_NAMES.isdisjoint(values) for values in facts.values()):
        return {OTHERS: facts}
    without_salt = f"origin !~ Rhsm and origin !~ {SALT}"
    return {
        OTHERS: _facts_of(satellite, hosts, without_salt, OTHER_NAMES),
        SALT: _facts_of(satellite, hosts, f"origin ~ {SALT}", OTHER_NAMES),
    }


def _identify(
    satellite: Satellite,
    host: ListedHost,
    facts: Mapping[str, Mapping[str, str]],
    openstack_names: Names,
) -> Identity:
    katello = satellite.katello
    if not katello and disagree(facts, openstack_names):
        identity = identity_now(satellite, host.id, host.name, openstack_names)
    else:
        identity = identify(facts, katello=katello, openstack_names=openstack_names)
    return _if_still_shown(host, identity)


def _if_still_shown(host: ListedHost, identity: Identity) -> Identity:
    """The identity; OUT_OF_SIGHT if the host showed a UUID a moment ago, and no facts now."""
    if host.uuids and identity.reason is Reason.NO_FACTS:
        detail = "its facts were visible a moment ago, and are not any more"
        return Identity(host.uuids, Reason.OUT_OF_SIGHT, detail)
    return identity


def identity_now(
    satellite: Satellite,
    host_id: int,
    name: str,
    openstack_names: Names,
) -> Identity:
    """What a host is by its facts as they are now, requested for each origin separately.

    If there is no Katello and the origins disagree on the maker, the one whose facts arrived last
    leads.  Raises SatelliteError.
    """
    facts = facts_now(satellite, host_id, name)
    freshest = ""
    if not satellite.katello and disagree(facts, openstack_names):
        freshest = newest_origin(satellite, host_id, facts)
    return identify(
        facts,
        katello=satellite.katello,
        openstack_names=openstack_names,
        freshest=freshest,
    )


def firmware_kinds(
    satellite: Satellite,
    hosts: Sequence[ListedHost],
    openstack_names: Names,
) -> Iterator[tuple[str, str]]:
    """Yield (UUID, kind) of each host; the kind is what its firmware calls itself: Identity.kind.

    Each host must have a UUID.  Raises SatelliteError.
    """
    for batch in _batches(hosts, satellite.manners.page_size):
        if satellite.katello:
            facts = _facts_of(satellite, batch, "origin ~ Rhsm", MAKER_NAMES)
        else:
            facts = _facts_of(satellite, batch, "origin !~ Rhsm", OTHER_NAMES)
        for host in batch:
            values = facts.get(host.name, {})
            if satellite.katello:
                identity = by_makers(values, host.uuids, openstack_names)
            else:
                identity = identify(
                    {OTHERS: values}, katello=False, openstack_names=openstack_names
                )
            yield host.uuids[0], identity.kind


def check_facts_still_visible(
    satellite: Satellite, hosts: Sequence[ListedHost]
) -> None:
    """Raise SatelliteError if these hosts, which all showed a fact in this run, show none now.

    If a login loses its rights in the middle of a run, empty lists look right: hosts without facts,
    and no other host with the same UUID.
    """
    names = LEADING_NAMES if satellite.katello else OTHER_LEADING_NAMES
    if not fetch_rows(
        satellite, f"host_id ^ ({_joined_ids(hosts)})", names, len(hosts)
    ):
        what = f"no fact of {hosts[0].name}, which showed some a moment ago"
        satellite.raise_unexpected("/api/fact_values", what)


def _facts_of(
    satellite: Satellite,
    hosts: Sequence[ListedHost],
    origin: str,
    names: Names,
) -> _FactsByHost:
    """The facts of these hosts with these names, from sources that match the search `origin`."""
    if not hosts:
        return {}
    search = f"host_id ^ ({_joined_ids(hosts)}) and {origin}"
    return fetch_facts(satellite, search, names, len(hosts))


def _joined_ids(hosts: Iterable[ListedHost]) -> str:
    return ",".join(str(host.id) for host in hosts)


def _batches(hosts: Iterable[ListedHost], size: int) -> Iterator[list[ListedHost]]:
    """Yield the hosts in lists of at most `size`, and of no more than one search can name by id."""
    batch: list[ListedHost] = []
    length = 0
    for host in hosts:
        digits = len(str(host.id)) + 1
        if batch and (len(batch) == size or length + digits > LONGEST_LIST):
            yield batch
            batch, length = [], 0
        batch.append(host)
        length += digits
    if batch:
        yield batch
