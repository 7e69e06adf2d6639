"""Find searches that Satellite's search language (scoped_search) misunderstands.  Pure.

scoped_search refuses little.  From a malformed search it picks what makes sense to it, and it
silently drops a term with a date that it cannot read: `last_checkin < "garbage"` matches every host
(measured).
"""

import re
from collections.abc import Iterator, Sequence
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
# Up to the closing quote, or to the end: all later quotes are open then, too.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*("|\\?\Z)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_COMPARISONS = {
    "=",
    "==",
    "!=",
    "<>",
    ">",
    "<",
    ">=",
    "<=",
    "~",
    "!~",
    "before",
    "after",
    "at",
}
_ORDERS = {">", "<", ">=", "<=", "before", "after"}
_LISTS = {"^", "!^"}
_KEYWORDS = {"and", "or", "not", *_COMPARISONS}
_DATE_FIELD = re.compile(
    r"(?!facts\.|params\.).*(_at|_time|_date|last_checkin|last_report)", re.IGNORECASE
)
_RELATIVE_DATE = re.compile(
    r"""
    \s* (
        today | yesterday | tomorrow
        | [0-9]{1,6} \s+ (minutes?|hours?|days?|weeks?|months?|years?) \s+ (ago | from\s+now)
    ) \s*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ZONE = re.compile(r" ?(UTC|GMT|Z|[+-][0-9]{2}:?[0-9]{2})$", re.IGNORECASE)
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
_TIMES = (
    "",
    " %H:%M",
    " %H:%M:%S",
    " %H:%M:%S.%f",
    "T%H:%M",
    "T%H:%M:%S",
    "T%H:%M:%S.%f",
)
_EXAMPLES = (
    'such as "2026-11-03", "2026-11-03 10:30 UTC", "30 days ago", "2 hours from now" or today, '
    "in quotes"
)


class _Token(NamedTuple):
    """A word, or a mark: an operator, a parenthesis, or a keyword such as `before`."""

    text: str
    is_mark: bool


_CLOSING = _Token(")", True)
_NOTHING = _Token("", True)


def problem(search: str) -> str:
    """Why Satellite would search for something other than `search` says, in one line.

    "" if no such reason is known.
    """
    if not search.strip():
        return ""
    if not search.isprintable():
        return f"the search {search!r} has a character that cannot be printed"
    tokens = list(_tokens(search))
    while tokens and tokens[-1] == _CLOSING:
        tokens.pop()
    if _is_malformed(search, tokens):
        return (
            f"the search {search!r} is malformed; Satellite would not refuse it, but match nothing "
            "or every host"
        )
    for number in range(len(tokens)):
        problem_here = _problem_at(tokens, number)
        if problem_here:
            return problem_here
    return ""


def is_date(value: str) -> bool:
    """Whether scoped_search reads `value` as the time that a person means.

    It reads more, but not what is meant: "30 days" as the 30th of this month, "Sunday" as today.
    """
    if _RELATIVE_DATE.fullmatch(value):
        return True
    text = _ZONE.sub("", " ".join(value.split()))
    return any(_has_day_form(text, day) for day in _DAYS)


def _tokens(search: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(search):
        if match["quoted"] is not None:
            text = _ESCAPED.sub(r"\1", match["quoted"])
            yield _Token(text, False)
        elif match["operator"]:
            yield _Token(match["operator"], True)
        else:
            word = match["word"]
            yield _Token(word, word.lower() in _KEYWORDS)


def _is_malformed(search: str, tokens: Sequence[_Token]) -> bool:
    """Whether parentheses or quotes do not match, or the search ends with an operator."""
    if not _parentheses_match(search):
        return True
    quotes = _ESCAPED.sub("", search).count('"')
    if quotes % 2:
        return True
    has_words = any(char.isalnum() for char in search)
    return not has_words or not tokens or tokens[-1].is_mark


def _parentheses_match(search: str) -> bool:
    depth = 0
    for char in _QUOTED.sub(_unclosed, search):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        if depth < 0:
            return False
    return depth == 0


def _unclosed(quoted: re.Match[str]) -> str:
    """Nothing in place of a quoted text; the text itself if it has no closing quote."""
    return "" if quoted[1] == '"' else quoted[0]


def _problem_at(tokens: Sequence[_Token], number: int) -> str:
    """What is wrong with the comparison at that token; "" if it is valid, or if there is none."""
    token = tokens[number]
    operator = token.text.lower()
    if not token.is_mark or operator not in _COMPARISONS | _LISTS:
        return ""
    before = tokens[number - 1] if number else _NOTHING
    if before.is_mark:
        if operator in _ORDERS:
            return (
                f"there is no field before {operator!r}; Satellite would leave the term out and "
                "match every host"
            )
        return ""
    if not _DATE_FIELD.fullmatch(before.text):
        return ""
    following = (tokens[later] for later in range(number + 1, len(tokens)))
    value = _list_value(following) if operator in _LISTS else _single_value(following)
    if is_date(value):
        return ""
    return (
        f"{before.text} {token.text} {value!r}: not a date; Satellite would leave the term out and "
        f"match every host. Write a date {_EXAMPLES}"
    )


def _single_value(following: Iterator[_Token]) -> str:
    token = next(following, _NOTHING)
    return "" if token.is_mark else token.text


def _list_value(following: Iterator[_Token]) -> str:
    """The words up to the closing parenthesis, joined as scoped_search joins them."""
    words = []
    for token in following:
        if token == _CLOSING:
            break
        if not token.is_mark:
            words.append(token.text)
    return ",".join(words)


def _has_day_form(text: str, day: str) -> bool:
    return any(_has_form(text, f"{day}{time}") for time in _TIMES)


def _has_form(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True
