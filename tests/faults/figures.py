"""The figures of the long form, for the table in docs/faults.md.

python tests/faults/figures.py FILE     # FILE: what SOAK_FIGURES named; writes them into the page
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
# | what happens | what was tried | what held | trials | wrong | lost | `file::test` |
ROW = re.compile(r"^\| (.*) \| ([\d,]*) \| (\d*) \| (\d*) \| `(\w+\.py::\w+)` \|$")
SEED = re.compile(r"SEED=\d+")


def sums(text: str) -> dict[str, Counter[str]]:
    """The sums of each test in the lines of a file: trials, wrong deletions, lost work."""
    totals: dict[str, Counter[str]] = {}
    for line in text.splitlines():
        figures = json.loads(line)
        test = figures["test"].removeprefix("tests/faults/")
        total = totals.setdefault(test, Counter())
        for name in ("tried", "wrong", "lost"):
            total[name] += figures[name]
    return totals


def seed_of(text: str) -> int:
    """The seed of all lines; raises ValueError if they have several."""
    (seed,) = {json.loads(line)["seed"] for line in text.splitlines()}
    return int(seed)


def with_figures(page: str, text: str) -> str:
    """The page with these figures in the rows of its table; raises KeyError if a test has none."""
    totals = sums(text)
    lines = []
    for line in page.splitlines():
        row = ROW.match(line)
        if row:
            words, test = row[1], row[5]
            total = totals[test]
            numbers = f"{total['tried']:,} | {total['wrong']} | {total['lost']}"
            line = f"| {words} | {numbers} | `{test}` |"
        lines.append(SEED.sub(f"SEED={seed_of(text)}", line))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    soaked = Path(sys.argv[1]).read_text(encoding="utf-8")
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8"), soaked))
