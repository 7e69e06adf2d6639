"""The search language of Foreman's lists, as far as the double answers it, with its traps.

    test = compile_search(parse('name ~ web and not build = true'), fields)
    test is None or test(host)

`parse` takes any text: what is malformed is read as far as it makes sense, as on a real server.
`take` splits off the terms that an index can answer, so that a window of ids costs no look at every
host.
"""

import calendar
import math
import operator
import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from typing import Any, Callable, NamedTuple, Optional, Union, cast

Row = Any  # whatever is listed: a host, a fact, an organization
Test = Callable[[Row], bool]
Check = Callable[[Any], bool]  # of one value that is not null


class QueryError(Exception):
    """A search or an order that Foreman refuses with a 400."""


class DatabaseError(Exception):
    """A search that Foreman hands on and that its database refuses: a 500."""


class Mark(Enum):
    """What a search is made of beside words.  Before a word, SET and NULL ask whether a field has a
    value.
    """

    AND = "and"
    OR = "or"
    NOT = "not"
    SET = "notnull"
    NULL = "null"
    EQ = "eq"
    NE = "ne"
    LT = "lt"
    GT = "gt"
    LTE = "lte"
    GTE = "gte"
    LIKE = "like"
    UNLIKE = "unlike"
    IN = "in"
    NOTIN = "notin"
    OPEN = "lparen"
    CLOSE = "rparen"
    COMMA = "comma"


class Term(NamedTuple):
    """`field operator value`.  Without a field: any that is searched by default; then the operator
    may miss too.
    """

    field: str
    operator: Optional[Mark]
    value: str = ""


class Not(NamedTuple):
    """The opposite."""

    node: "Node"


class Group(NamedTuple):
    """All (AND) or any (OR) of some nodes."""

    operator: Mark
    nodes: "tuple[Node, ...]"


Node = Union[Term, Not, Group]
Token = Union[str, Mark]

_OPERATORS = {
    "&": Mark.AND,
    "&&": Mark.AND,
    "|": Mark.OR,
    "||": Mark.OR,
    "-": Mark.NOT,
    "!": Mark.NOT,
    "~": Mark.LIKE,
    "!~": Mark.UNLIKE,
    "=": Mark.EQ,
    "==": Mark.EQ,
    "!=": Mark.NE,
    "<>": Mark.NE,
    ">": Mark.GT,
    "<": Mark.LT,
    ">=": Mark.GTE,
    "<=": Mark.LTE,
    "^": Mark.IN,
    "!^": Mark.NOTIN,
    "(": Mark.OPEN,
    ")": Mark.CLOSE,
    ",": Mark.COMMA,
}
_KEYWORDS = {
    "and": Mark.AND,
    "or": Mark.OR,
    "not": Mark.NOT,
    "set?": Mark.SET,
    "has": Mark.SET,
    "null?": Mark.NULL,
    "before": Mark.LT,
    "after": Mark.GT,
    "at": Mark.EQ,
}
_LOGICAL = (Mark.AND, Mark.OR)
_LISTS = (Mark.IN, Mark.NOTIN)
_PATTERNS = (Mark.LIKE, Mark.UNLIKE)
_COMPARISONS = {
    Mark.EQ: operator.eq,
    Mark.NE: operator.ne,
    Mark.LT: operator.lt,
    Mark.GT: operator.gt,
    Mark.LTE: operator.le,
    Mark.GTE: operator.ge,
}
_WINDOWS = (Mark.EQ, Mark.LT, Mark.GT, Mark.LTE, Mark.GTE)
_INFIX = (*_COMPARISONS, *_PATTERNS, *_LISTS)
# A word may hold ^, ! and - in its middle, and ends only at these: so `id^(1,2)` is no list.
_TOKEN = re.compile(
    r"""
    (?P<operator> && | \|\| | !~ | == | != | <> | >= | <= | !\^ | [&|\-!~=><^(),] )
    | " (?P<quoted> (?: [^"\\] | \\.? )* ) "?                   # the closing quote may be missing
    | (?P<word> \S [^=~<>\s&|)(,]* )
    """,
    re.VERBOSE | re.DOTALL,
)


def tokenize(text: str) -> Iterator[Token]:
    """The words and the marks of a search."""
    for match in _TOKEN.finditer(text):
        if match["operator"]:
            yield _OPERATORS[match["operator"]]
        elif match["word"]:
            yield _KEYWORDS.get(match["word"].lower(), match["word"])
        else:
            yield re.sub(r"\\(.?)", r"\1", match["quoted"], flags=re.DOTALL)


def parse(text: str) -> Node:
    """Read a search.  `and` and `or` bind alike, to the right; what stands side by side is joined
    by `and`.

    Measured on Foreman 3.12: operators and parentheses at the very end are dropped, so `name =`
    looks for the word "name", and `=` alone is no search at all: it finds everything.
    """
    return _Parser(text).sequence(outermost=True)


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = deque(tokenize(text))
        while self.tokens and isinstance(self.tokens[-1], Mark):
            self.tokens.pop()

    @property
    def ahead(self) -> Optional[Token]:
        return self.tokens[0] if self.tokens else None

    def sequence(self, outermost: bool = False) -> Node:
        if not outermost:
            self.tokens.popleft()  # the parenthesis that opens it
        nodes = []
        while self.ahead not in (None, Mark.CLOSE):
            nodes.append(self.expression())
        if self.ahead is Mark.CLOSE and not outermost:
            self.tokens.popleft()
        if not nodes and not outermost:
            raise QueryError("Empty list of operands")
        return Group(Mark.AND, tuple(nodes))

    def next_mark(self) -> Mark:
        return cast(Mark, self.tokens.popleft())

    def expression(self) -> Node:
        parts, marks = [self.part()], []
        while self.ahead in _LOGICAL:
            marks.append(self.next_mark())
            parts.append(self.part())
        node = parts.pop()
        for left, mark in zip(reversed(parts), reversed(marks)):
            alike = isinstance(node, Group) and node.operator is mark
            node = Group(mark, (left, *cast(Group, node).nodes) if alike else (left, node))
        return node

    def part(self) -> Node:
        while self.ahead in _LOGICAL:  # one "and" too many joins nothing
            self.tokens.popleft()
        return self.operand()

    def operand(self) -> Node:
        if self.ahead is Mark.OPEN:
            return self.sequence()
        if self.ahead is Mark.NOT:
            self.tokens.popleft()
            return Not(self.operand())
        return self.comparison()

    def comparison(self) -> Node:
        if self.ahead is Mark.COMMA:
            self.tokens.popleft()
        first = self.tokens.popleft()
        if isinstance(first, Mark):
            return self.prefixed(first)
        if self.ahead in _INFIX:
            mark = self.next_mark()
            return Term(first, mark, self.value(mark))
        if self.ahead is Mark.COMMA:
            self.tokens.popleft()
        return Term("", None, first)

    def prefixed(self, mark: Mark) -> Node:
        if mark in (Mark.SET, Mark.NULL):
            return Term(self.value(mark), mark)
        if mark in _LISTS:
            each, join = (Mark.EQ, Mark.OR) if mark is Mark.IN else (Mark.NE, Mark.AND)
            return Group(join, tuple(Term("", each, value) for value in self.values()))
        return Term("", mark, self.value(mark))

    def value(self, mark: Mark) -> str:
        if isinstance(self.ahead, str):
            return str(self.tokens.popleft())
        if mark in _LISTS:
            return ",".join(self.values())
        raise QueryError(f"Value expected but found {self.ahead.value if self.ahead else 'nil'}")

    def values(self) -> list[str]:
        words = []
        while self.ahead not in (None, Mark.CLOSE):
            token = self.tokens.popleft()
            if isinstance(token, str):
                words.append(token)
        if self.ahead is Mark.CLOSE:
            self.tokens.popleft()
        return words


def take(node: Node, wanted: Callable[[Term], bool]) -> tuple[list[Term], Node]:
    """Split off the wanted ones of the terms that every match must fulfil; what is left is a node
    again.
    """
    taken, left = [], []
    for part in _conjuncts(node):
        if isinstance(part, Term) and wanted(part):
            taken.append(part)
        else:
            left.append(part)
    return taken, Group(Mark.AND, tuple(left))


def _conjuncts(node: Node) -> Iterator[Node]:
    if isinstance(node, Group) and (node.operator is Mark.AND or len(node.nodes) == 1):
        for part in node.nodes:
            yield from _conjuncts(part)
    else:
        yield node


class Window:
    """The ids that some terms leave open, so that a search need not look at every row.

    `named`: the ids of the rows of one name.
    """

    def __init__(self, terms: Iterable[Term], named: Callable[[str], Iterable[int]]) -> None:
        self.low, self.high = -math.inf, math.inf
        self.chosen: Optional[set[int]] = None
        for term in terms:
            by_id = term.field in ("id", "host_id") or (
                term.field == "host" and term.value.isdigit()
            )
            numbers = whole_numbers(term.value) if by_id else None
            names = term.value.split(",") if term.operator is Mark.IN else [term.value]
            self._narrow(
                term.operator,
                [key for name in names for key in named(name.strip())]
                if numbers is None
                else numbers,
            )

    @staticmethod
    def takes(term: Term) -> bool:
        """Whether a term says which ids or names: `id < 5`, `host_id ^ (3,4)`, `name ^ (a,b)`,
        `host = 3`.
        """
        if term.field in ("name", "host"):
            return term.operator is Mark.EQ or (term.field, term.operator) == ("name", Mark.IN)
        numbers = whole_numbers(term.value) if term.field in ("id", "host_id") else None
        return numbers is not None and (
            term.operator is Mark.IN or (term.operator in _WINDOWS and len(numbers) == 1)
        )

    def _narrow(self, mark: Optional[Mark], numbers: list[int]) -> None:
        if mark in (Mark.EQ, Mark.IN):
            self.chosen = set(numbers) if self.chosen is None else self.chosen.intersection(numbers)
        elif mark in (Mark.GT, Mark.GTE):
            self.low = max(self.low, numbers[0] + (mark is Mark.GT))
        else:
            self.high = min(self.high, numbers[0] - (mark is Mark.LT))

    def holds(self, key: int) -> bool:
        """Whether it leaves this id open."""
        return self.low <= key <= self.high and (self.chosen is None or key in self.chosen)

    def of(self, keys: Sequence[int]) -> Sequence[int]:
        """What it leaves of ascending ids; of chosen ones also those that are not among them."""
        if self.chosen is not None:
            return sorted(key for key in self.chosen if self.holds(key))
        return keys[bisect_left(keys, self.low) : bisect_right(keys, self.high)]


class Field(NamedTuple):
    """One searchable field.

    `values(row, name)`: its values in a row, several for facts; `name` as it stands in the search
    (facts.virt::uuid). `kind(name, operator, value)`: the check of one value, None where the term
    vanishes. `bare`: how words without a field are looked for in it; None where they are not.
    `whole(name, operator, value)`: the test of a row where Foreman has a method of its own for the
    field; `kind` is not asked then.
    """

    values: Callable[[Row, str], Iterable[Any]]
    kind: Callable[[str, Mark, str], Optional[Check]]
    bare: Optional[Mark] = None
    whole: Optional[Callable[[str, Mark, str], Test]] = None


def one(get: Callable[[Row], Any]) -> Callable[[Row, str], Iterable[Any]]:
    """The `values` of a field that has exactly one."""
    return lambda row, name: (get(row),)


def find_field(name: str, fields: Mapping[str, Field]) -> Optional[Field]:
    """The field of that name; `facts.x` and `params.x` are found by what stands before the dot."""
    return fields.get(name) or fields.get(f"{name.split('.')[0]}." if "." in name else name)


def compile_search(node: Node, fields: Mapping[str, Field]) -> Optional[Test]:
    """The test of a row, None where nothing is left to test.  Raises QueryError and DatabaseError.

    A null compares to nothing, and `not` makes a match of that.
    """
    if isinstance(node, Term):
        return _compile_term(node, fields) if node.field else _compile_bare(node, fields)
    if isinstance(node, Not):
        inner = compile_search(node.node, fields)
        if inner is None:  # NOT COALESCE(, false)
            raise DatabaseError('PG::SyntaxError: ERROR:  syntax error at or near ","')
        return lambda row: not inner(row)
    tests = [test for test in (compile_search(part, fields) for part in node.nodes) if test]
    if len(tests) < 2:
        return tests[0] if tests else None
    if node.operator is Mark.AND:
        return lambda row: all(test(row) for test in tests)
    return lambda row: any(test(row) for test in tests)


def _compile_term(term: Term, fields: Mapping[str, Field]) -> Optional[Test]:
    field, name, mark = find_field(term.field, fields), term.field, term.operator
    if not field or not mark:
        raise QueryError(f"Field '{name}' not recognized for searching!")
    values = field.values
    if mark is Mark.SET:
        return lambda row: any(value is not None for value in values(row, name))
    if mark is Mark.NULL:  # of `facts.x`: the fact is there and null; no such fact does not count
        return lambda row: any(value is None for value in values(row, name))
    if field.whole:
        return field.whole(name, mark, term.value)
    check = field.kind(name, mark, term.value)
    if check is None:
        return None
    passes = check
    return lambda row: any(value is not None and passes(value) for value in values(row, name))


def _compile_bare(term: Term, fields: Mapping[str, Field]) -> Optional[Test]:
    """A word on its own: the name of a two-valued field means "true", else any default field may
    hold it.
    """
    field = find_field(term.value, fields)
    if not term.operator and field and field.kind is flag_check:
        return _compile_term(Term(term.value, Mark.EQ, "true"), fields)
    if term.operator and term.operator not in _INFIX:
        raise QueryError(f"Value expected but found {term.operator.value}")
    likely = term.operator in (None, Mark.EQ, Mark.NE, *_PATTERNS)
    found = [
        _compile_term(Term(name, term.operator or field.bare, term.value), fields)
        for name, field in fields.items()
        if field.bare and (likely or field.kind is fact_check)
    ]
    tests = [test for test in found if test]
    return (lambda row: any(test(row) for test in tests)) if tests else None


def order_by(text: str, fields: Mapping[str, Field]) -> tuple[Callable[[Row], Any], bool]:
    """The sort key that `FIELD [DESC]` asks for, and whether to sort downwards; nulls are the
    least.
    """
    name, _, direction = text.strip().partition(" ")
    field = find_field(name, fields)
    if not field:
        raise QueryError(f"the field '{name}' in the order statement is not valid field for search")
    values = field.values

    def key(row: Row) -> Any:
        value = next(iter(values(row, name)), None)
        return (value is not None, value)

    return key, direction.strip().lower() == "desc"


# The kinds of fields.


def text_check(name: str, mark: Mark, value: str) -> Check:
    """Text: `=` minds the case, `~` does not (measured on Foreman 3.12)."""
    if mark in _LISTS:
        words = {word.strip() for word in value.split(",")}
        return lambda held: (held in words) is (mark is Mark.IN)
    if mark in _PATTERNS:
        matches = _pattern(value)
        return lambda held: bool(matches(held)) is (mark is Mark.LIKE)
    compare = _COMPARISONS[mark]
    return lambda held: bool(compare(held, value))


def _pattern(value: str) -> Callable[[str], Any]:
    """ILIKE: what holds no * or % is looked for anywhere; an underscore is any one character."""
    like = re.sub(r"[%*]+", "%", value) if re.search(r"[%*]", value) else f"%{value}%"
    parts = (".*" if char == "%" else "." if char == "_" else re.escape(char) for char in like)
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL).fullmatch


def whole_numbers(value: str) -> Optional[list[int]]:
    """The numbers of a value or a list of values; None where one is none."""
    words = value.split(",")
    return (
        [int(word) for word in words]
        if all(re.fullmatch(r"\s*[+-]?\d+\s*", word) for word in words)
        else None
    )


def number_check(name: str, mark: Mark, value: str) -> Check:
    """A number; the database minds what is none."""
    if mark in _PATTERNS:
        raise QueryError(f"the operator '{mark.value}' is not supported for field type 'integer'")
    numbers = whole_numbers(value)
    if numbers is None or (len(numbers) > 1 and mark not in _LISTS):
        raise _unreadable("integer", value)
    if mark in _LISTS:
        return lambda held: (held in numbers) is (mark is Mark.IN)
    compare, wanted = _COMPARISONS[mark], numbers[0]
    return lambda held: bool(compare(held, wanted))


def _unreadable(kind: str, value: str) -> DatabaseError:
    return DatabaseError(
        f'PG::InvalidTextRepresentation: ERROR:  invalid input syntax for type {kind}: "{value}"\n'
    )


def identifier_check(name: str, mark: Mark, value: str) -> Check:
    """A number that Foreman itself minds first."""
    if whole_numbers(value) is None:
        raise QueryError(f"Value '{value}' is not valid for field '{name}'")
    return number_check(name, mark, value)


def flag_check(name: str, mark: Mark, value: str) -> Check:
    """True or false, and nothing else."""
    if value not in ("true", "false"):
        raise QueryError(f"'{name}' should be one of 'true, false', but the query was '{value}'")
    if mark not in (Mark.EQ, Mark.NE):
        raise QueryError(f"Operator '{mark.value}' not supported for '{name}'")
    wanted = (value == "true") is (mark is Mark.EQ)
    return lambda held: held is wanted


_TRUE, _FALSE = ("true", "t", "1"), ("false", "f", "0")


def boolean_check(name: str, mark: Mark, value: str) -> Check:
    """True or false as the database reads them (Katello's `hypervisor`)."""
    if mark in _PATTERNS:
        raise QueryError(f"the operator '{mark.value}' is not supported for field type 'boolean'")
    if value.lower() not in (*_TRUE, *_FALSE):
        raise _unreadable("boolean", value)
    return flag_check(name, mark, "true" if value.lower() in _TRUE else "false")


def fact_check(name: str, mark: Mark, value: str) -> Check:
    """The value of a fact: numbers are compared as such; a list is no valid SQL (measured on
    Foreman 3.12: 500).
    """
    if mark in _LISTS:
        raise DatabaseError(f"PG::SyntaxError: ERROR:  syntax error at or near \"'{value}'\"\n")
    if mark not in _PATTERNS and re.fullmatch(r"[-+]?\d+", value):
        compare, wanted = _COMPARISONS[mark], int(value)
        return lambda held: held.isdecimal() and bool(compare(int(held), wanted))
    return text_check(name, mark, value)


def date_check(name: str, mark: Mark, value: str) -> Optional[Check]:
    """A time.  One that cannot be read makes the whole term vanish, so that `last_checkin <
    "garbage"` finds all.
    """
    read = _read_date(value)
    if read is None:
        return None
    start, span = read
    if mark not in _COMPARISONS:
        raise QueryError(f"the operator '{mark.value}' is not supported for field type 'datetime'")
    if mark in (Mark.EQ, Mark.NE):
        return lambda held: (start <= moment(held) < start + span) is (mark is Mark.EQ)
    if span >= timedelta(days=1) and mark is Mark.GT:  # after that day, not after its midnight
        start, mark = start + span, Mark.GTE
    elif span >= timedelta(days=1) and mark is Mark.LTE:
        start, mark = start + span, Mark.LT
    compare = _COMPARISONS[mark]
    return lambda held: bool(compare(moment(held), start))


_RELATIVE = re.compile(
    r"\s*(\d+)\s+(minute|hour|day|week|month|year)s?\s+(ago|from\s+now)\s*", re.IGNORECASE
)
_ABSOLUTE = re.compile(
    r"""\s* (\d{4})-(\d\d?)-(\d\d?) (?: [T\s]\s* (\d\d?):(\d\d) (?: :(\d\d)(?:\.\d+)? )? )?
                           \s* (?: UTC | Z | ([+-])(\d\d):?(\d\d) )? \s*""",
    re.VERBOSE,
)
_NEAR = {"yesterday": -1, "today": 0, "tomorrow": 1}
_MINUTES = {"minute": 1, "hour": 60, "day": 24 * 60, "week": 7 * 24 * 60}


def _read_date(value: str) -> Optional[tuple[datetime, timedelta]]:
    """The time that a value means and how long it lasts: "30 days ago" is that whole day, from
    midnight UTC.
    """
    near = re.search(r"\b(today|yesterday|tomorrow)\b", value, re.IGNORECASE)
    relative, absolute = _RELATIVE.fullmatch(value), _ABSOLUTE.fullmatch(value)
    try:
        if near:
            return _shifted(_NEAR[near[1].lower()], "day")
        if relative:
            return _shifted(
                int(relative[1]) * (-1 if relative[3].lower() == "ago" else 1), relative[2].lower()
            )
        if absolute:
            seconds = 1 if absolute[6] else 60 if absolute[4] else 24 * 60 * 60
            return moment(value), timedelta(seconds=seconds)
    except (ValueError, OverflowError):  # the 31st of February, the year 10000
        pass
    return None


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _midnight(when: datetime) -> datetime:
    return when.replace(hour=0, minute=0, second=0, microsecond=0)


def _shifted(count: int, unit: str) -> tuple[datetime, timedelta]:
    if unit in _MINUTES:
        when = _now() + timedelta(minutes=count * _MINUTES[unit])
        short = unit in ("minute", "hour")
        return (when, timedelta(minutes=1)) if short else (_midnight(when), timedelta(days=1))
    today = _midnight(_now())
    year, month = divmod(
        today.year * 12 + today.month - 1 + count * (12 if unit == "year" else 1), 12
    )
    day = min(today.day, calendar.monthrange(year, month + 1)[1])
    return today.replace(year=year, month=month + 1, day=day), timedelta(days=1)


@lru_cache(maxsize=65536)
def moment(value: str) -> datetime:
    """A time as Foreman writes it: `2026-11-22 12:47:41 UTC`, ` -0400`, or ISO.  Raises ValueError."""
    match = _ABSOLUTE.fullmatch(value)
    if not match:
        raise ValueError(f"not a time: {value!r}")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    offset = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
    zone = timezone(-offset if match[7] == "-" else offset)
    return datetime(year, month, day, hour, minute, second, tzinfo=zone)
