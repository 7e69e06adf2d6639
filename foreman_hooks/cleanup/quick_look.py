"""The quick look at both sides: the lists of hosts and servers, and which hosts are alive.

This settles nearly every host, so it takes most of the time and memory of a run.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from itertools import chain, islice
from typing import NamedTuple, Optional

from foreman_hooks.cleanup.progress import Progress, stage
from foreman_hooks.osp_checker import Checker, Place, Survey
from foreman_hooks.osp_checker.pace import workers
from foreman_hooks.rules.model import Identity, Policy
from foreman_hooks.rules.verdict import Case, judge
from foreman_hooks.rules.verdicts import Alike
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.inventory import ListedHost, Scope, list_hosts

CANARIES = 3  # hosts that show facts in the beginning, and must still do so at the end


class QuickLook(NamedTuple):
    """What the lists of both sides say.

    `survey`: how the regions answered, without the UUIDs that are alive.  `verdicts`: place -> the
    hosts in scope that it lists, with the verdict that they share.  `not_listed`: all others in
    scope.  `alive`: place -> the hosts that are alive there, in scope or not.  `out_of_scope`: the
    UUIDs of all other hosts.  `canaries`: a few hosts that showed a fact.
    """

    survey: Survey
    verdicts: dict[Place, Alike]
    not_listed: list[ListedHost]
    alive: dict[Place, list[ListedHost]]
    out_of_scope: list[str]
    canaries: list[ListedHost]


def read_lists(
    satellite: Satellite,
    checker: Checker,
    scope: Scope,
    progress: Progress,
) -> tuple[list[ListedHost], Survey]:
    """The hosts of Satellite, and which of them the clouds list; both sides are read in parallel.

    Raises SatelliteError.  A cloud that fails raises nothing: the survey holds its error.
    """
    servers_read = stage(progress, "servers of OpenStack")
    hosts_read = stage(progress, "hosts of Satellite")
    looked_up = stage(progress, "servers looked up")
    with workers(1) as other_side:
        preparation = other_side.submit(checker.prepare, servers_read)
        hosts = list(list_hosts(satellite, scope, hosts_read))
        server_lists = preparation.result()
    uuids = list(chain.from_iterable(host.uuids for host in hosts))
    survey = checker.listed(uuids, server_lists, looked_up)
    # Freed by hand (8 MB for 60,000 servers): commands run without the garbage collector, so the
    # frames of libraries that the other thread imports keep its results in memory.
    server_lists.servers.clear()
    return hosts, survey


def sort_hosts(
    hosts: list[ListedHost],
    survey: Survey,
    closely: Collection[int],
    policy: Policy,
    now: datetime,
) -> QuickLook:
    """Sort the hosts by whether they are in a list of servers; empties `hosts`.

    A host in a list is alive, whatever else is known of it.  So all such hosts of a region share
    one verdict.  `closely`: ids of hosts to look at closely in any case.  `now`: aware.
    """
    with_facts = (host for host in hosts if host.uuids)
    canaries = list(islice(with_facts, CANARIES))
    look = QuickLook(replace(survey, alive={}), {}, [], {}, [], canaries)
    hosts.reverse()
    while hosts:  # removed one by one, so that a large fleet is not in memory twice
        host = hosts.pop()
        uuid = _listed_uuid(host, survey)
        if uuid is None or host.id in closely:
            if host.in_scope:
                look.not_listed.append(host)
            else:
                look.out_of_scope.extend(host.uuids)
            continue
        place = survey.alive[uuid]
        look.alive.setdefault(place, []).append(host)
        if not host.in_scope:
            continue
        if place not in look.verdicts:
            case = Case(host.id, host.name, Identity((uuid,)), survey.of(uuid))
            look.verdicts[place] = Alike(judge(case, policy, now), [])
        look.verdicts[place].hosts.append((host.id, host.name, uuid))
    return look


def _listed_uuid(host: ListedHost, survey: Survey) -> Optional[str]:
    """The first UUID of the host that is in a list of servers; None if no UUID is."""
    for uuid in host.uuids:
        if uuid in survey.alive:
            return uuid
    return None
