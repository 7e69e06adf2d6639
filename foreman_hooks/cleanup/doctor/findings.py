"""The findings that doctor reports."""

from enum import Enum
from typing import NamedTuple


class State(str, Enum):
    """The result of a check; prints as its value."""

    OK = "ok"
    WARNING = "warning"
    FAIL = "fail"

    def __str__(self) -> str:
        return self.value


class Finding(NamedTuple):
    """What was checked and its state; `advice`: what to do about it, "" if nothing."""

    state: State
    what: str
    advice: str = ""


def ok(what: str, advice: str = "") -> Finding:
    """A finding about something that is right."""
    return Finding(State.OK, what, advice)


def warning(what: str, advice: str) -> Finding:
    """A finding about something that works, but less safely or less completely than it could."""
    return Finding(State.WARNING, what, advice)


def fail(what: str, advice: str) -> Finding:
    """A finding about something that keeps a run from working."""
    return Finding(State.FAIL, what, advice)
