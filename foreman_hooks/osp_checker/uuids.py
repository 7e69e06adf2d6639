"""UUIDs of instances, and the two byte orders in which firmware reports them."""

import re
from collections.abc import Iterable
from typing import Optional

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NO_IDENTITY = (
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
)


def parse_uuid(text: object) -> Optional[str]:
    """The lower-case dashed form of a UUID; None if `text` is not one or names no machine.

    Nova answers 404, never 400, to any other form, so the form is checked here.  Firmware without
    an identity reports all zeros or all F.
    """
    if not text:
        return None
    form = str(text).strip().lower()
    if not _UUID.fullmatch(form) or form in _NO_IDENTITY:
        return None
    return form


def swap_bytes(form: str) -> str:
    """The UUID with its first three fields in the other byte order, in dashed lower case.

    SMBIOS before and after 2.6 differ in that order, and so do the tools that read it (Candlepin
    looks up both, too).  The function is its own inverse.  `form`: dashed, lower case.
    """
    # Slices, because this runs for every host, and uuid.UUID takes ten times as long.
    first = form[6:8] + form[4:6] + form[2:4] + form[:2]
    second = form[11:13] + form[9:11]
    third = form[16:18] + form[14:16]
    return f"{first}-{second}-{third}{form[18:]}"


def both_orders(uuids: Iterable[str]) -> set[str]:
    """These UUIDs (dashed, lower case), each in both byte orders."""
    forms = set(uuids)
    return forms | {swap_bytes(form) for form in forms}
