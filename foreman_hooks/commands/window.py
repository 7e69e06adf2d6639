"""The windows of the terminals that this process prints to, and whether a person sits there."""

import os
import re
import sys
from contextlib import suppress
from typing import TextIO

from foreman_hooks.reports.window import Window

_WIDTH = 80  # of a terminal that does not say how wide it is


def window_of(stream: TextIO) -> Window:
    """The window in which a stream is read; without a terminal, one of unlimited width.

    COLUMNS, NO_COLOR and TERM=dumb count as for other programs.
    """
    if not stream.isatty():
        return Window()
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return Window(_width(stream), not is_plain)


def _width(stream: TextIO) -> int:
    columns = os.environ.get("COLUMNS", "")
    if re.fullmatch("[1-9][0-9]{0,5}", columns):
        return int(columns)
    width = 0
    with suppress(OSError, ValueError):
        width = os.get_terminal_size(stream.fileno()).columns
    return width or _WIDTH


def by_hand() -> bool:
    """Whether a person can read a question on stderr and answer it; not so in cron and in jobs.

    Also if the output goes into a pipe or a file: `run --apply | tee log`.
    """
    streams = (sys.stdin, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams)
