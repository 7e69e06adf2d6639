"""When scheduled runs start, as cron and systemd write it.  Pure, but for the zone of the machine.

Both read the times of a schedule in the machine's local time.
"""

import re
import zlib
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, Optional

_DAY = 24  # hours
SPANS = tuple(hours for hours in range(1, _DAY + 1) if _DAY % hours == 0)
# In the zones of Europe and America, no clock change skips this hour.
_NIGHT = 3
_CRON = re.compile(r"(\d{1,2}) (\*|\*/\d{1,2}|\d{1,2}) \* \* \*")
_CALENDAR = re.compile(r"\*-\*-\* (\*|00/\d{1,2}|\d{1,2}):(\d{2}):00")


class Timing(NamedTuple):
    """Every so many hours, at a minute.

    `hours`: one of SPANS.  `hour`: of the day; 0 unless `hours` is 24.
    """

    hours: int
    minute: int
    hour: int = 0

    def __str__(self) -> str:
        """For people: `every 4 hours at minute 17`."""
        if self.hours == _DAY:
            return f"every day at {self.hour:02}:{self.minute:02} (local time)"
        span = "hour" if self.hours == 1 else f"{self.hours} hours"
        return f"every {span} at minute {self.minute}"

    @property
    def cron(self) -> str:
        """The five fields of crontab(5)."""
        return f"{self.minute} {self._hours('*/')} * * *"

    @property
    def calendar(self) -> str:
        """The value of OnCalendar, systemd.time(7)."""
        return f"*-*-* {self._hours('00/')}:{self.minute:02}:00"

    def _hours(self, step: str) -> str:
        if self.hours == _DAY:
            return f"{self.hour:02}"
        return "*" if self.hours == 1 else f"{step}{self.hours}"

    def next_after(self, now: datetime) -> datetime:
        """The time of the next run (UTC); `now`: aware."""
        local = now.astimezone().replace(minute=self.minute, second=0, microsecond=0)
        clock = local.replace(tzinfo=None)
        # One hour more than a day has after a clock change.
        for _ in range(_DAY + 2):
            when = clock.astimezone(timezone.utc)
            if when > now and clock.hour % self.hours == self.hour:
                return when
            clock += timedelta(hours=1)
        raise ValueError(f"no hour of the day is {self}")


def every(hours: int, host: str) -> Timing:
    """The timing of runs every so many hours, at a minute that the host name gives."""
    return Timing(hours, _minute(host), _NIGHT if hours == _DAY else 0)


def _minute(host: str) -> int:
    """The minute of the hour; it differs between hosts, to spread the load on a cloud."""
    return zlib.crc32(host.encode()) % 60


def read_cron(line: str) -> Optional[Timing]:
    """The timing at the beginning of a line of cron; None if `Timing.cron` does not write so."""
    match = _CRON.match(line)
    return _read(match[2], "*/", match[1]) if match else None


def read_calendar(value: str) -> Optional[Timing]:
    """The timing in a value of OnCalendar; None if `Timing.calendar` does not write so."""
    match = _CALENDAR.fullmatch(value)
    return _read(match[1], "00/", match[2]) if match else None


def _read(hours: str, step: str, minute: str) -> Optional[Timing]:
    if hours == "*":
        timing = Timing(1, int(minute))
    elif hours.startswith(step):
        timing = Timing(int(hours[len(step) :]), int(minute))
    else:
        timing = Timing(_DAY, int(minute), int(hours))
    is_valid = timing.hours in SPANS and timing.hour < _DAY and timing.minute < 60
    return timing if is_valid else None
