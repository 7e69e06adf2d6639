"""Where log lines go: to stderr, and to a log file for later.

The file also gets what is printed.  So cron can mail news (stdout) and errors (stderr) as usual,
and the log has every run; a redirection by the shell could do only one of the two.
"""

import errno
import json
import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from io import TextIOWrapper
from pathlib import Path
from typing import Optional, TextIO

from foreman_hooks.reports.texts import escaped
from foreman_hooks.times import iso

FORMATS = ("text", "json")
SAID = "foreman_hooks.said"  # what was printed; for the file only, as the terminal has it already
said = logging.getLogger(SAID)
log = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, ISO 8601), level, logger, message, and any traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "time": _utc(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """A line for people, with the time if `timed`, as in a file.

    Invisible characters are escaped, so that no server or tenant controls the terminal.
    """

    def __init__(self, timed: bool) -> None:
        super().__init__()
        self._timed = timed

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, followed by its traceback."""
        lines = [record.getMessage()]
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            lines += traceback.split("\n")
        text = "\n".join(map(escaped, lines))
        head = f"{record.levelname} {record.name}: "
        if self._timed:
            head = f"{_utc(record)} {head}"
        return head + text


def _utc(record: logging.LogRecord) -> str:
    created = datetime.fromtimestamp(record.created, timezone.utc)
    return iso(created, "milliseconds")


def set_up(
    level: int,
    kind: str = "text",
    file: Optional[Path] = None,
) -> None:
    """Log to stderr from `level` on, and steps and printed lines to `file`; raises OSError."""
    stderr = _Stderr()
    stderr.setLevel(level)
    stderr.addFilter(lambda record: record.name != SAID)
    stderr.setFormatter(_formatter(kind, timed=False))
    handlers: list[logging.Handler] = [stderr]
    own_level = level
    said_level = logging.CRITICAL
    if file:
        log_file = _LogFile(file)
        log_file.setFormatter(_formatter(kind, timed=True))
        handlers.append(log_file)
        own_level = min(level, logging.INFO)
        said_level = logging.INFO
    logging.basicConfig(
        level=logging.ERROR,
        handlers=handlers,
        force=True,
    )
    logging.getLogger("foreman_hooks").setLevel(own_level)
    said.setLevel(said_level)
    # keystoneauth logs what it then raises as well
    logging.getLogger("keystoneauth").setLevel(logging.CRITICAL)
    logging.getLogger("novaclient").setLevel(logging.CRITICAL)


def _formatter(kind: str, timed: bool) -> logging.Formatter:
    if kind == "json":
        return JsonFormatter()
    return TextFormatter(timed)


class _Stderr(logging.StreamHandler):
    """Standard error; `take`: what gets the text of each warning instead, if anything."""

    take: Optional[Callable[[str], None]] = None

    @property
    def stream(self) -> TextIO:
        """What sys.stderr is now: progress bars replace it, to print lines above them."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        pass

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record, or hand a warning on."""
        if self.take and record.levelno >= logging.WARNING:
            self.take(f"{record.levelname.lower()}: {record.getMessage()}")
        else:
            super().emit(record)


@contextmanager
def warnings_taken_by(take: Callable[[str], None]) -> Iterator[None]:
    """Hand the text of each warning to `take` instead of printing it; the log file gets it too."""
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, _Stderr)
    ]
    for handler in handlers:
        handler.take = take
    try:
        yield
    finally:
        for handler in handlers:
            handler.take = None


class _LogFile(logging.FileHandler):
    """The log file, opened to append.

    Its folder may belong to another user (/var/log/foreman does), so no link is followed.
    """

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        flags |= os.O_NOFOLLOW
        flags |= os.O_NONBLOCK  # a pipe without a reader would block forever
        descriptor = os.open(self.baseFilename, flags, 0o640)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file")
        return os.fdopen(
            descriptor,
            "a",
            encoding="utf-8",
            errors="backslashreplace",
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Warn once, and log no more: the disk may be full, and a traceback a line helps nobody."""
        error = sys.exc_info()[1]
        logging.getLogger().removeHandler(self)
        with suppress(OSError):  # of what is not written yet
            self.close()
        reason = getattr(error, "strerror", None) or error
        log.warning("log file %s: %s; not logged any more", self.baseFilename, reason)
