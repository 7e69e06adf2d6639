"""What systemd has to do before and after files of a schedule change."""

import logging
import os
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import NamedTuple, Optional

from foreman_hooks.hooks.install import Change, State
from foreman_hooks.hooks.schedule_files import ScheduleError
from foreman_hooks.paths import SERVICE, TIMER

Command = tuple[str, ...]  # the words after `systemctl`
SECONDS = 120  # for one call of systemctl
_PROPERTIES = ("ActiveState", "NextElapseUSecRealtime")

log = logging.getLogger(__name__)


def commands_before(
    changes: Sequence[Change], package_timer_runs: bool = False
) -> list[Command]:
    """Return the systemctl commands to run before: stop a timer that is not to run any more.

    That is one that is going to be removed, or that of the RPM if these changes bring no other.
    """
    states = [change.state for change in changes if change.target == TIMER]
    if State.REMOVED in states or (package_timer_runs and not states):
        return [("disable", "--now", TIMER.name)]
    return []


def commands_after(changes: Sequence[Change]) -> list[Command]:
    """Return the systemctl commands to run after: read the units again, and start the timer."""
    units_changed = has_timer = False
    for change in changes:
        if change.target not in (SERVICE, TIMER) or change.state is State.KEPT:
            continue
        if change.state is not State.UNCHANGED:
            units_changed = True
        if change.target == TIMER and change.state is not State.REMOVED:
            has_timer = True
    commands: list[Command] = []
    if units_changed:
        commands.append(("daemon-reload",))
    if has_timer:
        commands.append(("enable", "--now", TIMER.name))
    return commands


class TimerState(NamedTuple):
    """Whether our timer is active, and when it starts the next run (UTC); None: not known."""

    active: bool
    next_run: Optional[datetime] = None


def timer_state() -> Optional[TimerState]:
    """What systemd says of our timer; None if it does not answer."""
    try:
        text = systemctl("show", TIMER.name, f"--property={','.join(_PROPERTIES)}")
    except ScheduleError as error:
        log.debug("the timer's state is unknown: %s", error)
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
