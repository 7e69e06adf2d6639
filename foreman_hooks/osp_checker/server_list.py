"""Read the list of a region's servers with several readers, each a part of it.

A page without a marker shows where the parts can begin: Nova's UUIDs are random, and any server can
be the marker of a page, so a list that is sorted by UUID can begin anywhere and go up or down.

Build requests, which are not in a cell yet, stand first on the pages without a marker, in no order,
and on no others (measured on Nova 34).  So the first page has them, and it is read before the parts
begin: a server that is in no part because it was a build request until then is on that page.
"""

from bisect import bisect
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker.pace import Progress, workers
from foreman_hooks.osp_checker.region import BadMarker, Region

Page = list[dict[str, Any]]

CANDIDATES = 3  # servers that are tried as the marker of a part


class _Part(NamedTuple):
    """The pages of a part; it begins next to the server `start`, which is not in it."""

    start: str
    pages: Iterator[Page]


class _Beginning(NamedTuple):
    """Where a part may begin, the preferred server first, and in which direction it goes."""

    candidates: Sequence[str]
    direction: str  # "asc" or "desc"


def list_uuids(
    region: Region,
    progress: Optional[Progress] = None,
) -> set[str]:
    """The UUIDs of all servers that the region lists, of every project.

    Proves visibility first; raises OSPError.  Whatever changes in between, a server that is in the
    list from the first to the last request is among them, unless there are so many build requests
    that they fill a page.

    Servers that are soft-deleted, hidden, or in a cell that is down are not listed (measured), so a
    UUID that is not in the list has to be asked about.
    """
    listed: set[str] = set()

    def read(pages: Iterator[Page]) -> None:
        for page in pages:
            listed.update(server["id"] for server in page)
            if progress:
                progress(len(listed), 0)

    newest_first = region.pages("/servers")
    newest = next(newest_first, [])
    read(iter([newest]))
    with workers(region.manners.readers) as pool:
        parts = _parts(region, newest, pool)
        list(pool.map(read, parts or [newest_first]))
    return listed


def _parts(
    region: Region,
    newest: Page,
    pool: ThreadPoolExecutor,
) -> list[Iterator[Page]]:
    """The pages of each part; none if there is one reader, one page, or a part cannot begin."""
    readers = region.manners.readers
    if readers == 1 or len(newest) < region.manners.page_size:
        return []
    known = sorted(server["id"] for server in newest)
    beginnings = _beginnings(known, readers)
    parts = list(pool.map(partial(_begin, region), beginnings))
    begun = [part for part in parts if part]
    if len(begun) < len(parts):
        return []
    lowest, *others = begun
    others.sort(key=lambda part: part.start)
    pages = [lowest.pages]
    for part, following in zip(others, others[1:]):
        pages.append(_up_to(following.start, part.pages))
    pages.append(others[-1].pages)
    return pages


def _beginnings(known: list[str], readers: int) -> Iterator[_Beginning]:
    """One part down from a server, and the others up from it and from later ones.

    If that server is no marker any more, the part that goes down begins above it and the one that
    goes up below it, so there is no gap between them.
    """
    for number in range(1, readers):
        share = 256 * number // readers
        place = bisect(known, f"{share:02x}")
        place = min(place, len(known) - 1)
        if number == 1:
            above = known[place:]
            yield _Beginning(above[:CANDIDATES], "desc")
        below = known[: place + 1]
        below.reverse()
        yield _Beginning(below[:CANDIDATES], "asc")


def _begin(region: Region, beginning: _Beginning) -> Optional[_Part]:
    """The part that begins at the first possible server, its first page read; None if at none."""
    order = {"sort_key": "uuid", "sort_dir": beginning.direction}
    for start in beginning.candidates:
        pages = region.pages("/servers", order, start)
        try:
            first = next(pages, [])
        except BadMarker:  # purged, or not mapped
            continue
        if _follows(first, start, beginning.direction):
            return _Part(start, chain([first], pages))
    return None


def _follows(page: Page, start: str, direction: str) -> bool:
    """Whether the page goes on from that server; after a build request the whole list begins."""
    uuids = [start, *(server["id"] for server in page)]
    return uuids == sorted(uuids, reverse=direction == "desc")


def _up_to(end: str, pages: Iterator[Page]) -> Iterator[Page]:
    """The pages of a part that goes up, until one has the server `end` or a later one."""
    for page in pages:
        yield page
        if page and page[-1]["id"] >= end:
            return
