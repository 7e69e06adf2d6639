"""The deadline of a command: it ends after a given time, whatever it is waiting for.

A response that arrives byte by byte never reaches a request's own time limit, and a library may
deadlock on its own lock.  So the kernel's timer interrupts the main thread, which raises
DeadlineError out of any wait.  If even the clean-up hangs, the process is ended some minutes
later; the kernel then releases the journal's lock.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn, Optional

from foreman_hooks.errors import TRY_AGAIN
from foreman_hooks.times import DEADLINE, spell

# For a deletion in progress to finish; never longer than the deadline itself.
GRACE = timedelta(minutes=5)
# Seconds: 0 would switch the timer off; three years are accepted everywhere.
_SHORTEST = 0.001
_LONGEST = 10.0**8


class DeadlineError(BaseException):
    """The time is up.

    Not an Exception, so that no handler of failed requests can swallow it.
    """

    exit_code = TRY_AGAIN


class Deadline:
    """The time that one command line has, counted from when this is created.

    Use it in a `with` statement in the main thread; in other threads there is no deadline.
    """

    def __init__(self, span: timedelta = DEADLINE) -> None:
        self._span = span
        self._began = time.monotonic()
        self._gentle = False
        self._late = False
        self._raised = False
        self._before: Any = None

    def __enter__(self) -> "Deadline":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGALRM, self._ring)
            self.set(self._span)
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def set(self, span: timedelta) -> None:
        """End the command `span` after it began; immediately if that has passed."""
        self._span = span
        if self._before is None:
            return
        end = self._began + span.total_seconds()
        left = end - time.monotonic()
        first = min(max(left, _SHORTEST), _LONGEST)
        again = min(span, GRACE)
        signal.setitimer(signal.ITIMER_REAL, first, again.total_seconds())

    def cancel(self) -> None:
        """Remove the deadline."""
        if self._before is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            self._before = None

    @property
    def is_late(self) -> bool:
        """Whether the time was up during `gently`, so that the work should stop."""
        return self._late

    @contextmanager
    def gently(self) -> Iterator[None]:
        """Do not interrupt the body until GRACE has passed as well."""
        self._gentle = True
        try:
            yield
        finally:
            self._gentle = False

    def message(self) -> str:
        """Say in one line that the time is up, and what to do."""
        return (
            f"not finished within {spell(self._span)}; it is not known whether the last step was "
            "completed: run it again, and raise 'deadline' in the configuration if it needs longer"
        )

    def _ring(self, number: int, frame: Optional[FrameType]) -> None:
        if self._gentle and not self._late:
            self._late = True
            return
        if self._raised:
            self._end_process()
        self._raised = True
        raise DeadlineError(self.message())

    def _end_process(self) -> NoReturn:
        """End the process even if something blocks the main thread while it cleans up."""
        with suppress(OSError, ValueError):
            stderr = sys.__stderr__.fileno() if sys.__stderr__ else 2
            os.write(stderr, f"error: {self.message()}\n".encode())
        os._exit(DeadlineError.exit_code)
