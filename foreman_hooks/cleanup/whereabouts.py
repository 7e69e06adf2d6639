"""Where the instance of a host is, according to the answers of the clouds."""

from collections.abc import Iterable
from datetime import datetime
from typing import Optional

from foreman_hooks.osp_checker import Place, Presence, Sighting, Survey
from foreman_hooks.rules.verdict import tombstone


def sightings_of(uuids: Iterable[str], survey: Survey) -> tuple[Sighting, ...]:
    """The sightings of all UUIDs of one host, in their order."""
    sightings: list[Sighting] = []
    for uuid in uuids:
        sightings += survey.of(uuid)
    return tuple(sightings)


def is_missing(uuids: Iterable[str], survey: Survey) -> bool:
    """Whether every cloud answered, and none has an instance with one of these UUIDs alive.

    Only then is there a reason to look at the host's record.
    """
    not_alive = (Presence.ABSENT, Presence.DELETED)
    sightings = sightings_of(uuids, survey)
    return bool(sightings) and all(
        sighting.presence in not_alive for sighting in sightings
    )


def homes_now(uuids: Iterable[str], survey: Survey) -> dict[Place, list[str]]:
    """Place -> those of these UUIDs that are PRESENT there."""
    homes: dict[Place, list[str]] = {}
    for sighting in sightings_of(uuids, survey):
        if sighting.presence is Presence.PRESENT:
            homes.setdefault(sighting.place, []).append(sighting.uuid)
    return homes


def terminated_at(uuids: Iterable[str], survey: Survey) -> Optional[datetime]:
    """When the instance was terminated (aware, UTC); None without proof of the termination."""
    proof = tombstone(sightings_of(uuids, survey))
    return proof.terminated_at if proof else None
