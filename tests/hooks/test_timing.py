"""When scheduled runs start."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from foreman_hooks.hooks.timing import (
    QUICK_SPANS,
    SPANS,
    Timing,
    every,
    quick_beside,
    read_calendar,
    read_cron,
)

NOW = datetime(2026, 3, 1, 12, 20, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def set_zone(zone: pytest.MonkeyPatch, name: str) -> None:
    zone.setenv("TZ", name)
    time.tzset()


@pytest.mark.parametrize(
    ("timing", "after"),
    [
        (Timing(60, 17), datetime(2026, 3, 1, 13, 17)),
        (Timing(60, 21), datetime(2026, 3, 1, 12, 21)),
        (Timing(60, 20), datetime(2026, 3, 1, 13, 20)),
        (Timing(240, 17), datetime(2026, 3, 1, 16, 17)),
        (Timing(240, 30), datetime(2026, 3, 1, 12, 30)),
        (Timing(720, 17), datetime(2026, 3, 2, 0, 17)),
        (Timing(1440, 17, 12), datetime(2026, 3, 2, 12, 17)),
        (Timing(1440, 30, 3), datetime(2026, 3, 2, 3, 30)),
        (Timing(10, 3), datetime(2026, 3, 1, 12, 23)),
        (Timing(10, 0), datetime(2026, 3, 1, 12, 30)),
        (Timing(30, 15), datetime(2026, 3, 1, 12, 45)),
    ],
)
def test_the_next_run_is_the_first_one_that_is_later(
    zone: pytest.MonkeyPatch, timing: Timing, after: datetime
) -> None:
    set_zone(zone, "UTC")
    assert timing.next_after(NOW) == after.replace(tzinfo=timezone.utc)


def test_the_times_are_those_of_the_machine(zone: pytest.MonkeyPatch) -> None:
    set_zone(zone, "XXX-5:30")  # POSIX: east of Greenwich
    at_three = datetime(2026, 3, 1, 21, 30, tzinfo=timezone.utc)
    assert Timing(1440, 0, 3).next_after(NOW) == at_three


@pytest.mark.parametrize("day", [datetime(2026, 3, 29), datetime(2026, 10, 25)])
def test_a_day_with_a_clock_change_has_its_run(
    zone: pytest.MonkeyPatch, day: datetime
) -> None:
    set_zone(zone, "CET-1CEST,M3.5.0,M10.5.0/3")
    for hour in range(24):
        now = day.replace(tzinfo=timezone.utc) + hour * HOUR
        following = every(1440, "host").next_after(now)
        assert timedelta(0) < following - now <= 25 * HOUR


@pytest.mark.parametrize("span", [*SPANS, *QUICK_SPANS])
def test_what_is_written_is_read_back(span: int) -> None:
    timing = every(span, "satellite.example.com")
    if span in QUICK_SPANS:
        timing = quick_beside(every(1440, "other"), span, "satellite.example.com")
    assert read_cron(f"{timing.cron} root command") == timing
    assert read_calendar(timing.calendar) == timing


@pytest.mark.parametrize(
    "line",
    [
        "",
        "*/5 * * * * root x",
        "1 */5 * * *",
        "61 * * * *",
        "1 24 * * *",
        "1 1 1 * *",
        "3-59/7 * * * *",
        "13-59/10 * * * *",
        "3-59/10 */2 * * *",
    ],
)
def test_other_times_of_cron_are_not_understood(line: str) -> None:
    assert read_cron(line) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "hourly",
        "*-*-* 00/5:17:00",
        "*-*-* 24:00:00",
        "Mon *-*-* 03:17:00",
        "*-*-* *:03/7:00",
        "*-*-* 00/2:03/10:00",
    ],
)
def test_other_times_of_systemd_are_not_understood(value: str) -> None:
    assert read_calendar(value) is None


def test_the_minute_depends_only_on_the_host_name_and_is_spread() -> None:
    names = [f"satellite{number}.example.com" for number in range(600)]
    minutes = [every(60, name).minute for name in names]
    assert minutes == [every(1440, name).minute for name in names]
    assert set(minutes) == set(range(60))


@pytest.mark.parametrize("span", QUICK_SPANS)
def test_quick_runs_start_at_minutes_of_the_host_and_never_with_a_full_run(
    span: int,
) -> None:
    names = [f"satellite{number}.example.com" for number in range(200)]
    at_minute_30 = Timing(1440, 30, 4)
    for full in (None, at_minute_30):
        timings = [
            quick_beside(full or every(1440, name), span, name) for name in names
        ]
        assert len({timing.minute for timing in timings}) >= span - 1
        for name, timing in zip(names, timings):
            beside = full or every(1440, name)
            assert timing.minute < span and timing.minute != beside.minute % span
