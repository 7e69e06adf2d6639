"""What doctor reports."""

from enum import Enum
from typing import NamedTuple


class State(str, Enum):
    """How what was checked is; prints as its value."""

    OK = "ok"
    WARNING = "warning"
    FAIL = "fail"

    def __str__(self) -> str:
        return self.value


class Finding(NamedTuple):
    """What was checked and how it is, and what to do about it ("" if there is nothing to do)."""

    state: State
    what: str
    advice: str = ""


def ok(what: str, advice: str = "") -> Finding:
    """Return a finding of what is as it should be."""
    return Finding(State.OK, what, advice)


def warning(what: str, advice: str) -> Finding:
    """Return a finding of what works, but less safely or less completely than it could."""
    return Finding(State.WARNING, what, advice)


def fail(what: str, advice: str) -> Finding:
    """Return a finding of what keeps a run from working."""
    return Finding(State.FAIL, what, advice)
