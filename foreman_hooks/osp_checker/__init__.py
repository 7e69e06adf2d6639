"""Ask OpenStack whether instances still exist: the lightweight checker library.

    from foreman_hooks.osp_checker import Region

    region = Region.open("prod", "RegionOne")  # names from clouds.yaml, or OS_* variables
    for sighting in region.look(["7f3c1f0e-..."]).sightings.values():
        print(sighting.uuid, sighting.presence, sighting.code, sighting.detail)

From the outside in: checker (all clouds at once), region (how "terminated" is decided), login (one
login and its catalog), config (clouds.yaml), session (how we speak to Keystone), pace (how fast a
server is asked), errors (what went wrong, in words), echo (what a server repeats of a request),
sightings, servers, uuids and values (what it says), wire (an answer as a line of text), yaml_limits
and yaml_problems (what a file may hold, and what is wrong with it).

It needs keystoneauth1, python-novaclient and openstacksdk, and nothing else of this package, so
that it travels whole in a job template.
"""

from foreman_hooks.osp_checker.checker import (
    Checker,
    CloudScope,
    LocalChecker,
    ServerLists,
)
from foreman_hooks.osp_checker.config import cloud_names, region_names
from foreman_hooks.osp_checker.errors import (
    OSPConfigError,
    OSPError,
    OSPForbidden,
    OSPLoginError,
)
from foreman_hooks.osp_checker.pace import Manners, Progress
from foreman_hooks.osp_checker.region import Region
from foreman_hooks.osp_checker.servers import Server, Servers
from foreman_hooks.osp_checker.sightings import (
    Place,
    Presence,
    RegionAnswer,
    Sighting,
    Survey,
)
from foreman_hooks.osp_checker.uuids import both_orders, parse_uuid, swap_bytes

__all__ = [
    "Checker",
    "CloudScope",
    "LocalChecker",
    "Manners",
    "OSPConfigError",
    "OSPError",
    "OSPForbidden",
    "OSPLoginError",
    "Place",
    "Presence",
    "Progress",
    "Region",
    "RegionAnswer",
    "Server",
    "ServerLists",
    "Servers",
    "Sighting",
    "Survey",
    "both_orders",
    "cloud_names",
    "parse_uuid",
    "region_names",
    "swap_bytes",
]
