"""A shell in which the commands of the manual work: both doubles, and a folder of programs.

What would reach other machines is not run: its words are noted, and tests look at them.
"""

import codecs
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Optional

import yaml
from sandbox.server import Server
from sandbox.story import write_clouds
from sandbox.world import REGION, build
from terminals import Screen

from docs.pages import ROOT

# The configuration is where it is on a Satellite, so that no command has to name it.
_PROGRAM = """\
#!{python}
from pathlib import Path

from foreman_hooks import paths

paths.CONFIG = Path("{folder}/config.yml")

from foreman_hooks.commands.main import {function}

{function}()
"""
_RECORDER = """\
#!/bin/sh
exec {python} -c 'import json, sys; print(json.dumps(sys.argv[1:]), file=open("{file}", "a"))' \
{name} "$@"
"""
NOTED = ("hammer", "openstack", "curl", "ipa")
COLUMNS, LINES = 100, 50  # of the terminal, as programs see it
WIDE = 10_000  # columns of what is shown: a line that is longer than the window stays whole
SECONDS = 120  # until a command counts as hanging


class Result(NamedTuple):
    """How a command ended; `output`: stdout and stderr, as they came."""

    code: int
    output: str


class Shell:
    """Both doubles with the demo's world, and a folder to work in; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._notes = folder / "noted"
        world = build()
        self._satellite = self._stack.enter_context(Server(world.satellite.handle))
        self._osp = self._stack.enter_context(Server(world.openstack.handle))
        self._clouds = write_clouds(folder, self._osp.url, "prod")
        self._write_config()
        self._programs = folder / "bin"
        self._programs.mkdir()
        (folder / "work").mkdir()
        self._add_program("satellite-osp-cleanup", "entry_point")
        self._add_program("osp-check", "check_entry_point")
        for name in NOTED:
            text = _RECORDER.format(python=sys.executable, file=self._notes, name=name)
            self._write_program(name, text)
        self._code = 0

    def __enter__(self) -> "Shell":
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._stack.close()

    def run(self, script: str) -> Result:
        """Run a script by bash, which ends at the first command that fails.

        `$?` is at first the exit code of the script before it.
        """
        done = subprocess.run(
            ["bash", "-uc", f"(exit {self._code})\n{script}"],
            cwd=self._folder / "work",
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self._code = done.returncode
        return Result(done.returncode, done.stdout)

    def show(self, script: str) -> str:
        """Run a script in a terminal; what it then shows, without colours.

        Nobody types anything there.
        """
        ours, theirs = pty.openpty()
        size = struct.pack("HHHH", LINES, COLUMNS, 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
        process = subprocess.Popen(
            ["bash", "-uc", f"(exit {self._code})\n{script}"],
            cwd=self._folder / "work",
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        screen = Screen(WIDE)
        decoder = codecs.getincrementaldecoder("utf-8")()
        while chunk := _read(ours):
            screen.feed(decoder.decode(chunk))
        os.close(ours)
        self._code = process.wait(SECONDS)
        return f"{screen.text.rstrip()}\n".lstrip("\n")

    def as_on_a_satellite(self, output: str) -> str:
        """The output with the usual addresses and paths in place of those of this run."""
        usual = {
            self._satellite.url: "https://satellite.example.com",
            self._osp.url: "https://osp.example.com:5000",
            str(self._clouds): "/etc/openstack/clouds.yaml",
            f"{self._folder}/config.yml": "/etc/satellite-osp-cleanup/config.yml",
            str(self._folder): "/var/lib/satellite-osp-cleanup",
        }
        for ours, theirs in usual.items():
            output = output.replace(ours, theirs)
        return output

    def noted(self) -> list[list[str]]:
        """The words of each command line of a program that is only noted, with its name."""
        if not self._notes.exists():
            return []
        return [json.loads(line) for line in self._notes.read_text().splitlines()]

    def _write_config(self) -> None:
        content = {
            "satellite": {
                "url": self._satellite.url,
                "username": "admin",
                "password": "changeme",
            },
            "clouds": [{"cloud": "prod", "regions": [REGION]}],
            "journal": str(self._folder / "journal.sqlite3"),
        }
        (self._folder / "config.yml").write_text(yaml.safe_dump(content))

    def _add_program(self, name: str, function: str) -> None:
        text = _PROGRAM.format(
            python=sys.executable, folder=self._folder, function=function
        )
        self._write_program(name, text)

    def _write_program(self, name: str, text: str) -> None:
        path = self._programs / name
        path.write_text(text)
        path.chmod(0o755)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "HOME": str(self._folder),
            "PYTHONPATH": str(ROOT),
            "OS_CLIENT_CONFIG_FILE": str(self._clouds),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "NO_COLOR": "1",
        }


def _read(terminal: int) -> bytes:
    """What a terminal has to show; b"" at its end."""
    with suppress(OSError):
        return os.read(terminal, 65536)
    return b""


def commands_of(text: str) -> Iterator[str]:
    """The commands of a console block; a line that ends with a backslash goes on."""
    command = ""
    for line in text.splitlines():
        if command.endswith("\\"):
            command += f"\n{line}"
        elif line.startswith("$ "):
            if command:
                yield command
            command = line[2:]
    if command:
        yield command


def replayed(shell: Shell, text: str) -> str:
    """A console block with the output that its commands have now."""
    parts = []
    for command in commands_of(text):
        screen = shell.show(command)
        parts.append(f"$ {command}\n{shell.as_on_a_satellite(screen)}")
    return "".join(parts)


_VOLATILE = (
    (r"\d{4}[-/]\d\d[-/]\d\d([T ]\d\d:\d\d(:\d\d)?)?( ?UTC|Z)?", "TIME"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID"),
    (r"\b[0-9a-f]{12,64}\b", "DIGEST"),
    (r"\b\d+(\.\d+)? s\b", "SECONDS"),
    (r"\d+ (minutes?|hours?|days?) ago", "AGO"),
    (r"\bin \d+[hm]( \d+m)?", "IN"),
    (r"[ -]{2,}", " "),
)


def settled(text: str) -> str:
    """The text without what differs between two runs: times, widths, and line ends."""
    line = " ".join(text.split())
    for pattern, name in _VOLATILE:
        line = re.sub(pattern, name, line)
    return line
