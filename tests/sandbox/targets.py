"""The machines on which the Satellite double runs its jobs.

A machine is a function: it takes a script, and returns what the script prints and how it ends.
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
LOST = "LOST"  # the proxy was restarted during the job and does not know it any more
SILENT = "SILENT"  # nothing more comes until the job is cancelled or its time is over

TICK = 0.05  # seconds between two checks whether to stop
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"


class Ran(NamedTuple):
    """What one run printed and how it ended.

    `output`: stdout and stderr in the order of arrival. Bytes are cut into chunks at odd places;
    of a sequence, each item is what one read got.
    `status`: the exit code, or EXCEPTION, LOST or SILENT.
    `trouble`: what the proxy says about it.
    """

    output: Union[bytes, Sequence[bytes]] = b""
    status: Union[int, str] = 0
    trouble: str = ""


Target = Callable[[str, threading.Event], Ran]
"""Takes the text of the script, and an event that is set when the job has to end early."""


def unreachable(name: str) -> Target:
    """A host without an address, as ssh reports it."""
    trouble = (
        "Error initializing command: RuntimeError - Could not establish connection to remote host "
        "using any available authentication method, tried publickey\n\n"
        "Authentication method 'publickey' failed with:\n"
        f"ssh: Could not resolve hostname {name}: Name or service not known\r\n"
    )
    return lambda script, stop: Ran(b"", EXCEPTION, trouble)


class Process:
    """A target that runs the script on this machine, as a file with a shebang.

    The working directory and HOME are `home`; the environment holds only HOME, PATH and
    `environment`. `banner`: the text of shell start-up files, which comes first and may lack an
    end of line.
    """

    # A file that is open for writing in a fork cannot be executed.
    _starting = threading.Lock()

    def __init__(
        self, home: Path, environment: Mapping[str, str], banner: bytes = b""
    ) -> None:
        self.home, self.banner = home, banner
        self.environment = {"PATH": SEARCH_PATH, "HOME": str(home), **environment}

    def __call__(self, script: str, stop: threading.Event) -> Ran:
        """Run it to its end, or until `stop`: then it and its children are killed."""
        with tempfile.TemporaryDirectory(prefix="foreman-ssh-cmd-") as folder:
            path = Path(folder) / "script"
            try:
                with self._starting:
                    path.write_bytes(script.encode())
                    path.chmod(0o500)
                    process = self._start(path)
            except OSError as error:  # the interpreter of the shebang does not exist
                return Ran(self.banner + f"{path}: {error.strerror}\n".encode(), 127)
            output, code = _watch(process, stop)
            status = code if code >= 0 else 128 - code
            return Ran(self.banner + output, status)

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


def _watch(
    process: "subprocess.Popen[bytes]", stop: threading.Event
) -> tuple[bytes, int]:
    """What the process prints, and its exit code.

    After its end, it does not wait for others that still hold the pipe.
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
