"""Servers of OpenStack without a host record in Satellite: nobody patches them."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker.pace import Progress
from foreman_hooks.osp_checker.region import Region
from foreman_hooks.osp_checker.uuids import swap_bytes
from foreman_hooks.satellite.errors import SatelliteError
from foreman_hooks.satellite.times import parse_time


class Server(NamedTuple):
    """One server as a list describes it; `project_name` is "" where the login may not see it,
    `image` where none is.

    `created` is aware, UTC, None where it cannot be read.
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
    """Which servers are wanted; what is None or empty does not narrow.

    `project` and `image` are ids or names, `name` is a part of the server's (case does not matter).
    """

    project: Optional[str] = None
    name: Optional[str] = None
    image: Optional[str] = None
    older_than: Optional[timedelta] = None

    def takes(self, server: Server, now: datetime) -> bool:
        """Whether the server is wanted; one without a time of creation is of any age."""
        return (
            (self.project is None or self.project in (server.project, server.project_name))
            and (self.name is None or self.name.lower() in server.name.lower())
            and (self.image is None or self.image == server.image)
            and (
                self.older_than is None
                or server.created is None
                or now - server.created >= self.older_than
            )
        )


def unmanaged(
    servers: Iterable[Server], known: Collection[str], wanted: Filter, now: datetime
) -> Iterator[Server]:
    """The servers whose UUID no host record names, in either byte order."""
    known = {form for uuid in known for form in (uuid, swap_bytes(uuid))}
    return (server for server in servers if server.uuid not in known and wanted.takes(server, now))


def described(region: Region, progress: Optional[Progress] = None) -> list[Server]:
    """All servers that a region lists, of every project; raises OSPError."""
    found = {
        server["id"]: server
        for page in region.pages("/servers/detail", progress)
        for server in page
    }
    names = _project_names(region)
    return [_server(region, one, names) for one in found.values()]


def _server(region: Region, one: "dict[str, Any]", names: "dict[str, str]") -> Server:
    project, image, created = str(one.get("tenant_id") or ""), one.get("image"), None
    with suppress(SatelliteError):  # a time that cannot be read
        created = parse_time(one.get("created"))
    return Server(
        one["id"],
        str(one.get("name") or ""),
        str(one.get("status") or ""),
        region.cloud,
        region.region,
        project,
        names.get(project, ""),
        str(image["id"]) if isinstance(image, dict) else "",
        created,
    )


def _project_names(region: Region) -> "dict[str, str]":
    """Id -> name of the projects; empty where this login may not list them: ids do as well."""
    with suppress(Exception):
        answer, body = region.nova.get(
            "/projects",
            raise_exc=False,
            endpoint_override=None,
            endpoint_filter={"service_type": "identity", "interface": "public", "version": (3, 0)},
        )
        if answer.status_code == 200:
            return {str(one["id"]): str(one["name"]) for one in body["projects"]}
    return {}
