"""When scheduled runs start, as cron and systemd write it.  Pure, but for the zone of the machine.

Both read the times of a schedule in the machine's local time.
"""

import re
import zlib
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, Optional

_HOUR, _DAY = 60, 24 * 60  # minutes
SPANS = (60, 120, 180, 240, 360, 480, 720, _DAY)  # of full runs
QUICK_SPANS = (5, 10, 15, 20, 30)  # of quick runs
# In the zones of Europe and America, no clock change skips this hour.
_NIGHT = 3
# `step`: a run every so many minutes.  `hours`: every so many hours.  `hour`: once a day.
_CRON = re.compile(
    r"(?P<minute>\d{1,2})(-59/(?P<step>\d{1,2}))? "
    r"(\*|\*/(?P<hours>\d{1,2})|(?P<hour>\d{1,2})) \* \* \*"
)
_CALENDAR = re.compile(
    r"\*-\*-\* (\*|00/(?P<hours>\d{1,2})|(?P<hour>\d{1,2}))"
    r":(?P<minute>\d{2})(/(?P<step>\d{1,2}))?:00"
)


class Timing(NamedTuple):
    """Every so many minutes.

    `span`: between two runs, in minutes; one of SPANS or QUICK_SPANS.  `minute`: of the first run
    in an hour.  `hour`: of the day; 0 unless `span` is a day.
    """

    span: int
    minute: int
    hour: int = 0

    def __str__(self) -> str:
        """For people: `every 4 hours at minute 17`."""
        if self.span == _DAY:
            return f"every day at {self.hour:02}:{self.minute:02} (local time)"
        if self.span < _HOUR:
            return f"every {self.span} minutes"
        hours = self.span // _HOUR
        span = "hour" if hours == 1 else f"{hours} hours"
        return f"every {span} at minute {self.minute}"

    @property
    def cron(self) -> str:
        """The five fields of crontab(5)."""
        minutes = str(self.minute)
        if self.span < _HOUR:
            minutes = f"{self.minute}-59/{self.span}"
        return f"{minutes} {self._hours('*/')} * * *"

    @property
    def calendar(self) -> str:
        """The value of OnCalendar, systemd.time(7)."""
        minutes = f"{self.minute:02}"
        if self.span < _HOUR:
            minutes += f"/{self.span}"
        return f"*-*-* {self._hours('00/')}:{minutes}:00"

    def _hours(self, step: str) -> str:
        if self.span == _DAY:
            return f"{self.hour:02}"
        if self.span <= _HOUR:
            return "*"
        return f"{step}{self.span // _HOUR}"

    def next_after(self, now: datetime) -> datetime:
        """The time of the next run (UTC); `now`: aware."""
        local = now.astimezone().replace(minute=self.minute, second=0, microsecond=0)
        clock = local.replace(tzinfo=None)
        step = min(self.span, _HOUR)
        hours = max(self.span // _HOUR, 1)
        # Two hours more than a day: an hour after a clock change, and the present one.
        for _ in range(0, _DAY + 2 * _HOUR, step):
            when = clock.astimezone(timezone.utc)
            if when > now and clock.hour % hours == self.hour:
                return when
            clock += timedelta(minutes=step)
        raise ValueError(f"no minute of the day is {self}")


def every(span: int, host: str) -> Timing:
    """The timing of full runs every so many minutes, at a minute that the host name gives."""
    return Timing(span, _minute(host), _NIGHT if span == _DAY else 0)


def quick_beside(full: Timing, span: int, host: str) -> Timing:
    """The timing of quick runs every so many minutes, beside the full runs.

    They start at minutes that the host name gives, and not when a full run does.
    """
    half = span // 2
    minute = (_minute(host) + half) % span
    if minute == full.minute % span:
        minute = (minute + half) % span
    return Timing(span, minute)


def _minute(host: str) -> int:
    """The minute of the hour; it differs between hosts, to spread the load on a cloud."""
    return zlib.crc32(host.encode()) % _HOUR


def read_cron(line: str) -> Optional[Timing]:
    """The timing at the beginning of a line of cron; None if `Timing.cron` does not write so."""
    match = _CRON.match(line)
    return _read(match) if match else None


def read_calendar(value: str) -> Optional[Timing]:
    """The timing in a value of OnCalendar; None if `Timing.calendar` does not write so."""
    match = _CALENDAR.fullmatch(value)
    return _read(match) if match else None


def _read(match: re.Match[str]) -> Optional[Timing]:
    minute = int(match["minute"])
    if match["step"]:
        timing = Timing(int(match["step"]), minute)
        is_every_hour = not match["hours"] and not match["hour"]
        is_valid = is_every_hour and timing.span in QUICK_SPANS
        return timing if is_valid and minute < timing.span else None
    if match["hour"]:
        timing = Timing(_DAY, minute, int(match["hour"]))
    else:
        timing = Timing(int(match["hours"] or 1) * _HOUR, minute)
    is_valid = timing.span in SPANS and timing.hour < 24 and minute < _HOUR
    return timing if is_valid else None
