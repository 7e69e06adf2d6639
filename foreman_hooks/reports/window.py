"""Fit text into the window of a terminal: widths, shortened names, and wrapped lines.  Pure."""

import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

ELLIPSIS = "…"
_SHORTEST_DOMAIN = 5  # columns; less of a domain says nothing


class Window(NamedTuple):
    """Where text is shown.

    `width`: its columns; None if it is not a terminal, so that nothing is shortened or wrapped.
    `colour`: whether colours are shown.
    """

    width: Optional[int] = None
    colour: bool = False

    def bold(self, text: str, colour: str = "") -> str:
        """The text in bold letters of that colour ("": the usual one), if colours are shown."""
        if not self.colour:
            return text
        codes = {"red": ";31", "green": ";32", "yellow": ";33", "cyan": ";36", "": ""}
        return f"\x1b[1{codes[colour]}m{text}\x1b[0m"


def cells(text: str) -> int:
    """How many columns the text takes: CJK letters take two, combining marks none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # here: not needed for most names

    return cell_len(text)


def padded(text: str, width: int) -> str:
    """The text with blanks up to that width."""
    return text + " " * (width - cells(text))


def shortened(name: str, width: int) -> str:
    """A host name in at most `width` columns, cut in the middle.

    The first label stays whole as long as it can, because it tells hosts of one domain apart.
    """
    if cells(name) <= width:
        return name
    label, dot, domain = name.partition(".")
    width_of_domain = width - cells(label)
    if not dot or width_of_domain < 1:
        return _cut(label, width)
    if width_of_domain < _SHORTEST_DOMAIN:
        return label + ELLIPSIS
    return label + _cut(dot + domain, width_of_domain)


def _cut(text: str, width: int) -> str:
    """The text in at most `width` columns: its beginning, an ellipsis, and its end."""
    if cells(text) <= width:
        return text
    end = _beginning(text[::-1], (width - 1) // 2)[::-1]
    beginning = _beginning(text, width - 1 - cells(end))
    return f"{beginning}{ELLIPSIS}{end}"


def _beginning(text: str, width: int) -> str:
    """As much of the beginning as `width` columns can show."""
    end = min(len(text), width)
    while cells(text[:end]) > width:
        end -= 1
    return text[:end]


def wrapped(text: str, width: Optional[int], indent: str = "") -> list[str]:
    """The text in lines of at most `width` columns, each with the indent; None: in one line.

    Lines end between words; only a word that is longer than a line is cut.
    """
    if width is None:
        return [indent + text]
    room = max(width - len(indent), 2)  # a CJK letter takes two columns
    lines: list[str] = []
    line = ""
    for word in text.split():
        for part in _parts(word, room):
            longer = f"{line} {part}" if line else part
            if line and cells(longer) > room:
                lines.append(line)
                longer = part
            line = longer
    return [indent + line for line in [*lines, line]]


def _parts(word: str, width: int) -> Iterator[str]:
    """The word, cut into parts that take at most `width` columns each."""
    while cells(word) > width:
        part = _beginning(word, width)
        yield part
        word = word[len(part) :]
    yield word


def command_lines(words: Sequence[str], width: Optional[int]) -> list[str]:
    """A command, quoted for the shell, in lines that can be pasted as they are.

    A line that is continued ends with a backslash.  An argument is never cut, even if it alone is
    longer than `width`.
    """
    lines: list[str] = []
    line = ""
    for part in _with_values(words):
        longer = f"{line} {part}" if line else f"  {part}"
        if line and width is not None and cells(longer) > width - len(" \\"):
            lines.append(f"{line} \\")
            longer = f"    {part}"
        line = longer
    return [*lines, line]


def _with_values(words: Sequence[str]) -> list[str]:
    """The words, quoted for the shell; an option and its value together."""
    parts: list[str] = []
    is_option = False
    for word in words:
        quoted = shlex.quote(word)
        if is_option and not word.startswith("-"):
            parts[-1] += f" {quoted}"
        else:
            parts.append(quoted)
        is_option = word.startswith("--")
    return parts
