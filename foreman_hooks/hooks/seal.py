"""A line near the top of each file that we write, with a digest of all other lines.

It shows whether an administrator changed the file later, without a list of what was installed.
"""

import hashlib
from enum import Enum

from foreman_hooks.paths import NAME

# Do not reword it: files that earlier versions installed are recognized by it.
_MARK = f"# Written by '{NAME} schedule install'; changed lines are noticed by sha256 "


class Origin(Enum):
    """Who wrote a file.  CHANGED: we did, and somebody changed it later."""

    OURS = "ours"
    CHANGED = "changed"
    FOREIGN = "foreign"


def seal(text: str) -> str:
    """Return the text with our line on top, or below the `#!` line of a script."""
    line = f"{_MARK}{_digest(text)}\n"
    if not text.startswith("#!"):
        return line + text
    interpreter, body = text.split("\n", 1)
    return f"{interpreter}\n{line}{body}"


def origin(text: str) -> Origin:
    """Return who wrote this text."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines[:2]):
        if line.startswith(_MARK):
            digest = line[len(_MARK) :].strip()
            del lines[number]
            if digest == _digest("".join(lines)):
                return Origin.OURS
            return Origin.CHANGED
    return Origin.FOREIGN


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
