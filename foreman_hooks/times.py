"""Time spans as people write them (90s, 30m, 72h, 3d, 4h30m), and moments as text."""

import re
from datetime import datetime, timedelta, timezone
from typing import Optional

# When a command ends, unless the configuration sets 'deadline'.
DEADLINE = timedelta(hours=2)

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_SPAN = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in _UNITS))


def parse(text: str) -> Optional[timedelta]:
    """The time span in `text`, whose largest unit comes first; None if it is not a time span."""
    match = _SPAN.fullmatch(text.strip())
    if not match or not match[0]:
        return None
    span = timedelta()
    try:
        for count, length in zip(match.groups(), _UNITS.values()):
            if count:
                span += int(count) * length
    except OverflowError:
        return None
    return span


def spell(span: timedelta) -> str:
    """The span as `parse` reads it, in units up to hours: 72h and 4h30m are easy to compare."""
    parts = []
    for unit, length in _UNITS.items():
        if unit == "d":
            continue
        count, span = divmod(span, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def rough(span: timedelta) -> str:
    """How long ago something was, in its largest unit: `3 days`, `1 hour`, `0 minutes`."""
    count, unit = span // timedelta(minutes=1), "minute"
    for name, minutes in (("hour", 60), ("day", 24 * 60)):
        if span >= timedelta(minutes=minutes):
            count, unit = span // timedelta(minutes=minutes), name
    return f"1 {unit}" if count == 1 else f"{count} {unit}s"


def countdown(span: timedelta) -> str:
    """How long to wait, in its two largest units, rounded up to minutes: `2d 4h`, `3h 5m`."""
    minutes = -(-span // timedelta(minutes=1))
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m"


def hammer_time(when: datetime) -> str:
    """An aware time as hammer prints it, with its zone: 2025/03/01 12:30:05 UTC."""
    return when.astimezone(timezone.utc).strftime("%Y/%m/%d %H:%M:%S UTC")


def iso_z(when: datetime) -> str:
    """An aware time in ISO 8601, in UTC, to the second: 2025-03-01T12:30:05Z."""
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_iso_z(text: str) -> Optional[datetime]:
    """The aware time that `iso_z` wrote; None for any other text."""
    try:
        when = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return None
    return when.replace(tzinfo=timezone.utc)


def iso(when: datetime, timespec: str = "auto") -> str:
    """An aware time in ISO 8601, in UTC; `timespec` as for datetime.isoformat."""
    return when.astimezone(timezone.utc).isoformat(timespec=timespec)
