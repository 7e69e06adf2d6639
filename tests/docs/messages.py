"""The messages that the program can print when something is wrong, read from its source.

A message is a text in one of these places:

* what a `raise` raises, and any call of an exception's class
* an argument of `complain`, `warn`, `hint`, of a finding of doctor, of a warning in the log, of an
  outcome of a deletion, or of what prints to stderr
* what a function of TELLERS returns, and any sentence in a file of WHOLE_FILES: these texts travel
  through data before they are printed

A gap in a text, which is filled when the program runs, is shown as "…".  If a text is little more
than gaps, what fills them is followed too: variables, parameters, and what functions return.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, Optional

from docs.pages import ROOT, words

PACKAGES = ("foreman_hooks", "satellite_remote_exec")
GAP = "…"
REPORTERS = {
    "complain",
    "_complain",
    "warn",
    "hint",
    "warning",
    "fail",
    "error",
    "Outcome",
    "raise_unexpected",
    "usage_error",
    "advise",
    "bad_option",
}
TO_STDERR = {"err", "file"}  # keywords of echo() and print()
TELLERS = {"_broken_caps", "_shrinkages", "_shrinkage", "_hold"}
WHOLE_FILES = {
    f"foreman_hooks/{name}.py"
    for name in (
        "hooks/hooks_d",
        "osp_checker/config",
        "osp_checker/errors",
        "satellite/check_job",
        "satellite/connection",
        "satellite/hammer",
        "satellite/search_language",
        "unreadable",
    )
}
BUILT_IN = {"ValueError", "RuntimeError", "OSError", "UsageError", "BadParameter"}


class Message(NamedTuple):
    """A text, and where it is in the source: FILE:LINE."""

    place: str
    text: str


class Source(NamedTuple):
    """One file of the program."""

    name: str
    tree: ast.Module


class Place(NamedTuple):
    """Where an expression is; `function`: the one around it, None at the top level of a file."""

    file: Source
    function: Optional[ast.FunctionDef] = None


def messages() -> list[Message]:
    """All messages of the program, in the order of its files."""
    return Search(_sources()).messages()


def texts() -> set[str]:
    """All texts of the program, short ones too."""
    return {
        words(_text(node))
        for file in _sources()
        for node in ast.walk(file.tree)
        if isinstance(node, (ast.Constant, ast.JoinedStr))
    }


@cache
def _sources() -> list[Source]:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return [_source(path) for path in sorted(paths)]


def _source(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    return Source(str(path.relative_to(ROOT)), ast.parse(text))


class Search:
    """Follows each message from the place where it is reported to the texts that it is made of."""

    def __init__(self, files: Iterable[Source]) -> None:
        self._files = list(files)
        self._functions: dict[str, list[Place]] = {}
        self._exceptions = set(BUILT_IN)
        self._reporters = {(None, name) for name in REPORTERS}
        self._collected: set[Message] = set()
        self._visited: set[int] = set()
        for file in self._files:
            for node in ast.walk(file.tree):
                if isinstance(node, ast.FunctionDef):
                    self._functions.setdefault(node.name, []).append(Place(file, node))
                elif isinstance(node, ast.ClassDef) and _is_exception(node):
                    self._exceptions.add(node.name)

    def messages(self) -> list[Message]:
        """Search again as long as more functions turn out to report what they are called with."""
        known = 0
        while known != len(self._reporters):
            known = len(self._reporters)
            self._visited.clear()
            for file in self._files:
                self._search(file.tree, Place(file))
                if file.name in WHOLE_FILES:
                    self._take_sentences(file)
        return sorted(self._collected)

    def _search(self, node: ast.AST, place: Place) -> None:
        for child in ast.iter_child_nodes(node):
            inside = place
            if isinstance(child, ast.FunctionDef):
                inside = Place(place.file, child)
                if child.name in TELLERS:
                    self._take_results(inside)
            elif isinstance(child, ast.Raise) and child.exc:
                self._take(child.exc, place)
            elif isinstance(child, ast.Call) and self._reports(child, place):
                for value in _arguments(child):
                    self._take(value, place)
            self._search(child, inside)

    def _reports(self, call: ast.Call, place: Place) -> bool:
        name = _name(call.func)
        if name in self._exceptions or TO_STDERR & {word.arg for word in call.keywords}:
            return True
        return bool({(None, name), (place.file.name, name)} & self._reporters)

    def _take(self, node: ast.AST, place: Place) -> None:
        """Note the texts of an expression, and follow its variables and calls."""
        if id(node) in self._visited:
            return
        self._visited.add(id(node))
        if isinstance(node, (ast.Constant, ast.JoinedStr)):
            self._take_text(node, place)
        elif isinstance(node, ast.Name):
            self._take_variable(node.id, place)
        elif isinstance(node, ast.Call):
            self._take_call(node, place)
        elif not isinstance(node, (ast.Attribute, ast.Compare)):
            for child in _parts(node):
                self._take(child, place)

    def _take_text(self, node: ast.AST, place: Place) -> None:
        text = words(_text(node))
        if is_sentence(text):
            line = getattr(node, "lineno", 0)
            self._collected.add(Message(f"{place.file.name}:{line}", text))
            return
        for part in ast.walk(node):
            if isinstance(part, ast.FormattedValue):
                self._take(part.value, place)

    def _take_sentences(self, file: Source) -> None:
        """Take every text of a file but its docstrings."""
        skipped: set[int] = set()
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Expr):
                skipped.add(id(node.value))
            elif isinstance(node, ast.JoinedStr):
                skipped.update(map(id, node.values))
        for node in ast.walk(file.tree):
            if (
                isinstance(node, (ast.Constant, ast.JoinedStr))
                and id(node) not in skipped
            ):
                self._take(node, Place(file))

    def _take_variable(self, name: str, place: Place) -> None:
        function = place.function
        if function:
            arguments = (*function.args.args, *function.args.kwonlyargs)
            if name != "self" and name in {argument.arg for argument in arguments}:
                self._reporters.add((place.file.name, function.name))
        scope = function or place.file.tree
        values = list(_values(scope, name)) or list(_values(place.file.tree, name))
        for value in values:
            self._take(value, place)

    def _take_call(self, call: ast.Call, place: Place) -> None:
        """Take what our own function returns, or else what another one is called with."""
        name = _name(call.func)
        if self._reports(call, place):
            return  # the search itself comes to it
        own = self._functions.get(name, [])
        near = [other for other in own if other.file.name == place.file.name]
        if isinstance(call.func, ast.Name) and not near:
            near = own
        for other in near:
            self._take_results(other)
        if not near:
            for value in _arguments(call):
                self._take(value, place)
            if isinstance(call.func, ast.Attribute):
                self._take(call.func.value, place)

    def _take_results(self, place: Place) -> None:
        assert place.function
        for node in ast.walk(place.function):
            if isinstance(node, (ast.Return, ast.Yield)) and node.value:
                self._take(node.value, place)


def _is_exception(node: ast.ClassDef) -> bool:
    names = [node.name, *map(_name, node.bases)]
    return any(name.endswith(("Error", "Exception")) for name in names)


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(word.value for word in call.keywords)]


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of an expression, without a condition."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.IfExp) and child is node.test):
            yield child


def _values(scope: ast.AST, name: str) -> Iterator[ast.AST]:
    """What a variable gets in a function, or at the top level of a file."""
    nodes = ast.walk(scope) if isinstance(scope, ast.FunctionDef) else scope.body  # type: ignore[attr-defined]
    for node in nodes:
        if isinstance(node, ast.Assign):
            targets: list[ast.expr] = node.targets
            value: Optional[ast.expr] = node.value
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
            targets, value = [node.target], node.value
        elif isinstance(node, (ast.For, ast.comprehension)):
            targets, value = [node.target], node.iter
        else:
            continue
        if value and any(_is_set(target, name) for target in targets):
            yield value


def _is_set(target: ast.AST, name: str) -> bool:
    return any(
        _name(node) == name for node in ast.walk(target) if isinstance(node, ast.Name)
    )


def _text(node: ast.AST) -> str:
    """The text of a constant or an f-string, with its gaps; "" for a number."""
    if isinstance(node, ast.JoinedStr):
        parts = [
            _text(part) if isinstance(part, ast.Constant) else GAP
            for part in node.values
        ]
        return "".join(parts)
    value = getattr(node, "value", None)
    return re.sub(r"%[sd]", GAP, value) if isinstance(value, str) else ""


def is_sentence(text: str) -> bool:
    """Whether a text says something to people, and is not a name, a pattern or a statement."""
    if re.match(r"(SELECT|INSERT|DELETE FROM|UPDATE|PRAGMA)\b", text) or "\\" in text:
        return False
    return sum(bool(re.match(r"[('\"]*[A-Za-z]", word)) for word in text.split()) >= 3


if __name__ == "__main__":
    for message in messages():
        print(f"{message.place}: {message.text}")
