"""Whether the machine behind a host record runs, is off, or is gone.  Pure.

A state is for people to look at; nothing is ever deleted because of it.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import NamedTuple, Optional

from foreman_hooks.osp_checker import Place, Presence, Sighting
from foreman_hooks.rules.model import Identity, Reason
from foreman_hooks.rules.verdict import tombstone


class State(str, Enum):
    """What OpenStack says of the machine behind a host record, in the order of listings."""

    SILENT = "running-silent"  # it runs, but has not checked in for a while
    ERROR = "error"
    UNKNOWN = "unknown"  # a cloud or Satellite could not say
    OFF = "off"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    SHELVED = "shelved"
    RESCUED = "rescued"  # a rescue system runs in its place
    BUILDING = "building"
    SOFT_DELETED = "soft-deleted"  # deleted, and can still be restored
    TERMINATED = "terminated"  # with proof
    ABSENT = "absent"  # without a trace in the regions that were asked
    RUNNING = "running"
    UNIDENTIFIED = "unidentified"  # no facts say what it is
    OTHER = "not-openstack"

    def __str__(self) -> str:
        return self.value


# Nova's word -> the state.  The words for a server that runs are those that it has while it is busy
# for a moment; "" is one that a list of running servers contains.
_STATES = {
    **dict.fromkeys(
        (
            "",
            "ACTIVE",
            "HARD_REBOOT",
            "MIGRATING",
            "PASSWORD",
            "REBOOT",
            "REBUILD",
            "RESIZE",
            "REVERT_RESIZE",
            "VERIFY_RESIZE",
        ),
        State.RUNNING,
    ),
    "BUILD": State.BUILDING,
    "ERROR": State.ERROR,
    "PAUSED": State.PAUSED,
    "RESCUE": State.RESCUED,
    "SHELVED": State.SHELVED,
    "SHELVED_OFFLOADED": State.SHELVED,
    "SHUTOFF": State.OFF,
    "SOFT_DELETED": State.SOFT_DELETED,
    "SUSPENDED": State.SUSPENDED,
}
_UNASKED = {
    Reason.NOT_OPENSTACK: State.OTHER,
    Reason.OUT_OF_SIGHT: State.UNKNOWN,
}


class Machine(NamedTuple):
    """What is known of the machine behind a host record; "" and None for what is not.

    `status`: Nova's own word.  `project`: its id.  `terminated_at`: aware, UTC; only if TERMINATED.
    `detail`: what else people need to know, such as why the state is unknown.
    """

    state: State
    cloud: str = ""
    region: str = ""
    project: str = ""
    status: str = ""
    terminated_at: Optional[datetime] = None
    detail: str = ""


def state_of(status: str, silent: bool) -> State:
    """The state of a server with that status; UNKNOWN for a word that Nova has not had so far.

    `silent`: its host has not checked in for a while.
    """
    state = _STATES.get(status, State.UNKNOWN)
    return State.SILENT if silent and state is State.RUNNING else state


def machine_of(
    identity: Identity, sightings: Sequence[Sighting], silent: bool
) -> Machine:
    """What the sightings of all UUIDs of a host say of its machine.

    One that exists counts most, then one that is unknown, then the proof of a termination.
    """
    if identity.reason:
        state = _UNASKED.get(identity.reason, State.UNIDENTIFIED)
        return Machine(state, detail=identity.facts or identity.reason.value)
    for sighting in sightings:
        if sighting.presence is Presence.PRESENT:
            # In the other byte order, more words follow the status.
            status = sighting.detail.partition(" ")[0]
            return _seen(sighting, state_of(status, silent), status)
    for sighting in sightings:
        if sighting.presence not in (Presence.DELETED, Presence.ABSENT):
            return Machine(State.UNKNOWN, detail=sighting.detail)
    proof = tombstone(sightings)
    if proof:
        return _seen(proof, State.TERMINATED)
    if not sightings:
        return Machine(State.UNKNOWN, detail="not asked about")
    why = identity.doubt.value if identity.doubt else sightings[0].detail
    return Machine(State.ABSENT, detail=why)


@lru_cache(maxsize=1024)  # all machines of a region share two values
def listed_machine(place: Place, silent: bool) -> Machine:
    """A machine of which only a list of all servers says that it is in that place."""
    return Machine(state_of("", silent), place.cloud, place.region)


def _seen(sighting: Sighting, state: State, status: str = "") -> Machine:
    return Machine(
        state=state,
        cloud=sighting.cloud,
        region=sighting.region,
        project=sighting.project,
        status=status,
        terminated_at=sighting.terminated_at,
    )
