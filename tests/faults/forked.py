"""Command lines in processes of their own, each within milliseconds.

A new interpreter needs a second until it has loaded everything.  So one process loads it once, and
is forked for each command line.  The child can count what it does with the journal, and strike
itself at a given point: with a signal, or by taking the journal away.
"""

import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, NoReturn

NOBODY = 65534
MOST = 200_000  # bytes of an order, which goes in one packet
_TEXT = re.compile(r"'[^']*'")  # in a statement: a value, which differs from run to run


# What the tests use


class Ended(NamedTuple):
    """How a command line ended: exit code (-9: by SIGKILL), its output, the points it passed."""

    code: int
    out: str
    err: str
    points: list[str]


class Child:
    """One command line that runs; `pid` is known as soon as it exists."""

    def __init__(self, control: socket.socket, order: Mapping[str, Any]) -> None:
        pipes = [os.pipe() for _ in range(4)]
        packet = json.dumps({**order, "environment": dict(os.environ)}).encode()
        socket.send_fds(control, [packet], [writing for _, writing in pipes])
        for _, writing in pipes:
            os.close(writing)
        self._out, self._err, self._points, self._status = (
            os.fdopen(reading, encoding="utf-8", errors="replace")
            for reading, _ in pipes
        )
        self.pid = int(self._status.readline())

    def end(self) -> Ended:
        """Wait for its end."""
        with self._out, self._err, self._points, self._status:
            out, err = self._out.read(), self._err.read()
            points = self._points.read().splitlines()
            return Ended(int(self._status.readline()), out, err, points)


class Launcher:
    """Starts command lines; `wrapper`: words before the interpreter, such as those of faketime."""

    def __init__(self, wrapper: Sequence[str] = ()) -> None:
        self._is_loaded = False
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MOST)
        with other:
            self._process = subprocess.Popen(
                [*wrapper, sys.executable, __file__, str(other.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
            )

    def start(self, *argv: Any, **how: Any) -> Child:
        """Start a command line.

        `at`, `action`, `file`: do that to the file at the point with this number.  `watch`: name
        the points.  `limit`: how many bytes a file may have.  `dies_at_limit`: a process that
        writes more is killed.  `as_nobody`: without root's rights.
        """
        return Child(self._control, {"argv": [str(word) for word in argv], **how})

    def run(self, *argv: Any, **how: Any) -> Ended:
        """Run a command line to its end."""
        return self.start(*argv, **how).end()

    def load(self, *argv: Any) -> None:
        """Run this command line in the process that is forked, so that all have its modules."""
        if not self._is_loaded:
            self.run(*argv, load=True)
        self._is_loaded = True

    def close(self) -> None:
        """End the process that is forked."""
        self._control.close()
        self._process.wait()


# What happens at a point of the child


def _moved_away(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))


def _replaced_by(make: Callable[[Path, Path], Any]) -> Callable[[Path], None]:
    def replace(file: Path) -> None:
        _moved_away(file)
        make(file.with_name("elsewhere"), file)

    return replace


def _by_another_owner(before: Path, file: Path) -> None:
    shutil.copy(before, file)
    os.chown(file, NOBODY, NOBODY)


def _overwritten(file: Path) -> None:
    with file.open("r+b") as content:
        content.seek(100)
        content.write(b"\xa5" * (file.stat().st_size - 100))


def _limit(size: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def _signal(number: int, file: Path) -> None:
    os.kill(os.getpid(), number)


ACTIONS: dict[str, Callable[[Path], Any]] = {
    "SIGKILL": partial(_signal, signal.SIGKILL),
    "SIGTERM": partial(_signal, signal.SIGTERM),
    "SIGINT": partial(_signal, signal.SIGINT),
    "disk full": lambda file: _limit(0),
    "moved away": _moved_away,
    "replaced by a copy": _replaced_by(shutil.copy),
    "replaced by an empty file": _replaced_by(lambda before, file: file.touch(0o600)),
    "replaced by a folder": _replaced_by(lambda before, file: file.mkdir()),
    "replaced by a link": _replaced_by(lambda before, file: file.symlink_to(before)),
    "replaced by another's file": _replaced_by(_by_another_owner),
    "emptied": lambda file: os.truncate(file, 0),
    "overwritten": _overwritten,
    "folder read-only": lambda file: file.parent.chmod(0o500),
}
REMOVALS = [name for name in ACTIONS if name.startswith(("moved", "replaced"))]


class _Points:
    """Counts the points that a process passes, and strikes at one of them."""

    def __init__(self, order: Mapping[str, Any], descriptor: int) -> None:
        self._order = order
        self._descriptor = descriptor
        self._count = 0

    def reach(self, label: str) -> None:
        number = self._count
        self._count += 1
        strikes = number == self._order.get("at")
        if strikes or self._order.get("watch"):
            line = _TEXT.sub("''", " ".join(label.split()))[:60]
            os.write(self._descriptor, f"{line}\n".encode())
        if strikes:
            ACTIONS[self._order["action"]](Path(self._order["file"]))


def _connect(points: _Points) -> Callable[..., sqlite3.Connection]:
    """sqlite3.connect, with a point before and after each call, and at each statement."""

    class Watched(sqlite3.Connection):
        def __init__(self, *args: Any, **how: Any) -> None:
            super().__init__(*args, **how)
            self.set_trace_callback(lambda sql: points.reach(f"within {sql}"))

        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            return self._around(sql, super().execute, sql, *args)

        def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
            return self._around(sql, super().executemany, sql, *args)

        def executescript(self, sql: str) -> sqlite3.Cursor:
            return self._around(sql, super().executescript, sql)

        def commit(self) -> None:
            self._around("commit", super().commit)

        def rollback(self) -> None:
            self._around("rollback", super().rollback)

        @staticmethod
        def _around(label: str, call: Callable[..., Any], *args: Any) -> Any:
            points.reach(f"before {label}")
            result = call(*args)
            points.reach(f"after {label}")
            return result

    return partial(sqlite3.connect, factory=Watched)


# The process that is forked


def _become(order: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    from foreman_hooks.commands.main import entry_point

    out, err, points, status = descriptors
    os.close(status)
    # Those that were opened before the fork may think that they can seek.
    sys.stdout = os.fdopen(os.dup2(out, 1), "w", encoding="utf-8")
    sys.stderr = os.fdopen(os.dup2(err, 2), "w", 1, encoding="utf-8")
    clock = {name: text for name, text in os.environ.items() if "FAKETIME" in name}
    os.environ.clear()
    os.environ.update(order["environment"], **clock)
    if "at" in order or "watch" in order:
        sqlite3.connect = _connect(_Points(order, points))  # type: ignore[assignment]
    if order.get("as_nobody") and os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if order.get("dies_at_limit"):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if order.get("limit") is not None:
        _limit(order["limit"])
    # A shell lets processes in the background ignore Ctrl-C, and their children as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["satellite-osp-cleanup", *order["argv"]]
    entry_point()


def _supervise(order: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Start the child, report its number and how it ended; raises SystemExit in the child."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _become(order, descriptors)
    *others, status = descriptors
    for descriptor in others:
        os.close(descriptor)
    os.write(status, f"{pid}\n".encode())
    _, how = os.waitpid(pid, 0)
    os.write(status, f"{os.waitstatus_to_exitcode(how)}\n".encode())
    os._exit(0)


def _load(order: Mapping[str, Any]) -> None:
    """Run a command line here, and load all modules: user nobody may be unable to read them."""
    from contextlib import redirect_stderr, redirect_stdout
    from importlib import import_module
    from importlib.util import find_spec, module_from_spec
    from pkgutil import walk_packages

    import foreman_hooks
    from foreman_hooks.commands.main import main

    spec = find_spec("openstack")
    if spec:  # as commands/process.py does
        sys.modules.setdefault("openstack", module_from_spec(spec))
    os.environ.update(order["environment"])
    with (
        Path(os.devnull).open("w") as devnull,
        redirect_stdout(devnull),
        redirect_stderr(devnull),
    ):
        main(order["argv"])
    for module in walk_packages(foreman_hooks.__path__, "foreman_hooks."):
        import_module(module.name)


def _serve(control: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the supervisors
    while True:
        packet, descriptors, _, _ = socket.recv_fds(control, MOST, 4)
        if not packet:
            return
        order = json.loads(packet)
        if order.get("load"):
            _load(order)
            os.write(descriptors[-1], b"0\n0\n")
        elif os.fork() == 0:
            control.close()
            _supervise(order, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
