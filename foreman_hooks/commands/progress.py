"""A bar for each stage of a long run, on a terminal only."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from foreman_hooks.cleanup.run import Progress, silent


@contextmanager
def show_progress(quiet: bool) -> Iterator[Progress]:
    """A bar for each stage, on a terminal only, and on stderr so that output can be piped."""
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        tasks: dict[str, Any] = {}
        most: Counter[str] = Counter()
        one_at_a_time = threading.Lock()  # workers tell, several at once and not in order

        def told(what: str, done: int, total: int) -> None:
            with one_at_a_time:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=None)
                most[what] = max(most[what], done)
                bars.update(tasks[what], completed=most[what], total=total or None)

        yield told
