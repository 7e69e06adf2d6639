"""A program in servers/ that runs with the servers' Python until this process stops it or ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .environment import HERE, LiveCloudError, child_env, tail

STOP_SECONDS = 10


class Program:
    """The process: reads lines on stdin, answers with lines on stdout, and logs everything else.

    It ends when the thread that created it ends (PR_SET_PDEATHSIG), so create it in the main
    thread.
    """

    def __init__(
        self,
        venv: Path,
        script: str,
        *arguments: object,
        log: Path,
        listeners: Sequence[int],
    ) -> None:
        self._name = script
        self._log = log
        self._heard = b""
        command = [
            str(venv / "bin" / "python"),
            str(HERE / "servers" / script),
            *map(str, arguments),
        ]
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=child_env(),
                pass_fds=listeners,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the servers
            )

    def tell(self, command: dict[str, Any], seconds: float) -> None:
        """Send the command as a line of JSON, and wait for the answer.

        The answer is {"error": null} or {"error": text}; raises LiveCloudError with that text.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None
        try:
            error = json.loads(self.answer(seconds))["error"]
        except BaseException:
            # A late answer would look like the answer to the next command.
            self._process.kill()
            raise
        if error:
            raise LiveCloudError(f"{self._name} could not {command['do']}:\n{error}")

    def answer(self, seconds: float) -> str:
        """The next line of its output; raises LiveCloudError if there is none within `seconds`."""
        assert self._process.stdout is not None
        out = self._process.stdout.fileno()
        poller = select.poll()
        poller.register(out, select.POLLIN)
        deadline = time.monotonic() + seconds
        while b"\n" not in self._heard:
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise LiveCloudError(
                    f"no answer of {self._name} in {seconds} s; its log ends:\n{tail(self._log)}"
                )
            chunk = os.read(out, 65536)
            if not chunk:
                raise self._gone()
            self._heard += chunk
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def stop(self) -> None:
        """End the process, and wait until it has ended; may be called again."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                assert pipe is not None
                pipe.close()

    def _gone(self) -> LiveCloudError:
        code = self._process.wait(STOP_SECONDS)
        return LiveCloudError(
            f"{self._name} ended with {code}; its log ends:\n{tail(self._log)}"
        )
