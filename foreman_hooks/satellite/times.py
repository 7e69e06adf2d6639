"""Times as Foreman's responses print them, and as its search language reads them."""

import re
from datetime import datetime, timezone
from typing import Optional

from foreman_hooks.osp_checker.values import is_possible
from foreman_hooks.satellite.errors import SatelliteError

# The end of a time, in any of the three formats.
_ZONE = re.compile(r" ?UTC$|Z$| ?([+-]\d\d):?(\d\d)$")
_SHOWN = 40  # characters of a bad time in a message


def parse_time(text: object) -> Optional[datetime]:
    """The aware time in a response of Foreman (or Nova); None for None and "".

    Lists print `2022-11-03 11:43:54 UTC`, older servers `2016-05-26 10:46:18 -0400`, DELETE
    `2022-11-25T11:51:59.179Z`.  Raises SatelliteError for a text that is none of these.
    """
    if text is None or text == "":
        return None
    printed = str(text)
    offset = "+00:00" if printed.endswith(("UTC", "Z")) else r"\1:\2"
    try:
        when = datetime.fromisoformat(_ZONE.sub(offset, printed))
    except ValueError:
        when = None
    if when is None or when.tzinfo is None or not is_possible(when):
        raise SatelliteError(f"a time that cannot be read: {printed[:_SHOWN]!r}")
    return when


def search_time(when: datetime) -> str:
    """An aware time as a quoted value of Foreman's search language."""
    return when.astimezone(timezone.utc).strftime('"%Y-%m-%d %H:%M:%S UTC"')
