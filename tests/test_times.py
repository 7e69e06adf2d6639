"""Times as text: as hammer prints them, and in ISO 8601."""

from datetime import datetime, timedelta, timezone

import pytest

from foreman_hooks.times import countdown, hammer_time, iso, iso_z, read_iso_z, rough

WEST = datetime(2025, 3, 1, 7, 30, 5, 1000, timezone(timedelta(hours=-5)))


def test_hammer_time_is_in_utc_whatever_the_zone() -> None:
    assert hammer_time(WEST) == "2025/03/01 12:30:05 UTC"


def test_iso_is_in_utc_and_as_precise_as_asked() -> None:
    assert iso(WEST) == "2025-03-01T12:30:05.001000+00:00"
    assert iso(WEST, "milliseconds") == "2025-03-01T12:30:05.001+00:00"


@pytest.mark.parametrize(
    ("span", "ago", "left"),
    [
        (timedelta(), "0 minutes", "0m"),
        (timedelta(seconds=1), "0 minutes", "1m"),
        (timedelta(minutes=1), "1 minute", "1m"),
        (timedelta(minutes=59, seconds=59), "59 minutes", "1h 0m"),
        (timedelta(hours=1), "1 hour", "1h 0m"),
        (timedelta(hours=23, minutes=59), "23 hours", "23h 59m"),
        (timedelta(days=1), "1 day", "1d 0h"),
        (timedelta(days=3, hours=23), "3 days", "3d 23h"),
        (timedelta(days=400), "400 days", "400d 0h"),
    ],
)
def test_what_is_past_is_rounded_down_and_what_is_left_is_rounded_up(
    span: timedelta, ago: str, left: str
) -> None:
    assert (rough(span), countdown(span)) == (ago, left)


def test_only_a_time_as_iso_z_writes_it_is_read() -> None:
    assert read_iso_z(iso_z(WEST)) == WEST.replace(microsecond=0)
    for text in ("", "now", "2025-03-01T12:30:05", "2025-13-01T12:30:05Z"):
        assert read_iso_z(text) is None
