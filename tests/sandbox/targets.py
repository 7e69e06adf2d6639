"""The machines on which the Satellite in memory runs its jobs: what a script prints there, and how
it ends.
"""

import errno
import os
import selectors
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, NamedTuple, Union

EXCEPTION = "EXCEPTION"  # the proxy failed, not the script
LOST = "LOST"  # the proxy was restarted in mid-job: it knows nothing of it any more
SILENT = "SILENT"  # nothing more comes, until the job is cancelled or its time is over

TICK = 0.05  # seconds between two looks at whether to stop
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"


class Ran(NamedTuple):
    """What one run printed and how it ended.

    `output`: stdout and stderr as they arrived; bytes are cut into chunks at odd places, of a
    sequence each item is what one read got.  `status`: the exit code, or EXCEPTION, LOST or SILENT.
    `trouble`: what the proxy says of it.
    """

    output: Union[bytes, Sequence[bytes]] = b""
    status: Union[int, str] = 0
    trouble: str = ""


Target = Callable[[str, threading.Event], Ran]
"""A machine: gets the script's text, and an event that is set when the job is to end before its time."""


def unreachable(name: str) -> Target:
    """A host without an address, as ssh tells of it."""
    return lambda script, stop: Ran(
        b"",
        EXCEPTION,
        (
            "Error initializing command: RuntimeError - Could not establish connection to remote host using any available "
            "authentication method, tried publickey\n\nAuthentication method 'publickey' failed with:\n"
            f"ssh: Could not resolve hostname {name}: Name or service not known\r\n"
        ),
    )


class Process:
    """A target that runs the script on this machine, as a file that is executed by its path: the
    shebang counts.

    The working directory and HOME are `home`; there is nothing in the environment but that, PATH
    and `environment`. `banner` is the text of shell start-up files, which stands before everything,
    maybe without an end of line.
    """

    _starting = threading.Lock()  # a file that is open for writing in a fork cannot be executed

    def __init__(self, home: Path, environment: Mapping[str, str], banner: bytes = b"") -> None:
        self.home, self.banner = home, banner
        self.environment = {"PATH": SEARCH_PATH, "HOME": str(home), **environment}

    def __call__(self, script: str, stop: threading.Event) -> Ran:
        """Run it to its end, or until `stop`; then it and all that it started is killed."""
        with tempfile.TemporaryDirectory(prefix="foreman-ssh-cmd-") as folder:
            path = Path(folder) / "script"
            try:
                with self._starting:
                    path.write_bytes(script.encode())
                    path.chmod(0o500)
                    process = self._start(path)
            except OSError as error:  # a shebang that leads nowhere
                return Ran(self.banner + f"{path}: {error.strerror}\n".encode(), 127)
            output, code = _watch(process, stop)
            return Ran(self.banner + output, code if code >= 0 else 128 - code)

    def _start(self, path: Path) -> "subprocess.Popen[bytes]":
        try:
            return self._popen(str(path))
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            return self._popen("/bin/sh", str(path))

    def _popen(self, *command: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.home,
            env=self.environment,
            umask=0o022,
            start_new_session=True,
        )


def _watch(process: "subprocess.Popen[bytes]", stop: threading.Event) -> tuple[bytes, int]:
    """What the process prints, and its exit code.  What still holds the pipe after its end is not
    waited for.
    """
    output = bytearray()
    assert process.stdout
    with process.stdout as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None
            if stop.is_set() and not ended:
                os.killpg(process.pid, signal.SIGKILL)
            if selector.select(TICK):
                data = os.read(pipe.fileno(), 65536)
                if not data:
                    break
                output += data
            elif ended:
                break
        while not _ended(process):  # it closed its output, but goes on
            if stop.is_set():
                os.killpg(process.pid, signal.SIGKILL)
        return bytes(output), process.wait()


def _ended(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(TICK)
    except subprocess.TimeoutExpired:
        return False
    return True
