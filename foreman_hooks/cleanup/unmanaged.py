"""Servers of OpenStack without a host record in Satellite, which nobody patches."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker import Progress, Region, both_orders
from foreman_hooks.satellite.errors import SatelliteError
from foreman_hooks.satellite.times import parse_time


class Server(NamedTuple):
    """One server as a list describes it.

    `project`: its id.  `project_name`: "" if the login may not see it.  `image`: its id, "" without
    one.  `created`: aware, UTC; None if it cannot be read.
    """

    uuid: str
    name: str
    status: str
    cloud: str
    region: str
    project: str
    project_name: str
    image: str
    created: Optional[datetime]


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


def unmanaged(
    servers: Iterable[Server],
    known: Collection[str],
    wanted: Filter,
    now: datetime,
) -> Iterator[Server]:
    """Yield the wanted servers whose UUID no host record names, in either byte order.

    `known`: the UUIDs that host records name (dashed, lower case).  `now`: aware.
    """
    managed = both_orders(known)
    for server in servers:
        if server.uuid not in managed and wanted.accepts(server, now):
            yield server


def list_servers(region: Region, progress: Optional[Progress] = None) -> list[Server]:
    """All servers that a region lists, of every project; raises OSPError."""
    bodies: dict[str, dict[str, Any]] = {}
    for page in region.pages("/servers/detail"):
        bodies.update((body["id"], body) for body in page)
        if progress:
            progress(len(bodies), 0)
    names = _project_names(region)
    return [_server(region, body, names) for body in bodies.values()]


def _server(
    region: Region,
    body: "dict[str, Any]",
    project_names: "dict[str, str]",
) -> Server:
    project = str(body.get("tenant_id") or "")
    image = body.get("image")
    created = None
    with suppress(SatelliteError):  # a time that cannot be read
        created = parse_time(body.get("created"))
    return Server(
        uuid=body["id"],
        name=str(body.get("name") or ""),
        status=str(body.get("status") or ""),
        cloud=region.cloud,
        region=region.region,
        project=project,
        project_name=project_names.get(project, ""),
        image=str(image["id"]) if isinstance(image, dict) else "",
        created=created,
    )


def _project_names(region: Region) -> "dict[str, str]":
    """Id -> name of the projects; empty if this login may not list them, as ids are enough."""
    with suppress(Exception):
        answer, body = region.nova.get(
            "/projects",
            raise_exc=False,
            endpoint_override=None,
            endpoint_filter={
                "service_type": "identity",
                "interface": "public",
                "version": (3, 0),
            },
        )
        if answer.status_code == 200:
            projects = body["projects"]
            return {str(project["id"]): str(project["name"]) for project in projects}
    return {}
