"""Servers of OpenStack without a host record in Satellite, which nobody patches."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Optional

from foreman_hooks.cleanup.progress import Progress, stage
from foreman_hooks.osp_checker import Checker, Server, Servers, both_orders
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.inventory import EVERYTHING, list_hosts
from foreman_hooks.satellite.shared_uuids import names_by_uuid


@dataclass(frozen=True)
class Filter:
    """Which servers are wanted; None does not narrow.

    `project`: an id or a name.  `image`: an id.  `name`: a part of the server's name, in upper or
    lower case.
    """

    project: Optional[str] = None
    name: Optional[str] = None
    image: Optional[str] = None
    older_than: Optional[timedelta] = None

    def accepts(self, server: Server, now: datetime) -> bool:
        """Whether the server is wanted at `now` (aware); one without `created` has any age."""
        if self.project not in (None, server.project, server.project_name):
            return False
        if self.image not in (None, server.image):
            return False
        if self.name is not None and self.name.lower() not in server.name.lower():
            return False
        if self.older_than is None or server.created is None:
            return True
        return now - server.created >= self.older_than


def unmanaged(satellite: Satellite, checker: Checker, progress: Progress) -> Servers:
    """The servers whose UUID no host record names, in either byte order.

    Raises SatelliteError, and the OSPError of a region that failed: a list without its servers
    would look complete.
    """
    known: set[str] = set()
    hosts_read = stage(progress, "hosts of Satellite")
    for host in list_hosts(satellite, EVERYTHING, hosts_read):
        known.update(host.uuids)
    servers_read = stage(progress, "servers of OpenStack")
    answer = checker.unmanaged(sorted(known), servers_read)
    for region in answer.regions:
        if region.error:
            raise region.error
    return _without_named(satellite, answer)


def _without_named(satellite: Satellite, answer: Servers) -> Servers:
    """The answer without the servers that any other fact of a host names.

    Until now only the leading fact of each host was read.  It names nearly every server that has a
    record, so now the few others are searched for, instead of reading all facts of many hosts.
    """
    uuids = {server.uuid for server in answer.servers}
    named = both_orders(names_by_uuid(satellite, uuids))
    servers = [server for server in answer.servers if server.uuid not in named]
    return replace(answer, servers=tuple(servers))
