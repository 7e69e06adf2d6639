"""Where log lines go: stderr for whoever looks on, and a file of its own for whoever asks later.

The file gets what was printed as well, so that cron can mail the news (stdout) and the errors
(stderr) as ever while the log has every run; a redirection by the shell would have to choose.
"""

import errno
import json
import logging
import os
import stat
from datetime import datetime, timezone
from io import TextIOWrapper
from pathlib import Path
from typing import Optional

FORMATS = ("text", "json")
SAID = "foreman_hooks.said"  # what was printed: for the file alone, a terminal has it already
said = logging.getLogger(SAID)


class Json(logging.Formatter):
    """One JSON object a line: time (UTC, ISO 8601), level, logger, message, and the traceback where
    there is one.
    """

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


class Text(logging.Formatter):
    """A line for people.  What could not be seen is escaped: no server or tenant steers the
    terminal.

    With the time for a file, which has no other clock.
    """

    def __init__(self, timed: bool) -> None:
        super().__init__()
        self._timed = timed

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and its traceback below."""
        lines = [record.getMessage()]
        if record.exc_info:
            lines += self.formatException(record.exc_info).split("\n")
        time = f"{_utc(record)} " if self._timed else ""
        return f"{time}{record.levelname} {record.name}: " + "\n".join(map(_visible, lines))


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _utc(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")


def set_up(level: int, kind: str = "text", file: Optional[Path] = None) -> None:
    """Log from `level` on to stderr, and to `file` also whatever was done and printed; raises
    OSError.
    """
    stderr = logging.StreamHandler()
    stderr.setLevel(level)
    stderr.addFilter(lambda record: record.name != SAID)
    stderr.setFormatter(Json() if kind == "json" else Text(timed=False))
    handlers: list[logging.Handler] = [stderr]
    if file:
        lines = _File(file)
        lines.setFormatter(Json() if kind == "json" else Text(timed=True))
        handlers.append(lines)
    logging.basicConfig(level=logging.ERROR, handlers=handlers, force=True)
    logging.getLogger("foreman_hooks").setLevel(min(level, logging.INFO) if file else level)
    said.setLevel(logging.INFO if file else logging.CRITICAL)
    # keystoneauth complains of what it then raises as well
    logging.getLogger("keystoneauth").setLevel(logging.CRITICAL)


class _File(logging.FileHandler):
    """The log, to append to; its folder may be another user's (/var/log/foreman is), so no link is
    followed.
    """

    def _open(self) -> TextIOWrapper:
        # O_NONBLOCK: a pipe that nobody reads would hold us for ever
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self.baseFilename, flags, 0o640)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file")
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
