"""How fast a server is asked: parallel requests, pauses, and patience with a busy server."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Callable, NamedTuple, Optional

PATIENCE = 120.0  # seconds; if Retry-After asks for a longer wait, we give up
TRIES = 4  # of one request, while the server asks us to wait
BREATH = 0.5  # seconds before the second try after a 503 without Retry-After

Progress = Callable[[int, int], None]  # done, total (0: not known)


class Manners(NamedTuple):
    """How a server is asked.

    `workers`: requests at once.  `page_size`: rows a page.  `pause`: seconds between requests.
    `readers`: pages of one list of servers at once; each takes Nova as long as many single servers.
    """

    workers: int = 8
    # The default of Nova's max_limit, to which Nova silently cuts a larger limit.
    page_size: int = 1000
    pause: float = 0.0
    readers: int = 2


MANNERS = Manners()


@contextmanager
def workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of at most `count` threads, which an error or Ctrl-C leaves at once.

    Then work that has not begun is dropped, and no thread is waited for.
    """
    pool = ThreadPoolExecutor(max(count, 1))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def wait(seconds: float) -> None:
    """Sleep; do nothing for 0 seconds, since even sleep(0) lets another thread run."""
    if seconds:
        time.sleep(seconds)


def retry_in(
    response: Any, attempt: int, otherwise: Optional[Mapping[int, float]] = None
) -> Optional[float]:
    """Seconds to wait before the request is sent again; None if this response is final.

    If a busy server asks us to wait (Retry-After), we do, up to PATIENCE and TRIES.  `attempt`: the
    number of this try, from 1.  `otherwise`: status -> seconds before the only second try, for
    responses without Retry-After.

    urllib3's Retry cannot do this (tried with 1.26.20 and 2.8.0).  It never gives up on a long
    Retry-After: 1.26 sleeps for a day if the server says so, 2.8 cuts each wait to
    `retry_after_max` and keeps trying.  A header that it cannot read becomes an exception that
    hides the response.  It also retries a 413.
    """
    asked = retry_after(response.status_code, response.headers)
    if asked is not None:
        return asked if asked <= PATIENCE and attempt < TRIES else None
    if attempt > 1 or otherwise is None:
        return None
    return otherwise.get(response.status_code)


def retry_after(status: int, headers: Mapping[str, str]) -> Optional[float]:
    """How many seconds the server asks us to wait; None if it does not."""
    text = headers.get("Retry-After", "").strip()
    if status not in (429, 503) or not text:
        return None
    with suppress(TypeError, ValueError, OverflowError):
        if text.isdigit():
            return float(text)
        until = parsedate_to_datetime(text)
        return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())
    return None
