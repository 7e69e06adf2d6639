"""How a run reports its progress, and how it gets the time."""

from datetime import datetime, timezone
from typing import Callable

from foreman_hooks.osp_checker import pace

# What the run does now, how much of that is done, and the total (0: not known).
Progress = Callable[[str, int, int], None]
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time now (aware, UTC)."""
    return datetime.now(timezone.utc)


def silent(what: str, done: int, total: int) -> None:
    """Report no progress."""


def stage(progress: Progress, what: str) -> pace.Progress:
    """The function that reports the progress of one stage of the run, labelled `what`."""

    def report(done: int, total: int) -> None:
        progress(what, done, total)

    return report
