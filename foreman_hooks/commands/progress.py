"""A progress bar for each step of a stage, such as the plan or its deletions."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from foreman_hooks.cleanup.run import Progress, silent


@contextmanager
def show_progress(quiet: bool) -> Iterator[Progress]:
    """Yield a function that shows progress on stderr, if that is a terminal.

    At the end the bars are erased with everything below their first line, so nothing may be
    printed in the body.  Log lines are the exception, since they look up sys.stderr for each line:
    meanwhile it prints above the bars.
    """
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
    from rich.table import Column

    with Bars(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(max_width=40)),
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
