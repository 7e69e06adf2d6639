"""Every kind of run that deletes, and the world before it, which can be had again and again."""

import os
import threading
from pathlib import Path
from re import match
from typing import Any, Callable, Optional

import pytest
from conftest import Stage
from sandbox.server import DROPPED, Answer, Request

from .forked import Ended, Launcher
from .scene import (
    Snapshot,
    Target,
    build,
    check_all_done,
    check_nothing_wrong,
    pattern,
    remove,
    servers,
    targets,
)
from .trials import SOAK

KINDS = ("first run", "run", "quick run", "apply")


def of_each_kind(*few: str) -> pytest.MarkDecorator:
    """For a test with `runs`: all KINDS in the long form, else these few."""
    return pytest.mark.parametrize("runs", KINDS if SOAK else few, indirect=True)


class Runs:
    """One kind of run on the fleet of scene.py.

    `kind`: one of KINDS.  `argv`: its command line.  `points`: what it does with the journal.
    `requests`: those that it sends.
    """

    def __init__(self, stage: Stage, launcher: Launcher, kind: str) -> None:
        self.stage = stage
        self.launcher = launcher
        self.kind = kind
        self.config = stage.config(deadline="5m")
        self.argv: list[Any] = ["--config", self.config]
        launcher.load(*self.argv, "plan")
        build(stage)
        self._prepare(kind)
        self.keep()
        self.restore()
        ended = launcher.run(*self.argv, watch=True)
        assert (ended.code, ended.err) == (0, ""), ended.err
        self.points = ended.points
        self.requests = targets(stage)

    def _prepare(self, kind: str) -> None:
        plan = self.stage.folder / "plan.json"
        if kind == "first run":
            self.journal.unlink()
        elif kind == "quick run":
            self._run("run")
        elif kind == "apply":
            self._run("plan", "--out", plan)
        self.argv += {
            "quick run": ["run", "--recent", "--apply"],
            "apply": ["apply", plan],
        }.get(kind, ["run", "--apply"])

    def _run(self, *argv: Any) -> None:
        ended = self.launcher.run("--config", self.config, *argv)
        assert ended.code == 0, ended.err

    @property
    def journal(self) -> Path:
        """The journal of all runs."""
        return self.stage.folder / "journal.sqlite3"

    @property
    def elsewhere(self) -> Path:
        """Where the journal is after it was moved away or replaced during a run."""
        return self.journal.with_name("elsewhere")

    def put_back(self) -> None:
        """Put the journal back to its place, if it was moved away."""
        if self.elsewhere.exists():
            remove(self.journal)
            self.elsewhere.rename(self.journal)

    def keep(self) -> None:
        """Make `restore` lead to the world and the journal as they are now."""
        self._before = Snapshot(self.stage)

    def restore(self) -> None:
        """The world and the journal as they were before the run."""
        remove(self.elsewhere)
        self._before.restore()

    def finish(self) -> None:
        """Run without a fault, and check that all is done."""
        ended = self.launcher.run("--config", self.config, "run", "--apply")
        check_nothing_wrong(self.stage)
        check_all_done(self.stage, ended.code, ended.err)

    def run_struck(self, target: Target, when: str, act: Callable[[int], Any]) -> Ended:
        """Run, and act on the process at that request; `when`: before, after.

        `act` gets the id of the process.  If it returns something, the request has no answer, and
        before it, the server does not act either.
        """
        strike = _Strike(self.stage, target, when, act)
        child = self.launcher.start(*self.argv)
        strike.start(child.pid)
        ended = child.end()
        assert strike.done, "the request was never sent"
        return ended


class _Strike:
    """Acts on a process when a server gets a certain request of it."""

    def __init__(
        self, stage: Stage, target: Target, when: str, act: Callable[[int], Any]
    ) -> None:
        server = servers(stage)[target.server]
        self._handle = server.handle
        server.handle = self.handle
        self._target = target
        self._when = when
        self._act = act
        self._pid = 0
        self._started = threading.Event()
        self._lock = threading.Lock()
        self._count = 0
        self.done = False

    def start(self, pid: int) -> None:
        """Say which process it is."""
        self._pid = pid
        self._started.set()

    def handle(self, request: Request) -> Answer:
        if not self._is_it(request):
            return self._handle(request)
        self._started.wait()
        answer: Optional[Answer] = None
        if self._when == "after":
            answer = self._handle(request)
        is_over = self._act(self._pid)
        self.done = True
        if is_over:
            return Answer(DROPPED)
        return answer or self._handle(request)

    def _is_it(self, request: Request) -> bool:
        if not match(pattern(self._target), request.line):
            return False
        with self._lock:
            self._count += 1
            return self._count == self._target.earlier + 1


def send(number: int) -> Callable[[int], bool]:
    """Send a signal to a process; whether it is over then."""

    def act(pid: int) -> bool:
        os.kill(pid, number)
        return number == 9

    return act
