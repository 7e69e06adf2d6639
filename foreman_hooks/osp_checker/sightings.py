"""What OpenStack says about UUIDs: the values that a checker returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple, Optional

from foreman_hooks.osp_checker.errors import OSPError


class Place(NamedTuple):
    """One region of one cloud; as text `CLOUD/REGION`."""

    cloud: str
    region: str

    def __str__(self) -> str:
        return f"{self.cloud}/{self.region}"


class Presence(str, Enum):
    """What Nova says about one UUID.  Nothing ever turns UNKNOWN into ABSENT or DELETED."""

    PRESENT = "present"
    DELETED = "deleted"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    INVALID = "invalid"

    def __str__(self) -> str:
        return self.value


_CODES = {
    Presence.PRESENT: 200,
    Presence.INVALID: 400,
    Presence.DELETED: 404,
    Presence.ABSENT: 404,
    Presence.UNKNOWN: 500,
}


class Sighting(NamedTuple):
    """One UUID in one cloud and region.

    `detail`: the server's status if PRESENT, else what the presence rests on.  `terminated_at`:
    aware, UTC; set only if DELETED.  `project`: the id of the project that the server belongs to;
    "" if Nova did not say.
    """

    uuid: str
    cloud: str
    region: str
    presence: Presence
    detail: str = ""
    terminated_at: Optional[datetime] = None
    project: str = ""

    @property
    def place(self) -> Place:
        """The cloud and region that were asked."""
        return Place(self.cloud, self.region)

    @property
    def code(self) -> int:
        """200 exists, 400 not a UUID, 404 does not exist, 500 not known."""
        return _CODES[self.presence]


@dataclass(frozen=True)
class RegionAnswer:
    """How one region answered, and how far the answer can be trusted.

    `servers`: how many it lists; None if no list was read.  `proof`: what shows that the login sees
    the servers of all projects.  `error`: why the whole region is unknown; None if it answered.
    `unlisted`: compute regions of the login's catalog that are neither in scope nor ignored by
    name.  `sightings`: UUID -> Sighting, for each UUID that this region was asked about.
    """

    cloud: str
    region: str
    servers: Optional[int] = None
    proof: str = ""
    error: Optional[OSPError] = None
    unlisted: tuple[str, ...] = ()
    sightings: Mapping[str, Sighting] = field(default_factory=dict, repr=False)

    @property
    def place(self) -> Place:
        """The cloud and region that were asked."""
        return Place(self.cloud, self.region)


@dataclass(frozen=True)
class Survey:
    """What all clouds in scope know of the UUIDs that were asked about.

    `alive`: UUID -> the place that lists it; nothing more was asked about it.  `asked`: UUID -> a
    Sighting for each region, if it was asked about one by one.  `at`: when a checker host answered,
    by its own clock (aware); None if this machine asked the clouds.
    """

    regions: tuple[RegionAnswer, ...]
    alive: Mapping[str, Place]
    asked: Mapping[str, tuple[Sighting, ...]]
    at: Optional[datetime] = None

    def of(self, uuid: str) -> tuple[Sighting, ...]:
        """The sightings of one UUID; empty if it was not asked about."""
        place = self.alive.get(uuid)
        if place:
            return (
                Sighting(uuid, place.cloud, place.region, Presence.PRESENT, "listed"),
            )
        return self.asked.get(uuid, ())
