"""What systemd has to do before and after files of a schedule change."""

import logging
import os
import subprocess
from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, Optional

from foreman_hooks.hooks.install import Change, State
from foreman_hooks.hooks.schedule_files import (
    SCHEDULER_FILES,
    UNITS,
    ScheduleError,
)

Command = tuple[str, ...]  # the words after `systemctl`
SECONDS = 120  # for one call of systemctl
_PROPERTIES = ("ActiveState", "NextElapseUSecRealtime")
_TIMERS = [units.timer for units in UNITS.values()]

log = logging.getLogger(__name__)


def commands_before(
    changes: Sequence[Change], package_timers: Collection[Path] = ()
) -> list[Command]:
    """Return the systemctl commands to run before: stop the timers that are not to run any more.

    These are those that are going to be removed, and those of the RPM that are enabled
    (`package_timers`: the paths that ours would have) if these changes bring no other.
    """
    states = {change.target: change.state for change in changes}
    commands: list[Command] = []
    for timer in _TIMERS:
        state = states.get(timer)
        if state is None and timer in package_timers:
            state = State.REMOVED
        if state is State.REMOVED:
            commands.append(("disable", "--now", timer.name))
    return commands


def commands_after(changes: Sequence[Change]) -> list[Command]:
    """Return the systemctl commands to run after: read the units again, and start the timers."""
    reload: list[Command] = []
    start: list[Command] = []
    for change in changes:
        is_unit = change.target in SCHEDULER_FILES["systemd"]
        if not is_unit or change.state is State.KEPT:
            continue
        if change.state is not State.UNCHANGED:
            reload = [("daemon-reload",)]
        if change.target in _TIMERS and change.state is not State.REMOVED:
            start.append(("enable", "--now", change.target.name))
    return reload + start


class TimerState(NamedTuple):
    """Whether a timer is active, and when it starts the next run (UTC); None: not known."""

    active: bool
    next_run: Optional[datetime] = None


def timer_state(timer: Path) -> Optional[TimerState]:
    """What systemd says of that timer of ours; None if it does not answer."""
    try:
        text = systemctl("show", timer.name, f"--property={','.join(_PROPERTIES)}")
    except ScheduleError as error:
        log.debug("the state of %s is unknown: %s", timer.name, error)
        return None
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    active, elapse = map(values.get, _PROPERTIES)
    return TimerState(active == "active", _read_time(elapse or ""))


def _read_time(text: str) -> Optional[datetime]:
    """A time as systemctl prints it where TZ is UTC: `Fri 2026-11-27 22:17:00 UTC`."""
    _, _, when = text.partition(" ")
    try:
        naive = datetime.strptime(when, "%Y-%m-%d %H:%M:%S UTC")
    except ValueError:  # empty, or n/a
        return None
    return naive.replace(tzinfo=timezone.utc)


def systemctl(*words: str) -> str:
    """Run systemctl, and return what it prints; raises ScheduleError, in one line."""
    line = " ".join(("systemctl", *words))
    try:
        process = subprocess.run(
            ["systemctl", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
            timeout=SECONDS,
            check=False,
        )
    except OSError as error:
        raise ScheduleError(f"{line}: {error.strerror or error}") from error
    except subprocess.SubprocessError as error:
        raise ScheduleError(f"{line}: {error}") from error
    if process.returncode:
        reason = " ".join(process.stderr.split())
        if not reason:
            reason = f"exit code {process.returncode}"
        raise ScheduleError(f"{line}: {reason}")
    return process.stdout
