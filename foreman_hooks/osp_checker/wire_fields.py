"""What a field of an answer may be.  Each function raises ValueError for anything else.  Pure."""

from datetime import datetime, timezone
from typing import Optional

from foreman_hooks.osp_checker.values import is_possible

_TOO_MANY = 2**31  # of anything that is counted here; no cloud has so many servers


def whole_number(value: object) -> int:
    """The value, if it is a whole number from 0: as an index, -1 would be another place."""
    if type(value) is not int or not 0 <= value < _TOO_MANY:
        raise ValueError(f"{value!r} is not a number")
    return value


def plain_text(value: object) -> str:
    """The value, if it is a text that UTF-8 can hold, as the journal has to."""
    if not isinstance(value, str):
        raise ValueError("a field is not a text")
    value.encode()
    return value


def aware_time(text: Optional[str]) -> Optional[datetime]:
    """The moment that an ISO text with its zone names, in UTC; None for None.

    Raises TypeError if it is neither.
    """
    if text is None:
        return None
    when = datetime.fromisoformat(text)
    if when.utcoffset() is None:
        raise ValueError(f"{text} has no time zone")
    if not is_possible(when):
        raise ValueError(f"{text} is not a time of our days")
    return when.astimezone(timezone.utc)


def iso_text(when: Optional[datetime]) -> Optional[str]:
    """The text of which `aware_time` makes the same moment."""
    return when.isoformat() if when else None
