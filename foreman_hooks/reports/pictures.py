"""The pictures of the HTML page as values: what is where, and in words for screen readers.

Every x is a percentage of the picture's width and every y a pixel, so that a picture gets wider
with the page and its texts keep their size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple, Optional

from foreman_hooks.cleanup.past import Day, Past, Week
from foreman_hooks.rules.model import Outcome, Result, Verdict
from foreman_hooks.times import hammer_time, read_iso_z

_HALF = 64  # height of the largest bar of a half
_BASE = 82  # where the bars of deletions stand, with room for a number above
_DATES = 20  # height of the line of dates
_GRAPH = 150  # height of the graph of leftovers, without its dates
_TOP = 18  # room for a number above the largest value
_MOST_DATES = 6
_CLOSE = 0.1  # of the width: two numbers that are closer would be upon each other
_NARROWEST_GAP = 18  # between two marks of a strip: room for "25 min"
_FIRST_MARK, _LAST_MARK = 4.0, 96.0  # where the marks of a strip begin and end
MARKS = {
    "check-in": "last check-in",
    "terminated": "terminated",
    "deleted": "deleted",
    "now": "this report",
    "due": "can go after",
}


class Label(NamedTuple):
    """A text in a picture; `anchor`: which end of it is at x."""

    x: float
    y: float
    anchor: str
    text: str


class Bar(NamedTuple):
    """The bars of one week: of the deletions, upwards, and of the terminations, downwards."""

    x: float
    width: float
    top: float
    deleted: float
    terminated: float
    title: str


@dataclass(frozen=True)
class WeeksPicture:
    """How many records were deleted in each week, and when their instances were terminated."""

    description: str
    bars: tuple[Bar, ...]
    labels: tuple[Label, ...]
    weeks: tuple[Week, ...]
    height: float
    base: float = _BASE
    hanging: float = _BASE + _DATES


@dataclass(frozen=True)
class LeftoversPicture:
    """How many records were left over, day by day.  `path`: in a square of 1000 by 1000."""

    description: str
    path: str
    labels: tuple[Label, ...]
    days: tuple[Day, ...]
    top: float = _TOP
    depth: float = _GRAPH - _TOP
    height: float = _GRAPH + _DATES


class Mark(NamedTuple):
    """One moment of a strip; `kind`: a key of MARKS."""

    kind: str
    x: float


class Span(NamedTuple):
    """The time between two marks; `text`: how long it is."""

    css_class: str
    left: float
    right: float
    text: str

    @property
    def middle(self) -> float:
        """Where its text stands."""
        return round((self.left + self.right) / 2, 1)


@dataclass(frozen=True)
class Strip:
    """The proof about one record: its moments in order of time, and the same in words."""

    title: str
    marks: tuple[Mark, ...]
    spans: tuple[Span, ...]


# A week


def weeks_picture(past: Past) -> Optional[WeeksPicture]:
    """The picture of deletions and terminations; None if nothing was deleted."""
    weeks = past.weeks
    highest = max((max(week.deleted, week.terminated) for week in weeks), default=0)
    if not highest:
        return None
    width = 100 / len(weeks)
    bars = []
    for number, week in enumerate(weeks):
        deleted = _HALF * week.deleted / highest
        terminated = _HALF * week.terminated / highest
        bars.append(
            Bar(
                x=round(number * width + width * 0.12, 2),
                width=round(width * 0.76, 2),
                top=round(_BASE - deleted, 1),
                deleted=round(deleted, 1),
                terminated=round(terminated, 1),
                title=_week_title(week),
            )
        )
    end = weeks[-1].monday + timedelta(weeks=1)
    dates = _dates(weeks[0].monday, end, _BASE + _DATES - 6)
    return WeeksPicture(
        description=_weeks_in_words(past),
        bars=tuple(bars),
        labels=(*dates, *_peaks(weeks, bars)),
        weeks=weeks,
        height=_BASE + _DATES + _TOP + max(bar.terminated for bar in bars),
    )


def _week_title(week: Week) -> str:
    return (
        f"week from {week.monday:%Y/%m/%d}: {week.deleted:,} deleted, "
        f"{week.terminated:,} terminated"
    )


def _weeks_in_words(past: Past) -> str:
    weeks = past.weeks
    deleted = sum(week.deleted for week in weeks)
    terminated = sum(week.terminated for week in weeks)
    text = (
        f"{deleted:,} {_records(deleted)} deleted since {weeks[0].monday:%Y/%m/%d}; by Nova's "
        f"proof, {terminated:,} of the instances were terminated in these weeks"
    )
    if past.earlier:
        text += f", {past.earlier:,} before"
    if past.unproven:
        text += f"; {past.unproven:,} went without proof, after the grace period"
    return text


def _peaks(weeks: Sequence[Week], bars: Sequence[Bar]) -> Iterator[Label]:
    """The numbers at the longest bar of each half."""
    numbers = range(len(weeks))
    most = max(numbers, key=lambda number: weeks[number].deleted)
    yield _label(_center(bars[most]), bars[most].top - 5, f"{weeks[most].deleted:,}")
    most = max(numbers, key=lambda number: weeks[number].terminated)
    count = weeks[most].terminated
    if count:
        below = _BASE + _DATES + bars[most].terminated + 13
        yield _label(_center(bars[most]), below, f"{count:,}")


def _center(bar: Bar) -> float:
    return bar.x + bar.width / 2


# Leftovers


def leftovers_picture(past: Past) -> Optional[LeftoversPicture]:
    """The picture of leftovers; None if fewer than two days have a count."""
    days = past.days
    if len(days) < 2:
        return None
    first, last = days[0].day, days[-1].day
    highest = max(days, key=lambda day: day.leftovers)
    points = []
    for day in days:
        x = (day.day - first) / (last - first)
        points.append((x, day.leftovers / max(highest.leftovers, 1)))
    labels = list(_dates(first, last, _GRAPH + _DATES - 6))
    top = points[days.index(highest)]
    if top[0] < 1 - _CLOSE:
        labels.append(_number(top, highest.leftovers))
    labels.append(_number(points[-1], days[-1].leftovers))
    return LeftoversPicture(
        description=_leftovers_in_words(days, highest),
        path=_steps(points),
        labels=tuple(labels),
        days=days,
    )


def _steps(points: Sequence[tuple[float, float]]) -> str:
    """A path on which every value holds until the next; 1000 by 1000, and y downwards."""
    path = ""
    for x, value in points:
        right, down = round(1000 * x), round(1000 * (1 - value))
        path += f"H{right}V{down}" if path else f"M{right} {down}"
    return path


def _number(point: tuple[float, float], leftovers: int) -> Label:
    x, value = point
    above = _GRAPH - (_GRAPH - _TOP) * value - 7
    return _label(100 * x, above, f"{leftovers:,}")


def _leftovers_in_words(days: Sequence[Day], highest: Day) -> str:
    first, last = days[0], days[-1]
    return (
        f"{first.leftovers:,} on {first.day:%Y/%m/%d}, {last.leftovers:,} on "
        f"{last.day:%Y/%m/%d}; most: {highest.leftovers:,} on {highest.day:%Y/%m/%d}"
    )


# Labels


def _dates(first: date, last: date, y: float) -> Iterator[Label]:
    """The months below a picture that spans these days; the days themselves if it is short."""
    months = [day for day in _days(first, last) if day.day == 1]
    if len(months) < 2:
        yield Label(0, y, "start", f"{first:%Y/%m/%d}")
        yield Label(100, y, "end", f"{last:%Y/%m/%d}")
        return
    step = -(-len(months) // _MOST_DATES)
    for day in months[::step]:
        yield _label(100 * (day - first) / (last - first), y, f"{day:%Y/%m}")


def _days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days):
        yield first + timedelta(days=number)


def _label(x: float, y: float, text: str) -> Label:
    """A text that is centered at x, unless it would leave the picture there."""
    anchor = "middle"
    if x < 8:
        anchor = "start"
    if x > 92:
        anchor = "end"
    return Label(round(x, 2), round(y, 1), anchor, text)


def _records(count: int) -> str:
    return "record" if count == 1 else "records"


# A record


def strip(
    verdict: Verdict, outcome: Optional[Outcome], now: datetime
) -> Optional[Strip]:
    """The strip of a record, up to its deletion or to now; None if no moment of it is known."""
    moments = _moments(verdict, outcome, now)
    if len(moments) < 2:
        return None
    kinds = [kind for kind, _ in moments]
    times = [when for _, when in moments]
    marks = tuple(map(Mark, kinds, _places(times)))
    words = [f"{MARKS[kind]} {hammer_time(when)}" for kind, when in moments]
    return Strip(", ".join(words), marks, tuple(_spans(marks, times)))


def _moments(
    verdict: Verdict, outcome: Optional[Outcome], now: datetime
) -> list[tuple[str, datetime]]:
    """What happened to the record and when, in order of time.

    A plan's file may hold any other text instead of a time.
    """
    basis = verdict.basis
    moments = [
        ("check-in", read_iso_z(basis.last_checkin)),
        ("terminated", read_iso_z(basis.terminated_at)),
    ]
    if outcome and outcome.result is Result.DELETED:
        moments.append(("deleted", outcome.at))
    else:
        moments += [("now", now), ("due", read_iso_z(basis.due))]
    known = [(kind, when) for kind, when in moments if when]
    return sorted(known, key=lambda moment: moment[1])


def _places(times: Sequence[datetime]) -> list[float]:
    """Where the marks are: none too close to the next, apart from that as the times are."""
    gaps = len(times) - 1
    to_share = _LAST_MARK - _FIRST_MARK - gaps * _NARROWEST_GAP
    whole = times[-1] - times[0] or timedelta(seconds=1)
    places = []
    for number, when in enumerate(times):
        share = to_share * ((when - times[0]) / whole)
        places.append(round(_FIRST_MARK + number * _NARROWEST_GAP + share, 1))
    return places


def _spans(marks: Sequence[Mark], times: Sequence[datetime]) -> Iterator[Span]:
    """The spans between the marks.

    If a machine checked in after its termination, the time between is a contradiction, which has a
    look of its own.
    """
    checked_in = "check-in" not in [mark.kind for mark in marks]
    terminated = False
    for number, (mark, after) in enumerate(zip(marks, marks[1:])):
        checked_in = checked_in or mark.kind == "check-in"
        terminated = terminated or mark.kind == "terminated"
        look = "silent"
        if mark.kind == "now":
            look = "ahead"
        elif terminated:
            look = "ended" if checked_in else "conflict"
        length = _short(times[number + 1] - times[number])
        yield Span(look, mark.x, after.x, length)


def _short(span: timedelta) -> str:
    """A span in its largest unit."""
    if span >= timedelta(days=2):
        return f"{span.days} d"
    if span >= timedelta(hours=1):
        return f"{span // timedelta(hours=1)} h"
    return f"{span // timedelta(minutes=1)} min"
