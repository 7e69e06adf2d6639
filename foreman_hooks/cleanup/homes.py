"""Many UUIDs in a compact form: sorted, 16 bytes each, looked up without unpacking.  Pure.

A million of them are 16 MB, packed in 0.6 s; a row of SQLite for each would cost a run a tenth of
its time.
"""

from collections.abc import Iterable

from foreman_hooks.osp_checker.uuids import swap_bytes

_SIZE = 16


def pack(uuids: Iterable[str]) -> bytes:
    """The UUIDs (lower case, dashed), each once."""
    return bytes.fromhex("".join(sorted(set(uuids))).replace("-", ""))


def holds(packed: bytes, uuid: str) -> bool:
    """Whether a UUID is among them, in either byte order."""
    return _holds(packed, uuid) or _holds(packed, swap_bytes(uuid))


def _holds(packed: bytes, uuid: str) -> bool:
    wanted = bytes.fromhex(uuid.replace("-", ""))
    low, high = 0, len(packed) // _SIZE
    while low < high:
        middle = (low + high) // 2
        at = packed[middle * _SIZE : (middle + 1) * _SIZE]
        if at == wanted:
            return True
        low, high = (middle + 1, high) if at < wanted else (low, middle)
    return False
