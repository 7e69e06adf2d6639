"""How Foreman's search compares one value: by the kind of the field, with the database's traps.

Each `..._check(name, mark, value)` returns the check of one value that is not null. `name` is the
field as it stands in the search; `mark` is one of INFIX.
"""

import calendar
import operator
import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Callable, NamedTuple, Optional

from .search_parser import LISTS, PATTERNS, DatabaseError, Mark, QueryError
from .server import UnknownRequestError

Check = Callable[[Any], bool]

_COMPARE = {
    Mark.EQ: operator.eq,
    Mark.NE: operator.ne,
    Mark.LT: operator.lt,
    Mark.GT: operator.gt,
    Mark.LTE: operator.le,
    Mark.GTE: operator.ge,
}
_TRUE = ("true", "t", "1")
_FALSE = ("false", "f", "0")


def text_check(name: str, mark: Mark, value: str) -> Check:
    """Text: `=` is case-sensitive, `~` is not (measured on Foreman 3.12)."""
    if mark in LISTS:
        words = {word.strip() for word in value.split(",")}
        return lambda held: (held in words) is (mark is Mark.IN)
    if mark in PATTERNS:
        matches = _pattern(value)
        return lambda held: bool(matches(held)) is (mark is Mark.LIKE)
    compare = _COMPARE[mark]
    return lambda held: bool(compare(held, value))


def _pattern(value: str) -> Callable[[str], Any]:
    """ILIKE: a value without * or % may stand anywhere; an underscore is any one character."""
    like = f"%{value}%"
    if re.search(r"[%*]", value):
        like = re.sub(r"[%*]+", "%", value)
    wildcards = {"%": ".*", "_": "."}
    expression = "".join(wildcards.get(char, re.escape(char)) for char in like)
    return re.compile(expression, re.IGNORECASE | re.DOTALL).fullmatch


def whole_numbers(value: str) -> Optional[list[int]]:
    """The numbers of a value or of a list of values; None if one is not a whole number."""
    words = value.split(",")
    if not all(re.fullmatch(r"\s*[+-]?\d+\s*", word) for word in words):
        return None
    return [int(word) for word in words]


def number_check(name: str, mark: Mark, value: str) -> Check:
    """A number; anything else is an error of the database."""
    _refuse_patterns(mark, "integer")
    numbers = whole_numbers(value)
    if numbers is None or (len(numbers) > 1 and mark not in LISTS):
        raise _unreadable("integer", value)
    if mark in LISTS:
        return lambda held: (held in numbers) is (mark is Mark.IN)
    compare = _COMPARE[mark]
    wanted = numbers[0]
    return lambda held: bool(compare(held, wanted))


def _refuse_patterns(mark: Mark, kind: str) -> None:
    if mark in PATTERNS:
        raise QueryError(
            f"the operator '{mark.value}' is not supported for field type '{kind}'"
        )


def _unreadable(kind: str, value: str) -> DatabaseError:
    return DatabaseError(
        f'PG::InvalidTextRepresentation: ERROR:  invalid input syntax for type {kind}: "{value}"\n'
    )


def identifier_check(name: str, mark: Mark, value: str) -> Check:
    """A number that Foreman itself checks first."""
    if whole_numbers(value) is None:
        raise QueryError(f"Value '{value}' is not valid for field '{name}'")
    return number_check(name, mark, value)


def refuse_other_values(name: str, value: str, known: str) -> QueryError:
    """The error for a value that is not one of the `known` (a list with commas)."""
    return QueryError(
        f"'{name}' should be one of '{known}', but the query was '{value}'"
    )


def check_equality(name: str, mark: Mark) -> None:
    """Raise QueryError unless the operator is = or !=."""
    if mark not in (Mark.EQ, Mark.NE):
        raise QueryError(f"Operator '{mark.value}' not supported for '{name}'")


def flag_check(name: str, mark: Mark, value: str) -> Check:
    """True or false, and nothing else."""
    if value not in ("true", "false"):
        raise refuse_other_values(name, value, "true, false")
    check_equality(name, mark)
    wanted = (value == "true") is (mark is Mark.EQ)
    return lambda held: held is wanted


def boolean_check(name: str, mark: Mark, value: str) -> Check:
    """True or false as the database reads them (Katello's `hypervisor`)."""
    _refuse_patterns(mark, "boolean")
    word = value.lower()
    if word not in (*_TRUE, *_FALSE):
        raise _unreadable("boolean", value)
    return flag_check(name, mark, "true" if word in _TRUE else "false")


def fact_check(name: str, mark: Mark, value: str) -> Check:
    """The value of a fact: numbers compare as numbers; a list is a 500 (measured, Foreman 3.12)."""
    if mark in LISTS:
        raise DatabaseError(
            f"PG::SyntaxError: ERROR:  syntax error at or near \"'{value}'\"\n"
        )
    if mark in PATTERNS or not re.fullmatch(r"[-+]?\d+", value):
        return text_check(name, mark, value)
    compare = _COMPARE[mark]
    wanted = int(value)
    return lambda held: held.isdecimal() and bool(compare(int(held), wanted))


class Span(NamedTuple):
    """A time as a search means it: "30 days ago" is that whole day, from midnight UTC."""

    start: datetime
    length: timedelta

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return self.start + self.length


DAY = timedelta(days=1)


def date_check(name: str, mark: Mark, value: str) -> Optional[Check]:
    """A time; None for a text that is not a time: Foreman drops such a term.

    So `last_checkin < "garbage"` finds everything (read in the source of scoped_search).
    """
    span = _read_date(value)
    if span is None:
        return None
    if mark not in _COMPARE:
        raise QueryError(
            f"the operator '{mark.value}' is not supported for field type 'datetime'"
        )
    if mark in (Mark.EQ, Mark.NE):
        return lambda held: (span.start <= moment(held) < span.end) is (mark is Mark.EQ)
    limit = span.start
    if span.length >= DAY and mark is Mark.GT:  # after that day, not after its midnight
        limit, mark = span.end, Mark.GTE
    elif span.length >= DAY and mark is Mark.LTE:
        limit, mark = span.end, Mark.LT
    compare = _COMPARE[mark]
    return lambda held: bool(compare(moment(held), limit))


_RELATIVE = re.compile(
    r"\s*(\d+)\s+(minute|hour|day|week|month|year)s?\s+(ago|from\s+now)\s*",
    re.IGNORECASE,
)
_ABSOLUTE = re.compile(
    r"""\s* (\d{4})-(\d\d?)-(\d\d?) (?: [T\s]\s* (\d\d?):(\d\d) (?: :(\d\d)(?:\.\d+)? )? )?
                           \s* (?: UTC | Z | ([+-])(\d\d):?(\d\d) )? \s*""",
    re.VERBOSE,
)
# What Ruby's DateTime.parse might read although the patterns above do not.
_LIKE_A_DATE = re.compile(
    r"\d|\b(mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    re.IGNORECASE,
)
_NEAR = {"yesterday": -1, "today": 0, "tomorrow": 1}
_MINUTES = {"minute": 1, "hour": 60, "day": 24 * 60, "week": 7 * 24 * 60}


def _read_date(value: str) -> Optional[Span]:
    """The time that a value means; None if Foreman cannot read it either.

    Raises UnknownRequestError for what Foreman might read: a term must not be dropped because
    this double knows fewer formats.
    """
    near = re.search(r"\b(today|yesterday|tomorrow)\b", value, re.IGNORECASE)
    if near:
        return _shifted(_NEAR[near[1].lower()], "day")
    if _ABSOLUTE.fullmatch(value):
        return _absolute(value)
    relative = _RELATIVE.fullmatch(value)
    try:
        if relative:
            is_past = relative[3].lower() == "ago"
            count = int(relative[1])
            return _shifted(-count if is_past else count, relative[2].lower())
    except (ValueError, OverflowError):
        raise UnknownRequestError(f"the date '{value}'") from None
    if _LIKE_A_DATE.search(value):
        raise UnknownRequestError(f"the date '{value}'")
    return None


def _absolute(value: str) -> Optional[Span]:
    match = _ABSOLUTE.fullmatch(value)
    assert match
    try:
        start = moment(value)
    except ValueError:  # the 31st of February
        return None
    if match[6]:
        return Span(start, timedelta(seconds=1))
    if match[4]:
        return Span(start, timedelta(minutes=1))
    return Span(start, DAY)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _midnight(when: datetime) -> datetime:
    return when.replace(hour=0, minute=0, second=0, microsecond=0)


def _shifted(count: int, unit: str) -> Span:
    """`count` units from now; negative is ago."""
    if unit in ("minute", "hour"):
        return Span(
            _now() + timedelta(minutes=count * _MINUTES[unit]), timedelta(minutes=1)
        )
    if unit in _MINUTES:
        return Span(_midnight(_now() + timedelta(minutes=count * _MINUTES[unit])), DAY)
    today = _midnight(_now())
    months = count * 12 if unit == "year" else count
    year, month = divmod(today.year * 12 + today.month - 1 + months, 12)
    day = min(today.day, calendar.monthrange(year, month + 1)[1])
    return Span(today.replace(year=year, month=month + 1, day=day), DAY)


@lru_cache(maxsize=65536)
def moment(value: str) -> datetime:
    """A time as Foreman writes it: `2026-11-22 12:47:41 UTC`, ` -0400`, or ISO.

    Raises ValueError for anything else.
    """
    match = _ABSOLUTE.fullmatch(value)
    if not match:
        raise ValueError(f"not a time: {value!r}")
    year, month, day, hour, minute, second = (
        int(part or 0) for part in match.groups()[:6]
    )
    offset = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
    zone = timezone(-offset if match[7] == "-" else offset)
    return datetime(year, month, day, hour, minute, second, tzinfo=zone)
