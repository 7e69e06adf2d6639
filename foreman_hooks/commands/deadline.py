"""The end of every run: whatever a command waits for, it ends after a given time.

An answer of which a byte comes every second never meets a time limit of its own, and a library may
dead-lock on its own lock.  So the kernel's timer interrupts the main thread, which raises
DeadlineError out of any wait.  Where even the way out hangs, the process ends some minutes later
all the same; the kernel then frees the journal's lock.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn, Optional

from foreman_hooks.times import DEADLINE, spell

GRACE = timedelta(
    minutes=5
)  # for a deletion under way to end; never longer than the deadline itself
EXIT_CODE = 75
_LONGEST = 10.0**8  # seconds: three years, and what setitimer takes everywhere


class DeadlineError(BaseException):
    """The time is up.  No Exception, so that nobody who guards against a failed request can swallow
    it.
    """

    exit_code = 75


class Deadline:
    """The time that one command line has, from its making on.

    Runs within `with`, in the main thread; elsewhere it never ends.
    """

    def __init__(self, span: timedelta = DEADLINE) -> None:
        self._span = span
        self._began = time.monotonic()
        self._gentle = self._late = self._raised = False
        self._before: Any = None

    def __enter__(self) -> "Deadline":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGALRM, self._ring)
            self.set(self._span)
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def set(self, span: timedelta) -> None:
        """End `span` after the beginning; at once where that is over."""
        self._span = span
        if self._before is not None:
            left = self._began + span.total_seconds() - time.monotonic()
            again = min(span, GRACE).total_seconds()
            signal.setitimer(signal.ITIMER_REAL, min(max(left, 0.001), _LONGEST), again)

    def cancel(self) -> None:
        """Never end."""
        if self._before is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            self._before = None

    @contextmanager
    def gently(self) -> Iterator[Callable[[], bool]]:
        """Within, the end is only told by what is yielded, and comes GRACE later where nobody heeds
        it.
        """
        self._gentle = True
        try:
            yield lambda: self._late
        finally:
            self._gentle = False

    def message(self) -> str:
        """That the time is up, in a line."""
        return (
            f"not finished within {spell(self._span)}; whether what was under way was done is not known: run it "
            "again, and raise 'deadline' in the configuration if it needs longer"
        )

    def _ring(self, number: int, frame: Optional[FrameType]) -> None:
        if self._gentle and not self._late:
            self._late = True
            return
        if self._raised:
            self._leave()
        self._raised = True
        raise DeadlineError(self.message())

    def _leave(self) -> NoReturn:
        """End the process although something holds the main thread on its way out."""
        with suppress(OSError, ValueError):
            os.write(
                sys.__stderr__.fileno() if sys.__stderr__ else 2,
                f"error: {self.message()}\n".encode(),
            )
        os._exit(EXIT_CODE)
