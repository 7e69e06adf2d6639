"""The search of Foreman's lists, as far as the double answers it, with its traps.

    test = compile_search(parse('name ~ web and not build = true'), fields)
    test is None or test(host)

A field that Foreman has but this double has not is an UnknownRequestError, never a guess. A field
that Foreman does not have either is refused as Foreman refuses it. Words without a field are
looked for in the default fields that are simulated, which are fewer than a real server's.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional

from .search_checks import Check, fact_check, flag_check, whole_numbers
from .search_parser import (
    INFIX,
    PATTERNS,
    DatabaseError,
    Mark,
    Node,
    Not,
    QueryError,
    Term,
)
from .server import UnknownRequestError

Row = Any  # whatever is listed: a host, a fact, an organization
Test = Callable[[Row], bool]
Values = Callable[[Row, str], Iterable[Any]]
IdsOfName = Callable[[str], Iterable[int]]

_WINDOWS = (Mark.EQ, Mark.LT, Mark.GT, Mark.LTE, Mark.GTE)


class Window:
    """The ids that some terms allow, so that a search need not look at every row.

    `ids_of_name`: the ids of the rows of one name.
    """

    def __init__(self, terms: Iterable[Term], ids_of_name: IdsOfName) -> None:
        self.low, self.high = -math.inf, math.inf
        self.chosen: Optional[set[int]] = None
        for term in terms:
            self._narrow(term.operator, _ids_of(term, ids_of_name))

    @staticmethod
    def takes(term: Term) -> bool:
        """Whether a term names ids or names.

        For example `id < 5`, `host_id ^ (3,4)`, `name ^ (a,b)` or `host = 3`.
        """
        if term.field == "host":
            return term.operator is Mark.EQ
        if term.field == "name":
            return term.operator in (Mark.EQ, Mark.IN)
        if term.field not in ("id", "host_id"):
            return False
        numbers = whole_numbers(term.value)
        if numbers is None:
            return False
        return term.operator is Mark.IN or (
            term.operator in _WINDOWS and len(numbers) == 1
        )

    def _narrow(self, mark: Optional[Mark], numbers: list[int]) -> None:
        if mark in (Mark.EQ, Mark.IN):
            chosen = set(numbers)
            self.chosen = chosen if self.chosen is None else self.chosen & chosen
        elif mark in (Mark.GT, Mark.GTE):
            self.low = max(self.low, numbers[0] + (mark is Mark.GT))
        else:
            self.high = min(self.high, numbers[0] - (mark is Mark.LT))

    def holds(self, key: int) -> bool:
        """Whether it allows this id."""
        return self.low <= key <= self.high and (
            self.chosen is None or key in self.chosen
        )

    def of(self, keys: Sequence[int]) -> Sequence[int]:
        """The allowed ids of `keys` (ascending).

        Where the terms list ids, also those that are not among `keys`.
        """
        if self.chosen is not None:
            return sorted(filter(self.holds, self.chosen))
        start = bisect_left(keys, self.low)
        end = bisect_right(keys, self.high)
        return keys[start:end]


def _ids_of(term: Term, ids_of_name: IdsOfName) -> list[int]:
    """The numbers that a term of a window compares with."""
    is_host_number = term.field == "host" and term.value.isdigit()
    if is_host_number or term.field in ("id", "host_id"):
        return whole_numbers(term.value) or []
    names = [term.value]
    if term.operator is Mark.IN:
        names = term.value.split(",")
    ids: list[int] = []
    for name in names:
        ids += ids_of_name(name.strip())
    return ids


class Field(NamedTuple):
    """One searchable field.

    `values(row, name)`: its values in a row, several for facts; `name` is the field as it stands
    in the search (facts.virt::uuid).
    `kind(name, operator, value)`: the check of one value, None if the term is dropped.
    `bare`: the operator that looks for words without a field; None if they are not looked for.
    """

    values: Values
    kind: Callable[[str, Mark, str], Optional[Check]]
    bare: Optional[Mark] = None


class Fields(dict[str, Field]):
    """Searchable fields by name; `missing` are those that only a real server has."""

    def __init__(
        self, fields: Mapping[str, Field], missing: Iterable[str] = ()
    ) -> None:
        super().__init__(fields)
        self.missing = frozenset(missing)

    def find(self, name: str) -> Optional[Field]:
        """The field of that name; `facts.x` is kept under `facts.`.

        None if Foreman does not have it either.
        """
        prefix, dot, _ = name.partition(".")
        field = self.get(name) or self.get(prefix + dot)
        if field is None and not self.missing.isdisjoint((name, prefix + dot)):
            raise UnknownRequestError(f"the search field {name}")
        return field


def single(get: Callable[[Row], Any]) -> Values:
    """The `values` of a field that has exactly one value."""
    return lambda row, name: (get(row),)


def compile_search(node: Node, fields: Fields) -> Optional[Test]:
    """The test of a row; None if there is nothing to test.

    A null compares to nothing, and `not` turns that into a match. Raises QueryError,
    DatabaseError and UnknownRequestError.
    """
    if isinstance(node, Term):
        return (
            _compile_term(node, fields) if node.field else _compile_bare(node, fields)
        )
    if isinstance(node, Not):
        return _compile_not(node, fields)
    tests = [compile_search(part, fields) for part in node.nodes]
    return _joined_tests(node.operator, tests)


def _compile_not(node: Not, fields: Fields) -> Test:
    inner = compile_search(node.node, fields)
    if inner is None:  # NOT COALESCE(, false)
        raise DatabaseError('PG::SyntaxError: ERROR:  syntax error at or near ","')
    return lambda row: not inner(row)


def _joined_tests(mark: Mark, tests: Iterable[Optional[Test]]) -> Optional[Test]:
    remaining = [test for test in tests if test]
    if len(remaining) < 2:
        return remaining[0] if remaining else None
    join = all if mark is Mark.AND else any
    return lambda row: join(test(row) for test in remaining)


def _compile_term(term: Term, fields: Fields) -> Optional[Test]:
    name, mark = term.field, term.operator
    field = fields.find(name)
    if not field or not mark:
        raise QueryError(f"Field '{name}' not recognized for searching!")
    values = field.values
    if mark is Mark.SET:
        return lambda row: any(value is not None for value in values(row, name))
    if (
        mark is Mark.NULL
    ):  # a fact that is there and is null; a missing fact does not match
        return lambda row: any(value is None for value in values(row, name))
    check = field.kind(name, mark, term.value)
    if check is None:
        return None
    return _any_value(values, name, check)


def _any_value(values: Values, name: str, check: Check) -> Test:
    return lambda row: any(
        value is not None and check(value) for value in values(row, name)
    )


def _compile_bare(term: Term, fields: Fields) -> Optional[Test]:
    """A word without a field.

    The name of a two-valued field means "true"; otherwise any default field may hold the word.
    """
    mark = term.operator
    field = fields.find(term.value)
    if not mark and field and field.kind is flag_check:
        return _compile_term(Term(term.value, Mark.EQ, "true"), fields)
    if mark and mark not in INFIX:
        raise QueryError(f"Value expected but found {mark.value}")
    suits_text = mark in (None, Mark.EQ, Mark.NE, *PATTERNS)
    tests = []
    for name, candidate in fields.items():
        if candidate.bare and (suits_text or candidate.kind is fact_check):
            named = Term(name, mark or candidate.bare, term.value)
            tests.append(_compile_term(named, fields))
    return _joined_tests(Mark.OR, tests)


class Order(NamedTuple):
    """How a list is to be sorted."""

    key: Callable[[Row], Any]
    descending: bool

    def sort(self, rows: list[Row]) -> None:
        """Sort rows in place."""
        rows.sort(key=self.key, reverse=self.descending)


def order_by(text: str, fields: Fields) -> Order:
    """The order that `FIELD [ASC|DESC]` asks for; nulls are the least."""
    name, _, direction = text.strip().partition(" ")
    field = fields.find(name)
    if not field:
        raise QueryError(
            f"the field '{name}' in the order statement is not valid field for search"
        )
    if direction.strip().lower() not in ("", "asc", "desc"):
        raise UnknownRequestError(f"the order {text}")
    values = field.values

    def key(row: Row) -> Any:
        value = next(iter(values(row, name)), None)
        return (value is not None, value)

    return Order(key, direction.strip().lower() == "desc")
