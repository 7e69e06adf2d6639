"""Let Ctrl-C and SIGTERM end a command cleanly."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, Optional

from foreman_hooks.commands.deadline import Deadline
from foreman_hooks.errors import INTERRUPTED


class Terminated(BaseException):
    """SIGTERM arrived.

    Not a KeyboardInterrupt, for which click prints an empty line.
    """

    exit_code = INTERRUPTED


@contextmanager
def terminable() -> Iterator[None]:
    """Raise Terminated on SIGTERM, so that everything is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise_terminated(number: int, frame: Optional[FrameType]) -> NoReturn:
    raise Terminated


@contextmanager
def stopped_gently(deadline: Deadline) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C, SIGTERM and the deadline end the work between two deletions, never within one.

    Yields a function that returns whether to stop.
    """
    caught: list[int] = []

    def note(number: int, frame: Optional[FrameType]) -> None:
        caught.append(number)

    with deadline.gently():
        before_int = signal.signal(signal.SIGINT, note)
        before_term = signal.signal(signal.SIGTERM, note)
        try:
            yield lambda: bool(caught) or deadline.is_late
        finally:
            signal.signal(signal.SIGINT, before_int)
            signal.signal(signal.SIGTERM, before_term)
