"""A progress bar for each stage of a long run."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from foreman_hooks.cleanup.run import Progress, silent


@contextmanager
def show_progress(quiet: bool) -> Iterator[Progress]:
    """Yield a function that shows progress on stderr, if that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
    )
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
        highest: Counter[str] = Counter()
        lock = threading.Lock()  # several workers report at once, and not in order

        def show(stage: str, done: int, total: int) -> None:
            with lock:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(stage, total=None)
                highest[stage] = max(highest[stage], done)
                bars.update(tasks[stage], completed=highest[stage], total=total or None)

        yield show
