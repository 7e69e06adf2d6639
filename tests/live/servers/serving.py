"""What the server processes share.

They end with their parent, keep stdout for answers, and run gunicorn on a socket that already
listens.  This runs with the servers' own Python (see environment.py), never with the Python that
runs the tests.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any, Callable, TextIO

from gunicorn.app.base import BaseApplication

PR_SET_PDEATHSIG = 1  # prctl(2)
# A request that is in progress when its server stops gets no answer.
GRACE_SECONDS = 0


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends; does nothing outside of Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def claim_stdout() -> TextIO:
    """Keep stdout for our answers; everything else that is printed goes to stderr, the log."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


class _Server(BaseApplication):
    def __init__(self, load: Callable[[], Any], settings: dict[str, Any]) -> None:
        self._load = load
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._load()


def serve(
    load: Callable[[], Any], listener: int, log: str, ready: Callable[[], None]
) -> None:
    """Serve the WSGI application that `load` returns until the process is stopped.

    `listener` is the number of the listening socket.  There is one worker process, because the
    applications keep state in memory; it calls `ready` when it can answer.
    """
    _Server(
        load,
        {
            "bind": f"fd://{listener}",
            "worker_class": "gthread",
            "threads": 8,
            "timeout": 300,
            "graceful_timeout": GRACE_SECONDS,
            "control_socket_disable": True,
            "errorlog": log + ".gunicorn.log",
            "accesslog": log + ".access.log",
            "access_log_format": "%(t)s %(s)s %(M)sms %(r)s",
            "post_worker_init": lambda worker: ready(),
        },
    ).run()
