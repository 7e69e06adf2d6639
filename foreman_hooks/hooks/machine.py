"""What is on the machine: our program, its journal, the present schedule, and other schedules.

`root` is a folder that holds the file system of the machine: / for this one, or that of an image.
"""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, Optional

from foreman_hooks.hooks.schedule_files import (
    SCHEDULER_FILES,
    UNITS,
    ScheduleError,
    ScheduleForbidden,
)
from foreman_hooks.hooks.spool import SpoolError, journal_of
from foreman_hooks.hooks.timing import Timing, read_calendar, read_cron
from foreman_hooks.paths import (
    CONFIG,
    CRON,
    JOURNAL,
    LOG,
    LOGROTATE,
    NAME,
    PACKAGED_UNITS,
    ROOT_CRONTAB,
    SYSTEM_CRONTAB,
    TIMER,
    TIMERS_ENABLED,
)
from foreman_hooks.rules.plan import Kind

# The ending of a file that we keep.  systemd, logrotate and cron ignore it, foreman_hooks calls
# executables only, and the name of a shellhook has no dot.
KEPT = ".rpmsave"
_OUR_NAME = re.compile(rf"\b{NAME}\b")
_RUN = re.compile(r" run\b")
_APPLY = re.compile(r" --apply\b")
_RECENT = re.compile(r" --recent\b")


# Paths below a root


def is_this_machine(root: Path) -> bool:
    """Whether `root` is the machine that we run on, not an image."""
    return root == Path("/")


def below(root: Path, path: Path) -> Path:
    """Return the path below `root`; raises ScheduleError if a link leads out of it."""
    inside = root / str(path).lstrip("/")
    folder = inside.parent.resolve()
    if not folder.is_relative_to(root.resolve()):
        raise ScheduleError(f"{inside}: a link leads out of {root}")
    return inside


def read_text(path: Path) -> str:
    """Return the text of a file, whatever bytes it holds; raises OSError."""
    return path.read_bytes().decode(errors="surrogateescape")


def exists(root: Path, path: Path) -> bool:
    """Whether there is a file, a folder or a link at this path; raises ScheduleError."""
    with translated_errors(root):
        return os.path.lexists(below(root, path))


@contextlib.contextmanager
def translated_errors(root: Path) -> Iterator[None]:
    """Turn errors of the operating system into ScheduleError: one line and an exit code."""
    try:
        yield
    except PermissionError as error:
        message = f"{error.filename or root}: {error.strerror}; this needs root"
        raise ScheduleForbidden(message) from error
    except OSError as error:
        raise ScheduleError(f"{error.filename or root}: {error.strerror}") from error


def check_rights(root: Path) -> None:
    """Raise ScheduleForbidden if this machine would be changed without the rights of root."""
    if is_this_machine(root) and os.geteuid() != 0:
        raise ScheduleForbidden(
            "this needs root; --dry-run shows what it would do, --root DIR writes elsewhere"
        )


# Our program and its journal


def program() -> Path:
    """Return the absolute path of our command, for cron and systemd; raises ScheduleError.

    Links are not followed: one that an administrator made is meant to stay when its target changes.
    """
    started = sys.argv[0]
    beside_python = Path(sys.executable).with_name(NAME)
    candidates = [_absolute(started), beside_python]
    on_path = shutil.which(NAME)
    if on_path:
        candidates.append(_absolute(on_path))
    for path in candidates:
        is_executable = path.is_file() and os.access(path, os.X_OK)
        if path.name == NAME and is_executable:
            return path
    raise ScheduleError(
        f"the command {NAME} is not next to {sys.executable}; install the package with pip first"
    )


def _absolute(name: str) -> Path:
    return Path(os.path.abspath(name))  # noqa: PTH100  Path.resolve would follow links


def configured_journal(root: Path, config: Optional[Path]) -> Path:
    """Return the journal's path; a hardened service may write to its folder only.

    An invalid configuration is treated as a missing one; `doctor` reports what is wrong with it.
    """
    path = config or below(root, CONFIG)
    try:
        journal = journal_of(path)
    except SpoolError:
        return JOURNAL
    if not journal.is_absolute() or journal.parent == Path("/"):
        return JOURNAL
    return journal


# Schedules and log rotation


def current_scheduler(root: Path) -> Optional[str]:
    """Return what runs us now: "cron", "systemd", or None; raises ScheduleError."""
    for scheduler, files in SCHEDULER_FILES.items():
        if exists(root, files[0]):
            return scheduler
    if package_timers(root):
        return "systemd"
    return None


def package_timers(root: Path) -> list[Path]:
    """The timers of the RPM that somebody enabled: the paths that ours would have, but do not.

    Raises ScheduleError.
    """
    timers = []
    for timer, _ in UNITS.values():
        if _is_enabled(root, timer) and not exists(root, timer):
            timers.append(timer)
    return timers


def _is_enabled(root: Path, timer: Path) -> bool:
    return exists(root, TIMERS_ENABLED / timer.name)


class ScheduledRun(NamedTuple):
    """The full or the quick runs of a schedule.

    `timing`: None if somebody changed it to times that `schedule install` does not write.
    `deletes`: they delete records; otherwise they only report.  `since`: when the file was written
    (aware).
    """

    kind: Kind
    timing: Optional[Timing]
    deletes: bool
    since: datetime


class Schedule(NamedTuple):
    """The installed schedule.

    `scheduler`: "cron" or "systemd".  `path`: its first file below the root.  `runs`: the kinds of
    runs that it starts, each once.
    """

    scheduler: str
    path: Path
    runs: tuple[ScheduledRun, ...]

    def of(self, kind: Kind) -> Optional[ScheduledRun]:
        """The runs of that kind; None if it starts none."""
        for run in self.runs:
            if run.kind is kind:
                return run
        return None


def current_schedule(root: Path) -> Optional[Schedule]:
    """Return the installed schedule; None if there is none; raises ScheduleError."""
    scheduler = current_scheduler(root)
    if scheduler is None:
        return None
    with translated_errors(root):
        if scheduler == "cron":
            path = below(root, CRON)
            runs = list(_runs_of_cron(path))
        else:
            path = _unit(root, TIMER)
            runs = list(_runs_of_systemd(root))
    if not path.exists():  # a link enables a timer that is gone
        return None
    return Schedule(scheduler, path, tuple(runs))


def _runs_of_cron(table: Path) -> Iterator[ScheduledRun]:
    """The runs in the file that 'schedule install' wrote, the first line of each kind."""
    lines: dict[Kind, str] = {}
    for line in _text(table).splitlines():
        if _runs_us(line):
            kind = Kind.QUICK if _has_option(line, _RECENT) else Kind.FULL
            lines.setdefault(kind, line)
    for kind, line in lines.items():
        yield _scheduled(kind, read_cron(line), line, table)


def _runs_of_systemd(root: Path) -> Iterator[ScheduledRun]:
    for kind, (timer, service) in UNITS.items():
        unit = _unit(root, timer)
        is_ours = exists(root, timer)
        if unit.exists() and (is_ours or _is_enabled(root, timer)):
            times = _value(unit, "OnCalendar")
            command = _value(_unit(root, service), "ExecStart")
            yield _scheduled(kind, read_calendar(times), command, unit)


def _scheduled(
    kind: Kind, timing: Optional[Timing], command: str, path: Path
) -> ScheduledRun:
    written = path.stat().st_mtime
    return ScheduledRun(
        kind=kind,
        timing=timing,
        deletes=_has_option(command, _APPLY),
        since=datetime.fromtimestamp(written, timezone.utc),
    )


def _unit(root: Path, path: Path) -> Path:
    """The unit that systemd uses: ours if it exists, else that of the RPM."""
    own = below(root, path)
    return own if own.exists() else below(root, PACKAGED_UNITS / path.name)


def _value(unit: Path, key: str) -> str:
    """The value of a key in a unit of systemd; "" if it is not there once."""
    values = re.findall(rf"^{key}=(.*)$", _text(unit), re.MULTILINE)
    return values[0].strip() if len(values) == 1 else ""


def _text(path: Path) -> str:
    """The text of a file; "" if there is none; raises OSError."""
    return read_text(path) if path.is_file() else ""


def other_schedules(root: Path) -> list[Path]:
    """Return the files of cron, written by hand, that run us as well; raises ScheduleError."""
    with translated_errors(root):
        folder = below(root, CRON).parent
        tables = sorted(folder.glob("*"))
        tables.append(below(root, SYSTEM_CRONTAB))
        tables.append(below(root, ROOT_CRONTAB))
        return [path for path in tables if _is_other_schedule(path)]


def _is_other_schedule(path: Path) -> bool:
    if path.name == NAME or "." in path.name or not path.is_file():
        return False
    return any(map(_runs_us, read_text(path).split("\n")))


def _runs_us(line: str) -> bool:
    """Whether a line of a crontab runs us, and is no comment."""
    name = _OUR_NAME.search(line.partition("#")[0])
    if name is None:
        return False
    return _RUN.search(line, name.end()) is not None


def _has_option(command: str, option: re.Pattern[str]) -> bool:
    """Whether the option follows the word `run`."""
    run = _RUN.search(command)
    if run is None:
        return False
    return option.search(command, run.end()) is not None


def other_log_rotation(root: Path) -> Optional[Path]:
    """Return the file of logrotate, other than ours, that rotates our log already.

    If two configurations name one log, logrotate reports an error and ignores the second.  Some
    versions of Foreman name /var/log/foreman/*.log.
    """
    with translated_errors(root):
        folder = below(root, LOGROTATE).parent
        for path in sorted(folder.glob("*")):
            if path.name == NAME or path.name.endswith((KEPT, "~")):
                continue
            if path.is_file() and rotates(read_text(path), LOG):
                return path
    return None


def rotates(configuration: str, log: Path) -> bool:
    """Whether this configuration of logrotate names that log."""
    for line in configuration.split("\n"):
        words, _, _ = line.partition("{")
        for word in words.split():
            pattern = word.strip("\"'")
            if not pattern.startswith("/"):
                break
            if log.match(pattern):
                return True
    return False
