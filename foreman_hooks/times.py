"""Time spans as people write them: 90s, 30m, 72h, 3d, 4h30m."""

import re
from datetime import timedelta
from typing import Optional

DEADLINE = timedelta(hours=2)  # when a command ends, unless the configuration says otherwise

_UNITS = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("m", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
    ("ms", timedelta(milliseconds=1)),
)
_FORM = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit, _ in _UNITS))


def parse(text: str) -> Optional[timedelta]:
    """The time span that `text` names, the largest unit first; None where it names none."""
    match = _FORM.fullmatch(text.strip())
    if not match or not match[0]:
        return None
    try:
        return sum(
            (int(count) * length for count, (_, length) in zip(match.groups(), _UNITS) if count),
            timedelta(),
        )
    except OverflowError:
        return None


def spell(span: timedelta) -> str:
    """The span as `parse` reads it: hours at most, as 72h and 4h30m are easier to compare than
    days.
    """
    parts = []
    for unit, length in _UNITS[1:]:
        count, span = divmod(span, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
