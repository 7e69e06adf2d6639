"""Read Nova's deleted rows in pages: the proof of many terminations in a few requests.

A row proves only that its instance is terminated.  A UUID without a row here is asked about one by
one, and so is every instance once more right before its record is deleted.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from itertools import islice
from math import ceil
from typing import Any

from foreman_hooks.osp_checker.errors import OSPError
from foreman_hooks.osp_checker.pace import Progress
from foreman_hooks.osp_checker.region import Region, unknown_region
from foreman_hooks.osp_checker.sightings import RegionAnswer, Sighting
from foreman_hooks.osp_checker.uuids import parse_uuid

# Nova lists about so many rows in the time that it takes for a request about a single server.
ROWS_A_REQUEST = 50


def look_in_bulk(
    region: Region, uuids: Sequence[str], since: datetime, progress: Progress
) -> RegionAnswer:
    """What Region.look returns; only UUIDs without a deleted row are asked about one by one.

    `since` (aware): older rows are not read.
    """
    try:
        proofs = find_proofs(region, uuids, since)
    except OSPError as error:
        return unknown_region(region.place, uuids, error)
    answer = region.look([uuid for uuid in uuids if uuid not in proofs], progress)
    if answer.error:
        return unknown_region(region.place, uuids, answer.error)
    sightings = {**proofs, **answer.sightings}
    in_order = {uuid: sightings[uuid] for uuid in dict.fromkeys(uuids)}
    return replace(answer, sightings=in_order)


def find_proofs(
    region: Region, uuids: Collection[str], since: datetime
) -> dict[str, Sighting]:
    """UUID -> its DELETED sighting, for those of `uuids` that have a deleted row.

    `since` (aware): only rows that changed after it are read, and no more of them than are worth
    the requests about these UUIDs one by one.  Proves visibility first; raises OSPError.
    """
    wanted = {parse_uuid(text): text for text in uuids}
    pages = ceil(len(uuids) * ROWS_A_REQUEST / region.manners.page_size)
    proofs: dict[str, Sighting] = {}
    known: set[str] = set()
    for row in _deleted_rows(region, since, pages):
        text = wanted.get(row["id"])
        if text is None:
            continue
        proof = region.proof_in(text, row)
        if proof and row["id"] not in known:
            proofs[text] = proof
        else:  # without a time, or in two cells: only further questions tell
            proofs.pop(text, None)
        known.add(row["id"])
    return proofs


def _deleted_rows(
    region: Region, since: datetime, pages: int
) -> Iterator[dict[str, Any]]:
    """The rows on so many pages; none after a row that is not deleted.

    For a role without allow_all_filters Nova drops the filter silently, and lists living servers.
    """
    moment = since.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    filters = {"deleted": "True", "changes-since": moment}
    for page in islice(region.pages("/servers/detail", filters), pages):
        for row in page:
            if row.get("status") not in ("DELETED", "SOFT_DELETED"):
                return
            yield row
