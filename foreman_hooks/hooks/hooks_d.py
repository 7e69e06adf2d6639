"""hooks.d: a site's own executables, which a run calls after each deletion and when it ends.

A hook gets one event as a JSON object on standard input.  It runs with the rights of the run,
usually those of root, so it must be a file of root that nobody else can write.  Whether it succeeds
changes nothing in the run.
"""

import json
import os
import signal
import stat
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from foreman_hooks.paths import HOOKS_D
from foreman_hooks.rules.model import Outcome, Result, Verdict
from foreman_hooks.rules.plan import Plan
from foreman_hooks.times import iso_z

HOST_DELETED = "host_deleted"
RUN_FINISHED = "run_finished"

SECONDS = 10.0  # for one call of a hook; then its whole process group is killed
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OWNER = 0  # root
# What run-parts ignores as well: hidden files, and what editors and packages leave behind.
_IGNORED = ("~", ",", ",v", ".swp", ".rpmsave", ".rpmorig", ".rpmnew", ".cfsaved")
_SHOWN = 200  # characters of what a hook says about its failure

Event = Mapping[str, Any]


# The events


def host_deleted(plan: Plan, verdict: Verdict, outcome: Outcome) -> Event:
    """The event of a deletion that was verified.

    It has the facts of the verdict, and nothing else of the record; None: not known.
    """
    basis = verdict.basis
    return {
        "event": HOST_DELETED,
        "satellite": plan.satellite,
        "plan": plan.digest,
        "host": {
            "id": verdict.host_id,
            "name": verdict.name,
            "uuid": verdict.uuid,
            "cloud": basis.cloud or None,
            "region": basis.region or None,
            "project": basis.project or None,
        },
        "reason_code": verdict.reason.name,
        "terminated_at": basis.terminated_at or None,
        "last_checkin": basis.last_checkin or None,
        "deleted_at": iso_z(outcome.at) if outcome.at else None,
    }


def run_finished(
    plan: Plan, outcomes: Sequence[Outcome], code: int, now: datetime
) -> Event:
    """The event of the end of a run, with its exit code and how many deletions ended how."""
    counts = Counter(outcome.result for outcome in outcomes)
    return {
        "event": RUN_FINISHED,
        "satellite": plan.satellite,
        "plan": plan.digest,
        "exit_code": code,
        "results": {result.value: counts[result] for result in Result},
        "finished_at": iso_z(now),
    }


# The files


class Hooks(NamedTuple):
    """The hooks that are run, in this order, and a line about each file that is not."""

    paths: tuple[Path, ...] = ()
    refused: tuple[str, ...] = ()


def find_hooks() -> Hooks:
    """Look through hooks.d; a folder that is missing has no hooks."""
    try:
        files = sorted(path for path in HOOKS_D.iterdir() if not _is_ignored(path))
        problem = _folder_problem() if files else ""
    except FileNotFoundError:
        return Hooks()
    except OSError as error:
        problem = f"{HOOKS_D}: {error.strerror}"
    if problem:
        return Hooks(refused=(f"no hook is run: {problem}",))
    paths: list[Path] = []
    refused: list[str] = []
    for path in files:
        problem = _file_problem(path)
        if problem:
            refused.append(f"a hook is not run: {path} {problem}")
        else:
            paths.append(path)
    return Hooks(tuple(paths), tuple(refused))


def _is_ignored(path: Path) -> bool:
    return path.name.startswith(".") or path.name.endswith(_IGNORED)


def _folder_problem() -> str:
    """Why no file in the folder can be trusted; "" if they can.  Raises OSError.

    Whoever can write the folder above could put another one in its place.
    """
    for folder in (HOOKS_D, HOOKS_D.parent):
        status = os.lstat(folder)
        problem = _ownership_problem(status)
        if not stat.S_ISDIR(status.st_mode):
            problem = "is not a folder"
        if problem:
            return f"{folder} {problem}"
    return ""


def _file_problem(path: Path) -> str:
    """Why a file is not run; "" if it is."""
    try:
        status = os.lstat(path)
    except OSError as error:
        return f"cannot be examined ({error.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if not os.access(path, os.X_OK):
        return "is not executable"
    return _ownership_problem(status)


def _ownership_problem(status: os.stat_result) -> str:
    if status.st_uid != OWNER:
        return f"does not belong to root (uid {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by others than root"
    return ""


# A call


def call_hook(path: Path, event: Event) -> str:
    """Run a hook with an event, for at most SECONDS; return why it failed, "" if it did not.

    It has a session of its own, so that Ctrl-C does not reach it: like the deletion before, it may
    finish.  Files rather than pipes: a hook that reads nothing or writes much blocks nobody.
    """
    try:
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
            stdin.write(json.dumps(event).encode() + b"\n")
            stdin.seek(0)
            process = subprocess.Popen(
                [path],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
            return _failure(process, stderr)
    except OSError as error:
        return f"it cannot be started: {error.strerror}"


def _environment() -> dict[str, str]:
    """Nearly the same for cron, systemd and a shell, and without a variable that holds a secret."""
    return {"PATH": PATH, "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}


def _failure(process: "subprocess.Popen[bytes]", stderr: IO[bytes]) -> str:
    """Wait for the process; return why it failed, "" if it did not."""
    try:
        code = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return f"it was killed after {SECONDS:g} s"
    finally:
        # Also after the deadline of this command.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code == 0:
        return ""
    stderr.seek(0)
    line = stderr.readline(_SHOWN).decode(errors="replace").strip()
    reason = f"exit code {code}" if code > 0 else f"signal {-code}"
    return f"{reason}: {line}" if line else reason
