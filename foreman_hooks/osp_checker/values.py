"""What texts and times from outside may be.  Pure."""

from datetime import datetime, timezone
from typing import Optional


def text_of(value: object) -> str:
    """The text, with ? for half a character, which UTF-8 cannot hold; "" if it is not a text."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode()


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold a text: not if it has half a character (a lone surrogate)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def moment(text: object) -> Optional[datetime]:
    """The aware time that Nova prints (UTC, with or without Z or fractions); None if invalid."""
    try:
        naive = datetime.strptime(str(text)[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    when = naive.replace(tzinfo=timezone.utc)
    return when if is_possible(when) else None


def is_possible(when: datetime) -> bool:
    """Whether something can have happened then, and rules can add to it and subtract from it.

    Python has no time before the year 1 or after 9999.
    """
    return 1970 <= when.year < 3000
