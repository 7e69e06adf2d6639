"""Read the list of a region's servers with several workers, each from a known UUID on.

Nova accepts any server as the marker of a page, so a list that is sorted by UUID can begin
anywhere.  Build requests stand first on the pages without a marker, in no order, and on no others
(measured on Nova 34), so only the first part has them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker.pace import Progress, workers
from foreman_hooks.osp_checker.region import BadMarker, Region

Page = list[dict[str, Any]]

CANDIDATES = 3  # known UUIDs that are tried as a marker; some may be purged since
_BY_UUID = {"sort_key": "uuid", "sort_dir": "asc"}


class _Part(NamedTuple):
    """A part of the list: it begins after `start` ("" is the beginning) with `first`."""

    start: str
    first: Page
    others: Iterator[Page]


def list_uuids(
    region: Region,
    known: Sequence[str] = (),
    progress: Optional[Progress] = None,
) -> set[str]:
    """The UUIDs of all servers that the region lists, of every project.

    `known`: UUIDs of servers that an earlier run saw there, sorted, about one for each page.  As
    many are needed as there are readers.  Proves visibility first; raises OSPError.

    Servers that are soft-deleted, hidden, or in a cell that is down are not listed (measured), so a
    UUID that is not in the list has to be asked about.
    """
    readers = max(1, min(region.manners.readers, len(known)))
    order = _BY_UUID if readers > 1 else None
    listed: set[str] = set()

    def begin(candidates: Sequence[str]) -> Optional[_Part]:
        for start in candidates:
            pages = region.pages("/servers", order, start)
            try:
                return _Part(start, next(pages, []), pages)
            except BadMarker:
                continue
        return None

    def read(part: _Part, end: str) -> None:
        for page in _up_to(end, part):
            listed.update(server["id"] for server in page)
            if progress:
                progress(len(listed), 0)

    with workers(readers) as pool:
        parts = filter(None, pool.map(begin, _starts(known, readers)))
        # Only now, and in order: a refused marker, or the neighbour in its place, leaves no gap.
        begun = sorted(parts, key=lambda part: part.start)
        ends = [part.start for part in begun[1:]]
        list(pool.map(read, begun, [*ends, ""]))
    return listed


def _starts(known: Sequence[str], readers: int) -> Iterator[Sequence[str]]:
    """For each reader the UUIDs after which it may begin, the preferred one first."""
    yield [""]
    for number in range(1, readers):
        place = len(known) * number // readers
        yield known[place : place + CANDIDATES]


def _up_to(end: str, part: _Part) -> Iterator[Page]:
    """The pages of a part, up to the one that has the server `end` or a later one."""
    page = part.first
    while page:
        yield page
        if end and _reaches(end, page, part):
            return
        page = next(part.others, [])


def _reaches(end: str, page: Page, part: _Part) -> bool:
    if part.start:
        return page[-1]["id"] >= end
    # The last one of a page without a marker may be a build request, whatever its UUID.
    return any(server["id"] == end for server in page)
