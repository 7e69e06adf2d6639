"""The syntax of Foreman's search language: from a text to a tree of terms.

`parse` takes any text. What is malformed is read as far as it makes sense, as a real server does
(measured on Foreman 3.12). `take` splits off the terms that an index can answer, so that a window
of ids does not cost a look at every host.
"""

import re
from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import Callable, NamedTuple, Optional, Union, cast


class QueryError(Exception):
    """A search or an order that Foreman refuses with a 400."""


class DatabaseError(Exception):
    """A search that Foreman passes on and its database refuses: a 500."""


class Mark(Enum):
    """Everything in a search but its words. SET and NULL stand before the name of a field."""

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
    """`field operator value`.

    Without a field the term is about all fields that are searched by default; then the operator
    may be absent too.
    """

    field: str
    operator: Optional[Mark]
    value: str = ""


class Not(NamedTuple):
    """The opposite of a node."""

    node: "Node"


class Group(NamedTuple):
    """All (AND) or any (OR) of some nodes."""

    operator: Mark
    nodes: "tuple[Node, ...]"


Node = Union[Term, Not, Group]
Token = Union[str, Mark]

LOGICAL = (Mark.AND, Mark.OR)
LISTS = (Mark.IN, Mark.NOTIN)
PATTERNS = (Mark.LIKE, Mark.UNLIKE)
COMPARISONS = (Mark.EQ, Mark.NE, Mark.LT, Mark.GT, Mark.LTE, Mark.GTE)
INFIX = (*COMPARISONS, *PATTERNS, *LISTS)

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
# A word can have ^, ! and - inside and ends only at the characters below: so `id^(1,2)` is not
# a list.
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
        word = match["word"]
        if match["operator"]:
            yield _OPERATORS[match["operator"]]
        elif word:
            yield _KEYWORDS.get(word.lower(), word)
        else:
            yield re.sub(r"\\(.?)", r"\1", match["quoted"], flags=re.DOTALL)


def parse(text: str) -> Node:
    """Read a search.

    `and` and `or` bind equally, to the right; terms side by side are joined by `and`. Measured on
    Foreman 3.12: operators and parentheses at the very end are dropped. So `name =` looks for the
    word "name", and `=` alone finds everything.
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
            self.tokens.popleft()  # the opening parenthesis
        nodes = []
        while self.ahead not in (None, Mark.CLOSE):
            nodes.append(self.expression())
        if outermost:
            return Group(Mark.AND, tuple(nodes))
        if self.ahead is Mark.CLOSE:
            self.tokens.popleft()
        if not nodes:
            raise QueryError("Empty list of operands")
        return Group(Mark.AND, tuple(nodes))

    def next_mark(self) -> Mark:
        return cast(Mark, self.tokens.popleft())

    def expression(self) -> Node:
        parts = [self.part()]
        marks = []
        while self.ahead in LOGICAL:
            marks.append(self.next_mark())
            parts.append(self.part())
        node = parts.pop()
        while marks:
            node = _joined(marks.pop(), parts.pop(), node)
        return node

    def part(self) -> Node:
        while self.ahead in LOGICAL:  # an "and" too many joins nothing
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
        if self.ahead in INFIX:
            mark = self.next_mark()
            return Term(first, mark, self.value(mark))
        if self.ahead is Mark.COMMA:
            self.tokens.popleft()
        return Term("", None, first)

    def prefixed(self, mark: Mark) -> Node:
        if mark in (Mark.SET, Mark.NULL):
            return Term(self.value(mark), mark)
        if mark is Mark.IN:
            return Group(
                Mark.OR, tuple(Term("", Mark.EQ, word) for word in self.words())
            )
        if mark is Mark.NOTIN:
            return Group(
                Mark.AND, tuple(Term("", Mark.NE, word) for word in self.words())
            )
        return Term("", mark, self.value(mark))

    def value(self, mark: Mark) -> str:
        ahead = self.ahead
        if isinstance(ahead, str):
            self.tokens.popleft()
            return ahead
        if mark in LISTS:
            return ",".join(self.words())
        raise QueryError(f"Value expected but found {ahead.value if ahead else 'nil'}")

    def words(self) -> list[str]:
        words = []
        while self.ahead not in (None, Mark.CLOSE):
            token = self.tokens.popleft()
            if isinstance(token, str):
                words.append(token)
        if self.ahead is Mark.CLOSE:
            self.tokens.popleft()
        return words


def _joined(mark: Mark, left: Node, right: Node) -> Group:
    """`left mark right`; a chain of the same mark is one flat group."""
    if isinstance(right, Group) and right.operator is mark:
        return Group(mark, (left, *right.nodes))
    return Group(mark, (left, right))


def take(node: Node, is_wanted: Callable[[Term], bool]) -> tuple[list[Term], Node]:
    """Split a search into the wanted terms that every match must fulfil, and the remaining node."""
    taken: list[Term] = []
    remaining: list[Node] = []
    for part in _conjuncts(node):
        if isinstance(part, Term) and is_wanted(part):
            taken.append(part)
        else:
            remaining.append(part)
    return taken, Group(Mark.AND, tuple(remaining))


def _conjuncts(node: Node) -> Iterator[Node]:
    if isinstance(node, Group) and (node.operator is Mark.AND or len(node.nodes) == 1):
        for part in node.nodes:
            yield from _conjuncts(part)
    else:
        yield node
