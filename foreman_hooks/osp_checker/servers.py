"""Servers as Nova's detailed lists describe them: deleted, not active, or without a host record.

A list says what servers there are, and proves nothing about those that it leaves out.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker.errors import OSPForbidden
from foreman_hooks.osp_checker.pace import Progress
from foreman_hooks.osp_checker.region import Region
from foreman_hooks.osp_checker.sightings import Place, RegionAnswer
from foreman_hooks.osp_checker.values import moment, text_of

# What Nova calls a server that does not run, is not yet running, or needs somebody to look at it.
# All others are ACTIVE or busy for a moment (REBOOT, MIGRATING, ...).
NOT_RUNNING = (
    "SHUTOFF",
    "PAUSED",
    "SUSPENDED",
    "SHELVED",
    "SHELVED_OFFLOADED",
    "ERROR",
    "RESCUE",
    "BUILD",
)
_DELETED = ("DELETED", "SOFT_DELETED")


class Server(NamedTuple):
    """One server as a list describes it; "" and None for what it does not say.

    `status`: Nova's word for it, such as SHUTOFF.  `project`, `image`: ids.  `project_name`: "" if
    the login may not see it.  `created`, `updated`, `terminated_at`: aware, UTC; Nova prints the
    present time as `updated` if the row has none.
    """

    uuid: str
    cloud: str
    region: str
    name: str = ""
    status: str = ""
    project: str = ""
    project_name: str = ""
    image: str = ""
    created: Optional[datetime] = None
    updated: Optional[datetime] = None
    terminated_at: Optional[datetime] = None

    @property
    def place(self) -> Place:
        """The cloud and region that list it."""
        return Place(self.cloud, self.region)


@dataclass(frozen=True)
class Servers:
    """The servers that the clouds in scope list, and how each region answered.

    `at`: when a checker host answered, by its own clock (aware); None if this machine asked.
    """

    regions: tuple[RegionAnswer, ...]
    servers: tuple[Server, ...]
    at: Optional[datetime] = None


def deleted_servers(
    region: Region, since: datetime, progress: Optional[Progress] = None
) -> Iterator[Server]:
    """The servers that were deleted since a time (aware) and have a time of termination.

    Proves visibility first; raises OSPError, and OSPForbidden if the list holds living servers:
    Nova silently drops the filter for a role without allow_all_filters.
    """
    when = since.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    filters = {"deleted": "True", "changes-since": when}
    for server in _servers(region, filters, progress):
        if server.status not in _DELETED:
            raise OSPForbidden(
                f"{region.name}: the list of deleted servers holds others, because this role lacks "
                "Nova's allow_all_filters; see docs/roles.md"
            )
        if server.status == "DELETED" and server.terminated_at:
            yield server


def inactive_servers(
    region: Region, progress: Optional[Progress] = None
) -> Iterator[Server]:
    """The listed servers whose status is in NOT_RUNNING.

    Proves visibility first; raises OSPError.
    """
    for server in _servers(region, {"status": NOT_RUNNING}, progress):
        # Nova filters by the sets of states behind the words, so others are listed, too.
        if server.status in NOT_RUNNING:
            yield server


def unmanaged_servers(
    region: Region, managed: Collection[str], progress: Optional[Progress] = None
) -> Iterator[Server]:
    """The listed servers whose UUID is not in `managed` (dashed, lower case, both byte orders).

    Proves visibility first; raises OSPError.
    """
    names = _project_names(region)
    for server in _servers(region, {}, progress):
        if server.uuid not in managed:
            yield server._replace(project_name=names.get(server.project, ""))


def _servers(
    region: Region, filters: Mapping[str, Any], progress: Optional[Progress]
) -> Iterator[Server]:
    """The servers of a detailed list, each once."""
    known: set[str] = set()
    for page in region.pages("/servers/detail", filters):
        for body in page:
            if body["id"] not in known:
                known.add(body["id"])
                yield _server(region, body)
        if progress:
            progress(len(known), 0)


def _server(region: Region, body: Mapping[str, Any]) -> Server:
    image = body.get("image")
    return Server(
        uuid=body["id"],
        cloud=region.cloud,
        region=region.region,
        name=text_of(body.get("name")),
        status=text_of(body.get("status")),
        project=text_of(body.get("tenant_id")),
        image=text_of(image.get("id")) if isinstance(image, dict) else "",
        created=moment(body.get("created")),
        updated=moment(body.get("updated")),
        terminated_at=moment(body.get("OS-SRV-USG:terminated_at")),
    )


def _project_names(region: Region) -> dict[str, str]:
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
            return _names(body["projects"])
    return {}


def _names(projects: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {text_of(project["id"]): text_of(project["name"]) for project in projects}
