"""What Satellite's search language (scoped_search) would take for another search than was meant.
Pure.

It refuses little: of a malformed search it takes what makes sense, and a term with a date that it
cannot read is left out without a word, so that `last_checkin < "garbage"` matches every host
(measured).
"""

import itertools
import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<operator> && | \|\| | !~ | == | != | <> | >= | <= | !\^ | [&|\-!~=><^(),] )
    | " (?P<quoted> (?: [^"\\] | \\. )* ) "
    | (?P<word> [^\s"] [^=~<>\s&|)(,]* )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMPARES = {"=", "==", "!=", "<>", ">", "<", ">=", "<=", "~", "!~", "before", "after", "at"}
_ORDERS = {">", "<", ">=", "<=", "before", "after"}
_LISTS = {"^", "!^"}
_DATES = re.compile(
    r"(?!facts\.|params\.).*(_at|_time|_date|last_checkin|last_report)", re.IGNORECASE
)
_RELATIVE = re.compile(
    r"\s*(today|yesterday|tomorrow|[0-9]{1,6}\s+(minutes?|hours?|days?|weeks?|months?|years?)\s+(ago|from\s+now))\s*",
    re.IGNORECASE,
)
_ZONE = re.compile(r"\s*(UTC|GMT|Z|[+-][0-9]{2}:?[0-9]{2})$", re.IGNORECASE)
_DAYS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y-%m",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
    "%B %d %Y",
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M", "T%H:%M:%S", "T%H:%M:%S.%f")
_HOW = 'such as "2026-11-03", "2026-11-03 10:30 UTC", "30 days ago", "2 hours from now" or today, in quotes'


class _Token(NamedTuple):
    """A word, or a mark (an operator or a parenthesis); keywords such as `before` are marks."""

    text: str
    is_mark: bool


def problem(search: str) -> str:
    """Why Satellite would not look for what this says, in a line; "" where nothing of the kind is
    known.
    """
    if not search.strip():
        return ""
    depths = list(
        itertools.accumulate(
            (char == "(") - (char == ")")
            for char in re.sub(r'"(?:[^"\\]|\\.)*"', "", search, flags=re.DOTALL)
        )
    )
    tokens = list(_tokens(search))
    while tokens and tokens[-1] == _Token(")", True):
        tokens.pop()
    if (
        (depths and (min(depths) < 0 or depths[-1]))
        or re.sub(r"\\.", "", search, flags=re.DOTALL).count('"') % 2
        or (not any(map(str.isalnum, search)) or not tokens or tokens[-1].is_mark)
    ):
        return f"the search {search!r} is malformed; Satellite would not refuse it, but match nothing or every host"
    return next(_bad_terms(tokens), "")


def _tokens(search: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(search):
        if match["quoted"] is not None:
            yield _Token(re.sub(r"\\(.)", r"\1", match["quoted"], flags=re.DOTALL), False)
        else:
            text = match["operator"] or match["word"]
            yield _Token(
                text, bool(match["operator"]) or text.lower() in ("and", "or", "not", *_COMPARES)
            )


def _bad_terms(tokens: list[_Token]) -> Iterator[str]:
    """What is wrong with each comparison."""
    for number, token in enumerate(tokens):
        operator = token.text.lower() if token.is_mark else ""
        if operator not in _COMPARES and operator not in _LISTS:
            continue
        before = tokens[number - 1] if number else _Token("", True)
        if before.is_mark and operator in _ORDERS:
            yield f"no field stands before {operator!r}; Satellite would leave the term out and match every host"
        if before.is_mark or not _DATES.fullmatch(before.text):
            continue
        value = _value(tokens[number + 1 :], operator in _LISTS)
        if not is_date(value):
            yield (
                f"{before.text} {token.text} {value!r}: not a date; Satellite would leave the term out and match "
                f"every host. Write a date {_HOW}"
            )


def _value(following: list[_Token], is_list: bool) -> str:
    """What is compared to; the words of a list are joined, as scoped_search joins them."""
    if not is_list:
        return "" if not following or following[0].is_mark else following[0].text
    inner = itertools.takewhile(lambda token: token != _Token(")", True), following)
    return ",".join(token.text for token in inner if not token.is_mark)


def is_date(value: str) -> bool:
    """Whether scoped_search reads it as the time that a person means by it.

    It reads more: of "30 days" it takes the 30th of this month, of "Sunday" today.  That is what
    nobody means.
    """
    if _RELATIVE.fullmatch(value):
        return True
    text = " ".join(_ZONE.sub("", value.strip()).split())
    return any(_is_form(text, day + time) for day in _DAYS for time in _TIMES)


def _is_form(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True
