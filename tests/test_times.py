"""Times as text: as hammer prints them, and in ISO 8601."""

from datetime import datetime, timedelta, timezone

from foreman_hooks.times import hammer_time, iso

WEST = datetime(2025, 3, 1, 7, 30, 5, 1000, timezone(timedelta(hours=-5)))


def test_hammer_time_is_in_utc_whatever_the_zone() -> None:
    assert hammer_time(WEST) == "2025/03/01 12:30:05 UTC"


def test_iso_is_in_utc_and_as_precise_as_asked() -> None:
    assert iso(WEST) == "2025-03-01T12:30:05.001000+00:00"
    assert iso(WEST, "milliseconds") == "2025-03-01T12:30:05.001+00:00"
