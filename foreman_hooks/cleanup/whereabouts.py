"""Where the instance of a host is, by what the clouds answered."""

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
    """Whether every cloud answered and none has the host alive.

    Only then is there a reason to look at its record.
    """
    gone = (Presence.ABSENT, Presence.DELETED)
    sightings = sightings_of(uuids, survey)
    return bool(sightings) and all(sighting.presence in gone for sighting in sightings)


def homes_now(uuids: Iterable[str], survey: Survey) -> dict[Place, list[str]]:
    """Where the host is alive: place -> those of its UUIDs that are present there."""
    homes: dict[Place, list[str]] = {}
    for sighting in sightings_of(uuids, survey):
        if sighting.presence is Presence.PRESENT:
            homes.setdefault(sighting.place, []).append(sighting.uuid)
    return homes


def terminated_at(uuids: Iterable[str], survey: Survey) -> Optional[datetime]:
    """When the instance was terminated (aware, UTC); None without proof of the termination."""
    proof = tombstone(sightings_of(uuids, survey))
    return proof.terminated_at if proof else None
