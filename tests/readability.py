"""How dense the code is: figures for each room.

python tests/readability.py [FOLDER ...]
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

ROOT = Path(__file__).parent.parent
SHIPPED = ("foreman_hooks", "satellite_remote_exec")
LONGEST_LINE = 100
LONGEST_FUNCTION = 40
# Names that do not say what they hold.
VAGUE = ("one", "found", "seen", "told", "rest", "made")
_NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
_FSTRING_START = getattr(tokenize, "FSTRING_START", None)
_FSTRING_END = getattr(tokenize, "FSTRING_END", None)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Figures(NamedTuple):
    """What was counted; `code`: lines with a token other than a comment or docstring."""

    tokens: int = 0
    code: int = 0
    long_lines: int = 0
    comprehensions: int = 0
    with_two_for: int = 0
    conditionals: int = 0
    nested_conditionals: int = 0
    long_functions: int = 0
    vague_names: int = 0

    def __add__(self, other: tuple[object, ...]) -> "Figures":
        return Figures(
            *(mine + theirs for mine, theirs in zip(self, Figures._make(other)))
        )

    @property
    def tokens_a_line(self) -> float:
        """How much a reader has to take in at once, on average."""
        return self.tokens / max(self.code, 1)


def measure(text: str) -> Figures:
    """The figures of one Python source."""
    tree = ast.parse(text)
    nodes = Counter[str]()
    for node in ast.walk(tree):
        nodes.update(_kinds(node))
    tokens, code = _tokens(text, _docstring_lines(tree))
    long_lines = sum(len(line) > LONGEST_LINE for line in text.splitlines())
    return Figures(
        tokens, code, long_lines, *(nodes[name] for name in Figures._fields[3:])
    )


def _kinds(node: ast.AST) -> Iterator[str]:
    if isinstance(node, _COMPREHENSIONS):
        yield "comprehensions"
        if len(node.generators) > 1:
            yield "with_two_for"
    elif isinstance(node, ast.IfExp):
        yield "conditionals"
        if any(
            isinstance(part, ast.IfExp) for part in (node.body, node.orelse, node.test)
        ):
            yield "nested_conditionals"
    elif isinstance(node, ast.FunctionDef):
        if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION:
            yield "long_functions"
    elif isinstance(node, ast.Name):
        if node.id in VAGUE and isinstance(node.ctx, ast.Store):
            yield "vague_names"
    elif isinstance(node, ast.arg) and node.arg in VAGUE:
        yield "vague_names"


def _docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def _tokens(text: str, docstring_lines: set[int]) -> tuple[int, int]:
    """How many tokens, and on how many lines they are."""
    count = 0
    lines: set[int] = set()
    depth = 0  # of f-strings, which Python 3.12 and newer split into many tokens
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_docstring = (
            token.type == tokenize.STRING and token.start[0] in docstring_lines
        )
        if token.type == _FSTRING_END:
            depth -= 1
        elif token.type not in _NOT_CODE and not is_docstring:
            count += depth == 0
            depth += token.type == _FSTRING_START
            lines.update(range(token.start[0], token.end[0] + 1))
    return count, len(lines)


def measure_folder(folder: Path) -> Figures:
    """The sum over the Python files in a folder and below it, or of one file."""
    paths = [folder] if folder.is_file() else sorted(folder.rglob("*.py"))
    total = Figures()
    for path in paths:
        total += measure(path.read_text(encoding="utf-8"))
    return total


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print a line for each folder; the exit code is always 0."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    folders = [Path(name) for name in arguments or SHIPPED]
    rooms = (
        [room for folder in folders for room in (folder, *sorted(folder.glob("*")))]
        if not arguments
        else folders
    )
    for room in rooms:
        if room.is_file() or any(room.rglob("*.py")):
            print_line(room, measure_folder(room))
    return 0


def print_line(room: Path, figures: Figures) -> None:
    """Print the figures; comprehensions and conditional expressions are per 100 lines of code."""
    share = 100 / max(figures.code, 1)
    print(
        f"{room!s:38} {figures.tokens_a_line:5.2f} tokens a line, "
        f"{figures.comprehensions * share:4.1f} comprehensions and "
        f"{figures.conditionals * share:4.1f} conditionals per 100, "
        f"{figures.with_two_for} with two for, {figures.nested_conditionals} nested, "
        f"{figures.long_lines} long lines, {figures.long_functions} long functions, "
        f"{figures.vague_names} vague names"
    )


if __name__ == "__main__":
    sys.exit(main())
