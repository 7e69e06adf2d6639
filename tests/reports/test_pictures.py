"""The pictures of the HTML report: where things are in them, and what they say in words."""

from datetime import date, timedelta
from typing import Optional

import pytest
from pages import HOUR, NOW, UUID, verdict

from foreman_hooks.cleanup.past import Day, Past, Week
from foreman_hooks.reports.pictures import (
    Strip,
    leftovers_picture,
    strip,
    weeks_picture,
)
from foreman_hooks.rules.model import Outcome, Result
from foreman_hooks.times import iso_z

MONDAY = date(2025, 2, 3)
WEEK = timedelta(weeks=1)
DAY = timedelta(days=1)


def weeks(*counts: tuple[int, int]) -> tuple[Week, ...]:
    return tuple(
        Week(MONDAY + number * WEEK, *count) for number, count in enumerate(counts)
    )


def days(*counts: int) -> tuple[Day, ...]:
    return tuple(Day(MONDAY + number * DAY, left) for number, left in enumerate(counts))


# Weeks


def test_bars_are_as_long_as_their_numbers_on_the_same_scale() -> None:
    picture = weeks_picture(Past(weeks((0, 4), (8, 2), (2, 1))))
    assert picture
    assert [bar.deleted for bar in picture.bars] == [0, 64, 16]
    assert [bar.terminated for bar in picture.bars] == [32, 16, 8]
    assert {bar.top + bar.deleted for bar in picture.bars} == {picture.base}


def test_the_longest_bars_have_their_numbers() -> None:
    picture = weeks_picture(Past(weeks((0, 4), (8000, 2), (2, 1))))
    assert picture
    texts = [label.text for label in picture.labels]
    assert texts == ["2025/02/03", "2025/02/24", "8,000", "4"]


def test_weeks_are_told_in_words() -> None:
    past = Past(weeks((3, 1), (2, 1)), earlier=1, unproven=2)
    picture = weeks_picture(past)
    assert picture
    assert picture.description == (
        "5 records deleted since 2025/02/03; by Nova's proof, 2 of the instances were "
        "terminated in these weeks, 1 before; 2 went without proof, after the grace period"
    )
    assert picture.bars[0].title == "week from 2025/02/03: 3 deleted, 1 terminated"


@pytest.mark.parametrize("past", [Past(), Past(weeks((0, 0), (0, 0)))])
def test_without_deletions_there_is_no_picture_of_weeks(past: Past) -> None:
    assert weeks_picture(past) is None


def test_a_year_has_at_most_six_months_below_it() -> None:
    year = tuple(Week(date(2024, 3, 4) + number * WEEK, 1, 0) for number in range(52))
    picture = weeks_picture(Past(year))
    assert picture
    months = [label for label in picture.labels if "/" in label.text]
    assert [label.text for label in months] == [
        "2024/04",
        "2024/06",
        "2024/08",
        "2024/10",
        "2024/12",
        "2025/02",
    ]
    assert all(8 <= label.x <= 92 or label.anchor != "middle" for label in months)


# Leftovers


def test_leftovers_hold_until_the_next_count() -> None:
    picture = leftovers_picture(Past(days=days(100, 50, 0)))
    assert picture
    assert picture.path == "M0 0H500V500H1000V1000"
    assert picture.description == (
        "100 on 2025/02/03, 0 on 2025/02/05; most: 100 on 2025/02/03"
    )
    assert [label.text for label in picture.labels][2:] == ["100", "0"]


def test_leftovers_that_were_always_none_are_a_picture_too() -> None:
    picture = leftovers_picture(Past(days=days(0, 0)))
    assert picture and picture.path == "M0 1000H1000V1000"


def test_numbers_that_would_be_upon_each_other_are_left_out() -> None:
    picture = leftovers_picture(Past(days=days(*[1] * 30, 9, 8)))
    assert picture
    assert [label.text for label in picture.labels if "/" not in label.text] == ["8"]


@pytest.mark.parametrize("counts", [(), (5,)])
def test_one_count_is_no_picture(counts: tuple[int, ...]) -> None:
    assert leftovers_picture(Past(days=days(*counts))) is None


# Strips


def strip_of(
    *, check_in: int = 0, end: int = 0, due: int = 0, deleted: bool = False
) -> Optional[Strip]:
    """The strip of a record; the times are hours before now, 0: not known; due is after now."""
    basis = {
        "last_checkin": iso_z(NOW - check_in * HOUR) if check_in else "",
        "terminated_at": iso_z(NOW - end * HOUR) if end else "",
        "due": iso_z(NOW + due * HOUR) if due else "",
    }
    result = Result.DELETED if deleted else Result.FAILED
    outcome = Outcome(1, "a", UUID, result, at=NOW + timedelta(minutes=5))
    return strip(verdict(1, **basis), outcome, NOW)


def kinds(drawn: Optional[Strip]) -> list[str]:
    assert drawn
    return [mark.kind for mark in drawn.marks]


def looks(drawn: Optional[Strip]) -> list[str]:
    assert drawn
    return [span.css_class for span in drawn.spans]


def test_a_strip_goes_from_check_in_to_termination_to_deletion() -> None:
    drawn = strip_of(check_in=30, end=24, deleted=True)
    assert drawn
    assert kinds(drawn) == ["check-in", "terminated", "deleted"]
    assert looks(drawn) == ["silent", "ended"]
    assert [span.text for span in drawn.spans] == ["6 h", "24 h"]
    assert drawn.title == (
        "last check-in 2025/02/28 06:30:05 UTC, terminated 2025/02/28 12:30:05 UTC, "
        "deleted 2025/03/01 12:35:05 UTC"
    )


def test_a_record_that_was_not_deleted_ends_with_the_report() -> None:
    assert kinds(strip_of(check_in=30, end=24)) == ["check-in", "terminated", "now"]


def test_a_record_that_waits_shows_when_it_can_go() -> None:
    drawn = strip_of(check_in=3, end=2, due=3)
    assert kinds(drawn) == ["check-in", "terminated", "now", "due"]
    assert looks(drawn) == ["silent", "ended", "ahead"]


def test_a_check_in_after_the_termination_is_seen_as_a_contradiction() -> None:
    drawn = strip_of(check_in=1, end=24)
    assert kinds(drawn) == ["terminated", "check-in", "now"]
    assert looks(drawn) == ["conflict", "ended"]


def test_without_a_check_in_a_termination_is_no_contradiction() -> None:
    assert looks(strip_of(end=24)) == ["ended"]


def test_a_record_of_which_no_time_is_known_has_no_strip() -> None:
    assert strip_of() is None


def test_a_time_that_cannot_be_read_is_not_known() -> None:
    assert strip(verdict(1, last_checkin="yesterday"), None, NOW) is None


@pytest.mark.parametrize(
    ("check_in", "end"), [(1, 1), (10_000, 1), (10_000, 9_999), (2, 1)]
)
def test_marks_are_never_upon_each_other(check_in: int, end: int) -> None:
    drawn = strip_of(check_in=check_in, end=end, due=1)
    assert drawn
    places = [mark.x for mark in drawn.marks]
    assert places[0] == 4 and places[-1] == 96
    assert all(after - x > 17.8 for x, after in zip(places, places[1:]))


def test_a_longer_time_is_a_longer_span() -> None:
    drawn = strip_of(check_in=40, end=10)
    assert drawn
    first, second = drawn.spans
    assert first.right - first.left > second.right - second.left
