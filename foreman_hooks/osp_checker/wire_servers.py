"""The servers in the answer of a delegated check: a row for each, and back.  Pure."""

from collections.abc import Collection, Sequence
from typing import Any, Optional

from foreman_hooks.osp_checker.servers import NOT_RUNNING, Server
from foreman_hooks.osp_checker.sightings import Place, RegionAnswer
from foreman_hooks.osp_checker.uuids import parse_uuid
from foreman_hooks.osp_checker.wire_fields import (
    aware_time,
    iso_text,
    plain_text,
    whole_number,
)

ServerRow = list[Any]


def server_row(number: int, server: Server) -> ServerRow:
    """The row of a server; `number`: of its region among those of the answer."""
    return [
        number,
        server.uuid,
        server.name,
        server.status,
        server.project,
        server.project_name,
        server.image,
        iso_text(server.created),
        iso_text(server.updated),
        iso_text(server.terminated_at),
    ]


def servers_of(
    rows: Sequence[ServerRow], regions: Sequence[RegionAnswer]
) -> tuple[Server, ...]:
    """The servers of these rows, each once in a place, and none of a region that failed.

    Raises ValueError, TypeError and IndexError.
    """
    if not isinstance(rows, list):
        raise ValueError("the servers are not a list")
    servers: dict[tuple[str, Place], Server] = {}
    for row in rows:
        server = _server_of_row(regions, *row)
        if (server.uuid, server.place) in servers:
            raise ValueError(f"two servers {server.uuid} in {server.place}")
        servers[server.uuid, server.place] = server
    return tuple(servers.values())


def _server_of_row(
    regions: Sequence[RegionAnswer],
    number: int,
    uuid: str,
    name: str,
    status: str,
    project: str,
    project_name: str,
    image: str,
    created: Optional[str],
    updated: Optional[str],
    terminated_at: Optional[str],
) -> Server:
    region = regions[whole_number(number)]
    if region.error:
        raise ValueError(f"a server of {region.place}, which failed")
    if parse_uuid(plain_text(uuid)) != uuid:
        raise ValueError("a server without a UUID")
    return Server(
        uuid,
        *region.place,
        name=plain_text(name),
        status=plain_text(status),
        project=plain_text(project),
        project_name=plain_text(project_name),
        image=plain_text(image),
        created=aware_time(created),
        updated=aware_time(updated),
        terminated_at=aware_time(terminated_at),
    )


def answers_mode(server: Server, mode: str, named: Collection[str]) -> bool:
    """Whether a server may be in the answer to a question of this mode.

    `named`: the UUIDs of the question, in both byte orders.
    """
    if mode == "deleted":
        return server.status == "DELETED" and server.terminated_at is not None
    if mode == "inactive":
        return server.status in NOT_RUNNING
    return server.uuid not in named
