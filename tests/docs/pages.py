"""The pages of the manual, and what is in them: headings, links, and fenced blocks.

The first word of a fence is its language, which GitHub uses for the colours. It also says what the
tests do with the block:

```sh          run as a script, which has to end with 0
```console     run each line after "$ "; the output has to be the one shown
```python      run
```yaml NAME   read as that kind of file: see test_examples.py
```text        shown only

A word after `sh` or `console`, such as "needs root", says why a block is not run.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
FENCE = "```"


class Block(NamedTuple):
    """A fenced block; `line`: the number of its first fence in the page."""

    page: Path
    line: int
    language: str
    note: str
    text: str

    @property
    def place(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """The path of a page in the repository."""
    return str(page.relative_to(ROOT))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def words(text: str) -> str:
    """The text with single spaces, as if it were one line."""
    return " ".join(text.split())


def blocks_in(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    blocks = []
    lines = read(page).splitlines()
    begin = None
    for number, line in enumerate(lines, 1):
        if not line.startswith(FENCE):
            continue
        if begin is None:
            begin = number
            continue
        language, _, note = lines[begin - 1].removeprefix(FENCE).partition(" ")
        text = "".join(f"{inner}\n" for inner in lines[begin : number - 1])
        blocks.append(Block(page, begin, language, note, text))
        begin = None
    assert begin is None, f"{name_of(page)}:{begin}: a block does not end"
    return blocks


def blocks(*languages: str) -> list[Block]:
    """All blocks in one of these languages."""
    return [
        block
        for page in PAGES
        for block in blocks_in(page)
        if block.language in languages
    ]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    kept = []
    inside = False
    for line in read(page).splitlines():
        if line.startswith(FENCE):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE):
        text = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        name, number = text, 0
        while name in names:
            number += 1
            name = f"{text}-{number}"
        names.add(name)
    return names


def links(page: Path) -> Iterator[str]:
    """The targets of the links and pictures of a page."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    for match in re.finditer(r"\]\(([^)\s]+)\)", text):
        yield match[1]


def section(page: Path, heading: str) -> str:
    """The text below a heading, up to the next heading of the same or a higher level."""
    lines = read(page).splitlines()
    level = 0
    kept = []
    for line in lines:
        marks = len(line) - len(line.lstrip("#"))
        if level:
            if 0 < marks <= level:
                break
            kept.append(line)
        elif marks and line[marks:].strip() == heading:
            level = marks
    assert level, f"{name_of(page)} has no heading {heading}"
    return "\n".join(kept)
