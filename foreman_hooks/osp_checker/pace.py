"""How hard a server is pressed: questions at once, pauses, and patience with one that is busy."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Callable, NamedTuple, Optional

PATIENCE = 120.0  # seconds: a server that asks for more (Retry-After) is not waited for
TRIES = 4  # of one question, while the server asks for patience
BREATH = 0.5  # seconds before the second try of a 503 that names no time

Progress = Callable[[int, int], None]  # done, total (0: not known)


class Manners(NamedTuple):
    """How much is asked of a server: questions at once, rows a page, seconds between questions."""

    workers: int = 8
    page_size: int = (
        1000  # Nova's max_limit by default; it cuts a larger limit to it in silence
    )
    pause: float = 0.0


MANNERS = Manners()


@contextmanager
def workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads that an error or Ctrl-C leaves at once.

    Work that has not begun never does, and a thread that hangs is not waited for.
    """
    pool = ThreadPoolExecutor(max(count, 1))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def wait(seconds: float) -> None:
    """Sleep; not at all for 0 seconds, since even that would let another thread run."""
    if seconds:
        time.sleep(seconds)


def retry_in(
    response: Any, attempt: int, otherwise: Optional[Mapping[int, float]] = None
) -> Optional[float]:
    """Seconds until the same question is put again; None if the answer stands.

    A busy server that asks for patience is given it, up to PATIENCE and TRIES.  `attempt`: of this
    question, from 1 on.  `otherwise`: status -> seconds before the one more try of an answer that
    names no time.

    urllib3's Retry cannot do this (tried with 1.26.20 and 2.8.0).  It never gives up on a long
    Retry-After: 1.26 sleeps for a day if the server says so, 2.8 cuts each wait to
    `retry_after_max` and tries on.  A header that it cannot read becomes an exception that hides
    the answer.  It retries a 413 as well.
    """
    asked = retry_after(response.status_code, response.headers)
    if asked is not None:
        return asked if asked <= PATIENCE and attempt < TRIES else None
    if attempt > 1 or otherwise is None:
        return None
    return otherwise.get(response.status_code)


def retry_after(status: int, headers: Mapping[str, str]) -> Optional[float]:
    """For how many seconds the server asks to be left alone; None if it does not."""
    text = headers.get("Retry-After", "").strip()
    if status not in (429, 503) or not text:
        return None
    with suppress(TypeError, ValueError, OverflowError):
        if text.isdigit():
            return float(text)
        until = parsedate_to_datetime(text)
        return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())
    return None
