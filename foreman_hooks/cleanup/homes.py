"""Many UUIDs in a compact form: sorted, 16 bytes each, searched without unpacking.  Pure.

A million UUIDs take 16 MB and 0.6 s to pack; with a row in SQLite for each, a run would take a
tenth longer.
"""

from collections.abc import Iterable
from uuid import UUID

from foreman_hooks.osp_checker import swap_bytes

_SIZE = 16


def pack(uuids: Iterable[str]) -> bytes:
    """The UUIDs (dashed, lower case) in packed form, each once."""
    text = "".join(sorted(set(uuids)))
    return bytes.fromhex(text.replace("-", ""))


def holds(packed: bytes, uuid: str) -> bool:
    """Whether a UUID (dashed, lower case) is among the packed ones, in either byte order."""
    return _holds(packed, uuid) or _holds(packed, swap_bytes(uuid))


def spread(packed: bytes, count: int) -> list[str]:
    """So many UUIDs, or all if there are fewer, spread evenly."""
    size = len(packed) // _SIZE
    count = min(count, size)
    return [_unpacked(packed, size * number // count) for number in range(count)]


def _unpacked(packed: bytes, number: int) -> str:
    offset = number * _SIZE
    return str(UUID(bytes=packed[offset : offset + _SIZE]))


def _holds(packed: bytes, uuid: str) -> bool:
    """Whether a UUID is among the packed ones in this byte order, by binary search."""
    wanted = bytes.fromhex(uuid.replace("-", ""))
    low = 0
    high = len(packed) // _SIZE
    while low < high:
        middle = (low + high) // 2
        offset = middle * _SIZE
        candidate = packed[offset : offset + _SIZE]
        if candidate == wanted:
            return True
        if candidate < wanted:
            low = middle + 1
        else:
            high = middle
    return False
